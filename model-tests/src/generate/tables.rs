//! Random tables of accounts. Quotas are so small that a few inputs reach them.

use super::rng::Rng;
use elockd_core::{Account, Accounts, Profile, Quotas};

/// Accounts that may be in a table: 0 up to this number, without it. There is no account of this number.
pub(super) const ACCOUNTS: u16 = 3;

/// A table in which one of the accounts may be missing.
pub(super) fn table(rng: &mut Rng) -> Accounts {
    let missing = if rng.below(4) == 0 { rng.below(ACCOUNTS.into()) as u16 } else { ACCOUNTS };
    let numbers = (0..ACCOUNTS).filter(|number| *number != missing);
    Accounts::new(numbers.map(|number| (Account(number), profile(rng, number))).collect::<Vec<_>>())
}

fn profile(rng: &mut Rng, number: u16) -> Profile {
    let mut some = |most| (rng.below(3) == 0).then(|| rng.below(most));
    let quotas = Quotas {
        connections: some(4).map(|more| 1 + more as u32),
        locks: some(5).map(|locks| locks as u32),
        // A few connections, and beside them a few names, holds and waits.
        memory_bytes: some(60).map(|more| 1024 * (1 + more / 20) + 40 * (more % 20)),
        waiters: some(3).map(|waiters| waiters as u32),
    };
    Profile {
        name: format!("account {number}"),
        quotas,
        is_operator: rng.below(6) == 0,
        names: (rng.below(2) == 0).then(|| starts(rng)),
        all_figures: rng.below(3) > 0,
    }
}

/// How some names begin.
fn starts(rng: &mut Rng) -> Vec<Vec<u8>> {
    const STARTS: [&[u8]; 6] = [b"a", b"b", b"c", b"two ", b"\xff", b"30-bytes-are-too-many-for-slot"];
    let starts = STARTS.into_iter().filter(|_| rng.below(3) == 0);
    starts.map(<[u8]>::to_vec).collect()
}
