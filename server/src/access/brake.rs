//! The brake on failed logins: the answer to each comes later than the one before. It grows for a connection, and for
//! an address, so that new connections do not begin anew. A login that succeeds is never slowed down, from whatever
//! address. So nobody suffers from what others try.
//!
//! The brake is not what keeps tokens from being guessed: they are too long for that. It bounds the load and the log
//! lines of clients that have a wrong token and try for ever.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the answer to a first failure takes.
const FIRST: Duration = Duration::from_millis(250);
/// Each failure doubles that, so many times.
const DOUBLINGS: u32 = 4;
/// An address without a failure for so long begins anew.
const FORGOTTEN: Duration = Duration::from_mins(1);
/// Addresses that are remembered. An address has one place. If two have the same, the later one has it.
const ADDRESSES: usize = 1024;

/// Time after which a line of the log may tell of failures again.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Lines about failures before they are counted instead.
const LINES: u32 = 10;

/// What is remembered of failures. It takes the same memory whatever happens.
pub(crate) struct Brake(Mutex<LoginFailures>);

struct LoginFailures {
    addresses: Box<[Option<Remembered>]>,
    /// When the lines that were written began to count.
    lines_since: Option<Instant>,
    /// Lines since then.
    lines: u32,
    /// Failures since then that had no line.
    untold: u64,
}

#[derive(Clone, Copy)]
struct Remembered {
    network: u128,
    failures: u32,
    last: Instant,
}

/// What comes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Penalty {
    /// How long its answer takes.
    pub(crate) delay: Duration,
    /// Whether it has a line in the log, and how many before it had none.
    pub(crate) line: Option<u64>,
}

impl Brake {
    pub(crate) fn new() -> Self {
        let addresses = vec![None; ADDRESSES].into();
        Self(Mutex::new(LoginFailures { addresses, lines_since: None, lines: 0, untold: 0 }))
    }

    /// Notes a failure. `own` counts those of the connection before it. A peer without an address is judged by that
    /// alone.
    pub(crate) fn failed(&self, peer: Option<SocketAddr>, own: u32) -> Penalty {
        let now = Instant::now();
        // A panic leaves counts behind that are at worst too high.
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = peer.map_or(0, |peer| failures.note(network_of(peer.ip()), now)).max(own);
        Penalty { delay: FIRST * (1 << before.min(DOUBLINGS)), line: failures.line(now) }
    }
}

impl LoginFailures {
    /// Notes a failure of an address. Returns how many it had before.
    fn note(&mut self, network: u128, now: Instant) -> u32 {
        let place = &mut self.addresses[place_of(network)];
        let is_it = |known: &Remembered| known.network == network && now - known.last < FORGOTTEN;
        let before = place.filter(is_it).map_or(0, |known| known.failures);
        *place = Some(Remembered { network, failures: before.saturating_add(1), last: now });
        before
    }

    fn line(&mut self, now: Instant) -> Option<u64> {
        if self.lines_since.is_none_or(|since| now - since >= BETWEEN_LINES) {
            self.lines_since = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES {
            self.untold += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// What counts as one address: all of an IPv4 address, and half of an IPv6 address, which is the part that a network
/// gives to a customer.
fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX) | 1 << 63,
    }
}

fn place_of(network: u128) -> usize {
    // Fibonacci hashing: the highest bits of a product with an odd number depend on all bits.
    let folded = (network >> 64) as u64 ^ network as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    fn delays(brake: &Brake, address: &str, count: usize) -> Vec<u128> {
        (0..count).map(|_| brake.failed(Some(peer(address)), 0).delay.as_millis()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_of_an_address_takes_longer_until_it_is_forgotten() {
        let brake = Brake::new();
        assert_eq!(delays(&brake, "192.0.2.1", 7), [250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(delays(&brake, "192.0.2.2", 1), [250], "another address");
        advance(Duration::from_millis(59_999)).await;
        assert_eq!(delays(&brake, "192.0.2.1", 1), [4000]);
        advance(FORGOTTEN).await;
        assert_eq!(delays(&brake, "192.0.2.1", 2), [250, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address() {
        let brake = Brake::new();
        assert_eq!(delays(&brake, "2001:db8::1", 1), [250]);
        assert_eq!(delays(&brake, "2001:db8:0:0:ffff::2", 1), [500]);
        assert_eq!(delays(&brake, "2001:db8:0:1::1", 1), [250]);
        assert_eq!(delays(&brake, "192.0.2.1", 1), [250]);
        assert_eq!(delays(&brake, "::ffff:192.0.2.1", 1), [500], "the same as an IPv4 address");
        assert_eq!(delays(&brake, "::192.0.2.1", 1), [250], "it is not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_an_address_is_slowed_down_by_its_own_failures() {
        let brake = Brake::new();
        for (own, ms) in [(0, 250), (1, 500), (4, 4000), (5, 4000), (u32::MAX, 4000)] {
            assert_eq!(brake.failed(None, own).delay.as_millis(), ms, "{own}");
        }
        assert_eq!(brake.failed(Some(peer("192.0.2.1")), 3).delay.as_millis(), 2000, "the greater counts");
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_gets_few_lines_and_then_counts() {
        let brake = Brake::new();
        let lines = |count: usize| -> Vec<_> { (0..count).map(|_| brake.failed(None, 0).line).collect() };
        assert_eq!(lines(12), [&[Some(0); 10][..], &[None; 2]].concat());
        advance(BETWEEN_LINES).await;
        assert_eq!(lines(2), [Some(2), Some(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_the_same_memory_for_any_number_of_addresses() {
        let brake = Brake::new();
        for number in 0..100_000_u32 {
            let address = SocketAddr::new(IpAddr::V4(number.into()), 1);
            brake.failed(Some(address), 0);
        }
        let failures = brake.0.lock().unwrap();
        let used = failures.addresses.iter().flatten().count();
        assert!(failures.addresses.len() == ADDRESSES && used > ADDRESSES / 2, "{used} places are used");
    }
}
