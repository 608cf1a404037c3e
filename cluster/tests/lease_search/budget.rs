//! How far a search goes: how often things may happen, and how closely it looks.

/// How often the adversary may do what makes the search large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Budget {
    pub(crate) steps: u8,
    pub(crate) appends: u8,
    pub(crate) beats: u8,
    pub(crate) elections: u8,
    pub(crate) crashes: u8,
    pub(crate) pauses: u8,
    pub(crate) ups: u8,
    /// Messages that come twice.
    pub(crate) doubles: u8,
}

/// When voters tell a leader their last words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Words {
    /// As soon as they can, and in no time.
    AtOnce,
    /// At any time or never, but in no time. No more than a quorum tell theirs.
    #[default]
    AtAnyTime,
    /// All of them, at any time or never, and they travel for any time.
    Travelling,
}

/// How closely a world is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Detail {
    pub(crate) words: Words,
    /// A leader may send heartbeats without its log.
    pub(crate) heartbeats: bool,
    /// A candidate, its voters and its office are apart in time.
    pub(crate) elections: bool,
    /// Only what may come of a lease that is renewed is looked at, and of messages that somebody waits for.
    pub(crate) lean: bool,
}
