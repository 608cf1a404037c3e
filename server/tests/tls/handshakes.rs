//! Handshakes that are not finished, and those that never were TLS.

use super::World;
use super::support::{Client, PATIENCE, poll};

#[test]
fn a_handshake_that_stalls_at_any_byte_holds_up_nobody_and_leaves_nothing() {
    let world = World::start(&[]);
    world.speaker().connect(world.address()).unwrap();
    let before = world.daemon.descriptors();
    let hello = world.speaker().hello();
    let mut stalled: Vec<_> = (0..=hello.len())
        .map(|len| {
            let mut client = Client::tcp(world.address());
            client.send(&hello[..len]);
            client
        })
        .collect();
    world.wait_for_metric("elockd_handshakes", i64::try_from(stalled.len()).unwrap());
    world.speaker().connect(world.address()).expect("it is as if nobody else were there");
    assert_eq!(world.metric("elockd_connections"), 0, "the one that came is gone, and the others never came");
    stalled.drain(..).for_each(drop);
    world.wait_for_metric("elockd_handshakes", 0);
    world.wait_for_metric("elockd_handshakes_failed_total", i64::try_from(hello.len()).unwrap() + 1);
    poll("the sockets to be closed", PATIENCE, || (world.daemon.descriptors() <= before).then_some(()));
}

#[test]
fn at_the_limit_the_oldest_goes_and_who_means_it_gets_in() {
    let world = World::start(&["--max-handshakes", "5", "--handshake-timeout", "1h"]);
    let mut stalled: Vec<_> = (0..5).map(|_| Client::tcp(world.address())).collect();
    world.wait_for_metric("elockd_handshakes", 5);
    for dropped in 1..=3 {
        world.speaker().connect(world.address()).unwrap();
        stalled.remove(0).wait_for_end();
        world.wait_for_metric("elockd_handshakes_dropped_total", dropped);
        world.wait_for_metric("elockd_handshakes", 4);
        stalled.push(Client::tcp(world.address()));
        world.wait_for_metric("elockd_handshakes", 5);
    }
    assert_eq!(world.metric("elockd_handshakes_dropped_total"), 3, "five may be there");
}

#[test]
fn one_that_takes_too_long_is_closed_and_told_of() {
    let world = World::start(&["--handshake-timeout", "50ms"]);
    Client::tcp(world.address()).wait_for_end();
    world.daemon.wait_for_log("failed: it was not over after 50ms");
    world.wait_for_metric("elockd_handshakes_failed_total", 1);
}

#[test]
fn lines_without_tls_are_closed_and_told_of() {
    let world = World::start(&[]);
    let mut client = Client::tcp(world.address());
    client.send("g x\n");
    client.wait_for_end();
    world.daemon.wait_for_log("TLS: the peer does not speak TLS");
    assert_eq!(world.daemon.tcp().ask("i x"), "0 Lock Not Locked: x");
}

#[test]
fn tls_on_the_plain_port_is_told_so_in_a_line() {
    let world = World::start(&[]);
    let mut client = Client::tcp(world.daemon.tcp_address());
    client.send(world.speaker().hello());
    assert_eq!(client.rest(), b"0 Wrong Protocol: TLS\n");
    world.wait_for_metric("elockd_foreign_connections_total", 1);
}

#[test]
fn a_shutdown_waits_for_no_handshake() {
    let mut world = World::start(&["--handshake-timeout", "1h", "--shutdown-timeout", "1h"]);
    let _stalled = Client::tcp(world.address());
    world.wait_for_metric("elockd_handshakes", 1);
    world.daemon.stop();
}
