//! Commands: the answer to each. Getting locks is in `get.rs`, and what only operators may say in `operator.rs`.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::{Connection, memory};
use crate::types::{Conn, Kind};
use crate::wire::{Command, Listing, Refusal, Reply, Subject, Verb};

impl Machine {
    /// Runs a command of an open connection. The caller must settle the lines afterwards.
    pub(crate) fn command<N: AsRef<[u8]>>(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        command: &Command<N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let is_idleness = matches!(command, Command::Unknown(_)) && bug!(UnknownCommandIsIdleness);
        if self.config.limits.idle_ms > 0 && !is_idleness {
            self.connections.touch(id, self.now);
        }
        let (verb, name) = command.verb_and_name();
        if name.is_some_and(|name| self.is_too_long(name.as_ref())) {
            return self.refuse_name(conn, verb, out);
        }
        match verb {
            Some(verb) => self.counters.commands[verb] += 1,
            None => self.counters.invalid_commands += 1,
        }
        // Nearly all commands are one of these two, and these are never refused.
        if !matches!(command, Command::Get(_) | Command::Release(..))
            && let Some(verb) = verb
            && let Some(refusal) = self.refusal(id, command, verb)
        {
            return self.reply(conn, Some(verb), refusal, out);
        }
        let reply = match command {
            Command::Get(wish) => match self.get(id, wish.borrowed()) {
                Ok(holders) => {
                    let got = Reply::Got { kind: wish.kind(), holders, name: wish.name().as_ref() };
                    return out(conn, Output::Reply(got));
                }
                Err(Some(reply)) => return self.fail(conn, wish.verb(), reply, out),
                Err(None) => return out(conn, Output::Wait),
            },
            Command::AwaitEnd { kind, ms, name } => match self.wait_for_end(id, *kind, *ms, name.as_ref()) {
                Some(reply) => reply,
                None => return out(conn, Output::Wait),
            },
            Command::Release(kind, name) => {
                let (kind, name) = (*kind, name.as_ref());
                if self.release(id, kind, name) {
                    return out(conn, Output::Reply(Reply::Released { kind, name }));
                }
                Reply::ReleaseFailure { kind, name }
            }
            Command::ReleaseAll => self.release_all(id),
            Command::Fence(kind, name) => self.fence(id, *kind, name.as_ref()),
            Command::Inspect(kind, name) => self.inspect(*kind, name.as_ref()),
            Command::List(kind, name) => listing(Subject::Locks(*kind), name.as_ref()),
            Command::Dump(kind) => listing(Subject::Dump(*kind), &[]),
            Command::ListAll(prefix) => listing(Subject::All, prefix.as_ref()),
            Command::Who(name) => listing(Subject::Who, name.as_ref()),
            Command::Kick(addr) => return self.kick(conn, addr.as_ref(), out),
            Command::Linger(ms) => return self.linger(id, conn, *ms, out),
            Command::Resume(key) => return self.resume(id, conn, key.as_ref(), out),
            Command::Steal(kind, name) => self.steal(*kind, name.as_ref()),
            Command::Iam(name) => self.register(id, name.as_ref()),
            Command::Me => return self.me(id, conn, out),
            Command::Query { full } => return self.query(id, conn, *full, out),
            Command::Ping => Reply::Pong,
            Command::Help(verbs) => Reply::Help { verbs: *verbs },
            Command::Quit => return self.quit(id, conn, out),
            Command::Auth(_) => return self.login(id, conn, None, out),
            Command::Login(account) => return self.login(id, conn, *account, out),
            Command::Refused(verb, why) => refused(*verb, *why),
            Command::BadArgument(verb) => Reply::BadArgument { verb: *verb },
            Command::Unknown(_) if self.config.features.silent_errors => return,
            Command::Unknown(verb) => Reply::UnknownCommand { verb: verb.as_ref() },
            Command::LineTooLong => Reply::LineTooLong,
        };
        self.reply(conn, verb, reply, out);
    }

    /// Gives a connection its reply, and counts a failure under its verb.
    #[inline]
    fn reply(
        &mut self,
        conn: Conn,
        verb: Option<Verb>,
        reply: Reply<'_>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        match verb {
            Some(verb) if reply.is_failure() => self.fail(conn, verb, reply, out),
            _ => out(conn, Output::Reply(reply)),
        }
    }

    /// Gives a connection its reply, and counts a failure under `verb`.
    #[inline]
    pub(super) fn fail(
        &mut self,
        conn: Conn,
        verb: Verb,
        reply: Reply<'_>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        self.counters.failures[verb] += 1;
        out(conn, Output::Reply(reply));
    }

    fn is_too_long(&self, name: &[u8]) -> bool {
        let less = usize::from(bug!(NameLengthOffByOne));
        name.len() > usize::from(self.config.limits.name_bytes) - less
    }

    /// A name over the limit counts as an invalid command, not as its verb.
    #[cold]
    fn refuse_name(&mut self, conn: Conn, verb: Option<Verb>, out: &mut impl FnMut(Conn, Output<'_>)) {
        mark!(NameWasTooLong);
        match verb {
            Some(verb) if bug!(RefusedNameIsCounted) => self.counters.commands[verb] += 1,
            _ => self.counters.invalid_commands += 1,
        }
        out(conn, Output::Reply(Reply::NameTooLong { framed: verb.is_some_and(Verb::is_framed) }));
    }

    /// The refusal of a verb, if the connection may not say it: it is no operator, or the verb is switched off.
    #[inline]
    fn refusal<N>(&self, id: Id<Connection>, command: &Command<N>, verb: Verb) -> Option<Reply<'static>> {
        // What a driver has refused is answered so.
        if !verb.may_be_refused() || matches!(command, Command::Refused(..)) {
            return None;
        }
        let features = &self.config.features;
        let is_operator = self.connections.tally(self.connections[id].tally()).is_operator();
        if verb.needs_operator() && !is_operator {
            return Some(Reply::NotAllowed { verb });
        }
        // Operators may use `ls` even if dumps are switched off.
        let is_hidden = verb.is_dump() && !features.dump && !(verb == Verb::ListAll && is_operator);
        let is_off = is_hidden || verb.is_registry() && !features.registry;
        is_off.then_some(Reply::Disabled { framed: verb.is_framed() })
    }

    fn inspect<'a>(&self, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        Reply::Inspected { kind, holders: self.holds.count(kind, name), name }
    }

    fn register<'a>(&mut self, id: Id<Connection>, name: &'a [u8]) -> Reply<'a> {
        let (old, new) = (self.connections[id].name_memory(), memory::of_registration(name.len()));
        // A connection may always make its name shorter.
        let tally = self.connections.tally(self.connections[id].tally());
        if new > old && !(self.has_memory(new - old) && tally.has_memory(new - old)) {
            return self.out_of_memory(name);
        }
        self.connections.register(id, name);
        self.note_memory();
        Reply::Registered
    }

    fn me(&self, id: Id<Connection>, conn: Conn, out: &mut impl FnMut(Conn, Output<'_>)) {
        let connection = &self.connections[id];
        let (addr, name) = (&connection.origin().addr, self.connections.name_of(connection));
        out(conn, Output::Reply(Reply::Me { addr, name }));
    }

    fn query(&self, id: Id<Connection>, conn: Conn, full: bool, out: &mut impl FnMut(Conn, Output<'_>)) {
        let tally = self.connections.tally(self.connections[id].tally());
        if !self.connections.accounts().of(tally.account()).all_figures {
            return out(conn, Output::Reply(Reply::OwnFigures(&self.own(tally))));
        }
        let figures = self.figures();
        out(conn, Output::Reply(Reply::Figures { figures: &figures, full }));
    }

    fn quit(&mut self, id: Id<Connection>, conn: Conn, out: &mut impl FnMut(Conn, Output<'_>)) {
        self.close(id, Cause::Quit, out);
        out(conn, Output::Disconnect(Reason::Quit));
    }

    /// Releases a lock if the connection holds it. Returns whether it did.
    #[inline]
    fn release(&mut self, id: Id<Connection>, kind: Kind, name: &[u8]) -> bool {
        let (tenure, tally) = (self.connections[id].tenure(), self.connections[id].tally());
        let held = tenure.and_then(|tenure| Some((self.holds.held_by(tenure, kind, name)?, tenure)));
        let Some((lock, tenure)) = held else {
            mark!(ReleaseWasRefused);
            return false;
        };
        self.end_hold(lock, tenure, tally);
        true
    }

    /// Ends the connection's tenure, as the connection's end would. The next get begins another tenure.
    fn release_all<'a>(&mut self, id: Id<Connection>) -> Reply<'a> {
        let Some(tenure) = self.connections[id].tenure() else { return Reply::ReleasedAll { holds: 0 } };
        self.connections.forget_tenure(id);
        let holds = self.end_tenure(tenure, self.connections[id].tally());
        for kind in Kind::ALL {
            self.counters.released_together[kind] += u64::from(holds[kind]);
        }
        Reply::ReleasedAll { holds: holds.total() }
    }

    fn fence<'a>(&mut self, id: Id<Connection>, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        let tenure = self.connections[id].tenure();
        let held = tenure.and_then(|tenure| Some((self.holds.held_by(tenure, kind, name)?, tenure)));
        let Some((lock, tenure)) = held else { return Reply::NotHeld { kind, name } };
        if let Some(token) = self.holds.token(lock, tenure).filter(|_| !bug!(TokenPerAsk)) {
            return Reply::Fenced { kind, token, name };
        }
        let Some(token) = self.tokens.draw() else {
            mark!(TokensRanOut);
            return Reply::NoTokens;
        };
        mark!(TokenDrawn);
        self.counters.tokens_given += 1;
        self.holds.set_token(lock, tenure, token);
        Reply::Fenced { kind, token, name }
    }
}

/// The answer to a command that the driver has refused.
#[cold]
const fn refused(verb: Verb, why: Refusal) -> Reply<'static> {
    match why {
        Refusal::AuthRequired => Reply::AuthRequired { framed: verb.is_framed() },
        Refusal::NotAllowed => Reply::NotAllowed { verb },
    }
}

const fn listing(subject: Subject, name: &[u8]) -> Reply<'_> {
    Reply::Listing(Listing { subject, name })
}
