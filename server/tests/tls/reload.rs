//! SIGHUP: other certificates for those who come, and none that do not fit.

use super::World;
use super::authority::Authority;
use super::speaker::Speaker;
use super::support::{Daemon, PATIENCE, poll, program};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// 2999-12-31, in Unix time.
const END_OF_2999: i64 = 32_503_593_600;

/// Sends SIGHUP, and waits until it was heeded.
pub(crate) fn reload(world: &World, times: usize) {
    world.daemon.signal(Signal::HUP);
    let is_done = || (world.daemon.log().matches("reloaded on SIGHUP").count() == times).then_some(());
    poll("the reload", PATIENCE, is_done);
}

#[test]
fn new_certificates_are_for_those_who_come_and_nobody_is_cut_off() {
    let world = World::start(&[]);
    let mut before = world.speaker().connect(world.address()).unwrap();
    assert_eq!(before.ask("g x"), "1 Lock Get Success: x");
    assert_eq!(world.metric("elockd_tls_certificate_expiry_seconds"), END_OF_2999);
    let next = Authority::new(world.folder.path(), "next");
    let own = next.issue_until("daemon", 2998);
    fs::write(&world.own.cert, &own.pem).unwrap();
    fs::write(&world.own.key, &own.key_pem).unwrap();
    world.speaker().connect(world.address()).expect("nothing is read before SIGHUP");
    reload(&world, 1);
    world.daemon.wait_for_log("valid until 2998-12-31");
    assert!(world.metric("elockd_tls_certificate_expiry_seconds") < END_OF_2999);
    Speaker::new(&next).connect(world.address()).unwrap();
    assert!(world.speaker().connect(world.address()).is_err(), "it has the new one");
    assert_eq!(before.ask("i x"), "1 Lock Is Locked: x");
}

#[test]
fn what_does_not_fit_changes_nothing_and_the_log_says_why() {
    let world = World::start(&[]);
    let expired = world.authority.issue_until("daemon", 2001);
    let other = world.authority.issue("other");
    let (cert, key) = (world.own.pem.as_str(), world.own.key_pem.as_str());
    for (number, (cert, key, reason)) in (1..).zip([
        (expired.pem.as_str(), expired.key_pem.as_str(), "is not valid now: it expired on 2001-12-31"),
        (cert, other.key_pem.as_str(), "is not that of the certificate"),
        ("", key, "has no certificate"),
        (cert, "", "has no private key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key, "it is not X.509"),
        ("-----BEGIN CERTIFICATE-----\n", key, "cannot read"),
    ]) {
        fs::write(&world.own.cert, cert).unwrap();
        fs::write(&world.own.key, key).unwrap();
        reload(&world, number);
        world.daemon.wait_for_log(reason);
        let goes_on = world.daemon.log().matches("TLS goes on with the certificates that it has").count();
        assert_eq!(goes_on, number, "{reason}");
        world.speaker().connect(world.address()).expect(reason);
    }
    fs::remove_file(&world.own.cert).unwrap();
    for (number, (target, reason)) in (7..).zip([
        ("/none", "No such file"),
        ("/dev/zero", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
        ("long", "it has more than 1048576 bytes"),
    ]) {
        let target = world.folder.path().join(target);
        match target.file_name().unwrap().to_str().unwrap() {
            "pipe" => mknodat(CWD, &target, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            "long" => fs::write(&target, vec![b'x'; (1 << 20) + 1]).unwrap(),
            _ => {}
        }
        symlink(&target, &world.own.cert).unwrap();
        reload(&world, number);
        poll(reason, PATIENCE, || (world.daemon.log().matches(reason).count() > 0).then_some(()));
        world.speaker().connect(world.address()).expect(reason);
        fs::remove_file(&world.own.cert).unwrap();
    }
    assert_eq!(world.daemon.log().matches("TLS goes on with the certificates that it has").count(), 10);
}

#[test]
fn a_certificate_that_has_expired_is_told_of_at_the_start() {
    let folder = TempDir::new().unwrap();
    let own = Authority::new(folder.path(), "authority").issue_until("daemon", 2001);
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]);
    command.args(["--tls-cert", &own.cert, "--tls-key", &own.key]);
    let daemon = Daemon::spawn(command, TempDir::new().unwrap());
    daemon.wait_for_log("it expired on 2001-12-31");
    assert_eq!(daemon.tcp().ask("ping"), "1 pong", "other listeners are there");
}
