//! From nothing to a million locks, or ten million: what each takes, and whether growth ever makes others wait.

use crate::Stage;
use crate::observer::Observer;
use crate::outcome::{Outcome, ms};
use crate::support::Failure;
use crate::support::goal::Goal;
use std::time::{Duration, Instant};

pub(crate) fn run(stage: &Stage, locks: usize) -> Result<Outcome, Failure> {
    let server = stage.daemon()?;
    // A watch of its own, because a watch with a filler begins to fill at once.
    let observer = Observer::start(stage, &server, None)?;
    let quiet = observer.quiet(stage)?;
    let before = observer.stop()?;
    let resident = server.resident_bytes()?;

    let begin = Instant::now();
    let observer = Observer::start(stage, &server, Some(0..locks))?;
    while observer.held() < locks {
        observer.pass(Duration::from_millis(1))?;
    }
    let end = Instant::now();
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let bytes = (server.resident_bytes()? - resident) / locks as f64;
    let after = observer.stop()?;

    let mut outcome = Outcome::new(format!("from nothing to {locks} locks"));
    outcome.add("that took", ms(begin, end), "ms");
    outcome.add("resident for each lock", bytes, "bytes");
    let quiet = outcome.notice("quiet", &before, quiet);
    let growing = outcome.notice("while it grows", &after, (begin, end));
    outcome.goals.push(Goal::at_most(format!("{locks} locks: bytes of a held lock"), 64.0, bytes));
    outcome.goals.push(Goal::at_most(
        format!("growth to {locks} locks: others' worst − their worst before, ms"),
        1.0,
        (growing.worst_us - quiet.worst_us) / 1e3,
    ));
    outcome.picture(&after);
    Ok(outcome)
}
