//! What goes into the machine: connections that open, say things and close, and the passing of time.

use crate::types::{Conn, Kind, Origin};

/// One event. Every input is legal in every state: what makes no sense (a command of a connection
/// that is not open, a second `Closed`) changes nothing but a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<N> {
    /// A connection was accepted. Numbers go up: one at or below the highest seen is ignored.
    Opened(Conn, Origin),
    /// A connection sent a line.
    Command(Conn, Command<N>),
    /// A connection ended. All it holds is released before the next input.
    Closed(Conn, Cause),
    /// Time passed: frees a slice of what dead tenures left behind. What is due at a time is done
    /// first at every input; `Tick` is the one that does nothing else.
    Tick,
    /// The daemon is going to stop: every wait ends, and from now on nothing is granted.
    Drain,
    /// Fencing tokens from `first` to `last` may be given out: the driver has made sure that none of them,
    /// and none above, ever was before. What of them is not above every earlier `last` is ignored.
    Tokens {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
}

impl<N> Input<N> {
    /// The connection it comes from; none, for what comes from the driver itself.
    pub const fn conn(&self) -> Option<Conn> {
        match self {
            Self::Opened(conn, _) | Self::Command(conn, _) | Self::Closed(conn, _) => Some(*conn),
            Self::Tick | Self::Drain | Self::Tokens { .. } => None,
        }
    }

    /// The same input with its text borrowed, for whoever only looks.
    pub fn borrowed(&self) -> Input<&[u8]>
    where
        N: AsRef<[u8]>,
    {
        match self {
            Self::Opened(conn, origin) => Input::Opened(*conn, *origin),
            Self::Command(conn, command) => Input::Command(*conn, command.borrowed()),
            Self::Closed(conn, cause) => Input::Closed(*conn, *cause),
            Self::Tick => Input::Tick,
            Self::Drain => Input::Drain,
            Self::Tokens { first, last } => Input::Tokens { first: *first, last: *last },
        }
    }

    /// The same input with its text kept another way.
    pub fn map<M>(self, text: impl FnOnce(N) -> M) -> Input<M> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(conn, origin),
            Self::Command(conn, command) => Input::Command(conn, command.map(text)),
            Self::Closed(conn, cause) => Input::Closed(conn, cause),
            Self::Tick => Input::Tick,
            Self::Drain => Input::Drain,
            Self::Tokens { first, last } => Input::Tokens { first, last },
        }
    }
}

/// Why a connection ended. It decides nothing; it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The peer sent FIN, and all whole lines before it have run.
    Eof,
    /// A reset, a dead peer found by keepalive, or another error of the socket.
    Error,
    /// The peer took none of its replies for the write timeout.
    Stalled,
    /// The daemon is stopping.
    Shutdown,
    /// The peer said `quit`. Only the machine itself reports this one.
    Quit,
    /// The idle limit. Only the machine itself reports this one.
    Idle,
    /// An operator's `kick`. Only the machine itself reports this one.
    Kicked,
}

impl Cause {
    /// Every cause, in the order in which figures show them.
    pub const ALL: [Self; 7] =
        [Self::Eof, Self::Error, Self::Stalled, Self::Shutdown, Self::Quit, Self::Idle, Self::Kicked];

    /// The word in `q full`: `closed_WORD`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Error => "error",
            Self::Stalled => "stalled",
            Self::Shutdown => "shutdown",
            Self::Quit => "quit",
            Self::Idle => "idle",
            Self::Kicked => "kicked",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// One request line, parsed. `N` is how the caller keeps names: borrowed or owned.
///
/// Names are as the codec makes them: without white space at the ends, each run of white space inside
/// folded to one space. The machine takes any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<N> {
    /// `g NAME`, `sg NAME`.
    Get(Kind, N),
    /// `gw MS NAME`.
    GetWait {
        /// How long to wait at most, in milliseconds; 0 does not wait.
        ms: u32,
        /// The lock.
        name: N,
    },
    /// `sgl LIMIT NAME`.
    SharedGetLimited {
        /// How many holders there may be, the asker included; 0 is no limit.
        limit: u32,
        /// The lock.
        name: N,
    },
    /// `sgw MS LIMIT NAME`.
    SharedGetWait {
        /// How long to wait at most, in milliseconds; 0 does not wait.
        ms: u32,
        /// How many holders there may be, the asker included; 0 is no limit.
        limit: u32,
        /// The lock.
        name: N,
    },
    /// `r NAME`, `sr NAME`.
    Release(Kind, N),
    /// `ra`.
    ReleaseAll,
    /// `f NAME`.
    Fence(N),
    /// `i NAME`, `si NAME`.
    Inspect(Kind, N),
    /// `d [NAME]`, `sd [NAME]`; all locks when the name is empty.
    List(Kind, N),
    /// `dump`, `dump shared`.
    Dump(Kind),
    /// `ls [PREFIX]`; every lock when the prefix is empty.
    ListAll(N),
    /// `kick ADDR`.
    Kick(N),
    /// `steal NAME`.
    Steal(N),
    /// `me`.
    Me,
    /// `iam NAME`; an empty name takes the registration back.
    Iam(N),
    /// `who [NAME]`; every registered connection when the name is empty.
    Who(N),
    /// `q`, `q full`.
    Query {
        /// Whether `full` was said.
        full: bool,
    },
    /// `ping`.
    Ping,
    /// `help`.
    Help,
    /// `quit`.
    Quit,
    /// A verb of ours, but where it takes a number there is none.
    BadArgument(Verb),
    /// No verb of ours: the verb.
    Unknown(N),
    /// A line over the limit. Its bytes are gone.
    LineTooLong,
}

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

impl<N> Command<N> {
    /// The verb it is counted under; `None` for an invalid line.
    pub const fn verb(&self) -> Option<Verb> {
        self.parts().0
    }

    /// The verb, and the name of a lock or of a connection, or the start of one; not the text of an unknown verb.
    #[inline]
    pub(crate) const fn parts(&self) -> (Option<Verb>, Option<&N>) {
        let (verb, name) = match self {
            Self::Get(Kind::Exclusive, name) => (Verb::Get, Some(name)),
            Self::Get(Kind::Shared, name) => (Verb::SharedGet, Some(name)),
            Self::GetWait { name, .. } => (Verb::GetWait, Some(name)),
            Self::SharedGetLimited { name, .. } => (Verb::SharedGetLimited, Some(name)),
            Self::SharedGetWait { name, .. } => (Verb::SharedGetWait, Some(name)),
            Self::Release(Kind::Exclusive, name) => (Verb::Release, Some(name)),
            Self::Release(Kind::Shared, name) => (Verb::SharedRelease, Some(name)),
            Self::ReleaseAll => (Verb::ReleaseAll, None),
            Self::Fence(name) => (Verb::Fence, Some(name)),
            Self::Inspect(Kind::Exclusive, name) => (Verb::Inspect, Some(name)),
            Self::Inspect(Kind::Shared, name) => (Verb::SharedInspect, Some(name)),
            Self::List(Kind::Exclusive, name) => (Verb::List, Some(name)),
            Self::List(Kind::Shared, name) => (Verb::SharedList, Some(name)),
            Self::Dump(_) => (Verb::Dump, None),
            Self::ListAll(prefix) => (Verb::ListAll, Some(prefix)),
            Self::Kick(addr) => (Verb::Kick, Some(addr)),
            Self::Steal(name) => (Verb::Steal, Some(name)),
            Self::Me => (Verb::Me, None),
            Self::Iam(name) => (Verb::Iam, Some(name)),
            Self::Who(name) => (Verb::Who, Some(name)),
            Self::Query { .. } => (Verb::Query, None),
            Self::Ping => (Verb::Ping, None),
            Self::Help => (Verb::Help, None),
            Self::Quit => (Verb::Quit, None),
            Self::BadArgument(_) | Self::Unknown(_) | Self::LineTooLong => return (None, None),
        };
        (Some(verb), name)
    }

    /// Whether nothing of the same connection may run before this command's reply is complete: a
    /// listing is written in slices, `quit` ends the connection, and a wait may end much later, and `kick` may end it too. A batch ends
    /// after such a command.
    pub const fn ends_batch(&self) -> bool {
        matches!(
            self,
            Self::List(..) | Self::Dump(_) | Self::ListAll(_) | Self::Who(_) | Self::Quit | Self::Kick(_)
        ) || self.may_wait()
    }

    /// Whether it may have to wait for its reply.
    pub const fn may_wait(&self) -> bool {
        matches!(self, Self::GetWait { .. } | Self::SharedGetWait { .. })
    }

    /// Whether the reply has a variable number of lines and is ended by an empty one, also when it is
    /// a failure.
    pub(crate) const fn is_framed(&self) -> bool {
        matches!(self, Self::List(..) | Self::ListAll(_) | Self::Who(_) | Self::Query { .. } | Self::Help)
    }

    /// The same command with its text borrowed.
    pub fn borrowed(&self) -> Command<&[u8]>
    where
        N: AsRef<[u8]>,
    {
        self.as_ref().map(AsRef::as_ref)
    }

    const fn as_ref(&self) -> Command<&N> {
        match self {
            Self::Get(kind, name) => Command::Get(*kind, name),
            Self::GetWait { ms, name } => Command::GetWait { ms: *ms, name },
            Self::SharedGetLimited { limit, name } => Command::SharedGetLimited { limit: *limit, name },
            Self::SharedGetWait { ms, limit, name } => {
                Command::SharedGetWait { ms: *ms, limit: *limit, name }
            }
            Self::Release(kind, name) => Command::Release(*kind, name),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(name) => Command::Fence(name),
            Self::Inspect(kind, name) => Command::Inspect(*kind, name),
            Self::List(kind, name) => Command::List(*kind, name),
            Self::Dump(kind) => Command::Dump(*kind),
            Self::ListAll(prefix) => Command::ListAll(prefix),
            Self::Kick(addr) => Command::Kick(addr),
            Self::Steal(name) => Command::Steal(name),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam(name),
            Self::Who(name) => Command::Who(name),
            Self::Query { full } => Command::Query { full: *full },
            Self::Ping => Command::Ping,
            Self::Help => Command::Help,
            Self::Quit => Command::Quit,
            Self::BadArgument(verb) => Command::BadArgument(*verb),
            Self::Unknown(verb) => Command::Unknown(verb),
            Self::LineTooLong => Command::LineTooLong,
        }
    }

    /// The same command with its text kept another way.
    pub fn map<M>(self, text: impl FnOnce(N) -> M) -> Command<M> {
        match self {
            Self::Get(kind, name) => Command::Get(kind, text(name)),
            Self::GetWait { ms, name } => Command::GetWait { ms, name: text(name) },
            Self::SharedGetLimited { limit, name } => Command::SharedGetLimited { limit, name: text(name) },
            Self::SharedGetWait { ms, limit, name } => Command::SharedGetWait { ms, limit, name: text(name) },
            Self::Release(kind, name) => Command::Release(kind, text(name)),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(name) => Command::Fence(text(name)),
            Self::Inspect(kind, name) => Command::Inspect(kind, text(name)),
            Self::List(kind, name) => Command::List(kind, text(name)),
            Self::Dump(kind) => Command::Dump(kind),
            Self::ListAll(prefix) => Command::ListAll(text(prefix)),
            Self::Kick(addr) => Command::Kick(text(addr)),
            Self::Steal(name) => Command::Steal(text(name)),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam(text(name)),
            Self::Who(name) => Command::Who(text(name)),
            Self::Query { full } => Command::Query { full },
            Self::Ping => Command::Ping,
            Self::Help => Command::Help,
            Self::Quit => Command::Quit,
            Self::BadArgument(verb) => Command::BadArgument(verb),
            Self::Unknown(verb) => Command::Unknown(text(verb)),
            Self::LineTooLong => Command::LineTooLong,
        }
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
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), index);
        }
    }

    #[test]
    fn listings_waits_and_quit_end_a_batch_and_nothing_else_does() {
        let last = [
            Command::List(Kind::Exclusive, ""),
            Command::Dump(Kind::Shared),
            Command::ListAll("x"),
            Command::Who("x"),
            Command::Kick("x"),
            Command::GetWait { ms: 1, name: "x" },
            Command::SharedGetWait { ms: 1, limit: 1, name: "x" },
            Command::Quit,
        ];
        assert!(last.iter().all(Command::ends_batch));
        let others = [
            Command::Get(Kind::Exclusive, "x"),
            Command::SharedGetLimited { limit: 1, name: "x" },
            Command::Query { full: true },
            Command::Help,
            Command::Unknown("x"),
            Command::LineTooLong,
        ];
        assert!(!others.iter().any(Command::ends_batch));
    }
}
