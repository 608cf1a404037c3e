//! A client ends that holds many locks, and another one waits at another node for one of them. A client of etcd ends by
//! revoking its lease: that is the quickest end it has. A client that dies without a word is what the deaths of nodes
//! are like.

use crate::arguments::Arguments;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::figures::Turn;
use crate::support::Failure;
use crate::watching::Others;
use std::thread::spawn;
use std::time::{Duration, Instant};

/// A lease that outlives the part.
const LEASE: Duration = Duration::from_mins(2);
/// How long others wait before they ask etcd again. All are answered here, some late: asking again makes it later.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the others are watched from the end on.
const AFTERMATH: Duration = Duration::from_secs(2);

/// The names of the figures for a number of locks.
pub(crate) fn grant(locks: usize) -> String {
    format!("{locks} locks of one client: from its end to a grant at another node, ms")
}

pub(crate) fn before(locks: usize) -> String {
    format!("{locks} locks of one client: others' p99 before its end, ms")
}

pub(crate) fn after(locks: usize) -> String {
    format!("{locks} locks of one client: others' p99 in the 2 s from its end on, ms")
}

pub(crate) fn run(cluster: &Cluster, arguments: &Arguments) -> Result<Turn, Failure> {
    let locks = arguments.locks;
    let nodes = cluster.followers_first()?;
    let mut holder = Client::connect(cluster, nodes[0], LEASE)?;
    holder.hold(0..locks)?;
    let mut waiter = Client::connect(cluster, nodes[1 % nodes.len()], LEASE)?;
    let waiting = spawn(move || waiter.wait_for(locks - 1).map(|()| Instant::now()));
    let others = Others::start(cluster, cluster.addresses(), &mut holder, PATIENCE, arguments)?;
    let end = Instant::now();
    holder.end()?;
    others.watch_until(end + AFTERMATH);
    let granted = waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    if granted < end {
        return Err("the lock was granted while another held it".into());
    }
    let watched = others.stop()?;
    Ok(vec![
        (grant(locks), (granted - end).as_secs_f64() * 1e3),
        (before(locks), watched.p99_before_ms()),
        (after(locks), watched.p99_ms(end, end + AFTERMATH)),
        (
            format!("{locks} locks of one client: others' longest wait from its end on, ms"),
            watched.worst_ms(end, end + AFTERMATH),
        ),
    ])
}
