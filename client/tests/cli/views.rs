//! `ls`, `inspect`, `who`, `stats` and `ping`.

use crate::daemon::{Daemon, elock};
use crate::{Guarded, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn ls_shows_holders_and_who_waits() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.client(), daemon.client());
    assert_eq!(alice.ask("iam alice"), "1 ok");
    alice.get("deploy");
    bob.send("gw 600000 deploy");
    daemon.until_waiters("deploy", 1);

    let (status, out, err) = run(&mut daemon.elock(&["ls"]));
    assert_eq!((status, err.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = out.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "LOCK", "STATE", "FOR", "WHO"]);
    assert_eq!(rows[1][..3], ["deploy", "exclusive", "held"]);
    assert_eq!(rows[1][5], "alice");
    assert_eq!(rows[2][..3], ["deploy", "exclusive", "waits"]);
    assert_eq!(rows.len(), 3);
    assert!(!out.contains('\x1b'), "no colours in a pipe");

    let (_, out, _) = run(&mut daemon.elock(&["ls", "--json"]));
    let rows = json_of(&out);
    assert_eq!(rows[0]["registered"], "alice");
    assert_eq!((&rows[0]["role"], &rows[1]["role"]), (&json!("holds"), &json!("waits")));
    assert_eq!((&rows[0]["waiters"], &rows[1]["registered"]), (&json!(1), &Value::Null));
    assert_eq!(json_of(&run(&mut daemon.elock(&["ls", "other", "--json"])).1), json!([]));
}

#[test]
fn a_name_that_is_no_text_is_escaped_for_people_and_whole_in_json() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.get(b"\x1b[2J\xff");
    let (_, out, _) = run(&mut daemon.elock(&["ls"]));
    assert!(out.contains("\\x1b[2J\\xff") && !out.contains('\x1b'), "{out}");
    let (_, out, _) = run(&mut daemon.elock(&["ls", "--json"]));
    assert_eq!(json_of(&out)[0]["name"], json!([27, 91, 50, 74, 255]));
}

#[test]
fn inspect_tells_one_lock_and_its_status_whether_it_is_held() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    assert_eq!(run(&mut daemon.elock(&["inspect", "a"])), (1, "a is free\n".to_owned(), String::new()));
    client.get("a");
    client.get("ab");
    assert_eq!(client.ask("sg a"), "1 Shared Lock Get Success: a");
    let (status, out, _) = run(&mut daemon.elock(&["inspect", "a"]));
    assert!(
        status == 0 && out.starts_with("a is held\na is shared by 1\n  exclusive: held by 127.0.0.1:"),
        "{out}"
    );
    let (_, out, _) = run(&mut daemon.elock(&["inspect", "a", "--json"]));
    let json = json_of(&out);
    assert_eq!(json["holders"], json!({"exclusive": 1, "shared": 1, "read": 0, "write": 0}));
    assert_eq!(json["rows"].as_array().unwrap().len(), 2, "the rows of ab are not among them");
}

#[test]
fn inspect_needs_no_listing() {
    let daemon = Daemon::start_with(|config| config.machine.features.dump = false);
    daemon.client().get("a");
    let mut client = daemon.client();
    client.get("b");
    assert_eq!(run(&mut daemon.elock(&["inspect", "b"])), (0, "b is held\n".to_owned(), String::new()));
    let (status, out, err) = run(&mut daemon.elock(&["ls"]));
    assert_eq!((status, out.as_str()), (77, ""));
    assert_eq!(err, "elock: the daemon refuses: this request is switched off\n");
}

#[test]
fn who_lists_registered_names() {
    let daemon = Daemon::start();
    let (mut alice, mut bob) = (daemon.client(), daemon.client());
    assert_eq!((alice.ask("iam alice"), bob.ask("iam bob: v2")), ("1 ok".to_owned(), "1 ok".to_owned()));
    let (_, out, _) = run(&mut daemon.elock(&["who"]));
    assert_eq!(out.lines().count(), 3);
    let (_, out, _) = run(&mut daemon.elock(&["who", "bob: v2", "--json"]));
    assert_eq!(json_of(&out)[0]["registered"], "bob: v2");
    assert_eq!(json_of(&out).as_array().unwrap().len(), 1);
}

#[test]
fn stats_are_all_or_chosen() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.get("a");
    let (_, out, _) = run(&mut daemon.elock(&["stats"]));
    assert!(out.lines().any(|line| line.split_whitespace().eq(["locks", "1"])), "{out}");
    assert_eq!(run(&mut daemon.elock(&["stats", "locks"])).1, "1\n");
    let (_, out, _) = run(&mut daemon.elock(&["stats", "version", "locks", "--json"]));
    assert_eq!(json_of(&out), json!({"version": "1.2.3", "locks": 1}));
    let (status, _, err) = run(&mut daemon.elock(&["stats", "nonsense"]));
    assert_eq!(status, 64);
    assert!(err.contains("nonsense"), "{err}");
}

#[test]
fn a_page_is_shown_again_and_again() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let mut command = daemon.elock(&["ls", "--json", "--watch=0.01"]);
    let mut watching = Guarded(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "[]");
    client.get("a");
    assert!(lines.any(|line| line.contains("\"name\":\"a\"")));
}

#[test]
fn ping_tells_a_daemon_from_none() {
    let mut daemon = Daemon::start();
    let (status, out, _) = run(&mut daemon.elock(&["ping"]));
    assert!(status == 0 && out.starts_with(&format!("{} answered in ", daemon.address())), "{out}");
    let socket = format!("unix:{}", daemon.socket().display());
    assert_eq!(run(&mut daemon.elock(&["ping", "--server", &socket])).0, 0);
    let both = format!("127.0.0.1:1,{}", daemon.address());
    assert_eq!(run(daemon.elock(&["ping"]).env("ELOCK_SERVER", both)).0, 0, "the second one answers");
    daemon.stop();
    let (status, out, err) = run(&mut daemon.elock(&["ping"]));
    assert_eq!((status, out.as_str()), (69, ""));
    assert!(err.starts_with("elock: no daemon can be reached; 127.0.0.1:"), "{err}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for words in [
        &["nonsense"][..],
        &[],
        &["ls", "--nonsense"],
        &["ls", "--server", "a:b"],
        &["ls", "a\nb"],
        &["ls", "--watch=soon"],
        &["ls", "--config", "/nowhere/elock.toml"],
    ] {
        let (status, _, err) = run(&mut elock(words));
        assert!(status == 64 && !err.is_empty(), "{words:?}: {status} {err}");
    }
    assert_eq!(run(&mut elock(&["--help"])).0, 0);
    assert_eq!(run(&mut elock(&["--version"])).1, format!("elock {}\n", env!("CARGO_PKG_VERSION")));
}
