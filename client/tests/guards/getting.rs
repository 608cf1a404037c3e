//! Getting locks, giving them back, and what connections carry.

use crate::world::World;
use elockd_client::{Error, Kind, Refusal, Role};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_until_it_is_released() {
    let world = World::start();
    let (alice, bob) = (world.builder().name("alice").build().unwrap(), world.client());
    let guard = alice.lock(" job \t 1").try_now().await.unwrap();
    assert_eq!((guard.name(), guard.kind(), guard.is_held()), (&b"job 1"[..], Kind::Exclusive, true));
    sleep(3 * SECOND).await;
    let Err(Error::Held { by: Some(by), since }) = bob.lock("job 1").try_now().await else { panic!() };
    assert_eq!((by.name, by.lock, by.waiters), (Some(b"alice".to_vec()), b"job 1".to_vec(), 0));
    assert_eq!((by.group.role, by.is_lingering), (Role::Holds, false));
    assert!(since.unwrap() >= 3 * SECOND);
    let hasty = world.builder().explain_held(false).build().unwrap();
    assert!(matches!(hasty.lock("job 1").try_now().await, Err(Error::Held { by: None, since: None })));
    guard.release().await.unwrap();
    assert!(bob.lock("job 1").try_now().await.unwrap().is_held());
}

/// Compiles only if tasks may move between threads with all of these.
#[tokio::test(start_paused = true)]
async fn every_future_may_be_sent() {
    fn sent<F: Future + Send>(future: F) -> F {
        future
    }
    let client = World::start().client();
    let guard = sent(client.lock("a").try_now()).await.unwrap();
    let _ = (sent(guard.lost()), sent(guard.watch().changed()), sent(client.lock("b").wait(SECOND)));
    let _ = (sent(client.holder("a")), sent(client.list("a")), sent(client.stats()), sent(client.ping()));
    let _ =
        (sent(client.lock_all(["b"], None)), sent(client.slot("c", 1, None)), sent(client.ended("a").get()));
    let _ = (sent(client.rate("d", 1, SECOND).get()), sent(client.lead("e", |_| async {})));
    let mut session = client.session();
    drop(sent(session.lock("b").get()));
    sent(session.close()).await.unwrap();
    sent(guard.release()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_releases_in_the_background() {
    let world = World::start();
    let (client, mut observer) = (world.client(), world.observer());
    for kind in ["x", "s", "r", "w"] {
        let guard = match kind {
            "x" => client.lock("a").try_now().await,
            "s" => client.shared("a").try_now().await,
            "r" => client.read("a").try_now().await,
            _ => client.write("a").try_now().await,
        }
        .unwrap();
        let rows = observer.lines("ls").await;
        assert!(rows.len() == 1 && rows[0].starts_with(&format!("{kind} ")), "{rows:?}");
        drop(guard);
        observer.until("connections", 2).await;
        timeout(SECOND, async {
            while !observer.lines("ls").await.is_empty() {
                sleep(SECOND / 100).await;
            }
        })
        .await
        .unwrap();
    }
    assert_eq!(world.opened(), 1, "all of them used one connection");
}

#[tokio::test(start_paused = true)]
async fn tokens_ascend_from_holder_to_holder() {
    let world = World::start();
    let client = world.client();
    let mut last = 0;
    for _ in 0..3 {
        let guard = client.lock("a").try_now().await.unwrap();
        let token = guard.token().unwrap();
        assert!(token > last);
        last = token;
        sleep(5 * SECOND).await;
        assert_eq!(guard.token(), Some(token), "heartbeats do not change it");
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_lock_or_in_time() {
    let world = World::start();
    let (alice, bob) = (world.client(), world.client());
    let guard = alice.lock("a").try_now().await.unwrap();
    let begin = Instant::now();
    assert!(matches!(bob.lock("a").wait(5 * SECOND).await, Err(Error::Timeout)));
    let waited = begin.elapsed();
    assert!(waited >= 5 * SECOND && waited < 5 * SECOND + SECOND / 10, "{waited:?}");
    // A wait of an hour proves nothing of the moment when it ends: the hold is asked for then.
    let waiting = tokio::spawn({
        let bob = bob.clone();
        async move { bob.lock("a").get().await }
    });
    world.observer().until("waiters", 1).await;
    sleep(3600 * SECOND).await;
    guard.release().await.unwrap();
    let got = waiting.await.unwrap().unwrap();
    sleep(7 * SECOND).await;
    assert!(got.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_nobody_wants_any_more_is_over() {
    let world = World::start();
    let (client, mut observer) = (world.client(), world.observer());
    let _guard = client.lock("a").try_now().await.unwrap();
    assert!(timeout(SECOND, client.lock("a").get()).await.is_err());
    observer.until("waiters", 0).await;
    assert_eq!(observer.figure("waits_timed_out").await, 1, "the end of its connection ended it");
}

/// Goal: nothing is carried from one use of a connection to the next. Method: named locks, one after the other, on one
/// connection, and a look at the daemon between them.
#[tokio::test(start_paused = true)]
async fn an_unused_connection_carries_neither_locks_nor_names() {
    let world = World::start();
    let (named, mut observer) = (world.builder().name("alice").build().unwrap(), world.observer());
    named.lock("a").try_now().await.unwrap().release().await.unwrap();
    observer.until("connections", 2).await;
    timeout(SECOND, async {
        while !observer.lines("who").await.is_empty() {
            sleep(SECOND / 100).await;
        }
    })
    .await
    .unwrap();
    assert!(observer.lines("ls").await.is_empty());
    let other = named.lock("b").named("bob").try_now().await.unwrap();
    assert!(observer.lines("who").await[0].ends_with(": bob"));
    assert!(matches!(named.lock("b").try_now().await, Err(Error::Held { .. })), "a connection each");
    other.release().await.unwrap();
    assert_eq!(world.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_grace_is_not_used_again() {
    let world = World::start();
    let (client, mut observer) = (world.builder().linger(10 * SECOND).build().unwrap(), world.observer());
    client.lock("a").try_now().await.unwrap().release().await.unwrap();
    observer.until("connections", 1).await;
    assert_eq!((observer.figure("lingering").await, observer.figure("closed_quit").await), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn unused_connections_that_have_ended_are_replaced() {
    let world = World::start();
    let (client, mut operator) = (world.client(), world.operator());
    client.lock("a").try_now().await.unwrap().release().await.unwrap();
    operator.until("connections", 2).await;
    world.cut();
    assert!(client.lock("a").try_now().await.unwrap().is_held());
    assert_eq!(world.opened(), 2);
    // One whose end is met only when it is used, because nothing of it has arrived.
    client.ping().await.unwrap();
    world.silence(true);
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.list("").await }
    });
    sleep(SECOND).await;
    world.cut();
    world.silence(false);
    asking.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_be_reached_is_tried_for_as_long_as_is_set() {
    let world = World::start();
    world.away(true);
    let Err(Error::Unreachable(tried)) = world.client().ping().await else { panic!() };
    assert_eq!((tried.len(), tried[0].1.kind()), (1, io::ErrorKind::ConnectionRefused));
    let client = world.builder().keep_trying(10 * SECOND).build().unwrap();
    let begin = Instant::now();
    assert!(matches!(client.ping().await, Err(Error::Unreachable(_))));
    let tried_for = begin.elapsed();
    assert!(tried_for > 8 * SECOND && tried_for <= 10 * SECOND, "{tried_for:?}");
    let asking = tokio::spawn(async move { client.ping().await });
    sleep(5 * SECOND).await;
    world.away(false);
    asking.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_answer_is_given_up() {
    let world = World::start();
    let client = world.client();
    client.ping().await.unwrap();
    world.silence(true);
    let begin = Instant::now();
    let Err(Error::Io(error)) = client.lock("a").try_now().await else { panic!() };
    assert_eq!((error.kind(), begin.elapsed()), (io::ErrorKind::TimedOut, 8 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn refusals_have_their_reasons() {
    let world = World::start_with(|config| {
        config.machine.limits.connections = 6;
        config.machine.limits.locks = 3;
        config.machine.limits.linger_ms = 1000;
        config.machine.features.dump = false;
    });
    let client = world.client();
    let refused = |result: Result<_, Error>| match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(client.lock("n".repeat(5000)).try_now().await), Refusal::NameTooLong);
    assert!(matches!(client.lock("a\nra").try_now().await, Err(Error::BadName)));
    assert!(matches!(client.lock("a").named("x\ny").try_now().await, Err(Error::BadName)));
    let too_long = client.lock("a").linger(2 * SECOND).try_now().await;
    assert_eq!(refused(too_long), Refusal::LingerTooLong);
    let mut observer = world.observer();
    assert_eq!(observer.ask("i a").await, "0 Lock Not Locked: a", "it was given back");
    assert!(matches!(client.list("").await, Err(Error::Refused(Refusal::Disabled))));
    let _guards = client.lock_all(["a", "b"], None).await.unwrap();
    assert!(
        matches!(client.lock("a").try_now().await, Err(Error::Held { by: None, .. })),
        "nobody may tell by whom"
    );
    let _third = client.lock("c").try_now().await.unwrap();
    assert_eq!(refused(client.lock("d").wait(SECOND).await), Refusal::TooManyLocks);
    assert_eq!(refused(client.shared("x").wait(SECOND).await), Refusal::TooManyLocks);
    let mut others = Vec::new();
    while observer.figure("connections").await < 6 {
        others.push(world.observer());
        others.last_mut().unwrap().ask("ping").await;
    }
    assert!(matches!(world.client().ping().await, Err(Error::Refused(Refusal::TooManyConnections))));
}

#[tokio::test(start_paused = true)]
async fn what_the_daemon_knows_is_told() {
    let world = World::start();
    let client = world.client();
    assert!(client.holder("a").await.unwrap().is_none());
    let _guard = client.lock("a").named("alice: v17").try_now().await.unwrap();
    let _other = client.lock("ab").try_now().await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.lock("a").get().await }
    });
    world.observer().until("waiters", 1).await;
    let holder = client.holder("a").await.unwrap().unwrap();
    assert_eq!((holder.name.as_deref(), holder.waiters), (Some(&b"alice: v17"[..]), 1));
    assert!(holder.to_string().starts_with("alice: v17 (unix:"), "{holder}");
    assert_eq!(client.holders("a").await.unwrap().len(), 2);
    assert_eq!(client.list("").await.unwrap().len(), 3);
    assert_eq!(client.stats().await.unwrap()["holds"], "2");
    assert!(client.ping().await.unwrap() < SECOND);
    waiting.abort();
}
