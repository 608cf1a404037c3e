//! Several locks at once: sessions, sets, slots, rates, ends and leaders.

use crate::world::World;
use elockd_client::{Error, Guard, Lost, Slot};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn deadlocks_between_sessions_are_told() {
    let world = World::start();
    let client = world.client();
    let (mut one, mut two) = (client.session(), client.session());
    let a = one.lock("a").try_now().await.unwrap();
    let b = two.lock("b").try_now().await.unwrap();
    let waiting = tokio::spawn(async move { (one.lock("b").wait(60 * SECOND).await, one) });
    world.observer().until("waiters", 1).await;
    assert!(matches!(two.lock("a").wait(60 * SECOND).await, Err(Error::Deadlock)));
    assert!(b.is_held(), "a refusal changes nothing");
    b.release().await.unwrap();
    let (b, one) = waiting.await.unwrap();
    let b = b.unwrap();
    assert!(a.is_held() && b.is_held());
    one.close().await.unwrap();
    assert_eq!((a.lost().await, b.lost().await), (Lost::SessionClosed, Lost::SessionClosed));
    assert_eq!(world.observer().figure("holds").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_has_it_cannot_have_again() {
    let world = World::start();
    let mut session = world.client().session();
    let guard = session.lock("a").try_now().await.unwrap();
    assert!(matches!(session.lock("a").try_now().await, Err(Error::Deadlock)));
    let read = session.read("a").try_now().await.unwrap();
    assert!(matches!(session.write("a").wait(SECOND).await, Err(Error::Deadlock)));
    drop(read);
    let write = session.write("a").wait(SECOND).await.unwrap();
    assert!(guard.is_held() && write.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_long_is_not_lost_by_that() {
    let world = World::start();
    let client = world.client();
    let b = client.lock("b").try_now().await.unwrap();
    let mut session = client.session();
    let a = session.lock("a").try_now().await.unwrap();
    let waiting = tokio::spawn(async move { session.lock("b").wait(600 * SECOND).await });
    world.observer().until("waiters", 1).await;
    assert!(timeout(60 * SECOND, a.lost()).await.is_err());
    assert!(!a.is_held(), "nobody knows at this time");
    b.release().await.unwrap();
    let b = waiting.await.unwrap().unwrap();
    sleep(SECOND).await;
    assert!(a.is_held() && b.is_held());
    world.silence(true);
    assert_eq!((a.lost().await, b.lost().await), (Lost::Silent, Lost::Silent));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_wait_nobody_wants_any_more() {
    let world = World::start();
    let (client, mut observer) = (world.client(), world.observer());
    let b = client.lock("b").try_now().await.unwrap();
    let mut session = client.session();
    assert!(timeout(SECOND, session.lock("b").get()).await.is_err());
    observer.until("waiters", 0).await;
    // With a lock the connection cannot be given up. So the other lock comes, and is given back.
    let a = session.lock("a").try_now().await.unwrap();
    assert!(timeout(SECOND, session.lock("b").get()).await.is_err());
    assert_eq!(observer.figure("waiters").await, 1);
    b.release().await.unwrap();
    observer.until_answer("i b", "0 Lock Not Locked: b").await;
    assert!(a.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_nobody_wants_any_more_leaves_nothing_to_linger() {
    let world = World::start();
    let client = world.builder().linger(60 * SECOND).build().unwrap();
    let mut observer = world.observer();
    let mut session = client.session();
    // From its first lock on, the connection has a grace.
    session.lock("a").try_now().await.unwrap().release().await.unwrap();
    assert_eq!(observer.ask("g b").await, "1 Lock Get Success: b");
    let waiting = tokio::spawn(async move { (session.lock("b").get().await, session) });
    observer.until("waiters", 1).await;
    // The grant has left the daemon when the wait is given up.
    world.silence(true);
    assert_eq!(observer.ask("r b").await, "1 Lock Release Success: b");
    waiting.abort();
    sleep(SECOND).await;
    world.silence(false);
    observer.until("holds", 0).await;
    assert_eq!(observer.figure("lingering").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_broken_begins_anew() {
    let world = World::start();
    let mut session = world.client().session();
    let a = session.lock("a").try_now().await.unwrap();
    world.cut();
    assert!(matches!(a.lost().await, Lost::Broken(_)));
    let again = session.lock("a").try_now().await.unwrap();
    assert!(again.is_held() && !a.is_held());
}

/// Goal: a lock that a broken connection was granted in its last moment does not stay. Method: the cable is silent when
/// the grant is sent, and then cut.
#[tokio::test(start_paused = true)]
async fn a_grant_that_was_not_heard_is_given_back_when_a_session_is_resumed() {
    let world = World::start();
    let client = world.builder().linger(60 * SECOND).build().unwrap();
    let mut observer = world.observer();
    let mut session = client.session();
    let a = session.lock("a").try_now().await.unwrap();
    assert_eq!(observer.ask("g b").await, "1 Lock Get Success: b");
    let waiting = tokio::spawn(async move { (session.lock("b").wait(600 * SECOND).await, session) });
    observer.until("waiters", 1).await;
    world.silence(true);
    assert_eq!(observer.ask("r b").await, "1 Lock Release Success: b");
    assert_eq!(observer.ask("i b").await, "1 Lock Is Locked: b");
    world.cut_here();
    world.silence(false);
    let (got, _session) = waiting.await.unwrap();
    assert!(matches!(got, Err(Error::Io(_))));
    assert!(a.is_held());
    observer.until_answer("i b", "0 Lock Not Locked: b").await;
    assert_eq!(observer.ask("i a").await, "1 Lock Is Locked: a");
}

#[tokio::test(start_paused = true)]
async fn sets_are_had_whole_or_not_at_all() {
    let world = World::start();
    let client = world.client();
    let set = client.lock_all(["b", "a", " b"], None).await.unwrap();
    assert_eq!(set.iter().map(Guard::name).collect::<Vec<_>>(), [b"a", b"b"]);
    assert!(set.is_held() && set.get("a").unwrap().token() < set.get("b").unwrap().token());
    let Err(Error::Held { by: Some(by), .. }) = client.lock_all(["0", "b", "c"], None).await else {
        panic!()
    };
    assert_eq!(by.lock, b"b");
    let mut observer = world.observer();
    assert_eq!(observer.figure("holds").await, 2, "the others were given back");
    assert!(matches!(client.lock_all(["0", "b"], Some(SECOND)).await, Err(Error::Timeout)));
    assert_eq!(observer.figure("holds").await, 2);
    set.release().await.unwrap();
    assert_eq!(observer.figure("holds").await, 0);
    assert!(client.lock_all([""; 0], None).await.unwrap().is_held(), "nothing is had at once");

    // In whatever order they are named, they never block each other.
    let one = tokio::spawn({
        let client = client.clone();
        async move { client.lock_all(["x", "y", "z"], Some(60 * SECOND)).await?.release().await }
    });
    let two = client.lock_all(["z", "y", "x"], Some(60 * SECOND)).await.unwrap();
    two.release().await.unwrap();
    one.await.unwrap().unwrap();

    // After a long wait for the second, the first is asked for again.
    let y = client.lock("y").try_now().await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.lock_all(["x", "y"], Some(60 * SECOND)).await }
    });
    sleep(30 * SECOND).await;
    y.release().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn slots_have_numbers_of_their_own() {
    let world = World::start();
    let client = world.client();
    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(client.slot("gpu", 4, None).await.unwrap());
    }
    assert_eq!(slots.iter().map(Slot::index).collect::<BTreeSet<_>>(), (0..4).collect());
    assert!(slots.iter().all(|slot| slot.is_held() && slot.token().is_some()));
    assert!(matches!(client.slot("gpu", 4, None).await, Err(Error::Held { by: Some(_), .. })));
    assert!(matches!(client.slot("gpu", 4, Some(SECOND)).await, Err(Error::Timeout)));
    assert!(matches!(client.slot("gpu", 0, None).await, Err(Error::BadSetting(_))));
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.slot("gpu", 4, Some(60 * SECOND)).await }
    });
    sleep(SECOND).await;
    slots.remove(2).release().await.unwrap();
    let again = waiting.await.unwrap().unwrap();
    assert_eq!((again.index(), again.guard().name()), (2, &b"gpu#2"[..]));
    let mut observer = world.observer();
    drop(slots);
    drop(again);
    observer.until("holds", 0).await;
    observer.until("shared_holds", 0).await;
}

#[tokio::test(start_paused = true)]
async fn many_who_want_slots_get_different_ones() {
    let world = World::start();
    let client = world.client();
    let taken = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (client, taken) = (client.clone(), taken.clone());
            tokio::spawn(async move {
                for _ in 0..5 {
                    let slot = client.slot("gpu", 3, Some(600 * SECOND)).await.unwrap();
                    assert!(slot.index() < 3 && taken.lock().unwrap().insert(slot.index()));
                    sleep(SECOND).await;
                    assert!(taken.lock().unwrap().remove(&slot.index()));
                    slot.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_in_a_time() {
    let world = World::start();
    let client = world.client();
    let begin = Instant::now();
    let mut times = Vec::new();
    for _ in 0..20 {
        client.rate("mails", 5, SECOND).wait(60 * SECOND).await.unwrap();
        times.push(begin.elapsed());
    }
    for (earlier, later) in times.iter().zip(&times[5..]) {
        assert!(*later >= *earlier + SECOND, "{times:?}");
    }
    assert!(begin.elapsed() < 4 * SECOND, "{times:?}");
    assert!(matches!(client.rate("mails", 5, SECOND).try_now().await, Err(Error::Held { .. })));
    assert!(matches!(client.rate("mails", 0, SECOND).try_now().await, Err(Error::BadSetting(_))));
    sleep(SECOND).await;
    client.rate("mails", 5, SECOND).try_now().await.unwrap();
    let day = client.rate("other", 1, 86_400 * SECOND).try_now().await;
    assert!(matches!(day, Err(Error::Refused(elockd_client::Refusal::LingerTooLong))));
    assert_eq!(world.observer().ask("si other").await, "0 Shared Lock Not Locked: other");
}

#[tokio::test(start_paused = true)]
async fn ends_are_waited_for_without_the_lock() {
    let world = World::start();
    let client = world.client();
    client.ended("a").wait(Duration::ZERO).await.unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    assert!(matches!(client.ended("a").wait(SECOND).await, Err(Error::Timeout)));
    client.ended("a").shared().get().await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.ended("a").get().await }
    });
    world.observer().until("end_waiters", 1).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(world.observer().figure("holds").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_lost_leads_again() {
    let world = World::start();
    let (client, mut operator) = (world.client(), world.operator());
    let (told, mut led) = unbounded_channel();
    let leading = tokio::spawn(async move {
        client
            .lead("job", |lock| {
                let told = told.clone();
                async move {
                    told.send(lock.token().unwrap()).unwrap();
                    std::future::pending::<()>().await;
                }
            })
            .await
    });
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(led.recv().await.unwrap());
        operator.ask("steal job").await;
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    tokens.push(led.recv().await.unwrap());
    world.away(true);
    world.cut();
    sleep(60 * SECOND).await;
    world.away(false);
    led.recv().await.unwrap();
    leading.abort();

    let client = world.client();
    operator.until_answer("i job", "0 Lock Not Locked: job").await;
    let result = client.lead("job", |lock| async move { lock.is_held() }).await.unwrap();
    assert!(result);
    assert_eq!(operator.ask("i job").await, "0 Lock Not Locked: job", "it steps down when it is done");
    assert!(matches!(client.lead("a\nb", |_| async {}).await, Err(Error::BadName)));
}
