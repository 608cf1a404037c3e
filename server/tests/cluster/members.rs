//! Goal: nodes come and go while clients are served, and clients of other nodes notice nothing. Method: restarts,
//! `join`, `promote`, `remove` and a replacement under load, which is judged.

use crate::load::Load;
use crate::nodes::{Cluster, LONG, Node, get, until_got};
use crate::support::{poll, tell};
use elockd_cluster::net::{Bounds, Tcp, call};
use elockd_cluster::{ControlAnswer, ControlRequest};
use rustix::process::Signal;
use tokio::runtime::Builder;

/// Goal: a restart of one node after the other takes nothing from clients of other nodes. Method: at each step a
/// client of another node holds a lock over it, and the stopped node's lock is free.
#[test]
fn a_rolling_restart_is_a_short_pause() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster);
    for stops in 0..3 {
        load.goes_on(0..3);
        let other = (stops + 1) % 3;
        let mut leaves = cluster.nodes[stops].client();
        get(&mut leaves, "leaves");
        let mut stays = cluster.nodes[other].client();
        get(&mut stays, "stays");
        cluster.nodes[stops].stop();
        leaves.expect_end();
        let took = until_got(&mut stays, "leaves");
        tell(format!("the lock of a node that was shut down was free {took:?} after its end"));
        assert_eq!(stays.ask("r stays"), "1 Lock Release Success: stays");
        drop(stays);
        cluster.nodes[stops].start();
        cluster.until_whole();
    }
    let history = load.end();
    tell(history.summary());
    assert_eq!(history.overlap_of_survivors(), None);
    assert_eq!(history.disorder(), None);
}

/// Goal: nodes are added, removed and replaced. Method: the page's commands, under load at the nodes that stay.
#[test]
fn nodes_are_added_removed_and_replaced() {
    let mut cluster = Cluster::start(3);
    let load = Load::start(&cluster);
    load.goes_on(0..3);
    let mut keeper = cluster.nodes[0].client();
    get(&mut keeper, "kept");

    // A dead one is replaced. Its lock is free before it is no member any more.
    let mut lost = cluster.nodes[2].client();
    get(&mut lost, "lost");
    cluster.nodes[2].kill();
    cluster.done(&["remove", "3"]);
    assert_eq!(keeper.ask("g lost"), "1 Lock Get Success: lost");
    let fresh = cluster.folder_for("fresh");
    let fresh = cluster.add(fresh);
    assert_eq!(cluster.nodes[fresh].number, 4);
    load.goes_on(0..2);
    let mut at_fresh = cluster.nodes[fresh].client();
    assert_eq!(at_fresh.ask("g kept"), "0 Lock Get Failure: kept");

    // One that lives is removed: it ends in order first, as at a shutdown, and for good.
    get(&mut at_fresh, "of fresh");
    let mut waits = cluster.nodes[fresh].client();
    waits.send("gw 60000 kept\n");
    poll("one to wait", LONG, || (at_fresh.figure("waiters") > 0).then_some(()));
    cluster.done(&["remove", "4"]);
    waits.expect("0 Shutting Down\n");
    waits.expect_end();
    at_fresh.expect_end();
    assert_eq!(keeper.ask("g of fresh"), "1 Lock Get Success: of fresh");
    is_out(&mut cluster.nodes[fresh]);
    let status = cluster.nodes[0].status().unwrap();
    assert_eq!(status["members"].as_array().unwrap().len(), 2, "{status}");
    let table = cluster.nodes[0].must(&["status"]);
    assert!(table.contains("2 voters survive no more"), "{table}");
    let twice = cluster.nodes[cluster.leader()].tool(&["remove", "4"]);
    assert_eq!(twice.status, Some(2));
    assert!(twice.err.contains("no member"), "{}", twice.err);
    // Only of nodes that there were is it said that they are none. Nobody but the leader has a node leave.
    let belongs = |node| order(&cluster.nodes[0], &ControlRequest::Belongs(node));
    let told = [1, 2, 3, 4].map(belongs);
    assert_eq!(told, [true, true, false, false].map(ControlAnswer::Belongs));
    for request in [ControlRequest::Belongs(0), ControlRequest::Belongs(5), ControlRequest::Leave] {
        let answer = order(&cluster.nodes[1], &request);
        assert!(matches!(answer, ControlAnswer::Refused(_)), "{request:?}: {answer:?}");
    }

    // One that was dead meanwhile hears of it when it is started.
    cluster.nodes[2].spawn();
    is_out(&mut cluster.nodes[2]);
    assert_eq!(keeper.ask("r kept"), "1 Lock Release Success: kept");
    let history = load.end();
    tell(history.summary());
    assert_eq!(history.overlap(), None);
    assert_eq!(history.disorder(), None);

    // Of two voters one is left: to remove the other takes its own vote.
    cluster.done(&["remove", "2"]);
    is_out(&mut cluster.nodes[1]);
    assert_eq!(keeper.ask("g kept"), "1 Lock Get Success: kept");
    assert_eq!(cluster.nodes[0].tool(&["status"]).status, Some(0));
}

/// Goal: a node that does not answer is removed too, and nobody is said to be none without a majority. Method: one is
/// stopped while it is removed, and goes on later. Then the other voter is killed.
#[test]
fn a_node_that_does_not_answer_is_removed_too() {
    let mut cluster = Cluster::start(3);
    let stopped = cluster.follower();
    let number = cluster.nodes[stopped].number;
    let mut lost = cluster.nodes[stopped].client();
    get(&mut lost, "lost");
    cluster.nodes[stopped].signal(Signal::STOP);
    let leader = cluster.leader();
    poll("status to miss it", LONG, || {
        let status = cluster.nodes[leader].status()?;
        let member = &status["members"][usize::from(number) - 1];
        (member["answers"] == false && member["lag"].is_null()).then_some(())
    });
    assert_eq!(cluster.nodes[leader].tool(&["status"]).status, Some(1));
    cluster.nodes[leader].must(&["remove", &number.to_string()]);
    get(&mut cluster.nodes[leader].client(), "lost");
    let other = (0..3).find(|at| ![stopped, leader].contains(at)).unwrap();
    cluster.nodes[other].kill();
    cluster.nodes[leader].until_says("0 No Quorum\n");
    let answer = order(&cluster.nodes[leader], &ControlRequest::Belongs(number));
    assert!(matches!(answer, ControlAnswer::Refused(_)), "{answer:?}");

    // Without a majority it is not told. It lets go of its client, or its watchdog was the first to wake.
    let at = &mut cluster.nodes[stopped];
    at.signal(Signal::CONT);
    let ended = poll("it to let go or to end", LONG, || match at.daemon().ended() {
        Some(_) => Some(true),
        None => (at.first_words(b"ping\n") == "0 No Quorum\n").then_some(false),
    });
    if ended {
        let (status, log) = at.end();
        assert_eq!(status.code(), Some(75), "{log}");
        at.spawn();
        at.until_says("0 No Quorum\n");
    }
    cluster.nodes[other].start();
    is_out(&mut cluster.nodes[stopped]);
}

/// Asks a node what nodes ask each other.
fn order(node: &Node, request: &ControlRequest) -> ControlAnswer {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (kind, payload) = (ControlRequest::KIND, request.to_bytes());
    let (net, bounds) = (Tcp::plain(), Bounds::default());
    let called = runtime.block_on(call(&net, &node.link, kind, payload, LONG, &bounds)).unwrap();
    ControlAnswer::from_bytes(&called.answer).unwrap()
}

/// Waits for the end of a node that was removed, and sees that it is not started again.
fn is_out(node: &mut Node) {
    const NOT_AGAIN: Option<i32> = Some(77);
    let (status, log) = node.end();
    assert_eq!(status.code(), NOT_AGAIN, "{log}");
    assert!(log.contains("it was removed from its cluster"), "{log}");
    node.spawn();
    let (status, log) = node.end();
    assert_eq!(status.code(), NOT_AGAIN, "{log}");
    let said = "not to be started again: it was removed from its cluster; empty its state directory";
    assert!(log.contains(said), "{log}");
}
