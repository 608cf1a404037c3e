//! Waiting: who is served when, to the millisecond, and what a connection's end does to its wait.

use super::{Running, ask, line, rest, start};
use elockd_server::Monitor;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, advance, sleep};

/// A connection that waits for a lock, together with how long it lets the others run.
async fn waiting(server: &Running, request: &str) -> DuplexStream {
    let mut client = server.connect(256 << 10);
    client.write_all(request.as_bytes()).await.unwrap();
    settle().await;
    client
}

/// Lets everybody run until nothing is left to be done at this time.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn figure(monitor: &Monitor, wanted: &str) -> u64 {
    let mut found = None;
    monitor.figures(|figures| {
        figures.each(true, &mut |key, figure| {
            if let (true, elockd_core::Figure::Number(number)) = (key == wanted, figure) {
                found = Some(number);
            }
        });
    });
    found.expect("a figure of that name")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_that_wait_for_one_name_are_served_in_their_order() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    assert_eq!(ask(&mut holder, "g x\n").await, "1 Lock Get Success: x\n");
    let mut line_of = Vec::new();
    for _ in 0..1000 {
        line_of.push(waiting(&server, "gw 3600000 x\n").await);
    }
    assert_eq!(figure(&server.monitor, "waiters"), 1000);
    for client in line_of {
        // Nobody else has it: whoever is next gets it by the release, and by nothing before.
        assert_eq!(ask(&mut holder, "r x\n").await, "1 Lock Release Success: x\n");
        holder = client;
        assert_eq!(line(&mut holder).await, "1 Lock Get Success: x\n");
    }
    assert_eq!(figure(&server.monitor, "waits_granted"), 1000);
}

/// Goal: an exporter sees ages as of now. Method: silence around one wait, and a look now and then.
#[tokio::test(start_paused = true)]
async fn the_age_of_a_wait_grows_while_nobody_says_anything() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let _waiter = waiting(&server, "gw 3600000 x\n").await;
    let mut last = (figure(&server.monitor, "longest_wait_ms"), figure(&server.monitor, "uptime_ms"));
    for _ in 0..3 {
        sleep(Duration::from_millis(42_123)).await;
        let next = (figure(&server.monitor, "longest_wait_ms"), figure(&server.monitor, "uptime_ms"));
        assert_eq!(next, (last.0 + 42_123, last.1 + 42_123));
        last = next;
    }
    ask(&mut holder, "r x\n").await;
    assert_eq!(figure(&server.monitor, "longest_wait_ms"), 0, "nobody waits");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_to_the_millisecond() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    for ms in [1, 63, 64, 65, 4096, 1_000_000] {
        let mut client = server.connect(4096);
        let begin = Instant::now();
        assert_eq!(ask(&mut client, &format!("gw {ms} x\n")).await, "0 Lock Get Timeout: x\n");
        let took = begin.elapsed();
        let wanted = Duration::from_millis(ms);
        assert!(took >= wanted && took <= wanted + Duration::from_millis(2), "{took:?} for {wanted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_while_waiting_is_run_after_it() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut client = waiting(&server, "gw 5000 x\ng y\nr x\n").await;
    client.write_all(b"ping\n").await.unwrap();
    assert_eq!(ask(&mut holder, "i y\n").await, "0 Lock Not Locked: y\n", "it has not run");
    ask(&mut holder, "r x\n").await;
    for reply in
        ["1 Lock Get Success: x\n", "1 Lock Get Success: y\n", "1 Lock Release Success: x\n", "1 pong\n"]
    {
        assert_eq!(line(&mut client).await, reply);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_that_waits_is_noticed_whatever_it_sent() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    for sent in [0, 1, 1000, 60_000] {
        let mut client = waiting(&server, "gw 3600000 x\n").await;
        client.write_all(&b"i y\n".repeat(sent / 4)).await.unwrap();
        settle().await;
        assert_eq!(figure(&server.monitor, "waiters"), 1);
        drop(client);
        settle().await;
        assert_eq!(figure(&server.monitor, "waiters"), 0, "after {sent} bytes");
    }
    assert_eq!(figure(&server.monitor, "command_i"), 0, "nothing of it was run");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_64_kibibytes_are_read_ahead() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut client = server.connect(1024);
    client.write_all(b"gw 3600000 x\n").await.unwrap();
    let pings = b"ping\n".repeat(100_000);
    let mut taken = 0;
    while let Ok(wrote) = tokio::time::timeout(Duration::from_secs(1), client.write(&pings[taken..])).await {
        taken += wrote.unwrap();
    }
    assert!((64 << 10..=66 << 10).contains(&taken), "{taken} bytes");
    ask(&mut holder, "r x\n").await;
    assert_eq!(line(&mut client).await, "1 Lock Get Success: x\n");
    for _ in 0..taken / 5 {
        assert_eq!(line(&mut client).await, "1 pong\n");
    }
}

#[tokio::test(start_paused = true)]
async fn fin_ends_a_wait_and_what_was_sent_after_it() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut client = waiting(&server, "g y\ngw 3600000 x\ng z\n").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "1 Lock Get Success: y\n0 Lock Get Timeout: x\n");
    for name in ["y", "z"] {
        assert_eq!(ask(&mut holder, &format!("i {name}\n")).await, format!("0 Lock Not Locked: {name}\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn fin_after_the_grant_lets_the_rest_run() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut client = waiting(&server, "gw 3600000 x\ng z\n").await;
    holder.write_all(b"r x\n").await.unwrap();
    settle().await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "1 Lock Get Success: x\n1 Lock Get Success: z\n");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_every_wait_and_grants_none() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(waiting(&server, "gw 3600000 x\nping\ngw 1000 x\n").await);
    }
    server.stop.send(()).unwrap();
    for mut client in clients {
        assert_eq!(rest(&mut client).await, "0 Shutting Down\n1 pong\n0 Shutting Down\n");
    }
    assert_eq!(rest(&mut holder).await, "");
    server.done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_is_not_idle_and_has_its_whole_time_after() {
    let server = start(|config| config.machine.limits.idle_ms = 1000);
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let mut client = waiting(&server, "gw 5000 x\n").await;
    let begin = Instant::now();
    assert_eq!(line(&mut client).await, "1 Lock Get Success: x\n", "its holder was idle");
    assert!(begin.elapsed() < Duration::from_millis(1010), "{:?}", begin.elapsed());
    let mut third = server.connect(4096);
    let begin = Instant::now();
    assert_eq!(ask(&mut third, "gw 5000 x\n").await, "1 Lock Get Success: x\n");
    let took = begin.elapsed();
    assert!((990..1010).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_daemon_is_nobodys_silence() {
    let server = start(|config| config.machine.limits.idle_ms = 5000);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect(4096)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, "ping\n").await, "1 pong\n");
    }
    sleep(Duration::from_secs(3)).await;
    // The clock goes on, and no task has had its turn meanwhile.
    advance(Duration::from_secs(12)).await;
    settle().await;
    assert_eq!(figure(&server.monitor, "connections"), 20);
    for client in &mut clients[1..] {
        assert_eq!(ask(client, "ping\n").await, "1 pong\n");
    }
    // One of them has been silent for 3 s so far. The lapse may count from a look before, up to a second earlier.
    sleep(Duration::from_millis(1900)).await;
    assert_eq!(figure(&server.monitor, "connections"), 20);
    sleep(Duration::from_millis(1200)).await;
    assert_eq!(figure(&server.monitor, "connections"), 19);
    assert_eq!(figure(&server.monitor, "closed_idle"), 1);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_held_or_waited_for_is_listed_with_its_time() {
    let server = start(|_| {});
    let mut holder = server.connect(4096);
    assert_eq!(ask(&mut holder, "sg ab\n").await, "1 Shared Lock Get Success: ab\n");
    sleep(Duration::from_secs(1)).await;
    ask(&mut holder, "g a\n").await;
    ask(&mut holder, "g b\n").await;
    sleep(Duration::from_millis(500)).await;
    let first = waiting(&server, "gw 3600000 a\n").await;
    let second = waiting(&server, "gw 3600000 a\n").await;
    let third = waiting(&server, "sgw 3600000 1 ab\n").await;
    sleep(Duration::from_millis(97)).await;
    holder.write_all(b"ls a\nls b\nls none\n").await.unwrap();
    for expected in [
        "x 600 2 unix:1 a\n",
        "xw 100 2 unix:2 a\n",
        "xw 99 2 unix:3 a\n",
        "s 1600 1 unix:1 ab\n",
        "sw 98 1 unix:4 ab\n",
        "\n",
        "x 600 0 unix:1 b\n",
        "\n",
        "\n",
    ] {
        assert_eq!(line(&mut holder).await, expected);
    }
    drop((first, second, third));
}

#[tokio::test(start_paused = true)]
async fn waits_that_are_refused_do_not_keep_others_from_their_turn() {
    let server = start(|config| config.machine.limits.waiters_per_name = 1);
    let mut holder = server.connect(4096);
    ask(&mut holder, "g x\n").await;
    let first = waiting(&server, "gw 3600000 x\n").await;
    let (mut crowd, mut other) = (server.connect(256 << 10), server.connect(4096));
    // Both are there before the server has its turn.
    crowd.write_all(&b"gw 1 x\n".repeat(2000)).await.unwrap();
    other.write_all(b"ping\n").await.unwrap();
    // A task of its own: this one has its turn less often than those of the server.
    let monitor = server.monitor.clone();
    let asking = tokio::spawn(async move {
        assert_eq!(line(&mut other).await, "1 pong\n");
        figure(&monitor, "queue_full")
    });
    let ran = asking.await.unwrap();
    assert!((1..=64).contains(&ran), "{ran} of 2000 ran before another's turn");
    for _ in 0..2000 {
        assert_eq!(line(&mut crowd).await, "0 Lock Get Queue Full: x\n");
    }
    drop(first);
}
