//! Every answer to `auth`, and to whoever has not said it.

use super::{Guarded, Transport, expect, is_framed, say, token};
use crate::support::{Client, Daemon, PATIENCE, poll};
use elockd_core::Verb;

/// Goal: a stranger is told one thing, whatever it asks. Method: every verb, with words that make it a command.
#[test]
fn a_stranger_may_say_four_verbs() {
    let guarded = Guarded::start(&["web"], "", &["--auth-required", "all"]);
    let mut web = guarded.client("web");
    expect(
        &mut web,
        &[
            ("g 7 secret", "1 Lock Get Success: 7 secret"),
            ("sg 7 secret", "1 Shared Lock Get Success: 7 secret"),
        ],
    );
    for transport in Transport::BOTH {
        for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Quit) {
            let mut stranger = guarded.daemon.connect(transport);
            let request = format!("{} 7 7 secret", verb.word());
            let answer = say(&mut stranger, &request, verb.is_framed());
            match verb.word() {
                "auth" => assert_eq!(answer, "0 Auth Failure"),
                "ping" => assert_eq!(answer, "1 pong"),
                "help" => assert_eq!(answer.matches('|').count(), 3, "{answer}"),
                _ => assert_eq!(answer, "0 Auth Required", "{request} over {transport:?}"),
            }
            if verb.word() == "steal" {
                stranger.send("quit\n");
                stranger.expect_end();
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_line_is_answered_as_ever() {
    let guarded = Guarded::start(&["web"], "", &[]);
    let mut stranger = guarded.daemon.tcp();
    let lines = [
        ("G a", "0 Unknown Command: G"),
        ("gw x a", "0 Bad Argument: gw"),
        ("linger", "0 Bad Argument: linger"),
        ("d", "0 Auth Required"),
        ("who", "0 Auth Required"),
        ("dump", "0 Auth Required"),
    ];
    expect(&mut stranger, &lines);
    let long = "n".repeat(3000);
    assert_eq!(stranger.ask(&format!("g {long}")), "0 Auth Required");
    let guarded = Guarded::start(&["web"], "max-name-bytes = 10\nmax-line-bytes = 100\n", &[]);
    let mut stranger = guarded.daemon.tcp();
    let [name, line] = ["n".repeat(11), "n".repeat(200)];
    assert_eq!(stranger.ask(&format!("g {name}")), "0 Auth Required", "it comes before Name Too Long");
    assert_eq!(stranger.ask(&format!("g {line}")), "0 Line Too Long");
}

#[test]
fn a_connection_is_of_the_account_that_it_said_last() {
    let guarded = Guarded::start(&["web", "cron"], "", &[]);
    let mut client = guarded.daemon.tcp();
    let [web, cron] = [token("web"), token("cron")].map(|token| format!("auth {token}"));
    expect(
        &mut client,
        &[
            (&*web, "1 Auth Success: web"),
            (&*web, "1 Auth Success: web"),
            (&*cron, "1 Auth Success: cron"),
            ("g a", "1 Lock Get Success: a"),
            (&*cron, "1 Auth Success: cron"),
            (&*web, "0 Auth Failure"),
            ("i a", "1 Lock Is Locked: a"),
            ("auth x", "0 Auth Failure"),
            ("r a", "1 Lock Release Success: a"),
            (&*web, "1 Auth Success: web"),
        ],
    );
}

#[test]
fn what_is_pipelined_behind_a_login_is_its_accounts() {
    let guarded = Guarded::start(&["web"], "", &[]);
    for cut in [false, true] {
        let mut client = guarded.daemon.tcp();
        let said = format!(
            "g a\nauth {}\ng a\nauth {}\nls\nr a\nauth nobody\ng b\nra\n",
            token("web"),
            token("web")
        );
        if cut {
            said.bytes().for_each(|byte| client.send([byte]));
        } else {
            client.send(&said);
        }
        client.expect("0 Auth Required\n1 Auth Success: web\n1 Lock Get Success: a\n1 Auth Success: web\n");
        let row = client.line();
        assert!(row.starts_with("x ") && row.ends_with(" a"), "{row}");
        client
            .expect("\n1 Lock Release Success: a\n0 Auth Failure\n1 Lock Get Success: b\n1 Locks Released\n");
        drop(client);
    }
}

#[test]
fn a_login_before_fin_is_answered() {
    let guarded = Guarded::start(&["web"], "", &[]);
    let mut client = guarded.daemon.tcp();
    client.send(format!("auth {}\ng a\n", token("web")));
    client.half_close();
    client.expect("1 Auth Success: web\n1 Lock Get Success: a\n");
    client.expect_end();
    let mut client = guarded.daemon.tcp();
    client.send("auth wrong\ng a\n");
    client.half_close();
    // The end comes while the answer is held back, as in a wait. What is behind it runs only if the end came late.
    client.expect("0 Auth Failure\n");
    let rest = client.rest();
    assert!(rest.is_empty() || rest == b"0 Auth Required\n", "{}", rest.escape_ascii());
}

#[test]
fn a_daemon_without_accounts_knows_no_token_and_asks_for_none() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let mut client = daemon.connect(transport);
        let lines = [
            ("auth x", "0 Auth Failure"),
            ("auth", "0 Auth Failure"),
            ("g a", "1 Lock Get Success: a"),
            ("ra", "1 Locks Released"),
        ];
        expect(&mut client, &lines);
        assert_eq!(client.figures()["command_auth"] % 2, 0);
    }
}

/// Goal: each listener asks whom it should. Method: every value of the setting.
#[test]
fn it_depends_on_the_listener_who_must_log_in() {
    for (flag, tcp, unix) in [("tcp", true, false), ("all", true, true), ("none", false, false)] {
        let dir = tempfile::TempDir::new().unwrap();
        let admin = dir.path().join("admin.sock");
        let flags = ["--auth-required", flag, "--admin-unix", admin.to_str().unwrap()];
        let guarded = Guarded::start(&["web"], "", &flags);
        guarded.daemon.wait_for_log("for operators");
        for (transport, is_asked) in [(Transport::Tcp, tcp), (Transport::Unix, unix)] {
            let mut client = guarded.daemon.connect(transport);
            let expected = if is_asked { "0 Auth Required" } else { "1 Lock Get Success: a" };
            assert_eq!(client.ask("g a"), expected, "{flag} {transport:?}");
            client.send("ra\n");
            client.line();
            assert_eq!(client.ask(&format!("auth {}", token("web"))), "1 Auth Success: web");
            assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
            assert_eq!(client.ask("ra"), "1 Locks Released");
        }
        let mut operator = Client::unix(&admin);
        assert_eq!(operator.ask("kick nobody"), "0 Kick Failure: nobody");
        assert_eq!(
            operator.ask(&format!("auth {}", token("web"))),
            "0 Auth Failure",
            "it has no use for tokens"
        );
    }
}

#[test]
fn an_account_has_as_many_connections_as_its_quota_says() {
    let rules = "[accounts.web]\nallow = ['lock']\nmax-connections = 2\n";
    let guarded = Guarded::start(&["web"], rules, &[]);
    let (first, mut second) = (guarded.client("web"), guarded.client("web"));
    assert_eq!(second.ask(&format!("auth {}", token("web"))), "1 Auth Success: web", "it counts once");
    let mut third = guarded.daemon.tcp();
    third.send(format!("auth {}\nping\n", token("web")));
    third.expect("0 Too Many Connections\n");
    third.expect_end();
    drop(first);
    // The daemon may need a moment to notice.
    poll("room for one more", PATIENCE, || {
        let mut next = guarded.daemon.tcp();
        (next.ask(&format!("auth {}", token("web"))) == "1 Auth Success: web").then_some(())
    });
    assert!(is_framed("help") && !is_framed("auth x"));
}
