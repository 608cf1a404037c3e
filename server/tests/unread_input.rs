//! Goal: a peer that ends loses its locks and its place in a line at once, however much of what it sent is unread, and
//! none of what is unread gets lost if it stays. Method: a client waits and sends more than the daemon reads ahead.
//! Then it ends in each way, over both kinds of listener.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, Transport, poll};

/// What a client sends behind its wait: more than 64 KiB, and little enough for the kernel's buffers to take the rest.
const REQUESTS: usize = 16_000;

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It sends FIN, and reads on.
    HalfClose,
    /// It closes its socket in order.
    Close,
    /// It closes its socket so that the daemon sees an error.
    Reset,
}

/// A client that waits for the lock `x`, and has sent much behind that.
fn waiter(daemon: &Daemon, transport: Transport, observer: &mut Client) -> Client {
    let mut client = daemon.connect(transport);
    client.send("gw 4294967295 x\n");
    let waits = || (observer.figure("waiters") == 1).then_some(());
    poll("the wait to begin", PATIENCE, waits);
    client.send("ping\n".repeat(REQUESTS));
    client
}

/// Ends a client, as the daemon has to see it.
fn end(mut client: Client, transport: Transport, end: End) -> Option<Client> {
    match (end, transport) {
        (End::HalfClose, _) => {
            client.half_close();
            return Some(client);
        }
        (End::Close, _) => drop(client),
        (End::Reset, Transport::Tcp) => client.reset(),
        // A Unix socket that is closed with a reply unread gives its peer an error.
        (End::Reset, Transport::Unix) => {
            assert!(client.waits_in_the_kernel(), "a reply that stays unread");
            drop(client);
        }
    }
    None
}

#[test]
fn a_peer_that_ends_while_it_waits_is_gone_at_once() {
    let daemon = Daemon::start(&[]);
    let mut observer = daemon.unix();
    observer.ask("g x");
    let (mut eofs, mut errors) = (0, 0);
    for transport in Transport::BOTH {
        for way in [End::HalfClose, End::Close, End::Reset] {
            // With a pause, the daemon has read all that it reads ahead, and looks for the end when that comes.
            for pause in [Duration::ZERO, Duration::from_millis(100)] {
                let mut client = daemon.connect(transport);
                if (way, transport) == (End::Reset, Transport::Unix) {
                    // Its reply stays in the kernel.
                    client.send("g own\nping\n");
                    client = with_unread(client);
                } else {
                    assert_eq!(client.ask("g own"), "1 Lock Get Success: own");
                }
                client.send("gw 4294967295 x\n");
                let waits = || (observer.figure("waiters") == 1).then_some(());
                poll("the wait to begin", PATIENCE, waits);
                client.send("ping\n".repeat(REQUESTS));
                std::thread::sleep(pause);
                let pings = observer.figures().get("command_ping").copied();
                let left = end(client, transport, way);
                let is_gone = || (observer.figure("waiters") == 0).then_some(());
                poll(&format!("the end of a wait over {transport:?} by {way:?}"), PATIENCE, is_gone);
                let figures = observer.figures();
                assert_eq!((figures["locks"], figures["connections"]), (1, 1), "{transport:?}, {way:?}");
                assert_eq!(
                    figures.get("command_ping").copied(),
                    pings,
                    "what is behind a wait that FIN ended is not run"
                );
                let counted = if way == End::Reset { &mut errors } else { &mut eofs };
                *counted += 1;
                assert_eq!((figures["closed_eof"], figures["closed_error"]), (eofs, errors), "{way:?}");
                if let Some(mut left) = left {
                    left.expect("0 Lock Get Timeout: x\n");
                    left.expect_end();
                }
            }
        }
    }
}

/// Sees to it that replies are there, and reads none.
fn with_unread(client: Client) -> Client {
    poll("replies to arrive", PATIENCE, || client.waits_in_the_kernel().then_some(()));
    client
}

#[test]
fn all_that_was_unread_is_run_when_the_wait_ends() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let (mut holder, mut observer) = (daemon.connect(transport), daemon.unix());
        holder.ask("g x");
        let mut client = waiter(&daemon, transport, &mut observer);
        std::thread::sleep(Duration::from_millis(100));
        // Part of it comes when the daemon reads no more.
        client.send("i none\n".repeat(1000));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(holder.ask("r x"), "1 Lock Release Success: x");
        client.expect("1 Lock Get Success: x\n");
        for _ in 0..REQUESTS {
            client.expect("1 pong\n");
        }
        for _ in 0..1000 {
            client.expect("0 Lock Not Locked: none\n");
        }
        // What comes later is read as ever.
        assert_eq!(client.ask("ping"), "1 pong");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(client.ask("r x"), "1 Lock Release Success: x");
        client.half_close();
        client.expect_end();
    }
}

#[test]
fn all_that_was_unread_is_run_at_a_shutdown() {
    for transport in Transport::BOTH {
        let mut daemon = Daemon::start(&[]);
        let mut observer = daemon.unix();
        observer.ask("g x");
        let mut client = waiter(&daemon, transport, &mut observer);
        std::thread::sleep(Duration::from_millis(100));
        daemon.signal(Signal::TERM);
        client.expect("0 Shutting Down\n");
        for _ in 0..REQUESTS {
            client.expect("1 pong\n");
        }
        client.expect_end();
        drop(observer);
        daemon.wait_for_success();
    }
}

#[test]
fn a_reset_is_seen_while_replies_are_unsent() {
    let daemon = Daemon::start(&["--write-timeout", "1h"]);
    let mut observer = daemon.unix();
    for number in 0..3000 {
        observer.send(format!("g {number}{}\n", "y".repeat(1000)));
        assert!(observer.line().starts_with("1 "));
    }
    let mut errors = 0;
    for transport in Transport::BOTH {
        // Replies to many requests, and one reply that is a long listing.
        for requests in ["help\n".repeat(4000), "d\n".repeat(3)] {
            let mut client = daemon.connect(transport);
            client.send("g own\n");
            client.set_write_timeout(Duration::from_millis(200));
            // It fails if the daemon has stopped reading.
            let _ = client.try_send(&requests);
            let client = with_unread(client);
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(observer.ask("i own"), "1 Lock Is Locked: own");
            match transport {
                Transport::Tcp => client.reset(),
                Transport::Unix => drop(client),
            }
            let is_free = || observer.ask("i own").starts_with('0').then_some(());
            poll("the lock of one that reset its connection", PATIENCE, is_free);
            errors += 1;
            assert_eq!(observer.figure("closed_error"), errors);
        }
    }
}

#[test]
fn a_reset_is_seen_while_last_replies_are_unsent() {
    let daemon = Daemon::start(&["--write-timeout", "1h"]);
    let mut observer = daemon.unix();
    observer.ask("ping");
    let before = daemon.descriptors();
    for transport in Transport::BOTH {
        let mut client = daemon.connect(transport);
        let mut writer = client.twin();
        // More than the kernel's buffers take, and less than the daemon does.
        client.set_write_timeout(Duration::from_millis(200));
        let _ = writer.try_send("help\n".repeat(4000));
        client.half_close();
        drop(writer);
        let client = with_unread(client);
        observer.ask("ping");
        match transport {
            Transport::Tcp => client.reset(),
            Transport::Unix => drop(client),
        }
        poll("its socket to be closed", PATIENCE, || (daemon.descriptors() == before).then_some(()));
    }
}
