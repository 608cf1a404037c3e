//! Resuming: the connection was lost, and its holds have a grace. They are asked for on new connections until the grace
//! is over. One daemon is asked where the locks were got. In a cluster every node can give them back.

use crate::error::Error;
use crate::hold::Hold;
use crate::keeper::Keeper;
use crate::link::{Grace, Link, Resume, proof};
use crate::lost::Lost;
use crate::server::Server;
use crate::transport::Transport;
use elockd_core::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

impl<T: Transport> Keeper<T> {
    /// Asks for the holds on new connections, until the grace is over. The connection that is lost led to `server`.
    pub(crate) async fn resume(
        &mut self,
        server: &Server,
        grace: &Grace,
        holds: &[Arc<Hold>],
    ) -> Result<Link<T>, Lost> {
        let settings = &self.shared.settings;
        let mut backoff = self.shared.backoff();
        let nodes = if settings.is_cluster { &settings.servers[..] } else { std::slice::from_ref(server) };
        // The node of the lost connection is the last one to be tried.
        let mut at = nodes.iter().position(|node| node == server).unwrap_or_default();
        loop {
            let Some(end) = holds.iter().filter_map(|hold| hold.expiry()).min() else {
                return Err(Lost::NotResumed);
            };
            at = (at + 1) % nodes.len();
            let try_once = async {
                let mut link = self.shared.dial(&nodes[at]).await?;
                if link.resume(grace).await? == Resume::Gone {
                    return Ok(None);
                }
                let sent = Instant::now();
                for hold in holds {
                    link.connection.send(&Command::Fence(hold.kind, &hold.name[..]));
                }
                let mut proofs = Vec::new();
                for hold in holds {
                    let answer = link.receive(Duration::ZERO).await?;
                    proofs.push(proof(&answer, hold.kind, &hold.name, sent));
                }
                Ok::<_, Error>(Some((link, proofs)))
            };
            // One attempt that hangs must not take all of the grace.
            let limit = end.min(Instant::now() + self.longest_attempt(end));
            match timeout_at(limit, try_once).await {
                Ok(Ok(Some((link, proofs)))) => {
                    let good_for = self.shared.good_for(&link);
                    for (hold, proof) in holds.iter().zip(proofs) {
                        match proof {
                            Ok(proof) => hold.end_resuming(proof, good_for),
                            Err(error) => {
                                hold.lose(Lost::by(&error));
                            }
                        }
                    }
                    return Ok(link);
                }
                Ok(Ok(None)) => return Err(Lost::NotResumed),
                Ok(Err(_)) => {
                    let pause = backoff.pause(self.shared.random());
                    sleep_until((Instant::now() + pause).min(end)).await;
                }
                Err(_) => {}
            }
            if Instant::now() >= end {
                return Err(Lost::NotResumed);
            }
        }
    }
    /// How long one attempt may take if the holds are over at this time.
    fn longest_attempt(&self, end: Instant) -> Duration {
        let times = &self.shared.settings.times;
        if !self.shared.settings.is_cluster {
            return 2 * times.heartbeat;
        }
        // A change of leader is waited for, but there are other nodes.
        let half = end.saturating_duration_since(Instant::now()) / 2;
        times.answer_timeout.min(half).max(times.heartbeat)
    }
}
