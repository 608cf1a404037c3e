//! The longest steps of the machine: what nobody else is served during. Each is made as long as the default limits
//! allow, several times over. The table has the shortest time of each, because another process may have run during the
//! others. docs/guarantees.md says what follows.
//!
//! It times the machine alone. A server also puts the messages that come of a step into mailboxes, and wakes their
//! owners.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use elockd_core::{
    Account, Addr, BorrowedInput, Cause, Command, Config, Conn, DriverInput, Input, Kind, Limits, Machine,
    Now, Origin, Output, Wish,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const EXCLUSIVE: Kind = Kind::Exclusive;
const SHARED: Kind = Kind::Shared;
/// How often each step is made.
const TIMES: u32 = 3;

fn main() {
    println!("| step | how long |\n|---|---|");
    let limited = Limits::default().step_holds;
    let refused = "a deadlock check among 995,400 shares of 3,160 connections is refused";
    print(refused, search(limited, 30));
    print("the same without a limit (`--max-step-holds 2000000000`)", search(2_000_000_000, 3));
    row("a deadlock check of a connection that holds 10,000 locks with tokens", search_with_tokens);
    row("a connection ends that holds 10,000 locks alone", || {
        end(|world, name| world.say(1, &Command::get(EXCLUSIVE, name)))
    });
    row("a connection ends that holds 10,000 locks with tokens", || {
        end(|world, name| {
            world.say(1, &Command::get(EXCLUSIVE, name));
            world.say(1, &Command::Fence(Kind::Exclusive, name));
        })
    });
    row("a connection ends that holds 10,000 shares beside another", || {
        end(|world, name| {
            world.say(1, &Command::get(SHARED, name));
            world.say(2, &Command::get(SHARED, name));
        })
    });
    let (step, all) = idle();
    print("5,000 connections with 200 shares each are idle at once: a step", step);
    print("the same: all steps", all);
    row("10,000 waits come to their deadline at once", || {
        crowd(|world| {
            world.now += 1_000;
            world.time(Input::Tick)
        })
    });
    row("one release grants 10,000 waits", || {
        crowd(|world| world.time(Input::Command(Conn::new(0, 1), &Command::Release(SHARED, b"0"))))
    });
    row("a shutdown ends 10,000 waits", || crowd(|world| world.time(Input::Drain(0))));
    print("`kick` ends 5,000 connections of one name with 200 shares each", kick());
}

/// Prints the shortest time of a step.
fn row(name: &str, step: impl Fn() -> Duration) {
    let shortest = (0..TIMES).map(|_| step()).min().unwrap_or_default();
    print(name, shortest);
}

fn print(name: &str, time: Duration) {
    println!("| {name} | {:.2} ms |", time.as_secs_f64() * 1e3);
}

struct World {
    machine: Machine,
    now: u64,
    /// How many commands were refused.
    refused: u32,
}

impl World {
    fn new(limits: Limits) -> Self {
        let config = Config { limits, ..Config::default() };
        let mut world = Self { machine: Machine::new(config), now: 1, refused: 0 };
        world.time(DriverInput::Tokens { first: 1, last: 1 << 40 });
        world
    }

    /// How long an input takes.
    fn time(&mut self, input: BorrowedInput<'_, &[u8]>) -> Duration {
        let start = Instant::now();
        let refused = &mut self.refused;
        self.machine.apply(Now(self.now), input, &mut |conn, output| {
            let (_, output) = black_box((conn, output));
            *refused += u32::from(matches!(output, Output::Reply(reply) if reply.is_failure()));
        });
        start.elapsed()
    }

    fn open(&mut self, serial: u64, account: Account) {
        let origin = Origin { addr: Addr::Unix(serial), account };
        self.time(Input::Opened(Conn::new(0, serial), origin));
    }

    fn say(&mut self, serial: u64, command: &Command<&[u8]>) {
        self.time(Input::Command(Conn::new(0, serial), command));
    }

    /// Opens connections that all share some locks.
    fn share(&mut self, connections: u64, locks: u32) {
        for serial in 1..=connections {
            self.open(serial, Account::default());
            for number in 0..locks {
                self.say(serial, &Command::get(SHARED, number.to_string().as_bytes()));
            }
        }
    }
}

/// Has 9,999 connections wait for a lock, and times a step then.
fn crowd(step: impl FnOnce(&mut World) -> Duration) -> Duration {
    let mut world = World::new(Limits::default());
    world.share(1, 1);
    for serial in 2..=10_000 {
        world.open(serial, Account::default());
        // The first needs the lock for itself for a moment. Behind it nobody has a limit.
        let limit = u32::from(serial == 2);
        let wish = Wish::at_once(SHARED, &b"0"[..]).limited(limit).waiting(1_000);
        world.say(serial, &Command::Get(wish));
    }
    assert_eq!(world.machine.figures().holds(SHARED), 1, "all others wait");
    step(&mut world)
}

/// Connections wait for locks that others of them share, until a few are refused.
fn search(step_holds: u32, refusals: u32) -> Duration {
    const LOCKS: u32 = 315;
    let mut world = World::new(Limits { step_holds, ..Limits::default() });
    world.share(3_160, LOCKS);
    let mut shortest = Duration::MAX;
    for serial in 1.. {
        let name = (serial % u64::from(LOCKS)).to_string();
        world.say(serial, &Command::Release(SHARED, name.as_bytes()));
        let wish = Wish::at_once(SHARED, name.as_bytes()).limited(2_000).waiting(1_000_000);
        let before = world.refused;
        let time = world.time(Input::Command(Conn::new(0, serial), &Command::Get(wish)));
        if world.refused > before {
            shortest = shortest.min(time);
        }
        if world.refused == refusals {
            break;
        }
    }
    shortest
}

/// The search is over the limit from the start. Of the asker's own locks somebody waits for the one that is looked at
/// last.
fn search_with_tokens() -> Duration {
    let mut world = World::new(Limits { connections: 20_000, ..Limits::default() });
    world.share(5_001, 1);
    let asker = 5_002;
    world.open(asker, Account::default());
    for number in 0..9_999 {
        let name = format!("own.{number}");
        world.say(asker, &Command::get(EXCLUSIVE, name.as_bytes()));
        world.say(asker, &Command::Fence(Kind::Exclusive, name.as_bytes()));
    }
    world.say(1, &Command::Get(Wish::at_once(EXCLUSIVE, &b"own.0"[..]).waiting(1_000)));
    let alone = Wish::at_once(SHARED, &b"0"[..]).limited(1).waiting(1_000);
    for serial in asker + 1..=asker + 5_000 {
        world.open(serial, Account::default());
        world.say(serial, &Command::Get(alone));
    }
    let time = world.time(Input::Command(Conn::new(0, asker), &Command::Get(alone)));
    assert_eq!(world.refused, 1, "it is refused");
    time
}

/// A connection ends that holds 10,000 locks. `get` has it get one.
fn end(get: impl Fn(&mut World, &[u8])) -> Duration {
    let mut world = World::new(Limits::default());
    world.open(1, Account::default());
    world.open(2, Account::default());
    (0..10_000).for_each(|number| get(&mut world, number.to_string().as_bytes()));
    world.time(Input::Closed(Conn::new(0, 1), Cause::Eof))
}

/// A step that takes longer than a quarter of them, and all steps together.
fn idle() -> (Duration, Duration) {
    let mut world = World::new(Limits { idle_ms: 1_000, ..Limits::default() });
    world.share(5_000, 200);
    world.now += 1_000;
    let mut steps = Vec::new();
    while world.machine.figures().connections() > 0 {
        steps.push(world.time(Input::Tick));
    }
    steps.sort();
    (steps[steps.len() / 4], steps.iter().sum())
}

fn kick() -> Duration {
    let mut world = World::new(Limits::default());
    world.share(5_000, 200);
    for serial in 1..=5_000 {
        world.say(serial, &Command::Iam(b"worker"));
    }
    world.open(5_001, Account::ADMIN);
    world.time(Input::Command(Conn::new(0, 5_001), &Command::Kick(b"worker")))
}
