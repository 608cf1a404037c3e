//! Goal: a client's certificate says whose it is, and that is all it may be. Method: rules for one certificate, clients
//! with that one, with another one, and with none.

use super::World;
use super::reload::reload;
use super::speaker::{Speaker, VERSIONS};
use std::fs;

const RULES: &str = "[accounts.cron]\nallow = ['lock']\nnames = ['cron.']\ncertificates = ['cron.example']\n\
                     [accounts.web]\nallow = ['lock']\nnames = ['web.']\ncertificates = ['web.example']\n";

#[test]
fn a_certificate_is_an_account() {
    let config = tempfile::NamedTempFile::new().unwrap();
    let path = config.path().to_str().unwrap();
    fs::write(path, RULES).unwrap();
    let flags = ["--config", path, "--tls-client-auth", "optional"];
    let world = World::asking(&flags);
    let with = |name: &str| {
        let issued = world.authority.issue(name);
        Speaker::with(&world.authority, Some(&issued), &VERSIONS).connect(world.address()).unwrap()
    };
    let mut cron = with("cron.example");
    assert_eq!(cron.ask("g cron.daily"), "1 Lock Get Success: cron.daily");
    assert_eq!(cron.ask("g web.1"), "0 Not Allowed: g");
    assert_eq!(cron.ask("i cron.daily"), "0 Not Allowed: i");
    let mut web = with("web.example");
    assert_eq!(web.ask("g cron.daily"), "0 Not Allowed: g");
    assert_eq!(web.ask("g web.1"), "1 Lock Get Success: web.1");
    for mut stranger in [with("other.example"), world.speaker().connect(world.address()).unwrap()] {
        assert_eq!(stranger.ask("g cron.weekly"), "0 Auth Required");
    }

    assert_eq!(
        world.daemon.tcp().ask("g cron.weekly"),
        "0 Auth Required",
        "nor is anybody known without TLS"
    );

    // Without its rules it is nobody's, and what it held is free.
    fs::write(path, RULES.split("[accounts.web]").next().unwrap()).unwrap();
    reload(&world, 1);
    world.daemon.wait_for_log("closed 1 connections of accounts that are gone");
    assert!(web.rest().is_ok());
    assert_eq!(with("web.example").ask("g web.1"), "0 Auth Required");
    assert_eq!(cron.ask("r cron.daily"), "1 Lock Release Success: cron.daily");
}
