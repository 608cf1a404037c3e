//! Commands: what each is answered, apart from getting locks and from what only operators may say.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::{Connection, Registered};
use crate::types::{Account, Conn, Kind};
use crate::wire::{Command, Listing, Reply, Subject, Verb};

use super::get::Wish;

impl Machine {
    /// Runs a command of an open connection. The lines are to be settled after it.
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
        match command {
            // Nearly all commands are one of these two.
            Command::Get(kind, name) if !self.is_too_long(name.as_ref()) => {
                self.get_at_once(id, conn, *kind, name.as_ref(), out);
            }
            Command::Release(kind, name) if !self.is_too_long(name.as_ref()) => {
                self.release_one(id, conn, *kind, name.as_ref(), out);
            }
            _ => self.command_of_any(id, conn, command, out),
        }
    }

    fn is_too_long(&self, name: &[u8]) -> bool {
        let less = usize::from(bug!(NameLengthOffByOne));
        name.len() > usize::from(self.config.limits.name_bytes) - less
    }

    /// `g` and `sg`.
    #[inline]
    fn get_at_once(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        kind: Kind,
        name: &[u8],
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let verb = [Verb::Get, Verb::SharedGet][kind.index()].index();
        self.counters.commands[verb] += 1;
        match self.get(id, Wish::at_once(kind, name)) {
            Ok(holders) => out(conn, Output::Reply(Reply::Got { kind, holders, name })),
            Err(reply) => {
                self.counters.failures[verb] += 1;
                out(conn, Output::Reply(reply.expect("what does not wait is answered at once")));
            }
        }
    }

    /// `r` and `sr`.
    #[inline]
    fn release_one(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        kind: Kind,
        name: &[u8],
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let verb = [Verb::Release, Verb::SharedRelease][kind.index()].index();
        self.counters.commands[verb] += 1;
        if self.release(id, kind, name) {
            out(conn, Output::Reply(Reply::Released { kind, name }));
        } else {
            self.counters.failures[verb] += 1;
            out(conn, Output::Reply(Reply::ReleaseFailure { kind, name }));
        }
    }

    /// Any command but those two; also those, when their name is too long.
    fn command_of_any<N: AsRef<[u8]>>(
        &mut self,
        id: Id<Connection>,
        conn: Conn,
        command: &Command<N>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let (verb, name) = command.parts();
        let too_long = name.is_some_and(|name| self.is_too_long(name.as_ref()));
        match verb {
            Some(verb) if !too_long || bug!(RefusedNameIsCounted) => {
                self.counters.commands[verb.index()] += 1;
            }
            _ => self.counters.invalid_commands += 1,
        }
        if too_long {
            mark!(NameWasTooLong);
        }
        let framed = command.is_framed();
        let features = &self.config.features;
        let is_admin = || self.connections[id].origin().account == Account::ADMIN;
        let reply = match command {
            _ if too_long => Reply::NameTooLong { framed },
            Command::LineTooLong => Reply::LineTooLong,
            Command::BadArgument(verb) => Reply::BadArgument { verb: *verb },
            Command::Unknown(_) if features.silent_errors => return,
            Command::Unknown(verb) => Reply::UnknownCommand { verb: verb.as_ref() },
            Command::Quit => {
                self.close(id, Cause::Quit, out);
                return out(conn, Output::Disconnect(Reason::Quit));
            }
            Command::Kick(addr) if is_admin() => return self.kick(conn, addr.as_ref(), out),
            Command::Steal(name) if is_admin() => self.steal(name.as_ref()),
            Command::Kick(_) => Reply::NotAllowed { verb: Verb::Kick },
            Command::Steal(_) => Reply::NotAllowed { verb: Verb::Steal },
            Command::Get(..) | Command::Release(..) => unreachable!("with a name that fits it has run"),
            Command::GetWait { .. } | Command::SharedGetLimited { .. } | Command::SharedGetWait { .. } => {
                let wish = Wish::of(command);
                match self.get(id, wish) {
                    Ok(holders) => wish.granted(holders),
                    Err(Some(reply)) => reply,
                    Err(None) => return out(conn, Output::Wait),
                }
            }
            Command::ReleaseAll => self.release_all(id),
            Command::Fence(name) => self.fence(id, name.as_ref()),
            Command::Inspect(kind, name) => {
                let holders = self.holds.find(*kind, name.as_ref()).holders();
                Reply::Inspected { kind: *kind, holders, name: name.as_ref() }
            }
            Command::ListAll(_) if !features.dump && !is_admin() => Reply::Disabled { framed },
            Command::List(..) | Command::Dump(_) if !features.dump => Reply::Disabled { framed },
            Command::Who(_) if !features.dump || !features.registry => Reply::Disabled { framed },
            Command::Iam(_) if !features.registry => Reply::Disabled { framed },
            Command::List(kind, name) => {
                Reply::Listing(Listing { subject: Subject::Locks(*kind), name: name.as_ref() })
            }
            Command::Dump(kind) => Reply::Listing(Listing { subject: Subject::Dump(*kind), name: &[] }),
            Command::ListAll(prefix) => {
                Reply::Listing(Listing { subject: Subject::All, name: prefix.as_ref() })
            }
            Command::Who(name) => Reply::Listing(Listing { subject: Subject::Who, name: name.as_ref() }),
            Command::Iam(name) => {
                self.connections.register(id, name.as_ref());
                Reply::Registered
            }
            Command::Me => {
                let connection = &self.connections[id];
                Reply::Me {
                    addr: &connection.origin().addr,
                    name: connection.registered().map(Registered::name),
                }
            }
            Command::Query { full } => {
                let figures = self.figures();
                return out(conn, Output::Reply(Reply::Figures { figures: &figures, full: *full }));
            }
            Command::Ping => Reply::Pong,
            Command::Help => Reply::Help,
        };
        if reply.is_failure()
            && !too_long
            && let Some(verb) = verb
        {
            self.counters.failures[verb.index()] += 1;
        }
        out(conn, Output::Reply(reply));
    }

    /// Releases a lock, if the connection holds it.
    #[inline]
    fn release(&mut self, id: Id<Connection>, kind: Kind, name: &[u8]) -> bool {
        if bug!(AnybodyReleases) && kind == Kind::Exclusive && self.holds.find(kind, name).holders() > 0 {
            return true;
        }
        let (tenure, tally) = (self.connections[id].tenure(), self.connections[id].tally());
        let held = tenure.and_then(|tenure| Some((self.holds.held_by(tenure, kind, name)?, tenure)));
        let Some((lock, tenure)) = held else {
            mark!(ReleaseWasRefused);
            return false;
        };
        self.end_hold(lock, tenure, tally);
        true
    }

    /// Ends the connection's tenure, as its end would; its next get begins another.
    fn release_all<'a>(&mut self, id: Id<Connection>) -> Reply<'a> {
        let Some(tenure) = self.connections[id].tenure() else { return Reply::ReleasedAll { holds: 0 } };
        let of_all = self.holds.tenure(tenure);
        if of_all.tied_count().total() > 0 && bug!(RaKeepsTiedHolds) {
            return Reply::ReleasedAll { holds: of_all.holds() };
        }
        self.connections.forget_tenure(id);
        let holds = self.end_tenure(tenure, self.connections[id].tally());
        for kind in Kind::ALL {
            self.counters.released_together[kind] += u64::from(holds[kind]);
        }
        Reply::ReleasedAll { holds: holds.total() }
    }

    fn fence<'a>(&mut self, id: Id<Connection>, name: &'a [u8]) -> Reply<'a> {
        let tenure = self.connections[id].tenure();
        let Some(lock) = tenure.and_then(|tenure| self.holds.held_by(tenure, Kind::Exclusive, name)) else {
            return Reply::NotHeld { name };
        };
        if let Some(token) = self.holds.token(lock).filter(|_| !bug!(TokenPerAsk)) {
            return Reply::Fenced { token, name };
        }
        let Some(token) = self.tokens.draw() else {
            mark!(TokensRanOut);
            return Reply::NoTokens;
        };
        mark!(TokenDrawn);
        self.counters.tokens_given += 1;
        self.holds.set_token(lock, token, self.now);
        Reply::Fenced { token, name }
    }
}
