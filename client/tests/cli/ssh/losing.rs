//! What happens to a lock behind an SSH host when something on the way ends or falls silent.

use crate::daemon::Daemon;
use crate::poll;
use crate::running::{end, line, start};
use crate::ssh::host::{Host, WAYS, descendants};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

fn running(
    host: &Host,
    daemon: &Daemon,
    way: &[&str],
    flags: &[&str],
    script: &str,
) -> std::process::Command {
    let (destination, key) = (host.destination(), host.path("key"));
    let through = ["--ssh", &destination, "--ssh-key", &key];
    host.elock(daemon, &[&["run"], way, &through[..], flags, &["a", "-c", script]].concat())
}

const TALK: &str = "echo $$; exec sleep 1000";

/// Goal: when the tunnel ends, both ends of it know. Method: the server's side of it is killed; for the program of
/// OpenSSH also the near side.
#[test]
fn a_tunnel_that_is_killed_loses_the_lock_at_once() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for (way, is_near) in [(WAYS[0], true), (WAYS[0], false), (WAYS[1], false)] {
        let (running, mut stdout) = start(&mut self::running(&host, &daemon, way, &[], TALK));
        line(&mut stdout);
        daemon.until("a", true);
        if is_near {
            let ssh = descendants(running.0.id()).into_iter().find(|process| {
                fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "ssh\n")
            });
            kill(Pid::from_raw(ssh.unwrap().cast_signed()), Signal::SIGKILL).unwrap();
        } else {
            assert!(host.signal_sessions(Signal::SIGKILL) > 0);
        }
        daemon.until("a", false);
        let (status, err) = end(running);
        let reason = "elock: a was lost: the daemon closed the connection; stopping the command\n";
        assert_eq!((status, err.as_str()), (79, reason), "{way:?}");
    }
}

/// Goal: a server that has stopped is noticed as a silent daemon is: the command is told in time. Method: SIGSTOP,
/// which leaves all connections open. That it is early enough is a matter of constants, which `silence.rs` compares.
#[test]
fn a_server_that_falls_silent_loses_the_lock_in_time() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let mut all: Vec<_> = WAYS
        .iter()
        .map(|way| {
            let name = if way.is_empty() { "through-ssh" } else { "native" };
            let (destination, key) = (host.destination(), host.path("key"));
            let through = ["--ssh", &destination, "--ssh-key", &key, name, "-c", TALK];
            let (running, mut stdout) =
                start(&mut host.elock(&daemon, &[&["run"], *way, &through[..]].concat()));
            line(&mut stdout);
            (name, running)
        })
        .collect();
    host.signal_sessions(Signal::SIGSTOP);
    for (name, running) in all.drain(..) {
        let (status, err) = end(running);
        assert_eq!(status, 79);
        assert!(
            err.starts_with(&format!("elock: {name} was lost: the daemon has not answered for too long")),
            "{err}"
        );
        // The daemon has heard of no end. So nobody else had the lock meanwhile.
        assert_eq!(daemon.client().ask(format!("i {name}")), format!("1 Lock Is Locked: {name}"));
    }
    // What is left of them ends when it goes on.
    host.signal_sessions(Signal::SIGCONT);
    daemon.until("through-ssh", false);
    daemon.until("native", false);
}

/// Goal: also a wait ends when the host is gone: nothing is asked meanwhile, so that SSH has to notice. Method:
/// SIGSTOP.
#[test]
fn a_wait_ends_when_the_host_falls_silent() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("a");
    let all = WAYS.map(|way| start(&mut running(&host, &daemon, way, &[], "echo never")));
    daemon.until_waiters("a", WAYS.len());
    host.signal_sessions(Signal::SIGSTOP);
    for (running, mut stdout) in all {
        let (status, err) = end(running);
        assert!(status == 69 && err.starts_with("elock: a: "), "{status} {err}");
        assert_eq!(line(&mut stdout), "");
    }
    assert_eq!(holder.ask("i a"), "1 Lock Is Locked: a");
}

/// Goal: with `linger` a lock outlives its tunnel. Method: the server's side is killed, and the command goes on.
#[test]
fn with_linger_the_lock_is_resumed_through_a_new_tunnel() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for (way, number) in WAYS.iter().zip(1..) {
        let go = daemon.folder().join("go");
        let _ = fs::remove_file(&go);
        let script = format!("echo started; while ! test -e {}; do sleep 0.05; done; exit 3", go.display());
        let (running, mut stdout) =
            start(&mut self::running(&host, &daemon, way, &["--linger", "30s"], &script));
        line(&mut stdout);
        daemon.until("a", true);
        assert!(host.signal_sessions(Signal::SIGKILL) > 0);
        let mut watcher = daemon.client();
        poll("the lock to be resumed", || {
            watcher.ask_rows("q full").contains(&format!("resumed: {number}")).then_some(())
        });
        fs::write(&go, "").unwrap();
        assert_eq!(end(running), (3, String::new()), "{way:?}");
        daemon.until("a", false);
    }
}

/// Goal: `kill -9` of elock does not free the lock under a living command, where that can be had. Method: it is killed.
/// The program of OpenSSH lives as long as the command has its end of the connection. In the other way the login dies
/// with elock, as the page says.
#[test]
fn a_command_outlives_elock_and_keeps_the_lock_through_the_program_of_openssh() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for (way, flags) in [(WAYS[0], &[][..]), (WAYS[0], &["-o"]), (WAYS[1], &[])] {
        let (mut running, mut stdout) = start(&mut self::running(&host, &daemon, way, flags, TALK));
        let command = Pid::from_raw(line(&mut stdout).parse().unwrap());
        daemon.until("a", true);
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        if way.is_empty() && flags.is_empty() {
            // An end of the connection would take a moment to arrive: two more logins take longer.
            let key = host.path("key");
            let ping = ["ping", "--ssh", &host.destination(), "--ssh-key", &key];
            for _ in 0..2 {
                assert_eq!(crate::run(&mut host.elock(&daemon, &ping)).0, 0);
            }
            assert_eq!(daemon.client().ask("i a"), "1 Lock Is Locked: a");
        } else {
            daemon.until("a", false);
            kill(command, None).expect("the command still runs");
        }
        kill(command, Signal::SIGKILL).unwrap();
        daemon.until("a", false);
    }
}

/// Goal: keys of a terminal are for the command, not for `ssh`. Method: a signal to the whole group, as Ctrl-C is.
#[test]
fn ssh_is_not_in_the_group_of_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let script = "echo $$; trap 'echo int' INT; sleep 0.1; while ! test -e go; do sleep 0.05; done; exit 4";
    let mut command = running(&host, &daemon, WAYS[0], &[], script);
    let (running, mut stdout) = start(command.current_dir(daemon.folder()));
    let shell: u32 = line(&mut stdout).parse().unwrap();
    let group = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap().to_owned()
    };
    let all = descendants(running.0.id());
    let is_ssh =
        |process: &u32| fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "ssh\n");
    let ssh = all.into_iter().find(is_ssh).unwrap();
    assert!(group(ssh) != group(shell) && group(running.0.id()) == group(shell));
    fs::write(daemon.folder().join("go"), "").unwrap();
    assert_eq!(end(running), (4, String::new()));
}

/// Goal: nothing is left of a connection. Method: the program of OpenSSH is looked for after each kind of end.
#[test]
fn no_ssh_is_left_behind() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let (destination, key) = (host.destination(), host.path("key"));
    let marker = host.path("known_hosts");
    let is_left = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|process| {
                let cmdline = fs::read(process.path().join("cmdline")).unwrap_or_default();
                cmdline.starts_with(b"ssh\0") && String::from_utf8_lossy(&cmdline).contains(&marker)
            })
            .count()
    };
    let through = ["--ssh", &destination, "--ssh-key", &key];
    assert_eq!(crate::run(&mut host.elock(&daemon, &[&["run"], &through[..], &["a", "true"]].concat())).0, 0);
    poll("ssh to end after a release", || (is_left() == 0).then_some(()));
    let mut holder = daemon.client();
    holder.get("b");
    let mut command = host.elock(&daemon, &[&["run"], &through[..], &["b", "true"]].concat());
    let (mut waiting, _stdout) = start(&mut command);
    daemon.until_waiters("b", 1);
    assert_eq!(is_left(), 1);
    waiting.0.kill().unwrap();
    waiting.0.wait().unwrap();
    daemon.until_waiters("b", 0);
    poll("ssh to end after a kill", || (is_left() == 0).then_some(()));
    // In the middle of a login that hangs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("a@127.0.0.1:{}", silent.local_addr().unwrap().port());
    for way in WAYS {
        let words = [&["ping", "--ssh", &nobody, "--ssh-timeout", "0.5"], way].concat();
        let (status, _, err) = crate::run(&mut host.elock(&daemon, &words));
        assert!(status == 69 && err.contains("has not let us in"), "{err}");
    }
    poll("ssh to end after a hang", || (is_left() == 0).then_some(()));
}
