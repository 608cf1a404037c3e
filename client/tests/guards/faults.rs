//! Goal: at no moment do two guards of one lock say that it is held, whatever the network does. Method: machines of
//! their own get locks in every way, while their cables are silenced, cut on both sides or on one, and connections are
//! refused, all at random. The daemon's kernel gives up whoever was silent for 15 s. A look every 20 ms of virtual time
//! counts the guards that say that they are held. A client that is patient for too long must be found so.

use crate::world::World;
use elockd_client::{Builder, Client, Error, Guard, PEER_TIMEOUT, Watch};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MACHINES: u64 = 4;
const LOCKS: [&str; 2] = ["a", "b"];

/// Everything that was had and is not over.
type Held = Arc<Mutex<Vec<Watch>>>;

/// What a run found.
#[derive(Debug, Default)]
struct Found {
    /// Moments at which two guards said that they had the same lock.
    twice: usize,
    /// How often a lock was got.
    got: usize,
    /// Of these, how many were lost.
    lost: usize,
    /// How often a lock was resumed.
    resumed: u32,
}

/// Runs some minutes with these settings.
async fn run(seed: u64, settings: impl Fn(Builder<World>) -> Builder<World>) -> Found {
    let world = World::start();
    let held = Held::default();
    let found = Arc::new(Mutex::new(Found::default()));
    let mut tasks = JoinSet::new();
    for machine in 0..MACHINES {
        let mut rng = Rng::with_seed(seed * MACHINES + machine);
        let cables = world.elsewhere();
        let client = settings(cables.builder().seed(rng.u64(..))).build().unwrap();
        tasks.spawn(trouble(cables, rng.fork()));
        for _ in 0..2 {
            tasks.spawn(work(client.clone(), held.clone(), found.clone(), rng.fork()));
        }
    }
    for _ in 0..15_000 {
        sleep(SECOND / 50).await;
        look(&held, &found);
    }
    tasks.shutdown().await;
    std::mem::take(&mut *found.lock().unwrap())
}

/// Counts the guards that say that they are held.
fn look(held: &Held, found: &Mutex<Found>) {
    let mut counts = BTreeMap::new();
    let mut held = held.lock().unwrap();
    held.retain(|watch| match watch.state() {
        elockd_client::State::Lost(_) | elockd_client::State::Released => false,
        elockd_client::State::Held { .. } | elockd_client::State::Resuming => {
            if watch.is_held() {
                *counts.entry(watch.name().to_vec()).or_insert(0) += 1;
            }
            true
        }
    });
    found.lock().unwrap().twice += counts.values().filter(|count| **count > 1).count();
}

/// What happens to the cables of one machine.
async fn trouble(cables: World, mut rng: Rng) {
    loop {
        sleep(SECOND * rng.u32(0..20)).await;
        match rng.u32(0..5) {
            0 => {
                cables.silence(true);
                sleep(SECOND * rng.u32(1..15)).await;
                cables.silence(false);
            }
            1 => {
                cables.silence(true);
                sleep(PEER_TIMEOUT).await;
                cables.expire(false);
                sleep(SECOND * rng.u32(0..20)).await;
                cables.silence(false);
            }
            2 => cables.cut(),
            3 => {
                cables.cut_here();
                sleep(PEER_TIMEOUT).await;
                cables.expire(true);
            }
            _ => {
                cables.away(true);
                cables.cut();
                sleep(SECOND * rng.u32(1..20)).await;
                cables.away(false);
            }
        }
        // What was given up in silence is given up by the daemon, too.
        sleep(PEER_TIMEOUT).await;
        cables.expire(true);
    }
}

/// Gets locks and gives them back, for ever.
async fn work(client: Client<World>, held: Held, found: Arc<Mutex<Found>>, mut rng: Rng) {
    let see = |guard: &Guard| {
        found.lock().unwrap().got += 1;
        held.lock().unwrap().push(guard.watch());
    };
    loop {
        let name = LOCKS[rng.usize(..LOCKS.len())];
        let result: Result<(), Error> = async {
            let wait = SECOND * rng.u32(0..10);
            let time = SECOND * rng.u32(0..30);
            match rng.u32(0..4) {
                0 => {
                    let guard = client.lock(name).try_now().await?;
                    see(&guard);
                    sleep(time).await;
                    guard.release().await?;
                }
                1 => {
                    let guard = client.lock(name).wait(wait).await?;
                    see(&guard);
                    let mut watch = guard.watch();
                    let _ = timeout(time, guard.lost()).await;
                    if let elockd_client::State::Held { resumed } = watch.state() {
                        found.lock().unwrap().resumed += resumed;
                    }
                    drop(guard);
                    let _ = timeout(SECOND, watch.changed()).await;
                }
                2 => {
                    let guards = client.lock_all(LOCKS, Some(wait)).await?;
                    guards.iter().for_each(see);
                    let _ = timeout(time, guards.lost()).await;
                    guards.release().await?;
                }
                _ => {
                    let mut session = client.session();
                    let first = session.lock(LOCKS[0]).wait(wait).await?;
                    see(&first);
                    let second = session.lock(LOCKS[1]).wait(wait).await?;
                    see(&second);
                    sleep(time).await;
                    session.close().await?;
                }
            }
            Ok(())
        }
        .await;
        match result {
            Ok(()) => {}
            Err(Error::Lost(_)) => found.lock().unwrap().lost += 1,
            Err(
                Error::Held { .. } | Error::Timeout | Error::Deadlock | Error::Unreachable(_) | Error::Io(_),
            ) => {
                sleep(SECOND * rng.u32(0..5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs ten seeds.
async fn run_all(settings: impl Fn(u64, Builder<World>) -> Builder<World>) -> Found {
    let mut all = Found::default();
    for seed in 0..10 {
        let Found { twice, got, lost, resumed } = run(seed, |client| settings(seed, client)).await;
        all = Found {
            twice: all.twice + twice,
            got: all.got + got,
            lost: all.lost + lost,
            resumed: all.resumed + resumed,
        };
    }
    println!("{all:?}");
    all
}

#[tokio::test(start_paused = true)]
async fn no_two_guards_have_one_lock() {
    let found = run_all(|_, client| client).await;
    assert!(found.twice == 0 && found.got > 150 && found.lost > 2 && found.resumed == 0, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn no_two_guards_have_one_lock_that_lingers() {
    let found = run_all(|seed, client| client.linger(SECOND * [3, 10, 30][seed as usize % 3])).await;
    assert!(found.twice == 0 && found.got > 150 && found.lost > 2 && found.resumed > 2, "{found:?}");
}

/// Nothing would be found if nothing could be.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_patient_for_too_long_is_found() {
    let patience = 25 * SECOND;
    let found = run_all(|_, client| client.heartbeat(2 * SECOND, patience).answer_timeout(patience)).await;
    assert!(found.twice > 0, "{found:?}");
}
