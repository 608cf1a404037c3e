//! What steps cost, counted and not timed: the slots that an index looks at, the holds that a deadlock check looks at,
//! what an end releases and what a sweep frees ([`Cost`]).
//!
//! Goal: no step grows with what there is, beyond the bounds that `docs/guarantees.md` gives. Method: the same steps
//! with little and with a million locks held. The key of the hash is fixed, so the counts are the same on every
//! computer.

use elockd_core::probe::{Bill, Cost, bill};
use elockd_core::{
    Account, Addr, BorrowedInput, Cause, Command, Config, Conn, Figure, Input, Kind, Machine, Now, Origin,
    Output, Wish,
};

struct World {
    machine: Machine,
    now: u64,
}

impl World {
    /// A machine with so many connections open, numbered from 1.
    fn new(config: Config, connections: u64) -> Self {
        let mut world = Self { machine: Machine::new(config), now: 0 };
        for serial in 1..=connections {
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            world.apply(Input::Opened(Conn::new(0, serial), origin));
        }
        world
    }

    /// Applies an input. Returns what it cost, and whether its connection has a success or waits.
    fn apply(&mut self, input: BorrowedInput<'_, &[u8]>) -> (Bill, bool) {
        let _ = bill();
        let mut is_success = false;
        self.machine.apply(Now(self.now), input, &mut |_, output| {
            is_success |= match output {
                Output::Reply(reply) => !reply.is_failure(),
                Output::Wait => true,
                Output::Disconnect(_) => false,
            };
        });
        (bill(), is_success)
    }

    fn say(&mut self, serial: u64, command: &Command<&[u8]>) -> (Bill, bool) {
        self.apply(Input::Command(Conn::new(0, serial), command))
    }

    /// Gets a lock at once. Panics if that fails.
    fn get(&mut self, serial: u64, kind: Kind, name: &str) -> Bill {
        let (bill, is_success) = self.say(serial, &Command::get(kind, name.as_bytes()));
        assert!(is_success, "{serial} gets {name}");
        bill
    }

    /// Waits for an exclusive lock. Returns whether it is granted or waits.
    fn wait(&mut self, serial: u64, name: &str) -> (Bill, bool) {
        let wish = Wish::at_once(Kind::Exclusive, name.as_bytes()).waiting(1_000_000);
        self.say(serial, &Command::Get(wish))
    }

    /// A figure of `q full`.
    fn figure(&self, wanted: &str) -> u64 {
        let mut found = None;
        self.machine.figures().each(true, &mut |key, figure| match figure {
            Figure::Number(number) if key == wanted => found = Some(number),
            _ => {}
        });
        found.expect("there is such a figure")
    }

    fn close(&mut self, serial: u64) -> Bill {
        self.apply(Input::Closed(Conn::new(0, serial), Cause::Eof)).0
    }

    fn tick(&mut self) -> Bill {
        self.apply(Input::Tick).0
    }

    fn sweep(&mut self) -> Bill {
        let _ = bill();
        self.machine.sweep(1);
        bill()
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.locks = 2_000_000;
    config.limits.locks_per_connection = 2_000_000;
    config.limits.connections = 20_000;
    config.limits.waiters = 20_000;
    config
}

/// The sum and the most of what steps cost.
#[derive(Default)]
struct Sum {
    steps: u64,
    all: u64,
    most: u64,
}

impl Sum {
    fn add(&mut self, cost: u64) {
        self.steps += 1;
        self.all += cost;
        self.most = self.most.max(cost);
    }

    /// At most so many on average, in tenths, and so many at a time.
    #[track_caller]
    fn is_within(&self, tenths: u64, most: u64, what: &str) {
        let Self { steps, all, most: seen, .. } = self;
        assert!(all * 10 <= tenths * steps, "{what}: {all} in {steps} steps");
        assert!(*seen <= most, "{what}: {seen} in one step");
    }
}

/// Chains are as short with a million locks as with ten, and an index grows a little at a time.
#[test]
fn a_lock_is_found_as_fast_among_a_million() {
    for held in [10, 1_000, 1_000_000] {
        let mut world = World::new(config(), 2);
        let mut moved = Sum::default();
        for number in 0..held {
            let bill = world.get(1, Kind::Exclusive, &format!("held.{number}"));
            moved.add(bill[Cost::SlotMoved]);
        }
        // A sub-table of 1,024 grows with what is in it.
        moved.is_within(20, 8 + 2 * held / 1_024, "slots moved by a get");
        let [mut free, mut taken, mut released] = [const { Sum { steps: 0, all: 0, most: 0 } }; 3];
        for number in 0..2_000 {
            let name = format!("new.{number}");
            free.add(world.get(2, Kind::Exclusive, &name)[Cost::SlotSeen]);
            let old = format!("held.{}", number * (held / 10).max(1) % held);
            let (bill, is_got) = world.say(2, &Command::get(Kind::Exclusive, old.as_bytes()));
            assert!(!is_got);
            taken.add(bill[Cost::SlotSeen]);
            // Not the newest: that one would not be looked for.
            if number > 0 {
                let name = format!("new.{}", number - 1);
                let (bill, is_released) = world.say(2, &Command::Release(Kind::Exclusive, name.as_bytes()));
                assert!(is_released);
                released.add(bill[Cost::SlotSeen]);
            }
        }
        free.is_within(10, 8, "slots seen by a get of a free lock");
        taken.is_within(20, 9, "slots seen by a get of a held lock");
        // It is found, and then its place in the chain is.
        released.is_within(30, 18, "slots seen by a release");
    }
}

/// The end of a connection releases its tied holds and nothing else. The rest is freed in slices.
#[test]
fn an_end_pays_for_tied_holds_alone() {
    const LOCKS: u64 = 20_000;
    let mut world = World::new(config(), 4);
    for number in 0..LOCKS {
        world.get(1, Kind::Exclusive, &format!("sole.{number}"));
        if number < 100 {
            world.get(1, Kind::Shared, &format!("tied.{number}"));
            world.get(2, Kind::Shared, &format!("tied.{number}"));
        }
    }
    let end = world.close(1);
    assert_eq!((end[Cost::HoldEnded], end[Cost::SlotSwept]), (100, 0));
    let mut swept = 0;
    for number in 0..50 {
        let get = world.get(3, Kind::Exclusive, &format!("new.{number}"));
        assert_eq!(get[Cost::SlotSwept], 2);
        swept += get[Cost::SlotSwept];
    }
    while world.machine.figures().dead_holds() > 0 {
        let slice = world.sweep()[Cost::SlotSwept];
        assert!(slice <= 256, "{slice} in one tick");
        swept += slice;
    }
    assert_eq!(swept, LOCKS, "each is freed once");
}

/// A deadlock check walks a chain of exclusive locks once, however long their lines are.
#[test]
fn a_search_among_exclusive_locks_is_as_long_as_the_chain() {
    for chain in [2, 10, 1_000] {
        let mut world = World::new(config(), 2 * chain);
        for serial in 1..=chain {
            world.get(serial, Kind::Exclusive, &serial.to_string());
        }
        // In front of each lock stands another that nobody waits for.
        for serial in 2..=chain {
            world.wait(chain + serial, &serial.to_string());
            assert!(world.wait(serial - 1, &serial.to_string()).1);
        }
        let (bill, is_granted) = world.wait(chain, "1");
        assert!(!is_granted, "it is a deadlock");
        // One more is its own hold, which somebody waits for.
        assert_eq!((bill[Cost::HoldSearched], bill[Cost::WaitSearched]), (chain + 1, 0));
    }
}

/// A check that would look at more than the limit is refused, and has not looked at more by then. Connections wait for
/// each other in a crowd: each wants a share of which forty others who wait have one, too.
#[test]
fn a_search_looks_at_no_more_than_the_limit() {
    for most in [0, 10, 500, 5_000] {
        let mut config = config();
        config.limits.step_holds = most;
        let most = u64::from(most);
        let mut world = World::new(config, 202);
        for serial in 1..=200 {
            world.get(serial, Kind::Exclusive, &format!("own.{serial}"));
            for number in 0..100 {
                world.get(serial, Kind::Shared, &format!("{number}"));
            }
        }
        for serial in 1..=200 {
            let name = (serial % 100).to_string();
            let wish = Wish::at_once(Kind::Shared, name.as_bytes()).limited(40).waiting(1_000);
            // Its own shares are given back first, or it would be a holder.
            world.say(serial, &Command::Release(Kind::Shared, name.as_bytes()));
            let (bill, _) = world.say(serial, &Command::Get(wish));
            // Beside the search itself, up to as many of its own holds may be looked at, and 64 before.
            let all = bill[Cost::HoldSearched] + bill[Cost::WaitSearched];
            assert!(all <= 2 * most + 64, "{serial} looked at {all}, with a limit of {most}");
        }
        assert!(world.figure("searches_refused") > 0, "with a limit of {most} nothing was refused");
    }
}

/// Idle connections that are due at one time end in steps of about as many holds as the limit says. Only ticks make
/// such steps: a batch of requests would make many at once.
#[test]
fn idle_connections_end_in_steps() {
    let mut config = config();
    config.limits.step_holds = 1_000;
    config.limits.idle_ms = 10;
    let mut world = World::new(config, 300);
    for serial in 1..=300 {
        for number in 0..20 {
            world.get(serial, Kind::Shared, &number.to_string());
        }
    }
    world.now = 10;
    for _ in 0..64 {
        assert_eq!(world.say(300, &Command::Ping).0[Cost::HoldEnded], 0, "others leave it to ticks");
    }
    let mut steps = 0;
    // The rest is due at once.
    while world.machine.deadline() == Some(Now(10)) {
        let ended = world.tick()[Cost::HoldEnded];
        assert!(ended <= 1_000, "{ended} in one step");
        steps += 1;
    }
    // 47 connections with 20 holds each, and one more for each of them, are 987.
    assert_eq!(
        (steps, world.figure("connections")),
        (7, 1),
        "no more steps than needed; the last one has spoken"
    );
}
