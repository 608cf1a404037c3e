//! Mass orphaning: thousands of connections, each with its locks, end at once. First the same is done with connections
//! that hold nothing, to separate the cost of locks from that of closing. Then with connections whose locks outlive
//! them, so that all sessions are due at once.

use crate::Stage;
use crate::observer::Observer;
use crate::outcome::{Outcome, ms};
use crate::support::Failure;
use crate::support::goal::Goal;
use crate::support::machine::connections_allowed;
use crate::support::servers::Server;
use elockd_load::{Caller, Grip};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time between two looks at the figures.
const LOOK: Duration = Duration::from_micros(500);
/// How long it may take until everything is free. After that the run fails.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long locks outlive their connections, where they do.
const GRACE: Duration = Duration::from_secs(2);
/// The shortest stretch: a shorter one has too few replies for percentiles.
const LEAST: Duration = Duration::from_millis(100);

/// The times of the events.
pub(crate) struct Storm {
    pub(crate) begin: Instant,
    pub(crate) last_close: Instant,
    pub(crate) free: Instant,
}

impl Storm {
    /// From the first close until everything is free and some time after.
    pub(crate) fn stretch(&self) -> (Instant, Instant) {
        (self.begin, self.free.max(self.begin + LEAST))
    }

    /// First close, last close, and all free.
    pub(crate) fn times(&self) -> [Instant; 3] {
        [self.begin, self.last_close, self.free]
    }
}

pub(crate) fn run(stage: &Stage) -> Result<Outcome, Failure> {
    let connections = connections_allowed(stage.arguments.storm_connections);
    let each = stage.arguments.storm_locks;
    let server = stage.daemon()?;
    let observer = Observer::start(stage, &server, None)?;
    let mut look = Caller::connect(server.target)?;
    let quiet = observer.quiet(stage)?;
    let empty_handed = gather(&server, connections, 0)?;
    observer.pass(Duration::from_millis(500))?;
    let without = close_all(empty_handed, 0, &mut look)?;
    observer.pass(Duration::from_millis(500))?;
    let holders = gather(&server, connections, each)?;
    observer.pass(Duration::from_millis(500))?;
    let with = close_all(holders, connections * each, &mut look)?;
    look.see_free(0..connections * each)?;
    let mut graceful = gather(&server, connections, each)?;
    for caller in &mut graceful {
        caller.linger(GRACE)?;
    }
    observer.pass(Duration::from_millis(500))?;
    let left = leave_all(graceful, &mut look)?;
    let due = left.begin + GRACE;
    let with_grace = free_all(&left, connections * each, &mut look)?;
    look.see_free(0..connections * each)?;
    let latencies = observer.stop()?;

    let mut outcome = Outcome::new(format!("{connections} connections end at once, with {each} locks each"));
    outcome.add("closing them took", ms(with.begin, with.last_close), "ms");
    outcome.add("from the last close until all is free", ms(with.last_close, with.free), "ms");
    let before = outcome.notice("quiet", &latencies, quiet);
    outcome.notice("while connections without locks end", &latencies, without.stretch());
    let meanwhile = outcome.notice("while those with locks end", &latencies, with.stretch());
    let left = (with_grace.begin, with_grace.last_close.max(with_grace.begin + LEAST));
    outcome.notice("while those end whose locks outlive them", &latencies, left);
    outcome.add("from the first that is due until all is free", ms(due, with_grace.free), "ms");
    outcome.notice("while their sessions are due", &latencies, (due, with_grace.free.max(due + LEAST)));
    let free_ms = ms(with.last_close, with.free);
    outcome.goals.push(Goal::at_most("mass orphaning: ms until all is free", 50.0, free_ms));
    let ratio = meanwhile.p99_us / before.p99_us;
    outcome.goals.push(Goal::at_most("mass orphaning: others' p99 ÷ their p99 before", 2.0, ratio));
    outcome.closing(format!("{connections} connections without locks"), &latencies, without.times());
    outcome.closing(format!("{connections} connections with {each} locks each"), &latencies, with.times());
    outcome.picture(&latencies);
    Ok(outcome)
}

/// Opens `connections` connections with `each` locks each.
pub(crate) fn gather(server: &Server, connections: usize, each: usize) -> Result<Vec<Caller>, Failure> {
    let mut callers = Vec::with_capacity(connections);
    for nth in 0..connections {
        let mut caller = Caller::connect(server.target)?;
        caller.hold(nth * each..(nth + 1) * each, Grip::Exclusive)?;
        callers.push(caller);
    }
    Ok(callers)
}

/// Closes all `callers`. Waits until the figures have exactly `locks` more orphaned locks, and the connections are
/// gone.
pub(crate) fn close_all(callers: Vec<Caller>, locks: usize, look: &mut Caller) -> Result<Storm, Failure> {
    let before = look.figures()?;
    let gone = callers.len() as u64;
    let begin = Instant::now();
    drop(callers);
    let last_close = Instant::now();
    let orphaned = |now: &Figures| {
        let orphans = orphans(now) - orphans(&before);
        if orphans > locks as u64 {
            return Err(format!("{orphans} locks were orphaned, of {locks} that were held").into());
        }
        Ok(orphans == locks as u64 && ended(now) - ended(&before) == gone)
    };
    Ok(Storm { begin, last_close, free: wait_for(look, orphaned)? })
}

/// Closes all `callers`, whose locks outlive them. Waits until each has left a session.
fn leave_all(callers: Vec<Caller>, look: &mut Caller) -> Result<Left, Failure> {
    let before = look.figures()?;
    let gone = callers.len() as u64;
    let begin = Instant::now();
    drop(callers);
    let last_close = Instant::now();
    wait_for(look, |now| match orphans(now) - orphans(&before) {
        0 => Ok(now["lingering"] == gone),
        orphans => Err(format!("{orphans} locks were orphaned that should outlive their connections").into()),
    })?;
    Ok(Left { begin, last_close, orphans: orphans(&before) })
}

/// Waits until every session is due, and its locks are orphans.
fn free_all(left: &Left, locks: usize, look: &mut Caller) -> Result<Storm, Failure> {
    let Left { begin, last_close, orphans: before } = *left;
    let free = wait_for(look, |now| Ok(orphans(now) - before == locks as u64 && now["lingering"] == 0))?;
    Ok(Storm { begin, last_close, free })
}

/// When connections were closed that left sessions, and how many orphans there were before.
struct Left {
    begin: Instant,
    last_close: Instant,
    orphans: u64,
}

type Figures = BTreeMap<String, u64>;

fn orphans(figures: &Figures) -> u64 {
    figures["orphans"] + figures["shared_orphans"]
}

/// Connections that have ended.
fn ended(figures: &Figures) -> u64 {
    figures["closed_eof"] + figures["closed_error"]
}

/// Looks at the figures until they are so. Returns when.
fn wait_for(
    look: &mut Caller,
    is_so: impl Fn(&Figures) -> Result<bool, Failure>,
) -> Result<Instant, Failure> {
    let begin = Instant::now();
    loop {
        let now = look.figures()?;
        let seen = Instant::now();
        if is_so(&now)? {
            return Ok(seen);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("not all is free after {PATIENCE:?}: {now:?}").into());
        }
        sleep(LOOK);
    }
}
