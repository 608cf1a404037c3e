//! The verbs: the first word of each request.

/// The first word of a request, as statistics and `help` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `d`
    List,
    /// `dump`
    Dump,
    /// `f`
    Fence,
    /// `g`
    Get,
    /// `gw`
    GetWait,
    /// `help`
    Help,
    /// `i`
    Inspect,
    /// `iam`
    Iam,
    /// `kick`
    Kick,
    /// `ls`
    ListAll,
    /// `me`
    Me,
    /// `ping`
    Ping,
    /// `q`
    Query,
    /// `quit`
    Quit,
    /// `r`
    Release,
    /// `ra`
    ReleaseAll,
    /// `sd`
    SharedList,
    /// `sg`
    SharedGet,
    /// `sgl`
    SharedGetLimited,
    /// `sgw`
    SharedGetWait,
    /// `si`
    SharedInspect,
    /// `sr`
    SharedRelease,
    /// `steal`
    Steal,
    /// `who`
    Who,
}

impl Verb {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every verb, by name.
    pub const ALL: [Self; 24] = [
        Self::List,
        Self::Dump,
        Self::Fence,
        Self::Get,
        Self::GetWait,
        Self::Help,
        Self::Inspect,
        Self::Iam,
        Self::Kick,
        Self::ListAll,
        Self::Me,
        Self::Ping,
        Self::Query,
        Self::Quit,
        Self::Release,
        Self::ReleaseAll,
        Self::SharedList,
        Self::SharedGet,
        Self::SharedGetLimited,
        Self::SharedGetWait,
        Self::SharedInspect,
        Self::SharedRelease,
        Self::Steal,
        Self::Who,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::List => "d",
            Self::Dump => "dump",
            Self::Fence => "f",
            Self::Get => "g",
            Self::GetWait => "gw",
            Self::Help => "help",
            Self::Inspect => "i",
            Self::Iam => "iam",
            Self::Kick => "kick",
            Self::ListAll => "ls",
            Self::Me => "me",
            Self::Ping => "ping",
            Self::Query => "q",
            Self::Quit => "quit",
            Self::Release => "r",
            Self::ReleaseAll => "ra",
            Self::SharedList => "sd",
            Self::SharedGet => "sg",
            Self::SharedGetLimited => "sgl",
            Self::SharedGetWait => "sgw",
            Self::SharedInspect => "si",
            Self::SharedRelease => "sr",
            Self::Steal => "steal",
            Self::Who => "who",
        }
    }

    /// What `help` says of it: the request, and what it does.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::List => "d [NAME]: list exclusive locks and their holders",
            Self::Dump => "dump [shared]: list locks and their holders' addresses on one line",
            Self::Fence => "f NAME: show the fencing token of an exclusive lock that is held here",
            Self::Get => "g NAME: get an exclusive lock",
            Self::GetWait => "gw MS NAME: get an exclusive lock, waiting up to MS milliseconds",
            Self::Help => "help: list the commands",
            Self::Inspect => "i NAME: ask whether an exclusive lock is held",
            Self::Iam => "iam [NAME]: register a name for this connection, or take it back",
            Self::Kick => "kick ADDR: close a connection (administrative listener only)",
            Self::ListAll => "ls [PREFIX]: list who holds what, who waits, and for how long",
            Self::Me => "me: show this connection's address and name",
            Self::Ping => "ping: answer 1 pong",
            Self::Query => "q [full]: show statistics",
            Self::Quit => "quit: release everything and close this connection",
            Self::Release => "r NAME: release an exclusive lock",
            Self::ReleaseAll => "ra: release everything that is held here",
            Self::SharedList => "sd [NAME]: list shared locks and their holders",
            Self::SharedGet => "sg NAME: get a shared lock and count its holders",
            Self::SharedGetLimited => "sgl LIMIT NAME: get a shared lock if fewer than LIMIT hold it",
            Self::SharedGetWait => "sgw MS LIMIT NAME: the same, waiting up to MS milliseconds",
            Self::SharedInspect => "si NAME: count the holders of a shared lock",
            Self::SharedRelease => "sr NAME: release a shared lock",
            Self::Steal => {
                "steal NAME: take an exclusive lock from its holder (administrative listener only)"
            }
            Self::Who => "who [NAME]: list registered connections",
        }
    }

    /// Whether statistics show it before its first use: the verbs that every lockd has had.
    #[must_use]
    pub const fn is_always_shown(self) -> bool {
        matches!(
            self,
            Self::List
                | Self::Dump
                | Self::Get
                | Self::Inspect
                | Self::Query
                | Self::Release
                | Self::SharedList
                | Self::SharedGet
                | Self::SharedInspect
                | Self::SharedRelease
        )
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_stand_at_their_index_and_by_name() {
        for (index, verb) in Verb::ALL.into_iter().enumerate() {
            assert_eq!(verb.index(), index);
        }
        assert!(Verb::ALL.is_sorted_by_key(|verb| verb.word()));
    }
}
