//! A connection together with what it carries: which daemon it leads to, its registered name, its grace. Questions
//! have a limit of time here, and answers become results.

use crate::access_token::AccessToken;
use crate::answer::Answer;
use crate::client::Shared;
use crate::connection::Connection;
use crate::error::{Error, Refusal};
use crate::hold::Proof;
use crate::holder::Holder;
use crate::lost::Lost;
use crate::server::Server;
use crate::transport::Transport;
use elockd_core::wire::Role;
use elockd_core::{Command, Kind, Reply, Subject, Wish};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A lock that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Want {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// How many may share it. 0 is no limit.
    pub(crate) limit: u32,
}

/// How long somebody wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until this time.
    Until(Instant),
    /// As long as it takes.
    Endless,
}

impl Patience {
    pub(crate) fn of(wait: Duration) -> Self {
        // A time so far away that it cannot be computed does not come.
        Instant::now().checked_add(wait).map_or(Self::Endless, Self::Until)
    }

    /// Whether it has an end, which will have come when so much time has passed.
    pub(crate) fn is_over_in(self, time: Duration) -> bool {
        matches!(self, Self::Until(end) if end <= Instant::now() + time)
    }

    /// The milliseconds that are left, as the protocol can say them, and whether they are the last. `None` if the wait
    /// has none: then the request is not one that waits.
    fn left(self) -> Option<(u32, bool)> {
        match self {
            Self::None => None,
            Self::Endless => Some((u32::MAX, false)),
            Self::Until(end) => {
                let left = end.saturating_duration_since(Instant::now()).as_nanos().div_ceil(1_000_000);
                Some(u32::try_from(left).map_or((u32::MAX, false), |ms| (ms, true)))
            }
        }
    }
}

/// What `linger` was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grace {
    pub(crate) key: Vec<u8>,
    pub(crate) time: Duration,
}

/// A connection and what it carries.
pub(crate) struct Link<T: Transport> {
    pub(crate) connection: Connection<T::Stream>,
    pub(crate) server: Server,
    /// How long an answer may take.
    pub(crate) answer_timeout: Duration,
    /// Whether to find out who has a lock that is not to be had.
    pub(crate) explains_held: bool,
    /// Whether a name was registered.
    pub(crate) is_named: bool,
    pub(crate) grace: Option<Grace>,
    /// Whether an answer is missing that nobody waits for any more.
    pub(crate) is_broken: bool,
    pub(crate) past: Past,
}

/// What happened to a connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It was opened for this.
    New,
    /// It was used before, and may have ended unnoticed.
    Used,
}

impl<T: Transport> Link<T> {
    /// The next answer, within the time that an answer may take and `more`.
    pub(crate) async fn receive(&mut self, more: Duration) -> Result<Answer, Error> {
        let limit = self.answer_timeout.saturating_add(more);
        timeout(limit, self.connection.receive()).await.unwrap_or_else(|_| Err(Error::silent()))
    }

    pub(crate) async fn ask<N: AsRef<[u8]>>(&mut self, command: &Command<N>) -> Result<Answer, Error> {
        self.connection.send(command);
        self.receive(Duration::ZERO).await
    }

    pub(crate) async fn ping(&mut self) -> Result<Duration, Error> {
        let sent = Instant::now();
        let answer = self.ask(&Command::<&[u8]>::Ping).await?;
        match answer.reply() {
            Some(Reply::Pong) => Ok(sent.elapsed()),
            _ => Err(answer.unexpected("`1 pong`")),
        }
    }

    pub(crate) async fn stats(&mut self) -> Result<BTreeMap<String, String>, Error> {
        let answer = self.ask(&Command::<&[u8]>::Query { full: true }).await?;
        let figures = answer.figures()?;
        Ok(figures.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Says which account it is.
    pub(crate) async fn log_in(&mut self, token: &AccessToken) -> Result<(), Error> {
        let logging_in = self.connection.log_in(token);
        timeout(self.answer_timeout, logging_in).await.unwrap_or_else(|_| Err(Error::silent()))
    }

    /// Registers a name, or takes it back if it is empty.
    pub(crate) async fn register(&mut self, name: &[u8]) -> Result<(), Error> {
        self.is_named = true;
        let answer = self.ask(&Command::Iam(name)).await?;
        match answer.reply() {
            Some(Reply::Registered) => {
                self.is_named = !name.is_empty();
                Ok(())
            }
            _ => Err(answer.unexpected("`1 ok`")),
        }
    }

    /// Asks for a grace, unless it has one. None is wanted if the time is 0.
    pub(crate) async fn linger(&mut self, time: Duration) -> Result<(), Error> {
        if self.grace.is_some() || time.is_zero() {
            return Ok(());
        }
        let Ok(ms) = u32::try_from(time.as_millis()) else {
            return Err(Error::Refused(Refusal::LingerTooLong));
        };
        // 0 on the wire means none.
        let answer = self.ask(&Command::<&[u8]>::Linger(ms.max(1))).await?;
        match answer.reply() {
            Some(Reply::Lingers { key: Some(key), ms }) => {
                self.grace = Some(Grace { key: key.to_vec(), time: Duration::from_millis(ms.into()) });
                Ok(())
            }
            _ => Err(answer.unexpected("a key")),
        }
    }

    /// Gets a lock and asks for its token. After an error the connection does not hold this lock, if it still works.
    pub(crate) async fn get(&mut self, want: &Want, patience: Patience) -> Result<Proof, Error> {
        let plain = Wish::at_once(want.kind, &want.name[..]);
        let plain = if want.limit > 0 { plain.limited(want.limit) } else { plain };
        if patience == Patience::None {
            return self.get_at_once(want, plain).await;
        }
        while let Some((ms, is_last)) = patience.left() {
            self.connection.send(&Command::Get(plain.waiting(ms)));
            let answer = self.receive(Duration::from_millis(ms.into())).await?;
            match got(&answer, want) {
                Err(Error::Timeout) if !is_last => {}
                result => {
                    result?;
                    break;
                }
            }
        }
        // The answer may have been on its way for as long as the wait, so it proves nothing of now.
        self.prove(want).await
    }

    async fn get_at_once(&mut self, want: &Want, wish: Wish<&[u8]>) -> Result<Proof, Error> {
        let sent = Instant::now();
        self.connection.send(&Command::Get(wish));
        // In the same packet.
        self.send_fence(want);
        let answer = self.receive(Duration::ZERO).await?;
        match got(&answer, want) {
            Err(error) if error.breaks() => Err(error),
            result => {
                // If the lock is not to be had, this answer does not matter.
                let fence = self.receive(Duration::ZERO).await?;
                result?;
                proof(&fence, want.kind, &want.name, sent)
            }
        }
    }

    /// Gets locks to keep, one after the other: all of them or none. An error that is `Held` says by whom.
    pub(crate) async fn get_all(
        &mut self,
        wants: &[Want],
        patience: Patience,
        linger: Option<Duration>,
    ) -> Result<Vec<Proof>, Error> {
        let mut proofs = Vec::new();
        for want in wants {
            match self.get(want, patience).await {
                Ok(proof) => proofs.push(proof),
                Err(error) => return Err(self.undo(want, error, !proofs.is_empty()).await),
            }
        }
        self.settle(wants, proofs, linger).await
    }

    /// Makes sure of locks that were got one after the other, and of their grace. After an error none is held.
    pub(crate) async fn settle(
        &mut self,
        wants: &[Want],
        proofs: Vec<Proof>,
        linger: Option<Duration>,
    ) -> Result<Vec<Proof>, Error> {
        let settling = async {
            if let Some(time) = linger {
                self.linger(time).await?;
            }
            // The first of several was proven some time ago.
            if wants.len() > 1 { self.prove_all(wants).await } else { Ok(proofs) }
        };
        match settling.await {
            Err(error) if !error.breaks() => {
                self.is_broken |= self.release_all().await.is_err();
                Err(error)
            }
            result => result,
        }
    }

    /// After a lock was not to be had: releases the others, and finds out who has it. If that fails, so has the link.
    pub(crate) async fn undo(&mut self, want: &Want, error: Error, has_others: bool) -> Error {
        if error.breaks() {
            return error;
        }
        if has_others && let Err(error) = self.release_all().await {
            return error;
        }
        self.explain(want, error).await
    }

    /// If the lock is held, finds out by whom. If that fails, the lock is held all the same, and the link is broken.
    async fn explain(&mut self, want: &Want, error: Error) -> Error {
        if !self.explains_held || !matches!(error, Error::Held { .. }) {
            return error;
        }
        let by = self.holder(want).await.unwrap_or_else(|_| {
            self.is_broken = true;
            None
        });
        Error::Held { since: by.as_ref().map(|by| by.since), by: by.map(Box::new) }
    }

    /// Gets another lock on a connection that may hold some.
    pub(crate) async fn get_another(
        &mut self,
        want: &Want,
        patience: Patience,
        linger: Option<Duration>,
    ) -> Result<Proof, Error> {
        let proof = match self.get(want, patience).await {
            Ok(proof) => proof,
            Err(error) if error.breaks() => return Err(error),
            Err(error) => return Err(self.explain(want, error).await),
        };
        if let Some(time) = linger
            && let Err(error) = self.linger(time).await
        {
            if !error.breaks() {
                self.ask(&Command::Release(want.kind, &want.name[..])).await?;
            }
            return Err(error);
        }
        Ok(proof)
    }

    /// Asks for the tokens of several holds at once.
    pub(crate) async fn prove_all(&mut self, wants: &[Want]) -> Result<Vec<Proof>, Error> {
        let sent = Instant::now();
        for want in wants {
            self.send_fence(want);
        }
        let mut proofs = Vec::new();
        for want in wants {
            let answer = self.receive(Duration::ZERO).await?;
            proofs.push(proof(&answer, want.kind, &want.name, sent));
        }
        proofs.into_iter().collect()
    }

    /// Asks for the token of a hold.
    pub(crate) async fn prove(&mut self, want: &Want) -> Result<Proof, Error> {
        let sent = Instant::now();
        self.send_fence(want);
        let answer = self.receive(Duration::ZERO).await?;
        proof(&answer, want.kind, &want.name, sent)
    }

    fn send_fence(&mut self, want: &Want) {
        self.connection.send(&Command::Fence(want.kind, &want.name[..]));
    }

    /// Releases everything.
    pub(crate) async fn release_all(&mut self) -> Result<(), Error> {
        let answer = self.ask(&Command::<&[u8]>::ReleaseAll).await?;
        match answer.reply() {
            Some(Reply::ReleasedAll { .. }) => Ok(()),
            _ => Err(answer.unexpected("a number of locks")),
        }
    }

    /// Waits until the holds are over that a lock has now.
    pub(crate) async fn await_end(
        &mut self,
        kind: Kind,
        name: &[u8],
        patience: Patience,
    ) -> Result<(), Error> {
        loop {
            let (ms, is_last) = patience.left().unwrap_or((0, true));
            self.connection.send(&Command::AwaitEnd { kind, ms, name });
            let answer = self.receive(Duration::from_millis(ms.into())).await?;
            return match answer.reply() {
                Some(Reply::Ended { .. }) => Ok(()),
                Some(Reply::EndTimeout { .. }) if !is_last => continue,
                Some(Reply::EndTimeout { .. }) => Err(Error::Timeout),
                Some(Reply::EndDeadlock { .. }) => Err(Error::Deadlock),
                _ => Err(answer.unexpected("the end of a wait")),
            };
        }
    }

    /// The rows of `ls` for all locks whose names begin so. It may take `more` than other answers.
    pub(crate) async fn list(&mut self, prefix: &[u8], more: Duration) -> Result<Vec<Holder>, Error> {
        self.connection.send(&Command::ListAll(prefix));
        let answer = self.receive(more).await?;
        Ok(answer.rows(Subject::All)?.iter().filter_map(Holder::of).collect())
    }

    /// Takes over what the connection held that had this grace.
    pub(crate) async fn resume(&mut self, grace: &Grace) -> Result<Resume, Error> {
        // It must not be put into the pool, whatever the answer is.
        self.grace = Some(grace.clone());
        let answer = self.ask(&Command::Resume(&grace.key[..])).await?;
        match answer.reply() {
            Some(Reply::Resumed { .. }) => Ok(Resume::Resumed),
            Some(Reply::ResumeFailure) => Ok(Resume::Gone),
            _ => Err(answer.unexpected("the end of a grace")),
        }
    }
}

/// How a resumption ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    Resumed,
    Gone,
}

/// What the answer to a get means.
fn got(answer: &Answer, want: &Want) -> Result<(), Error> {
    match answer.reply() {
        Some(Reply::Got { kind, name, .. }) if (kind, name) == (want.kind, &want.name[..]) => Ok(()),
        Some(Reply::GetFailure { .. }) => Err(Error::Held { by: None, since: None }),
        Some(Reply::GetTimeout { .. }) => Err(Error::Timeout),
        Some(Reply::GetDeadlock { .. }) => Err(Error::Deadlock),
        _ => Err(answer.unexpected("the answer to a get")),
    }
}

/// What the answer to `f` means.
pub(crate) fn proof(answer: &Answer, kind: Kind, name: &[u8], sent: Instant) -> Result<Proof, Error> {
    match answer.reply() {
        Some(Reply::Fenced { kind: of, token, name: on }) if (of, on) == (kind, name) => {
            Ok(Proof { sent, token: Some(token) })
        }
        // Whoever does not hold the lock is told so first.
        Some(Reply::NoTokens) => Ok(Proof { sent, token: None }),
        Some(Reply::NotHeld { .. }) => Err(Error::Lost(Lost::Stolen)),
        _ => Err(answer.unexpected("a token")),
    }
}

impl<T: Transport> Link<T> {
    /// Who has a lock, for an error. `None` if the daemon does not tell.
    async fn holder(&mut self, want: &Want) -> Result<Option<Holder>, Error> {
        let rows = match self.list(&want.name, Duration::ZERO).await {
            Err(Error::Refused(_)) => return Ok(None),
            rows => rows?,
        };
        let is_it = |row: &Holder| {
            let kind = row.group.kind;
            let is_in_the_way = kind == want.kind || Some(kind) == want.kind.rival();
            row.lock == want.name && row.group.role == Role::Holds && is_in_the_way
        };
        Ok(rows.into_iter().find(is_it))
    }

    /// Ends it without waiting for anything. If it has a grace, the daemon is told that nobody will come back. It is
    /// told in vain if the connection is broken.
    pub(crate) fn abandon(mut self) {
        if self.grace.is_some() {
            tokio::spawn(async move {
                self.connection.send(&Command::<&[u8]>::Quit);
                let _ = timeout(self.answer_timeout, self.connection.flush()).await;
            });
        }
    }

    /// Ends it: it is kept for the next one if it carries nothing, and else it says `quit`. It must hold nothing.
    pub(crate) async fn end(mut self, shared: &Shared<T>) {
        if self.is_broken {
            self.abandon();
        } else if self.grace.is_none() && (!self.is_named || self.register(b"").await.is_ok()) {
            shared.pool.put(self.connection, self.server);
        } else {
            // If the daemon does not answer, the socket's end is all that can be done.
            let _ = self.connection.quit(self.answer_timeout).await;
        }
    }
}
