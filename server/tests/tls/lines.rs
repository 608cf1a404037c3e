//! What TLS must not change: the ends of connections, long input and output, slow clients.

use super::World;
use super::speaker::Speaking;
use super::support::{Guard, PATIENCE, has_tools, poll};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Waits until the lock is free.
fn wait_until_free(world: &World, name: &str) {
    let mut other = world.daemon.tcp();
    let is_free = || (other.ask(&format!("i {name}")) == format!("0 Lock Not Locked: {name}")).then_some(());
    poll("the lock to be free", PATIENCE, is_free);
}

fn holder(world: &World) -> Speaking {
    let mut client = world.speaker().connect(world.address()).unwrap();
    assert_eq!(client.ask("g x"), "1 Lock Get Success: x");
    client
}

#[test]
fn every_end_in_order_is_said_by_close_notify() {
    let mut world = World::start(&[]);
    let mut client = holder(&world);
    client.try_send("quit\n").unwrap();
    assert_eq!(client.rest().unwrap(), "");
    let mut client = holder(&world);
    client.half_close();
    assert_eq!(client.rest().unwrap(), "");
    let mut client = holder(&world);
    client.try_send("g y\nping\ng cut off").unwrap();
    client.half_close();
    assert_eq!(client.rest().unwrap(), "1 Lock Get Success: y\n1 pong\n", "what was asked is answered");
    let mut client = holder(&world);
    world.daemon.stop();
    assert!(client.rest().is_ok());
}

#[test]
fn an_end_without_close_notify_ends_the_connection_and_frees_its_locks() {
    let world = World::start(&[]);
    let mut client = holder(&world);
    client.try_send("g y\n").unwrap();
    client.socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.line(), "1 Lock Get Success: y");
    assert!(client.rest().is_err(), "somebody in between may have cut it off");
    wait_until_free(&world, "x");
    world.wait_for_metric("elockd_connections_closed_total{cause=\"error\"}", 1);
}

#[test]
fn a_wait_ends_with_its_connection_even_behind_input_that_is_not_read() {
    let world = World::start(&[]);
    let _holder = holder(&world);
    for ends_in_order in [true, false] {
        let mut waiter = world.speaker().connect(world.address()).unwrap();
        waiter.try_send("gw 3600000 x\n").unwrap();
        world.wait_for_metric("elockd_waiters{kind=\"exclusive\"}", 1);
        // More than is read ahead, and not more than the kernel takes.
        waiter.try_send(&"ping\n".repeat(16_000)).unwrap();
        if ends_in_order {
            waiter.half_close();
        }
        drop(waiter);
        world.wait_for_metric("elockd_waiters{kind=\"exclusive\"}", 0);
    }
}

#[test]
fn what_came_during_a_wait_is_answered_after_it_however_much_it_was() {
    let world = World::start(&[]);
    let mut first = holder(&world);
    let mut waiter = world.speaker().connect(world.address()).unwrap();
    waiter.try_send("gw 3600000 x\n").unwrap();
    world.wait_for_metric("elockd_waiters{kind=\"exclusive\"}", 1);
    waiter.try_send(&"ping\n".repeat(16_000)).unwrap();
    // The daemon has read what it reads ahead by the time that it has answered others.
    assert_eq!(world.daemon.tcp().ask("ping"), "1 pong");
    assert_eq!(first.ask("r x"), "1 Lock Release Success: x");
    assert_eq!(waiter.line(), "1 Lock Get Success: x");
    (0..16_000).for_each(|number| assert_eq!(waiter.line(), "1 pong", "{number}"));
    assert_eq!(waiter.ask("r x"), "1 Lock Release Success: x");
}

#[test]
fn long_input_and_long_answers_are_whole() {
    const LOCKS: usize = 3000;
    let world = World::start(&["--max-line-bytes", "100000"]);
    let mut client = world.speaker().connect(world.address()).unwrap();
    let names = || (0..LOCKS).map(|number| format!("{}{number:05}", "n".repeat(95)));
    let gets = super::support::lines("g ", names());
    client.try_send(&gets).unwrap();
    for name in names() {
        assert_eq!(client.line(), format!("1 Lock Get Success: {name}"));
    }
    client.try_send("d\n").unwrap();
    let mut listed = 0;
    while !client.line().is_empty() {
        listed += 1;
    }
    assert_eq!(listed, LOCKS);
    assert_eq!(
        client.ask(&format!("g {}", "x".repeat(60_000))),
        "0 Name Too Long",
        "more than three records"
    );
    assert_eq!(client.ask("ra"), format!("{LOCKS} Locks Released"));
}

#[test]
fn a_client_that_takes_no_answers_is_closed_and_loses_its_locks() {
    let world = World::start(&["--write-timeout", "500ms"]);
    let mut client = holder(&world);
    client.socket().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while client.try_send(&"q full\n".repeat(100)).is_ok() {}
    wait_until_free(&world, "x");
    assert_eq!(world.metric("elockd_connections_closed_total{cause=\"stalled\"}"), 1);
}

#[test]
fn renegotiation_is_refused_and_nobody_else_notices() {
    if !has_tools(&["openssl"]) {
        return;
    }
    let world = World::start(&[]);
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-tls1_2", "-connect", &world.address().to_string()]);
    openssl.args(["-CAfile", &world.authority.file, "-verify_return_error", "-servername", "daemon"]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Guard::new(openssl.spawn().unwrap());
    let mut input = process.0.stdin.take().unwrap();
    input.write_all(b"g x\n").unwrap();
    poll("it to hold the lock", PATIENCE, || {
        (world.daemon.tcp().ask("i x") == "1 Lock Is Locked: x").then_some(())
    });
    // In a line of its own this is no input, but asks for it.
    input.write_all(b"R\n").unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(process.0.stderr.take().unwrap());
    while !said.contains("RENEGOTIATING") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    // It waits for an answer that never comes. Meanwhile the daemon serves others.
    (0..100).for_each(|_| assert_eq!(world.daemon.tcp().ask("ping"), "1 pong"));
    drop(process.0.kill());
    lines.read_to_string(&mut said).unwrap();
    let (_, after) = said.split_once("RENEGOTIATING").unwrap();
    assert!(!after.contains("depth="), "it has seen the certificate again: {said}");
    wait_until_free(&world, "x");
    world.speaker().connect(world.address()).unwrap();
}
