//! Large sizes: hundreds of thousands of names, holders of one name, tied holds of one connection, deadlines at every
//! edge of the wheel, and listings of all that.
//!
//! Goal: nothing goes wrong only beyond 64, 65,536 or 64 KiB of something. Method: the reference runs beside the
//! machine. Both must say the same to each line, and the invariants must hold when all is done.

use elockd_core::{Account, Addr, Cause, Command, Config, Conn, Input, Kind, Machine, Now, Origin};
use elockd_model_tests::lines::commands;
use elockd_model_tests::observe::{Event, observe};
use elockd_model_tests::reference::Reference;
use elockd_model_tests::runner::say;

/// More than fit into 16 bits.
const MANY: u32 = 70_000;

/// The machine and the reference, after the same inputs.
struct Pair {
    machine: Machine,
    reference: Reference,
    now: u64,
    /// How many bytes both have sent.
    bytes: u64,
}

impl Pair {
    fn new(config: Config) -> Self {
        let (machine, reference) = (Machine::new(config.clone()), Reference::new(config));
        Self { machine, reference, now: 0, bytes: 0 }
    }

    /// With so many connections open, numbered from 1.
    fn with_open(config: Config, connections: u32) -> Self {
        let mut pair = Self::new(config);
        (1..=connections.into()).for_each(|serial| pair.open(serial));
        pair
    }

    /// Gives an input to both, and returns what comes of it.
    fn apply(&mut self, input: &Input<Command<Vec<u8>>>) -> Vec<Event> {
        let events = observe(&mut self.machine, Now(self.now), input.as_ref());
        let expected = self.reference.apply(Now(self.now), input);
        for (event, expected) in events.iter().zip(&expected) {
            if let (Event::Sent(_, text), Event::Sent(_, wanted)) = (event, expected) {
                self.bytes += text.len() as u64;
                same_text(text, wanted);
            }
            // Texts are shown at their first difference alone: some have megabytes.
            assert!(event == expected, "{} and others do not hear the same", show(expected));
        }
        assert_eq!(events.len(), expected.len(), "as many outcomes");
        events
    }

    fn open(&mut self, serial: u64) {
        let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
        self.apply(&Input::Opened(Conn::new(0, serial), origin));
    }

    /// Has a connection say a line. Returns what comes of it.
    fn say(&mut self, serial: u64, line: &str) -> Vec<Event> {
        let command = commands(format!("{line}\n").as_bytes(), 10_000).remove(0);
        self.apply(&Input::Command(Conn::new(0, serial), command))
    }

    fn close(&mut self, serial: u64) {
        self.apply(&Input::Closed(Conn::new(0, serial), Cause::Eof));
    }

    /// The text of the one reply to a line.
    #[track_caller]
    fn hear(&mut self, serial: u64, line: &str) -> String {
        match &self.say(serial, line)[..] {
            [Event::Sent(_, text)] => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{} outcomes of {line}", other.len()),
        }
    }

    /// Every listing and figure, and every invariant.
    fn look(&mut self, serial: u64) {
        for line in ["d", "sd", "dump", "dump shared", "ls", "who", "q full"] {
            self.say(serial, line);
        }
        self.machine.check().expect("every invariant holds");
    }

    /// Ticks until nothing dead is left.
    fn sweep(&mut self) {
        while self.machine.figures().dead_holds() > 0 {
            self.apply(&Input::Tick);
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            say(&format!("sizes: both sent {} bytes\n", self.bytes));
        }
    }
}

/// Panics at the first line that differs.
fn same_text(text: &[u8], expected: &[u8]) {
    if text != expected {
        let mut lines =
            text.split(|byte| *byte == b'\n').zip(expected.split(|byte| *byte == b'\n')).enumerate();
        let differs = lines.find(|(_, (is, wanted))| is != wanted);
        let differs = differs.map(|(at, (is, wanted))| {
            format!("line {at} is \"{}\", expected \"{}\"", is.escape_ascii(), wanted.escape_ascii())
        });
        let cut = differs.map(|text| text.chars().take(500).collect::<String>());
        panic!("{} bytes, expected {}; {cut:?}", text.len(), expected.len());
    }
}

fn show(event: &Event) -> String {
    format!("{event:?}").chars().take(200).collect()
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.connections = 200_000;
    config.limits.locks_per_connection = 1_000_000;
    config
}

/// Both kinds, short names and long ones; 70,000 holds of one connection that are tied, and the end of each.
#[test]
fn hundreds_of_thousands_of_names() {
    let mut pair = Pair::with_open(config(), 4);
    for number in 0..MANY {
        pair.say(1, &format!("g exclusive.{number}"));
        pair.say(2, &format!("sg shared.{number}"));
        pair.say(3, &format!("sg shared.{number}"));
    }
    for number in 0..2_000 {
        pair.say(1, &format!("g a.name.of.more.than.29.bytes.{number}"));
    }
    assert_eq!(pair.hear(4, "si shared.69999"), "2 Shared Lock Is Locked: shared.69999\n");
    assert_eq!(pair.hear(4, "g exclusive.65536"), "0 Lock Get Failure: exclusive.65536\n");
    pair.look(4);
    let snapshot = pair.machine.snapshot();
    let mut restored = Machine::restore(config(), &snapshot).expect("a snapshot can be restored");
    assert!(restored.snapshot() == snapshot, "a restored machine has another snapshot");
    pair.now = 1_000;
    // The third connection's 70,000 holds are all tied, the first one's are not.
    pair.close(3);
    assert_eq!(pair.hear(4, "si shared.69999"), "1 Shared Lock Is Locked: shared.69999\n");
    pair.close(1);
    for number in (0..MANY).step_by(7) {
        pair.say(4, &format!("g exclusive.{number}"));
    }
    pair.look(4);
    pair.sweep();
    pair.say(2, "ra");
    pair.look(4);
}

/// One shared lock with 70,000 holders: its count, its listing, and a limit among them.
#[test]
fn tens_of_thousands_of_holders_of_one_name() {
    let mut pair = Pair::new(config());
    for serial in 1..=MANY.into() {
        pair.open(serial);
        pair.say(serial, "sg pool");
    }
    let one_more = u64::from(MANY) + 1;
    pair.open(one_more);
    assert_eq!(pair.hear(one_more, "si pool"), format!("{MANY} Shared Lock Is Locked: pool\n"));
    assert_eq!(pair.hear(one_more, &format!("sgl {MANY} pool")), "0 Shared Lock Get Failure: pool\n");
    // In 16 bits 70,000 would be 4,464.
    assert_eq!(pair.hear(one_more, "sgl 4465 pool"), "0 Shared Lock Get Failure: pool\n");
    assert_eq!(pair.say(one_more, &format!("sgw 1000 {MANY} pool")).len(), 1);
    pair.close(1);
    let second = pair.hear(2, "si pool");
    assert_eq!(second, format!("{MANY} Shared Lock Is Locked: pool\n"), "one went, and the waiting one came");
    (3..500).step_by(2).for_each(|serial| pair.close(serial));
    for line in ["sd pool", "q full"] {
        pair.say(2, line);
    }
    pair.machine.check().expect("every invariant holds");
}

/// A line of 5,000, more than one chunk of waits; released head by head, from the middle, and all at once.
#[test]
fn thousands_in_one_line() {
    const LINE: u64 = 5_000;
    let mut pair = Pair::new(config());
    pair.open(1);
    pair.say(1, "sg pool");
    for serial in 2..=LINE {
        pair.open(serial);
        // The head needs the pool for itself. Nobody behind it has a limit.
        pair.say(serial, if serial == 2 { "sgw 4000 1 pool" } else { "sgw 5000 0 pool" });
    }
    (100..200).for_each(|serial| pair.close(serial));
    pair.now = 3_999;
    assert_eq!(pair.apply(&Input::Tick), []);
    pair.now = 4_000;
    let events = pair.apply(&Input::Tick);
    assert_eq!(events.len() as u64, LINE - 1 - 100, "the head is over, and all others are granted");
    pair.look(1);
}

/// Deadlines at each edge of the wheel, where 64 is the number of its slots, and 2,000 at one time.
#[test]
fn deadlines_at_every_edge_of_the_wheel() {
    let mut pair = Pair::new(config());
    pair.open(1);
    pair.say(1, "g job");
    let mut serial = 1;
    let mut wait = |pair: &mut Pair, ms: u64| {
        serial += 1;
        pair.open(serial);
        pair.say(serial, &format!("gw {ms} job"));
    };
    let edges = (1..6).flat_map(|power| [64_u64.pow(power) - 1, 64_u64.pow(power), 64_u64.pow(power) + 1]);
    let edges: Vec<u64> = (1..130).chain(edges).chain([u64::from(u32::MAX)]).collect();
    for start in [0, 63, 4_095, 1 << 32] {
        pair.now += start;
        let begun = pair.now;
        edges.iter().rev().for_each(|ms| wait(&mut pair, *ms));
        (0..2_000).for_each(|_| wait(&mut pair, 100));
        let mut sorted = edges.clone();
        sorted.sort_unstable();
        sorted.dedup();
        for ms in sorted {
            pair.now = begun + ms - 1;
            pair.apply(&Input::Tick);
            pair.now = begun + ms;
            let ended = pair.apply(&Input::Tick).len();
            assert!(ended > 0 && (ended > 2_000) == (ms == 100), "{ended} ended after {ms} ms");
        }
    }
    pair.look(1);
}

/// The deadlock check looks at 64 holds before it searches: the one that somebody waits for is at each place around
/// that.
#[test]
fn a_deadlock_is_found_behind_many_holds() {
    for holds in [1, 2, 63, 64, 65, 66, 130] {
        for wanted in [0, 1, holds / 2, holds - 1] {
            let mut pair = Pair::with_open(config(), 3);
            pair.apply(&Input::Tokens { first: 1, last: 1_000 });
            pair.say(2, "g other");
            for number in 0..holds {
                pair.say(1, &format!("g own.{number}"));
                // With a token it is tied.
                pair.say(1, &format!("f own.{number}"));
            }
            assert_eq!(pair.say(2, &format!("gw 1000 own.{wanted}")).len(), 1);
            assert_eq!(pair.hear(1, "gw 1000 other"), "0 Lock Get Deadlock: other\n");
            // A third waits for both, and nobody waits for it.
            assert_eq!(pair.say(3, "gw 1000 other"), [Event::Waits(Conn::new(0, 3))]);
        }
    }
}

/// Listings whose slices and rows are larger than 64 KiB: names of 4,096 bytes, and one name with 5,000 holders.
#[test]
fn listings_of_large_slices_and_rows() {
    let mut pair = Pair::with_open(config(), 2);
    let name = |number: u32| format!("{number:05}{}", "x".repeat(4_091));
    for number in (0..600).rev() {
        pair.say(1, &format!("g {}", name(number)));
        pair.say(2, &format!("sg {}", name(number)));
    }
    for serial in 3..5_003 {
        pair.open(serial);
        pair.say(serial, "sg many");
    }
    pair.look(1);
    let prefix = pair.hear(1, "ls 0059");
    assert_eq!(prefix.lines().count(), 21, "ten names of both kinds, and an empty line");
}

/// Every name has the hash of many others.
#[test]
fn thousands_of_names_with_few_hashes() {
    let mut config = config();
    config.storage.hash_bits = elockd_core::probe::HashBits::lowest(4);
    let mut pair = Pair::with_open(config, 3);
    for number in 0..3_000 {
        for (serial, verb) in [(1, "g"), (1, "sg"), (2, "sg")] {
            pair.say(serial, &format!("{verb} {number}"));
        }
    }
    pair.look(3);
    for number in (0..3_000).step_by(3) {
        pair.say(1, &format!("r {number}"));
        pair.say(2, &format!("sr {number}"));
    }
    pair.close(1);
    for number in (0..3_000).step_by(5) {
        pair.say(3, &format!("g {number}"));
        assert_eq!(pair.say(3, &format!("i {}", number + 1)).len(), 1);
    }
    pair.sweep();
    pair.look(3);
    assert_eq!(pair.reference.locks().keys().filter(|(kind, _)| *kind == Kind::Exclusive).count(), 600);
}
