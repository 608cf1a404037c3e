//! What the tasks on a client's host do: they get locks in every way of the library, hold them for a while, and
//! release or drop them. When trouble is over, each gets every lock once more.

use super::cables::{Cables, Dialer, now};
use super::plan::{INDEX, LEADER, LIMIT, LOCKS, RATE, RATE_MS, WORKERS};
use super::umpire::{Asking, Umpire};
use elockd_client::{Client, Error, Guard, Refusal, Watch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What all hosts share.
pub(super) struct Common {
    pub(super) seed: u64,
    pub(super) cables: Cables,
    pub(super) umpire: RefCell<Umpire>,
    /// Whether trouble is over.
    pub(super) is_over: Cell<bool>,
    /// Tasks that have ended what they did then.
    pub(super) idle: Cell<u32>,
    /// Whether they may go on and get every lock.
    pub(super) may_go_on: Cell<bool>,
    /// Tasks that have got every lock.
    pub(super) done: Cell<u32>,
    /// Processes that were started. Each has random numbers of its own.
    pub(super) starts: Cell<u64>,
    /// Requests that were made.
    pub(super) requests: Cell<u64>,
}

impl Common {
    fn got(&self, asking: &Asking, name: &str, watch: Watch) -> u64 {
        let mut umpire = self.umpire.borrow_mut();
        umpire.now_ms = now_ms();
        umpire.got(asking, name, watch)
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

pub(super) fn now_ms() -> u32 {
    now().as_millis() as u32
}

/// The process on a client's host.
pub(super) async fn host(common: Rc<Common>, host: u8) -> turmoil::Result {
    let start = common.starts.get() + 1;
    common.starts.set(start);
    let mut rng = ChaCha8Rng::seed_from_u64(common.seed);
    rng.set_stream(start);
    let client = Client::builder()
        .server("daemon:9999".parse()?)
        .seed(rng.random())
        .explain_held(rng.random())
        .transport(Dialer(common.cables.clone()))
        .build()?;
    for number in 0..WORKERS {
        let mut own = ChaCha8Rng::seed_from_u64(rng.random());
        own.set_stream(number.into());
        let worker = Worker { common: Rc::clone(&common), host, client: client.clone(), rng: own };
        tokio::task::spawn_local(worker.run());
    }
    loop {
        // A loss by the clock is seen this much later. What the program itself does to a guard is seen at once.
        sleep(ms(4)).await;
        let mut umpire = common.umpire.borrow_mut();
        umpire.now_ms = now_ms();
        umpire.look(host);
    }
}

struct Worker {
    common: Rc<Common>,
    host: u8,
    client: Client<Dialer>,
    rng: ChaCha8Rng,
}

/// The work of a leader. The library drops it when the lock is lost. The lock is asked for again from then on.
struct Leading<'a> {
    common: &'a Common,
    asking: &'a RefCell<Asking>,
    id: u64,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut umpire = self.common.umpire.borrow_mut();
        umpire.gives_up(self.id);
        self.asking.borrow_mut().asked_ms = umpire.now_ms;
    }
}

/// A guard, and its number.
type Seen = (Guard, u64);

impl Worker {
    async fn run(mut self) {
        while !self.common.is_over.get() {
            let longest = self.rng.random_range(1..20_000);
            let done = if self.rng.random_bool(0.2) {
                // Whoever gives up waiting leaves nothing behind.
                timeout(ms(longest), self.something()).await.unwrap_or(Ok(()))
            } else {
                self.something().await
            };
            match done {
                Ok(()) | Err(Error::Lost(_)) => {}
                Err(error) => {
                    self.check(&error);
                    let pause = self.rng.random_range(0..3_000);
                    self.rest(pause).await;
                }
            }
        }
        self.common.idle.set(self.common.idle.get() + 1);
        while !self.common.may_go_on.get() {
            sleep(ms(20)).await;
        }
        while let Err(error) = self.everything().await {
            self.check(&error);
            sleep(ms(500)).await;
        }
        self.common.done.set(self.common.done.get() + 1);
    }

    /// There are errors that no fault explains.
    fn check(&self, error: &Error) {
        match error {
            Error::Held { .. }
            | Error::Timeout
            | Error::Deadlock
            | Error::Lost(_)
            | Error::Refused(Refusal::ShuttingDown)
            | Error::Unreachable(_)
            | Error::Io(_) => {}
            _ => self.common.umpire.borrow_mut().blame(&format!("a request fails: {error}")),
        }
    }

    /// Sleeps, but not beyond the end of trouble.
    async fn rest(&self, time_ms: u32) {
        let end = now_ms() + time_ms;
        while now_ms() < end && !self.common.is_over.get() {
            sleep(ms(20.min(end - now_ms()))).await;
        }
    }

    fn ask(&mut self, grace_ms: u32, is_of_session: bool) -> Asking {
        let request = self.common.requests.get() + 1;
        self.common.requests.set(request);
        let registered = format!("g{request}");
        Asking { host: self.host, registered, asked_ms: now_ms(), grace_ms, is_of_session }
    }

    fn see(&self, asking: &Asking, name: &str, guard: &Guard) -> u64 {
        self.common.got(asking, name, guard.watch())
    }

    /// One use of the library, drawn at random.
    async fn something(&mut self) -> Result<(), Error> {
        let grace_ms = if self.rng.random_bool(0.4) {
            [1_000, 3_000, 10_000, 20_000][self.rng.random_range(0..4)]
        } else {
            0
        };
        let wait_ms = self.rng.random_range(0..30_000);
        let name = LOCKS[self.rng.random_range(0..LOCKS.len())];
        match self.rng.random_range(0..12) {
            0..6 => {
                let asking = self.ask(grace_ms, false);
                let (name, request) = match self.rng.random_range(0..6) {
                    0..3 => (name, self.client.lock(name)),
                    3 => (INDEX, self.client.read(INDEX)),
                    4 => (INDEX, self.client.write(INDEX)),
                    _ => ("workers", self.client.shared("workers").limit(LIMIT)),
                };
                let request = request.named(&asking.registered).linger(ms(grace_ms));
                let guard = match self.rng.random_range(0..4) {
                    0 => request.try_now().await?,
                    1 => request.get().await?,
                    _ => request.wait(ms(wait_ms)).await?,
                };
                let id = self.see(&asking, name, &guard);
                self.hold(vec![(guard, id)]).await
            }
            6 | 7 => {
                let asking = self.ask(0, false);
                let slot = self.client.slot("slot", LIMIT, Some(ms(wait_ms))).await?;
                let id = self.see(&asking, &format!("slot#{}", slot.index()), slot.guard());
                let time_ms = self.rng.random_range(0..12_000);
                tokio::select! {
                    () = self.rest(time_ms) => {}
                    _ = slot.lost() => {}
                }
                let ordered_ms = now_ms();
                let released = slot.release().await;
                self.end(id, ordered_ms, &released);
                released
            }
            10 => {
                let asking = self.ask(0, false);
                let guards = self.client.lock_all(LOCKS, Some(ms(wait_ms))).await?;
                let ids: Vec<u64> = LOCKS
                    .iter()
                    .zip(guards.iter())
                    .map(|(name, guard)| self.see(&asking, name, guard))
                    .collect();
                let time_ms = self.rng.random_range(0..12_000);
                tokio::select! {
                    () = self.rest(time_ms) => {}
                    _ = guards.lost() => {}
                }
                for id in ids {
                    self.common.umpire.borrow_mut().gives_up(id);
                }
                guards.release().await
            }
            8 => {
                let time_ms = self.rng.random_range(0..12_000);
                self.lead(time_ms).await
            }
            9 => {
                let request = self.client.rate("mails", RATE, ms(RATE_MS));
                let asked_ms = now_ms();
                if self.rng.random() { request.wait(ms(wait_ms)).await } else { request.try_now().await }?;
                self.permitted(asked_ms);
                Ok(())
            }
            _ => {
                let asking = self.ask(grace_ms, true);
                let mut session = self.client.session();
                let (first, second) =
                    if self.rng.random() { (LOCKS[0], LOCKS[1]) } else { (LOCKS[1], LOCKS[0]) };
                let request = session.lock(first).named(&asking.registered).linger(ms(grace_ms));
                let one = request.wait(ms(wait_ms)).await?;
                let id = self.see(&asking, first, &one);
                let mut had = vec![(one, id)];
                let again = Asking { asked_ms: now_ms(), ..asking };
                match session.lock(second).wait(ms(wait_ms)).await {
                    Ok(two) => {
                        let id = self.see(&again, second, &two);
                        had.push((two, id));
                    }
                    Err(error) => self.check(&error),
                }
                if self.rng.random() {
                    drop(session);
                }
                self.hold(had).await
            }
        }
    }

    /// Holds guards for a while, or until one is lost. Then each is released or dropped.
    async fn hold(&mut self, had: Vec<Seen>) -> Result<(), Error> {
        let longest_ms = if self.rng.random_bool(0.3) { 30_000 } else { 4_000 };
        let time_ms = self.rng.random_range(0..longest_ms);
        tokio::select! {
            () = self.rest(time_ms) => {}
            _ = had[0].0.lost() => if had[0].0.is_held() {
                self.common.umpire.borrow_mut().blame("a guard is held and lost");
            }
        }
        for (guard, id) in had {
            if self.rng.random_bool(0.3) {
                self.common.umpire.borrow_mut().gives_up(id);
                drop(guard);
                continue;
            }
            let ordered_ms = now_ms();
            let released = guard.release().await;
            self.end(id, ordered_ms, &released);
        }
        Ok(())
    }

    /// Leads, so long in one piece.
    async fn lead(&mut self, time_ms: u32) -> Result<(), Error> {
        let asking = RefCell::new(self.ask(0, false));
        let (this, asking) = (&*self, &asking);
        self.client
            .lead(LEADER, |watch| {
                let id = this.common.got(&asking.borrow(), LEADER, watch.clone());
                let leading = Leading { common: &this.common, asking, id };
                async move {
                    let end_ms = now_ms() + time_ms;
                    let mut was_held = true;
                    while now_ms() < end_ms && !this.common.is_over.get() {
                        sleep(ms(20)).await;
                        let is_held = watch.is_held();
                        // The clock may tell a moment before the loss is told.
                        if !is_held && !was_held {
                            this.common.umpire.borrow_mut().blame("a leader works on without its lock");
                        }
                        was_held = is_held;
                    }
                    drop(leading);
                }
            })
            .await
    }

    fn permitted(&self, asked_ms: u32) {
        let mut umpire = self.common.umpire.borrow_mut();
        umpire.now_ms = now_ms();
        umpire.permitted(asked_ms);
    }

    fn end(&self, id: u64, ordered_ms: u32, released: &Result<(), Error>) {
        let mut umpire = self.common.umpire.borrow_mut();
        umpire.now_ms = now_ms();
        if released.is_ok() {
            umpire.released(id, ordered_ms);
        }
        umpire.gives_up(id);
    }

    /// Every lock once.
    async fn everything(&mut self) -> Result<(), Error> {
        let minute = ms(60_000);
        for name in LOCKS {
            let asking = self.ask(0, false);
            let guard = self.client.lock(name).named(&asking.registered).wait(minute).await?;
            let id = self.see(&asking, name, &guard);
            let released = guard.release().await;
            self.end(id, now_ms(), &released);
        }
        self.client.write(INDEX).wait(minute).await?.release().await?;
        self.client.read(INDEX).wait(minute).await?.release().await?;
        self.client.shared("workers").limit(LIMIT).wait(minute).await?.release().await?;
        self.lead(1).await?;
        let asked_ms = now_ms();
        self.client.rate("mails", RATE, ms(RATE_MS)).wait(minute).await?;
        self.permitted(asked_ms);
        self.client.slot("slot", LIMIT, Some(minute)).await?.release().await
    }
}
