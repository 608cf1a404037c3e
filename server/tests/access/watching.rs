//! What the log and the metrics say of logins and accounts: enough, and never a token.

use super::{Guarded, expect, token};
use crate::support::get;

#[test]
fn metrics_have_a_series_for_each_account() {
    let rules = "[accounts.web]\nallow = ['lock']\n[accounts.cron]\nallow = ['lock']\n";
    let guarded = Guarded::start(&["web", "cron"], rules, &["--metrics-listen", "127.0.0.1:0"]);
    let mut web = guarded.client("web");
    expect(&mut web, &[("g a", "1 Lock Get Success: a"), ("sg b", "1 Shared Lock Get Success: b")]);
    let mut waiting = guarded.client("web");
    waiting.send("gw 60000 a\n");
    let mut stranger = guarded.daemon.tcp();
    expect(&mut stranger, &[("g a", "0 Auth Required")]);
    let (_, text) = get(guarded.daemon.metrics_address(), "/metrics");
    for line in [
        "elockd_account_connections{account=\"web\"} 2",
        "elockd_account_connections{account=\"cron\"} 0",
        "elockd_account_connections{account=\"unauthenticated\"} 1",
        "elockd_account_holds{account=\"web\"} 2",
        "elockd_account_waiters{account=\"web\"} 1",
        "elockd_unauthenticated_closed_total 0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
    }
    let memory = text.lines().find(|line| line.starts_with("elockd_account_memory_bytes{account=\"web\"} "));
    assert!(memory.is_some_and(|line| !line.ends_with(" 0")), "{memory:?}");
}

#[test]
fn the_log_tells_of_logins_and_failures_and_of_no_token() {
    let guarded = Guarded::start(&["web"], "", &["--verbose", "--auth-required", "all"]);
    let mut client = guarded.daemon.tcp();
    let address = client.address();
    expect(&mut client, &[("auth wrong-secret", "0 Auth Failure")]);
    guarded.daemon.wait_for_log(&format!("{address} failed to authenticate: no such token"));
    expect(
        &mut client,
        &[(&*format!("auth {}", token("web")), "1 Auth Success: web"), ("g a", "1 Lock Get Success: a")],
    );
    let line = guarded.daemon.wait_for_log(&format!("{address} is account web now, by the token "));
    assert_eq!(line.rsplit(' ').next().unwrap().len(), 8, "{line}");
    // Many failures have few lines.
    let mut others: Vec<_> = (0..40).map(|_| guarded.daemon.unix()).collect();
    for other in &mut others {
        other.send("auth wrong-secret\x1b[2J\n");
    }
    for other in &mut others {
        other.expect("0 Auth Failure\n");
    }
    drop(client);
    guarded.daemon.wait_for_log(&format!("{address} disconnected"));
    let log = guarded.daemon.log();
    assert!(log.matches("failed to authenticate").count() <= 21, "{log}");
    for secret in ["wrong-secret", &*token("web"), "\x1b"] {
        assert!(!log.contains(secret), "{secret:?} is in {log}");
    }
}

/// Without accounts a token is only a word behind a verb. It is no less a secret.
#[test]
fn a_daemon_without_accounts_logs_no_token_either() {
    let daemon = crate::support::Daemon::start(&["--verbose"]);
    let mut client = daemon.tcp();
    expect(&mut client, &[("auth secret", "0 Auth Failure"), ("g a", "1 Lock Get Success: a")]);
    daemon.wait_for_log("got lock \"a\"");
    assert!(!daemon.log().contains("secret"), "{}", daemon.log());
}
