//! The parts of the benchmarks' output that pictures are made of.

use crate::support::Failure;
use crate::support::spread::Spread;
use serde_json::Value;

/// One server in one case of `peers`.
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) connections: u64,
    pub(crate) depth: u64,
    pub(crate) server: String,
    /// Operations a second, round by round.
    pub(crate) rates: Vec<f64>,
    /// Pairs of a part of all operations and the latency in microseconds that it did not exceed.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// One figure of `cluster`.
pub(crate) struct ClusterRow {
    pub(crate) what: String,
    /// The systems, and for each its values, round by round.
    systems: Vec<(String, Vec<f64>)>,
}

/// One part of `scale`.
pub(crate) struct Part {
    pub(crate) closings: Vec<Closing>,
    pub(crate) slices: Vec<Slice>,
}

/// Connections that ended together. Times are in milliseconds.
pub(crate) struct Closing {
    pub(crate) of: String,
    pub(crate) first_close: f64,
    pub(crate) last_close: f64,
    /// When all their locks were free.
    pub(crate) free: f64,
}

/// The latency of other clients in a few milliseconds.
pub(crate) struct Slice {
    /// When it began.
    pub(crate) ms: f64,
    pub(crate) median_us: f64,
    pub(crate) worst_us: f64,
}

/// The text about the computer and how it was measured.
pub(crate) fn about(json: &Value) -> Result<&str, Failure> {
    text(json, "about")
}

impl Run {
    /// Every run in the file. Empty if it is not of `peers`.
    pub(crate) fn all(json: &Value) -> Result<Vec<Self>, Failure> {
        list(json, "runs").iter().map(Self::of).collect()
    }

    fn of(json: &Value) -> Result<Self, Failure> {
        let curve = list(json, "latency_curve_us").iter();
        Ok(Self {
            scenario: text(json, "scenario")?.to_owned(),
            connections: json["connections"].as_u64().ok_or("no number of connections")?,
            depth: json["depth"].as_u64().ok_or("no depth")?,
            server: text(json, "server")?.to_owned(),
            rates: list(json, "rounds")
                .iter()
                .map(|round| number(&round["rate"]))
                .collect::<Result<_, _>>()?,
            curve: curve
                .map(|point| Ok((number(&point[0])?, number(&point[1])?)))
                .collect::<Result<_, Failure>>()?,
        })
    }

    /// The rate ÷ another's, round by round.
    pub(crate) fn rate_by(&self, other: &Self) -> Option<Spread> {
        Spread::of(self.rates.iter().zip(&other.rates).map(|(one, other)| one / other))
    }

    /// The median rate.
    pub(crate) fn rate(&self) -> Option<f64> {
        Spread::of(self.rates.iter().copied()).map(|spread| spread.median)
    }
}

impl ClusterRow {
    /// Every figure in the file. Empty if it is not of `cluster`.
    pub(crate) fn all(json: &Value) -> Result<Vec<Self>, Failure> {
        list(json, "cluster").iter().map(Self::of).collect()
    }

    fn of(json: &Value) -> Result<Self, Failure> {
        let systems = json["rounds"].as_object().ok_or("no rounds")?;
        let values = |(system, rounds): (&String, &Value)| {
            let rounds = rounds.as_array().map_or(&[][..], Vec::as_slice);
            Ok((system.clone(), rounds.iter().map(number).collect::<Result<_, Failure>>()?))
        };
        let systems = systems.iter().map(values).collect::<Result<_, Failure>>()?;
        Ok(Self { what: text(json, "what")?.to_owned(), systems })
    }

    /// The spread of a system's rounds.
    pub(crate) fn spread(&self, system: &str) -> Option<Spread> {
        let (_, rounds) = self.systems.iter().find(|(name, _)| name == system)?;
        Spread::of(rounds.iter().copied())
    }
}

/// The runs of `uncontended` with the smallest number of connections that was measured.
pub(crate) fn uncontended(runs: &[Run]) -> Vec<&Run> {
    let all = || runs.iter().filter(|run| run.scenario == "Uncontended");
    let fewest = all().map(|run| run.connections).min();
    all().filter(|run| Some(run.connections) == fewest).collect()
}

impl Part {
    /// Every part in the file. Empty if it is not of `scale`.
    pub(crate) fn all(json: &Value) -> Result<Vec<Self>, Failure> {
        list(json, "parts").iter().map(Self::of).collect()
    }

    fn of(json: &Value) -> Result<Self, Failure> {
        let slices = list(&json["latency_over_time"], "rows").iter();
        Ok(Self {
            closings: list(json, "closings_ms").iter().map(Closing::of).collect::<Result<_, _>>()?,
            // Columns: time, number of replies, median and worst latency.
            slices: slices
                .map(|row| {
                    let [ms, median_us, worst_us] = [number(&row[0])?, number(&row[2])?, number(&row[3])?];
                    Ok(Slice { ms, median_us, worst_us })
                })
                .collect::<Result<_, Failure>>()?,
        })
    }
}

impl Closing {
    fn of(json: &Value) -> Result<Self, Failure> {
        Ok(Self {
            of: text(json, "of")?.to_owned(),
            first_close: number(&json["first_close"])?,
            last_close: number(&json["last_close"])?,
            free: number(&json["free"])?,
        })
    }
}

fn list<'j>(json: &'j Value, key: &str) -> &'j [Value] {
    json[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'j>(json: &'j Value, key: &str) -> Result<&'j str, Failure> {
    json[key].as_str().ok_or_else(|| format!("no text {key:?}").into())
}

fn number(json: &Value) -> Result<f64, Failure> {
    json.as_f64().ok_or_else(|| format!("{json} where a number has to be").into())
}
