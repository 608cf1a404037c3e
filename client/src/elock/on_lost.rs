//! What happens to the command when its lock is lost: `--on-lost term,5s,kill`.

use crate::span;
use nix::sys::signal::Signal;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether all have ended.
const LOOK: Duration = Duration::from_millis(50);

/// Steps, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnLost(Vec<Step>);

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The command and all that it has started get this signal.
    Signal(Signal),
    /// Time passes.
    Pause(Duration),
}

impl OnLost {
    /// Whether there are no steps.
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the steps. `send` sends a signal to all that is to be stopped, and returns how many that still were: when
    /// none is left, the rest is not needed.
    pub(crate) async fn stop(&self, mut send: impl FnMut(Option<Signal>) -> usize) {
        for step in &self.0 {
            match step {
                Step::Signal(signal) => {
                    send(Some(*signal));
                }
                Step::Pause(span) => {
                    let end = Instant::now() + *span;
                    while Instant::now() < end {
                        if send(None) == 0 {
                            return;
                        }
                        sleep_until((Instant::now() + LOOK).min(end)).await;
                    }
                }
            }
        }
    }

    /// The same steps, for another host.
    pub(crate) fn steps(&self) -> Vec<elockd_client::ssh::StopStep> {
        let there = |step: &Step| match step {
            Step::Signal(signal) => elockd_client::ssh::StopStep::Signal(name_of(*signal).to_owned()),
            Step::Pause(span) => elockd_client::ssh::StopStep::Pause(*span),
        };
        self.0.iter().map(there).collect()
    }

    /// How long it takes in all.
    pub(crate) fn span(&self) -> Duration {
        let pauses = self.0.iter().map(|step| match step {
            Step::Pause(span) => *span,
            Step::Signal(_) => Duration::ZERO,
        });
        pauses.sum()
    }
}

/// The name of a signal as kill(1) has it.
pub(crate) fn name_of(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

impl FromStr for OnLost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(|word| step(word.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn step(word: &str) -> Result<Step, String> {
    if word.starts_with(|char: char| char.is_ascii_digit()) {
        return span::parse(word).map(Step::Pause);
    }
    let name = word.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let signal = Signal::from_str(&name);
    signal.map(Step::Signal).map_err(|_| {
        format!("{word:?} is neither a signal nor a span of time; write signals and spans like term,5s,kill, or none")
    })
}

impl fmt::Display for OnLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, step) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match step {
                Step::Signal(signal) => {
                    write!(f, "{}", name_of(*signal).to_ascii_lowercase())?;
                }
                Step::Pause(span) => write!(f, "{}", humantime::format_duration(*span))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_signals_and_pauses() {
        let steps = |text: &str| text.parse::<OnLost>().map(|on_lost| on_lost.0);
        let (term, kill) = (Step::Signal(Signal::SIGTERM), Step::Signal(Signal::SIGKILL));
        let pause = Step::Pause(Duration::from_secs(5));
        assert_eq!(steps("term,5s,kill"), Ok(vec![term, pause, kill]));
        assert_eq!(steps("SIGTERM, 5, KILL"), Ok(vec![term, pause, kill]));
        assert_eq!(steps("kill"), Ok(vec![kill]));
        assert_eq!(steps("none"), Ok(vec![]));
        for wrong in ["", "term,,kill", "stop it", "5x", "term kill"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
        for text in ["term,5s,kill", "none", "usr1"] {
            assert_eq!(text.parse::<OnLost>().unwrap().to_string(), text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn steps_come_at_their_time_and_end_when_nothing_is_left() {
        let on_lost: OnLost = "term,5s,kill".parse().unwrap();
        let start = Instant::now();
        let mut sent = Vec::new();
        let stubborn = |signal: Option<Signal>| {
            sent.extend(signal.map(|signal| (signal, start.elapsed())));
            1
        };
        on_lost.stop(stubborn).await;
        assert_eq!(sent, [(Signal::SIGTERM, Duration::ZERO), (Signal::SIGKILL, Duration::from_secs(5))]);
        assert_eq!(start.elapsed(), on_lost.span());

        let start = Instant::now();
        let mut sent = Vec::new();
        on_lost
            .stop(|signal| {
                sent.extend(signal);
                usize::from(start.elapsed() < Duration::from_secs(1))
            })
            .await;
        assert_eq!((sent, start.elapsed()), (vec![Signal::SIGTERM], Duration::from_secs(1)));
    }
}
