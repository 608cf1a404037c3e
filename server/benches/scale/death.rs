//! One connection with a million locks ends: locks that it holds alone, and locks that it shares with another.

use crate::Stage;
use crate::observer::Observer;
use crate::outcome::{Outcome, ms};
use crate::storm::close_all;
use crate::support::Failure;
use crate::support::goal::Goal;
use elockd_load::{Caller, Grip};
use std::time::{Duration, Instant};

/// How long the others are watched after the end: far longer than it takes to free the memory.
const AFTERMATH: Duration = Duration::from_secs(2);

pub(crate) fn of_sole(stage: &Stage) -> Result<Outcome, Failure> {
    let locks = stage.arguments.locks;
    let server = stage.daemon()?;
    let mut holder = Caller::connect(server.target)?;
    holder.hold(0..locks, Grip::Exclusive)?;
    let mut look = Caller::connect(server.target)?;
    let (mut outcome, above_ms) = watch_end(stage, &server, holder, &mut look, "alone")?;
    look.see_free(0..locks)?;
    outcome.goals.push(Goal::at_most(
        format!("{locks} sole locks orphaned: others' worst − their worst before, ms"),
        10.0,
        above_ms,
    ));
    Ok(outcome)
}

pub(crate) fn of_tied(stage: &Stage) -> Result<Outcome, Failure> {
    let locks = stage.arguments.locks;
    let server = stage.daemon()?;
    let mut holder = Caller::connect(server.target)?;
    holder.hold(0..locks, Grip::Shared(1))?;
    let mut other = Caller::connect(server.target)?;
    other.hold(0..locks, Grip::Shared(2))?;
    let mut look = Caller::connect(server.target)?;
    let (outcome, _) = watch_end(stage, &server, holder, &mut look, "together with another")?;
    // Now the other connection is the only holder of each lock.
    other.hold(0..locks, Grip::Shared(1))?;
    Ok(outcome)
}

fn watch_end(
    stage: &Stage,
    server: &crate::support::servers::Server,
    holder: Caller,
    look: &mut Caller,
    how: &str,
) -> Result<(Outcome, f64), Failure> {
    let locks = stage.arguments.locks;
    let observer = Observer::start(stage, server, None)?;
    let quiet = observer.quiet(stage)?;
    let storm = close_all(vec![holder], locks, look)?;
    observer.pass(AFTERMATH)?;
    let meanwhile = (storm.begin, Instant::now());
    let latencies = observer.stop()?;
    let mut outcome = Outcome::new(format!("one connection ends that holds {locks} locks {how}"));
    outcome.add("from its close until all is free", ms(storm.last_close, storm.free), "ms");
    let before = outcome.notice("quiet", &latencies, quiet);
    let after = outcome.notice("from its end on", &latencies, meanwhile);
    outcome.picture(&latencies);
    Ok((outcome, (after.worst_us - before.worst_us) / 1e3))
}
