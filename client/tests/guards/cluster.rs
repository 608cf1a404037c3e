//! How a client goes from one node of a cluster to the next, and what it takes with it: nothing but what it asked for.

use crate::line::Line;
use crate::nodes::{ALL, Nodes};
use elockd_client::{AccessToken, Error, Lost, Refusal};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The pauses between attempts, each with the longest that it may be: twice the one before, up to a second.
fn assert_pauses(attempts: &[(Instant, String)]) {
    let mut longest = 50 * MS;
    for pair in attempts.windows(2) {
        let pause = pair[1].0 - pair[0].0;
        // A timer of tokio may be a millisecond late.
        assert!(pause >= longest / 2 && pause <= longest + 2 * MS, "{pause:?} is not within {longest:?}");
        longest = SECOND.min(2 * longest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_quorum_is_left_for_the_next() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (guard, _line) = tokio::join!(client.lock("a").try_now(), async {
        nodes.refuse("n1", "0 No Quorum").await;
        nodes.refuse("n2", "0 No Quorum").await;
        let mut line = nodes.accept("n3").await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    let guard = guard.unwrap();
    assert!(guard.is_held());
    assert_eq!((guard.token(), guard.server().to_string().as_str()), (Some(7), "n3:9999"));
    let attempts = nodes.attempts();
    assert_pauses(&attempts);
    assert_eq!(attempts.len(), 3);
    // The next lock begins where the last one ended.
    let (_, _line) = tokio::join!(client.ping(), async {
        let mut line = nodes.accept("n3").await;
        line.hears("ping").await;
        line.says("1 pong").await;
        line
    });
}

/// Goal: each way in which a node can fail at once leads to the next node. Method: the first node fails in it.
#[tokio::test(start_paused = true)]
async fn a_node_that_fails_at_once_is_left_for_the_next() {
    for how in ["refuses", "ends", "ends after the request", "shuts down", "fails the name", "is silent"] {
        let mut nodes = Nodes::start();
        let client = nodes.builder().cluster().name("me").build().unwrap();
        nodes.down(if how == "refuses" { &["n1"] } else { &[] });
        let (guard, _lines) = tokio::join!(client.lock("a").try_now(), async {
            let mut first = None;
            if how != "refuses" {
                let mut line = nodes.accept("n1").await;
                if how != "ends" {
                    line.hears("iam me").await;
                }
                match how {
                    "fails the name" => line.says("0 No Quorum").await,
                    "ends" => {}
                    _ => {
                        line.says("1 ok").await;
                        line.hears("g a").await;
                        line.hears("f a").await;
                    }
                }
                match how {
                    "shuts down" => line.says("0 Shutting Down").await,
                    "is silent" => first = Some(line),
                    _ => {}
                }
            }
            let mut line = nodes.accept("n2").await;
            if let Some(first) = &mut first {
                // What it may have got ends with its connection, before it is asked for again.
                first.ends().await;
            }
            line.hears("iam me").await;
            line.says("1 ok").await;
            line.gives_a("7 Lock Fence: a").await;
            line
        });
        assert!(guard.unwrap().is_held(), "{how}");
        assert_eq!(nodes.tried(), ["n1", "n2"], "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_which_account_it_is_goes_on_too() {
    let mut nodes = Nodes::start();
    let token = AccessToken::new("el_0123456789012345678901").unwrap();
    let client = nodes.builder().cluster().token(token).build().unwrap();
    let (pinged, ()) = tokio::join!(client.ping(), async {
        nodes.refuse("n1", "0 No Quorum").await;
        let mut line = nodes.accept("n2").await;
        line.hears("auth el_0123456789012345678901").await;
        // This is an answer. Another node would say the same.
        line.says("0 Auth Failure").await;
    });
    assert!(matches!(pinged, Err(Error::Refused(Refusal::AuthFailure))));
    assert_eq!(nodes.tried(), ["n1", "n2"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_begins_anew_at_the_next_node_with_the_time_that_is_left() {
    for how in ["0 No Quorum", ""] {
        let mut nodes = Nodes::start();
        let client = nodes.client();
        let begin = Instant::now();
        let (guard, _line) = tokio::join!(client.lock("a").wait(10 * SECOND), async {
            let mut line = nodes.accept("n1").await;
            line.hears("gw 10000 a").await;
            sleep(4 * SECOND).await;
            if !how.is_empty() {
                line.says(how).await;
            }
            drop(line);
            let mut line = nodes.accept("n2").await;
            let left = (10 * SECOND).saturating_sub(begin.elapsed());
            line.hears(&format!("gw {} a", left.as_millis())).await;
            sleep(SECOND).await;
            line.says("1 Lock Get Success: a").await;
            line.hears("f a").await;
            line.says("9 Lock Fence: a").await;
            line
        });
        assert!(guard.unwrap().is_held(), "{how}");
    }
}

/// Goal: a wait is not given up because it has lasted long already. Method: after an hour in line, all nodes are away
/// for 8 s. That is less than the 10 s for which a client tries.
#[tokio::test(start_paused = true)]
async fn a_long_wait_has_all_the_time_to_find_another_node() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (guard, _line) = tokio::join!(client.lock("a").get(), async {
        let mut line = nodes.accept("n1").await;
        line.hears("gw 4294967295 a").await;
        sleep(3600 * SECOND).await;
        nodes.down(&ALL);
        drop(line);
        sleep(8 * SECOND).await;
        nodes.down(&[]);
        let (host, mut line) = nodes.accept_any().await;
        line.hears("gw 4294967295 a").await;
        line.says("1 Lock Get Success: a").await;
        line.hears("f a").await;
        line.says("9 Lock Fence: a").await;
        (host, line)
    });
    assert!(guard.unwrap().is_held());
}

/// Goal: a wait that is over is not tried again. Method: all nodes go away in the middle of a wait of 3 s.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_though_no_node_is_left() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let begin = Instant::now();
    let (result, ()) = tokio::join!(client.lock("a").wait(3 * SECOND), async {
        let mut line = nodes.accept("n1").await;
        line.hears("gw 3000 a").await;
        sleep(2 * SECOND).await;
        nodes.down(&ALL);
    });
    assert!(matches!(result, Err(Error::Unreachable(_))), "{result:?}");
    let waited = begin.elapsed();
    assert!(waited > 2500 * MS && waited <= 3 * SECOND, "{waited:?}");
}

/// Goal: the nodes are tried in their order, again and again, with pauses that grow to a second, and differ from client
/// to client; after 10 s the reasons of all are told. Method: every attempt is written down, with several seeds.
#[tokio::test(start_paused = true)]
async fn without_any_node_all_are_tried_for_10_s() {
    let mut pauses = Vec::new();
    for seed in 0..10 {
        let nodes = Nodes::start();
        nodes.down(&ALL);
        let client = nodes.builder().cluster().seed(seed).build().unwrap();
        let begin = Instant::now();
        let Err(Error::Unreachable(tried)) = client.lock("a").wait(60 * SECOND).await else { panic!() };
        let tried_for = begin.elapsed();
        assert!(tried_for > 9 * SECOND && tried_for < 10 * SECOND + 2 * MS, "{tried_for:?}");
        let attempts = nodes.attempts();
        assert_pauses(&attempts);
        assert!((14..=24).contains(&attempts.len()), "{attempts:?}");
        for (at, (_, node)) in attempts.iter().enumerate() {
            assert_eq!(node, ALL[at % 3]);
        }
        // The one that was tried last is last.
        let order: Vec<_> = tried.iter().map(|(server, _)| server.to_string()).collect();
        let last: Vec<_> =
            attempts[attempts.len() - 3..].iter().map(|(_, node)| format!("{node}:9999")).collect();
        assert_eq!(order, last);
        assert!(tried.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused));
        pauses.push(attempts[1].0 - attempts[0].0);
    }
    pauses.sort();
    pauses.dedup();
    assert!(pauses.len() > 5, "a thousand clients do not come at once: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_quorum_is_told_as_such() {
    let mut nodes = Nodes::start();
    nodes.down(&["n2", "n3"]);
    let client = nodes.builder().cluster().keep_trying(Duration::ZERO).build().unwrap();
    let (result, ()) = tokio::join!(client.lock("a").try_now(), nodes.refuse("n1", "0 No Quorum"));
    let Err(error) = result else { panic!() };
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(text.contains("n1:9999: it has no quorum") && text.contains("n3:9999: "), "{text}");
    assert_eq!(nodes.tried(), ALL, "each is tried once, however short the time is");
}

#[tokio::test(start_paused = true)]
async fn all_of_several_locks_are_got_anew_and_so_is_their_grace() {
    let mut nodes = Nodes::start();
    let client = nodes.builder().cluster().linger(10 * SECOND).build().unwrap();
    let get = async |line: &mut Line, name: &str, token: u32| {
        line.hears(&format!("g {name}")).await;
        line.hears(&format!("f {name}")).await;
        line.says(&format!("1 Lock Get Success: {name}")).await;
        line.says(&format!("{token} Lock Fence: {name}")).await;
    };
    let (guards, _line) = tokio::join!(client.lock_all(["a", "b"], None), async {
        let mut line = nodes.accept("n1").await;
        get(&mut line, "a", 1).await;
        line.hears("g b").await;
        drop(line);
        let mut line = nodes.accept("n2").await;
        get(&mut line, "a", 2).await;
        get(&mut line, "b", 3).await;
        line.hears("linger 10000").await;
        drop(line);
        let mut line = nodes.accept("n3").await;
        get(&mut line, "a", 4).await;
        get(&mut line, "b", 5).await;
        line.grants_linger(10_000).await;
        for (name, token) in [("a", 4), ("b", 5)] {
            line.hears(&format!("f {name}")).await;
            line.says(&format!("{token} Lock Fence: {name}")).await;
        }
        line
    });
    let guards = guards.unwrap();
    assert!(guards.is_held());
    assert_eq!(guards.get("a").unwrap().token(), Some(4), "that of the node that gave both");
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_to_the_next_node_only_while_it_holds_nothing() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let mut session = client.session();
    let (a, mut line) = tokio::join!(session.lock("a").wait(SECOND), async {
        let mut line = nodes.accept("n1").await;
        line.hears("gw 1000 a").await;
        line.says("0 No Quorum").await;
        drop(line);
        let mut line = nodes.accept("n2").await;
        assert!(line.request().await.starts_with("gw 9"));
        line.says("1 Lock Get Success: a").await;
        line.hears("f a").await;
        line.says("7 Lock Fence: a").await;
        line
    });
    let a = a.unwrap();
    let (b, ()) = tokio::join!(session.lock("b").wait(SECOND), async {
        line.hears("f a").await;
        line.says("7 Lock Fence: a").await;
        line.hears("gw 1000 b").await;
        line.says("0 No Quorum").await;
        drop(line);
    });
    assert!(matches!(b, Err(Error::Refused(Refusal::NoQuorum))), "{b:?}");
    assert_eq!(a.lost().await, Lost::NoQuorum);
    assert_eq!(
        nodes.tried(),
        ["n1", "n2"],
        "what it asks for next may not be what it wants without the first"
    );
    // It may be asked again.
    let (b, _line) = tokio::join!(session.lock("a").try_now(), async {
        let mut line = nodes.accept("n3").await;
        line.gives_a("8 Lock Fence: a").await;
        line
    });
    assert!(b.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_waits_for_any_more_does_not_try_on() {
    let mut nodes = Nodes::start();
    nodes.down(&ALL);
    let mut session = nodes.client().session();
    assert!(tokio::time::timeout(SECOND, session.lock("a").get()).await.is_err());
    nodes.attempts();
    sleep(5 * SECOND).await;
    assert_eq!(nodes.tried(), [""; 0]);
    nodes.down(&[]);
    let (a, _line) = tokio::join!(session.lock("a").try_now(), async {
        let (_, mut line) = nodes.accept_any().await;
        line.gives_a("8 Lock Fence: a").await;
        line
    });
    assert!(a.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_to_a_dead_node_is_no_failure() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (pinged, mut line) = tokio::join!(client.ping(), async {
        let mut line = nodes.accept("n1").await;
        line.hears("ping").await;
        line.says("1 pong").await;
        line
    });
    pinged.unwrap();
    // Its end is met only when it is used.
    let (guard, _line) = tokio::join!(client.lock("a").try_now(), async {
        line.hears("g a").await;
        nodes.down(&["n1"]);
        drop(line);
        let mut line = nodes.accept("n2").await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    assert!(guard.unwrap().is_held());
    assert_eq!(nodes.tried(), ["n1", "n1", "n2"]);
}

/// Goal: what comes next depends on the node that has failed, and not on the one that was left before. Method: a guard
/// has left the second node for the third when an unused connection to the second one fails.
#[tokio::test(start_paused = true)]
async fn after_an_unused_connection_comes_the_node_behind_its_own() {
    let mut nodes = Nodes::start();
    nodes.down(&["n1"]);
    let client = nodes.client();
    let pinging = tokio::spawn({
        let client = client.clone();
        async move { client.ping().await }
    });
    let mut unused = nodes.accept("n2").await;
    unused.hears("ping").await;
    let (guard, mut line) = tokio::join!(client.lock("a").try_now(), async {
        let mut line = nodes.accept("n2").await;
        line.gives_a("7 Lock Fence: a").await;
        line
    });
    unused.says("1 pong").await;
    pinging.await.unwrap().unwrap();
    line.says("0 No Quorum").await;
    assert_eq!(guard.unwrap().lost().await, Lost::NoQuorum);
    nodes.attempts();
    let (pinged, _line) = tokio::join!(client.ping(), async {
        unused.hears("ping").await;
        unused.says("0 No Quorum").await;
        let mut line = nodes.accept("n3").await;
        line.hears("ping").await;
        line.says("1 pong").await;
        line
    });
    pinged.unwrap();
    assert_eq!(nodes.tried(), ["n3"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_end_and_who_lists_go_on_too() {
    let mut nodes = Nodes::start();
    let client = nodes.client();
    let (ended, mut line) = tokio::join!(client.ended("a").wait(60 * SECOND), async {
        let mut line = nodes.accept("n1").await;
        line.hears("iw 60000 a").await;
        line.says("0 No Quorum").await;
        drop(line);
        let mut line = nodes.accept("n2").await;
        assert!(line.request().await.starts_with("iw 59"));
        line.says("1 Lock Ended: a").await;
        line
    });
    ended.unwrap();
    let (rows, _line) = tokio::join!(client.list(""), async {
        // In the middle of a listing a node cannot say more than that it ends.
        line.hears("ls").await;
        line.says("x 1 0 unix:1 a").await;
        drop(line);
        let mut line = nodes.accept("n2").await;
        line.hears("ls").await;
        line.says("x 1 0 unix:1 a\n").await;
        line
    });
    assert_eq!(rows.unwrap().len(), 1);
}

/// A client that was not told of a cluster does not behave as if there were one.
#[tokio::test(start_paused = true)]
async fn without_a_cluster_a_node_without_a_quorum_is_an_error() {
    let mut nodes = Nodes::start();
    let client = nodes.builder().build().unwrap();
    let (result, ()) = tokio::join!(client.lock("a").try_now(), nodes.refuse("n1", "0 No Quorum"));
    let Err(Error::Refused(refusal)) = result else { panic!() };
    assert!(refusal == Refusal::NoQuorum && refusal.is_transient());
    let (result, ()) = tokio::join!(client.lock("a").wait(SECOND), async {
        let mut line = nodes.accept("n1").await;
        line.hears("gw 1000 a").await;
    });
    assert!(matches!(result, Err(Error::Io(_))));
    assert_eq!(nodes.tried(), ["n1", "n1"]);
}
