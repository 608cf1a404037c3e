//! Goal: the hub is right under every interleaving of its callers. Method: loom runs the production hub, with loom's
//! mutex instead of the standard one, through every order in which threads can take its locks. Each model is named for
//! the race it looks for. The number of orders is printed and has a floor, so that no model can come to explore nothing
//! unnoticed.

use elockd_cluster::NodeInput;
use elockd_core::probe::{Canary, Harness, plant};
use elockd_core::{
    Account, Addr, Cause, Command, Config, Conn, Input, Kind, Machine, Now, Origin, Reason, Wish,
};
use elockd_server::hub::{Ending, Flow, Handle, Hub, Lock, Locks, Mail, Seat};
use loom::future::block_on;
use loom::thread;
use std::any::{type_name, type_name_of_val};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::panic;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

/// The environment variable that tells a process of the models which canary to plant.
const CANARY: &str = "ELOCKD_CANARY";

/// loom's mutex in the hub.
struct LoomLocks;

struct LoomLock<T>(loom::sync::Mutex<T>);

impl Locks for LoomLocks {
    type Around<T: Send> = LoomLock<T>;
}

impl<T: Send> Lock<T> for LoomLock<T> {
    fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let mut guard = self.0.lock().expect("nobody panicked while holding this lock");
        Steps::note::<T>(type_name_of_val(&act));
        act(&mut guard)
    }
}

/// The interleaving that a thread explores: in which order the model's threads have taken locks. loom runs all of a
/// model's threads on one.
#[derive(Default)]
struct Steps {
    model: String,
    interleaving: usize,
    taken: Vec<String>,
}

thread_local! {
    static STEPS: RefCell<Steps> = RefCell::default();
}

impl Steps {
    /// Begins with the next interleaving of a model.
    fn begin(model: &str, interleaving: usize) {
        STEPS.set(Self { model: model.to_owned(), interleaving, taken: Vec::new() });
    }

    /// A thread of the model has taken the lock around a `T`, to do this.
    fn note<T>(act: &'static str) {
        let lock = if type_name::<T>().contains("HubState") { "hub" } else { "mailbox" };
        let thread = format!("{:?}", loom::thread::current().id());
        STEPS.with_borrow_mut(|steps| steps.taken.push(format!("{thread} takes the {lock}: {}", short(act))));
    }

    /// Prints the order, after a panic has been told of.
    fn tell(&self) {
        let Self { model, interleaving, taken } = self;
        eprintln!(
            "loom: the model \"{model}\" fails in its interleaving {interleaving}. The threads took locks in this order:"
        );
        for (number, step) in (1..).zip(taken) {
            eprintln!("  {number}. {step}");
        }
        eprintln!("again: cargo test -p elockd-model-tests --test hub_under_loom");
    }
}

/// The function that a closure is in: of nested closures, the innermost.
fn short(act: &str) -> &str {
    let mut path = act.split("::{{closure}}").next().unwrap_or(act);
    if path.ends_with('>') {
        let mut depth = 0;
        let beginning = path.char_indices().rev().find(|(_, letter)| {
            depth += i32::from(*letter == '>') - i32::from(*letter == '<');
            depth == 0
        });
        path = beginning.map_or(path, |(at, _)| &path[..at]);
    }
    path.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or(path)
}

/// The steps that a failing model has told, from the first on. The next line says how to see them again.
fn told_steps(told: &str) -> Vec<&str> {
    let mut lines = told.lines().skip_while(|line| !line.starts_with("loom: the model "));
    assert!(lines.next().is_some_and(|line| line.ends_with(" took locks in this order:")), "{told}");
    let steps = lines.by_ref().take_while(|line| !line.starts_with("again: "));
    let steps = steps.enumerate().map(|(at, line)| line.strip_prefix(&format!("  {}. ", at + 1)));
    steps.map(|step| step.unwrap_or_else(|| panic!("the steps have no right numbers: {told}"))).collect()
}

#[test]
fn a_step_is_named_for_its_function() {
    assert_eq!(
        short("server::Hub<L>::with<Vec<u8>, server::Handle<L>::close::{{closure}}>::{{closure}}"),
        "close"
    );
    assert_eq!(short("Hub<L>::with<F, Handle<L>::batch<&[u8]>::{{closure}}>::{{closure}}"), "batch");
    assert_eq!(short("hub::Mailbox<loom::Locks>::put::{{closure}}"), "put");
}

/// Has panics on threads that explore tell the order of steps. Also before loom ends the process.
fn tell_steps_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            before(panic);
            STEPS.with_borrow_mut(|steps| {
                if steps.interleaving > 0 {
                    std::mem::take(steps).tell();
                }
            });
        }));
    });
}

type LoomHub = Hub<LoomLocks>;
type LoomHandle = Handle<LoomLocks>;

/// Explores `model` under every interleaving. There must be at least `floor` of them.
fn explore(name: &str, floor: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    plant(canary_of_this_process());
    tell_steps_on_panic();
    let of = name.to_owned();
    loom::model::Builder::new().check(move || {
        Steps::begin(&of, counted.fetch_add(1, Ordering::Relaxed) + 1);
        model();
    });
    Steps::begin(name, 0);
    let runs = runs.load(Ordering::Relaxed);
    // Written past the test harness, so that a passing run shows it too.
    writeln!(std::io::stderr(), "loom: {name}: {runs} interleavings").expect("stderr is there");
    assert!(runs >= floor, "{name}: only {runs} interleavings, expected at least {floor}");
}

fn canary_of_this_process() -> Option<Canary> {
    let name = std::env::var(CANARY).ok()?;
    Some(Canary::named(&name).expect("a canary's name"))
}

fn hub(idle_ms: u64) -> Arc<LoomHub> {
    let mut config = Config::smallest_storage();
    config.limits.idle_ms = idle_ms;
    Arc::new(Hub::new(Machine::new(config), None))
}

fn open(hub: &Arc<LoomHub>) -> LoomHandle {
    let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.serial()), account: Account::default() };
    hub.open(Now(0), origin).expect("within the limits")
}

/// The reply; empty if there was none.
fn told(handle: &LoomHandle, now: u64, command: Command<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let _: Flow = handle.batch(Now(now), &[command], &mut out);
    out
}

/// The first digit of the reply, or `None` if there was none.
fn say(handle: &LoomHandle, now: u64, command: Command<&[u8]>) -> Option<u32> {
    told(handle, now, command).first().map(|digit| u32::from(digit - b'0'))
}

fn get(handle: &LoomHandle) -> bool {
    say(handle, 0, Command::get(Kind::Exclusive, b"x")) == Some(1)
}

fn share(handle: &LoomHandle) -> u32 {
    say(handle, 0, Command::get(Kind::Shared, b"x")).expect("a reply")
}

/// Begins to wait for the exclusive lock.
fn wait(handle: &LoomHandle, ms: u32) {
    let flow = handle.batch(
        Now(0),
        &[Command::Get(Wish::at_once(Kind::Exclusive, &b"x"[..]).waiting(ms))],
        &mut Vec::new(),
    );
    assert!(matches!(flow, Flow::Wait), "{flow:?}");
}

/// Asks that holds outlive the connection by so many milliseconds. Returns the key.
fn linger(handle: &LoomHandle, ms: u32) -> Vec<u8> {
    let reply = told(handle, 0, Command::Linger(ms));
    let key = reply.strip_prefix(b"1 Linger Success: ").expect("within the limit");
    key[..32].to_vec()
}

/// Waits for mail. A lost wake-up is a deadlock, which loom reports.
fn mail(handle: &LoomHandle) -> Mail {
    block_on(poll_fn(|cx| handle.poll_mail(cx.waker())))
}

const GRANTED: &[u8] = b"1 Lock Get Success: x\n";
const TIMED_OUT: &[u8] = b"0 Lock Get Timeout: x\n";
const SHUTTING_DOWN: &[u8] = b"0 Shutting Down\n";

fn reply(text: &[u8]) -> Mail {
    Mail::Reply(text.to_vec(), Flow::Go)
}

fn inspect(handle: &LoomHandle, kind: Kind) -> u32 {
    say(handle, 0, Command::Inspect(kind, b"x")).expect("a reply")
}

/// A figure of `q full`.
fn figure(hub: &LoomHub, wanted: &str) -> u64 {
    let mut found = None;
    hub.figures(|figures| {
        figures.each(true, &mut |key, figure| {
            if let (true, elockd_core::Figure::Number(number)) = (key == wanted, figure) {
                found = Some(number);
            }
        });
    });
    found.expect("a figure of that name")
}

#[test]
fn the_holder_closes_while_two_others_get() {
    explore("the holder closes while two others get", 50, || {
        let hub = hub(0);
        let (mut holder, a, b) = (open(&hub), open(&hub), open(&hub));
        assert!(get(&holder));
        let a = thread::spawn(move || (get(&a), a));
        let b = thread::spawn(move || (get(&b), b));
        holder.close(Now(0), Cause::Eof);
        let ((a_got, a), (b_got, b)) = (a.join().unwrap(), b.join().unwrap());
        assert!(!(a_got && b_got), "two holders");
        assert_eq!(inspect(&a, Kind::Exclusive) == 1, a_got || b_got);
        assert_eq!(
            (get(&a), get(&b)),
            (!b_got, b_got),
            "if one got it, it has it; otherwise the next asker gets it"
        );
        assert_eq!(figure(&hub, "orphans"), 1);
    });
}

#[test]
fn sharers_are_orphaned_together_while_one_counts_and_gets() {
    explore("sharers are orphaned while one counts and gets", 400, || {
        let hub = hub(0);
        let (mut a, mut b, observer) = (open(&hub), open(&hub), open(&hub));
        assert_eq!((share(&a), share(&b)), (1, 2));
        let a = thread::spawn(move || drop(a.close(Now(0), Cause::Error)));
        let b = thread::spawn(move || drop(b.close(Now(0), Cause::Error)));
        let (first, second) = (inspect(&observer, Kind::Shared), inspect(&observer, Kind::Shared));
        assert!(first >= second, "a count that rose: {first}, then {second}");
        let got = share(&observer);
        assert!((1..=second + 1).contains(&got), "{second} holders, then {got} with the observer");
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(inspect(&observer, Kind::Shared), 1);
        assert_eq!(figure(&hub, "shared_orphans"), 2);
        assert_eq!(figure(&hub, "shared_locks"), 1);
    });
}

#[test]
fn sole_holds_are_orphaned_while_another_takes_them_over_and_the_ticker_sweeps() {
    explore("sole holds are taken over while they are swept", 200, || {
        let hub = hub(0);
        let (mut holder, other) = (open(&hub), open(&hub));
        for name in [b"x", b"y", b"z"] {
            assert_eq!(say(&holder, 0, Command::get(Kind::Exclusive, name)), Some(1));
        }
        let taker = thread::spawn(move || {
            let got = [&b"x"[..], b"z"].map(|name| say(&other, 0, Command::get(Kind::Exclusive, name)));
            (got, other)
        });
        let swept = Arc::clone(&hub);
        let ticker = thread::spawn(move || {
            swept.tick(Now(0));
            swept.tick(Now(0));
        });
        holder.close(Now(0), Cause::Eof);
        ticker.join().unwrap();
        let (got, other) = taker.join().unwrap();
        assert!(got[0] <= got[1], "the holder's locks are freed in one step");
        let free = [&b"x"[..], b"y", b"z"]
            .map(|name| say(&other, 0, Command::Inspect(Kind::Exclusive, name)) == Some(0));
        assert_eq!(free, [got[0] == Some(0), true, got[1] == Some(0)]);
        assert_eq!(figure(&hub, "orphans"), 3);
    });
}

#[test]
fn a_mailbox_is_filled_while_its_owner_looks() {
    explore("a mailbox is filled while its owner looks", 20, || {
        let hub = hub(0);
        let a = open(&hub);
        let draining = Arc::clone(&hub);
        let draining = thread::spawn(move || draining.drain(Now(0)));
        // A lost wake-up would leave this waiting for ever, which loom reports as a deadlock.
        assert_eq!(mail(&a), Mail::Ending(Ending::Drained));
        draining.join().unwrap();
    });
}

#[test]
fn a_connection_opens_while_the_hub_drains() {
    explore("a connection opens while the hub drains", 60, || {
        let hub = hub(0);
        let draining = Arc::clone(&hub);
        let draining = thread::spawn(move || draining.drain(Now(0)));
        let a = open(&hub);
        let got = get(&a);
        assert_eq!(
            mail(&a),
            Mail::Ending(Ending::Drained),
            "told, whether it came before the drain or after"
        );
        draining.join().unwrap();
        assert!(!got || inspect(&a, Kind::Exclusive) == 1, "what was granted before the drain is held");
        drop(a);
        assert_eq!(figure(&hub, "connections"), 0);
    });
}

#[test]
fn idle_expiry_races_with_activity() {
    explore("idle expiry races with activity", 4, || {
        let hub = hub(10);
        let a = open(&hub);
        assert!(get(&a));
        let ticking = Arc::clone(&hub);
        let ticking = thread::spawn(move || ticking.tick(Now(10)));
        // Sent in time, or just too late. If too late, the connection is gone and gets no answer.
        let answered = say(&a, 9, Command::Ping).is_some();
        ticking.join().unwrap();
        let ending = a.poll_mail(std::task::Waker::noop());
        assert_eq!(ending.is_pending(), answered, "either it lives and was answered, or neither");
        let expected = std::task::Poll::Ready(Mail::Ending(Ending::Machine(Reason::Idle)));
        assert!(answered || ending == expected);
        assert_eq!(figure(&hub, "connections"), u64::from(answered));
        assert_eq!(figure(&hub, "locks"), u64::from(answered));
    });
}

#[test]
fn a_connection_is_closed_by_its_task_and_by_the_idle_limit() {
    explore("a connection is closed twice", 4, || {
        let hub = hub(10);
        let mut a = open(&hub);
        assert!(get(&a));
        let ticking = Arc::clone(&hub);
        let ticking = thread::spawn(move || ticking.tick(Now(10)));
        a.close(Now(9), Cause::Eof);
        drop(a);
        ticking.join().unwrap();
        assert_eq!(figure(&hub, "orphans"), 1, "its lock is orphaned once");
        assert_eq!(figure(&hub, "closed_eof") + figure(&hub, "closed_idle"), 1, "it ended once");
        assert_eq!(figure(&hub, "connections"), 0);
    });
}

#[test]
fn something_falls_due_while_the_ticker_goes_to_sleep() {
    explore("something falls due while the ticker goes to sleep", 25, || {
        let hub = hub(0);
        let mut a = open(&hub);
        assert!(get(&a));
        let closing = thread::spawn(move || drop(a.close(Now(0), Cause::Eof)));
        // The ticker's loop. If it slept for ever while there is something to sweep, that would be a deadlock.
        while hub.tick(Now(0)).is_none() && figure(&hub, "orphans") == 0 {
            block_on(poll_fn(|cx| hub.poll_due_before(None, cx.waker())));
        }
        hub.tick(Now(0));
        closing.join().unwrap();
        assert_eq!(hub.figures(|figures| figures.dead_holds()), 0);
    });
}

#[test]
fn the_holder_closes_while_the_head_of_the_line_does() {
    explore("the holder closes while the head of the line does", 800, || {
        let hub = hub(0);
        let (mut holder, mut first, second) = (open(&hub), open(&hub), open(&hub));
        assert!(get(&holder));
        wait(&first, 1000);
        wait(&second, 1000);
        let holder = thread::spawn(move || drop(holder.close(Now(0), Cause::Error)));
        let first = thread::spawn(move || {
            // A FIN that ends the wait, or comes too late to do so.
            if let Some(owed) = first.close_waiting(Now(0)) {
                assert_eq!(owed, TIMED_OUT);
            } else {
                assert_eq!(mail(&first), reply(GRANTED), "told exactly once how its wait ended");
                assert!(first.close(Now(0), Cause::Eof).is_empty());
            }
        });
        assert_eq!(mail(&second), reply(GRANTED));
        holder.join().unwrap();
        first.join().unwrap();
        assert_eq!(inspect(&second, Kind::Exclusive), 1);
        assert_eq!((figure(&hub, "waiters"), figure(&hub, "holds")), (0, 1));
    });
}

#[test]
fn a_release_meets_the_end_of_the_one_that_waits() {
    explore("a release meets the end of the one that waits", 5, || {
        let hub = hub(0);
        let (holder, mut waiter) = (open(&hub), open(&hub));
        assert!(get(&holder));
        wait(&waiter, 1000);
        let waiter = thread::spawn(move || drop(waiter.close(Now(0), Cause::Error)));
        assert_eq!(say(&holder, 0, Command::Release(Kind::Exclusive, b"x")), Some(1));
        waiter.join().unwrap();
        assert_eq!(inspect(&holder, Kind::Exclusive), 0, "nobody is left to hold it");
        assert_eq!((figure(&hub, "waiters"), figure(&hub, "connections")), (0, 1));
    });
}

#[test]
fn a_deadline_comes_with_the_release() {
    explore("a deadline comes with the release", 20, || {
        let hub = hub(0);
        let (holder, waiter) = (open(&hub), open(&hub));
        assert!(get(&holder));
        wait(&waiter, 10);
        let ticking = Arc::clone(&hub);
        let ticking = thread::spawn(move || ticking.tick(Now(10)));
        let waiting = thread::spawn(move || (mail(&waiter), waiter));
        assert_eq!(say(&holder, 9, Command::Release(Kind::Exclusive, b"x")), Some(1));
        let (told, waiter) = waiting.join().unwrap();
        ticking.join().unwrap();
        let was_granted = told == reply(GRANTED);
        assert!(was_granted || told == reply(TIMED_OUT), "{told:?}");
        assert!(waiter.poll_mail(std::task::Waker::noop()).is_pending(), "a wait is answered once");
        assert_eq!(inspect(&holder, Kind::Exclusive), u32::from(was_granted));
    });
}

#[test]
fn the_hub_drains_while_a_lock_is_released() {
    explore("the hub drains while a lock is released", 7000, || {
        let hub = hub(0);
        let (holder, waiter) = (open(&hub), open(&hub));
        assert!(get(&holder));
        wait(&waiter, 1000);
        let draining = Arc::clone(&hub);
        let draining = thread::spawn(move || draining.drain(Now(0)));
        let releasing = thread::spawn(move || {
            assert_eq!(say(&holder, 0, Command::Release(Kind::Exclusive, b"x")), Some(1));
            holder
        });
        let told = mail(&waiter);
        let was_granted = told == reply(GRANTED);
        assert!(was_granted || told == reply(SHUTTING_DOWN), "{told:?}");
        assert_eq!(mail(&waiter), Mail::Ending(Ending::Drained), "and then that it is the end");
        draining.join().unwrap();
        let holder = releasing.join().unwrap();
        assert_eq!(inspect(&holder, Kind::Exclusive), u32::from(was_granted));
    });
}

#[test]
fn sharers_are_orphaned_while_one_waits_for_both() {
    explore("sharers are orphaned while one waits for both", 500, || {
        let hub = hub(0);
        let (mut a, mut b, waiter) = (open(&hub), open(&hub), open(&hub));
        assert_eq!((share(&a), share(&b)), (1, 2));
        let wish = Command::Get(Wish::at_once(Kind::Shared, &b"x"[..]).limited(1).waiting(1000));
        assert!(matches!(waiter.batch(Now(0), &[wish], &mut Vec::new()), Flow::Wait));
        let a = thread::spawn(move || drop(a.close(Now(0), Cause::Error)));
        let b = thread::spawn(move || drop(b.close(Now(0), Cause::Error)));
        assert_eq!(mail(&waiter), reply(b"1 Shared Lock Get Success: x\n"));
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(inspect(&waiter, Kind::Shared), 1);
        assert_eq!(figure(&hub, "shared_orphans"), 2);
    });
}

#[test]
fn a_session_is_resumed_while_its_connection_closes() {
    explore("a session is resumed while its connection closes", 40, || {
        let hub = hub(0);
        let (mut old, new, other) = (open(&hub), open(&hub), open(&hub));
        let key = linger(&old, 1000);
        assert!(get(&old));
        let closing = thread::spawn(move || drop(old.close(Now(0), Cause::Error)));
        let asking = thread::spawn(move || {
            assert!(!get(&other), "free in between");
            other
        });
        // Before the close it takes over who is alive, after it what was left.
        assert_eq!(told(&new, 0, Command::Resume(&key)), b"1 Resume Success: 1\n");
        closing.join().unwrap();
        let _other = asking.join().unwrap();
        assert_eq!(say(&new, 0, Command::Release(Kind::Exclusive, b"x")), Some(1));
        assert_eq!(figure(&hub, "closed_error") + figure(&hub, "closed_resumed"), 1, "it ended once");
        assert_eq!((figure(&hub, "resumed"), figure(&hub, "lingering"), figure(&hub, "orphans")), (1, 0, 0));
    });
}

#[test]
fn a_session_is_due_while_it_is_resumed() {
    explore("a session is due while it is resumed", 20, || {
        let hub = hub(0);
        let (mut old, new, waiter) = (open(&hub), open(&hub), open(&hub));
        let key = linger(&old, 10);
        assert!(get(&old));
        wait(&waiter, 1000);
        assert!(old.close(Now(0), Cause::Eof).is_empty());
        drop(old);
        let ticking = Arc::clone(&hub);
        let ticking = thread::spawn(move || ticking.tick(Now(10)));
        let waiting = thread::spawn(move || (mail(&waiter), waiter));
        // Sent in time, or just too late.
        let has_resumed = told(&new, 9, Command::Resume(&key)) == b"1 Resume Success: 1\n";
        ticking.join().unwrap();
        assert_eq!(figure(&hub, "waiters"), u64::from(has_resumed), "one of them has it");
        assert_eq!(figure(&hub, "orphans"), u64::from(!has_resumed));
        assert_eq!((figure(&hub, "lingering"), figure(&hub, "holds")), (0, 1));
        let released = say(&new, 10, Command::Release(Kind::Exclusive, b"x"));
        assert_eq!(released, Some(u32::from(has_resumed)));
        let (told, waiter) = waiting.join().unwrap();
        assert_eq!(told, reply(GRANTED), "whoever waited has it now");
        assert_eq!(inspect(&waiter, Kind::Exclusive), 1);
    });
}

#[test]
fn a_reader_becomes_the_writer_while_another_ends() {
    explore("a reader becomes the writer while another ends", 60, || {
        let hub = hub(0);
        let (mut reader, changing, waiter) = (open(&hub), open(&hub), open(&hub));
        let read = |handle: &LoomHandle| say(handle, 0, Command::get(Kind::Read, b"x"));
        assert_eq!((read(&reader), read(&changing)), (Some(1), Some(2)));
        let wish = Command::Get(Wish::at_once(Kind::Read, &b"x"[..]).waiting(1000));
        let closing = thread::spawn(move || drop(reader.close(Now(0), Cause::Error)));
        let waiting = thread::spawn(move || {
            let mut out = Vec::new();
            let flow = waiter.batch(Now(0), &[wish], &mut out);
            (matches!(flow, Flow::Wait), out, waiter)
        });
        let writes = say(&changing, 0, Command::get(Kind::Write, b"x")) == Some(1);
        closing.join().unwrap();
        let (has_waited, got, waiter) = waiting.join().unwrap();
        // A reader that came before is beside it, so it reads on; otherwise it writes alone, and the reader waits.
        assert_eq!(has_waited, writes, "a reader beside a writer");
        assert_eq!(got.is_empty(), writes);
        assert_eq!(inspect(&changing, Kind::Write), u32::from(writes));
        assert_eq!(inspect(&changing, Kind::Read), if writes { 0 } else { 2 });
        let kind = if writes { Kind::Write } else { Kind::Read };
        assert_eq!(say(&changing, 0, Command::Release(kind, b"x")), Some(1));
        if has_waited {
            assert_eq!(mail(&waiter), reply(b"1 Read Lock Get Success: x\n"));
        }
        assert_eq!(inspect(&waiter, Kind::Read), 1);
        let holds = (figure(&hub, "read_holds"), figure(&hub, "write_holds"));
        assert_eq!((holds, figure(&hub, "read_waiters")), ((1, 0), 0));
    });
}

type LoomSeat = Seat<LoomLocks>;

/// What connections of a node have handed in, in its order.
type HandedIn = Arc<loom::sync::Mutex<Vec<NodeInput>>>;

/// The hub of node 1 of a cluster.
fn hub_of_node() -> Arc<LoomHub> {
    Arc::new(Hub::of_node(1, Machine::new(Config::smallest_storage()), None))
}

/// A connection of it, whose beginning is handed in.
fn enter(hub: &Arc<LoomHub>, log: &HandedIn) -> LoomSeat {
    let origin = |conn: Conn| Origin { addr: Addr::Unix(conn.bits()), account: Account::default() };
    hub.enter(|conn| {
        log.lock().expect("nothing panics while it is held").push(Input::Opened(conn, origin(conn)));
    })
}

/// Hands in a command that gets the lock.
fn hand_in_get(seat: &LoomSeat, log: &HandedIn) {
    assert!(seat.ask());
    let get = Command::get(Kind::Exclusive, b"x".to_vec());
    log.lock().expect("nothing panics while it is held").push(Input::Command(seat.conn(), get));
}

/// Applies what was handed in.
fn apply(hub: &LoomHub, log: &HandedIn) {
    let inputs = std::mem::take(&mut *log.lock().expect("nothing panics while it is held"));
    hub.apply(Now(1), &inputs);
}

fn mail_of(seat: &LoomSeat) -> Mail {
    block_on(poll_fn(|cx| seat.poll_mail(cx.waker())))
}

#[test]
fn two_connections_of_a_node_enter_while_its_log_is_applied() {
    explore("two connections of a node enter while its log is applied", 400, || {
        let (hub, log) = (hub_of_node(), HandedIn::default());
        let entering = (Arc::clone(&hub), Arc::clone(&log));
        let entering = thread::spawn(move || enter(&entering.0, &entering.1));
        let applying = (Arc::clone(&hub), Arc::clone(&log));
        let applying = thread::spawn(move || apply(&applying.0, &applying.1));
        let mut a = enter(&hub, &log);
        applying.join().unwrap();
        let mut b = entering.join().unwrap();
        apply(&hub, &log);
        assert_eq!((figure(&hub, "connections"), figure(&hub, "ignored_inputs")), (2, 0));
        assert!(a.leave() && b.leave());
        assert_eq!(hub.mailboxes(), 0);
    });
}

#[test]
fn the_replies_of_a_batch_meet_the_close_of_their_connection() {
    explore("the replies of a batch meet the close of their connection", 10, || {
        let (hub, log) = (hub_of_node(), HandedIn::default());
        let mut seat = enter(&hub, &log);
        hand_in_get(&seat, &log);
        let applying = (Arc::clone(&hub), Arc::clone(&log));
        let applying = thread::spawn(move || apply(&applying.0, &applying.1));
        // It fails, whether its replies have come or not.
        assert!(seat.leave(), "its end must be handed in");
        log.lock().unwrap().push(Input::Closed(seat.conn(), Cause::Error));
        applying.join().unwrap();
        apply(&hub, &log);
        assert_eq!((hub.mailboxes(), figure(&hub, "locks"), figure(&hub, "closed_error")), (0, 0, 1));
        assert!(!seat.leave(), "once");
    });
}

#[test]
fn a_node_lapses_while_a_batch_is_answered() {
    explore("a node lapses while a batch is answered", 20_000, || {
        let (hub, log) = (hub_of_node(), HandedIn::default());
        let seat = enter(&hub, &log);
        hand_in_get(&seat, &log);
        let applying = (Arc::clone(&hub), Arc::clone(&log));
        let applying = thread::spawn(move || apply(&applying.0, &applying.1));
        let lapsing = Arc::clone(&hub);
        let lapsing = thread::spawn(move || lapsing.lapse());
        // A reply that is taken before the lapse may be told. Behind it there is none.
        let lapsed = Mail::Ending(Ending::Machine(Reason::NoQuorum));
        match mail_of(&seat) {
            Mail::Reply(bytes, flow) => {
                assert_eq!((&*bytes, flow), (GRANTED, Flow::Go));
                assert_eq!(mail_of(&seat), lapsed);
            }
            ending @ Mail::Ending(_) => assert_eq!(ending, lapsed),
        }
        lapsing.join().unwrap();
        applying.join().unwrap();
        assert_eq!(mail_of(&seat), lapsed, "nothing is told any more");
        assert_eq!((hub.mailboxes(), figure(&hub, "locks")), (0, 1));
    });
}

#[test]
fn a_node_drains_while_a_batch_is_under_way() {
    explore("a node drains while a batch is under way", 200, || {
        let (hub, log) = (hub_of_node(), HandedIn::default());
        let seat = enter(&hub, &log);
        apply(&hub, &log);
        hand_in_get(&seat, &log);
        log.lock().unwrap().insert(0, Input::Drain(1));
        let applying = (Arc::clone(&hub), Arc::clone(&log));
        let applying = thread::spawn(move || {
            let (hub, log) = applying;
            let drain = log.lock().unwrap().remove(0);
            hub.apply(Now(1), &[drain]);
            apply(&hub, &log);
        });
        assert_eq!(mail_of(&seat), Mail::Reply(SHUTTING_DOWN.to_vec(), Flow::Go), "the answer comes first");
        assert_eq!(mail_of(&seat), Mail::Ending(Ending::Drained));
        applying.join().unwrap();
    });
}

/// Goal: the models find bugs. Method: each canary of the hub is planted in a process of its own, because loom ends the
/// process if it finds a deadlock. That process must fail, and tell in which order its threads took locks.
#[test]
fn the_models_find_the_canaries_of_the_hub() {
    let of_loom = |canary: Canary| {
        canary.harnesses().iter().filter_map(move |harness| match harness {
            Harness::Loom(model) => Some((canary, model)),
            _ => None,
        })
    };
    for (canary, model) in Canary::ALL.into_iter().flat_map(of_loom) {
        let output = process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", model])
            .env(CANARY, format!("{canary:?}"))
            .output()
            .unwrap();
        assert!(!output.status.success(), "{model} did not find {canary:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("running 1 test"), "there is no model {model}: {told}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let steps = told_steps(&told);
        // Each model opens connections before it does anything else on its first thread.
        let firsts = steps.iter().filter_map(|step| step.strip_prefix("ThreadId(0) takes the "));
        let firsts: Vec<&str> = firsts.collect();
        assert_eq!(firsts.first(), Some(&"hub: open"), "{canary:?}: {told}");
        assert!(firsts.iter().any(|step| *step != "hub: open"), "{canary:?}: not all is told: {told}");
        writeln!(std::io::stderr(), "canary {canary:?}: found by loom: {model}").unwrap();
    }
}
