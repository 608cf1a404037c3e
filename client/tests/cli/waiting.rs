//! `wait`.

use crate::daemon::Daemon;
use crate::run;
use std::thread;

#[test]
fn wait_ends_with_the_hold_and_gets_nothing() {
    let daemon = Daemon::start();
    assert_eq!(run(&mut daemon.elock(&["wait", "a"])), (0, String::new(), String::new()), "nobody holds it");
    let mut client = daemon.client();
    client.get("a");
    let mut command = daemon.elock(&["wait", "a"]);
    let waiting = thread::spawn(move || run(&mut command));
    let mut watcher = daemon.client();
    crate::poll("elock to wait", || {
        watcher.ask_rows("ls a").iter().any(|row| row.starts_with("xe ")).then_some(())
    });
    assert!(!waiting.is_finished());
    assert_eq!(client.ask("r a"), "1 Lock Release Success: a");
    assert_eq!(waiting.join().unwrap(), (0, String::new(), String::new()));
    daemon.until("a", false);
}

#[test]
fn wait_has_an_end() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.get("a");
    assert_eq!(client.ask("sg b"), "1 Shared Lock Get Success: b");
    for words in [&["wait", "a", "-w", "0.01"][..], &["wait", "b", "-s", "-w", "0"]] {
        let (status, _, err) = run(&mut daemon.elock(words));
        assert_eq!((status, err), (75, format!("elock: {} is still held\n", words[1])));
    }
    assert_eq!(run(&mut daemon.elock(&["wait", "b"])).0, 0, "nobody has the exclusive lock of that name");
}
