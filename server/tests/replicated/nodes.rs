//! Several nodes, one set of locks: what a client does at one of them, those at others see.

use super::loopback::Loopback;
use super::{LEASE, Node, World, ask, figure, heard, line, over, rest, say, settle, silence};
use elockd_cluster::Served;
use elockd_server::Config;
use elockd_server::listen::Peer;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_lock_of_one_node_is_held_at_every_node() {
    let world = World::new(3, |_| {});
    let (mut a, mut b, mut c) = (world.connect(1), world.connect(2), world.connect(3));
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    for other in [&mut b, &mut c] {
        assert_eq!(ask(other, "g x\n").await, "0 Lock Get Failure: x\n");
        assert_eq!(ask(other, "i x\n").await, "1 Lock Is Locked: x\n");
    }
    drop(a);
    settle().await;
    assert_eq!(ask(&mut c, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut b, "g x\n").await, "0 Lock Get Failure: x\n");
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_different_nodes_is_served_in_turn() {
    let world = World::new(2, |_| {});
    let mut holder = world.connect(1);
    assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
    let mut line_of = Vec::new();
    for number in 0..20 {
        let mut client = world.connect(1 + number % 2);
        say(&mut client, "ping\ngw 60000 x\ni x\n").await;
        assert_eq!(heard(&mut client).await, ("1 pong\n".to_owned(), false));
        line_of.push(client);
    }
    for mut next in line_of {
        assert_eq!(heard(&mut next).await, silence());
        assert_eq!(ask(&mut holder, "r x\n").await, "1 Lock Release Success: x\n");
        assert_eq!(line(&mut next).await, "1 Lock Get Success: x\n");
        assert_eq!(line(&mut next).await, "1 Lock Is Locked: x\n", "what it had said meanwhile");
        holder = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_to_the_millisecond() {
    let world = World::new(2, |_| {});
    let (mut holder, mut waiter) = (world.connect(1), world.connect(2));
    assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
    let begin = Instant::now();
    assert_eq!(ask(&mut waiter, "gw 700 x\n").await, "0 Lock Get Timeout: x\n");
    let took = begin.elapsed();
    assert!((700..=702).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn limits_are_those_of_all_nodes_together() {
    let world = World::new(2, |config| {
        config.machine.limits.connections = 2;
        config.machine.limits.locks = 1;
    });
    let (mut a, mut b) = (world.connect(1), world.connect(2));
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut b, "g y\n").await, "0 Too Many Locks: y\n");
    // One that says nothing, and one whose request comes with it.
    let (mut silent, mut hasty) = (world.connect(2), world.connect(1));
    hasty.write_all(b"g y\nping\n").await.unwrap();
    assert_eq!(rest(&mut silent).await, "0 Too Many Connections\n");
    assert_eq!(rest(&mut hasty).await, "0 Too Many Connections\n");
    drop(b);
    settle().await;
    assert_eq!(ask(&mut world.connect(1), "ping\n").await, "1 pong\n");
}

#[tokio::test(start_paused = true)]
async fn a_listing_shows_the_holders_of_all_nodes() {
    let world = World::new(2, |_| {});
    let (mut a, mut b) = (world.connect(1), world.connect(2));
    assert_eq!(ask(&mut a, "iam anna\ng x\n").await, "1 ok\n");
    assert_eq!(line(&mut a).await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut b, "g y\n").await, "1 Lock Get Success: y\n");
    let address = ask(&mut b, "me\n").await.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(address, format!("unix:{}", (2_u64 << 48) + 1), "its node is in it");
    for asker in [&mut a, &mut b] {
        say(asker, "d\nping\n").await;
        assert_eq!(heard(asker).await.0, format!("x: anna\ny: {address}\n\n1 pong\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_many_slices_is_whole() {
    let world = World::new(2, |config| config.machine.storage.scan_slice = 16);
    let (mut a, mut b) = (world.connect(1), world.connect(2));
    let gets: String = (0..500).map(|name| format!("g {name:03}\n")).collect();
    say(&mut a, &gets).await;
    assert_eq!(heard(&mut a).await.0.lines().count(), 500);
    say(&mut b, "d\nping\n").await;
    let listing = heard(&mut b).await.0;
    let names: Vec<&str> = listing.lines().map(|line| line.split(':').next().unwrap()).collect();
    let expected: Vec<String> = (0..500).map(|name| format!("{name:03}")).collect();
    assert_eq!(names[..500], expected);
    assert_eq!(names[500..], ["", "1 pong"]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_kicks_a_client_of_another_node() {
    let world = World::new(2, |_| {});
    let mut victim = world.connect(2);
    assert_eq!(ask(&mut victim, "g x\n").await, "1 Lock Get Success: x\n");
    let (mut operator, far) = duplex(4096);
    world.nodes[0].connect.send((far, Peer::Operator(None))).unwrap();
    let address = format!("unix:{}", (2_u64 << 48) + 1);
    let kicked = ask(&mut operator, &format!("kick {address}\n")).await;
    assert_eq!(kicked, format!("1 Kick Success: {address}\n"));
    assert_eq!(heard(&mut victim).await, over(""));
    assert_eq!(ask(&mut operator, "g x\n").await, "1 Lock Get Success: x\n");
}

/// Goal: the silence of a connection is counted in the cluster's time. Method: two silent ones, at two nodes, and one
/// that speaks now and then.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_at_every_node() {
    let world = World::new(2, |config| config.machine.limits.idle_ms = 60_000);
    let (mut a, mut b, mut active) = (world.connect(1), world.connect(2), world.connect(1));
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut b, "g y\n").await, "1 Lock Get Success: y\n");
    for _ in 0..5 {
        sleep(Duration::from_secs(11)).await;
        assert_eq!(ask(&mut active, "i x\n").await, "1 Lock Is Locked: x\n");
    }
    sleep(Duration::from_secs(6)).await;
    assert_eq!((heard(&mut a).await, heard(&mut b).await), (over(""), over("")));
    assert_eq!(ask(&mut active, "g x\n").await, "1 Lock Get Success: x\n");
}

#[tokio::test(start_paused = true)]
async fn what_dead_tenures_left_is_swept_on_every_node() {
    let world = World::new(2, |config| config.machine.storage.sweep_slice = 8);
    let mut a = world.connect(1);
    let gets: String = (0..500).map(|name| format!("g {name}\n")).collect();
    say(&mut a, &gets).await;
    drop(a);
    settle().await;
    for node in &world.nodes {
        assert_eq!(node.monitor.figures(|figures| (figures.dead_holds(), figures.connections())), (0, 0));
    }
}

/// Goal: figures are of the cluster's time, which stands still while nothing is applied. Method: this server's own
/// clock goes on for an hour in silence.
#[tokio::test(start_paused = true)]
async fn figures_are_of_the_clusters_time() {
    let world = World::new(2, |_| {});
    let mut a = world.connect(1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(ask(&mut a, "g x\n").await, "1 Lock Get Success: x\n");
    let uptime = || [0, 1].map(|node: usize| figure(&world.nodes[node], "uptime_ms"));
    assert_eq!(uptime(), [5000; 2]);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(uptime(), [5000; 2]);
    assert_eq!(ask(&mut a, "ping\n").await, "1 pong\n");
    assert_eq!(uptime(), [3_605_000; 2]);
}

/// Goal: numbers of connections are never used again, whoever used them. Method: a node's machine is replaced by one
/// that knows of more, as after a restart.
#[tokio::test(start_paused = true)]
async fn serials_go_on_from_those_of_the_machine() {
    let world = World::new(2, |_| {});
    for serial in 1..=3 {
        let address = format!("unix:{}", (1_u64 << 48) + serial);
        assert_eq!(ask(&mut world.connect(1), "me\n").await, format!("1 {address} {address}\n"));
    }
    settle().await;
    let mut again = Node::start(1, Config::default(), |server, handed| server.listen(handed));
    again.replica.install(world.nodes[1].replica.copy());
    let (log, _hold) = Loopback::new(vec![again.member()]);
    tokio::spawn(log.run());
    again.serve(5, LEASE);
    let address = format!("unix:{}", (1_u64 << 48) + 4);
    assert_eq!(ask(&mut again.connect(), "me\n").await, format!("1 {address} {address}\n"));
    assert_eq!(figure(&again, "connections_opened"), 4);
    drop(again.stop.take());
}

#[tokio::test(start_paused = true)]
async fn the_latency_has_what_the_log_takes() {
    let world = World::new(1, |config| config.measure_latency = true);
    let mut client = world.connect(1);
    assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
    world.hold();
    say(&mut client, "ping\nping\n").await;
    sleep(Duration::from_millis(250)).await;
    world.go_on();
    assert_eq!(heard(&mut client).await.0, "1 pong\n1 pong\n");
    let latency = world.nodes[0].monitor.latency();
    assert_eq!(latency.counts.iter().sum::<u64>(), 3);
    assert_eq!(latency.sum, Duration::from_millis(500));
}

/// Goal: replicas are the same machine. Method: they are compared after a conversation at both.
#[tokio::test(start_paused = true)]
async fn replicas_have_the_same_figures() {
    let world = World::new(2, |_| {});
    let (mut a, mut b) = (world.connect(1), world.connect(2));
    say(&mut a, "g x\nsg y\nbogus\nf x\nq\n").await;
    say(&mut b, "gw 10 x\nsg y\nping\nquit\n").await;
    sleep(Duration::from_millis(50)).await;
    settle().await;
    let figures = |node: usize| {
        let mut all = Vec::new();
        world.nodes[node].monitor.figures(|figures| {
            figures.each(true, &mut |key, figure| all.push(format!("{key} {figure:?}")));
        });
        all
    };
    assert_eq!(figures(0), figures(1));
    assert!(figures(0).contains(&"command_gw Number(1)".to_owned()), "{:?}", figures(0));
}
