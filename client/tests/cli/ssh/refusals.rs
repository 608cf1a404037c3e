//! What does not work, and what is said about it.

use crate::daemon::Daemon;
use crate::run;
use crate::ssh::host::{Agent, Host, WAYS};
use std::fs;
use std::process::Command;

/// Runs `ping` and sees it fail in each way with these words.
fn fails(host: &Host, daemon: &Daemon, flags: &[&str], expected: &[&str], change: impl Fn(&mut Command)) {
    for way in WAYS {
        let destination = host.destination();
        let words = [&["ping", "--ssh", &destination], way, flags].concat();
        let mut command = host.elock(daemon, &words);
        change(&mut command);
        let (status, out, err) = run(&mut command);
        assert_eq!((status, out.as_str()), (69, ""), "{err}");
        assert!(err.starts_with("elock: ") && err.lines().count() == 1, "{err}");
        for text in expected {
            assert!(err.contains(text), "{words:?}: {err}");
        }
    }
}

fn nothing(_: &mut Command) {}

/// Goal: a wrong password is sent once and told of. Method: the server's log.
#[test]
fn a_wrong_password_is_sent_once() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    fs::write(host.path("password"), "wrong\n").unwrap();
    let source = format!("file:{}", host.path("password"));
    fails(&host, &daemon, &["--ssh-password-from", &source], &["Permission denied", "password"], nothing);
    assert_eq!(host.log().matches("Failed password").count(), WAYS.len(), "{}", host.log());
    fails(&host, &daemon, &["--ssh-password-from", "file:/no/such"], &["file:/no/such gives none"], nothing);
    // A lock that is waited for is tried again and again, but not the password.
    for way in WAYS {
        let destination = host.destination();
        let flags = ["--ssh", &destination, "--ssh-password-from", &source];
        let mut leading = host.elock(&daemon, &[&["lead", "a"], way, &flags[..], &["true"]].concat());
        let (before, attempts) = (host.log().matches("Failed password").count(), host.attempts());
        let mut child = crate::Guarded(leading.stderr(std::process::Stdio::null()).spawn().unwrap());
        crate::poll("several attempts", || (host.attempts() > attempts + 5).then_some(()));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        assert_eq!(host.log().matches("Failed password").count(), before + 1);
    }
}

#[test]
fn a_wrong_passphrase_is_told() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let key = host.path("locked_key");
    let flags = ["--ssh-key", &key, "--ssh-passphrase-from", "command:echo wrong"];
    fails(&host, &daemon, &flags, &[host.user()], nothing);
    assert_eq!(host.logins(), 0);
}

/// Goal: a prompt without a terminal is refused with the way out. Method: a session of its own.
#[test]
fn without_a_terminal_nobody_is_asked() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let destination = host.destination();
        let elock = host.elock(&daemon, &[&["ping", "--ssh", &destination], way].concat());
        let mut alone = Command::new("setsid");
        alone.arg("-w").arg(elock.get_program()).args(elock.get_args());
        alone.envs(elock.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let (status, _, err) = run(&mut alone);
        assert!(status == 69 && err.contains("--ssh-password-from"), "{err}");
    }
    assert!(!host.log().contains("Failed password"), "nothing was sent");
}

#[test]
fn an_unknown_host_key_is_refused_and_may_be_accepted() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let source = format!("file:{}", host.path("password"));
    let flags = ["--ssh-password-from", source.as_str()];
    for known in [
        "",
        "other.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
    ] {
        fs::write(host.path("known_hosts"), known).unwrap();
        fails(&host, &daemon, &flags, &["the host key is not known", "accept-new"], nothing);
        fails(&host, &daemon, &[&flags[..], &["--ssh-host-key", "strict"]].concat(), &["not known"], nothing);
        assert_eq!(host.known(), known);
    }
    assert_eq!((host.logins(), host.log().matches("Failed password").count()), (0, 0), "nothing was sent");
    for way in WAYS {
        fs::remove_file(host.path("known_hosts")).unwrap();
        let destination = host.destination();
        let words = [&["ping", "--ssh", &destination], way, &flags[..]].concat();
        let (status, _, err) =
            run(&mut host.elock(&daemon, &[&words[..], &["--ssh-host-key", "accept-new"]].concat()));
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(host.known().contains("]:") && host.known().contains(" ssh-ed25519 "), "{}", host.known());
        // It is known now, in both ways.
        for way in WAYS {
            let words = [&["ping", "--ssh", &destination], way, &flags[..]].concat();
            assert_eq!(run(&mut host.elock(&daemon, &words)).0, 0);
        }
    }
}

#[test]
fn a_changed_host_key_is_always_refused() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    host.know("other_host");
    let (known, source) = (host.known(), format!("file:{}", host.path("password")));
    for policy in [&["--ssh-host-key", "strict"][..], &["--ssh-host-key", "accept-new"], &[]] {
        let flags = [policy, &["--ssh-password-from", &source]].concat();
        fails(&host, &daemon, &flags, &["the host key is another one", "somebody may be listening"], nothing);
    }
    assert_eq!((host.known(), host.logins()), (known, 0));
    assert!(!host.log().contains("Failed password"), "nothing was sent");
}

#[test]
fn a_server_that_has_had_enough_is_told_of() {
    let Some(host) = Host::start_with("MaxAuthTries 2") else { return };
    let daemon = Daemon::start();
    let agent = Agent::start(&host, &["unknown_key", "other_host", "host"]);
    fs::write(host.path("ssh_config"), "").unwrap();
    fails(&host, &daemon, &["--ssh-password-from", "file:/no/such"], &[host.user()], |command| {
        command.env("SSH_AUTH_SOCK", &agent.socket);
    });
    assert!(
        host.log().contains("Too many authentication failures")
            || host.log().contains("maximum authentication")
    );
    assert_eq!(host.logins(), 0);
}

#[test]
fn a_server_that_forwards_nothing_is_told_of() {
    let Some(host) = Host::start_with("AllowTcpForwarding no") else { return };
    let daemon = Daemon::start();
    let key = host.path("key");
    for way in WAYS {
        let destination = host.destination();
        let (status, _, err) =
            run(&mut host
                .elock(&daemon, &[&["ping", "--ssh", &destination, "--ssh-key", &key], way].concat()));
        let text = if way.is_empty() { "administratively prohibited" } else { "does not allow it" };
        assert!(status == 69 && err.contains(text), "{err}");
        // Commands are another matter.
        let run_there = [&["run", "a", "--on", &destination, "--ssh-key", &key], way, &["true"]].concat();
        assert_eq!(run(&mut host.elock(&daemon, &run_there)).0, 0);
    }
}

#[test]
fn a_server_that_runs_nothing_is_told_of() {
    let Some(host) = Host::start_with("ForceCommand /bin/false") else { return };
    let daemon = Daemon::start();
    let key = host.path("key");
    for way in WAYS {
        let destination = host.destination();
        let words = [&["run", "a", "--on", &destination, "--ssh-key", &key], way, &["true"]].concat();
        let (status, _, err) = run(&mut host.elock(&daemon, &words));
        assert!(status == 69 && err.contains(&destination), "{err}");
        daemon.until("a", false);
    }
}

#[test]
fn nobody_behind_the_host_is_told_of() {
    let Some(host) = Host::start() else { return };
    let mut daemon = Daemon::start();
    daemon.stop();
    let key = host.path("key");
    fails(&host, &daemon, &["--ssh-key", &key], &["no daemon can be reached", "connect"], nothing);
    let nobody = format!("{}@127.0.0.1:1", host.user());
    for way in WAYS {
        let (status, _, err) =
            run(&mut host.elock(&daemon, &[&["ping", "--ssh", &nobody, "--ssh-key", &key], way].concat()));
        assert!(status == 69 && err.contains("refused"), "{err}");
    }
}

#[test]
fn tls_within_ssh_is_refused_with_the_reason() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let key = host.path("key");
    let flags = ["--ssh-key", &key, "--server", "tls://127.0.0.1:1"];
    fails(&host, &daemon, &flags, &["SSH encrypts already"], nothing);
}

#[test]
fn without_the_program_ssh_the_other_way_is_named() {
    let daemon = Daemon::start();
    let mut command = daemon.elock(&["ping", "--ssh", "alice@gateway.invalid"]);
    let (status, _, err) = run(command.env("PATH", "/nonexistent"));
    assert!(status == 69 && err.contains("there is no program ssh") && err.contains("--ssh-native"), "{err}");
}

#[test]
fn a_wrong_flag_is_told_and_a_password_in_it_is_not_shown() {
    let daemon = Daemon::start();
    for (words, text) in [
        (&["ping", "--ssh=-oProxyCommand=x"][..], "begin with `-`"),
        (&["ping", "--ssh", "a b"], "a shell would obey"),
        (&["ping", "--ssh", "a", "--ssh-host-key", "off"], "accept-new"),
        (&["run", "a", "--on", "b", "-o", "true"], "--close"),
        (&["tunnel", "-L", "1:2", "a"], "three or four"),
        (&["tunnel", "a"], "--local"),
    ] {
        let (status, _, err) = run(&mut daemon.elock(words));
        assert!(status == 64 && err.contains(text), "{words:?}: {err}");
    }
    let (status, _, err) = run(&mut daemon.elock(&["ping", "--ssh", "a", "--ssh-password-from", "hunter2"]));
    assert!(status == 64 && err.contains("prompt, fd:N, file:PATH or command:LINE"), "{err}");
}
