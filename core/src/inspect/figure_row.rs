//! The rows of the table of figures. A row has a figure's key, its help, where it is shown, and how it is computed.
//! Exporters and the documentation read the rows, so a figure is described only once. Nothing here names a figure.

use super::figures::Figures;
use crate::config::{Limit, Limits, Unit};
use crate::machine::Cause;
use crate::types::Kind;
use crate::wire::Verb;
use std::borrow::Cow;

/// One figure, or one figure for each kind of lock, each verb or each cause.
#[derive(Clone, Copy, Debug)]
pub struct FigureRow {
    /// The key in `q full`. A figure of a kind, verb or cause makes its own key from it, see
    /// [`key_of`](Self::key_of).
    pub key: &'static str,
    /// How the number behaves.
    pub nature: Nature,
    /// What the number counts.
    pub unit: Unit,
    /// Who is shown it.
    pub shown: Shown,
    /// Its metric for exporters. `None` if it is not exported.
    pub metric: Option<Metric>,
    /// One sentence that says what it is.
    pub help: &'static str,
    /// Further sentences, for the documentation alone. May be empty.
    pub note: &'static str,
    /// Whether only a node of a cluster shows it.
    pub is_of_a_cluster: bool,
    value: Value,
}

/// How a figure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It only goes up, from 0 at the daemon's start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// The highest value of a gauge since the daemon's start.
    Peak,
    /// A setting: it does not change while the daemon runs.
    Limit,
    /// A word.
    Text,
}

/// Who is shown a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// `q`, `q full` and exporters.
    Short,
    /// `q full` and exporters.
    Full,
    /// Exporters alone. The figure is computed from other figures, or depends on how far sweeping has come.
    Export,
}

/// A figure as a metric. Names are without the exporter's prefix and without the `_total` of counters.
#[derive(Clone, Copy, Debug)]
pub enum Metric {
    /// A metric of its own. Its name is the key; `peak_X` becomes `X_peak`, and `_ms` becomes `_seconds`.
    Own,
    /// A metric of its own whose name does not follow from the key.
    Named(&'static str),
    /// One or more series of a metric that several figures share.
    Series {
        /// The metric.
        family: &'static Family,
        /// The label that distinguishes these series from the others, and its value.
        label: (&'static str, &'static str),
    },
}

/// A metric that several figures share.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// One sentence that says what it is.
    pub help: &'static str,
    /// Further sentences, for the documentation alone. May be empty.
    pub note: &'static str,
}

/// Which part of a figure a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The figure is one number.
    Whole,
    /// The locks of a kind.
    Kind(Kind),
    /// The commands with a verb.
    Verb(Verb),
    /// The connections that ended by a cause.
    Cause(Cause),
}

/// How a figure is computed.
#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(fn(&Figures<'_>) -> u64),
    ByKind(fn(&Figures<'_>, Kind) -> u64),
    ByVerb(fn(&Figures<'_>, Verb) -> u64),
    ByCause(fn(&Figures<'_>, Cause) -> u64),
    Limit(fn(&Limits) -> u64),
    Text(for<'a> fn(&'a Figures<'_>) -> &'a str),
}

/// What figures and metrics call a kind.
impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// What a lock of this kind is called in a sentence. Exclusive locks came first and are just locks.
    #[must_use]
    pub const fn lock_word(self) -> &'static str {
        match self {
            Self::Exclusive => "lock",
            Self::Shared => "shared lock",
            Self::Read => "read lock",
            Self::Write => "write lock",
        }
    }

    /// What the keys of its figures begin with. Exclusive locks came first and have no prefix.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Exclusive => "",
            Self::Shared => "shared_",
            Self::Read => "read_",
            Self::Write => "write_",
        }
    }
}

impl Part {
    /// The label that distinguishes it from the figure's other parts, and the label's value. `None` for a whole figure.
    #[must_use]
    pub const fn label(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Whole => None,
            Self::Kind(kind) => Some(("kind", kind.word())),
            Self::Verb(verb) => Some(("verb", verb.word())),
            Self::Cause(cause) => Some(("cause", cause.word())),
        }
    }
}

impl FigureRow {
    const fn new(key: &'static str, nature: Nature, value: Value) -> Self {
        let (unit, shown) = (Unit::Count, Shown::Full);
        Self {
            key,
            nature,
            unit,
            shown,
            metric: Some(Metric::Own),
            help: "",
            note: "",
            is_of_a_cluster: false,
            value,
        }
    }

    /// A figure that is one number.
    pub(super) const fn whole(key: &'static str, nature: Nature, value: fn(&Figures<'_>) -> u64) -> Self {
        Self::new(key, nature, Value::Whole(value))
    }

    /// A figure that has a number for each kind of lock.
    pub(super) const fn by_kind(
        key: &'static str,
        nature: Nature,
        value: fn(&Figures<'_>, Kind) -> u64,
    ) -> Self {
        Self::new(key, nature, Value::ByKind(value))
    }

    /// A counter that has a number for each verb.
    pub(super) const fn by_verb(key: &'static str, value: fn(&Figures<'_>, Verb) -> u64) -> Self {
        Self::new(key, Nature::Counter, Value::ByVerb(value))
    }

    /// A counter that has a number for each cause.
    pub(super) const fn by_cause(key: &'static str, value: fn(&Figures<'_>, Cause) -> u64) -> Self {
        Self::new(key, Nature::Counter, Value::ByCause(value))
    }

    /// A word.
    pub(super) const fn text(key: &'static str, value: for<'a> fn(&'a Figures<'_>) -> &'a str) -> Self {
        Self::new(key, Nature::Text, Value::Text(value)).not_a_metric()
    }

    /// A limit, by its row in the table of limits.
    pub(super) const fn limit(limit: &'static Limit<Limits>) -> Self {
        let metric = match limit.metric {
            Some(name) => Some(Metric::Named(name)),
            None => None,
        };
        let row = Self::new(limit.figure, Nature::Limit, Value::Limit(limit.get));
        Self { metric, unit: limit.unit, help: limit.help, note: limit.note, ..row }
    }

    /// Sets the sentence that says what it is.
    pub(super) const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    /// Sets the further sentences.
    pub(super) const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Sets its unit, if it does not count things.
    pub(super) const fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// Sets who is shown it, if not `q full` and exporters.
    pub(super) const fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    /// Gives its metric a name that does not follow from its key.
    pub(super) const fn metric(self, name: &'static str) -> Self {
        Self { metric: Some(Metric::Named(name)), ..self }
    }

    /// Makes it one or more series of a shared metric.
    pub(super) const fn series(
        self,
        family: &'static Family,
        label: &'static str,
        value: &'static str,
    ) -> Self {
        Self { metric: Some(Metric::Series { family, label: (label, value) }), ..self }
    }

    /// Keeps it from daemons that are alone.
    pub(super) const fn of_a_cluster(self) -> Self {
        Self { is_of_a_cluster: true, ..self }
    }

    /// Keeps it from exporters.
    pub(super) const fn not_a_metric(self) -> Self {
        Self { metric: None, ..self }
    }

    /// The key of a part. A kind comes before the row's key, a verb or a cause after it.
    #[must_use]
    pub fn key_of(&self, part: Part) -> Cow<'static, str> {
        match part {
            Part::Whole => self.key.into(),
            Part::Kind(kind) if kind.prefix().is_empty() => self.key.into(),
            Part::Kind(kind) => [kind.prefix(), self.key].concat().into(),
            Part::Verb(verb) => [self.key, "_", verb.word()].concat().into(),
            Part::Cause(cause) => [self.key, "_", cause.word()].concat().into(),
        }
    }

    /// Calls `each` with every part, whether or not it is shown at the moment.
    pub fn each_part(&self, mut each: impl FnMut(Part)) {
        match self.value {
            Value::Whole(_) | Value::Limit(_) | Value::Text(_) => each(Part::Whole),
            Value::ByKind(_) => Kind::ALL.into_iter().map(Part::Kind).for_each(each),
            Value::ByVerb(_) => Verb::ALL.into_iter().map(Part::Verb).for_each(each),
            Value::ByCause(_) => Cause::ALL.into_iter().map(Part::Cause).for_each(each),
        }
    }

    /// The number of a part. `None` for a word, and for a part that the figure does not have.
    #[must_use]
    pub fn number(&self, figures: &Figures<'_>, part: Part) -> Option<u64> {
        match (self.value, part) {
            (Value::Whole(value), Part::Whole) => Some(value(figures)),
            (Value::Limit(value), Part::Whole) => Some(value(&figures.config.limits)),
            (Value::ByKind(value), Part::Kind(kind)) => Some(value(figures, kind)),
            (Value::ByVerb(value), Part::Verb(verb)) => Some(value(figures, verb)),
            (Value::ByCause(value), Part::Cause(cause)) => Some(value(figures, cause)),
            _ => None,
        }
    }

    /// The word, if the figure is one.
    pub(super) fn word<'a>(&self, figures: &'a Figures<'_>) -> Option<&'a str> {
        match self.value {
            Value::Text(value) => Some(value(figures)),
            _ => None,
        }
    }

    /// The name of its metric, without the exporter's prefix and without `_total`. `None` if it is not exported.
    #[must_use]
    pub fn metric_name(&self) -> Option<Cow<'static, str>> {
        Some(match self.metric? {
            Metric::Named(name) => name.into(),
            Metric::Series { family, .. } => family.name.into(),
            Metric::Own => match (self.key.strip_prefix("peak_"), self.key.strip_suffix("_ms")) {
                (Some(gauge), _) => [gauge, "_peak"].concat().into(),
                (_, Some(time)) => [time, "_seconds"].concat().into(),
                _ => self.key.into(),
            },
        })
    }
}
