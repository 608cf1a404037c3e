//! Threads that run batches as fast as they can, with some work outside the lock after each. It measures how long they
//! are inside and outside the hub. And one thread that only runs batches, to measure how long the lock is held.

use crate::player::{Player, Stage};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Turns between two readings of the clock, if reading it must not be part of the measurement.
const TURNS_AT_ONCE: u32 = 256;

/// What threads do now: they warm up, they count, or they end.
const WARM_UP: u8 = 0;
const COUNT: u8 = 1;
const END: u8 = 2;

/// How long something is measured.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// Work outside the lock, in steps. On an undisturbed core a step always takes the same time. It touches nothing of
/// another thread. The work is not a time by the clock: a thread that loses its processor must still do all its work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    steps: u64,
}

/// The result of all threads in a turn.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Batches a second, of all threads together.
    pub(crate) rate: f64,
    /// Nanoseconds that a thread was in the hub for a batch, on average, including waiting.
    pub(crate) inside_ns: f64,
    /// Nanoseconds between two batches of a thread, on average.
    pub(crate) outside_ns: f64,
}

/// The result of one thread.
#[derive(Default)]
struct Tally {
    turns: u32,
    inside: Duration,
    outside: Duration,
}

impl Work {
    /// Work that takes about `us` microseconds.
    pub(crate) fn of_us(us: f64) -> Self {
        const STEPS: u64 = 100_000;
        let time = |_| {
            let begin = Instant::now();
            Self { steps: STEPS }.run();
            begin.elapsed()
        };
        // The shortest of many: then the processor ran at full speed, and nothing came in between.
        let shortest = (0..100).map(time).min().unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let steps = (us * 1e-6 / shortest.as_secs_f64() * STEPS as f64) as u64;
        Self { steps }
    }

    fn run(self) {
        let mut value = black_box(1_u64);
        for _ in 0..self.steps {
            value = black_box(value.wrapping_mul(3));
        }
    }
}

/// Runs `threads` threads with batches of `size` commands.
pub(crate) fn run(
    stage: &Stage,
    (threads, size): (usize, usize),
    work: Work,
    times: Times,
) -> Result<Pace, String> {
    let players = (0..threads).map(|nth| stage.player(nth, size)).collect::<Result<Vec<_>, _>>()?;
    let (phase, start) = (AtomicU8::new(WARM_UP), Barrier::new(threads + 1));
    let tallies = scope(|scope| {
        let play = |player| scope.spawn(|| play(player, work, &phase, &start));
        let threads: Vec<_> = players.into_iter().map(play).collect();
        start.wait();
        sleep(times.warm_up);
        phase.store(COUNT, Ordering::Relaxed);
        sleep(times.measured);
        phase.store(END, Ordering::Relaxed);
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Result<Vec<Tally>, String>>()
    })?;
    if tallies.iter().any(|tally| tally.turns == 0) {
        return Err("a thread had no turn in the time that counts".to_owned());
    }
    // Uses each thread's own time, because a thread may learn late that counting began.
    let rate = |tally: &Tally| f64::from(tally.turns) / (tally.inside + tally.outside).as_secs_f64();
    let turns: f64 = tallies.iter().map(|tally| f64::from(tally.turns)).sum();
    let mean_ns =
        |of: fn(&Tally) -> Duration| tallies.iter().map(of).sum::<Duration>().as_secs_f64() * 1e9 / turns;
    Ok(Pace {
        rate: tallies.iter().map(rate).sum(),
        inside_ns: mean_ns(|tally| tally.inside),
        outside_ns: mean_ns(|tally| tally.outside),
    })
}

fn play(mut player: Player, work: Work, phase: &AtomicU8, start: &Barrier) -> Result<Tally, String> {
    let mut tally = Tally::default();
    start.wait();
    let mut begin = Instant::now();
    loop {
        player.turn(begin)?;
        let end = Instant::now();
        work.run();
        let next = Instant::now();
        match phase.load(Ordering::Relaxed) {
            WARM_UP => {}
            COUNT => {
                tally.turns += 1;
                tally.inside += end - begin;
                tally.outside += next - end;
            }
            _ => return Ok(tally),
        }
        begin = next;
    }
}

/// Nanoseconds that the lock is held for a batch of `size` commands, measured with a single thread. This includes
/// taking the lock, giving it back, and checking the length of the replies.
pub(crate) fn held_ns(stage: &Stage, size: usize, times: Times) -> Result<f64, String> {
    let mut player = stage.player(0, size)?;
    let mut run = |time: Duration| {
        let (begin, mut turns) = (Instant::now(), 0);
        let mut now = begin;
        while now - begin < time {
            for _ in 0..TURNS_AT_ONCE {
                player.turn(now)?;
            }
            turns += TURNS_AT_ONCE;
            now = Instant::now();
        }
        Ok((now - begin).as_secs_f64() * 1e9 / f64::from(turns))
    };
    run(times.warm_up).and_then(|_| run(times.measured))
}
