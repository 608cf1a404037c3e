//! What happens to a run from outside: the daemon, the hosts, their links, and operators. A seed decides all of it.

use super::cables::Cut;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Hosts of clients.
pub(super) const HOSTS: u8 = 3;
/// Tasks on each of them.
pub(super) const WORKERS: u8 = 3;
/// Milliseconds until trouble ends.
pub(super) const TROUBLE_MS: u32 = 60_000;
/// How many may share the shared lock, and how many slots there are.
pub(super) const LIMIT: u32 = 2;
/// The exclusive locks, and the lock of readers and writers.
pub(super) const LOCKS: [&str; 2] = ["x0", "x1"];
pub(super) const INDEX: &str = "index";
/// The lock of whoever leads.
pub(super) const LEADER: &str = "leader";
/// How many permissions there are in any time of this length, in milliseconds.
pub(super) const RATE: u32 = 3;
pub(super) const RATE_MS: u32 = 2_000;
/// Each life of the daemon gives out tokens of its own million, so that a token says whose it is.
pub(super) const TOKENS_OF_A_LIFE: u64 = 1_000_000;

/// What goes wrong, or well again.
#[derive(Clone, Debug)]
pub(super) enum Mishap {
    Cut(u8, Cut),
    Mend(u8),
    Hold(u8),
    LetGo(u8),
    Slow(u8, u32),
    Hasten(u8),
    Crash(u8),
    Restart(u8),
    /// Every connection of a host ends at once, at both ends. New ones can be made.
    Break(u8),
    Kill,
    /// The daemon shuts down in order.
    ShutDown,
    Start,
    /// An operator steals this lock.
    Steal(&'static str),
    /// An operator kicks one of the guards.
    Kick(usize),
}

/// What happens to a run, one line for each mishap.
#[must_use]
pub fn told(seed: u64) -> Vec<String> {
    draw(seed).into_iter().map(|(at_ms, mishap)| format!("{at_ms} ms: {mishap:?}")).collect()
}

/// Draws the mishaps of a run, sorted by time.
pub(super) fn draw(seed: u64) -> Vec<(u32, Mishap)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mishaps = Vec::new();
    // Some runs are quiet, so that what depends on a good link can be judged.
    let longest_pause = if rng.random_bool(0.3) { 30_000 } else { 9_000 };
    for host in 0..HOSTS {
        let mut at = rng.random_range(1_000..longest_pause);
        while at < TROUBLE_MS {
            let mut end = at + rng.random_range(100..14_000);
            match rng.random_range(0..10) {
                0..2 => mishaps.extend([(at, Mishap::Hold(host)), (end, Mishap::LetGo(host))]),
                2..4 => {
                    // What was late comes, and nothing after it.
                    end = at + rng.random_range(500..9_000);
                    mishaps.extend([(at, Mishap::Hold(host)), (end, Mishap::LetGo(host))]);
                    let cut = end + rng.random_range(5..300);
                    end = cut + rng.random_range(5_000..25_000);
                    mishaps.extend([(cut, Mishap::Cut(host, Cut::Off)), (end, Mishap::Mend(host))]);
                }
                4..7 => {
                    end = at + rng.random_range(1_000..25_000);
                    let cut = [Cut::Off, Cut::Mute, Cut::Unheard][rng.random_range(0..3)];
                    mishaps.extend([(at, Mishap::Cut(host, cut)), (end, Mishap::Mend(host))]);
                }
                7..9 => {
                    // A slow link has answers to old questions on it. They still come if only questions are lost then.
                    let late = rng.random_range(200..3_500);
                    mishaps.extend([(at, Mishap::Slow(host, late)), (end, Mishap::Hasten(host))]);
                    if rng.random_bool(0.5) {
                        let (cut, how) = (end, if rng.random_bool(0.8) { Cut::Mute } else { Cut::Off });
                        end += rng.random_range(9_000..25_000);
                        mishaps.extend([(cut, Mishap::Cut(host, how)), (end, Mishap::Mend(host))]);
                    }
                }
                _ => mishaps.extend([(at, Mishap::Crash(host)), (end, Mishap::Restart(host))]),
            }
            at = end + rng.random_range(500..longest_pause);
        }
    }
    for _ in 0..rng.random_range(0..3) {
        let at = rng.random_range(2_000..TROUBLE_MS);
        mishaps.extend([(at, Mishap::Kill), (at + rng.random_range(10..12_000), Mishap::Start)]);
    }
    for _ in 0..rng.random_range(0..8) {
        let at = rng.random_range(2_000..TROUBLE_MS);
        let what = [LOCKS[0], LOCKS[1], INDEX, "slot#0", LEADER][rng.random_range(0..5)];
        let taking =
            if rng.random_bool(0.6) { Mishap::Steal(what) } else { Mishap::Kick(rng.random_range(0..1000)) };
        mishaps.push((at, taking));
    }
    for host in 0..HOSTS {
        for _ in 0..rng.random_range(0..12) {
            mishaps.push((rng.random_range(1_000..TROUBLE_MS), Mishap::Break(host)));
        }
    }
    if rng.random_bool(0.3) {
        let at = rng.random_range(2_000..TROUBLE_MS);
        mishaps.extend([(at, Mishap::ShutDown), (at + rng.random_range(10..12_000), Mishap::Start)]);
    }
    mishaps.sort_by_key(|(at, _)| *at);
    mishaps
}
