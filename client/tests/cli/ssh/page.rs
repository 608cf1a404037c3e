//! Goal: the page about SSH is true. Method: its examples are run as they stand there, at a host that is called as in
//! the page; each row of its table has a test.

use crate::daemon::Daemon;
use crate::page::{examples, fits};
use crate::ssh::host::{Agent, Host};
use crate::{run, told};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../../../docs/ssh.md");

#[test]
fn the_examples_print_what_the_page_says() {
    let Some(host) = Host::start() else { return };
    // The page does not say where the test has its known hosts.
    let (known, config) = (host.path("known_hosts"), host.path("ssh_config"));
    let (program, rest) = (env!("CARGO_BIN_EXE_elock"), "\"${@:2}\"");
    let script = format!(
        "#!/bin/bash\nexec {program} \"$1\" --ssh-known-hosts {known} --ssh-config {config} {rest}\n"
    );
    fs::create_dir(host.path("bin")).unwrap();
    let elock = host.path("bin/elock");
    fs::write(&elock, script).unwrap();
    fs::set_permissions(&elock, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", host.path("bin"), std::env::var("PATH").unwrap());
    let agent = Agent::start(&host, &["key"]);
    let blocks = examples(PAGE);
    assert!(blocks.len() > 4, "only {} blocks were found", blocks.len());
    fs::write(host.path("ssh_config"), "").unwrap();
    for block in blocks {
        let daemon = Daemon::start();
        for name in ["key", "password"] {
            fs::copy(host.path(name), daemon.folder().join(name)).unwrap();
        }
        let port = daemon.address().port().to_string();
        for (command, expected) in block {
            // The page's host is this one, and its daemon has another port.
            let command =
                command.replace("alice@gateway", &host.destination()).replace(":9999", &format!(":{port}"));
            let expected =
                expected.replace("alice@gateway", &host.destination()).replace(":9999", &format!(":{port}"));
            let line = format!("exec 2>&1; {command}");
            let mut shell = Command::new("bash");
            shell.args(["-c", &line]).current_dir(daemon.folder());
            for (key, value) in host.elock(&daemon, &["ping"]).get_envs() {
                match value {
                    Some(value) => shell.env(key, value),
                    None => shell.env_remove(key),
                };
            }
            shell
                .env("SSH_AUTH_SOCK", &agent.socket)
                .env("PATH", &path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let child = shell.spawn().unwrap();
            let _deadline = crate::Deadline::of(child.id());
            let (_, out, _) = told(child.wait_with_output().unwrap());
            assert!(fits(&expected, &out), "$ {command}\n{out}instead of\n{expected}");
        }
    }
}

/// Goal: the lines of Rust are a program that runs. Method: they are an example, which is run.
#[test]
fn the_lines_of_rust_do_what_they_say() {
    let (_, rest) = PAGE.split_once("```rust\n").unwrap();
    assert_eq!(rest.split_once("```").unwrap().0, include_str!("../../../examples/through_ssh.rs"));
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    // Cargo builds the examples before it runs a test, beside the folder of the tests.
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/through_ssh");
    if !program.exists() {
        assert!(std::env::var_os("CI").is_none(), "there is no {}", program.display());
        return eprintln!("SKIPPED: the examples were not built, because only one test was");
    }
    let mut command = Command::new(program);
    command.args([&host.destination(), &host.path("password"), &host.path("known_hosts")]);
    command.arg(daemon.address().to_string()).env_remove("SSH_AUTH_SOCK");
    assert_eq!(run(&mut command), (0, "it is ours: true\n".to_owned(), String::new()));
    assert_eq!(host.logins(), 1);
}

/// Goal: no row of the table is a mere claim. Method: each names its test here.
#[test]
fn each_row_of_the_table_has_its_test() {
    const TESTS: &[(&str, &str)] = &[
        ("password", "with_a_password"),
        ("password, typed on the terminal", "on_a_terminal_somebody_is_asked"),
        ("key", "with_a_key"),
        ("key with a passphrase", "with_a_key_that_has_a_passphrase"),
        ("agent, also with RSA keys", "with_an_agent"),
        ("a daemon's Unix socket at the other side", "unix_sockets_at_the_other_side_need_the_native_way"),
        ("unknown host key", "an_unknown_host_key_is_refused_and_may_be_accepted"),
        ("changed host key", "a_changed_host_key_is_always_refused"),
        (
            "elock is killed, the command lives",
            "a_command_outlives_elock_and_keeps_the_lock_through_the_program_of_openssh",
        ),
        ("without the program `ssh`", "without_the_program_ssh_the_other_way_is_named"),
        ("the command's status is 255", "the_status_is_that_of_the_command"),
    ];
    let (_, table) = PAGE.split_once("| | `ssh` | `--ssh-native` |").unwrap();
    let rows: Vec<&str> =
        table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    // What is not ours to test stands at the end.
    let (ours, not_ours) = rows.split_at(TESTS.len());
    assert_eq!(ours, TESTS.iter().map(|(row, _)| *row).collect::<Vec<_>>());
    assert!(not_ours.len() < 6, "{not_ours:?}");
    let tests = [
        include_str!("ways.rs"),
        include_str!("refusals.rs"),
        include_str!("losing.rs"),
        include_str!("remote.rs"),
    ]
    .concat();
    for (row, test) in TESTS {
        assert!(tests.contains(&format!("#[test]\nfn {test}()")), "{row}: there is no test {test}");
    }
}
