//! Long work in slices: others have their turn between two of them. A task that only counts its polls looks at how far
//! the work has come. Nothing here looks at a clock.

use super::{Running, ask, start};
use elockd_server::Monitor;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, yield_now};

/// A client with this many sole locks.
async fn holder(server: &Running, locks: usize) -> DuplexStream {
    let mut client = server.connect(1 << 20);
    for name in 0..locks {
        assert!(ask(&mut client, &format!("g {name}\n")).await.starts_with('1'));
    }
    client
}

/// Holds that are dead and not swept yet.
fn dead_holds(monitor: &Monitor) -> u32 {
    let mut dead = 0;
    monitor.figures(|figures| dead = figures.dead_holds());
    dead
}

/// A task that looks each time it is polled, until nothing is left to be swept. Returns what it saw.
fn watch(monitor: Monitor) -> JoinHandle<Vec<u32>> {
    tokio::spawn(async move {
        let mut seen = vec![dead_holds(&monitor)];
        while seen.last() != Some(&0) {
            yield_now().await;
            seen.push(dead_holds(&monitor));
        }
        seen
    })
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turn_after_each_slice_of_a_sweep() {
    const LOCKS: u32 = 5000;
    const SLICE: u32 = 100;
    let server = start(|config| config.machine.storage.sweep_slice = SLICE);
    let client = holder(&server, LOCKS as usize).await;
    drop(client);
    while dead_holds(&server.monitor) == 0 {
        yield_now().await;
    }
    let seen = watch(server.monitor.clone()).await.unwrap();
    assert!(seen[0] >= LOCKS - 3 * SLICE, "{} are left to be swept", seen[0]);
    // A turn of the watcher may come after two: the ticker's place among the tasks changes.
    let most = seen.windows(2).map(|pair| pair[0] - pair[1]).max();
    assert!(most <= Some(2 * SLICE), "{most:?} were swept before another's turn");
}

/// Goal: a listing lets others have their turn after each slice that it reads, and after each piece that it writes.
/// Method: other clients' requests, one after the other, are answered in between.
#[tokio::test(start_paused = true)]
async fn others_have_their_turn_after_each_slice_of_a_listing() {
    for request in ["d\n", "dump\n", "ls\n"] {
        let server = start(|config| config.machine.storage.scan_slice = 10);
        let mut client = holder(&server, 1000).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut other = server.connect(4096);
        let listing = tokio::spawn(async move {
            // The last name is the last line of `d` and `ls`, and `dump` is one line.
            while !super::line(&mut client).await.contains("999") {}
            client
        });
        let mut answered = 0;
        while !listing.is_finished() {
            assert_eq!(ask(&mut other, "ping\n").await, "1 pong\n");
            answered += 1;
        }
        listing.await.unwrap();
        // 100 slices. The asking task and the server's have their turns one after the other.
        assert!(answered >= 25, "{request:?}: {answered} answers meanwhile");
    }
}
