//! The clients of etcd against a real one. Without etcd it is passed over, but not in CI.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_load::{EtcdCaller, Load, LoadError, Protocol, Scenario, Watch, etcd_leads};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_mins(1);

/// An etcd of one member. It ends with the test.
struct Etcd {
    process: Child,
    address: SocketAddr,
    _home: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Etcd {
    /// Starts it and waits until it leads. `None` if it is not installed.
    fn start() -> Option<Self> {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, peers, home) = (free(), format!("http://{}", free()), tempfile::tempdir().unwrap());
        let clients = format!("http://{address}");
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(home.path().join("data"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}"), "--logger", "zap"]);
        let process = match command.stdin(Stdio::null()).stderr(Stdio::null()).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                assert!(std::env::var_os("CI").is_none(), "CI needs etcd");
                return None;
            }
            started => started.unwrap(),
        };
        let mut etcd = Self { process, address, _home: home };
        while !etcd_leads(address).unwrap_or_default() {
            assert_eq!(etcd.process.try_wait().unwrap(), None, "etcd ended at its start");
            sleep(Duration::from_millis(20));
        }
        Some(etcd)
    }

    fn caller(&self) -> EtcdCaller {
        EtcdCaller::connect(self.address, TTL).unwrap()
    }
}

/// Goal: the clients speak as etcd does. A load of each kind measures something, a watch hears every reply, and a wait
/// ends when the lease of the holder is revoked, not before.
#[test]
fn etcd_is_understood() {
    let Some(etcd) = Etcd::start() else { return };
    let addresses = [etcd.address, etcd.address];
    let load = |scenario| {
        let (warm_up, measured) = (Duration::from_millis(50), Duration::from_millis(200));
        Load { scenario, connections: 5, depth: 1, warm_up, measured }
    };
    for scenario in [Scenario::Uncontended, Scenario::LineTurns] {
        let report = load(scenario).run_over(&addresses, Protocol::EtcdGrpc, &mut |_| {}).unwrap();
        assert!(report.operations > 5, "{scenario:?}: {report:?}");
    }
    let refused = load(Scenario::Fight).run_over(&addresses, Protocol::EtcdGrpc, &mut |_| {});
    assert!(matches!(refused, Err(LoadError::NoSuchScenario { .. })), "{refused:?}");

    let watch = Watch::start_over(addresses.to_vec(), Protocol::EtcdGrpc, 3, 100_000, TTL);
    let mut holder = etcd.caller();
    holder.hold(0..1_000).unwrap();
    assert!(matches!(holder.hold(999..1_000), Err(LoadError::Wrong { .. })), "it was put already");
    holder.keep().unwrap();
    let (granted, grant) = channel();
    let mut waiter = etcd.caller();
    let waiting = spawn(move || granted.send(waiter.wait_for(999)));
    let early = grant.recv_timeout(Duration::from_millis(200));
    assert!(early.is_err(), "it has what another holds");
    holder.revoke().unwrap();
    grant.recv().unwrap().unwrap();
    waiting.join().unwrap().unwrap();
    let latencies = watch.stop().unwrap();
    assert!(!latencies.samples.is_empty());
    assert_eq!(latencies.asked_again, 0);
}

/// Goal: a client whose lease is over is told so, and a refusal is known as one.
#[test]
fn a_lease_that_is_over_is_found() {
    let Some(etcd) = Etcd::start() else { return };
    // The shortest there is. No lower bound of it is asserted: it is etcd's.
    let mut caller = EtcdCaller::connect(etcd.address, Duration::from_secs(2)).unwrap();
    caller.hold(0..1).unwrap();
    etcd.caller().wait_for(0).unwrap();
    assert!(matches!(caller.keep(), Err(LoadError::Wrong { .. })));
    let refused = caller.wait_for(1);
    assert!(matches!(refused, Err(LoadError::Refused { .. })), "{refused:?}");
}
