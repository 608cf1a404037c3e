//! SIGHUP reads tokens and rules again. Wrong files change nothing, and say why.

use super::{Files, Guarded, expect, token, write};
use crate::support::{Daemon, PATIENCE, poll};
use rustix::process::Signal;
use std::fs;

impl Guarded {
    /// Sends SIGHUP, and waits until the log says this once more.
    fn reload(&self, said: &str) {
        let count = || self.daemon.log().matches(said).count();
        let before = count();
        self.daemon.signal(Signal::HUP);
        poll(&format!("the daemon to say {said:?}"), PATIENCE, || (count() > before).then_some(()));
    }
}

#[test]
fn a_token_is_rotated_without_a_break() {
    let guarded = Guarded::start(&["web"], "", &[]);
    let new = token("new");
    let line = |text: &str| {
        let digest = elockd_server::access::TokenDigest::of(text.as_bytes());
        elockd_server::access::TokenFile::line("web", &digest, "")
    };
    let mut old = guarded.client("web");
    expect(&mut old, &[("g a", "1 Lock Get Success: a")]);
    // Both count.
    write(&guarded.files.tokens(), &format!("{}{}", line(&token("web")), line(&new)), 0o640);
    guarded.reload("changed access: 2 tokens");
    drop(guarded.client("web"));
    let mut client = guarded.daemon.tcp();
    assert_eq!(client.ask(&format!("auth {new}")), "1 Auth Success: web");
    // The old one is gone, and whoever has logged in by it goes on.
    write(&guarded.files.tokens(), &line(&new), 0o640);
    guarded.reload("changed access: 1 tokens");
    let mut late = guarded.daemon.tcp();
    assert_eq!(late.ask(&format!("auth {}", token("web"))), "0 Auth Failure");
    expect(&mut old, &[("i a", "1 Lock Is Locked: a"), ("r a", "1 Lock Release Success: a")]);
    expect(&mut client, &[("g a", "1 Lock Get Success: a")]);
    // Nothing has changed, and nothing is said of it.
    let said = guarded.daemon.log().matches("changed access").count();
    guarded.reload("reloaded on SIGHUP");
    assert_eq!(guarded.daemon.log().matches("changed access").count(), said);
}

#[test]
fn wrong_files_change_nothing_and_say_why() {
    let rules = "[accounts.web]\nallow = ['lock']\n";
    let guarded = Guarded::start(&["web"], rules, &[]);
    let mut client = guarded.client("web");
    let tokens = fs::read_to_string(guarded.files.tokens()).unwrap();
    let mut tries = 0;
    let mut refused = |why: &str| {
        guarded.reload(&format!("reloaded nothing, the settings are wrong: {why}"));
        tries += 1;
        assert_eq!(client.ask(&format!("g {tries}")), format!("1 Lock Get Success: {tries}"), "{why}");
        assert_eq!(client.ask("q"), "0 Not Allowed: q");
        assert_eq!(client.line(), "");
        drop(guarded.client("web"));
    };
    let path = guarded.files.tokens();
    let in_tokens = |why: &str| format!("in the token file {}: {why}", path.display());
    for (text, mode, why) in [
        ("", 0o600, "it has no token"),
        (&*tokens, 0o644, "its mode 644 lets others read"),
        (&*tokens, 0o660, "its mode 660 lets others read or write it, or its group write it"),
        ("web\n", 0o600, "line 1: it has one word"),
        ("web token-of-web\n", 0o600, "line 1: of the second word, it is not `sha256:`"),
        (&format!("{tokens}{tokens}"), 0o600, "lines 1 and 2 are of the same token"),
        (
            &tokens.replace("web", "admin"),
            0o600,
            "line 1: `admin` is an account that the daemon has by itself",
        ),
    ] {
        write(&path, text, mode);
        refused(&in_tokens(why));
    }
    fs::remove_file(&path).unwrap();
    refused(&in_tokens("No such file"));
    fs::create_dir(&path).unwrap();
    refused(&in_tokens("it is not a regular file"));
    fs::remove_dir(&path).unwrap();
    write(&path, &tokens, 0o600);
    let in_config = format!("in {}: ", guarded.files.config().display());
    for (rules, why) in [
        (
            "[accounts.cron]\nallow = ['lock']\n",
            "accounts: the token file has tokens of `web`, which has no rules".to_owned(),
        ),
        (
            "[accounts.web]\nallow = ['lokc']\n",
            format!("{in_config}[accounts.web]: `lokc` is neither a right"),
        ),
        ("[accounts.web]\n", format!("{in_config}[accounts.web]: missing field `allow`")),
        ("accounts = 1\n", format!("{in_config}`accounts` is a integer")),
        (
            "[accounts.web]\nallow = []\nnames = [' a']\n",
            format!("{in_config}[accounts.web]: no name begins with"),
        ),
    ] {
        guarded.files.set_config(rules);
        refused(&why);
    }
    assert!(!guarded.daemon.log().contains("token-of-"), "no token is in the log");
}

#[test]
fn an_account_that_is_gone_loses_its_connections_and_its_locks() {
    let rules = |names: &[&str]| -> String {
        let tables: Vec<_> =
            names.iter().map(|name| format!("[accounts.{name}]\nallow = ['lock']\n")).collect();
        tables.concat()
    };
    let guarded = Guarded::start(&["web", "cron"], &rules(&["web", "cron"]), &[]);
    let mut web = guarded.client("web");
    let mut cron = guarded.client("cron");
    expect(&mut web, &[("g a", "1 Lock Get Success: a")]);
    cron.send("gw 60000 a\n");
    guarded.files.set_tokens(&["cron"]);
    guarded.files.set_config(&rules(&["cron"]));
    guarded.reload("closed 1 connections of accounts that are gone");
    web.expect_end();
    assert_eq!(cron.line(), "1 Lock Get Success: a");
    // When it comes back, it is a new beginning.
    guarded.files.set_tokens(&["cron", "web"]);
    guarded.files.set_config(&rules(&["cron", "web"]));
    guarded.reload("changed access: 2 tokens, rules of 2 accounts");
    expect(&mut guarded.client("web"), &[("g a", "0 Lock Get Failure: a")]);
}

#[test]
fn rules_and_who_is_asked_change_with_the_files() {
    let guarded = Guarded::start(&["web"], "[accounts.web]\nallow = ['lock']\n", &[]);
    let mut web = guarded.client("web");
    expect(&mut web, &[("g a", "1 Lock Get Success: a"), ("i a", "0 Not Allowed: i")]);
    guarded.files.set_config("auth-required = 'none'\n[accounts.web]\nallow = ['inspect']\nnames = ['a']\n");
    guarded.reload("changed auth-required from tcp to none");
    guarded.daemon.wait_for_log("changed access");
    expect(
        &mut web,
        &[("i a", "1 Lock Is Locked: a"), ("i b", "0 Not Allowed: i"), ("g a", "0 Not Allowed: g")],
    );
    expect(&mut guarded.daemon.tcp(), &[("i a", "1 Lock Is Locked: a")]);
}

#[test]
fn accounts_come_and_go_at_a_start_only() {
    let files = Files::new(&["web"], "");
    let config = files.config();
    write(&config, "", 0o644);
    let daemon = Daemon::start(&["--config", config.to_str().unwrap()]);
    let guarded = Guarded { daemon, files };
    let mut client = guarded.daemon.tcp();
    expect(&mut client, &[("g a", "1 Lock Get Success: a")]);
    guarded.files.set_config("[accounts.web]\nallow = []\n");
    guarded.reload("not changed until the next start: accounts from none to some");
    guarded.daemon.wait_for_log("not changed until the next start: token-file from unset to ");
    expect(&mut client, &[("r a", "1 Lock Release Success: a"), ("auth x", "0 Auth Failure")]);
    expect(&mut guarded.daemon.tcp(), &[("g a", "1 Lock Get Success: a")]);
    assert!(!guarded.daemon.log().contains("access has"), "{}", guarded.daemon.log());

    let guarded = Guarded::start(&["web"], "", &[]);
    write(&guarded.files.config(), "", 0o644);
    for _ in 0..2 {
        guarded.reload("not changed until the next start: token-file from ");
    }
    expect(&mut guarded.daemon.tcp(), &[("g a", "0 Auth Required")]);
    drop(guarded.client("web"));
}
