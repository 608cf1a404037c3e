//! `kick` and `steal`.

use crate::daemon::Daemon;
use crate::run;

#[test]
fn kick_closes_a_connection_by_its_registered_name() {
    let daemon = Daemon::start();
    let mut alice = daemon.client();
    assert_eq!(alice.ask("iam alice"), "1 ok");
    alice.get("a");
    assert_eq!(run(&mut daemon.elock(&["kick", "alice"])), (0, "kicked alice\n".to_owned(), String::new()));
    assert_eq!(alice.line(), "");
    daemon.until("a", false);
    let (status, out, _) = run(&mut daemon.elock(&["kick", "alice"]));
    assert_eq!((status, out.as_str()), (1, "nobody is connected as alice\n"));
    assert_eq!(run(&mut daemon.elock(&["kick", "alice", "--json"])).1, "{\"kicked\":0,\"who\":\"alice\"}\n");
}

#[test]
fn steal_takes_a_lock_of_either_kind() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.get("a");
    assert_eq!(client.ask("wg a"), "1 Write Lock Get Success: a");
    assert_eq!(run(&mut daemon.elock(&["steal", "a"])).1, "took a from its holder\n");
    assert_eq!(run(&mut daemon.elock(&["steal", "a"])), (1, "nobody holds a\n".to_owned(), String::new()));
    assert_eq!(
        run(&mut daemon.elock(&["steal", "a", "--write", "--json"])).1,
        "{\"name\":\"a\",\"stolen\":true}\n"
    );
    assert_eq!(
        (client.ask("f a"), client.ask("wf a")),
        ("0 Lock Not Held: a".into(), "0 Write Lock Not Held: a".into())
    );
}

#[test]
fn only_the_administrative_socket_is_for_operators() {
    let daemon = Daemon::start();
    let (status, _, err) = run(daemon.elock(&["kick", "alice"]).env("ELOCK_ADMIN", daemon.socket()));
    assert_eq!(status, 77);
    assert_eq!(
        err,
        "elock: the daemon refuses: `kick` needs the administrative listener, or an account that may say it\n"
    );
    let nowhere = daemon.folder().join("none");
    let (status, _, err) = run(daemon.elock(&["steal", "a"]).env("ELOCK_ADMIN", nowhere));
    assert!(status == 69 && err.contains("--admin PATH"), "{err}");
}
