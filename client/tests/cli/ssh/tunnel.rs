//! `elock tunnel`: ports here that lead to the other side, again and again.

use crate::daemon::Daemon;
use crate::ssh::host::{Host, WAYS};
use crate::{Guarded, poll, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{ChildStderr, Command, Stdio};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tunnel(host: &Host, daemon: &Daemon, way: &[&str], forwardings: &[String]) -> Command {
    let (destination, key) = (host.destination(), host.path("key"));
    let mut words = [&["tunnel", "--ssh-key", &key], way].concat();
    for forwarding in forwardings {
        words.extend(["-L", forwarding]);
    }
    words.push(&destination);
    host.elock(daemon, &words)
}

fn started(command: &mut Command) -> (Guarded, BufReader<ChildStderr>) {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (Guarded(child), stderr)
}

fn says(stderr: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains(text), "{line}instead of {text}");
}

#[test]
fn it_leads_to_the_other_side_and_connects_again() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let ports = [free_port(), free_port()];
        let forwardings = ports.map(|port| format!("{port}:{}", daemon.address()));
        let (running, mut stderr) = started(&mut tunnel(&host, &daemon, way, &forwardings));
        for forwarding in &forwardings {
            says(&mut stderr, &format!("elock: 127.0.0.1:{forwarding} via {}", host.destination()));
        }
        for port in ports {
            let server = format!("127.0.0.1:{port}");
            assert_eq!(run(daemon.elock(&["run", "a", "true"]).env("ELOCK_SERVER", server)).0, 0);
        }
        // A connection through it ends with it.
        let mut through = TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
        assert!(host.signal_sessions(Signal::SIGKILL) > 0);
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = through.read_to_end(&mut rest);
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("elock: ") && line.ends_with("; trying again\n"), "{line}");
        for forwarding in &forwardings {
            says(&mut stderr, &format!("elock: 127.0.0.1:{forwarding} via "));
        }
        let server = format!("127.0.0.1:{}", ports[1]);
        assert_eq!(run(daemon.elock(&["ping"]).env("ELOCK_SERVER", server)).0, 0);
        // It ends when it is told to, and nothing listens any more.
        let mut running = running;
        kill(Pid::from_raw(running.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(!running.0.wait().unwrap().success());
        poll("the port to be free", || TcpListener::bind(("127.0.0.1", ports[0])).is_ok().then_some(()));
    }
}

#[test]
fn a_tunnel_that_cannot_begin_is_a_failure() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let forwarding = format!("{}:{}", taken.local_addr().unwrap().port(), daemon.address());
    for way in WAYS {
        let (status, _, err) = run(&mut tunnel(&host, &daemon, way, std::slice::from_ref(&forwarding)));
        assert!(status == 69 && err.contains("orward") | err.contains("cannot listen"), "{err}");
        host.know("other_host");
        let (status, _, err) = run(&mut tunnel(&host, &daemon, way, &[format!("{}:h:1", free_port())]));
        assert!(status == 69 && err.contains("another one"), "{err}");
        host.know("host");
    }
}
