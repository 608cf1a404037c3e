//! Requests that are under way: handed in, and not applied yet. The log is held, so that they stay so.

use super::{World, ask, figure, heard, line, over, say, settle, silence};
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn a_thousand_commands_at_once_are_answered_in_their_order() {
    let world = World::new(2, |_| {});
    let mut client = world.connect(1);
    let commands: String = (0..1000).map(|name| format!("g {name}\n")).collect();
    client.write_all(commands.as_bytes()).await.unwrap();
    for name in 0..1000 {
        assert_eq!(line(&mut client).await, format!("1 Lock Get Success: {name}\n"));
    }
    assert_eq!(figure(&world.nodes[1], "locks"), 1000);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_fin_runs_and_is_answered() {
    let world = World::new(1, |_| {});
    let (mut client, mut other) = (world.connect(1), world.connect(1));
    assert_eq!(ask(&mut other, "ping\n").await, "1 pong\n");
    world.hold();
    say(&mut client, &format!("g x\n{}g y\n", "ping\n".repeat(300))).await;
    client.shutdown().await.unwrap();
    assert_eq!(heard(&mut client).await, silence());
    world.go_on();
    let all = format!("1 Lock Get Success: x\n{}1 Lock Get Success: y\n", "1 pong\n".repeat(300));
    assert_eq!(heard(&mut client).await, over(&all));
    assert_eq!(ask(&mut other, "g x\n").await, "1 Lock Get Success: x\n", "it has ended");
}

/// Goal: FIN in a wait is an input like others: what the log says came first is the reply. Method: the release of the lock
/// is handed in before the FIN, or after it, and both are under way together.
#[tokio::test(start_paused = true)]
async fn a_grant_and_a_fin_come_in_the_order_of_the_log() {
    for is_granted in [true, false] {
        let world = World::new(2, |_| {});
        let (mut holder, mut waiter) = (world.connect(1), world.connect(1));
        assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
        say(&mut waiter, "gw 60000 x\ng never\n").await;
        world.hold();
        if is_granted {
            say(&mut holder, "r x\n").await;
        }
        waiter.shutdown().await.unwrap();
        settle().await;
        if !is_granted {
            say(&mut holder, "r x\n").await;
        }
        assert_eq!(heard(&mut waiter).await, silence());
        world.go_on();
        let reply = if is_granted { "1 Lock Get Success: x\n" } else { "0 Lock Get Timeout: x\n" };
        assert_eq!(heard(&mut waiter).await, over(reply));
        assert_eq!(heard(&mut holder).await.0, "1 Lock Release Success: x\n");
        for node in &world.nodes {
            assert_eq!((figure(node, "connections"), figure(node, "locks")), (1, 0), "{is_granted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_breaks_with_a_request_under_way_holds_nothing_afterwards() {
    let world = World::new(2, |_| {});
    let (mut client, mut other) = (world.connect(1), world.connect(2));
    assert_eq!(ask(&mut other, "ping\n").await, "1 pong\n");
    world.hold();
    say(&mut client, "g x\ngw 60000 x\n").await;
    drop(client);
    settle().await;
    world.go_on();
    settle().await;
    assert_eq!(ask(&mut other, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(figure(&world.nodes[0], "connections"), 1);
    assert_eq!(world.nodes[0].monitor.mailboxes(), 0);
}

/// Goal: a reply that comes by mail behind a wait's beginning is not lost. Method: all of it is applied in one entry, so
/// that the session is told of the beginning and of the end together.
#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_in_the_entry_it_began_in_is_answered_once() {
    let world = World::new(1, |_| {});
    let (mut holder, mut waiter) = (world.connect(1), world.connect(1));
    assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut waiter, "ping\n").await, "1 pong\n");
    world.hold();
    say(&mut waiter, "ping\ngw 60000 x\nping\n").await;
    say(&mut holder, "r x\ng x\n").await;
    world.go_on();
    assert_eq!(heard(&mut waiter).await.0, "1 pong\n1 Lock Get Success: x\n1 pong\n");
    assert_eq!(heard(&mut holder).await.0, "1 Lock Release Success: x\n0 Lock Get Failure: x\n");
}

#[tokio::test(start_paused = true)]
async fn silent_errors_are_no_reply_and_no_hang() {
    let world = World::new(1, |config| config.machine.features.silent_errors = true);
    let mut client = world.connect(1);
    say(&mut client, "bogus\nbogus\n").await;
    assert_eq!(heard(&mut client).await, silence());
    assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
}
