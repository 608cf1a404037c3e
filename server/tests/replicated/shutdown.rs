//! The orderly end of one node of several.

use super::{World, ask, heard, over, say, settle};

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_answers_its_clients_and_no_others_are_touched() {
    let mut world = World::new(2, |_| {});
    let (mut idle, mut waiter, mut other) = (world.connect(1), world.connect(1), world.connect(2));
    assert_eq!(ask(&mut other, "g x\n").await, "1 Lock Get Success: x\n");
    assert_eq!(ask(&mut idle, "g y\n").await, "1 Lock Get Success: y\n");
    say(&mut waiter, "gw 60000 x\n").await;
    drop(world.nodes[0].stop.take());
    assert_eq!(heard(&mut waiter).await, over("0 Shutting Down\n"));
    assert_eq!(heard(&mut idle).await, over(""));
    drop((idle, waiter));
    (&mut world.nodes[0].done).await.unwrap();
    assert_eq!(ask(&mut other, "gw 100 y\n").await, "1 Lock Get Success: y\n");
}

/// Goal: what a client has said is answered before it is told to go. Method: its request is under way when the shutdown
/// begins, in front of the drain and behind it.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_under_way_is_answered_before_the_end() {
    for is_before in [true, false] {
        let mut world = World::new(2, |_| {});
        let mut client = world.connect(1);
        assert_eq!(ask(&mut client, "g x\n").await, "1 Lock Get Success: x\n");
        world.hold();
        if is_before {
            say(&mut client, "ping\ng y\n").await;
        }
        drop(world.nodes[0].stop.take());
        settle().await;
        if !is_before {
            say(&mut client, "ping\ng y\n").await;
        }
        world.go_on();
        let reply = if is_before { "1 Lock Get Success: y\n" } else { "0 Shutting Down\n" };
        assert_eq!(heard(&mut client).await, over(&format!("1 pong\n{reply}")));
        drop(client);
        (&mut world.nodes[0].done).await.unwrap();
        assert_eq!(ask(&mut world.connect(2), "g x\n").await, "1 Lock Get Success: x\n");
    }
}
