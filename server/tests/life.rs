//! Goal: the daemon lives as one expects of a daemon: one of a pidfile, a log that can be moved away, settings
//! that can be read again, and words about what happens. Method: start it, send it signals, read its files.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, lines, poll, program};
use tempfile::TempDir;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until a file has this in it.
fn wait_for(path: &Path, text: &str) {
    poll(&format!("{text:?} in {}", path.display()), PATIENCE, || read(path).contains(text).then_some(()));
}

/// A daemon on a Unix socket alone, and the path of that.
fn on_socket(flags: &[&str]) -> (Daemon, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("own.sock");
    let mut command = program();
    command.args(["--port", "0", "--unix"]).arg(&socket).args(flags);
    let daemon = Daemon::spawn(command, dir);
    poll("the socket to answer", PATIENCE, || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())
    });
    (daemon, socket)
}

#[test]
fn a_pidfile_has_the_process_id_and_is_removed_at_the_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pid");
    let mut daemon = Daemon::start(&["--pidfile", path.to_str().unwrap()]);
    assert_eq!(read(&path), format!("{}\n", daemon.pid()));
    // Whoever may read it may lock it.
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.stop();
    assert!(!path.exists());
}

#[test]
fn two_daemons_cannot_share_a_pidfile() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pid");
    let flags = ["--pidfile", path.to_str().unwrap()];
    let first = Daemon::start(&flags);
    let mut command = program();
    command.args(flags).args(["--listen", "127.0.0.1:0"]);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("locked by another daemon, process {}", first.pid())), "{log}");
    assert!(!log.contains("listening"), "it did not get that far: {log}");
    assert_eq!(read(&path), format!("{}\n", first.pid()), "the first one's file is as it was");
    assert_eq!(first.unix().ask("ping"), "1 pong");
}

#[test]
fn a_pidfile_that_a_killed_daemon_left_is_taken_over() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pid");
    let flags = ["--pidfile", path.to_str().unwrap()];
    Daemon::start(&flags).kill();
    assert!(path.exists());
    let daemon = Daemon::start(&flags);
    assert_eq!(read(&path), format!("{}\n", daemon.pid()));
}

#[test]
fn a_pidfile_that_is_something_else_ends_the_start_and_is_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--pidfile"]).arg(&path);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("precious is no pidfile"), "{log}");
    assert_eq!(read(&path), "data");
}

#[test]
fn a_log_file_is_nothing_for_everybody() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    // A umask that takes nothing away.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_elockd")]);
    command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(&log);
    let daemon = Daemon::spawn(command, dir);
    wait_for(&log, "listening on");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o640);
    drop(daemon);
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_anew_on_hangup() {
    let dir = TempDir::new().unwrap();
    let (log, old) = (dir.path().join("log"), dir.path().join("log.1"));
    let (mut daemon, socket) = on_socket(&["--log-file", log.to_str().unwrap()]);
    wait_for(&log, "listening on unix");
    std::fs::rename(&log, &old).unwrap();
    daemon.signal(Signal::HUP);
    wait_for(&log, "reloaded on SIGHUP, 0 settings changed");
    assert_eq!(Client::unix(&socket).ask("ping"), "1 pong");
    daemon.signal(Signal::TERM);
    let (status, stderr) = daemon.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""), "nothing of it is on stderr");
    assert!(read(&log).contains("shut down") && !read(&old).contains("shut down"));
}

#[test]
fn a_start_that_fails_says_why_on_stderr_too() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let mut command = program();
    command.args(["--listen", "203.0.113.1:1", "--log-file", log.to_str().unwrap()]);
    let (status, stderr) = Daemon::spawn(command, dir).wait();
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("cannot listen on tcp 203.0.113.1:1"), "{stderr}");
}

#[test]
fn a_log_file_that_cannot_be_opened_ends_the_start() {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--log-file", "/nowhere/log"]);
    let (status, stderr) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("cannot open the log file /nowhere/log"), "{stderr}");
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    let mut daemon = Daemon::start(&["--log-format", "json"]);
    daemon.stop();
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "no {key} in {line}");
        }
    }
    assert!(daemon.log().contains("\"message\":\"shut down\""), "{}", daemon.log());
}

/// Goal: a program that reads the log need not take sentences apart. Method: what a client does and holds, by fields.
#[test]
fn a_json_log_has_fields_for_what_a_line_is_about() {
    let daemon = Daemon::start(&["--log-format", "json", "--verbose", "--warn-held", "1s"]);
    let mut client = daemon.unix();
    let address = client.address();
    client.send("g a \"b\" lock=c\u{1b}\nsg s\niam worker 1\n");
    (0..3).for_each(|_| drop(client.line()));
    daemon.wait_for_log("shared lock \\\"s\\\" has been held for");
    drop(client);
    daemon.wait_for_log("orphaned shared lock");
    let log = daemon.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |what: &str| {
        let mut found = lines.iter().filter(|line| line["message"].as_str().unwrap().contains(what));
        found.next().unwrap_or_else(|| panic!("no {what} in {log}"))
    };
    let name = "a \\\"b\\\" lock=c\\x1b";
    for (what, lock, kind) in [
        ("got lock", name, "exclusive"),
        ("got shared lock", "s", "shared"),
        ("shared lock \"s\" has been held", "s", "shared"),
        ("orphaned lock", name, "exclusive"),
    ] {
        let line = of(what);
        assert_eq!((&line["lock"], &line["kind"]), (&lock.into(), &kind.into()), "{line}");
        assert_eq!(line["addr"], address, "{line}");
    }
    assert_eq!(of("is called")["registered"], "worker 1");
    assert_eq!(of("disconnected")["cause"], "eof");
    let overdue = of("has been held for");
    assert!(overdue["age_ms"].as_u64().is_some_and(|age_ms| age_ms >= 1000), "{overdue}");
    assert_eq!(overdue["registered"], "worker 1");
}

#[test]
fn a_log_of_warnings_has_those_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut command = program();
    // A thing that it warns of.
    command.env("ELOCKD_MAX_LOKCS", "1");
    command.args(["--log-level", "warn", "--port", "0", "--unix"]).arg(dir.path().join("own.sock"));
    let mut daemon = Daemon::spawn(command, dir);
    daemon.wait_for_log("ELOCKD_MAX_LOKCS");
    let socket = daemon.folder().join("own.sock");
    poll("the socket to answer", PATIENCE, || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())
    });
    daemon.stop();
    let log = daemon.log();
    assert!(log.lines().count() > 0 && log.lines().all(|line| line.contains(" WARN ")), "{log}");
}

#[test]
fn hangup_changes_what_can_be_changed_and_names_what_cannot() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.toml");
    std::fs::write(&path, "max-listing-bytes = 1000\n").unwrap();
    let daemon = Daemon::start(&["--config", path.to_str().unwrap()]);
    let mut client = daemon.unix();
    client.send("g a\niam me\n");
    client.expect("1 Lock Get Success: a\n1 ok\n");
    client.send("d\n");
    client.expect("a: me\n\n");

    std::fs::write(&path, "max-listing-bytes = 3\nmax-locks = 7\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("changed max-listing-bytes from 1000 to 3");
    daemon.wait_for_log("not changed until the next start: max-locks from 1000000 to 7");
    client.send("d\n");
    client.expect("0 Too Large\n\n");
    assert_eq!(client.figure("limit_locks"), 1_000_000);

    std::fs::write(&path, "max-listing-bytes = nonsense\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("reloaded nothing, the settings are wrong");
    assert_eq!(client.ask("i a"), "1 Lock Is Locked: a", "it goes on, with what it held");
    client.send("d\n");
    client.expect("0 Too Large\n\n");
}

#[test]
fn a_hangup_says_what_it_changes_if_the_old_level_or_the_new_one_shows_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.toml");
    std::fs::write(&path, "").unwrap();
    let daemon = Daemon::start(&["--config", path.to_str().unwrap()]);
    for (from, to) in [("info", "error"), ("error", "info"), ("info", "warn")] {
        std::fs::write(&path, format!("log-level = \"{to}\"\n")).unwrap();
        daemon.signal(Signal::HUP);
        daemon.wait_for_log(&format!("changed log-level from {from} to {to}"));
    }
    // What it says of the next change, only the old level would hide.
    let lines = daemon.log().lines().count();
    std::fs::write(&path, "log-level = \"warn\"\nmax-listing-bytes = 1\nmax-locks = 1\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("not changed until the next start: max-locks");
    assert_eq!(daemon.log().lines().count(), lines + 1, "{}", daemon.log());
}

#[test]
fn a_new_log_file_that_cannot_be_opened_is_not_changed_to_and_the_old_one_is_opened_anew() {
    let dir = TempDir::new().unwrap();
    let (config, log) = (dir.path().join("elockd.toml"), dir.path().join("log"));
    let (old, wanted) = (dir.path().join("log.1"), dir.path().join("folder/log"));
    std::fs::write(&config, format!("log-file = {log:?}\nmax-listing-bytes = 1\n")).unwrap();
    let (daemon, _socket) = on_socket(&["--config", config.to_str().unwrap()]);
    wait_for(&log, "listening on unix");

    std::fs::rename(&log, &old).unwrap();
    std::fs::write(&config, format!("log-file = {wanted:?}\nmax-listing-bytes = 2\n")).unwrap();
    daemon.signal(Signal::HUP);
    let refused =
        format!("not changed, for the reason above: log-file from {} to {}", log.display(), wanted.display());
    wait_for(&log, &refused);
    let text = read(&log);
    assert!(text.contains(&format!("cannot open the log file {}", wanted.display())), "{text}");
    assert!(
        text.contains("1 settings changed") && text.contains("changed max-listing-bytes from 1 to 2"),
        "{text}"
    );
    assert!(!text.contains(" changed log-file"), "{text}");

    // With the folder there, it is a change like any other.
    std::fs::create_dir(wanted.parent().unwrap()).unwrap();
    daemon.signal(Signal::HUP);
    wait_for(&wanted, &format!("changed log-file from {} to {}", log.display(), wanted.display()));
}

#[test]
fn a_verbose_daemon_tells_what_each_connection_does() {
    let mut daemon = Daemon::start(&["-verbose"]);
    let mut client = daemon.unix();
    let address = client.address();
    client.send("g a\ng a\nsg b\nr a\nr a\ng a\u{1b}c\niam cron\nbogus\ng d\n");
    (0..9).for_each(|_| drop(client.line()));
    let mut other = daemon.tcp();
    assert_eq!(other.ask("g d"), "0 Lock Get Failure: d");
    let other_address = other.address();
    drop(client);
    daemon.wait_for_log(&format!("{address} orphaned shared lock \"b\""));
    daemon.stop();
    let own: Vec<String> = daemon
        .log()
        .lines()
        .filter_map(|line| line.split_once(&format!("{address} ")).map(|(_, what)| what.to_owned()))
        .collect();
    let expected = [
        "connected",
        "got lock \"a\"",
        "got shared lock \"b\"",
        "released lock \"a\"",
        "got lock \"a\\x1bc\"",
        "is called \"cron\"",
        "sent an unknown command \"bogus\"",
        "got lock \"d\"",
        "disconnected (eof)",
        "orphaned lock \"a\\x1bc\"",
        "orphaned lock \"d\"",
        "orphaned shared lock \"b\"",
    ];
    assert_eq!(own, expected);
    let log = daemon.log();
    assert!(log.contains(&format!("{other_address} connected")), "{log}");
    assert!(log.contains(&format!("{other_address} disconnected (shutdown)")), "{log}");
    assert!(!log.contains(&format!("{other_address} got")), "a get that failed is none: {log}");
}

#[test]
fn a_verbose_daemon_answers_a_pipeline_like_any_other() {
    let daemon = Daemon::start(&["--verbose"]);
    let mut client = daemon.unix();
    client.send(lines("g ", 0..500));
    client.send("q\ndump\nquit\n");
    (0..500).for_each(|name| client.expect(format!("1 Lock Get Success: {name}\n")));
    assert!(client.lines().contains(&"locks: 500".to_owned()));
    assert!(client.line().starts_with("map[0:unix:"));
    client.expect_end();
    daemon.wait_for_log("orphaned lock \"499\"");
}

#[test]
fn a_daemon_says_nothing_of_its_clients_unless_it_is_told_to() {
    for (flags, is_told) in [(&[][..], false), (&["--verbose"], true)] {
        let mut daemon = Daemon::start(flags);
        assert_eq!(daemon.unix().ask("g secret"), "1 Lock Get Success: secret");
        daemon.stop();
        for word in ["secret", "connected"] {
            assert_eq!(daemon.log().contains(word), is_told, "{word}: {}", daemon.log());
        }
    }
}

#[test]
fn verbosity_can_be_switched_on_for_connections_that_come_after() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.toml");
    std::fs::write(&path, "").unwrap();
    let daemon = Daemon::start(&["--config", path.to_str().unwrap()]);
    let mut before = daemon.unix();
    assert_eq!(before.ask("g before"), "1 Lock Get Success: before");
    std::fs::write(&path, "verbose = true").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("changed verbose from false to true");
    assert_eq!(before.ask("r before"), "1 Lock Release Success: before");
    let mut after = daemon.unix();
    assert_eq!(after.ask("g after"), "1 Lock Get Success: after");
    daemon.wait_for_log("got lock \"after\"");
    assert!(!daemon.log().contains("before"), "{}", daemon.log());
}

#[test]
fn a_lock_that_is_held_for_long_is_warned_of_once() {
    let daemon = Daemon::start(&["--warn-held", "1s"]);
    let mut holder = daemon.unix();
    let address = holder.address();
    holder.send("g long\nsg long\niam worker\ng short\nr short\n");
    (0..5).for_each(|_| drop(holder.line()));
    let line = daemon.wait_for_log(" lock \"long\" has been held for");
    assert!(line.contains(&format!("by {address} (\"worker\")")) && line.contains("WARN"), "{line}");
    daemon.wait_for_log("shared lock \"long\" has been held for");
    // Two more walks, of which a younger lock is the sign.
    let mut other = daemon.unix();
    assert_eq!(other.ask("g younger"), "1 Lock Get Success: younger");
    daemon.wait_for_log("lock \"younger\" has been held for");
    std::thread::sleep(Duration::from_secs(1));
    let log = daemon.log();
    assert_eq!(log.matches(" has been held for").count(), 3, "{log}");
    assert!(!log.contains("lock \"short\""), "{log}");
}
