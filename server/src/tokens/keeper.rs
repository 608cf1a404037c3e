//! The keeper: it reserves fencing tokens before they are needed, whenever fewer than half a range is left. If that
//! fails, it reports the failure once, tries again every second, and reports once that it works again.

use super::TokenSource;
use crate::clock::Clock;
use crate::hub::Hub;
use std::future::poll_fn;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The keeper of one machine.
pub(crate) struct Keeper {
    source: Box<dyn TokenSource>,
    /// If fewer tokens than these are left, it reserves more.
    few: u64,
    is_failing: bool,
}

impl Keeper {
    pub(crate) fn new(source: impl TokenSource) -> Self {
        // The size of a range is not known yet. One token is enough until then.
        Self { source: Box::new(source), few: 1, is_failing: false }
    }

    /// Runs until it is dropped. It sends to `tried` when the first reservation has succeeded or failed. `failures`
    /// counts failures.
    pub(crate) async fn run(
        mut self,
        hub: &Hub,
        clock: Clock,
        failures: &AtomicU64,
        tried: oneshot::Sender<()>,
    ) {
        let mut tried = Some(tried);
        loop {
            poll_fn(|cx| hub.poll_tokens_below(self.few, cx.waker())).await;
            let reserved = self.source.reserve().await;
            let handed_over = reserved.and_then(|range| self.hand_over(hub, clock, &range));
            let has_failed = handed_over.is_err();
            self.tell(handed_over);
            if let Some(tried) = tried.take() {
                // After the server's end nobody waits for it.
                let _ = tried.send(());
            }
            if has_failed {
                failures.fetch_add(1, Ordering::Relaxed);
                sleep(RETRY).await;
            }
        }
    }

    /// Gives a range to the machine.
    ///
    /// # Errors
    ///
    /// The machine still has too few tokens. Asking again at once would never end.
    fn hand_over(&mut self, hub: &Hub, clock: Clock, range: &RangeInclusive<u64>) -> io::Result<()> {
        let (first, last) = (*range.start(), *range.end());
        // Near the highest token a range may be shorter than half of the one before.
        self.few = last.saturating_sub(first).div_ceil(2).max(1);
        hub.tokens(clock.now(), first, last);
        match hub.poll_tokens_below(self.few, Waker::noop()) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::other(format!("the source gave {first} to {last} again"))),
        }
    }

    /// Reports a failure after a success, and a success after a failure.
    fn tell(&mut self, reserved: io::Result<()>) {
        match reserved {
            Ok(()) if std::mem::take(&mut self.is_failing) => info!("reserving fencing tokens works again"),
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(
                        "cannot reserve fencing tokens, trying again every second; locks go on, and `f` answers \
                         0 No Tokens once none are left: {error}"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Handle;
    use crate::tokens::Reserving;
    use elockd_core::{Account, Addr, Command, Config, Conn, Kind, Machine, Now, Origin};
    use std::sync::{Arc, Mutex};
    use tokio::time::{Instant, advance};

    /// A source that gives prepared answers and takes a second for each.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Script>>);

    #[derive(Default)]
    struct Script {
        answers: Vec<Result<RangeInclusive<u64>, &'static str>>,
        asked: usize,
    }

    impl Told {
        fn new(answers: impl IntoIterator<Item = Result<RangeInclusive<u64>, &'static str>>) -> Self {
            Self(Arc::new(Mutex::new(Script { answers: answers.into_iter().collect(), asked: 0 })))
        }

        fn asked(&self) -> usize {
            self.0.lock().unwrap().asked
        }
    }

    impl TokenSource for Told {
        fn reserve(&mut self) -> Reserving<'_> {
            let mut script = self.0.lock().unwrap();
            let answer = script.answers[script.asked.min(script.answers.len() - 1)].clone();
            script.asked += 1;
            Box::pin(async {
                sleep(Duration::from_secs(1)).await;
                answer.map_err(io::Error::other)
            })
        }
    }

    /// A running keeper, and a connection that asks for tokens.
    struct Kept {
        handle: Handle,
        failures: Arc<AtomicU64>,
        first_try: oneshot::Receiver<()>,
    }

    impl Kept {
        fn start(source: Told) -> Self {
            let hub = Arc::new(Hub::new(Machine::new(Config::smallest_storage()), None));
            let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.serial()), account: Account::default() };
            let handle = hub.open(Now(0), origin).unwrap();
            let failures = Arc::new(AtomicU64::new(0));
            let (tried, first_try) = oneshot::channel();
            let counted = Arc::clone(&failures);
            tokio::spawn(async move { Keeper::new(source).run(&hub, Clock::start(), &counted, tried).await });
            Self { handle, failures, first_try }
        }

        fn say(&self, command: Command<&[u8]>) -> String {
            let mut out = Vec::new();
            self.handle.batch(Now(0), &[command], &mut out);
            String::from_utf8(out).unwrap()
        }

        /// The answer of `f` for a new hold.
        fn token(&self) -> String {
            self.say(Command::get(Kind::Exclusive, b"a"));
            let answer = self.say(Command::Fence(Kind::Exclusive, b"a"));
            self.say(Command::Release(Kind::Exclusive, b"a"));
            answer
        }

        fn failures(&self) -> u64 {
            self.failures.load(Ordering::Relaxed)
        }
    }

    /// Lets a reservation end and take effect.
    async fn a_second() {
        settle().await;
        advance(Duration::from_secs(1)).await;
        settle().await;
    }

    /// Lets the keeper do what it can do now.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_reserves_when_fewer_than_half_a_range_is_left_and_tokens_go_out_meanwhile() {
        let source = Told::new([Ok(1..=4), Ok(5..=8), Ok(9..=12)]);
        let kept = Kept::start(source.clone());
        a_second().await;
        a_second().await;
        assert_eq!(source.asked(), 1);
        assert_eq!([kept.token(), kept.token()], ["1 Lock Fence: a\n", "2 Lock Fence: a\n"]);
        a_second().await;
        assert_eq!(source.asked(), 1, "half of them are left");
        assert_eq!(kept.token(), "3 Lock Fence: a\n");
        settle().await;
        assert_eq!(source.asked(), 2);
        assert_eq!(kept.token(), "4 Lock Fence: a\n");
        assert_eq!(kept.token(), "0 No Tokens\n", "the source is still at it");
        a_second().await;
        assert_eq!(kept.token(), "5 Lock Fence: a\n");
        assert_eq!((source.asked(), kept.failures()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_again_every_second_and_locks_go_on() {
        let source = Told::new([Err("the disk is full"), Err("the disk is full"), Ok(7..=7)]);
        let mut kept = Kept::start(source.clone());
        let start = Instant::now();
        assert!(kept.first_try.try_recv().is_err(), "the first one is under way");
        a_second().await;
        assert_eq!(kept.first_try.try_recv(), Ok(()), "a failure is the end of a try too");
        assert_eq!(kept.token(), "0 No Tokens\n");
        while kept.failures() < 2 {
            a_second().await;
        }
        assert_eq!(
            (source.asked(), start.elapsed()),
            (2, Duration::from_secs(3)),
            "each takes a second itself"
        );
        a_second().await;
        a_second().await;
        assert_eq!(kept.token(), "7 Lock Fence: a\n");
        assert_eq!(kept.failures(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_gives_the_same_again_is_asked_no_more_often_than_one_that_fails() {
        let source = Told::new([Ok(1..=2)]);
        let kept = Kept::start(source.clone());
        a_second().await;
        assert_eq!([kept.token(), kept.token()], ["1 Lock Fence: a\n", "2 Lock Fence: a\n"]);
        for _ in 0..5 {
            a_second().await;
        }
        assert_eq!(kept.token(), "0 No Tokens\n");
        assert_eq!((source.asked(), kept.failures()), (4, 3));
    }
}
