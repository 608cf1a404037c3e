//! Commands and inputs as they are written into a log. Nothing in the bytes depends on how this release numbers its
//! verbs, causes and kinds: a later one has more of them.

use crate::accounts::Accounts;
use crate::machine::{Cause, Input};
use crate::record::shared::{AccountsRecord, AddrRecord};
use crate::record::{Bytes, RecordError, Sequence};
use crate::types::{Account, Addr, Conn, Kind, Origin};
use crate::wire::{Command, Refusal, Verb, VerbSet, Wish};
use bincode::{Decode, Encode};
use std::sync::Arc;

/// An input. Connections are numbered as their batch's node numbers them: see [`number_on`].
#[derive(Encode, Decode)]
pub(super) enum InputRecord<N> {
    Opened { conn: u64, addr: AddrRecord, account: u16 },
    Command { conn: u64, command: CommandRecord<N> },
    Closed { conn: u64, cause: u8 },
    Drain(u16),
    Gone(u16),
    Tick,
    Lapse(u64),
    Tokens(u64, u64),
    Accounts(AccountsRecord),
}

#[derive(Encode, Decode)]
pub(super) enum CommandRecord<N> {
    Get { kind: u8, limit: Option<u32>, ms: Option<u32>, name: N },
    AwaitEnd { kind: u8, ms: u32, name: N },
    Release(u8, N),
    ReleaseAll,
    Fence(u8, N),
    Inspect(u8, N),
    List(u8, N),
    Dump(u8),
    ListAll(N),
    Kick(N),
    Linger(u32),
    Resume(N),
    Steal(u8, N),
    Me,
    Iam(N),
    Who(N),
    Query { full: bool },
    Auth(N),
    Login(Option<u16>),
    Ping,
    Help(Sequence<Bytes<Vec<u8>>>),
    Quit,
    Refused { verb: Bytes<Vec<u8>>, is_stranger: bool },
    BadArgument(Bytes<Vec<u8>>),
    Unknown(N),
    LineTooLong,
}

/// A connection's number, short if it is of this node.
pub(super) fn number_on(node: u16, conn: Conn) -> u64 {
    conn.bits() ^ Conn::new(node, 0).bits()
}

fn conn_on(node: u16, number: u64) -> Conn {
    Conn::from_bits(number ^ Conn::new(node, 0).bits())
}

impl<'a> InputRecord<Bytes<&'a [u8]>> {
    pub(super) fn of<N: AsRef<[u8]>>(node: u16, input: &'a Input<Command<N>>) -> Self {
        let number = |conn: &Conn| number_on(node, *conn);
        match input {
            Input::Opened(conn, Origin { addr, account }) => {
                Self::Opened { conn: number(conn), addr: (*addr).into(), account: account.0 }
            }
            Input::Command(conn, command) => {
                Self::Command { conn: number(conn), command: CommandRecord::of(command) }
            }
            Input::Closed(conn, cause) => Self::Closed { conn: number(conn), cause: number_of(*cause) },
            Input::Drain(node) => Self::Drain(*node),
            Input::Gone(node) => Self::Gone(*node),
            Input::Tick => Self::Tick,
            Input::Lapse { ms } => Self::Lapse(*ms),
            Input::Tokens { first, last } => Self::Tokens(*first, *last),
            Input::Accounts(accounts) => Self::Accounts((&**accounts).into()),
        }
    }
}

impl InputRecord<Bytes<Vec<u8>>> {
    pub(super) fn read(self, node: u16) -> Result<Input<Command<Vec<u8>>>, RecordError> {
        Ok(match self {
            Self::Opened { conn, addr, account } => {
                let origin = Origin { addr: Addr::from(addr), account: Account(account) };
                Input::Opened(conn_on(node, conn), origin)
            }
            Self::Command { conn, command } => Input::Command(conn_on(node, conn), command.read()?),
            Self::Closed { conn, cause } => Input::Closed(conn_on(node, conn), cause_of(cause)?),
            Self::Drain(node) => Input::Drain(node),
            Self::Gone(node) => Input::Gone(node),
            Self::Tick => Input::Tick,
            Self::Lapse(ms) => Input::Lapse { ms },
            Self::Tokens(first, last) => Input::Tokens { first, last },
            Self::Accounts(accounts) => Input::Accounts(Arc::new(Accounts::from(accounts))),
        })
    }
}

impl<'a> CommandRecord<Bytes<&'a [u8]>> {
    fn of<N: AsRef<[u8]>>(command: &'a Command<N>) -> Self {
        let text = |name: &'a N| Bytes(name.as_ref());
        let word = |verb: Verb| Bytes(verb.word().as_bytes().to_vec());
        match command {
            Command::Get(wish) => {
                let is_limited = matches!(wish.verb(), Verb::SharedGetLimited | Verb::SharedGetWait);
                let limit = is_limited.then(|| wish.limit());
                Self::Get { kind: kind(wish.kind()), limit, ms: wish.ms(), name: text(wish.name()) }
            }
            Command::AwaitEnd { kind: of, ms, name } => {
                Self::AwaitEnd { kind: kind(*of), ms: *ms, name: text(name) }
            }
            Command::Release(of, name) => Self::Release(kind(*of), text(name)),
            Command::ReleaseAll => Self::ReleaseAll,
            Command::Fence(of, name) => Self::Fence(kind(*of), text(name)),
            Command::Inspect(of, name) => Self::Inspect(kind(*of), text(name)),
            Command::List(of, name) => Self::List(kind(*of), text(name)),
            Command::Dump(of) => Self::Dump(kind(*of)),
            Command::ListAll(prefix) => Self::ListAll(text(prefix)),
            Command::Kick(addr) => Self::Kick(text(addr)),
            Command::Linger(ms) => Self::Linger(*ms),
            Command::Resume(key) => Self::Resume(text(key)),
            Command::Steal(of, name) => Self::Steal(kind(*of), text(name)),
            Command::Me => Self::Me,
            Command::Iam(name) => Self::Iam(text(name)),
            Command::Who(name) => Self::Who(text(name)),
            Command::Query { full } => Self::Query { full: *full },
            Command::Auth(token) => Self::Auth(text(token)),
            Command::Login(account) => Self::Login(account.map(|account| account.0)),
            Command::Ping => Self::Ping,
            Command::Help(verbs) => Self::Help(Sequence(verbs.iter().map(word).collect())),
            Command::Quit => Self::Quit,
            Command::Refused(verb, why) => {
                Self::Refused { verb: word(*verb), is_stranger: *why == Refusal::AuthRequired }
            }
            Command::BadArgument(verb) => Self::BadArgument(word(*verb)),
            Command::Unknown(verb) => Self::Unknown(text(verb)),
            Command::LineTooLong => Self::LineTooLong,
        }
    }
}

impl CommandRecord<Bytes<Vec<u8>>> {
    fn read(self) -> Result<Command<Vec<u8>>, RecordError> {
        Ok(match self {
            Self::Get { kind, limit, ms, name } => {
                let mut wish = Wish::at_once(kind_of(kind)?, name.0);
                if let Some(limit) = limit {
                    wish = wish.limited(limit);
                }
                Command::Get(ms.map_or(wish.clone(), |ms| wish.waiting(ms)))
            }
            Self::AwaitEnd { kind, ms, name } => Command::AwaitEnd { kind: kind_of(kind)?, ms, name: name.0 },
            Self::Release(kind, name) => Command::Release(kind_of(kind)?, name.0),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(kind, name) => Command::Fence(kind_of(kind)?, name.0),
            Self::Inspect(kind, name) => Command::Inspect(kind_of(kind)?, name.0),
            Self::List(kind, name) => Command::List(kind_of(kind)?, name.0),
            Self::Dump(kind) => Command::Dump(kind_of(kind)?),
            Self::ListAll(prefix) => Command::ListAll(prefix.0),
            Self::Kick(addr) => Command::Kick(addr.0),
            Self::Linger(ms) => Command::Linger(ms),
            Self::Resume(key) => Command::Resume(key.0),
            Self::Steal(kind, name) => Command::Steal(kind_of(kind)?, name.0),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam(name.0),
            Self::Who(name) => Command::Who(name.0),
            Self::Query { full } => Command::Query { full },
            Self::Auth(token) => Command::Auth(token.0),
            Self::Login(account) => Command::Login(account.map(Account)),
            Self::Ping => Command::Ping,
            Self::Help(words) => {
                let verbs: Result<VerbSet, RecordError> = words.0.iter().map(verb_of).collect();
                Command::Help(verbs?)
            }
            Self::Quit => Command::Quit,
            Self::Refused { verb, is_stranger } => {
                let why = if is_stranger { Refusal::AuthRequired } else { Refusal::NotAllowed };
                Command::Refused(verb_of(&verb)?, why)
            }
            Self::BadArgument(verb) => Command::BadArgument(verb_of(&verb)?),
            Self::Unknown(verb) => Command::Unknown(verb.0),
            Self::LineTooLong => Command::LineTooLong,
        })
    }
}

const fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::Exclusive => 0,
        Kind::Shared => 1,
        Kind::Read => 2,
        Kind::Write => 3,
    }
}

fn kind_of(number: u8) -> Result<Kind, RecordError> {
    let found = Kind::ALL.into_iter().find(|of| kind(*of) == number);
    found.ok_or_else(|| RecordError::Damaged(format!("there is no kind of lock {number}")))
}

const fn number_of(cause: Cause) -> u8 {
    match cause {
        Cause::Eof => 0,
        Cause::Error => 1,
        Cause::Stalled => 2,
        Cause::Shutdown => 3,
        Cause::Quit => 4,
        Cause::Idle => 5,
        Cause::Kicked => 6,
        Cause::Resumed => 7,
        Cause::Refused => 8,
        Cause::NodeLost => 9,
    }
}

fn cause_of(number: u8) -> Result<Cause, RecordError> {
    let found = Cause::ALL.into_iter().find(|cause| number_of(*cause) == number);
    found.ok_or_else(|| RecordError::Damaged(format!("there is no cause {number}")))
}

fn verb_of(word: &Bytes<Vec<u8>>) -> Result<Verb, RecordError> {
    let unknown = || RecordError::Damaged(format!("there is no verb {}", word.0.escape_ascii()));
    Verb::of(&word.0).ok_or_else(unknown)
}
