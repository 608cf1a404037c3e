//! The verbs: the first word of each request, one row each. This table decides `help`, statistics, what ends a batch,
//! what right each verb takes and what needs an operator. The words behind a verb are read in `request.rs`.

use crate::types::Kind;

/// A verb's row in the table.
struct VerbRow {
    word: &'static str,
    help: &'static str,
    right: Right,
    flags: Flags,
}

/// What a connection must be allowed, to say a verb. Each verb takes one right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// What takes no right: to log in, to see that the daemon answers, and to leave.
    Free,
    /// To get, to wait for and to release locks, and what concerns the connection's own holds.
    Lock,
    /// To ask whether a lock is held, by its name.
    Inspect,
    /// To list locks and registered connections.
    List,
    /// To see statistics.
    Figures,
    /// To take locks from others and to close their connections.
    Operate,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 6] =
        [Self::Free, Self::Lock, Self::Inspect, Self::List, Self::Figures, Self::Operate];

    /// The word for it in rules.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Lock => "lock",
            Self::Inspect => "inspect",
            Self::List => "list",
            Self::Figures => "figures",
            Self::Operate => "operate",
        }
    }
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
    ($($verb:ident $word:literal $right:ident ($($flag:ident)*) $help:literal)+) => {
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
                [$(VerbRow { word: $word, help: $help, right: Right::$right, flags: 0 $(| $flag)* }),+];

            /// The verb that is this word.
            pub(crate) const fn of(word: &[u8]) -> Option<Self> {
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
    Auth             "auth"   Free    (LAST)            "auth TOKEN: log in to an account"
    List             "d"      List    (OLD FRAMED LAST DUMPS) "d [NAME]: list exclusive locks and their holders"
    Dump             "dump"   List    (OLD LAST DUMPS)  "dump [shared]: list locks and their holders' addresses on one line"
    Fence            "f"      Lock    ()                "f NAME: show the fencing token of an exclusive lock that is held here"
    Get              "g"      Lock    (OLD)             "g NAME: get an exclusive lock"
    GetWait          "gw"     Lock    (LAST WAITS)      "gw MS NAME: get an exclusive lock, waiting up to MS milliseconds"
    Help             "help"   Free    (FRAMED)          "help: list the commands"
    Inspect          "i"      Inspect (OLD)             "i NAME: ask whether an exclusive lock is held"
    Iam              "iam"    Lock    (NAMES)           "iam [NAME]: register a name for this connection, or take it back"
    AwaitEnd         "iw"     Lock    (LAST WAITS)      "iw MS NAME: wait up to MS milliseconds for the end of an exclusive lock, without getting it"
    Kick             "kick"   Operate (LAST OPERATOR)   "kick ADDR: close a connection, or all with this registered name (administrative listener only)"
    Linger           "linger" Lock    ()                "linger MS: keep what is held here for MS milliseconds after this connection ends, and show its key"
    ListAll          "ls"     List    (FRAMED LAST DUMPS) "ls [PREFIX]: list who holds what, who waits, for how long, and under which registered name"
    Me               "me"     Free    ()                "me: show this connection's address and name"
    Ping             "ping"   Free    ()                "ping: answer 1 pong"
    Query            "q"      Figures (OLD FRAMED)      "q [full]: show statistics"
    Quit             "quit"   Free    (LAST)            "quit: release everything and close this connection"
    Release          "r"      Lock    (OLD)             "r NAME: release an exclusive lock"
    ReleaseAll       "ra"     Lock    ()                "ra: release everything that is held here"
    Resume           "resume" Lock    ()                "resume KEY: take over what the connection held that was shown this key"
    ReadFence        "rf"     Lock    ()                "rf NAME: show the fencing token of a read lock that is held here"
    ReadGet          "rg"     Lock    ()                "rg NAME: get a read lock and count its readers"
    ReadGetWait      "rgw"    Lock    (LAST WAITS)      "rgw MS NAME: the same, waiting up to MS milliseconds"
    ReadInspect      "ri"     Inspect ()                "ri NAME: count the readers of a lock"
    ReadRelease      "rr"     Lock    ()                "rr NAME: release a read lock"
    SharedList       "sd"     List    (OLD FRAMED LAST DUMPS) "sd [NAME]: list shared locks and their holders"
    SharedFence      "sf"     Lock    ()                "sf NAME: show the fencing token of a shared lock that is held here"
    SharedGet        "sg"     Lock    (OLD)             "sg NAME: get a shared lock and count its holders"
    SharedGetLimited "sgl"    Lock    ()                "sgl LIMIT NAME: get a shared lock if fewer than LIMIT hold it"
    SharedGetWait    "sgw"    Lock    (LAST WAITS)      "sgw MS LIMIT NAME: the same, waiting up to MS milliseconds"
    SharedInspect    "si"     Inspect (OLD)             "si NAME: count the holders of a shared lock"
    SharedAwaitEnd   "siw"    Lock    (LAST WAITS)      "siw MS NAME: the same for all holds that a shared lock has now"
    SharedRelease    "sr"     Lock    (OLD)             "sr NAME: release a shared lock"
    Steal            "steal"  Operate (OPERATOR)        "steal NAME: take an exclusive lock from its holder (administrative listener only)"
    WriteFence       "wf"     Lock    ()                "wf NAME: show the fencing token of a write lock that is held here"
    WriteGet         "wg"     Lock    ()                "wg NAME: get a write lock"
    WriteGetWait     "wgw"    Lock    (LAST WAITS)      "wgw MS NAME: the same, waiting up to MS milliseconds"
    Who              "who"    List    (FRAMED LAST DUMPS NAMES) "who [NAME]: list registered connections"
    WriteInspect     "wi"     Inspect ()                "wi NAME: ask whether a lock has a writer"
    WriteRelease     "wr"     Lock    ()                "wr NAME: release a write lock"
    WriteSteal       "wsteal" Operate (OPERATOR)        "wsteal NAME: take a lock from its writer (administrative listener only)"
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

    /// What right it takes.
    #[must_use]
    pub const fn right(self) -> Right {
        self.row().right
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

/// Some of the verbs: what an account may say, or what `help` lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerbSet(u64);

impl VerbSet {
    /// No verb.
    pub const NONE: Self = Self(0);
    /// Every verb.
    pub const ALL: Self = Self((1 << Verb::COUNT) - 1);
    /// What may be said before `auth` where authentication is required.
    pub const BEFORE_AUTH: Self =
        Self::NONE.with(Verb::Auth).with(Verb::Ping).with(Verb::Help).with(Verb::Quit);

    /// Every verb that takes this right.
    #[must_use]
    pub fn of(right: Right) -> Self {
        Verb::ALL.into_iter().filter(|verb| verb.right() == right).collect()
    }

    /// These verbs and one more.
    #[must_use]
    pub const fn with(self, verb: Verb) -> Self {
        Self(self.0 | 1 << verb.index())
    }

    /// These verbs without one.
    #[must_use]
    pub const fn without(self, verb: Verb) -> Self {
        Self(self.0 & !(1 << verb.index()))
    }

    /// The verbs of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has a verb.
    #[must_use]
    #[inline]
    pub const fn has(self, verb: Verb) -> bool {
        self.0 & 1 << verb.index() != 0
    }

    /// Its verbs, by word.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb))
    }
}

impl FromIterator<Verb> for VerbSet {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> Self {
        verbs.into_iter().fold(Self::NONE, Self::with)
    }
}

impl std::fmt::Debug for VerbSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Verb::word)).finish()
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

    #[test]
    fn a_set_has_the_verbs_that_were_put_in() {
        assert_eq!(VerbSet::ALL, Verb::ALL.into_iter().collect());
        assert_eq!(VerbSet::NONE.iter().count(), 0);
        for verb in Verb::ALL {
            assert_eq!(VerbSet::NONE.with(verb).iter().collect::<Vec<_>>(), [verb]);
            assert_eq!(VerbSet::ALL.without(verb).with(verb), VerbSet::ALL);
            assert!(VerbSet::ALL.has(verb) && !VerbSet::ALL.without(verb).has(verb));
        }
        let words: Vec<_> = VerbSet::BEFORE_AUTH.iter().map(Verb::word).collect();
        assert_eq!(words, ["auth", "help", "ping", "quit"]);
    }

    #[test]
    fn each_verb_takes_one_right_and_operators_verbs_take_that_of_operators() {
        let sets = Right::ALL.map(VerbSet::of);
        assert_eq!(sets.into_iter().fold(VerbSet::NONE, VerbSet::and), VerbSet::ALL);
        assert_eq!(sets.iter().map(|set| set.iter().count()).sum::<usize>(), Verb::COUNT);
        for verb in Verb::ALL {
            assert_eq!(verb.needs_operator(), verb.right() == Right::Operate, "{}", verb.word());
            assert!(verb.right() == Right::Lock || !verb.may_wait(), "{}", verb.word());
            assert!(verb.right() == Right::Free || !VerbSet::BEFORE_AUTH.has(verb), "{}", verb.word());
        }
        let words: Vec<_> = Right::ALL.map(Right::word).into();
        assert_eq!(words, ["free", "lock", "inspect", "list", "figures", "operate"]);
    }
}
