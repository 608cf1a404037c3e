//! Goal: as a process the daemon behaves as operators expect: exit status, messages, signals, the file
//! of its Unix socket, and what it does when it runs out of file descriptors. Method: start it, mostly
//! in ways that it should refuse, and look from outside.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, Transport, lines, poll, program};
use tempfile::TempDir;

/// Runs it to its end, which has to come.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut command = program();
    command.args(args);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    (status.code(), log)
}

#[test]
fn term_and_int_end_it_with_status_0_and_its_clients_with_fin() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start(&[]);
        let mut clients: Vec<Client> = Transport::BOTH.map(|transport| daemon.connect(transport)).into();
        for client in &mut clients {
            client.send("g a\nsg s\nping\n");
            while client.line() != "1 pong" {}
        }
        let socket = daemon.socket_path();
        daemon.signal(signal);
        clients.iter_mut().for_each(Client::expect_end);
        drop(clients);
        let address = daemon.tcp_address();
        daemon.wait_for_success();
        assert!(!socket.exists(), "the socket's file is removed");
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_signal_in_the_middle_of_a_pipeline_cuts_nothing_off_and_ends_all_granting() {
    for transport in Transport::BOTH {
        let mut daemon = Daemon::start(&[]);
        let (mut client, mut observer) = (daemon.connect(transport), daemon.unix());
        let mut writer = client.twin();
        // Far more than is answered before somebody reads; after the first thousand each asks for a lock
        // that is held already.
        let names = (0..400_000).map(|number| number % 1000);
        let gets = lines("g ", names.clone());
        // The daemon may be gone before all is written.
        let writing = std::thread::spawn(move || drop(writer.try_send(gets)));
        let mut run = (0, 0);
        let is_blocked = || {
            let count = observer.figure("command_g");
            run = if count == run.0 { (count, run.1 + 1) } else { (count, 0) };
            (run.0 > 0 && run.1 == 20).then_some(())
        };
        poll("the daemon to run no more before answers are read", PATIENCE, is_blocked);

        daemon.signal(Signal::TERM);
        observer.expect_end();
        let rest = String::from_utf8(client.rest()).unwrap();
        writing.join().unwrap();
        let mut is_ending = false;
        for (line, name) in rest.split_inclusive('\n').zip(names) {
            is_ending |= line == "0 Shutting Down\n";
            let got = format!("1 Lock Get Success: {name}\n");
            assert_eq!(line, if is_ending { "0 Shutting Down\n" } else { &got });
        }
        assert!(is_ending, "after {} gets nothing more of what it had read was answered", run.0);
        drop((client, observer));
        daemon.wait_for_success();
    }
}

#[test]
fn a_signal_in_the_middle_of_a_listing_cuts_nothing_off() {
    let mut daemon = Daemon::start(&["--max-locks-per-connection", "20000"]);
    let mut holder = daemon.unix();
    let names = || (0..20_000).map(|number| format!("{number:0>100}"));
    holder.send("iam h\n");
    holder.expect("1 ok\n");
    for name in names() {
        holder.send(format!("g {name}\n"));
        holder.expect(format!("1 Lock Get Success: {name}\n"));
    }
    // Far more than fits into the buffers between here and there.
    let mut reader = daemon.unix();
    reader.send("d\n");
    assert_eq!(reader.line(), format!("{}: h", names().next().unwrap()));
    // Each of these gives the listing a turn, until nothing more of it can be sent.
    for _ in 0..100 {
        assert_eq!(holder.ask("ping"), "1 pong");
    }
    daemon.signal(Signal::TERM);
    holder.expect_end();
    let rest = reader.rest();
    let lines = rest.split_inclusive(|byte| *byte == b'\n').count();
    assert!(
        rest.ends_with(b": h\n\n"),
        "ends after {lines} lines, in {}",
        support::shown(&rest[rest.len() - 20..])
    );
    // The holder was there throughout or not at all, but the empty line has to come.
    assert_eq!(lines, 20_000);
    drop((holder, reader));
    daemon.wait_for_success();
}

#[test]
fn a_client_that_does_not_go_cannot_hold_up_the_end() {
    let mut daemon = Daemon::start(&["--shutdown-timeout", "500ms"]);
    let clients = Transport::BOTH.map(|transport| {
        let mut client = daemon.connect(transport);
        client.send("ping\n");
        client.expect("1 pong\n");
        // Its answers are not read, and it does not close when the daemon does.
        client.set_write_timeout(Duration::from_millis(50));
        while client.try_send("help\n".repeat(1000)).is_ok() {}
        client
    });
    daemon.stop();
    drop(clients);
}

#[test]
fn a_second_signal_ends_a_shutdown_at_once() {
    for (first, second) in
        [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)]
    {
        let mut daemon = Daemon::start(&["--shutdown-timeout", "1h"]);
        let mut client = daemon.unix();
        client.set_write_timeout(Duration::from_millis(50));
        while client.try_send("help\n".repeat(1000)).is_ok() {}
        daemon.signal(first);
        daemon.wait_for_log("shutting down on");
        daemon.signal(second);
        let socket = daemon.socket_path();
        daemon.wait_for_success();
        assert!(daemon.log().contains("while shutting down: not waiting any longer"), "{}", daemon.log());
        assert!(!socket.exists());
        drop(client);
    }
}

#[test]
fn the_socket_file_has_the_mode_it_should_have() {
    for (flags, mode) in
        [(&[][..], 0o660), (&["--unix-mode", "600"], 0o600), (&["--unix-mode", "0666"], 0o666)]
    {
        let mut daemon = Daemon::start(flags);
        let file = std::fs::metadata(daemon.socket_path()).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, mode, "{flags:?}");
        let socket = daemon.socket_path();
        daemon.stop();
        assert!(!socket.exists());
    }
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let dir = Daemon::start(&[]).kill();
    let socket = dir.path().join("elockd.sock");
    assert!(socket.exists(), "a killed daemon leaves its file");
    let mut command = program();
    command.args(["--port", "0", "--unix"]).arg(&socket);
    let mut daemon = Daemon::spawn(command, dir);
    let mut client = poll("the socket to answer", PATIENCE, || client_of(&socket));
    assert_eq!(client.ask("ping"), "1 pong");
    daemon.stop();
}

fn client_of(socket: &Path) -> Option<Client> {
    std::os::unix::net::UnixStream::connect(socket).is_ok().then(|| Client::unix(socket))
}

#[test]
fn a_socket_that_is_in_use_is_left_alone() {
    let daemon = Daemon::start(&[]);
    let socket = daemon.socket_path();
    let path = socket.to_str().unwrap();
    let (code, log) = run(&["--port", "0", "--unix", path]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(path), "the message names it: {log}");
    assert_eq!(daemon.unix().ask("ping"), "1 pong");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    let (code, log) = run(&["--port", "0", "--unix", file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("precious"), "the message names it: {log}");
    assert_eq!(std::fs::read(&file).unwrap(), b"data");
}

#[test]
fn an_address_that_is_in_use_is_refused_with_status_1() {
    let daemon = Daemon::start(&[]);
    let address = daemon.tcp_address().to_string();
    let (code, log) = run(&["--listen", &address]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&address), "the message names it: {log}");
    assert_eq!(daemon.tcp().ask("ping"), "1 pong");
}

#[test]
fn an_address_in_use_is_found_before_the_socket_file_is_made() {
    let daemon = Daemon::start(&[]);
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let address = daemon.tcp_address().to_string();
    let (code, log) = run(&["--listen", &address, "--unix", socket.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{log}");
    assert!(!socket.exists(), "a start that failed leaves nothing behind");
}

#[test]
fn a_bad_flag_is_refused_with_status_2_and_named() {
    let bad: &[&[&str]] = &[
        &["--bogus"],
        &["--listen", "nonsense"],
        &["--port", "70000"],
        &["--unix-mode", "999"],
        &["--max-connections", "many"],
        &["--max-locks", "-1"],
        &["--max-name-bytes", "banana"],
        &["--max-line-bytes", "10"],
        &["--max-listing-bytes", ""],
        &["--dump=perhaps"],
        &["--write-timeout", "15 bananas"],
        &["--peer-timeout", "soon"],
        &["--peer-timeout", "2s"],
        &["--peer-timeout", "25h"],
        &["--idle-timeout"],
        &["--idle-timeout", "900us"],
        &["--write-timeout", "1ns"],
        &["--shutdown-timeout", "25h"],
        &["-port", "x"],
    ];
    for args in bad {
        let (code, log) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {log}");
        let flag = args[0].trim_start_matches('-').split('=').next().unwrap();
        assert!(log.contains(flag), "{args:?} is not named: {log}");
    }
}

#[test]
fn glockds_flags_are_understood() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("other.sock");
    let mut command = program();
    command.args(["-port", "0", "-dump=false", "-registry=false", "-unix"]).arg(&socket);
    let daemon = Daemon::spawn(command, dir);
    let mut client = poll("the socket to answer", PATIENCE, || client_of(&socket));
    client.send("dump\niam x\nping\n");
    client.expect("0 disabled\n0 disabled\n1 pong\n");
    assert!(!daemon.log().contains("listening on tcp"), "port 0 means no TCP: {}", daemon.log());
}

#[test]
fn an_address_without_a_port_gets_the_usual_one_of_the_flag() {
    // A port that was free a moment ago, so somebody else may take it: then another is tried.
    let daemon = poll("a port that stays free", PATIENCE, || {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = program();
        command.args(["--listen", "127.0.0.2", "--listen", "127.0.0.1:0", "--port", &port]);
        let daemon = Daemon::spawn(command, TempDir::new().unwrap());
        let is_up = || match daemon.log() {
            log if log.contains("listening on tcp 127.0.0.1:")
                && log.contains(&format!("127.0.0.2:{port}")) =>
            {
                Some(true)
            }
            log if log.contains("in use") => Some(false),
            _ => None,
        };
        poll("the listeners", PATIENCE, is_up).then_some(daemon)
    });
    for prefix in ["tcp 127.0.0.1:", "tcp 127.0.0.2:"] {
        assert_eq!(Client::tcp(daemon.address_of(prefix)).ask("ping"), "1 pong");
    }
}
