//! Both ways, both things, each way to log in.

use crate::daemon::Daemon;
use crate::ssh::host::{Agent, Host, PASSPHRASE, WAYS};
use crate::terminal::play;
use crate::{run, told};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// Runs a command behind the host, and one at the host, and sees that both were done under a lock.
fn do_both(host: &Host, daemon: &Daemon, flags: &[&str], change: impl Fn(&mut Command)) {
    let destination = host.destination();
    let program = env!("CARGO_BIN_EXE_elock");
    let here = ["-c", "\"$0\" inspect a | head -n 1; exit 7", program];
    let here = [&["run"], flags, &["--ssh", &destination, "a", "--", "sh"], &here[..]].concat();
    let mut command = host.elock(daemon, &here);
    change(&mut command);
    // The inner one reaches the daemon without SSH: it has the variable, and not the flag.
    assert_eq!(run(&mut command), (7, "a is held\n".to_owned(), String::new()), "{here:?}");
    let there = ["sh", "-c", "id -un; echo \"$ELOCK_NAME\"; test \"$ELOCK_FENCE\" -gt 0; echo x >&2; exit 8"];
    let there = [&["run"], flags, &["--on", &destination, "b c", "--"], &there[..]].concat();
    let mut command = host.elock(daemon, &there);
    change(&mut command);
    assert_eq!(run(&mut command), (8, format!("{}\nb c\n", host.user()), "x\n".to_owned()), "{there:?}");
    daemon.until("a", false);
    daemon.until("b c", false);
}

#[test]
fn with_a_key() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        do_both(&host, &daemon, &[way, &["--ssh-key", &host.path("key")]].concat(), |_| {});
    }
}

#[test]
fn with_a_key_that_has_a_passphrase() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    fs::write(host.path("passphrase"), PASSPHRASE).unwrap();
    let source = format!("file:{}", host.path("passphrase"));
    for way in WAYS {
        let key = host.path("locked_key");
        do_both(
            &host,
            &daemon,
            &[way, &["--ssh-key", &key, "--ssh-passphrase-from", &source]].concat(),
            |_| {},
        );
    }
}

/// Goal: an agent is enough, also with keys that this process could not use itself. Method: agents with one key each.
#[test]
fn with_an_agent() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for key in ["key", "rsa_key"] {
        let agent = Agent::start(&host, &["unknown_key", key]);
        // The configuration of the tests names no keys, so that the agent's must be asked for.
        fs::write(host.path("ssh_config"), "").unwrap();
        for way in WAYS {
            do_both(&host, &daemon, way, |command| {
                command.env("SSH_AUTH_SOCK", &agent.socket);
            });
        }
    }
}

/// Goal: each source gives the password, without a terminal, as in cron and in a web server's worker. Method: a session
/// of its own, and next to no environment.
#[test]
fn with_a_password() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        for source in ["file", "command"] {
            let source = match source {
                "file" => format!("file:{}", host.path("password")),
                _ => format!("command:cat {}", host.path("password")),
            };
            do_both(&host, &daemon, &[way, &["--ssh-password-from", &source]].concat(), |_| {});
        }
        let destination = host.destination();
        let words = [&["ping"], way, &["--ssh", &destination, "--ssh-password-from", "fd:0"]].concat();
        let elock = host.elock(&daemon, &words);
        let mut cron = Command::new("setsid");
        cron.arg("-w").arg(elock.get_program()).args(elock.get_args()).env_clear();
        cron.env("PATH", "/usr/bin:/bin").env("ELOCK_SERVER", daemon.address().to_string());
        cron.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cron.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{}\n", host.password()).as_bytes()).unwrap();
        let (status, out, err) = told(child.wait_with_output().unwrap());
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains(&format!("via {destination} answered in ")), "{out}");
    }
    assert!(!host.log().contains("Failed password"), "{}", host.log());
}

/// Goal: a server that asks for the password in its own words is answered, and asked for nothing else. Method: PAM.
#[test]
fn with_a_password_that_the_server_asks_for_itself() {
    let pam = "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no";
    let Some(host) = Host::start_with(pam) else { return };
    let daemon = Daemon::start();
    let source = format!("file:{}", host.path("password"));
    for way in WAYS {
        do_both(&host, &daemon, &[way, &["--ssh-password-from", &source]].concat(), |_| {});
    }
    assert!(host.log().contains("Accepted keyboard-interactive"), "{}", host.log());
}

/// Goal: a person is asked, and is asked once. Method: a person on a terminal.
#[test]
fn on_a_terminal_somebody_is_asked() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let (known, config) = (host.path("known_hosts"), host.path("ssh_config"));
        let flags = format!("{} --ssh-known-hosts {known} --ssh-config {config}", way.join(" "));
        let ping = format!("type elock ping {flags} --ssh {}", host.destination());
        let run = format!("type elock run a {flags} --on {} -- sh -c 'echo by-$LOGNAME'", host.destination());
        let password = format!("type {}", host.password());
        let asks = format!("see elock: {}@127.0.0.1's password: ", host.user());
        let by = format!("see by-{}", host.user());
        let steps = [
            "see ready>",
            "type export HOME=/nonexistent",
            "see ready>",
            &ping,
            &asks,
            "sleep 0.2",
            &password,
            "see answered in",
            "see ready>",
            &run,
            &asks,
            "sleep 0.2",
            &password,
            &by,
            "see ready>",
            &ping,
            &asks,
            "type ^C",
            "see nothing was typed",
            "see ready>",
            "type stty -a",
            "see  echo ",
            "see ready>",
        ];
        play(&daemon, &steps);
    }
}

/// Goal: what only one way does is done by it. Method: the daemon's Unix sockets, behind the host.
#[test]
fn unix_sockets_at_the_other_side_need_the_native_way() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("a");
    // The user of the host must be allowed to use them, too.
    let open = |path: &std::path::Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["", "elockd.sock", "admin.sock"] {
        open(&daemon.folder().join(name));
    }
    let socket = format!("unix:{}", daemon.socket().display());
    let key = host.path("key");
    let flags = ["--ssh", &host.destination(), "--ssh-key", &key];
    let inspect = [&["inspect", "a", "--server", &socket], &flags[..]].concat();
    let (status, _, err) = run(&mut host.elock(&daemon, &inspect));
    assert!(status == 69 && err.contains("--ssh-native"), "{err}");
    let native = [&inspect[..], &["--ssh-native"]].concat();
    let (status, out, _) = run(&mut host.elock(&daemon, &native));
    assert!(status == 0 && out.starts_with("a is held"), "{out}");
    let steal = [&["steal", "a", "--ssh-native"], &flags[..]].concat();
    let (status, out, _) = run(&mut host.elock(&daemon, &steal));
    assert_eq!((status, out.as_str()), (0, "took a from its holder\n"));
}
