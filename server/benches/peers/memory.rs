//! Memory of a held lock and of an idle connection, by a server's resident memory before and after.

use crate::support::Failure;
use crate::support::cores::Cores;
use crate::support::kind::{Daemon, Kind};
use crate::support::machine::connections_allowed;
use crate::support::servers::Server;
use elockd_load::{Caller, Grip};

/// How many connections the locks are held by.
const HOLDERS: usize = 4;

/// Bytes that one lock takes.
pub(crate) struct Lock {
    pub(crate) kind: Kind,
    pub(crate) bytes: f64,
}

/// Bytes that one idle connection takes.
pub(crate) struct Connection {
    pub(crate) kind: Kind,
    /// Before its first request.
    pub(crate) silent_bytes: f64,
    /// After its first get and release.
    pub(crate) used_bytes: f64,
}

/// Holds `locks` locks, with names of 24 bytes, on each server.
pub(crate) fn of_locks(
    kinds: &[Kind],
    cores: &Cores,
    daemon: &Daemon,
    locks: usize,
) -> Result<Vec<Lock>, Failure> {
    let mut measured = Vec::new();
    let holds = |kind: Kind| kind != Kind::Ceiling && kind.locks_max() >= locks.div_ceil(HOLDERS);
    for kind in kinds.iter().copied().filter(|&kind| can_be_called(kind) && holds(kind)) {
        let Some(server) = Server::start(kind, cores, daemon)? else { continue };
        let mut callers = callers(&server, HOLDERS)?;
        callers[0].get_and_release(locks)?;
        let before = server.resident_bytes()?;
        for (nth, caller) in callers.iter_mut().enumerate() {
            caller.hold(nth * locks / HOLDERS..(nth + 1) * locks / HOLDERS, Grip::Exclusive)?;
        }
        measured.push(Lock { kind, bytes: per(server.resident_bytes()? - before, locks) });
    }
    Ok(measured)
}

/// Opens `connections` connections to each server.
pub(crate) fn of_connections(
    kinds: &[Kind],
    cores: &Cores,
    daemon: &Daemon,
    connections: usize,
) -> Result<Vec<Connection>, Failure> {
    let connections = connections_allowed(connections);
    let mut measured = Vec::new();
    for kind in kinds.iter().copied().filter(|&kind| can_be_called(kind)) {
        let Some(server) = Server::start(kind, cores, daemon)? else { continue };
        // The first connection makes a server load and allocate things once. Those must not count.
        let mut first = callers(&server, 1)?;
        first[0].get_and_release(0)?;
        let before = server.resident_bytes()?;
        let mut callers = callers(&server, connections)?;
        // Connections are accepted in order. So when the last is answered, all are accepted.
        callers.last_mut().ok_or("no connections")?.get_and_release(0)?;
        let silent_bytes = per(server.resident_bytes()? - before, connections);
        for (number, caller) in callers.iter_mut().enumerate() {
            caller.get_and_release(number)?;
        }
        let used_bytes = per(server.resident_bytes()? - before, connections);
        measured.push(Connection { kind, silent_bytes, used_bytes });
    }
    Ok(measured)
}

/// Whether a [`Caller`] speaks its protocol.
fn can_be_called(kind: Kind) -> bool {
    kind != Kind::Etcd
}

fn callers(server: &Server, count: usize) -> Result<Vec<Caller>, Failure> {
    Ok((0..count).map(|_| Caller::connect(server.target)).collect::<Result<_, _>>()?)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per(bytes: f64, count: usize) -> f64 {
    bytes / count as f64
}
