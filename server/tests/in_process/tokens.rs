//! The start: nobody is served before there are fencing tokens, and nobody waits for long for those that cannot be had.

use super::{Running, ask, line, run};
use elockd_server::tokens::{Reserving, TokenSource};
use elockd_server::{Config, Server};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

/// A disk that takes its time, and has tokens then or not.
struct Slow {
    takes: Duration,
    is_full: bool,
}

impl TokenSource for Slow {
    fn reserve(&mut self) -> Reserving<'_> {
        Box::pin(async {
            sleep(self.takes).await;
            if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(100..=199) }
        })
    }
}

fn start(takes: Duration, is_full: bool) -> Running {
    run(Server::new(Config::default()).tokens_from(Slow { takes, is_full }))
}

/// Asks for a lock and its token at once: when the answer comes, and what it says of the token.
async fn first_answer(server: &Running) -> (Duration, String) {
    let begin = Instant::now();
    let mut client = server.connect(4096);
    client.write_all(b"g a\nf a\n").await.unwrap();
    assert_eq!(line(&mut client).await, "1 Lock Get Success: a\n");
    (begin.elapsed(), line(&mut client).await)
}

#[tokio::test(start_paused = true)]
async fn the_first_client_is_served_when_there_are_tokens() {
    let server = start(Duration::from_secs(3), false);
    assert_eq!(first_answer(&server).await, (Duration::from_secs(3), "100 Lock Fence: a\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_nobody_from_a_lock() {
    let server = start(Duration::ZERO, true);
    let (elapsed, token) = first_answer(&server).await;
    assert!(elapsed < Duration::from_millis(5), "{elapsed:?}");
    assert_eq!(token, "0 No Tokens\n");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_keeps_nobody_from_a_lock_for_more_than_five_seconds() {
    let server = start(Duration::from_hours(1), false);
    assert_eq!(first_answer(&server).await, (Duration::from_secs(5), "0 No Tokens\n".to_owned()));
    sleep(Duration::from_hours(1)).await;
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "g b\n").await, "1 Lock Get Success: b\n");
    assert_eq!(ask(&mut client, "f b\n").await, "100 Lock Fence: b\n", "late is better than never");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_disk_that_hangs() {
    let server = start(Duration::from_hours(1), false);
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
