//! Sockets whose connection has ended: how long they stay, and which of them make room for others.

use super::{ask, line, rest, start};
use elockd_server::Config;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

/// Room for a part of one reply of `q`.
const TINY: usize = 64;
const NO_WRITE_TIMEOUT: fn(&mut Config) = |config| config.write_timeout = None;

/// How long it takes until a write fails because the other side has closed. It reads nothing.
async fn time_until_closed(stream: &mut DuplexStream) -> Duration {
    let begin = Instant::now();
    let closed = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_hours(1), closed).await.expect("the server closes");
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_others_end_has_a_second_for_its_last_replies() {
    let server = start(|config| {
        config.write_timeout = Some(Duration::from_secs(15));
        config.machine.limits.idle_ms = 5000;
    });
    let mut stuck = server.connect(TINY);
    stuck.write_all(b"q\nq\nq\n").await.unwrap();
    sleep(Duration::from_millis(5_500)).await;
    let elapsed = time_until_closed(&mut stuck).await;
    assert!(elapsed >= Duration::from_millis(490) && elapsed <= Duration::from_millis(510), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_is_for_the_last_replies_and_the_lingering_together() {
    let server = start(|config| config.machine.limits.idle_ms = 5000);
    let mut slow = server.connect(TINY);
    slow.write_all(b"q\n").await.unwrap();
    sleep(Duration::from_millis(5_600)).await;
    // All is sent now, and FIN comes. It does not close.
    assert!(rest(&mut slow).await.ends_with('\n'));
    let elapsed = time_until_closed(&mut slow).await;
    assert!(elapsed >= Duration::from_millis(390) && elapsed <= Duration::from_millis(410), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ended_its_side_or_said_quit_gets_all_its_replies_however_slowly() {
    for says_quit in [false, true] {
        let server = start(|config| config.write_timeout = Some(Duration::from_secs(15)));
        let mut client = server.connect(TINY);
        client.write_all(b"q\nq\nq\n").await.unwrap();
        if says_quit {
            client.write_all(b"quit\n").await.unwrap();
        } else {
            client.shutdown().await.unwrap();
        }
        let mut replies = Vec::new();
        loop {
            sleep(Duration::from_secs(14)).await;
            let mut piece = [0; TINY];
            let count = client.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            replies.extend_from_slice(&piece[..count]);
        }
        let replies = String::from_utf8(replies).unwrap();
        assert_eq!(replies.matches("\n\n").count(), 3, "quit: {says_quit}, {replies}");
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_their_bound_the_oldest_that_ended_is_dropped() {
    let server = start(|config| {
        NO_WRITE_TIMEOUT(config);
        config.max_closing = 2;
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect(TINY);
        client.write_all(b"q\nq\n").await.unwrap();
        client.shutdown().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        clients.push(client);
    }
    assert_eq!((server.monitor.closing_sockets(), server.monitor.closing_sockets_dropped()), (2, 1));
    let mut replies = Vec::new();
    for client in &mut clients {
        replies.push(rest(client).await);
    }
    let are_whole: Vec<bool> = replies.iter().map(|replies| replies.ends_with("\n\n")).collect();
    assert_eq!(are_whole, [false, true, true], "{replies:?}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!((server.monitor.closing_sockets(), server.monitor.closing_sockets_dropped()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_ended_makes_room_for_one_that_comes() {
    let server = start(|config| {
        NO_WRITE_TIMEOUT(config);
        config.max_sockets = 2;
        config.machine.limits.connections = 2;
    });
    let mut ended = server.connect(TINY);
    ended.write_all(b"q\nq\n").await.unwrap();
    ended.shutdown().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let mut clients = [server.connect(4096), server.connect(4096)];
    for client in &mut clients {
        assert_eq!(ask(client, "ping\n").await, "1 pong\n");
    }
    assert!(!rest(&mut ended).await.ends_with("\n\n"));
    assert_eq!((server.monitor.closing_sockets(), server.monitor.closing_sockets_dropped()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_closed_at_once_if_there_is_no_place_and_a_second_later_if_there_is() {
    for (sockets, expected_ms) in [(1, 0), (2, 1000)] {
        let server = start(|config| {
            config.max_sockets = sockets;
            config.machine.limits.connections = 1;
        });
        let mut client = server.connect(4096);
        assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
        let mut refused = server.connect(4096);
        refused.write_all(b"g a\n").await.unwrap();
        let begin = Instant::now();
        assert_eq!(line(&mut refused).await, "0 Too Many Connections\n");
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(rest(&mut refused).await, "");
        let elapsed = time_until_closed(&mut refused).await.as_millis();
        assert!((expected_ms..=expected_ms + 10).contains(&elapsed), "{sockets} sockets: {elapsed} ms");
        assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_clients_take_no_place_from_one_that_is_owed_replies() {
    let server = start(|config| {
        NO_WRITE_TIMEOUT(config);
        config.max_closing = 2;
        config.machine.limits.connections = 1;
    });
    let mut ended = server.connect(TINY);
    ended.write_all(b"q\nq\n").await.unwrap();
    ended.shutdown().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "ping\n").await, "1 pong\n");
    let mut refused: Vec<_> = (0..10).map(|_| server.connect(4096)).collect();
    for client in &mut refused {
        assert_eq!(line(client).await, "0 Too Many Connections\n");
    }
    assert_eq!((server.monitor.closing_sockets(), server.monitor.closing_sockets_dropped()), (2, 9));
    assert!(rest(&mut ended).await.ends_with("\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_drops_nobody_to_make_room() {
    let server = start(|config| {
        NO_WRITE_TIMEOUT(config);
        config.max_closing = 1;
    });
    let mut clients = [(); 3].map(|()| (server.connect(4096), Vec::new()));
    for (client, _) in &mut clients {
        // So much that the FIN is read when some of the replies are taken.
        client.write_all(&b"help\n".repeat(200)).await.unwrap();
        client.shutdown().await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.monitor.closing_sockets(), 0);
    server.stop.send(()).unwrap();
    let mut ends = 0;
    while ends < clients.len() {
        ends = 0;
        for (client, replies) in &mut clients {
            let mut piece = [0; 1024];
            let count = client.read(&mut piece).await.unwrap();
            replies.extend_from_slice(&piece[..count]);
            ends += usize::from(count == 0);
        }
    }
    for (_, replies) in clients {
        assert!(replies.len().is_multiple_of(200), "200 times the same");
        assert!(replies.chunks(replies.len() / 200).all(|reply| reply.ends_with(b"\n")));
    }
    server.done.await.unwrap();
}
