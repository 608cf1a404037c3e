//! The task that owns the connection of one or more holds. It asks for them, notices at once when the connection ends,
//! does what guards order, and resumes the holds on a new connection if they have a grace.
//!
//! ```text
//!              every heartbeat: `f` for each hold          no proof for too long
//!   ┌────────┐ ──────────────────────────────▶ ┌───────┐ ─────────────────────────▶ ┌──────┐
//!   │ linked │            answered             │ asked │                            │ lost │
//!   └────────┘ ◀────────────────────────────── └───────┘                            └──────┘
//!       │ ▲                                                                            ▲
//!       │ │ the daemon gave the holds to a new connection                              │
//!       │ └──────────────────────────── ┌──────────┐     no grace, or it is over       │
//!       └─────────────────────────────▶ │ resuming │ ──────────────────────────────────┘
//!         the connection ends           └──────────┘
//! ```

use crate::answer::Answer;
use crate::client::{Asked, Shared};
use crate::error::Error;
use crate::guard::Guard;
use crate::hold::{Hold, Proof};
use crate::link::{Link, Want, proof};
use crate::lost::Lost;
use crate::transport::Transport;
use crate::tries::Tries;
use elockd_core::{Command, Reply};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What guards and sessions want of a keeper.
#[derive(Debug)]
pub(crate) enum Order {
    /// Release a hold.
    Release { hold: Arc<Hold>, done: Option<oneshot::Sender<Result<(), Lost>>> },
    /// Get another lock on the same connection.
    Get { want: Want, asked: Asked, done: oneshot::Sender<Result<Guard, Error>> },
    /// Release everything and end the connection.
    Close { done: oneshot::Sender<Result<(), Error>> },
}

/// A question that the daemon has not answered yet.
#[derive(Debug)]
enum Question {
    /// Whether a hold stands.
    Beat(Arc<Hold>),
    /// A release.
    Release(Arc<Hold>, Option<oneshot::Sender<Result<(), Lost>>>),
}

/// Owns a connection and its holds.
pub(crate) struct Keeper<T: Transport> {
    pub(crate) shared: Arc<Shared<T>>,
    /// `None` before a session's first lock, and after the connection was lost.
    link: Option<Link<T>>,
    holds: Vec<Arc<Hold>>,
    orders: UnboundedReceiver<Order>,
    /// For the guards of locks that are got later. Only guards and sessions keep the channel open.
    sender: WeakUnboundedSender<Order>,
    /// Questions with the time at which each was sent.
    asked: VecDeque<(Instant, Question)>,
    /// Since when the first of them is the first.
    first_since: Instant,
    /// When the last heartbeat was sent.
    last_beat: Instant,
    /// Locks that a broken connection may have got in the end. They must be released if it is resumed.
    unwanted: Vec<Want>,
}

impl<T: Transport> Keeper<T> {
    /// Keeps what a link holds. Must be called within a tokio runtime.
    pub(crate) fn keep(shared: Arc<Shared<T>>, link: Link<T>, holds: Vec<Arc<Hold>>) -> Vec<Guard> {
        let server = link.server.clone();
        let (keeper, sender) = Self::new(shared, Some(link), holds.clone());
        tokio::spawn(keeper.run());
        holds.into_iter().map(|hold| Guard::new(hold, sender.clone(), server.clone())).collect()
    }

    /// Keeps what a session will hold. Must be called within a tokio runtime.
    pub(crate) fn begin(shared: Arc<Shared<T>>) -> UnboundedSender<Order> {
        let (keeper, sender) = Self::new(shared, None, Vec::new());
        tokio::spawn(keeper.run());
        sender
    }

    fn new(
        shared: Arc<Shared<T>>,
        link: Option<Link<T>>,
        holds: Vec<Arc<Hold>>,
    ) -> (Self, UnboundedSender<Order>) {
        let (sender, orders) = unbounded_channel();
        let now = Instant::now();
        // A late answer leaves little time until the next question.
        let last_beat = holds.iter().map(|hold| hold.proven()).min().unwrap_or(now);
        let keeper = Self {
            shared,
            link,
            holds,
            orders,
            sender: sender.downgrade(),
            asked: VecDeque::new(),
            first_since: now,
            last_beat,
            unwanted: Vec::new(),
        };
        (keeper, sender)
    }

    async fn run(mut self) {
        let mut is_ordered = true;
        while is_ordered || !self.asked.is_empty() {
            let due = self.due();
            let link = &mut self.link;
            // What the daemon says comes first: it may be that the connection has ended.
            tokio::select! {
                biased;
                said = async {
                    match link {
                        Some(link) => link.connection.receive().await,
                        None => pending().await,
                    }
                } => self.hear(said).await,
                order = self.orders.recv(), if is_ordered => match order {
                    Some(order) => self.obey(order).await,
                    None => is_ordered = false,
                },
                () = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => pending().await,
                    }
                } => self.look().await,
            }
        }
        // Each guard has ordered its release.
        debug_assert!(self.holds.is_empty(), "a hold has no guard");
        if let Some(link) = self.link.take() {
            link.end(&self.shared).await;
        }
    }

    /// When something must be done though nothing happens.
    fn due(&self) -> Option<Instant> {
        self.link.as_ref()?;
        // One that is over, as a guard has noticed, is due now.
        let expiry = self.holds.iter().filter_map(|hold| hold.expiry()).min();
        let expiry =
            if self.holds.iter().any(|hold| hold.lost().is_some()) { Some(Instant::now()) } else { expiry };
        let other = if self.asked.is_empty() {
            (!self.holds.is_empty()).then(|| self.last_beat + self.shared.settings.times.heartbeat)
        } else {
            Some(self.first_since + self.shared.settings.times.answer_timeout)
        };
        expiry.into_iter().chain(other).min()
    }

    /// Asks for the holds if it is time to, and notices silence.
    async fn look(&mut self) {
        let now = Instant::now();
        let is_silent =
            !self.asked.is_empty() && now >= self.first_since + self.shared.settings.times.answer_timeout;
        // A hold that is over by the clock may still stand in the daemon. The end of the connection ends it there.
        if is_silent || self.holds.iter().any(|hold| hold.lost().is_some()) {
            self.break_off(Lost::Silent).await;
        } else if self.asked.is_empty() && now >= self.last_beat + self.shared.settings.times.heartbeat {
            self.beat();
        }
    }

    /// Asks for all holds.
    fn beat(&mut self) {
        self.last_beat = Instant::now();
        for hold in self.holds.clone() {
            let command = Command::Fence(hold.kind, hold.name.clone());
            self.ask(&command, Question::Beat(hold));
        }
    }

    fn ask(&mut self, command: &Command<Vec<u8>>, question: Question) {
        let Some(link) = &mut self.link else { return };
        let now = Instant::now();
        if self.asked.is_empty() {
            self.first_since = now;
        }
        link.connection.send(command);
        self.asked.push_back((now, question));
    }

    /// Takes what the daemon says: the answer to the first question, or the end.
    async fn hear(&mut self, said: Result<Answer, Error>) {
        let answer = match said {
            Ok(answer) => answer,
            Err(error) => return self.break_off(Lost::by(&error)).await,
        };
        // The connection returns no more answers than there were questions.
        let Some((sent, question)) = self.asked.pop_front() else { return };
        self.first_since = Instant::now();
        match question {
            Question::Beat(hold) => match proof(&answer, hold.kind, &hold.name, sent) {
                Ok(proof) => {
                    hold.prove(proof);
                    // Another token: the connection has a hold that is not ours.
                    if hold.lost() == Some(Lost::Stolen) {
                        return self.break_off(Lost::Protocol).await;
                    }
                }
                Err(Error::Lost(lost)) => {
                    hold.lose(lost);
                }
                Err(_) => return self.break_off(Lost::Protocol).await,
            },
            Question::Release(hold, done) => {
                let result = match answer.reply() {
                    Some(Reply::Released { .. }) => hold.release(),
                    Some(Reply::ReleaseFailure { .. }) => Err(hold.lose(Lost::Stolen)),
                    _ => {
                        self.asked.push_front((sent, Question::Release(hold, done)));
                        return self.break_off(Lost::Protocol).await;
                    }
                };
                answer_release(done, result);
            }
        }
        self.forget_the_stolen();
    }

    /// Forgets holds that the daemon says are none. Holds that are over by the clock are another matter.
    fn forget_the_stolen(&mut self) {
        self.holds.retain(|hold| hold.lost() != Some(Lost::Stolen));
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Release { hold, done } => {
                let is_here = self.holds.iter().any(|here| Arc::ptr_eq(here, &hold));
                if !is_here {
                    return answer_release(done, hold.release());
                }
                self.holds.retain(|here| !Arc::ptr_eq(here, &hold));
                let command = Command::Release(hold.kind, hold.name.clone());
                self.ask(&command, Question::Release(hold, done));
            }
            Order::Get { want, asked, done } => self.get(want, asked, done).await,
            Order::Close { done } => {
                let result = self.close().await;
                let _ = done.send(result);
            }
        }
    }

    /// Gets another lock. Meanwhile the daemon answers nothing else, so nothing else is asked.
    async fn get(&mut self, want: Want, asked: Asked, mut done: oneshot::Sender<Result<Guard, Error>>) {
        self.settle().await;
        let Some(sender) = self.sender.upgrade() else { return };
        // The daemon would say that it is ours. Then two guards had one hold, and the release of one ended the other's.
        let is_same = |hold: &Arc<Hold>| {
            hold.name == want.name && (hold.kind == want.kind || Some(hold.kind) == want.kind.rival())
        };
        if self.holds.iter().any(is_same) {
            return drop(done.send(Err(Error::Deadlock)));
        }
        let holds_nothing = self.holds.is_empty();
        self.holds.iter().for_each(|hold| hold.stop_asking());
        let getting = get_on(&mut self.link, &self.shared, &want, &asked, holds_nothing);
        let got = tokio::select! {
            biased;
            got = getting => got,
            // Nobody wants it any more. Only the end of the connection ends a wait.
            () = done.closed(), if holds_nothing => {
                self.link.take().into_iter().for_each(Link::abandon);
                return;
            }
        };
        let Some(link) = &mut self.link else {
            if let Err(error) = got {
                let _ = done.send(Err(error));
            }
            return;
        };
        let server = link.server.clone();
        let result = match got {
            Ok(proof) => {
                let good_for = self.shared.good_for(link);
                let hold = Arc::new(Hold::new(want.kind, want.name, proof, good_for));
                self.holds.push(Arc::clone(&hold));
                Ok(Guard::new(hold, sender, server))
            }
            Err(error) => {
                if error.breaks() {
                    self.unwanted.push(want);
                    self.break_off(Lost::by(&error)).await;
                } else if link.is_broken {
                    self.break_off(Lost::Silent).await;
                }
                Err(error)
            }
        };
        if self.link.is_some() {
            self.beat();
        }
        // If nobody wants it any more, the guard is dropped, and that is an order to release it.
        let _ = done.send(result);
    }

    /// Waits until all questions are answered, or the connection is lost.
    async fn settle(&mut self) {
        while !self.asked.is_empty() {
            let limit = self.first_since + self.shared.settings.times.answer_timeout;
            let Some(link) = &mut self.link else { return };
            let said = timeout_at(limit, link.connection.receive()).await;
            self.hear(said.unwrap_or_else(|_| Err(Error::silent()))).await;
        }
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.settle().await;
        let patience = self.shared.settings.times.answer_timeout;
        self.lose_all(Lost::SessionClosed);
        match self.link.take() {
            Some(link) => link.connection.quit(patience).await,
            None => Ok(()),
        }
    }

    fn lose_all(&mut self, lost: Lost) {
        for hold in self.holds.drain(..) {
            hold.lose(lost);
        }
    }

    /// Gives the connection up. With a grace, its holds are resumed on a new one. Without, they are lost.
    async fn break_off(&mut self, lost: Lost) {
        let Some(link) = self.link.take() else { return };
        let (grace, server) = (link.grace.clone(), link.server.clone());
        if self.shared.settings.is_cluster
            && let Some(at) = self.shared.settings.servers.iter().position(|of| *of == server)
        {
            self.shared.leave(at);
        }
        let asked = std::mem::take(&mut self.asked);
        let unwanted = std::mem::take(&mut self.unwanted);
        // Whoever waits for a release holds as much as the others do until it is known.
        let releasing: Vec<_> = asked
            .into_iter()
            .filter_map(|(_, question)| match question {
                Question::Beat(_) => None,
                Question::Release(hold, done) => Some((hold, done)),
            })
            .collect();
        let all: Vec<_> =
            self.holds.iter().chain(releasing.iter().map(|(hold, _)| hold)).map(Arc::clone).collect();
        let resumed = match grace {
            Some(grace) if all.iter().any(|hold| hold.lost().is_none()) => {
                drop(link);
                for hold in &all {
                    hold.begin_resuming(self.shared.settings.times.counted(grace.time));
                }
                self.resume(&server, &grace, &all).await
            }
            _ => {
                link.abandon();
                Err(lost)
            }
        };
        match resumed {
            Ok(link) => {
                self.link = Some(link);
                self.forget_the_stolen();
                // Their guards were told that they are lost. So nobody is to have them.
                let (over, left): (Vec<_>, _) = self.holds.drain(..).partition(|hold| hold.lost().is_some());
                self.holds = left;
                for (hold, done) in over.into_iter().map(|hold| (hold, None)).chain(releasing) {
                    let command = Command::Release(hold.kind, hold.name.clone());
                    self.ask(&command, Question::Release(hold, done));
                }
                for Want { name, kind, .. } in unwanted {
                    let nobody = Proof { sent: Instant::now(), token: None };
                    let command = Command::Release(kind, name.clone());
                    let extra = Arc::new(Hold::new(kind, name, nobody, Duration::ZERO));
                    self.ask(&command, Question::Release(extra, None));
                }
            }
            Err(lost) => {
                self.lose_all(lost);
                for (hold, done) in releasing {
                    // It may have been released, and it may not. Nobody can count on it having been held.
                    answer_release(done, Err(hold.lose(lost)));
                }
            }
        }
    }
}

/// Gets a lock on a session's connection, and connects first if there is none. If the session holds nothing and a node
/// of a cluster fails, it is got at the next one. If there is no connection afterwards, there is an error.
async fn get_on<T: Transport>(
    link: &mut Option<Link<T>>,
    shared: &Shared<T>,
    want: &Want,
    asked: &Asked,
    holds_nothing: bool,
) -> Result<Proof, Error> {
    let mut tries = Tries::new(shared, asked.patience);
    loop {
        let here = match link {
            Some(link) => link,
            // A new one: a used one may turn out to have ended.
            None => link.insert(shared.open(asked.name.as_deref(), false, &mut tries).await?),
        };
        tries.begin();
        let linger = asked.linger.or(shared.settings.linger);
        let error = match here.get_another(want, asked.patience, linger).await {
            Ok(proof) => return Ok(proof),
            Err(error) => error,
        };
        if !holds_nothing {
            return Err(error);
        }
        let reason = Tries::reason_in_request(shared, error)?;
        let server = here.server.clone();
        link.take().into_iter().for_each(Link::abandon);
        tries.next_after_request(shared, &server, reason).await?;
    }
}

fn answer_release(done: Option<oneshot::Sender<Result<(), Lost>>>, result: Result<(), Lost>) {
    if let Some(done) = done {
        // If nobody waits any more, nobody needs to know.
        let _ = done.send(result);
    }
}

impl<T: Transport> Drop for Keeper<T> {
    /// The runtime ends, or the task has panicked: the connection is closed.
    fn drop(&mut self) {
        self.lose_all(Lost::RuntimeGone);
    }
}
