//! As many connections as a process may have, with a million locks among them.

use crate::Stage;
use crate::observer::Observer;
use crate::outcome::{Outcome, ms};
use crate::storm::{close_all, gather};
use crate::support::Failure;
use crate::support::goal::Goal;
use crate::support::machine::connections_allowed;
use elockd_load::Caller;
use std::time::{Duration, Instant};

pub(crate) fn run(stage: &Stage) -> Result<Outcome, Failure> {
    let connections = connections_allowed(stage.arguments.connections);
    // Rounded up, so that there are at least as many locks as asked for.
    let each = stage.arguments.locks.div_ceil(connections);
    let locks = connections * each;
    let server = stage.daemon()?;
    let mut look = Caller::connect(server.target)?;
    let resident = server.resident_bytes()?;
    let begin = Instant::now();
    let callers = gather(&server, connections, each)?;
    let gathered = Instant::now();
    let figures = look.figures()?;
    if (figures["holds"], figures["connections"]) != (locks as u64, connections as u64 + 1) {
        return Err(format!("{} holds of {} connections", figures["holds"], figures["connections"]).into());
    }
    let resident = server.resident_bytes()? - resident;
    let observer = Observer::start(stage, &server, None)?;
    let quiet = observer.quiet(stage)?;
    let storm = close_all(callers, locks, &mut look)?;
    // What closing alone costs.
    let empty_handed = gather(&server, connections, 0)?;
    observer.pass(Duration::from_millis(500))?;
    let without = close_all(empty_handed, 0, &mut look)?;
    look.see_free(0..locks)?;
    let latencies = observer.stop()?;

    let mut outcome = Outcome::new(format!("{connections} connections with {locks} locks, and then none"));
    outcome.add("connecting and getting took", ms(begin, gathered), "ms");
    outcome.add("resident for all of them", resident / 1e6, "MB");
    outcome.add("closing them took", ms(storm.begin, storm.last_close), "ms");
    let free_ms = ms(storm.last_close, storm.free);
    outcome.add("from the last close until all is free", free_ms, "ms");
    let before = outcome.notice("with all of them there", &latencies, quiet);
    outcome.add("the same of as many without locks", ms(without.last_close, without.free), "ms");
    outcome.notice("while as many without locks end", &latencies, without.stretch());
    let meanwhile = outcome.notice("while they end", &latencies, storm.stretch());
    let what = format!("{connections} connections with {locks} locks end");
    outcome.goals.push(Goal::at_most(format!("{what}: ms until all is free"), 50.0, free_ms));
    let ratio = meanwhile.p99_us / before.p99_us;
    outcome.goals.push(Goal::at_most(format!("{what}: others' p99 ÷ their p99 before"), 2.0, ratio));
    outcome.closing(format!("{connections} connections without locks"), &latencies, without.times());
    outcome.closing(format!("{connections} connections with {each} locks each"), &latencies, storm.times());
    outcome.picture(&latencies);
    Ok(outcome)
}
