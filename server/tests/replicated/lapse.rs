//! The lapse of a node: the lease is over, so every socket is closed before anybody else may have its clients' locks.

use super::{LEASE, Node, World, ask, figure, heard, over, rest, say, set, settle};
use elockd_cluster::{Moment, Service};
use elockd_server::listen::{Handshake, HandshakeError, Peer};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

/// The last word.
pub(super) const NO_QUORUM: &str = "0 No Quorum\n";

/// Ends a node's epoch, as at its lease's end.
pub(super) fn lapse(node: &Node) {
    set(&node.hand, LEASE.0);
    node.inside.lapse();
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_closed_without_a_word() {
    let world = World::new(2, |_| {});
    let (mut idle, mut silent, mut other) = (world.connect(1), world.connect(1), world.connect(2));
    assert_eq!(ask(&mut idle, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut other, "ping\n").await, "1 pong\n");
    // A part of a line is no request.
    say(&mut silent, "g ").await;
    lapse(&world.nodes[0]);
    assert_eq!((heard(&mut idle).await, heard(&mut silent).await), (over(""), over("")));
    assert_eq!(world.nodes[0].service(), Service::Silent);
    assert_eq!(ask(&mut other, "g x\n").await, "0 Lock Get Failure: x\n", "its end is the cluster's to say");
}

#[tokio::test(start_paused = true)]
async fn who_waits_or_has_a_request_under_way_hears_why() {
    let world = World::new(1, |_| {});
    let [mut waiter, mut asker, mut lister] = [(); 3].map(|()| world.connect(1));
    assert_eq!(ask(&mut asker, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut lister, "ping\n").await, "1 pong\n");
    say(&mut waiter, "gw 60000 x\n").await;
    world.hold();
    say(&mut asker, "r x\nping\n").await;
    say(&mut lister, "d\n").await;
    lapse(&world.nodes[0]);
    for client in [&mut waiter, &mut asker, &mut lister] {
        assert_eq!(heard(client).await, over(NO_QUORUM));
    }
    assert_eq!(world.nodes[0].service(), Service::Silent);
    assert_eq!(world.nodes[0].monitor.mailboxes(), 0);
    // What was handed in is gone with the epoch.
    world.go_on();
    settle().await;
    assert_eq!(figure(&world.nodes[0], "locks"), 1);
}

/// Goal: no byte of a reply is sent from the deadline on. Method: the reply comes behind the deadline, and the lapse
/// later.
#[tokio::test(start_paused = true)]
async fn no_reply_is_written_from_the_deadline_on() {
    for (at, is_told) in [(LEASE.0 - 1, true), (LEASE.0, false), (LEASE.0 + 5000, false)] {
        let world = World::new(1, |_| {});
        let mut client = world.connect(1);
        assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
        world.hold();
        say(&mut client, "g x\n").await;
        set(&world.nodes[0].hand, at);
        world.go_on();
        let (text, _) = heard(&mut client).await;
        assert_eq!(text, if is_told { "1 Lock Get Success: x\n" } else { "" }, "at {at}");
        assert_eq!(figure(&world.nodes[0], "command_g"), 1, "it ran");
        world.nodes[0].inside.lapse();
        assert!(heard(&mut client).await.1);
        assert_eq!(world.nodes[0].service(), Service::Silent);
    }
}

/// Goal: a reply that was applied and not yet taken is not told. Method: the session has no turn between the two.
#[tokio::test(start_paused = true)]
async fn a_reply_that_was_not_taken_is_not_told() {
    let world = World::new(1, |_| {});
    let mut client = world.connect(1);
    assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
    world.hold();
    say(&mut client, "g x\n").await;
    let inputs = match world.nodes[0].inside.poll_take(std::task::Waker::noop(), |_| true) {
        std::task::Poll::Ready(inputs) => inputs,
        std::task::Poll::Pending => panic!("it is under way"),
    };
    elockd_cluster::Served::apply(&*world.nodes[0].replica, elockd_core::Now(5), &inputs);
    lapse(&world.nodes[0]);
    let (text, is_over) = heard(&mut client).await;
    assert!(is_over && (text.is_empty() || text == NO_QUORUM), "{text:?}");
    assert_eq!(figure(&world.nodes[0], "locks"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_half_a_reply_hears_no_more() {
    let world = World::new(1, |_| {});
    let mut client = world.nodes[0].connect_with(64);
    for _ in 0..4 {
        client.write_all(&b"ping\n".repeat(12)).await.unwrap();
        settle().await;
    }
    lapse(&world.nodes[0]);
    let text = rest(&mut client).await;
    assert_eq!(text, "1 pong\n".repeat(10)[..64], "what its buffer had, and not a byte more");
    assert_eq!(world.nodes[0].service(), Service::Silent);
}

#[tokio::test(start_paused = true)]
async fn half_a_listing_is_half_a_reply() {
    let world = World::new(1, |_| {});
    let (mut holder, mut client) = (world.connect(1), world.nodes[0].connect_with(64));
    let gets: String = (0..500).map(|name| format!("g {name:060}\n")).collect();
    say(&mut holder, &gets).await;
    client.write_all(b"d\n").await.unwrap();
    settle().await;
    lapse(&world.nodes[0]);
    assert_eq!(rest(&mut client).await.len(), 64);
    assert_eq!(world.nodes[0].service(), Service::Silent);
}

/// Goal: no socket outlives its epoch, whatever its session does. Method: clients that take nothing. One of them is in
/// the middle of a reply. Another has ended, and only its last replies are still to be sent.
#[tokio::test(start_paused = true)]
async fn sockets_whose_peers_take_nothing_are_closed_too() {
    let world = World::new(1, |_| {});
    let mut stuck: Vec<_> = (0..3).map(|_| world.nodes[0].connect_with(64)).collect();
    for (number, client) in stuck.iter_mut().enumerate() {
        let last = ["ping\n", "quit\n", "ping\n"][number];
        client.write_all(format!("{}{last}", "ping\n".repeat(11)).as_bytes()).await.unwrap();
        settle().await;
    }
    stuck[2].shutdown().await.unwrap();
    settle().await;
    lapse(&world.nodes[0]);
    settle().await;
    sleep(Duration::from_millis(150)).await;
    assert_eq!(world.nodes[0].service(), Service::Silent, "none of them can be written to");
    for client in &mut stuck {
        assert_eq!(rest(client).await, "1 pong\n".repeat(10)[..64]);
    }
}

/// A handshake that waits for a byte.
#[derive(Clone)]
struct Slow;

impl Handshake<elockd_server::gate::Leased<DuplexStream>> for Slow {
    type Stream = elockd_server::gate::Leased<DuplexStream>;

    async fn run(
        &self,
        mut stream: Self::Stream,
        peer: Peer,
    ) -> Result<(Self::Stream, Peer), HandshakeError> {
        stream.read_u8().await.map_err(|error| HandshakeError::new("slow", error))?;
        Ok((stream, peer))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (slow)")
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_under_way_is_cut_off() {
    let world = World::through(&Slow);
    let (mut hasty, mut slow) = (world.connect(1), world.connect(1));
    hasty.write_all(b"!").await.unwrap();
    assert_eq!(ask(&mut hasty, "ping\n").await, "1 pong\n");
    lapse(&world.nodes[0]);
    assert_eq!(heard(&mut hasty).await, over(""));
    assert_eq!(world.nodes[0].service(), Service::Lapsed(1), "the other socket is open");
    sleep(Duration::from_millis(150)).await;
    assert_eq!(world.nodes[0].service(), Service::Silent);
    assert_eq!(heard(&mut slow).await, over(""));
    // One that was accepted without a lease is not served, even if there is one when its handshake is over.
    let mut late = world.connect(1);
    settle().await;
    world.nodes[0].serve(2, Moment(5000));
    settle().await;
    late.write_all(b"!ping\n").await.unwrap();
    assert_eq!(rest(&mut late).await, NO_QUORUM);
    assert_eq!(world.nodes[0].monitor.handshakes(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_everybody_is_refused_and_the_next_epoch_serves_again() {
    let world = World::new(1, |_| {});
    let node = &world.nodes[0];
    let mut client = world.connect(1);
    assert_eq!(ask(&mut client, "me\n").await, format!("1 unix:{0} unix:{0}\n", (1_u64 << 48) + 1));
    lapse(node);
    settle().await;
    for _ in 0..3 {
        let mut refused = world.connect(1);
        refused.write_all(b"g x\n").await.unwrap();
        assert_eq!(rest(&mut refused).await, NO_QUORUM);
    }
    // The client has not closed its end, but this node cannot write to it any more.
    node.serve(2, Moment(2000));
    settle().await;
    let mut second = world.connect(1);
    assert_eq!(ask(&mut second, "me\n").await, format!("1 unix:{0} unix:{0}\n", (1_u64 << 48) + 2));
    assert_eq!(heard(&mut client).await, over(""));
    assert_eq!(ask(&mut second, "g x\n").await, "1 Lock Get Success: x\n");
    set(&node.hand, 2000);
    node.inside.lapse();
    assert_eq!(heard(&mut second).await, over(""));
    assert_eq!(node.service(), Service::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_had_a_lease_refuses() {
    let world = World::new(1, |_| {});
    let fresh = Node::start(9, elockd_server::Config::default(), |server, handed| server.listen(handed));
    let mut client = fresh.connect();
    assert_eq!(rest(&mut client).await, NO_QUORUM);
    assert_eq!(ask(&mut world.connect(1), "ping\n").await, "1 pong\n");
}

/// Goal: many connections are closed within the time there is for it. Method: a thousand, in different states.
#[tokio::test(start_paused = true)]
async fn a_thousand_connections_are_closed_at_once() {
    let world = World::new(1, |_| {});
    let mut clients: Vec<_> = (0..1000).map(|_| world.nodes[0].connect_with(256)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 2 == 0 {
            client.write_all(b"gw 60000 x\n").await.unwrap();
        }
    }
    settle().await;
    assert_eq!(figure(&world.nodes[0], "waiters"), 499);
    lapse(&world.nodes[0]);
    settle().await;
    assert_eq!(world.nodes[0].service(), Service::Silent);
    let mut told = 0;
    for client in &mut clients {
        told += usize::from(rest(client).await.ends_with(NO_QUORUM));
    }
    assert_eq!(told, 499, "the one that has the lock asked for nothing more");
}
