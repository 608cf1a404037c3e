//! Goal: settings mean the same wherever they are made, the stronger place wins, and what is wrong is refused
//! by name before anything happens. Method: run the program with flags, environment and files, mostly with
//! `--check-config`, and read what it says.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;
use support::{Daemon, Guard, PATIENCE, document, program};
use tempfile::TempDir;

/// A way to make a setting: flags, variables, and the words of a complaint about it.
type Way<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Runs it to its end: the status, what it printed, and what it complained of.
fn run(flags: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = program();
    command.args(flags).envs(environment.iter().copied());
    let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    // If it takes what it should refuse, it is a daemon and does not end by itself.
    let mut process = Guard::new(process.unwrap());
    let status = process.wait(PATIENCE);
    // Less than a pipe holds, so that it did not have to wait for us.
    let (mut printed, mut complaint) = (String::new(), String::new());
    process.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    process.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    (status.code(), printed, complaint)
}

/// The report of `--check-config`: of each setting its value and where it was made.
fn report(flags: &[&str], environment: &[(&str, &str)]) -> BTreeMap<String, (String, String)> {
    let (status, printed, complaint) = run(&[flags, &["--check-config"]].concat(), environment);
    assert_eq!((status, &*complaint), (Some(0), ""), "{flags:?} {environment:?}");
    let entry = |line: &str| {
        let (key, rest) = line.split_once(" = ").unwrap();
        let (value, source) = rest.split_once(" # ").unwrap();
        (key.to_owned(), (value.to_owned(), source.to_owned()))
    };
    printed.lines().map(entry).collect()
}

fn file_with(text: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn flags_are_stronger_than_the_environment_and_that_is_stronger_than_the_file() {
    let text =
        "max-locks = 1\nmax-connections = 1\nport = 1\nlisten = ['::1', '127.0.0.1:5']\ndump = false\n";
    let (_dir, path) = file_with(text);
    let environment = [
        ("ELOCKD_CONFIG", &*path),
        ("ELOCKD_MAX_CONNECTIONS", "2"),
        ("ELOCKD_PORT", "2"),
        ("ELOCKD_VERBOSE", "true"),
    ];
    let report = report(&["-port", "3"], &environment);
    let expected = [
        ("max-locks", "1", &*path),
        ("max-connections", "2", "ELOCKD_MAX_CONNECTIONS"),
        ("port", "3", "--port"),
        ("listen", "[\"::1\", \"127.0.0.1:5\"]", &*path),
        ("dump", "false", &*path),
        ("verbose", "true", "ELOCKD_VERBOSE"),
        ("max-name-bytes", "4096", "default"),
    ];
    for (key, value, source) in expected {
        assert_eq!(report[key], (value.to_owned(), source.to_owned()), "{key}");
    }
}

#[test]
fn a_flag_names_a_stronger_file_than_the_environment() {
    let ((_a, weak), (_b, strong)) = (file_with("port = 1"), file_with("port = 2"));
    let environment = [("ELOCKD_CONFIG", &*weak)];
    assert_eq!(report(&[], &environment)["port"].0, "1");
    assert_eq!(report(&["--config", &strong], &environment)["port"].0, "2");
}

#[test]
fn what_it_reports_is_a_file_that_sets_the_same() {
    let flags = ["--unix", "/tmp/a b\"c", "--unix-mode", "600", "--warn-held", "1h", "--registry=false"];
    let flags = [&flags[..], &["--admin-unix", "/tmp/d", "--admin-unix-mode", "660"]].concat();
    let flags = [&flags[..], &["--state-dir", "/tmp/e f", "--max-waiters", "7"]].concat();
    let flags =
        [&flags[..], &["--listen", "127.0.0.1", "--listen", "::1", "--metrics-listen", "[::1]:9"]].concat();
    let (_, printed, _) = run(&[&flags[..], &["--check-config"]].concat(), &[]);
    let (_dir, path) = file_with(&printed);
    let again = report(&["--config", &path], &[]);
    for (key, (value, _)) in report(&flags, &[]) {
        assert_eq!(again[&key].0, value, "{key}");
    }
}

#[test]
fn values_that_only_look_like_numbers_are_read_back_as_they_were_written() {
    let flags = ["--idle-timeout", "015", "--log-file", "+5", "--pidfile", "007", "--state-dir", "true"];
    let flags = [&flags[..], &["--unix", "18446744073709551615", "--max-locks", "+12"]].concat();
    let flags = [&flags[..], &["--admin-unix", "a\nb # c"]].concat();
    let (status, printed, complaint) = run(&[&flags[..], &["--check-config"]].concat(), &[]);
    assert_eq!((status, &*complaint), (Some(0), ""));
    for line in [
        "idle-timeout = \"015\" # ",
        "log-file = \"+5\" # ",
        "pidfile = \"007\" # ",
        "max-locks = \"+12\" # ",
    ] {
        assert!(printed.contains(&format!("\n{line}")) || printed.starts_with(line), "{line:?}: {printed}");
    }
    let dir = TempDir::new().unwrap();
    // Its name ends a line, and so would a comment with it.
    let path = dir.path().join("of\nmine.toml");
    std::fs::write(&path, &printed).unwrap();
    let (status, again, complaint) = run(&["--config", path.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!((status, &*complaint), (Some(0), ""), "{printed}");
    let values = |printed: &str| -> Vec<String> {
        let lines = printed.lines().map(|line| line.split(" # -").next().unwrap());
        lines
            .map(|line| line.split(" # /").next().unwrap().split(" # default").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values(&again), values(&printed));
    // And once more, as a file.
    std::fs::write(&path, &again).unwrap();
    assert_eq!(run(&["--config", path.to_str().unwrap(), "--check-config"], &[]).1, again);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let names = report(&[], &[]).into_keys();
    let names =
        names.chain(["config", "unix", "admin-unix", "pidfile", "state-dir", "log-file"].map(str::to_owned));
    let variables: Vec<String> =
        names.map(|name| format!("ELOCKD_{}", name.to_uppercase().replace('-', "_"))).collect();
    let environment: Vec<(&str, &str)> = variables.iter().map(|name| (&**name, "")).collect();
    assert_eq!(report(&[], &environment), report(&[], &[]));
    let (_dir, path) = file_with("port = 7\n");
    assert_eq!(report(&["--config", &path], &environment)["port"], ("7".to_owned(), path));
    // An empty flag is still wrong: it was written on purpose.
    assert_eq!(run(&["--port", ""], &environment).0, Some(2));
}

#[test]
fn glockds_flag_for_web_sockets_is_known() {
    for flags in [&["-ws", "9998"][..], &["--ws", "9998"], &["-ws=9998"]] {
        assert_eq!(report(flags, &[])["ws"].0, "9998", "{flags:?}");
    }
    assert_eq!(report(&[], &[])["ws"].0, "0", "no port is open that nobody has asked for");
    for port in ["70000", "x", "-1"] {
        let (status, _, complaint) = run(&["-port", "9999", "-ws", port], &[]);
        assert_eq!(status, Some(2), "{complaint}");
        assert!(complaint.contains("give a whole number") && complaint.contains("--ws"), "{complaint}");
    }
    for origin in ["app.example", "https://app.example/path", ""] {
        let (status, _, complaint) = run(&["--ws-origin", origin], &[]);
        assert!(status == Some(2) && complaint.contains("give an origin as browsers do"), "{complaint}");
    }
    report(&["--port", "0", "--ws", "9998"], &[]);
}

#[test]
fn the_variables_of_a_service_whose_name_begins_with_elockd_do_no_harm() {
    let environment = [
        ("ELOCKD_ANYTHING_SERVICE_HOST", "10.0.0.7"),
        ("ELOCKD_ANYTHING_SERVICE_PORT", "9999"),
        ("ELOCKD_ANYTHING_SERVICE_PORT_LOCKS", "9999"),
        ("ELOCKD_ANYTHING_PORT", "tcp://10.0.0.7:9999"),
        ("ELOCKD_ANYTHING_PORT_9999_TCP", "tcp://10.0.0.7:9999"),
        ("ELOCKD_ANYTHING_PORT_9999_TCP_PROTO", "tcp"),
        ("ELOCKD_ANYTHING_PORT_9999_TCP_PORT", "9999"),
        ("ELOCKD_ANYTHING_PORT_9999_TCP_ADDR", "10.0.0.7"),
        ("ELOCKD_PORT_9998_SCTP", "sctp://10.0.0.7:9998"),
    ];
    assert_eq!(report(&[], &environment), report(&[], &[]));
    for wrong in ["ELOCKD_ANYTHING_PORT", "ELOCKD_PORT_X", "ELOCKD_PORT_99_TCP_X", "ELOCKD_SERVICE_PORTS"] {
        let (status, _, complaint) = run(&["--check-config"], &[(wrong, "9")]);
        assert_eq!(status, Some(0), "{complaint}");
        assert_eq!(complaint, format!("warning: the environment variable {wrong} is no setting of elockd\n"));
    }
}

#[test]
fn a_setting_of_the_environment_takes_effect() {
    let mut command = program();
    command.envs([("ELOCKD_MAX_LOCKS", "1"), ("ELOCKD_DUMP", "false")]);
    let daemon = Daemon::start_by(command, &[]);
    let mut client = daemon.unix();
    client.send("g a\ng b\ndump\n");
    client.expect("1 Lock Get Success: a\n0 Too Many Locks: b\n0 disabled\n");
}

#[test]
fn a_setting_of_the_file_takes_effect() {
    let (_dir, path) = file_with("max-locks = 1 # one\nregistry = false\n");
    let daemon = Daemon::start(&["--config", &path]);
    let mut client = daemon.unix();
    client.send("g a\ng b\niam x\n");
    client.expect("1 Lock Get Success: a\n0 Too Many Locks: b\n0 disabled\n");
}

#[test]
fn a_wrong_value_is_refused_with_where_it_is_and_what_is_allowed() {
    let count = "give a whole number from 1 to 2000000000";
    let table = [
        ("max-locks", "0", count),
        ("max-locks", "2000000001", count),
        ("max-locks-per-connection", "many", count),
        ("max-connections", "1.5", count),
        ("max-waiters", "0", count),
        ("max-waiters", "2000000001", count),
        ("max-waiters-per-name", "0", count),
        ("max-waiters-per-name", "2000000001", count),
        ("max-step-holds", "0", count),
        ("max-step-holds", "2000000001", count),
        ("threads", "257", "give a whole number from 0 to 256"),
        ("threads", "-1", "give a whole number from 0 to 256"),
        ("port", "65536", "give a whole number from 0 to 65535"),
        ("max-name-bytes", "65536", "give a whole number from 1 to 65535"),
        ("max-line-bytes", "64", "give a whole number from 65 to 1048576"),
        ("max-listing-bytes", "-1", "give a whole number from 0 to"),
        ("listen", "localhost", "host names are not looked up"),
        ("unix-mode", "888", "three octal digits"),
        ("admin-unix-mode", "1000", "three octal digits"),
        ("dump", "yes", "[possible values: true, false]"),
        ("log-level", "loud", "[possible values: error, warn, info]"),
        ("log-format", "xml", "[possible values: text, json]"),
        ("warn-held", "10ms", "give 1s to 100 years, or 0 for never"),
        ("peer-timeout", "2s", "give 3s to 24h, or 0 to leave it to the kernel"),
        ("idle-timeout", "900us", "give 1ms to 100 years, or 0 for never"),
        ("shutdown-timeout", "25h", "give 1ms to 24h, or 0 to cut connections off at once"),
        ("write-timeout", "soon", "write it as 500ms, 15s, 2m or 1h"),
        ("metrics-listen", "127.0.0.1", "give IP:PORT"),
    ];
    for (name, value, allowed) in table {
        let variable = format!("ELOCKD_{}", name.to_uppercase().replace('-', "_"));
        let (_dir, path) = file_with(&format!("{name} = \"{value}\"\n"));
        let flag = format!("--{name}={value}");
        let ways: [Way<'_>; 3] = [
            (&[&flag], &[], "error: invalid value"),
            (&[], &[(&variable, value)], &format!("in the environment, {variable}")),
            (&["--config", &path], &[], &format!("in {path}")),
        ];
        for (flags, environment, place) in ways {
            let (status, _, complaint) = run(flags, environment);
            assert_eq!(status, Some(2), "{name} = {value}, {place}: {complaint}");
            for part in [place, name, value, allowed] {
                assert!(complaint.contains(part), "{part:?} is not in {complaint}");
            }
        }
    }
}

#[test]
fn a_wrong_value_of_a_weaker_place_does_no_harm() {
    let environment = [("ELOCKD_PORT", "nonsense")];
    assert_eq!(report(&["--port", "7"], &environment)["port"].0, "7");
}

#[test]
fn a_wrong_flag_is_not_put_down_to_a_variable() {
    // The variable is wrong too, but the flag of its name makes it not count.
    let (status, _, complaint) = run(&["--port", "7", "--max-locks", "0"], &[("ELOCKD_PORT", "nonsense")]);
    assert_eq!(status, Some(2));
    assert!(complaint.starts_with("error: invalid value '0' for '--max-locks"), "{complaint}");
    // Where each is wrong and counts, it is the flag's turn.
    let (_, _, complaint) = run(&["--max-locks", "0"], &[("ELOCKD_PORT", "nonsense")]);
    assert!(complaint.starts_with("error: invalid value '0' for '--max-locks"), "{complaint}");
    let (_, _, complaint) = run(&["--max-locks", "1"], &[("ELOCKD_PORT", "nonsense")]);
    assert!(complaint.starts_with("error: in the environment, ELOCKD_PORT:"), "{complaint}");
}

#[test]
fn the_variables_of_a_service_that_is_called_elockd_do_no_harm() {
    // What Kubernetes sets in every pod beside a Service of this name, and Docker beside a link.
    for scheme in ["tcp", "udp"] {
        let address = format!("{scheme}://10.0.0.7:9999");
        let environment = [
            ("ELOCKD_PORT", &*address),
            ("ELOCKD_SERVICE_HOST", "10.0.0.7"),
            ("ELOCKD_SERVICE_PORT", "9999"),
            ("ELOCKD_SERVICE_PORT_LOCKS", "9999"),
            ("ELOCKD_PORT_9999_TCP", &address),
            ("ELOCKD_PORT_9999_TCP_ADDR", "10.0.0.7"),
        ];
        let (status, printed, complaint) = run(&["--check-config"], &environment);
        assert_eq!(status, Some(0), "{complaint}");
        assert!(printed.contains("port = 9999 # default\n"), "{printed}");
        let lines: Vec<&str> = complaint.lines().collect();
        assert_eq!(lines.len(), 1, "{complaint}");
        assert!(lines[0].starts_with("warning: the environment variable ELOCKD_PORT counts as not set"));
        let (_dir, path) = file_with("port = 8");
        let (_, printed, _) = run(&["--check-config", "--config", &path], &environment);
        assert!(printed.contains("port = 8"), "{printed}");
    }
    let (status, _, complaint) = run(&["--check-config"], &[("ELOCKD_PORT", "http://10.0.0.7:9999")]);
    assert_eq!(status, Some(2), "{complaint}");
}

#[test]
fn settings_without_a_listener_are_refused_before_the_start() {
    let (_dir, path) = file_with("listen = []\n");
    for flags in [&["--port", "0"][..], &["--config", &path]] {
        for more in [&[][..], &["--check-config"]] {
            let (status, printed, complaint) = run(&[flags, more].concat(), &[]);
            assert_eq!((status, &*printed), (Some(2), ""), "{complaint}");
            assert!(complaint.starts_with("error: nothing to listen on"), "{complaint}");
        }
        report(&[flags, &["--unix", "/tmp/unused.sock"]].concat(), &[]);
    }
    report(&["--port", "0", "--listen", "127.0.0.1:5"], &[]);
}

#[test]
fn the_administrative_socket_alone_is_nothing_to_listen_on() {
    let (status, _, complaint) = run(&["--port", "0", "--admin-unix", "/tmp/unused.sock"], &[]);
    assert_eq!(status, Some(2), "{complaint}");
    assert!(complaint.starts_with("error: nothing to listen on"), "{complaint}");
}

#[test]
fn one_path_cannot_be_both_sockets() {
    let both = ["--unix", "/tmp/unused.sock", "--admin-unix", "/tmp/unused.sock"];
    let (status, _, complaint) = run(&both, &[]);
    assert_eq!(status, Some(2), "{complaint}");
    assert!(complaint.contains("both /tmp/unused.sock: give each a path of its own"), "{complaint}");
}

#[test]
fn what_is_new_with_waits_is_set_and_shown_like_everything_else() {
    let (_dir, path) = file_with("max-waiters-per-name = 5\nadmin-unix-mode = '660'\n");
    let environment = [("ELOCKD_CONFIG", &*path), ("ELOCKD_STATE_DIR", "/tmp/unused")];
    let flags = ["--max-waiters", "2000000000", "--admin-unix", "/tmp/unused.sock"];
    let of_all = report(&flags, &environment);
    let expected = [
        ("max-waiters", "2000000000", "--max-waiters"),
        ("max-waiters-per-name", "5", &*path),
        ("admin-unix", "\"/tmp/unused.sock\"", "--admin-unix"),
        ("admin-unix-mode", "\"660\"", &*path),
        ("state-dir", "\"/tmp/unused\"", "ELOCKD_STATE_DIR"),
    ];
    for (key, value, source) in expected {
        assert_eq!(of_all[key], (value.to_owned(), source.to_owned()), "{key}");
    }
    let of_none = report(&[], &[]);
    let defaults =
        [("max-waiters", "10000"), ("max-waiters-per-name", "10000"), ("admin-unix-mode", "\"600\"")];
    for (key, value) in defaults {
        assert_eq!(of_none[key], (value.to_owned(), "default".to_owned()), "{key}");
    }
    for unset in ["admin-unix", "state-dir"] {
        assert!(!of_none.contains_key(unset), "{unset}");
    }
    report(&["--max-waiters", "1", "--max-waiters-per-name", "1"], &[]);
}

#[test]
fn two_settings_that_contradict_each_other_are_refused() {
    let (status, _, complaint) = run(&["--max-name-bytes", "100", "--max-line-bytes", "163"], &[]);
    assert_eq!(status, Some(2));
    assert!(complaint.contains("--max-line-bytes is 163, but must be at least 164"), "{complaint}");
    report(&["--max-name-bytes", "100", "--max-line-bytes", "164"], &[]);
}

#[test]
fn a_file_that_is_wrong_as_a_whole_is_refused() {
    let wrong = [
        ("prot = 1\n", "`prot` is not a setting; the settings are:"),
        ("port 1\n", "TOML parse error at line 1"),
        ("port = [1, 2]\n", "`port` takes one value"),
        ("unix-mode = 0o660\n", "put it in quotes"),
        ("admin-unix-mode = 600\n", "`admin-unix-mode` is octal"),
        ("config = \"other\"\n", "`config` is not a setting"),
    ];
    for (text, reason) in wrong {
        let (_dir, path) = file_with(text);
        let (status, _, complaint) = run(&["--config", &path], &[]);
        assert_eq!(status, Some(2), "{complaint}");
        assert!(complaint.contains(reason) && complaint.contains(&path), "{complaint}");
    }
    let (status, _, complaint) = run(&["--config", "/nowhere/elockd.toml"], &[]);
    assert_eq!(status, Some(2));
    assert!(complaint.contains("/nowhere/elockd.toml"), "{complaint}");
}

#[test]
fn looking_at_the_settings_does_nothing_else() {
    let daemon = Daemon::start(&[]);
    let (pidfile, state) = (daemon.folder().join("pid"), daemon.folder().join("state"));
    // Neither the address that is in use is tried, nor a file or a directory made.
    let address = daemon.tcp_address().to_string();
    let flags = ["--listen", &address, "--pidfile", pidfile.to_str().unwrap()];
    report(&[&flags[..], &["--state-dir", state.to_str().unwrap()]].concat(), &[]);
    assert!(!pidfile.exists() && !state.exists());
}

#[test]
fn a_variable_that_is_no_setting_is_told_of() {
    let mut command = program();
    command.env("ELOCKD_MAX_LOKCS", "1");
    let daemon = Daemon::start_by(command, &[]);
    daemon.wait_for_log("the environment variable ELOCKD_MAX_LOKCS is no setting");
    let (status, printed, complaint) = run(&["--check-config"], &[("ELOCKD_MAX_LOKCS", "1")]);
    assert_eq!(status, Some(0));
    assert_eq!(complaint, "warning: the environment variable ELOCKD_MAX_LOKCS is no setting of elockd\n");
    assert!(!printed.contains("warning"), "what is printed is still a file: {printed}");
}

#[test]
fn help_wins_over_whatever_is_wrong() {
    let (status, printed, complaint) = run(&["--config", "/nowhere", "--help"], &[]);
    assert_eq!((status, &*complaint), (Some(0), ""));
    for heading in ["Process:", "Listeners:", "Limits:", "Commands:", "Timeouts:", "Log:", "Monitoring:"] {
        assert!(printed.contains(&format!("\n{heading}\n")), "{heading} is not in {printed}");
    }
}

#[test]
fn the_page_for_operators_has_every_setting_of_the_help() {
    let (_, help, _) = run(&["--help"], &[]);
    let page = std::fs::read_to_string(document("operations.md")).unwrap();
    let flags = help.split_whitespace().filter(|word| word.starts_with("--"));
    let flags = flags.map(|flag| flag.split(['[', '=', ',', '.', ':']).next().unwrap());
    let mut count = 0;
    for flag in flags {
        let is_whole = |(at, start): (usize, &str)| {
            // A longer name that begins with this one is another setting.
            let next = page[at + start.len()..].chars().next();
            !next.is_some_and(|letter| letter == '-' || letter.is_alphanumeric())
        };
        assert!(page.match_indices(&format!("`{flag}")).any(is_whole), "{flag} is not on the page");
        count += 1;
    }
    assert!(count > 25, "only {count} flags in the help");
}

#[test]
fn a_complaint_gives_no_orders_to_a_terminal() {
    let order = "\u{1b}[2J\u{9b}\u{7}";
    let (_dir, path) = file_with("port = 'x\u{85}\\u001b[2J'\n".replace('\'', "\"").as_str());
    let nowhere = format!("/nowhere/{order}");
    let ways: [Way<'_>; 6] = [
        (&["--port", order], &[], ""),
        (&[order], &[], ""),
        (&[], &[("ELOCKD_PORT", order)], ""),
        (&["--config", &path], &[], ""),
        (&["--config", &nowhere], &[], ""),
        (&["--state-dir", &nowhere, "--listen", "127.0.0.1:0"], &[], ""),
    ];
    for (flags, environment, _) in ways {
        let (status, _, complaint) = run(flags, environment);
        assert!(matches!(status, Some(1 | 2)), "{flags:?}: {complaint:?}");
        let is_plain = |char: char| !char.is_control() || char == '\n';
        assert!(complaint.chars().all(is_plain), "{flags:?}: {complaint:?}");
        // clap leaves out whole orders, and the rest is shown.
        assert!(complaint.contains("\\u{"), "{flags:?}: {complaint:?}");
    }
}
