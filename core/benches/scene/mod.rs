//! What is measured of the machine and the codec alone. A scene has some locks held. Each case has a step, what
//! prepares it, and what undoes it, so that steps can be repeated for ever.

use elockd_core::wire::{Decoder, encode};
use elockd_core::{
    Account, Addr, BorrowedInput, Cause, Command, Config, Conn, Input, Kind, Machine, Now, Origin, Output,
    Reply, Wish,
};
use std::fmt;
use std::hint::black_box;

/// The lock that steps are about: 24 bytes.
const NAME: &[u8] = b"bench.000000000000000000";
/// Locks that one connection holds throughout. It does nothing else.
const HELD: u32 = 10_000;
/// Locks that the connection that ends has held.
pub const ESTATE: u32 = 1_000;
const GET: &[u8] = b"g bench.000000000000000000\n";

/// A machine, some connections, and a wire.
pub struct Scene {
    machine: Machine,
    now: Now,
    decoder: Decoder,
    wire: Vec<u8>,
    /// The serial of the connection that ends. Each time another one is opened.
    mortal: u64,
}

/// One case: a step that is measured.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Instructions that the step may take. `instructions` allows this and its tolerance.
    pub budget: u64,
    /// Prepares the step. `instructions` does not measure it.
    pub before: fn(&mut Scene),
    pub step: fn(&mut Scene),
    /// Undoes the step. `instructions` does not measure it.
    pub after: fn(&mut Scene),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const ALICE: Conn = Conn::new(0, 1);
const BOB: Conn = Conn::new(0, 2);
const OWNER: Conn = Conn::new(0, 3);
const EXCLUSIVE: Kind = Kind::Exclusive;
const SHARED: Kind = Kind::Shared;
/// Far longer than any measurement.
const LONG_MS: u32 = 1_000_000_000;

/// All cases. A budget is what the step took when it was last measured, on x86-64.
pub const CASES: [Case; 17] = [
    Case {
        name: "parse g",
        budget: 166,
        before: |_| {},
        step: |scene| {
            let mut input = black_box(GET);
            black_box(scene.decoder.next(&mut input));
        },
        after: |_| {},
    },
    Case {
        name: "encode the reply to g",
        budget: 75,
        before: |scene| scene.wire.clear(),
        step: |scene| {
            encode(&black_box(Reply::Got { kind: EXCLUSIVE, holders: 1, name: NAME }), &mut scene.wire);
        },
        after: |_| {},
    },
    Case {
        name: "parse, apply and encode g",
        budget: 1017,
        before: |scene| scene.wire.clear(),
        step: Scene::whole_get,
        after: |scene| scene.say(ALICE, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "g of a free lock",
        budget: 758,
        before: |_| {},
        step: |scene| scene.say(ALICE, Command::get(EXCLUSIVE, NAME)),
        after: |scene| scene.say(ALICE, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "g of a held lock",
        budget: 646,
        before: |scene| scene.say(BOB, Command::get(EXCLUSIVE, NAME)),
        step: |scene| scene.say(ALICE, Command::get(EXCLUSIVE, NAME)),
        after: |scene| scene.say(BOB, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "r",
        budget: 490,
        before: |scene| scene.say(ALICE, Command::get(EXCLUSIVE, NAME)),
        step: |scene| scene.say(ALICE, Command::Release(EXCLUSIVE, NAME)),
        after: |_| {},
    },
    Case {
        name: "i of a held lock",
        budget: 554,
        before: |scene| scene.say(BOB, Command::get(EXCLUSIVE, NAME)),
        step: |scene| scene.say(ALICE, Command::Inspect(EXCLUSIVE, NAME)),
        after: |scene| scene.say(BOB, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "sg of a free lock",
        budget: 766,
        before: |_| {},
        step: |scene| scene.say(ALICE, Command::get(SHARED, NAME)),
        after: |scene| scene.say(ALICE, Command::Release(SHARED, NAME)),
    },
    Case {
        name: "sr",
        budget: 490,
        before: |scene| scene.say(ALICE, Command::get(SHARED, NAME)),
        step: |scene| scene.say(ALICE, Command::Release(SHARED, NAME)),
        after: |_| {},
    },
    Case {
        name: "sg, the second (ties the lock)",
        budget: 1868,
        before: |scene| scene.say(BOB, Command::get(SHARED, NAME)),
        step: |scene| scene.say(ALICE, Command::get(SHARED, NAME)),
        after: |scene| {
            scene.say(ALICE, Command::Release(SHARED, NAME));
            scene.say(BOB, Command::Release(SHARED, NAME));
        },
    },
    Case {
        name: "sr of a tied lock",
        budget: 1401,
        before: |scene| {
            scene.say(BOB, Command::get(SHARED, NAME));
            scene.say(ALICE, Command::get(SHARED, NAME));
        },
        step: |scene| scene.say(ALICE, Command::Release(SHARED, NAME)),
        after: |scene| scene.say(BOB, Command::Release(SHARED, NAME)),
    },
    Case {
        name: "gw that waits",
        budget: 1876,
        before: |scene| scene.say(BOB, Command::get(EXCLUSIVE, NAME)),
        step: |scene| scene.say(ALICE, Command::Get(Wish::at_once(EXCLUSIVE, NAME).waiting(LONG_MS))),
        after: |scene| {
            scene.say(BOB, Command::Release(EXCLUSIVE, NAME));
            scene.say(ALICE, Command::Release(EXCLUSIVE, NAME));
        },
    },
    Case {
        name: "r that grants to a waiter",
        budget: 3061,
        before: |scene| {
            scene.say(BOB, Command::get(EXCLUSIVE, NAME));
            scene.say(ALICE, Command::Get(Wish::at_once(EXCLUSIVE, NAME).waiting(LONG_MS)));
        },
        step: |scene| scene.say(BOB, Command::Release(EXCLUSIVE, NAME)),
        after: |scene| scene.say(ALICE, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "a wait times out",
        budget: 863,
        before: |scene| {
            scene.say(BOB, Command::get(EXCLUSIVE, NAME));
            scene.say(ALICE, Command::Get(Wish::at_once(EXCLUSIVE, NAME).waiting(50)));
            scene.now.0 += 50;
        },
        step: Scene::tick,
        after: |scene| scene.say(BOB, Command::Release(EXCLUSIVE, NAME)),
    },
    Case {
        name: "Closed with one sole lock",
        budget: 638,
        before: |scene| scene.open_mortal(1),
        step: Scene::close_mortal,
        after: Scene::sweep,
    },
    Case {
        name: "Closed with 1,000 sole locks",
        budget: 638,
        before: |scene| scene.open_mortal(ESTATE),
        step: Scene::close_mortal,
        after: Scene::sweep,
    },
    Case {
        name: "Tick that sweeps 256 dead holds",
        budget: 94_533,
        before: |scene| {
            scene.open_mortal(ESTATE);
            scene.close_mortal();
        },
        step: Scene::tick,
        after: Scene::sweep,
    },
];

impl Scene {
    pub fn new() -> Self {
        let machine = Machine::new(Config::default());
        let (decoder, wire) = (Decoder::new(8192), Vec::with_capacity(256));
        let mut scene = Self { machine, now: Now(1), decoder, wire, mortal: 3 };
        for conn in [ALICE, BOB, OWNER] {
            scene.open(conn);
        }
        for number in 0..HELD {
            scene.say(OWNER, Command::get(EXCLUSIVE, format!("held.{number:019}").as_bytes()));
        }
        scene
    }

    /// One round of a case: before, step and after together.
    pub fn cycle(&mut self, case: &Case) {
        (case.before)(self);
        (case.step)(self);
        (case.after)(self);
    }

    fn open(&mut self, conn: Conn) {
        let origin = Origin { addr: Addr::Unix(conn.serial()), account: Account::default() };
        self.apply(Input::Opened(conn, origin));
    }

    fn say(&mut self, conn: Conn, command: Command<&[u8]>) {
        self.apply(Input::Command(conn, black_box(&command)));
    }

    fn apply(&mut self, input: BorrowedInput<'_, &[u8]>) {
        self.machine.apply(self.now, input, &mut |conn, output| {
            black_box((conn, output));
        });
    }

    fn whole_get(&mut self) {
        let mut input = black_box(GET);
        while let Some(command) = self.decoder.next(&mut input) {
            let wire = &mut self.wire;
            self.machine.apply(self.now, Input::Command(ALICE, &command), &mut |_, output| {
                if let Output::Reply(reply) = output {
                    encode(&reply, wire);
                }
            });
        }
    }

    fn open_mortal(&mut self, locks: u32) {
        self.mortal += 1;
        let mortal = Conn::new(0, self.mortal);
        self.open(mortal);
        let mut name = *b"mortal.00000000000000000";
        for number in 0..locks {
            name[16..20].copy_from_slice(&number.to_be_bytes());
            self.say(mortal, Command::get(EXCLUSIVE, &name));
        }
    }

    fn close_mortal(&mut self) {
        self.apply(Input::Closed(Conn::new(0, self.mortal), Cause::Eof));
    }

    fn tick(&mut self) {
        self.apply(Input::Tick);
        self.machine.sweep(1);
    }

    fn sweep(&mut self) {
        while !self.machine.is_swept() {
            self.machine.sweep(1);
        }
    }
}
