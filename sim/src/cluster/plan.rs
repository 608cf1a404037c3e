//! What a seed decides of a run of a cluster: how many nodes there are, how fast their clocks go, and what goes wrong
//! when. What clients do is drawn by each of them, from the same seed.

use super::disk::Unsynced;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// Hosts of clients, and clients on each of them.
pub(super) const CLIENT_HOSTS: u8 = 2;
pub(super) const CLIENTS_OF_HOST: u8 = 3;
pub(super) const CLIENTS: u8 = CLIENT_HOSTS * CLIENTS_OF_HOST;
/// How long things go wrong, in milliseconds.
pub(super) const TROUBLE_MS: u32 = 25_000;

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Node(u16),
    /// Whoever leads at that time; else the first that runs.
    Leader,
    /// Somebody who does not lead.
    Follower,
    All,
}

impl Victim {
    /// Whether it is this node.
    pub(super) fn is(self, node: u16) -> bool {
        self == Self::Node(node) || self == Self::All
    }
}

/// Which messages between nodes are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// Those between two sides. Node `n` is on the side of bit `n`.
    Sides(u16),
    /// Those from one side to the other.
    OneWay(u16),
    /// All but those to and from this node.
    Bridge(u16),
    /// All of this target's.
    Alone(Victim),
    /// What this target sends.
    Mute(Victim),
    /// What is sent to this target.
    Deaf(Victim),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// It is killed: the system closes its connections.
    Killed,
    /// Its machine loses power: nobody is told.
    Power,
    /// Its disk fails after so many operations.
    Disk(u32),
    /// It shuts down in order.
    Shutdown,
}

/// Something that goes wrong for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeMishap {
    /// A process ends, and another starts on its disk when the time is over.
    Down(Victim, Death, Unsynced),
    /// Messages between nodes are lost.
    Cut(Split),
    /// Messages between two nodes wait, and come all at once when the time is over.
    Hold(u16, u16),
    /// Messages between two nodes take so many milliseconds.
    Slow(u16, u16, u32),
    /// A node writes a snapshot.
    Snapshot(Victim),
}

/// A mishap with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimedMishap {
    pub(super) from_ms: u32,
    pub(super) to_ms: u32,
    pub(super) mishap: NodeMishap,
}

impl fmt::Display for TimedMishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} to {:>6} ms: {:?}", self.from_ms, self.to_ms, self.mishap)
    }
}

/// What a seed decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClusterPlan {
    pub(super) seed: u64,
    /// How fast each node's clock of leases goes, in thousandths of what is right. Node 1 is the first.
    pub(super) rates: Vec<u32>,
    pub(super) mishaps: Vec<TimedMishap>,
}

impl ClusterPlan {
    /// Draws a run.
    pub(super) fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nodes: u16 = match rng.random_range(0..20) {
            0 => 1,
            1..=2 => 4,
            3..=7 => 5,
            _ => 3,
        };
        let rates = (0..nodes).map(|_| rng.random_range(980..=1020)).collect();
        // Some runs have one mishap at a time, with a pause behind it, so that what follows from it can be judged.
        let is_calm = rng.random_bool(0.4);
        let mut mishaps = Vec::new();
        let mut at = rng.random_range(500..3_000);
        while at < TROUBLE_MS {
            let mishap = Self::mishap(&mut rng, nodes);
            let to_ms = at + rng.random_range(50..if is_calm { 4_000 } else { 6_000 });
            mishaps.push(TimedMishap { from_ms: at, to_ms, mishap });
            at = if is_calm {
                to_ms + rng.random_range(3_000..8_000)
            } else {
                at + rng.random_range(20..3_500)
            };
        }
        Self { seed, rates, mishaps }
    }

    pub(super) fn nodes(&self) -> u16 {
        self.rates.len() as u16
    }

    fn mishap(rng: &mut ChaCha8Rng, nodes: u16) -> NodeMishap {
        let target = match rng.random_range(0..10) {
            0..4 => Victim::Leader,
            4..7 => Victim::Follower,
            _ => Victim::Node(rng.random_range(1..=nodes)),
        };
        let fate = [Unsynced::Kept, Unsynced::Dropped, Unsynced::Torn][rng.random_range(0..3)];
        let (one, other) = (rng.random_range(1..=nodes), rng.random_range(1..=nodes));
        // Only clusters have links.
        match rng.random_range(0..if nodes > 1 { 20 } else { 7 }) {
            0..3 => NodeMishap::Down(target, Death::Killed, fate),
            3 => NodeMishap::Down(target, Death::Power, fate),
            4 => NodeMishap::Down(target, Death::Disk(rng.random_range(0..60)), fate),
            5 => match rng.random_range(0..3) {
                0 => NodeMishap::Down(Victim::All, Death::Killed, fate),
                _ => NodeMishap::Down(target, Death::Shutdown, fate),
            },
            6..8 => NodeMishap::Snapshot(target),
            8..15 => NodeMishap::Cut(match rng.random_range(0..10) {
                0..3 => Split::Sides(rng.random_range(0..1 << nodes) << 1),
                3 => Split::OneWay(rng.random_range(0..1 << nodes) << 1),
                4 => Split::Bridge(one),
                5..8 => Split::Alone(target),
                8 => Split::Mute(target),
                _ => Split::Deaf(target),
            }),
            15..18 if one != other => NodeMishap::Hold(one, other),
            _ if one != other => NodeMishap::Slow(one, other, rng.random_range(20..700)),
            _ => NodeMishap::Snapshot(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Goal: every kind of mishap is drawn. Method: the kinds in a few hundred plans.
    #[test]
    fn everything_is_drawn() {
        let word = |mishap: &TimedMishap| {
            let told = format!("{:?}", mishap.mishap);
            told.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default().to_owned()
        };
        let kinds: BTreeSet<String> =
            (0..300).flat_map(|seed| ClusterPlan::draw(seed).mishaps).map(|mishap| word(&mishap)).collect();
        for kind in [
            "Cut(Sides(",
            "Cut(OneWay(",
            "Cut(Bridge(",
            "Cut(Alone(Leader",
            "Hold(",
            "Slow(",
            "Snapshot(Leader",
        ] {
            assert!(kinds.iter().any(|drawn| drawn.starts_with(kind)), "{kind} is not among {kinds:?}");
        }
        for death in ["Killed, Torn", "Power, Dropped", "Disk(", "Shutdown", "All, Killed"] {
            assert!(kinds.iter().any(|drawn| drawn.contains(death)), "{death} is not among {kinds:?}");
        }
    }
}
