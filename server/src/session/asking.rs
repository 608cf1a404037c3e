//! Who asks, and whether it may: each command of a connection is judged here before it goes to the gate. What is not
//! allowed goes there as a refusal, so that it is counted and answered in its turn. A token never goes there.
//!
//! A connection that must say whose it is and has not is a *stranger*. It may do little, and not for long: what it
//! sends, how many commands it sends, and its time are bounded. So its memory is.
//!
//! A server without accounts judges nothing. Its sessions have no `Asker`, and look once for each batch whether there
//! is one.

use super::alarm::Alarm;
use super::state::{End, State};
use super::{Session, SessionLog, Step};
use crate::access::{Control, Edition, Rules, STRANGERS, Verdict, lock_of};
use crate::gate::{Gate, GateHandle};
use crate::hub::Ending;
use crate::listen::{Gone, Peer, Stream};
use elockd_core::{Account, Addr, Cause, Command, Refusal, VerbSet};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tracing::warn;

/// The most bytes that are read of a stranger. A token has at most 256.
pub(super) const STRANGER_BYTES: usize = 4096;
/// The most commands that a stranger may send.
pub(super) const STRANGER_COMMANDS: u32 = 16;

/// The answer that is delayed.
const FAILURE: &[u8] = b"0 Auth Failure\n";

/// Who asks.
pub(crate) struct Asker {
    account: Account,
    /// What the account may do. `None` if it is gone, so that its connection is about to be closed.
    rules: Option<Arc<Rules>>,
    /// The number of the edition that `rules` are from.
    edition: u64,
    addr: Addr,
    /// Failed logins since the last one that succeeded.
    failures: u32,
    /// Set until it has said whose it is.
    stranger: Option<Box<Stranger>>,
    /// A login whose answer comes by mail.
    attempt: Option<Box<Attempt>>,
}

/// What a stranger has left.
struct Stranger {
    /// When it is closed.
    until: Alarm,
    bytes: usize,
    commands: u32,
}

impl Asker {
    /// Of a connection that was just accepted. Operators have none: who may open their socket may do everything.
    /// A certificate says whose a connection is, if it is an account's.
    pub(crate) fn of(control: &Control, peer: &Peer) -> Option<Newcomer> {
        let edition = control.current();
        let required = edition.access.required();
        let (must_login, certified) = match peer {
            Peer::Operator(_) => return None,
            Peer::Ip(_) => (required.tcp, None),
            Peer::Certified { names, .. } => (required.tcp, edition.access.account_of_certificate(names)),
            Peer::Unix => (required.unix, None),
        };
        let account = certified.unwrap_or(if must_login { STRANGERS } else { Account::default() });
        Some(Newcomer { account })
    }

    /// Whether it must still say whose it is.
    pub(super) fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    pub(super) fn account(&self) -> Account {
        self.account
    }

    /// Takes the rules in force, if they have changed.
    fn renew(&mut self, control: &Control) {
        if let Some(edition) = control.newer_than(self.edition) {
            self.take_rules(&edition);
        }
    }

    fn take_rules(&mut self, edition: &Edition) {
        self.rules = edition.access.account(self.account).map(|known| Arc::clone(&known.rules));
        self.edition = edition.number;
    }

    /// Judges a command. Leaves it as it is, or puts in its place what the machine is to be told. `longest` are the
    /// bytes of the longest name: the machine refuses longer ones before it looks at rules.
    fn judge(&self, command: &mut Command<Cow<'_, [u8]>>, longest: usize) {
        let verbs = match &self.rules {
            _ if self.is_stranger() => VerbSet::BEFORE_AUTH,
            Some(rules) => rules.verbs(),
            None => VerbSet::BEFORE_AUTH,
        };
        if let Command::Help(shown) = command {
            *shown = verbs;
            return;
        }
        // What is wrong with the line itself is answered as ever.
        let Some(verb) = command.verb() else { return };
        if self.is_stranger() {
            if !verbs.has(verb) {
                *command = Command::Refused(verb, Refusal::AuthRequired);
            }
            return;
        }
        if command.name().is_some_and(|name| name.len() > longest) {
            return;
        }
        let lock = lock_of(command).map(|name| &**name);
        let is_allowed = match &self.rules {
            Some(rules) => rules.judge(verb, lock) == Verdict::Allowed,
            None => verbs.has(verb),
        };
        if !is_allowed {
            *command = Command::Refused(verb, Refusal::NotAllowed);
        }
    }
}

/// A connection that was just accepted, before it has a session.
pub(crate) struct Newcomer {
    /// The account that it is counted for.
    pub(crate) account: Account,
}

impl Newcomer {
    /// Once it was admitted. A stranger has so much time.
    pub(crate) fn admitted(self, control: &Control, addr: Addr, time: Duration) -> Asker {
        let stranger = (self.account == STRANGERS).then(|| {
            Box::new(Stranger {
                until: Alarm::after(time),
                bytes: STRANGER_BYTES,
                commands: STRANGER_COMMANDS,
            })
        });
        let mut asker = Asker {
            account: self.account,
            rules: None,
            edition: 0,
            addr,
            failures: 0,
            stranger,
            attempt: None,
        };
        asker.take_rules(&control.current());
        asker
    }
}

/// A login that was tried, as far as the log may know.
pub(super) struct Attempt {
    /// Whose the token is. `None` if it is nobody's.
    account: Option<Account>,
    /// Which token it was.
    token: String,
}

impl<S, G: Gate> Session<S, G> {
    /// Whether commands run one by one, because each counts.
    pub(super) fn is_stranger(&self) -> bool {
        self.asker.as_ref().is_some_and(|asker| asker.is_stranger())
    }

    /// Judges a batch. Its last command may be a login: returns what is to be made of its answer.
    #[inline(never)]
    pub(super) fn judge(&mut self, batch: &mut [Command<Cow<'_, [u8]>>]) -> Result<Option<Attempt>, End> {
        let (Some(asker), Some(control)) = (&mut self.asker, &self.shared.access) else { return Ok(None) };
        asker.renew(control);
        if let Some(stranger) = &mut asker.stranger {
            assert!(batch.len() == 1, "a stranger's commands run one by one");
            let Some(left) = stranger.commands.checked_sub(1) else { return Err(End::Stranger) };
            stranger.commands = left;
        }
        let longest = usize::from(self.shared.config.machine.limits.name_bytes);
        let mut attempt = None;
        for command in batch {
            if let Command::Auth(token) = command {
                let known = control.current().access.account_of_token(token);
                let account = known.as_ref().map(|known| known.account);
                let token = known.map(|known| known.digest.short()).unwrap_or_default();
                *command = Command::Login(account);
                attempt = Some(Attempt { account, token });
            } else {
                asker.judge(command, longest);
            }
        }
        Ok(attempt)
    }

    /// Keeps a login until its answer comes by mail.
    pub(super) fn keep_attempt(&mut self, attempt: Attempt) {
        if let Some(asker) = &mut self.asker {
            asker.attempt = Some(Box::new(attempt));
        }
    }

    /// The login whose answer has come by mail, if it is one.
    pub(super) fn take_attempt(&mut self) -> Option<Box<Attempt>> {
        self.asker.as_mut()?.attempt.take()
    }

    /// How many bytes may be read. 0 if a stranger has sent what it may.
    pub(super) fn may_read_bytes(&self, room: usize) -> usize {
        let stranger = self.asker.as_ref().and_then(|asker| asker.stranger.as_ref());
        stranger.map_or(room, |stranger| stranger.bytes.min(room))
    }

    /// Notes what was read.
    pub(super) fn note_read(&mut self, bytes: usize) {
        if let Some(stranger) = self.asker.as_mut().and_then(|asker| asker.stranger.as_mut()) {
            stranger.bytes -= bytes;
        }
    }

    /// Ready when a stranger's time is over.
    pub(super) fn poll_stranger(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(stranger) = self.asker.as_mut().and_then(|asker| asker.stranger.as_mut()) else {
            return Poll::Pending;
        };
        ready!(stranger.until.poll(cx));
        Poll::Ready(End::Stranger)
    }

    /// Notes that a stranger is closed.
    pub(super) fn note_stranger_closed(&self) {
        if let Some(control) = &self.shared.access {
            control.strangers_closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S: Stream, G: Gate> Session<S, G> {
    /// Takes note of the answer to a login, which is the last of `replies`. A wrong token's is taken back, and given
    /// later.
    #[cold]
    pub(super) fn after_login(&mut self, attempt: &Attempt, replies: &mut Vec<u8>) -> Option<Step> {
        let (Some(asker), Some(control)) = (&mut self.asker, &self.shared.access) else { return None };
        let Some(account) = attempt.account else {
            assert!(replies.ends_with(FAILURE), "the machine knows no account of a token that nobody knows");
            replies.truncate(replies.len() - FAILURE.len());
            let ip = match asker.addr {
                Addr::Ip(addr) => Some(addr),
                Addr::Unix(_) => None,
            };
            let penalty = control.brake.failed(ip, asker.failures);
            asker.failures = asker.failures.saturating_add(1);
            let addr = asker.addr;
            match penalty.line {
                Some(0) => warn!(%addr, "{addr} failed to authenticate: no such token"),
                Some(untold) => warn!(
                    %addr,
                    untold,
                    "{addr} failed to authenticate: no such token; {untold} failures before it were not logged"
                ),
                None => {}
            }
            return Some(Step::Brake(penalty.delay));
        };
        if self.handle.account() != account {
            // It holds something of its old account. That is no guess, so it is answered at once.
            return None;
        }
        asker.account = account;
        asker.failures = 0;
        asker.stranger = None;
        let edition = control.current();
        asker.take_rules(&edition);
        let known = edition.access.account(account)?;
        if known.rules.is_operator() {
            let log = self.log.get_or_insert_with(|| Box::new(SessionLog::silent(asker.addr)));
            log.is_account_with_rights(&known.name);
        }
        if let Some(log) = &mut self.log {
            log.logged_in(&known.name, &attempt.token);
        }
        None
    }

    /// Waits until a failed login is answered. Nothing is read or run meanwhile. What was answered before is sent. If
    /// the peer ends, what it holds is released at once, as at the end of a wait. Only its answer comes later.
    pub(super) fn poll_brake(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        if let Poll::Ready(Err(end)) = self.poll_send(cx, &mut Vec::new()) {
            return Poll::Ready(self.finish(end));
        }
        if let Poll::Ready(end) = self.poll_stranger(cx) {
            return Poll::Ready(self.finish(end));
        }
        match self.poll_end_of_braked(cx) {
            Poll::Ready(Gone::Error) => return Poll::Ready(self.finish(End::Error)),
            Poll::Ready(Gone::Fin) => {
                drop(self.take_unrun());
                self.handle.close(self.now(), Cause::Eof);
                self.backlog().is_at_end = true;
            }
            Poll::Pending => {}
        }
        let ending = self.poll_ending(cx);
        if let Poll::Ready(Ending::Machine(reason)) = ending {
            return Poll::Ready(self.finish(End::Closed(reason)));
        }
        let State::Braking(alarm) = &mut self.state else { panic!("no login is braked") };
        if ending.is_pending() {
            ready!(alarm.poll(cx));
        }
        self.unsent().extend_from_slice(FAILURE);
        Poll::Ready(match ending {
            Poll::Ready(_) => self.finish(End::Drained),
            Poll::Pending if self.is_at_end() => self.finish(End::Eof),
            Poll::Pending => State::Running,
        })
    }

    /// Ready when the peer has ended. Nothing is read, so the stream is asked.
    fn poll_end_of_braked(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if self.is_at_end() {
            return Poll::Ready(Gone::Fin);
        }
        self.backlog().has_unseen = true;
        self.stream.poll_gone(cx)
    }
}
