//! `ls` of a million held locks, while others get and release.

use crate::Stage;
use crate::observer::Observer;
use crate::outcome::{Outcome, ms};
use crate::support::Failure;
use elockd_load::{Caller, Grip};
use std::time::Instant;

#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(crate) fn run(stage: &Stage) -> Result<Outcome, Failure> {
    let locks = stage.arguments.locks;
    let server = stage.daemon()?;
    let mut holder = Caller::connect(server.target)?;
    holder.hold(0..locks, Grip::Exclusive)?;
    let observer = Observer::start(stage, &server, None)?;
    let quiet = observer.quiet(stage)?;
    let begin = Instant::now();
    let lines = Caller::connect(server.target)?.list("bench.")?;
    let end = Instant::now();
    if lines < locks as u64 {
        return Err(format!("the listing has {lines} lines, and {locks} locks are held").into());
    }
    let latencies = observer.stop()?;
    let mut outcome = Outcome::new(format!("a listing of {locks} locks"));
    outcome.add("lines", lines as f64, "");
    outcome.add("it took", ms(begin, end), "ms");
    outcome.notice("quiet", &latencies, quiet);
    outcome.notice("while it is made and sent", &latencies, (begin, end));
    outcome.picture(&latencies);
    Ok(outcome)
}
