//! Locks that outlive their connection.

use crate::world::World;
use elockd_client::{Error, Lost, State};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Goal: a broken network does not cost the lock, and nobody else has it meanwhile. Method: the cable is cut so that
/// the daemon notices, and so that it does not. Somebody waits for the lock all the time.
#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_resumed_and_that_is_told() {
    for is_noticed in [true, false] {
        let world = World::start();
        let client = world.builder().linger(10 * SECOND).build().unwrap();
        let guard = client.lock("a").try_now().await.unwrap();
        let token = guard.token();
        let mut other = world.observer();
        other.send("gw 3600000 a").await;
        sleep(SECOND).await;
        let mut watch = guard.watch();
        for round in 1..=3 {
            world.away(true);
            if is_noticed {
                world.cut();
            } else {
                world.cut_here();
            }
            assert_eq!(watch.changed().await, State::Resuming);
            sleep(4 * SECOND).await;
            assert!(guard.is_held(), "the grace is not over");
            world.away(false);
            assert_eq!(watch.changed().await, State::Held { resumed: round });
            assert!(guard.is_held());
            assert_eq!(guard.token(), token);
            sleep(20 * SECOND).await;
            assert!(guard.is_held(), "it is kept as before");
        }
        assert_eq!(world.observer().figure("waiters").await, 1, "it was never free");
        guard.release().await.unwrap();
        assert_eq!(other.line().await, "1 Lock Get Success: a");
        assert_eq!(world.observer().figure("lingering").await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_resumed_too() {
    let world = World::start();
    let client = world.builder().linger(30 * SECOND).build().unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    let mut watch = guard.watch();
    world.silence(true);
    assert_eq!(watch.changed().await, State::Resuming);
    assert!(guard.is_held());
    sleep(3 * SECOND).await;
    world.silence(false);
    assert_eq!(watch.changed().await, State::Held { resumed: 1 });
    assert_eq!(world.observer().figure("holds").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_lost_when_the_grace_is_over() {
    let world = World::start();
    let client = world.builder().linger(10 * SECOND).build().unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    // Less than a heartbeat, so that the last proof is that of the get.
    sleep(SECOND).await;
    world.away(true);
    world.cut();
    let begin = Instant::now();
    sleep(Duration::from_millis(8_999)).await;
    assert!(guard.is_held());
    assert_eq!(guard.lost().await, Lost::NotResumed);
    assert!(!guard.is_held());
    assert_eq!(begin.elapsed(), 9 * SECOND, "10 s after the question that was answered last");
    assert_eq!(
        world.observer().ask("i a").await,
        "1 Lock Is Locked: a",
        "the daemon keeps it a little longer"
    );
    assert!(matches!(guard.release().await, Err(Error::Lost(Lost::NotResumed))));
}

#[tokio::test(start_paused = true)]
async fn what_was_kicked_or_stolen_is_not_resumed() {
    let world = World::start();
    let (client, mut operator) = (world.builder().linger(60 * SECOND).build().unwrap(), world.operator());
    let guard = client.lock("a").named("alice").try_now().await.unwrap();
    let begin = Instant::now();
    operator.ask("kick alice").await;
    assert_eq!(guard.lost().await, Lost::NotResumed);
    assert!(begin.elapsed() < SECOND, "the daemon says so at once");

    let guard = client.lock("a").try_now().await.unwrap();
    world.away(true);
    world.cut();
    operator.until("lingering", 1).await;
    assert_eq!(operator.ask("steal a").await, "1 Lock Steal Success: a");
    world.away(false);
    let lost = guard.lost().await;
    assert!(matches!(lost, Lost::Stolen | Lost::NotResumed), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_release_while_the_connection_is_broken_is_done_afterwards() {
    let world = World::start();
    let client = world.builder().linger(10 * SECOND).build().unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    world.away(true);
    world.cut();
    let mut watch = guard.watch();
    assert_eq!(watch.changed().await, State::Resuming);
    let releasing = tokio::spawn(guard.release());
    sleep(3 * SECOND).await;
    world.away(false);
    releasing.await.unwrap().unwrap();
    let mut observer = world.observer();
    assert_eq!(observer.ask("i a").await, "0 Lock Not Locked: a");
    observer.until("connections", 1).await;
    assert_eq!(observer.figure("lingering").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_no_grace() {
    let world = World::start();
    let (client, mut observer) = (world.builder().linger(10 * SECOND).build().unwrap(), world.observer());
    assert_eq!(observer.ask("g a").await, "1 Lock Get Success: a");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.lock("a").get().await }
    });
    observer.until("waiters", 1).await;
    waiting.abort();
    observer.until("waiters", 0).await;
    assert_eq!(observer.figure("lingering").await, 0);
}
