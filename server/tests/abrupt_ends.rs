//! Goal: however a connection ends, all it held is free soon after, what it is still owed arrives
//! where it can, and nobody else notices. Method: one test for each way to end, most of them over
//! both kinds of listener, with an observer who asks for the lock until it gets it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::io;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{Client, Daemon, PATIENCE, Transport, lines, poll, victim};

fn holds(client: &mut Client, name: &str) {
    assert_eq!(client.ask(&format!("g {name}")), format!("1 Lock Get Success: {name}"));
}

fn fails_to_get(client: &mut Client, name: &str) {
    assert_eq!(client.ask(&format!("g {name}")), format!("0 Lock Get Failure: {name}"));
}

/// Waits until the lock is free, takes it, and gives it back.
fn gets_soon(client: &mut Client, name: &str) {
    let get = || client.ask(&format!("g {name}")).starts_with('1').then_some(());
    poll(&format!("{name} to be free"), PATIENCE, get);
    assert_eq!(client.ask(&format!("r {name}")), format!("1 Lock Release Success: {name}"));
}

/// Writes from another thread, so that this one can read or refuse to; then half-closes.
fn pipeline(client: &Client, requests: String) -> JoinHandle<()> {
    let mut writer = client.twin();
    std::thread::spawn(move || {
        writer.send(requests);
        writer.half_close();
    })
}

#[test]
fn closing_the_socket_releases_everything() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let (mut holder, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        holder.send("g a\nsg s\n");
        holder.expect("1 Lock Get Success: a\n1 Shared Lock Get Success: s\n");
        fails_to_get(&mut observer, "a");
        drop(holder);
        gets_soon(&mut observer, "a");
        assert_eq!(observer.ask("si s"), "0 Shared Lock Not Locked: s");
    }
    let figures = daemon.unix().figures();
    assert_eq!((figures["orphans"], figures["shared_orphans"]), (2, 2));
}

#[test]
fn closing_with_answers_unread_releases_everything() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let (mut holder, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        holds(&mut holder, "a");
        fails_to_get(&mut observer, "a");
        holder.send("ping\n".repeat(1000));
        drop(holder);
        gets_soon(&mut observer, "a");
    }
}

#[test]
fn a_reset_releases_everything() {
    let daemon = Daemon::start(&[]);
    let (mut holder, mut observer) = (daemon.tcp(), daemon.tcp());
    holds(&mut holder, "a");
    fails_to_get(&mut observer, "a");
    holder.reset();
    gets_soon(&mut observer, "a");
    assert_eq!(observer.figure("orphans"), 1);
    assert_eq!(observer.figure("connections"), 1);
}

#[test]
fn a_half_close_behind_fifty_thousand_requests_brings_all_answers_then_the_end() {
    const COUNT: usize = 50_000;
    let daemon = Daemon::start(&["--max-locks-per-connection", "50000"]);
    for transport in Transport::BOTH {
        let (mut client, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        let requests = lines("g ", 0..COUNT);
        let writing = pipeline(&client, requests);
        // It is not to read while it writes, unless the daemon has stopped reading because of that.
        let start = Instant::now();
        while !writing.is_finished() && start.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(5));
        }
        for number in 0..COUNT {
            assert_eq!(client.line(), format!("1 Lock Get Success: {number}"));
        }
        client.expect_end();
        writing.join().unwrap();
        observer.send("i 0\ni 49999\n");
        observer.expect("0 Lock Not Locked: 0\n0 Lock Not Locked: 49999\n");
        assert_eq!(observer.figure("locks"), 0);
    }
    assert_eq!(daemon.unix().figure("orphans"), 2 * COUNT as u64);
}

#[test]
fn after_a_half_close_the_locks_are_free_although_no_answer_was_read() {
    const COUNT: usize = 1000;
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let (mut client, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        holds(&mut client, "held");
        fails_to_get(&mut observer, "held");
        client.send(lines("g ", 0..COUNT));
        client.half_close();
        gets_soon(&mut observer, "held");
        let figures = observer.figures();
        assert_eq!((figures["locks"], figures["orphans"] % 1001), (0, 0), "{figures:?}");
        for number in 0..COUNT {
            assert_eq!(client.line(), format!("1 Lock Get Success: {number}"));
        }
        client.expect_end();
    }
}

/// How many requests the daemon runs of one that reads no answer: until all buffers are full.
fn runs_unread(daemon: &Daemon, request: &str) -> u64 {
    let (mut client, mut observer) = (daemon.unix(), daemon.unix());
    let before = observer.figure("command_i");
    client.set_write_timeout(Duration::from_millis(100));
    while client.try_send(request.repeat(100)).is_ok() {}
    observer.figure("command_i") - before
}

#[test]
fn after_a_half_close_the_locks_are_free_although_answers_cannot_be_sent() {
    let daemon = Daemon::start(&[]);
    let name = "x".repeat(4000);
    let request = format!("i {name}\n");
    // All of them run, but the last 40 kB of answers do not go out before somebody reads. Over TCP the
    // kernel's buffers grow as they like, so that this could not be known.
    let count = runs_unread(&daemon, &request) - 10;
    let (mut client, mut observer) = (daemon.unix(), daemon.unix());
    holds(&mut client, "held");
    fails_to_get(&mut observer, "held");
    let writing = pipeline(&client, request.repeat(count as usize));
    gets_soon(&mut observer, "held");
    writing.join().unwrap();
    for _ in 0..count {
        assert_eq!(client.line(), format!("0 Lock Not Locked: {name}"));
    }
    client.expect_end();
}

#[test]
fn a_command_cut_off_by_the_end_is_not_run() {
    let daemon = Daemon::start(&[]);
    let mut observer = daemon.unix();
    let mut orphans = 0;
    for transport in Transport::BOTH {
        let half_close = |mut client: Client| {
            client.half_close();
            client.expect_end();
        };
        for end in [half_close, |client| drop(client)] {
            let mut client = daemon.connect(transport);
            holds(&mut client, "foo");
            // The beginning of `r foobar`.
            client.send("r foo");
            end(client);
            gets_soon(&mut observer, "foo");
            orphans += 1;
            assert_eq!(observer.figure("orphans"), orphans, "orphaned, not released");
        }
    }
    // The observer's own, and no other.
    assert_eq!(observer.figure("command_r"), orphans);
}

#[test]
fn what_is_pipelined_behind_quit_is_not_run_and_does_no_harm() {
    let daemon = Daemon::start(&[]);
    for (transport, quits) in Transport::BOTH.into_iter().zip(1..) {
        let (mut client, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        let gets = observer.figure("command_g");
        // More than the daemon reads at once: what it never reads must not turn its FIN into a reset.
        client.send(format!("g a\nquit\n{}", "g b\n".repeat(20_000)));
        let has_quit = || (observer.figure("closed_quit") == quits).then_some(());
        poll("the daemon to come to its quit", PATIENCE, has_quit);
        client.expect("1 Lock Get Success: a\n");
        client.expect_end();
        observer.send("i a\ni b\n");
        observer.expect("0 Lock Not Locked: a\n0 Lock Not Locked: b\n");
        assert_eq!(observer.figure("command_g"), gets + 1);
    }
}

#[test]
#[ignore = "no test, but the process that the next one kills"]
fn the_process_to_be_killed() {
    victim::live();
}

#[test]
fn kill_9_of_a_client_releases_everything() {
    let daemon = Daemon::start(&[]);
    let path = daemon.socket_path();
    for address in [&daemon.tcp_address().to_string(), path.to_str().unwrap()] {
        for chats in [false, true] {
            let this = Command::new(std::env::current_exe().unwrap());
            let mut victim = victim::spawn(this, "the_process_to_be_killed", address, chats);
            let mut observer = daemon.unix();
            let is_held = || observer.ask("i a").starts_with('1').then_some(());
            poll("the victim to get its lock", PATIENCE, is_held);
            fails_to_get(&mut observer, "a");
            victim.signal(Signal::KILL);
            victim.wait(PATIENCE);
            gets_soon(&mut observer, "a");
        }
    }
}

/// Sends requests until the daemon takes no more, because nobody reads its answers.
fn send_until_blocked(client: &mut Client) {
    let requests = "help\n".repeat(1000);
    client.set_write_timeout(Duration::from_millis(100));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match client.try_send_some(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("closed before it was blocked: {error}"),
        }
    }
    panic!("the daemon reads without end although its answers are not read");
}

#[test]
fn a_reader_that_never_reads_is_closed_and_others_are_served_meanwhile() {
    let daemon = Daemon::start(&["--write-timeout", "500ms"]);
    for transport in Transport::BOTH {
        let (mut stuck, mut observer) = (daemon.connect(transport), daemon.connect(transport));
        holds(&mut stuck, "a");
        fails_to_get(&mut observer, "a");
        send_until_blocked(&mut stuck);
        let mut worst = Duration::ZERO;
        let mut get = || {
            let start = Instant::now();
            let reply = observer.ask("g a");
            worst = worst.max(start.elapsed());
            reply.starts_with('1').then_some(())
        };
        poll("the stuck reader to lose its lock", PATIENCE, &mut get);
        assert!(worst < Duration::from_secs(2), "{worst:?} for one request");
        assert_eq!(observer.figure("connections"), 1);
        assert_eq!(observer.ask("r a"), "1 Lock Release Success: a");
        stuck.wait_for_end();
    }
    assert_eq!(daemon.unix().figure("closed_stalled"), 2);
}

#[test]
fn a_reader_that_is_slow_but_reads_is_not_closed() {
    let daemon = Daemon::start(&["--write-timeout", "500ms"]);
    let mut slow = daemon.unix();
    slow.send("help\n");
    let answer = slow.lines();
    let writing = pipeline(&slow, "help\n".repeat(2000));
    let start = Instant::now();
    for number in 0..2000 {
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(slow.lines(), answer);
    }
    slow.expect_end();
    writing.join().unwrap();
    assert!(start.elapsed() > Duration::from_millis(1500), "too quick to show anything");
}

#[test]
fn a_reader_that_takes_less_than_the_daemon_can_write_anew_is_not_closed() {
    let timeout = Duration::from_secs(2);
    let daemon = Daemon::start(&["--write-timeout", "2s"]);
    // The kernel lets the daemon write only when much of the buffer is free again: a third of some megabytes for TCP,
    // three quarters of 200 kB for a Unix socket. To take that at these rates takes longer than the write timeout.
    for (transport, portion) in [(Transport::Tcp, 64 << 10), (Transport::Unix, 16 << 10)] {
        let (mut slow, mut observer) = (daemon.connect(transport), daemon.unix());
        holds(&mut slow, "a");
        send_until_blocked(&mut slow);
        let mut longest_unwritten = Duration::ZERO;
        let (mut written, mut since) = (0, Instant::now());
        for _ in 0..24 {
            std::thread::sleep(timeout / 8);
            slow.expect_bytes(portion);
            assert_eq!(observer.ask("i a"), "1 Lock Is Locked: a", "{transport:?}");
            // The daemon goes on with requests when it could write.
            let runs = observer.figure("command_help");
            if runs > written {
                (written, since) = (runs, Instant::now());
            }
            longest_unwritten = longest_unwritten.max(since.elapsed());
        }
        assert!(longest_unwritten > timeout, "the daemon wrote so often that this shows nothing");
        let gets = || observer.ask("g a").starts_with('1').then_some(());
        poll("one that takes nothing any more to lose its lock", PATIENCE, gets);
        assert_eq!(observer.ask("r a"), "1 Lock Release Success: a");
    }
    assert_eq!(daemon.unix().figure("closed_stalled"), 2);
}

#[test]
fn an_idle_connection_is_closed_when_told_so_and_a_busy_one_is_not() {
    let limit = Duration::from_millis(400);
    let daemon = Daemon::start(&["--idle-timeout", "400ms"]);
    for transport in Transport::BOTH {
        let (mut busy, mut idle) = (daemon.connect(transport), daemon.connect(transport));
        let start = Instant::now();
        holds(&mut idle, "a");
        fails_to_get(&mut busy, "a");
        gets_soon(&mut busy, "a");
        // The daemon counts whole milliseconds.
        let elapsed = start.elapsed() + Duration::from_millis(1);
        assert!(elapsed >= limit, "closed after {elapsed:?}");
        idle.expect_end();
        assert_eq!(busy.ask("ping"), "1 pong");
    }
    assert_eq!(daemon.unix().figure("closed_idle"), 2, "the busy ones left by themselves");
}

#[test]
fn a_pause_of_the_daemon_is_nobodys_silence() {
    let daemon = Daemon::start(&["--idle-timeout", "2s"]);
    let clients = || (0..10).map(|_| Transport::BOTH.map(|transport| daemon.connect(transport)));
    let mut clients: Vec<Client> = clients().flatten().collect();
    let mut sent = 0;
    let mut ping_all = |clients: &mut Vec<Client>| {
        for client in clients.iter_mut() {
            client.send("ping\n");
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(500));
    };
    ping_all(&mut clients);
    daemon.signal(Signal::STOP);
    for _ in 0..10 {
        ping_all(&mut clients);
    }
    daemon.signal(Signal::CONT);
    ping_all(&mut clients);
    for client in &mut clients {
        client.expect("1 pong\n".repeat(sent));
    }
    // The limit holds as ever.
    clients[0].expect_end();
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
}
