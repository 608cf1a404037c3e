//! Goal: the programs of the page about clients are as the page shows them, and they run. Method: the page is compared
//! with the examples, and each example is run against a daemon, with the lock free and with the lock held.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_client::blocking;
use elockd_server::listen::{TcpListener, TcpOptions};
use elockd_server::{Config, Server};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

const EXAMPLES: [(&str, &str); 4] = [
    ("backup", include_str!("../examples/backup.rs")),
    ("without_async", include_str!("../examples/without_async.rs")),
    ("in_a_cluster", include_str!("../examples/in_a_cluster.rs")),
    ("kinds", include_str!("../examples/kinds.rs")),
];

/// The address of a daemon that runs as long as this process.
fn daemon() -> String {
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tcp =
                TcpListener::bind("127.0.0.1:0".parse().unwrap(), TcpOptions { peer_timeout: None }).unwrap();
            ready.send(tcp.address().to_string()).unwrap();
            let server = Server::new(Config::default());
            server.listen(tcp);
            server.run(std::future::pending()).await;
        });
    });
    is_ready.recv().unwrap()
}

/// What an example prints.
fn run(example: &str, server: &str) -> String {
    run_with(example, &[server])
}

fn run_with(example: &str, servers: &[&str]) -> String {
    // Cargo builds the examples before it runs a test, beside the folder of the tests.
    let tests: PathBuf = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(example);
    let output = Command::new(program).args(servers).output().unwrap();
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    let page = include_str!("../../docs/clients.md");
    let blocks: Vec<&str> =
        page.split("```rust\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(blocks, EXAMPLES.map(|(_, text)| text));
}

#[test]
fn the_examples_do_what_they_say() {
    let server = daemon();
    assert_eq!(run("backup", &server), "backing up, with a token: true\n");
    assert_eq!(run("without_async", &server), "part 0\npart 1\npart 2\n");
    assert_eq!(run_with("in_a_cluster", &["127.0.0.1:1", &server]), format!("held, by way of {server}\n"));
    assert_eq!(run("kinds", &server), "card 0\n2 locks\nled: true\n");

    let client = blocking::connect(&server).unwrap();
    assert!(client.list("").unwrap().iter().all(|row| row.lock == b"mails"), "only the rate lingers");
    let guard = client.lock("backup").named("alice").try_now().unwrap();
    let told = run("without_async", &server);
    assert!(told.starts_with("alice (127.0.0.1:") && told.ends_with(") is at it\n"), "{told}");
    assert_eq!(run("backup", &server), "somebody else is at it\n");
    guard.release().unwrap();
}
