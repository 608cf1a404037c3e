//! Goal: over TLS the daemon is the same as over TCP, and lets in whom it should. Method: the daemon as a process,
//! certificates made for each test, and a client by rustls. Where rustls would not do it: bytes written by hand.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod accounts;
mod authority;
mod handshakes;
mod lines;
mod page;
mod reload;
mod speaker;
#[path = "../support/mod.rs"]
mod support;

use authority::{Authority, Issued};
use speaker::{Speaker, VERSIONS};
use std::net::SocketAddr;
use support::{Daemon, PATIENCE, get, poll, program};
use tempfile::TempDir;
use tokio_rustls::rustls::HandshakeKind;

/// A daemon with TLS, plain TCP and metrics, and whom clients trust.
struct World {
    daemon: Daemon,
    authority: Authority,
    own: Issued,
    /// Where the authority keeps its files.
    folder: TempDir,
}

impl World {
    fn start(flags: &[&str]) -> Self {
        Self::start_with(|_, _| Vec::new(), flags)
    }

    /// Flags that need the authority too.
    fn start_with(more: impl Fn(&Authority, &Issued) -> Vec<String>, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let own = authority.issue("daemon");
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]);
        command.args(["--metrics-listen", "127.0.0.1:0", "--tls-cert", &own.cert, "--tls-key", &own.key]);
        command.args(more(&authority, &own)).args(flags);
        let daemon = Daemon::spawn(command, TempDir::new().unwrap());
        let world = Self { daemon, authority, own, folder };
        world.address();
        world.daemon.metrics_address();
        world
    }

    /// With client certificates.
    fn asking(flags: &[&str]) -> Self {
        Self::start_with(|authority, _| vec!["--tls-client-ca".to_owned(), authority.file.clone()], flags)
    }

    /// Where it speaks TLS.
    fn address(&self) -> SocketAddr {
        let line = self.daemon.wait_for_log(" (TLS)");
        line.split("listening on tcp ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    fn speaker(&self) -> Speaker {
        Speaker::new(&self.authority)
    }

    fn metric(&self, name: &str) -> i64 {
        let (_, body) = get(self.daemon.metrics_address(), "/metrics");
        let line = body.lines().find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {body}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn wait_for_metric(&self, name: &str, value: i64) {
        poll(&format!("{name} to be {value}"), PATIENCE, || (self.metric(name) == value).then_some(()));
    }
}

#[test]
fn both_versions_are_spoken_with_or_without_the_protocols_name() {
    let world = World::start(&[]);
    for version in VERSIONS {
        let mut client = Speaker::with(&world.authority, None, &[version]).connect(world.address()).unwrap();
        assert_eq!(client.session().protocol_version(), Some(version.version));
        assert_eq!(client.ask("g x"), "1 Lock Get Success: x");
        assert_eq!(client.ask("d"), format!("x: {}", client.socket().local_addr().unwrap()));
        assert_eq!(client.line(), "");
        assert_eq!(client.ask("r x"), "1 Lock Release Success: x");
    }
    let mut named = world.speaker().offering("elock/1").connect(world.address()).unwrap();
    assert_eq!(named.session().alpn_protocol(), Some(&b"elock/1"[..]));
    let other = world.speaker().offering("http/1.1").connect(world.address());
    assert!(other.unwrap_err().to_string().contains("NoApplicationProtocol"));
    world.wait_for_metric("elockd_handshakes_failed_total", 1);
}

/// A resumed session would let in whom a reload has locked out.
#[test]
fn no_session_is_resumed() {
    let world = World::start(&[]);
    for version in VERSIONS {
        let speaker = Speaker::with(&world.authority, None, &[version]);
        for _ in 0..3 {
            let mut client = speaker.connect(world.address()).unwrap();
            assert_eq!(client.ask("ping"), "1 pong");
            assert_eq!(client.session().handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

#[test]
fn versions_before_1_2_are_refused_with_the_reason() {
    let world = World::start(&[]);
    // A hello of TLS 1.1: its version, 32 random bytes, no session, one cipher, no compression, one way to sign.
    let body = [&[3, 2][..], &[7; 32], &[0, 0, 2, 0xC0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]].concat();
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let record = [&[0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()][..], &message].concat();
    let mut client = support::Client::tcp(world.address());
    client.send(record);
    let alert = client.rest();
    assert_eq!(alert, [0x15, 3, 3, 0, 2, 2, 70], "a fatal alert: protocol_version");
    world.daemon.wait_for_log("failed: TLS: ");
}

#[test]
fn a_client_that_expects_another_daemon_does_not_go_on() {
    let world = World::start(&[]);
    let error = world.speaker().expecting("another").connect(world.address()).map(drop).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let stranger = Authority::new(world.folder.path(), "stranger");
    let error = Speaker::new(&stranger).connect(world.address()).map(drop).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    world.wait_for_metric("elockd_handshakes_failed_total", 2);
    assert_eq!(world.metric("elockd_connections_opened_total"), 0, "the machine has never heard of them");
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_are_let_in() {
    let world = World::asking(&[]);
    let stranger = Authority::new(world.folder.path(), "stranger");
    let mut refused = 0;
    for version in VERSIONS {
        let connect = |own: Option<&Issued>| {
            Speaker::with(&world.authority, own, &[version]).connect(world.address()).map(drop)
        };
        connect(Some(&world.authority.issue("client"))).unwrap();
        for (own, alert) in [
            (None, ["CertificateRequired", "HandshakeFailure"]),
            (Some(stranger.issue("client")), ["UnknownCA", "UnknownCA"]),
            (Some(world.authority.issue_until("client", 2001)), ["CertificateExpired", "CertificateExpired"]),
        ] {
            let error = connect(own.as_ref()).unwrap_err().to_string();
            assert!(alert.iter().any(|alert| error.contains(alert)), "{version:?}: {error}");
            refused += 1;
        }
    }
    world.wait_for_metric("elockd_handshakes_failed_total", refused);
    assert_eq!(world.metric("elockd_connections_opened_total"), 2);
    world.daemon.wait_for_log("TLS: the peer has no certificate");
}

#[test]
fn a_certificate_can_be_optional_and_a_wrong_one_is_still_refused() {
    let world = World::asking(&["--tls-client-auth", "optional"]);
    world.speaker().connect(world.address()).unwrap();
    let own = world.authority.issue("client");
    Speaker::with(&world.authority, Some(&own), &VERSIONS).connect(world.address()).unwrap();
    let stranger = Authority::new(world.folder.path(), "stranger").issue("client");
    let refused = Speaker::with(&world.authority, Some(&stranger), &VERSIONS).connect(world.address());
    assert!(refused.is_err());
}

#[test]
fn the_flags_of_glockd_mean_the_same() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let own = authority.issue("daemon");
    let mut command = program();
    command.args(["-listen", "127.0.0.1:0", "-ssl", "-ssl-cert", &own.cert, "-ssl-key", &own.key]);
    command.args(["-ssl-ca", &authority.file]);
    let daemon = Daemon::spawn(command, TempDir::new().unwrap());
    let address = daemon.tcp_address();
    assert!(daemon.wait_for_log("listening on tcp").contains("(TLS)"));
    let client = authority.issue("client");
    Speaker::with(&authority, Some(&client), &VERSIONS).connect(address).unwrap();
    assert!(Speaker::new(&authority).connect(address).is_err(), "a client needs a certificate");
}

/// Goal: wrong settings are refused before anything is done, and the message says which. Method: one daemon each.
#[test]
fn a_daemon_does_not_start_without_what_tls_needs() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (own, other) = (authority.issue("daemon"), authority.issue("other"));
    let empty = folder.path().join("empty").to_str().unwrap().to_owned();
    std::fs::write(&empty, "").unwrap();
    let at = "127.0.0.1:0";
    let (cert, key) = (own.cert.as_str(), own.key.as_str());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--tls-listen", at], 2, "TLS needs --tls-cert and --tls-key"),
        (&["--tls-listen", at, "--tls-cert", cert], 2, "TLS needs --tls-cert and --tls-key"),
        (&["--tls-cert", cert, "--tls-key", key], 2, "nothing listens with TLS"),
        (&["--tls-client-ca", cert], 2, "nothing listens with TLS"),
        (&["--tls-listen", at, "--tls-cert", "/none", "--tls-key", key], 1, "cannot read /none"),
        (&["--tls-listen", at, "--tls-cert", &empty, "--tls-key", key], 1, "empty has no certificate"),
        (
            &["--tls-listen", at, "--tls-cert", cert, "--tls-key", cert],
            1,
            "daemon.2999.crt has no private key",
        ),
        (
            &["--tls-listen", at, "--tls-cert", cert, "--tls-key", &other.key],
            1,
            "is not that of the certificate",
        ),
        (
            &["--tls-listen", at, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", key],
            1,
            "daemon.2999.key has no certificate",
        ),
    ];
    for (flags, status, reason) in cases {
        let output = program().args(["--listen", at]).args(*flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(*status) && said.contains(reason), "{flags:?}: {said}");
    }
}
