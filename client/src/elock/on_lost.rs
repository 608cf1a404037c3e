//! What happens to the command when its lock is lost: `--on-lost term,5s,kill`.

use crate::span;
use nix::sys::signal::Signal;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Steps, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnLost(Vec<Step>);

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The command and all that it has started get this signal.
    Signal(Signal),
    /// Time passes.
    Pause(Duration),
}

impl OnLost {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// How long it takes in all.
    #[cfg(test)]
    pub(crate) fn span(&self) -> Duration {
        let pauses = self.0.iter().map(|step| match step {
            Step::Pause(span) => *span,
            Step::Signal(_) => Duration::ZERO,
        });
        pauses.sum()
    }
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
                    write!(f, "{}", signal.as_str().trim_start_matches("SIG").to_ascii_lowercase())?;
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
}
