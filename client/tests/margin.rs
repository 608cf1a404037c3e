//! Goal: when the network falls silent, a guard tells that its lock is lost seconds before the daemon can give the lock
//! to somebody else, with the real kernel's idea of silence on both sides. Method: two network namespaces joined by a
//! virtual cable, the daemon in one, a client in the other, each in a process of its own. Packets from the client are
//! made to vanish. An observer at the daemon's Unix socket, which no namespace separates, asks for the lock until it
//! gets it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "support/network.rs"]
mod network;

use elockd_client::{Client, LOST_AFTER, PEER_TIMEOUT};
use network::{DAEMON_IP, Network, Process, SOCKET, say, serve};
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "no test, but the daemon of the other one"]
async fn the_daemon() {
    serve().await;
}

#[tokio::test]
#[ignore = "no test, but the client of the other one"]
async fn the_client() {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let client = Client::connect(DAEMON_IP).await.unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    say("margin: held");
    let lost = guard.lost().await;
    say(&format!("margin: lost {lost:?}"));
}

/// The daemon's silence begins with the last packet of the client, which is up to 2 s older than the cut.
#[test]
fn a_silent_loss_is_told_before_the_daemon_gives_the_lock_away() {
    let network = match Network::build() {
        Ok(network) => network,
        Err(reason) => return eprintln!("SKIPPED: no network namespaces: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("locks").to_str().unwrap().to_owned();
    let mut daemon = Process::start(&network.daemon, "the_daemon", &socket);
    daemon.says("margin: listening");
    let mut client = Process::start(&network.client, "the_client", &socket);
    client.says("margin: held");
    let (told, is_told) = std::sync::mpsc::channel();
    let teller = std::thread::spawn(move || {
        let lost = client.says("margin: lost ");
        told.send((Instant::now(), lost)).unwrap();
        client
    });

    network.cut();
    let cut = Instant::now();
    let observer = elockd_client::blocking::connect(&socket).unwrap();
    let guard = observer.lock("a").get().unwrap();
    let freed = Instant::now();
    let (lost_at, lost) = is_told.recv().unwrap();
    drop(teller.join().unwrap());
    let (lost_after, freed_after) = (lost_at - cut, freed - cut);
    eprintln!("margin: {lost} after {lost_after:.1?}, and the lock was free after {freed_after:.1?}");
    assert_eq!(lost, "Silent");
    assert!(lost_at < freed, "the guard tells first");
    assert!(freed_after + Duration::from_secs(2) >= PEER_TIMEOUT, "the daemon waits for as long as it says");
    assert!(lost_after + Duration::from_secs(2) >= LOST_AFTER, "it is not lost too early");
    guard.release().unwrap();
}
