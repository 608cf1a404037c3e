//! A node is killed. Its clients are gone with it, as they are if they run on its machine: so their locks have to come
//! free. The clients of other nodes go on.

use crate::arguments::Arguments;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::figures::Turn;
use crate::support::Failure;
use crate::watching::Others;
use std::thread::spawn;
use std::time::{Duration, Instant};

/// How long survivors are watched after the death, and after the grant.
const AFTERMATH: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(500);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Follower,
    Leader,
}

impl Victim {
    const fn name(self) -> &'static str {
        match self {
            Self::Follower => "killed follower",
            Self::Leader => "killed leader",
        }
    }
}

/// The names of the figures.
pub(crate) fn free(victim: Victim) -> String {
    format!("{}: until its client's lock is granted elsewhere, ms", victim.name())
}

pub(crate) fn reply(victim: Victim) -> String {
    format!("{}: survivors' longest wait for a reply, ms", victim.name())
}

pub(crate) fn run(
    mut cluster: Cluster,
    victim: Victim,
    round: u32,
    arguments: &Arguments,
) -> Result<Turn, Failure> {
    let leader = cluster.leader()?;
    let count = cluster.nodes.len();
    let killed = match victim {
        Victim::Leader => leader,
        // Each of the others in turn.
        Victim::Follower => (leader + 1 + round as usize % (count - 1)) % count,
    };
    let survivors: Vec<_> = (0..count).filter(|&nth| nth != killed).collect();
    let mut holder = Client::connect(&cluster, killed, arguments.etcd_lease())?;
    holder.hold(0..1)?;
    let mut waiter = Client::connect(&cluster, survivors[0], Duration::from_mins(1))?;
    let waiting = spawn(move || waiter.wait_for(0).map(|()| Instant::now()));
    let addresses = survivors.iter().map(|&nth| cluster.nodes[nth].places.clients).collect();
    let others = Others::start(&cluster, addresses, &mut holder, arguments.etcd_patience(), arguments)?;
    let death = Instant::now();
    cluster.kill(killed)?;
    others.watch_until(death + AFTERMATH);
    let granted = waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    if granted < death {
        return Err("the lock was granted while another held it".into());
    }
    others.watch_until(granted + REST);
    let watched = others.stop()?;
    #[allow(clippy::cast_precision_loss, reason = "few are asked again")]
    let asked_again = watched.asked_again() as f64;
    Ok(vec![
        (free(victim), (granted - death).as_secs_f64() * 1e3),
        (reply(victim), watched.worst_ms(death, Instant::now())),
        (format!("{}: survivors' longest wait before, ms", victim.name()), watched.worst_before_ms()),
        (format!("{}: requests that survivors had to send again", victim.name()), asked_again),
    ])
}
