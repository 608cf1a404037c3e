//! Goal: no input, however odd, harms the daemon or its other clients, and each gets the answer it is
//! due. Method: bytes in amounts and pieces that no decent client sends, and a look at the daemon's
//! memory and statistics.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Client, Daemon, Transport};

#[test]
fn a_writer_of_one_byte_at_a_time_is_understood_and_holds_nobody_up() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let mut slow = daemon.connect(transport);
        let mut other = daemon.connect(transport);
        for byte in b"  g \t one\r\n\r\ni one\n" {
            slow.send([*byte]);
            other.send("ping\n");
            other.expect("1 pong\n");
        }
        slow.expect("1 Lock Get Success: one\n1 Lock Is Locked: one\n");
        slow.half_close();
        slow.expect_end();
    }
}

#[test]
fn a_line_of_ten_megabytes_is_refused_once_and_takes_no_memory() {
    const SIZE: usize = 10 << 20;
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let mut client = daemon.connect(transport);
        client.send("ping\n");
        client.expect("1 pong\n");
        let before_kib = daemon.peak_memory_kib();
        client.send("g ");
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..SIZE / piece.len() {
            client.send(&piece);
        }
        client.send(" \ng a\n");
        client.expect("0 Line Too Long\n1 Lock Get Success: a\n");
        let grown_kib = daemon.peak_memory_kib() - before_kib;
        assert!(grown_kib < 2 << 10, "10 MiB in one line took {grown_kib} KiB");
        assert_eq!(client.ask("r a"), "1 Lock Release Success: a");
    }
    assert_eq!(daemon.unix().figure("invalid_commands"), 2);
}

#[test]
fn a_hundred_thousand_blank_lines_are_neither_answered_nor_counted() {
    let daemon = Daemon::start(&[]);
    for (transport, queries) in Transport::BOTH.into_iter().zip(1..) {
        let mut client = daemon.connect(transport);
        client.send("\n\r\n \t\x0b\x0c\r\n   \n".repeat(25_000));
        client.send("q\n");
        let mut lines = client.lines();
        lines.retain(|line| !line.ends_with(": 0") && !line.starts_with("connections"));
        assert_eq!(lines, [format!("command_q: {queries}")]);
        client.half_close();
        client.expect_end();
    }
}

/// Random bytes, always the same, without the letters that a verb of ours would need.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes().into_iter().filter(|byte| !byte.is_ascii_lowercase()));
    }
    bytes
}

#[test]
fn binary_noise_is_answered_line_by_line() {
    let is_space = |byte: &u8| matches!(byte, 0x09..=0x0D | b' ');
    let mut bytes = noise(1 << 20);
    bytes.push(b'\n');
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let said = lines.iter().filter(|line| !line.iter().all(is_space)).count();
    assert!(said > 1000, "{said} lines are too few to be a test");

    let daemon = Daemon::start(&[]);
    let mut other = daemon.unix();
    for (transport, rounds) in Transport::BOTH.into_iter().zip(1..) {
        let mut client = daemon.connect(transport);
        let mut writer = client.twin();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            writer.send(sent);
            writer.send("g still there\nr still there\n");
        });
        for line in lines.iter().filter(|line| !line.iter().all(is_space)) {
            let reply = client.line_bytes();
            assert!(
                reply.starts_with(b"0 Unknown Command: "),
                "{} -> {}",
                support::shown(line),
                support::shown(&reply)
            );
        }
        client.expect("1 Lock Get Success: still there\n1 Lock Release Success: still there\n");
        writing.join().unwrap();
        assert_eq!(other.figure("invalid_commands"), (said * rounds) as u64);
    }
}

/// Goal: a client that never stops asking does not keep others waiting. Method: it asks until another client has been
/// served fifty times, however long the machine takes. It stops at a number of requests, so that it shows if others
/// come last.
#[test]
fn a_flood_of_requests_from_one_does_not_keep_others_waiting() {
    const CHUNKS_MAX: usize = 2_000;
    let daemon = Daemon::start(&[]);
    let mut flooder = daemon.tcp();
    let mut writer = flooder.twin();
    let is_served = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&is_served);
    let writing = std::thread::spawn(move || {
        let chunk = "g a\nr a\nsg b\nsr b\n".repeat(1000);
        let chunks = (0..CHUNKS_MAX).take_while(|_| !is_over.load(Ordering::Relaxed));
        let sent = chunks.inspect(|_| writer.send(&chunk)).count();
        writer.half_close();
        sent
    });
    let reading = std::thread::spawn(move || flooder.rest().split(|byte| *byte == b'\n').count() - 1);
    let mut other = daemon.unix();
    for _ in 0..50 {
        ask_for_something_of_its_own(&mut other);
    }
    is_served.store(true, Ordering::Relaxed);
    let sent = writing.join().unwrap();
    assert_eq!(reading.join().unwrap(), sent * 4_000);
    assert!(sent < CHUNKS_MAX, "others were served only when the flood was over");
}

fn ask_for_something_of_its_own(client: &mut Client) {
    client.send("g mine\nr mine\n");
    client.expect("1 Lock Get Success: mine\n1 Lock Release Success: mine\n");
}
