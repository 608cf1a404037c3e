//! What the limit of memory counts: so many bytes for each thing that clients make the daemon keep. The sum is a
//! function of what there is, not of where it is stored, and at least what storage takes. An account's own sum differs:
//! each of its holds and waits counts with the whole name. The page on operations has the same tables.

use super::name::Name;

/// A connection: what it takes here, and the server's part.
pub(crate) const CONNECTION: u64 = 1024;

/// A registered name, beside its bytes.
pub(super) const REGISTRATION: u64 = 64;

/// What a connection left, beside its holds and its registered name. A connection counts more, so no end takes memory.
pub(crate) const GRACE: u64 = 256;

/// A name that is held. There is room for what it takes once it is tied, so that no other command than a get takes
/// memory.
pub(super) const NAME: u64 = 104;

/// A hold: the record that it has once its lock is tied, with its share of an index.
pub(super) const HOLD: u64 = 56;

/// A wait, and the hold that it may become.
pub(crate) const WAIT: u64 = 64 + HOLD;

/// A hold, for its account: with the name, whoever else holds it.
pub(crate) const OWN_HOLD: u64 = HOLD + NAME;

/// A wait, for its account: with the name, which the hold that it may become counts too.
pub(crate) const OWN_WAIT: u64 = WAIT + NAME;

/// How many of a name's `bytes` are stored outside its lock's slot, with what it takes there.
#[inline]
pub(crate) const fn outer_bytes(bytes: usize) -> u64 {
    if bytes > Name::SHORT { (bytes + 16) as u64 } else { 0 }
}

/// What a get of this lock adds, if the lock has so many holders.
#[inline]
pub(crate) const fn of_get(name: &[u8], holders: u32) -> u64 {
    if holders > 0 { HOLD } else { HOLD + NAME + outer_bytes(name.len()) }
}

/// What a registration under a name of so many bytes adds. An empty name is none.
pub(crate) const fn of_registration(bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { REGISTRATION + bytes as u64 }
}
