//! Runs a quickcheck property until it has seen enough inputs, and prints what it ran.
//!
//! A property that does not end is a bug too: after a minute without a new case its name and seed are printed, and the
//! process ends.
//!
//! These environment variables change what is run:
//! * `ELOCKD_QUICKCHECK_INPUTS`: how many inputs each property gets. The default is 200,000.
//! * `ELOCKD_QUICKCHECK_SEED`: the seed of the random numbers. By default each run has another seed, and prints it, so
//!   that a failure can be reproduced.
//! * `ELOCKD_QUICKCHECK_PATIENCE`: how many seconds a case may take. The default is 60.

use quickcheck::{Gen, QuickCheck, Testable};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Inputs for one property in `cargo test`.
const INPUTS: u64 = 200_000;

/// Cases of one round. Rounds differ in how long their cases may get.
const ROUND: u64 = 20;
const SIZES: [usize; 4] = [12, 40, 120, 400];

/// Seconds that a case may take. Most take less than a millisecond.
const PATIENCE: u64 = 60;

thread_local! {
    /// Inputs seen by the property that this thread runs.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    /// When the property's last case began, for its watch.
    static BEGUN: RefCell<Arc<Mutex<Option<Instant>>>> = RefCell::default();
}

/// Notes that the current property has a new case, with this many inputs. Must be called when the case begins.
pub fn ran(inputs: usize) {
    SEEN.set(SEEN.get() + inputs as u64);
    BEGUN.with_borrow(|begun| set(begun, Some(Instant::now())));
}

fn set(begun: &Mutex<Option<Instant>>, to: Option<Instant>) {
    *begun.lock().expect("nobody panics while setting this") = to;
}

/// Watches a property from another thread, until it is dropped.
struct Watch(Arc<Mutex<Option<Instant>>>);

impl Watch {
    /// `again` says how to run the property once more.
    fn start(again: String) -> Self {
        let begun = Arc::new(Mutex::new(Some(Instant::now())));
        BEGUN.set(Arc::clone(&begun));
        let watched = Arc::clone(&begun);
        let patience = Duration::from_secs(number("ELOCKD_QUICKCHECK_PATIENCE").unwrap_or(PATIENCE));
        thread::spawn(move || {
            let since = || *watched.lock().expect("nobody panics while setting this");
            while let Some(since) = since() {
                if since.elapsed() > patience {
                    say(&format!("a case has taken more than {patience:?}: it does not end. {again}"));
                    // Nothing else ends a thread that is busy for ever.
                    process::exit(1);
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self(begun)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        set(&self.0, None);
    }
}

/// How many inputs the current property has run.
#[must_use]
pub fn inputs() -> u64 {
    SEEN.get()
}

/// Runs a property until it has seen enough inputs. The property must call [`ran`]. Panics if it fails.
pub fn run<P: Testable + Copy>(name: &str, property: P) {
    SEEN.set(0);
    let enough = number("ELOCKD_QUICKCHECK_INPUTS").unwrap_or(INPUTS);
    let seed = seed();
    say(&format!("{name}: seed {seed}\n"));
    let again = Again { name, seed, enough };
    let watch = Watch::start(again.text());
    let mut rounds = 0;
    while inputs() < enough {
        let before = inputs();
        for size in SIZES {
            let rng = Gen::from_size_and_seed(size, seed.wrapping_add(rounds));
            QuickCheck::new().rng(rng).tests(ROUND).max_tests(ROUND).quickcheck(property);
            rounds += 1;
        }
        assert!(inputs() > before, "the property does not say how many inputs it ran");
    }
    drop((watch, again));
    say(&format!("{name}: {} inputs in {} cases held\n", inputs(), rounds * ROUND));
}

/// Prints how to reproduce a failure, when a panic drops it.
struct Again<'a> {
    name: &'a str,
    seed: u64,
    enough: u64,
}

impl Again<'_> {
    fn text(&self) -> String {
        let Self { name, seed, enough } = self;
        format!(
            "{name} failed. Again: ELOCKD_QUICKCHECK_SEED={seed} ELOCKD_QUICKCHECK_INPUTS={enough} \
             cargo test -p elockd-model-tests --test against_reference {name}\n"
        )
    }
}

impl Drop for Again<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&self.text());
        }
    }
}

/// Runs a property that should fail, for at most `most` inputs. Returns after how many it failed.
pub fn find<P: Testable + Copy>(most: u64, property: P) -> Option<u64> {
    SEEN.set(0);
    let seed = seed();
    let _watch = Watch::start(format!("It was to find a bug, with the seed {seed}.\n"));
    // One case at a time, so that inputs run by shrinking are not counted.
    for (case, size) in (0..).zip(SIZES.into_iter().cycle()) {
        let before = inputs();
        if before >= most {
            break;
        }
        let rng = Gen::from_size_and_seed(size, seed.wrapping_add(case));
        if QuickCheck::new().rng(rng).tests(1).max_tests(1).quicktest(property).is_err() {
            return Some(before);
        }
    }
    None
}

/// Prints to standard error. The test harness would show other output only if the test fails.
pub fn say(text: &str) {
    // If there is no standard error, nobody reads it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The seed: from the environment, or else a new one each time.
fn seed() -> u64 {
    // The standard library's random keys make a new number each time, without a clock or a dependency.
    number("ELOCKD_QUICKCHECK_SEED").unwrap_or_else(|| RandomState::new().hash_one(()) >> 32)
}

/// A number from the environment, if it is set.
#[must_use]
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {value}")))
}
