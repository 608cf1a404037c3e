//! The verbs: the first word of each request, one row each. This table decides `help`, statistics, what ends a batch
//! and what needs an operator. The words behind a verb are read in `request.rs`.

use crate::types::Kind;

/// A verb's row in the table.
struct VerbRow {
    word: &'static str,
    help: &'static str,
    flags: Flags,
}

/// Properties of verbs, one bit each.
type Flags = u8;

/// The reply has a variable number of lines. An empty line ends it, even if it is a failure.
const FRAMED: Flags = 1;
/// No later command of the same connection may run before this reply is complete.
const LAST: Flags = 2;
/// The reply may come later, at the end of a wait.
const WAITS: Flags = 4;
/// Only on an administrative listener.
const OPERATOR: Flags = 8;
/// Every lockd has this verb. Statistics show it before its first use.
const OLD: Flags = 16;
/// `--dump=false` switches it off.
const DUMPS: Flags = 32;
/// `--registry=false` switches it off.
const NAMES: Flags = 64;

macro_rules! verbs {
    ($($verb:ident $word:literal ($($flag:ident)*) $help:literal)+) => {
        /// The first word of a request, as statistics and `help` name it. Sorted by word.
        #[allow(rustdoc::broken_intra_doc_links, reason = "brackets in help are optional words, not links")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Verb {
            $(#[doc = $help] $verb,)+
        }

        impl Verb {
            /// Every verb, by word.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$verb),+];

            const ROWS: [VerbRow; Self::COUNT] =
                [$(VerbRow { word: $word, help: $help, flags: 0 $(| $flag)* }),+];

            /// The verb that is this word.
            pub(super) const fn of(word: &[u8]) -> Option<Self> {
                #[allow(non_upper_case_globals, reason = "each is called as its verb is")]
                mod words {
                    $(pub(super) const $verb: &[u8] = $word.as_bytes();)+
                }
                match word {
                    $(words::$verb => Some(Self::$verb),)+
                    _ => None,
                }
            }
        }
    };
}

verbs! {
    List             "d"     (OLD FRAMED LAST DUMPS)  "d [NAME]: list exclusive locks and their holders"
    Dump             "dump"  (OLD LAST DUMPS)         "dump [shared]: list locks and their holders' addresses on one line"
    Fence            "f"     ()                 "f NAME: show the fencing token of an exclusive lock that is held here"
    Get              "g"     (OLD)              "g NAME: get an exclusive lock"
    GetWait          "gw"    (LAST WAITS)       "gw MS NAME: get an exclusive lock, waiting up to MS milliseconds"
    Help             "help"  (FRAMED)           "help: list the commands"
    Inspect          "i"     (OLD)              "i NAME: ask whether an exclusive lock is held"
    Iam              "iam"   (NAMES)                 "iam [NAME]: register a name for this connection, or take it back"
    AwaitEnd         "iw"    (LAST WAITS)       "iw MS NAME: wait up to MS milliseconds for the end of an exclusive lock, without getting it"
    Kick             "kick"  (LAST OPERATOR)    "kick ADDR: close a connection, or all with this registered name (administrative listener only)"
    Linger           "linger" ()                "linger MS: keep what is held here for MS milliseconds after this connection ends, and show its key"
    ListAll          "ls"    (FRAMED LAST DUMPS)      "ls [PREFIX]: list who holds what, who waits, for how long, and under which registered name"
    Me               "me"    ()                 "me: show this connection's address and name"
    Ping             "ping"  ()                 "ping: answer 1 pong"
    Query            "q"     (OLD FRAMED)       "q [full]: show statistics"
    Quit             "quit"  (LAST)             "quit: release everything and close this connection"
    Release          "r"     (OLD)              "r NAME: release an exclusive lock"
    ReleaseAll       "ra"    ()                 "ra: release everything that is held here"
    Resume           "resume" ()                "resume KEY: take over what the connection held that was shown this key"
    ReadFence        "rf"    ()                 "rf NAME: show the fencing token of a read lock that is held here"
    ReadGet          "rg"    ()                 "rg NAME: get a read lock and count its readers"
    ReadGetWait      "rgw"   (LAST WAITS)       "rgw MS NAME: the same, waiting up to MS milliseconds"
    ReadInspect      "ri"    ()                 "ri NAME: count the readers of a lock"
    ReadRelease      "rr"    ()                 "rr NAME: release a read lock"
    SharedList       "sd"    (OLD FRAMED LAST DUMPS)  "sd [NAME]: list shared locks and their holders"
    SharedFence      "sf"    ()                 "sf NAME: show the fencing token of a shared lock that is held here"
    SharedGet        "sg"    (OLD)              "sg NAME: get a shared lock and count its holders"
    SharedGetLimited "sgl"   ()                 "sgl LIMIT NAME: get a shared lock if fewer than LIMIT hold it"
    SharedGetWait    "sgw"   (LAST WAITS)       "sgw MS LIMIT NAME: the same, waiting up to MS milliseconds"
    SharedInspect    "si"    (OLD)              "si NAME: count the holders of a shared lock"
    SharedAwaitEnd   "siw"   (LAST WAITS)       "siw MS NAME: the same for all holds that a shared lock has now"
    SharedRelease    "sr"    (OLD)              "sr NAME: release a shared lock"
    Steal            "steal" (OPERATOR)         "steal NAME: take an exclusive lock from its holder (administrative listener only)"
    WriteFence       "wf"    ()                 "wf NAME: show the fencing token of a write lock that is held here"
    WriteGet         "wg"    ()                 "wg NAME: get a write lock"
    WriteGetWait     "wgw"   (LAST WAITS)       "wgw MS NAME: the same, waiting up to MS milliseconds"
    Who              "who"   (FRAMED LAST DUMPS NAMES)      "who [NAME]: list registered connections"
    WriteInspect     "wi"    ()                 "wi NAME: ask whether a lock has a writer"
    WriteRelease     "wr"    ()                 "wr NAME: release a write lock"
    WriteSteal       "wsteal" (OPERATOR)        "wsteal NAME: take a lock from its writer (administrative listener only)"
}

impl Verb {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The verb that waits for a lock of this kind.
    pub(crate) const fn that_waits_for(kind: Kind) -> Self {
        match kind {
            Kind::Exclusive => Self::GetWait,
            Kind::Shared => Self::SharedGetWait,
            Kind::Read => Self::ReadGetWait,
            Kind::Write => Self::WriteGetWait,
        }
    }

    /// The verb that waits for the end of holds of this kind. Only the old kinds have one of their own.
    pub(crate) const fn that_awaits_the_end_of(kind: Kind) -> Self {
        match kind {
            Kind::Exclusive | Kind::Write => Self::AwaitEnd,
            Kind::Shared | Kind::Read => Self::SharedAwaitEnd,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// The line of `help`: the request, and what it does.
    #[must_use]
    pub const fn help(self) -> &'static str {
        self.row().help
    }

    /// Whether statistics show it before its first use. So it is with the verbs that every lockd has.
    #[must_use]
    pub const fn is_always_shown(self) -> bool {
        self.has(OLD)
    }

    /// Whether the reply has a variable number of lines, and an empty line ends it, even if it is a failure.
    #[must_use]
    pub const fn is_framed(self) -> bool {
        self.has(FRAMED)
    }

    /// Whether it must be the last of its batch. A listing is written in slices, a wait may end much later, `quit` ends
    /// the connection, and `kick` may do so.
    #[must_use]
    pub const fn ends_batch(self) -> bool {
        self.has(LAST)
    }

    /// Whether the reply may come later, at the end of a wait.
    #[must_use]
    pub const fn may_wait(self) -> bool {
        self.has(WAITS)
    }

    /// Whether it is refused on every listener that is not administrative.
    #[must_use]
    pub const fn needs_operator(self) -> bool {
        self.has(OPERATOR)
    }

    /// Whether `--dump=false` switches it off: it shows what others hold or their names.
    #[must_use]
    pub const fn is_dump(self) -> bool {
        self.has(DUMPS)
    }

    /// Whether `--registry=false` switches it off: it is about registered names.
    #[must_use]
    pub const fn is_registry(self) -> bool {
        self.has(NAMES)
    }

    /// Whether it may be refused to some connections or by some configurations.
    pub(crate) const fn may_be_refused(self) -> bool {
        self.has(OPERATOR | DUMPS | NAMES)
    }

    /// Its position in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    const fn has(self, flag: Flags) -> bool {
        self.row().flags & flag != 0
    }

    const fn row(self) -> &'static VerbRow {
        &Self::ROWS[self.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_stand_at_their_index_and_by_word() {
        for (index, verb) in Verb::ALL.into_iter().enumerate() {
            assert_eq!(verb.index(), index);
            assert_eq!(Verb::of(verb.word().as_bytes()), Some(verb));
            let (request, _) = verb.help().split_once(": ").expect("a request, a colon and what it does");
            assert_eq!(request.split(' ').next(), Some(verb.word()), "help shows the request first");
        }
        assert!(Verb::ALL.is_sorted_by_key(|verb| verb.word()));
        assert_eq!(Verb::of(b"G"), None);
        assert_eq!(Verb::of(b""), None);
    }

    #[test]
    fn whatever_may_wait_ends_its_batch() {
        assert!(Verb::ALL.iter().all(|verb| verb.ends_batch() || !verb.may_wait()));
    }
}
