//! A client's own lease in a cluster: when its guard is lost, and where it is resumed.

use crate::line::{KEY, Line};
use crate::nodes::{ALL, Nodes, Wires};
use elockd_client::{CLUSTER_HEARTBEAT, CLUSTER_LOST_AFTER, Client, Error, Guard, Lost, State};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A lock that the first node gave.
async fn held(nodes: &mut Nodes) -> (Guard, Line) {
    let client = nodes.client();
    let (guard, line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = nodes.accept("n1").await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    nodes.attempts();
    (guard.unwrap(), line)
}

/// The same, with a grace of 10 s.
async fn lingering(nodes: &mut Nodes) -> (Guard, Line, Client<Wires>) {
    let client = nodes.client();
    let (guard, line) = tokio::join!(client.lock("a").linger(10 * SECOND).try_now(), async {
        let mut line = nodes.accept("n1").await;
        line.gives_a("7 Lock Fence: a").await;
        line.grants_linger(10_000).await;
        line
    });
    nodes.attempts();
    (guard.unwrap(), line, client)
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_costs_the_lock_1600_ms_after_the_get_was_sent() {
    let mut nodes = Nodes::start();
    let begin = Instant::now();
    let (guard, mut line) = held(&mut nodes).await;
    sleep(CLUSTER_LOST_AFTER.checked_sub(MS).unwrap()).await;
    assert!(guard.is_held());
    assert_eq!(guard.lost().await, Lost::Silent);
    assert_eq!(begin.elapsed(), CLUSTER_LOST_AFTER);
    assert!(!guard.is_held());
    line.hears("f a").await;
    line.ends().await;
    assert_eq!(nodes.tried(), [""; 0], "a guard that is lost is not got anew behind somebody's back");
}

/// Goal: what counts is when the question was sent, not when it was answered. Method: each heartbeat is answered just
/// before the lease would end. The last one is not answered.
#[tokio::test(start_paused = true)]
async fn a_late_answer_counts_from_its_question() {
    let mut nodes = Nodes::start();
    let (guard, mut line) = held(&mut nodes).await;
    let mut sent = guard.proven();
    for _ in 0..5 {
        line.hears("f a").await;
        let asked = Instant::now();
        assert!(asked >= sent + CLUSTER_HEARTBEAT, "no more often than is set");
        sleep(sent + CLUSTER_LOST_AFTER - MS - asked).await;
        assert!(guard.is_held());
        line.says("7 Lock Fence: a").await;
        sleep(Duration::ZERO).await;
        sent = asked;
    }
    line.hears("f a").await;
    assert_eq!(guard.proven(), sent);
    assert_eq!(guard.lost().await, Lost::Silent);
    assert_eq!(sent.elapsed(), CLUSTER_LOST_AFTER, "since the last question that was answered");
}

/// Goal: a get that is answered late leaves time to ask again. Method: it is answered 1.2 s after it was sent, and the
/// first heartbeat is heard long before the lease ends.
#[tokio::test(start_paused = true)]
async fn after_a_late_get_the_first_question_comes_at_once() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = nodes.accept("n1").await;
        sleep(1200 * MS).await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    line.hears("f a").await;
    assert!(guard.proven().elapsed() < 1210 * MS);
    line.says("7 Lock Fence: a").await;
    sleep(SECOND).await;
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_quorum_costs_the_lock_at_once() {
    for asked in [false, true] {
        let mut nodes = Nodes::start();
        let (guard, mut line) = held(&mut nodes).await;
        if asked {
            line.hears("f a").await;
        }
        let begin = Instant::now();
        line.says("0 No Quorum").await;
        assert_eq!(guard.lost().await, Lost::NoQuorum);
        assert!(begin.elapsed() < 5 * MS && !guard.is_held());
        assert!(matches!(guard.release().await, Err(Error::Lost(Lost::NoQuorum))));
        assert_eq!(nodes.tried(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn another_lease_may_be_chosen() {
    let mut nodes = Nodes::start();
    let client = nodes.builder().cluster().heartbeat(200 * MS, 900 * MS).build().unwrap();
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = nodes.accept("n1").await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    line.hears("f a").await;
    assert_eq!(guard.proven().elapsed(), 200 * MS);
    guard.lost().await;
    assert_eq!(guard.proven().elapsed(), 900 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_lingers_is_resumed_at_the_next_node_that_serves() {
    let mut nodes = Nodes::start();
    let (guard, line, _client) = lingering(&mut nodes).await;
    let mut watch = guard.watch();
    nodes.down(&["n1"]);
    drop(line);
    assert_eq!(watch.changed().await, State::Resuming);
    nodes.refuse("n2", "0 No Quorum").await;
    let mut line = nodes.accept("n3").await;
    line.resumes_a("7 Lock Fence: a").await;
    assert_eq!(watch.changed().await, State::Held { resumed: 1 });
    assert_eq!((guard.is_held(), guard.token()), (true, Some(7)));
    assert_eq!(nodes.tried(), ["n2", "n3"], "the one that is lost comes last");
    // It is kept as before, and resumed again.
    line.hears("f a").await;
    drop(line);
    let mut line = nodes.accept("n2").await;
    assert_eq!(nodes.tried(), ["n1", "n2"]);
    line.resumes_a("7 Lock Fence: a").await;
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_is_left_before_the_grace_is_over() {
    let mut nodes = Nodes::start();
    let (guard, mut silent, _client) = lingering(&mut nodes).await;
    silent.hears("f a").await;
    let asked = Instant::now();
    let mut hanging = nodes.accept("n2").await;
    assert_eq!(asked.elapsed(), 2500 * MS, "a node would have answered, or ended the connection");
    silent.ends().await;
    hanging.hears(&format!("resume {KEY}")).await;
    let begin = Instant::now();
    hanging.ends().await;
    assert_eq!(begin.elapsed(), 2500 * MS);
    let mut line = nodes.accept("n3").await;
    line.resumes_a("7 Lock Fence: a").await;
    assert!(guard.is_held());
}

/// A short grace leaves time for more than one attempt, too.
#[tokio::test(start_paused = true)]
async fn an_attempt_takes_no_more_than_half_of_what_is_left() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (guard, line) = tokio::join!(client.lock("a").linger(3 * SECOND).try_now(), async {
        let mut line = nodes.accept("n1").await;
        line.gives_a("7 Lock Fence: a").await;
        line.grants_linger(3000).await;
        line
    });
    let guard = guard.unwrap();
    drop(line);
    let begin = Instant::now();
    let mut hanging = nodes.accept("n2").await;
    hanging.hears(&format!("resume {KEY}")).await;
    hanging.ends().await;
    assert_eq!(begin.elapsed(), 1440 * MS);
    let mut line = nodes.accept("n3").await;
    line.resumes_a("7 Lock Fence: a").await;
    assert!(guard.is_held());
}

/// Goal: no client counts on a grace that is over by the leader's clock, if both clocks are 2 % wrong. Method: no node
/// is left, and the moment is exact at which the guard gives up.
#[tokio::test(start_paused = true)]
async fn of_a_grace_96_percent_count() {
    let mut nodes = Nodes::start();
    let (guard, line, _client) = lingering(&mut nodes).await;
    nodes.down(&ALL);
    drop(line);
    assert_eq!(guard.lost().await, Lost::NotResumed);
    assert_eq!(guard.proven().elapsed(), 9600 * MS);
    let attempts = nodes.attempts();
    assert!((12..30).contains(&attempts.len()), "{attempts:?}");
    for (at, (_, node)) in attempts.iter().enumerate() {
        assert_eq!(node, ALL[(at + 1) % 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_for_one_node_is_gone_for_all() {
    let mut nodes = Nodes::start();
    let (guard, line, _client) = lingering(&mut nodes).await;
    drop(line);
    let mut line = nodes.accept("n2").await;
    line.hears(&format!("resume {KEY}")).await;
    line.says("0 Resume Failure").await;
    assert_eq!(guard.lost().await, Lost::NotResumed);
    assert_eq!(nodes.tried(), ["n2"]);
}

/// A daemon that is alone knows nothing of the locks of another.
#[tokio::test(start_paused = true)]
async fn without_a_cluster_a_lock_is_resumed_where_it_was_got() {
    let mut nodes = Nodes::start();
    let client = nodes.builder().build().unwrap();
    let (guard, line) = tokio::join!(client.lock("a").linger(10 * SECOND).try_now(), async {
        let mut line = nodes.accept("n1").await;
        line.gives_a("7 Lock Fence: a").await;
        line.grants_linger(10_000).await;
        line
    });
    let guard = guard.unwrap();
    drop(line);
    nodes.refuse("n1", "0 Too Many Connections").await;
    let mut line = nodes.accept("n1").await;
    line.resumes_a("7 Lock Fence: a").await;
    assert!(guard.is_held());
}
