//! Goal: the hub keeps its own promises, apart from who gets a lock. Method: call it directly from one thread, with
//! wakers that count. The model checker shows what several threads can do to it.

use super::{Ending, Flow, Handle, Hub, Mail};
use elockd_core::{Account, Addr, Cause, Command, Config, Conn, Kind, Machine, Now, Origin, Reason, Wish};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

fn hub(change: impl FnOnce(&mut Config)) -> Arc<Hub> {
    let mut config = Config::smallest_storage();
    change(&mut config);
    Arc::new(Hub::new(Machine::new(config), None))
}

fn open(hub: &Arc<Hub>, now: u64) -> Handle {
    let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.serial()), account: Account::default() };
    hub.open(Now(now), origin).expect("within the limits")
}

fn say(handle: &Handle, now: u64, command: Command<&[u8]>) -> (String, Flow) {
    let mut out = Vec::new();
    let flow = handle.batch(Now(now), &[command], &mut out);
    (String::from_utf8(out).unwrap(), flow)
}

fn get(handle: &Handle, now: u64, name: &str) -> String {
    say(handle, now, Command::get(Kind::Exclusive, name.as_bytes())).0
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A waker, and how often it was called.
fn waker() -> (Waker, Arc<Count>) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count).into(), count)
}

fn calls(count: &Count) -> usize {
    count.0.load(Ordering::Relaxed)
}

#[test]
fn dropping_a_handle_releases_its_locks() {
    let hub = hub(|_| {});
    let (a, b) = (open(&hub, 0), open(&hub, 0));
    assert_eq!(get(&a, 1, "x"), "1 Lock Get Success: x\n");
    assert_eq!(get(&b, 2, "x"), "0 Lock Get Failure: x\n");
    drop(a);
    assert_eq!(get(&b, 3, "x"), "1 Lock Get Success: x\n");
}

#[test]
fn a_connection_ends_once() {
    let hub = hub(|_| {});
    let mut a = open(&hub, 0);
    a.close(Now(1), Cause::Eof);
    a.close(Now(2), Cause::Error);
    drop(a);
    let _watch = open(&hub, 3);
    hub.figures(|figures| {
        figures.each(true, &mut |key, figure| match key {
            "closed_eof" => assert_eq!(figure, elockd_core::Figure::Number(1)),
            "closed_error" | "ignored_inputs" => assert_eq!(figure, elockd_core::Figure::Number(0)),
            _ => {}
        });
    });
}

#[test]
fn an_idle_connection_is_told_by_whoever_comes_next() {
    let hub = hub(|config| config.limits.idle_ms = 10);
    let (idle, other) = (open(&hub, 0), open(&hub, 0));
    let (waker, count) = waker();
    assert!(idle.poll_mail(&waker).is_pending());
    assert_eq!(get(&idle, 1, "x"), "1 Lock Get Success: x\n");
    assert_eq!(say(&other, 5, Command::Ping).0, "1 pong\n");
    assert_eq!(get(&other, 10, "x"), "0 Lock Get Failure: x\n");
    assert_eq!(get(&other, 11, "x"), "1 Lock Get Success: x\n", "freed in the same step");
    assert_eq!(calls(&count), 1);
    assert_eq!(idle.poll_mail(&waker), Poll::Ready(Mail::Ending(Ending::Machine(Reason::Idle))));
    assert_eq!(get(&idle, 12, "y"), "", "nobody is there any more");
}

#[test]
fn a_connection_that_is_idle_too_long_hears_it_from_its_own_command() {
    let hub = hub(|config| config.limits.idle_ms = 10);
    let idle = open(&hub, 0);
    let (reply, flow) = say(&idle, 10, Command::Ping);
    assert_eq!(reply, "");
    assert!(matches!(flow, Flow::Close(Reason::Idle)));
}

/// A hub with an idle limit of a second, whose ticker promises to look every 100 ms.
fn watched_hub() -> Arc<Hub> {
    let hub = hub(|config| config.limits.idle_ms = 1000);
    hub.expect_rests_up_to(Now(0), 200);
    hub
}

#[test]
fn time_in_which_nobody_was_served_is_no_silence() {
    let hub = watched_hub();
    let silent = open(&hub, 0);
    let is_open = || hub.figures(|figures| figures.connections()) == 1;
    for at in (100..=500).step_by(100) {
        hub.tick(Now(at));
    }
    // The whole of the lapse is no silence, whatever input comes first.
    assert_eq!(hub.tick(Now(60_500)), Some(Now(61_000)));
    hub.tick(Now(60_700));
    hub.tokens(Now(70_700), 1, 1);
    for at in [70_900, 70_999] {
        hub.tick(Now(at));
        assert!(is_open(), "at {at} ms");
    }
    hub.tick(Now(71_000));
    assert!(!is_open(), "silent for a second beside two lapses");
    assert_eq!(silent.poll_mail(Waker::noop()), Poll::Ready(Mail::Ending(Ending::Machine(Reason::Idle))));
}

#[test]
fn a_rest_within_the_promise_is_no_lapse() {
    for (rest, lives) in [(200, false), (201, true)] {
        let hub = watched_hub();
        let _silent = open(&hub, 0);
        for at in (100..=900).step_by(100) {
            hub.tick(Now(at));
        }
        hub.tick(Now(900 + rest));
        assert_eq!(hub.figures(|figures| figures.connections()), u32::from(lives), "{rest} ms");
    }
}

#[test]
fn whoever_speaks_first_after_a_lapse_is_heard() {
    let hub = watched_hub();
    let (a, mut b) = (open(&hub, 0), open(&hub, 0));
    assert_eq!(get(&a, 100, "x"), "1 Lock Get Success: x\n");
    let (_, flow) = say(&b, 200, Command::Get(Wish::at_once(Kind::Exclusive, &b"x"[..]).waiting(1000)));
    assert!(matches!(flow, Flow::Wait));
    // Its deadline passes in a lapse. Whoever causes the next input gets the reply of its own wait with that.
    assert_eq!(b.close(Now(5000), Cause::Eof), b"0 Lock Get Timeout: x\n");
    let (text, flow) = say(&a, 9000, Command::Ping);
    assert_eq!(text, "1 pong\n");
    assert!(matches!(flow, Flow::Go));
}

#[test]
fn without_a_promise_of_the_ticker_nothing_is_a_lapse() {
    let hub = hub(|config| config.limits.idle_ms = 1000);
    let _silent = open(&hub, 0);
    hub.tick(Now(1000));
    assert_eq!(hub.figures(|figures| figures.connections()), 0);
}

#[test]
fn draining_reaches_every_connection_and_later_ones_too() {
    let hub = hub(|_| {});
    let before = open(&hub, 0);
    let (waker, count) = waker();
    assert!(before.poll_mail(&waker).is_pending());
    hub.drain(Now(1));
    assert_eq!(calls(&count), 1);
    assert_eq!(before.poll_mail(&waker), Poll::Ready(Mail::Ending(Ending::Drained)));
    assert_eq!(open(&hub, 2).poll_mail(&waker), Poll::Ready(Mail::Ending(Ending::Drained)));
    assert_eq!(get(&before, 3, "x"), "0 Shutting Down\n");
}

#[test]
fn the_first_ending_stays() {
    let hub = hub(|config| config.limits.idle_ms = 10);
    let idle = open(&hub, 0);
    hub.drain(Now(5));
    hub.tick(Now(100));
    assert_eq!(idle.poll_mail(Waker::noop()), Poll::Ready(Mail::Ending(Ending::Drained)));
}

#[test]
fn only_the_last_waker_of_a_mailbox_is_called_and_only_once() {
    let hub = hub(|_| {});
    let a = open(&hub, 0);
    let ((first, first_count), (second, second_count)) = (waker(), waker());
    assert!(a.poll_mail(&first).is_pending());
    assert!(a.poll_mail(&second).is_pending());
    hub.drain(Now(1));
    hub.drain(Now(2));
    assert_eq!((calls(&first_count), calls(&second_count)), (0, 1));
}

#[test]
fn the_ticker_is_woken_when_there_is_something_to_sweep() {
    let hub = hub(|_| {});
    let a = open(&hub, 0);
    get(&a, 1, "x");
    get(&a, 1, "y");
    let (waker, count) = waker();
    assert_eq!(hub.tick(Now(1)), None);
    assert!(hub.poll_due_before(None, &waker).is_pending());
    get(&a, 1, "z");
    assert_eq!(calls(&count), 0, "nothing is due");
    drop(a);
    assert_eq!(calls(&count), 1);
    assert_eq!(hub.figures(|figures| figures.dead_holds()), 3);
    for left in [2, 1, 0] {
        assert!(hub.poll_due_before(None, &waker).is_ready());
        hub.tick(Now(2));
        assert_eq!(hub.figures(|figures| figures.dead_holds()), left, "one slice a tick");
    }
    assert!(hub.poll_due_before(None, &waker).is_pending());
}

#[test]
fn the_ticker_sleeps_until_the_first_idle_deadline() {
    let hub = hub(|config| config.limits.idle_ms = 10);
    let (waker, count) = waker();
    assert!(hub.poll_due_before(None, &waker).is_pending());
    let _a = open(&hub, 3);
    assert_eq!(calls(&count), 1);
    assert_eq!(hub.tick(Now(3)), Some(Now(13)));
    assert!(hub.poll_due_before(Some(Now(13)), &waker).is_pending());
    assert!(hub.poll_due_before(Some(Now(14)), &waker).is_ready());
    assert_eq!(hub.tick(Now(13)), None, "closed");
}

#[test]
fn a_panic_within_the_lock_is_reported_and_the_machine_not_touched_again() {
    static REPORTS: AtomicUsize = AtomicUsize::new(0);
    let on_panic = || {
        REPORTS.fetch_add(1, Ordering::Relaxed);
    };
    let hub = Arc::new(Hub::new(Machine::new(Config::smallest_storage()), Some(on_panic)));
    let a = open(&hub, 0);
    hub.figures(|_| ());
    assert_eq!(REPORTS.load(Ordering::Relaxed), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| hub.figures(|_| panic!("on purpose")))).is_err());
    assert_eq!(REPORTS.load(Ordering::Relaxed), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| hub.figures(|_| ()))).is_err(), "nobody gets in any more");
    drop(a);
}

#[test]
fn the_daemons_way_with_a_panic_is_to_end_with_status_70() {
    const CHILD: &str = "ELOCKD_TEST_PANIC_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let hub: Hub = Hub::new(Machine::new(Config::smallest_storage()), Some(crate::end_process));
        let _ = catch_unwind(AssertUnwindSafe(|| hub.figures(|_| panic!("on purpose"))));
        process::exit(0);
    }
    let name = "hub::tests::the_daemons_way_with_a_panic_is_to_end_with_status_70";
    let child = process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(crate::EXIT_PANIC), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stderr).contains("on purpose"), "the message is there to report");
}

fn wait(handle: &Handle, now: u64, ms: u32) -> Flow {
    say(handle, now, Command::Get(Wish::at_once(Kind::Exclusive, &b"x"[..]).waiting(ms))).1
}

fn reply(text: &str) -> Poll<Mail> {
    Poll::Ready(Mail::Reply(text.into(), Flow::Go))
}

#[test]
fn whoever_waits_is_told_by_mail() {
    let hub = hub(|_| {});
    let (a, b) = (open(&hub, 0), open(&hub, 0));
    assert_eq!(get(&a, 1, "x"), "1 Lock Get Success: x\n");
    assert!(matches!(wait(&b, 1, 5), Flow::Wait));
    let (waker, count) = waker();
    assert_eq!(b.poll_mail(&waker), Poll::Pending);
    say(&a, 2, Command::Release(Kind::Exclusive, b"x"));
    assert_eq!((calls(&count), b.poll_mail(&waker)), (1, reply("1 Lock Get Success: x\n")));
    assert!(matches!(wait(&a, 3, 5), Flow::Wait));
    assert_eq!(hub.tick(Now(7)), Some(Now(8)), "the ticker has to come back for it");
    assert_eq!(a.poll_mail(&waker), Poll::Pending);
    assert_eq!(hub.tick(Now(8)), None);
    assert_eq!(a.poll_mail(&waker), reply("0 Lock Get Timeout: x\n"));
}

#[test]
fn a_wait_wakes_the_ticker_that_sleeps_longer() {
    let hub = hub(|_| {});
    let (a, b) = (open(&hub, 0), open(&hub, 0));
    get(&a, 1, "x");
    let (waker, count) = waker();
    assert_eq!(hub.poll_due_before(None, &waker), Poll::Pending);
    wait(&b, 1, 5);
    assert_eq!(calls(&count), 1);
}

#[test]
fn a_connection_that_will_say_no_more_ends_its_wait_unless_that_has_ended() {
    let hub = hub(|_| {});
    let (a, mut b, mut c) = (open(&hub, 0), open(&hub, 0), open(&hub, 0));
    get(&a, 1, "x");
    wait(&b, 1, 1000);
    wait(&c, 1, 1000);
    assert_eq!(b.close_waiting(Now(2)).as_deref(), Some(&b"0 Lock Get Timeout: x\n"[..]));
    say(&a, 3, Command::Release(Kind::Exclusive, b"x"));
    assert_eq!(c.close_waiting(Now(4)), None, "it was granted");
    assert_eq!(c.poll_mail(Waker::noop()), reply("1 Lock Get Success: x\n"));
    assert_eq!(get(&a, 5, "x"), "0 Lock Get Failure: x\n");
    assert!(c.close(Now(6), Cause::Eof).is_empty());
    assert_eq!(get(&a, 6, "x"), "1 Lock Get Success: x\n");
}

#[test]
fn a_reply_that_was_not_fetched_is_given_at_the_end() {
    let hub = hub(|_| {});
    let (a, mut b) = (open(&hub, 0), open(&hub, 0));
    get(&a, 1, "x");
    wait(&b, 1, 1000);
    say(&a, 2, Command::Release(Kind::Exclusive, b"x"));
    assert_eq!(b.close(Now(3), Cause::Shutdown), b"1 Lock Get Success: x\n");
}

#[test]
fn draining_answers_a_wait_before_it_ends_the_connection() {
    let hub = hub(|_| {});
    let (a, b) = (open(&hub, 0), open(&hub, 0));
    get(&a, 1, "x");
    wait(&b, 1, 1000);
    hub.drain(Now(2));
    assert_eq!(b.poll_mail(Waker::noop()), reply("0 Shutting Down\n"));
    assert_eq!(b.poll_mail(Waker::noop()), Poll::Ready(Mail::Ending(Ending::Drained)));
    assert!(matches!(wait(&b, 3, 1000), Flow::Go), "nobody waits any more");
}

#[test]
fn the_keeper_of_tokens_is_woken_when_few_are_left() {
    let hub = hub(|_| {});
    let a = open(&hub, 0);
    let (waker, count) = waker();
    assert_eq!(hub.poll_tokens_below(2, &waker), Poll::Ready(()));
    hub.tokens(Now(1), 5, 6);
    assert_eq!(hub.poll_tokens_below(2, &waker), Poll::Pending);
    get(&a, 1, "x");
    assert_eq!(say(&a, 1, Command::Fence(Kind::Exclusive, b"x")).0, "5 Lock Fence: x\n");
    assert_eq!((calls(&count), hub.poll_tokens_below(2, &waker)), (1, Poll::Ready(())));
}
