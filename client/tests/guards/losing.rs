//! How a guard finds out that its lock is lost, and when.

use crate::world::World;
use elockd_client::{Error, HEARTBEAT, LOST_AFTER, Lost, State};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn silence_is_told_within_8_s_of_the_last_answered_question() {
    let world = World::start();
    let client = world.client();
    for quiet_ms in [0, 1, 999, 1999, 2000, 2001, 7000] {
        let guard = client.lock("a").wait(SECOND).await.unwrap();
        sleep(Duration::from_millis(quiet_ms)).await;
        world.silence(true);
        let begin = Instant::now();
        assert_eq!(guard.lost().await, Lost::Silent);
        let noticed = begin.elapsed();
        assert!(noticed <= LOST_AFTER && noticed + HEARTBEAT >= LOST_AFTER, "{quiet_ms} ms: {noticed:?}");
        assert!(!guard.is_held());
        assert_eq!(guard.state(), State::Lost(Lost::Silent));
        world.silence(false);
        let Err(Error::Lost(Lost::Silent)) = guard.release().await else { panic!() };
        world.cut();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_as_long_as_the_daemon_answers() {
    let world = World::start();
    let guard = world.client().lock("a").try_now().await.unwrap();
    assert!(timeout(1000 * SECOND, guard.lost()).await.is_err());
    assert!(guard.is_held());
    let asked = world.observer().figure("command_f").await;
    assert!((450..=510).contains(&asked), "once in 2 s: {asked}");
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_told_at_once() {
    let world = World::start();
    let (client, mut operator) = (world.client(), world.operator());
    let guard = client.lock("a").named("alice").try_now().await.unwrap();
    let begin = Instant::now();
    assert_eq!(operator.ask("kick alice").await, "1 Kick Success: alice");
    assert_eq!(guard.lost().await, Lost::Closed);
    assert!(!guard.is_held());

    let guard = client.lock("a").try_now().await.unwrap();
    world.cut();
    assert_eq!(guard.lost().await, Lost::Broken(std::io::ErrorKind::ConnectionReset));
    assert!(begin.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lock_is_told_with_the_next_heartbeat() {
    let world = World::start();
    let (client, mut operator) = (world.client(), world.operator());
    let guard = client.lock("a").try_now().await.unwrap();
    let begin = Instant::now();
    assert_eq!(operator.ask("steal a").await, "1 Lock Steal Success: a");
    assert_eq!(guard.lost().await, Lost::Stolen);
    assert!(begin.elapsed() <= HEARTBEAT);
    assert!(matches!(guard.release().await, Err(Error::Lost(Lost::Stolen))));

    // The release itself tells, too.
    let guard = client.write("a").try_now().await.unwrap();
    assert_eq!(operator.ask("wsteal a").await, "1 Write Lock Steal Success: a");
    assert!(matches!(guard.release().await, Err(Error::Lost(Lost::Stolen))));
}

/// Goal: a process that was stopped does not believe what it knew before. Method: the clock goes on, and no task runs
/// until the guard is asked.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_knows_that_it_was() {
    let world = World::start();
    let client = world.client();
    let guard = client.lock("a").try_now().await.unwrap();
    let watch = guard.watch();
    let before = Instant::now();
    // `advance` lets tasks run only afterwards: the first poll of it has moved the clock already.
    let mut moving = std::pin::pin!(advance(60 * SECOND));
    std::future::poll_fn(|cx| {
        let _ = moving.as_mut().poll(cx);
        assert!(before.elapsed() >= 60 * SECOND);
        assert!(!guard.is_held() && !watch.is_held());
        std::task::Poll::Ready(())
    })
    .await;
    moving.await;
    // The answer to a late heartbeat does not make it good again.
    sleep(SECOND).await;
    assert!(!guard.is_held());
    assert_eq!(guard.lost().await, Lost::Silent);
    // And the daemon has it back.
    world.observer().until_answer("i a", "0 Lock Not Locked: a").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_process_has_lost_does_not_linger() {
    let world = World::start();
    let client = world.builder().linger(10 * SECOND).build().unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    advance(60 * SECOND).await;
    assert_eq!(guard.lost().await, Lost::Silent);
    let mut observer = world.observer();
    observer.until("connections", 1).await;
    assert_eq!((observer.figure("lingering").await, observer.figure("holds").await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn others_may_watch() {
    let world = World::start();
    let (client, mut operator) = (world.client(), world.operator());
    let guard = client.lock("a").try_now().await.unwrap();
    let mut watch = guard.watch();
    assert_eq!(
        (watch.name(), watch.token(), watch.state()),
        (&b"a"[..], guard.token(), State::Held { resumed: 0 })
    );
    let changing = tokio::spawn(async move { watch.changed().await });
    operator.ask("steal a").await;
    assert_eq!(changing.await.unwrap(), State::Lost(Lost::Stolen));
    let watch = guard.watch();
    drop(guard);
    assert_eq!(watch.state(), State::Lost(Lost::Stolen), "the first end counts");

    let guard = client.lock("a").try_now().await.unwrap();
    let mut watch = guard.watch();
    drop(guard);
    assert_eq!(watch.changed().await, State::Released);
}

#[test]
fn the_end_of_the_runtime_is_told() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let guard = first.block_on(async { World::start().client().lock("a").try_now().await.unwrap() });
    drop(first);
    assert!(!guard.is_held());
    assert_eq!(guard.state(), State::Lost(Lost::RuntimeGone));
    let released = runtime().block_on(guard.release());
    assert!(matches!(released, Err(Error::Lost(Lost::RuntimeGone))));
}
