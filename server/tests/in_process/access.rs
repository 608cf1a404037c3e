//! Who must say whose it is, and has not: how long it has, how much it may send, how long a wrong token takes, and that
//! nobody else notices any of it.

use super::{Running, ask, line, rest, start};
use elockd_server::access::{
    Access, AccountEntry, DEFAULT, Required, Rulebook, Rules, TokenDigest, TokenFile,
};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, advance, sleep, timeout};

/// The token of an account.
fn token(account: &str) -> String {
    format!("token-of-{account}")
}

fn entry(name: &str, allow: &[&str]) -> AccountEntry {
    AccountEntry {
        name: name.to_owned(),
        rules: Rules::new(allow, &[], None).unwrap(),
        quotas: elockd_core::Quotas::default(),
        all_figures: false,
        certificates: Vec::new(),
    }
}

/// Accounts that may do what clients may. Everybody must say whose they are.
fn rulebook(accounts: &[&str]) -> Rulebook {
    let mut text = String::new();
    for account in accounts {
        let digest = TokenDigest::of(token(account).as_bytes());
        write!(text, "{}", TokenFile::line(account, &digest, "")).unwrap();
    }
    Rulebook {
        tokens: Some(TokenFile::parse(text.as_bytes()).unwrap()),
        entries: Vec::new(),
        required: Required { tcp: true, unix: true },
    }
}

fn guarded(change: impl FnOnce(&mut elockd_server::Config)) -> Running {
    start(|config| {
        config.access = Some(Arc::new(Access::new(&rulebook(&["web", "cron"])).unwrap()));
        change(config);
    })
}

async fn logged_in(server: &Running, account: &str) -> DuplexStream {
    let mut stream = server.connect(1 << 16);
    let answer = ask(&mut stream, &format!("auth {}\n", token(account))).await;
    assert_eq!(answer, format!("1 Auth Success: {account}\n"));
    stream
}

/// How long it takes until something is there to read.
async fn until_read(stream: &mut DuplexStream) -> (Duration, u8) {
    let begin = Instant::now();
    let byte = stream.read_u8().await.unwrap();
    (begin.elapsed(), byte)
}

/// Whether the connection is open and silent now.
async fn is_open(stream: &mut DuplexStream) -> bool {
    timeout(Duration::ZERO, stream.read_u8()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_closed_when_its_time_is_over_and_nobody_else_is() {
    let server = guarded(|config| config.auth_timeout = Duration::from_secs(7));
    let mut silent = server.connect(4096);
    let mut talking = server.connect(4096);
    assert_eq!(ask(&mut talking, "ping\n").await, "1 pong\n");
    let mut web = logged_in(&server, "web").await;
    sleep(Duration::from_millis(6_998)).await;
    assert_eq!(ask(&mut talking, "ping\n").await, "1 pong\n");
    assert!(is_open(&mut silent).await && is_open(&mut talking).await);
    sleep(Duration::from_millis(3)).await;
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut talking).await, "");
    assert_eq!(server.monitor.strangers_closed(), 2);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(ask(&mut web, "g a\n").await, "1 Lock Get Success: a\n");
    assert_eq!(server.monitor.strangers_closed(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_answered_later_each_time_and_others_at_once() {
    let server = guarded(|config| config.auth_timeout = Duration::from_secs(3600));
    let mut web = logged_in(&server, "web").await;
    let mut guesser = server.connect(4096);
    let longest = "x".repeat(300);
    // Unknown, empty, too long, a digest instead of a token, and the begin of a right one.
    let digest = TokenDigest::of(token("web").as_bytes()).to_string();
    let wrong = ["guess", "", &longest, &digest, &token("we")];
    for (word, ms) in wrong.iter().zip([250, 500, 1000, 2000, 4000]) {
        guesser.write_all(format!("ping\nauth {word}\nping\n").as_bytes()).await.unwrap();
        assert_eq!(line(&mut guesser).await, "1 pong\n", "what came before is answered before");
        let begin = Instant::now();
        assert_eq!(ask(&mut web, "g a\nr a\n").await, "1 Lock Get Success: a\n");
        assert_eq!(line(&mut web).await, "1 Lock Release Success: a\n");
        assert_eq!(begin.elapsed(), Duration::ZERO, "nobody else waits");
        let (delay, first) = until_read(&mut guesser).await;
        assert_eq!((delay.as_millis(), first), (ms, b'0'), "{word:.20}");
        assert_eq!(line(&mut guesser).await, " Auth Failure\n");
        assert_eq!(line(&mut guesser).await, "1 pong\n");
        assert_eq!(begin.elapsed(), delay, "what came behind it is answered at once then");
    }
    let begin = Instant::now();
    assert_eq!(ask(&mut guesser, &format!("auth {}\n", token("cron"))).await, "1 Auth Success: cron\n");
    assert_eq!(begin.elapsed(), Duration::ZERO, "a right token is never delayed");
    guesser.write_all(b"auth guess\n").await.unwrap();
    assert_eq!(until_read(&mut guesser).await.0.as_millis(), 250, "and forgives what came before");
}

/// Goal: a login that is refused for what the connection holds changes nothing. Method: accounts that may do different
/// things, and a token that is right.
#[tokio::test(start_paused = true)]
async fn a_right_token_of_an_account_that_cannot_be_had_changes_nothing_and_is_answered_at_once() {
    let entries = vec![entry("web", &["lock"]), entry("cron", &["inspect"])];
    let rulebook = Rulebook { entries, ..rulebook(&["web", "cron"]) };
    let server = start(|config| config.access = Some(Arc::new(Access::new(&rulebook).unwrap())));
    let mut web = logged_in(&server, "web").await;
    assert_eq!(ask(&mut web, "g a\n").await, "1 Lock Get Success: a\n");
    let begin = Instant::now();
    assert_eq!(ask(&mut web, &format!("auth {}\n", token("cron"))).await, "0 Auth Failure\n");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(ask(&mut web, "i a\n").await, "0 Not Allowed: i\n", "it is not cron");
    assert_eq!(ask(&mut web, "r a\n").await, "1 Lock Release Success: a\n");
}

/// Goal: a stranger that is refused leaves nothing behind. Method: more of them than there are sockets.
#[tokio::test(start_paused = true)]
async fn a_stranger_that_is_refused_gives_its_place_back() {
    let server = guarded(|config| {
        config.max_unauthenticated = 1;
        config.max_sockets = 4;
    });
    let mut stranger = server.connect(4096);
    assert_eq!(ask(&mut stranger, "ping\n").await, "1 pong\n");
    for _ in 0..20 {
        assert_eq!(rest(&mut server.connect(4096)).await, "0 Too Many Connections\n");
    }
    drop(stranger);
    sleep(Duration::from_secs(5)).await;
    let mut webs = Vec::new();
    for _ in 0..4 {
        webs.push(logged_in(&server, "web").await);
    }
    assert_eq!(rest(&mut server.connect(4096)).await, "0 Too Many Connections\n", "no socket is left");
    drop(webs);
    sleep(Duration::from_secs(5)).await;
    drop(logged_in(&server, "web").await);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_braked_ends_with_its_connection() {
    let server = guarded(|config| config.auth_timeout = Duration::from_millis(100));
    let mut late = server.connect(4096);
    late.write_all(b"auth guess\n").await.unwrap();
    let begin = Instant::now();
    assert_eq!(rest(&mut late).await, "", "its time is over before its answer comes");
    assert!(begin.elapsed() < Duration::from_millis(200), "{:?}", begin.elapsed());

    let server = guarded(|_| {});
    let mut left = server.connect(4096);
    left.write_all(b"auth guess\nping\n").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let Running { stop, done, .. } = server;
    let begin = Instant::now();
    stop.send(()).unwrap();
    assert_eq!(rest(&mut left).await, "0 Auth Failure\n", "a shutdown waits for no brake");
    done.await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(2000), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_may_send_so_many_commands_and_no_more() {
    let server = guarded(|_| {});
    for extra in [0, 1] {
        let mut stranger = server.connect(1 << 16);
        stranger.write_all("g a\n".repeat(16).as_bytes()).await.unwrap();
        for _ in 0..16 {
            assert_eq!(line(&mut stranger).await, "0 Auth Required\n");
        }
        assert!(is_open(&mut stranger).await);
        if extra > 0 {
            stranger.write_all(b"ping\n").await.unwrap();
            assert_eq!(rest(&mut stranger).await, "");
        }
    }
    assert_eq!(server.monitor.strangers_closed(), 1);
    // The last one may be the login.
    let mut stranger = server.connect(1 << 16);
    stranger.write_all("ping\n".repeat(15).as_bytes()).await.unwrap();
    for _ in 0..15 {
        assert_eq!(line(&mut stranger).await, "1 pong\n");
    }
    let login = format!("auth {}\n{}", token("web"), "ping\n".repeat(100));
    assert_eq!(ask(&mut stranger, &login).await, "1 Auth Success: web\n");
    for _ in 0..100 {
        assert_eq!(line(&mut stranger).await, "1 pong\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_may_send_so_many_bytes_and_no_more() {
    let server = guarded(|_| {});
    let login = format!("auth {}\n", token("web"));
    let mut stranger = server.connect(1 << 16);
    // White space is no command.
    stranger.write_all(" ".repeat(4096 - login.len()).as_bytes()).await.unwrap();
    assert_eq!(ask(&mut stranger, &login).await, "1 Auth Success: web\n");
    let long = format!("{}g a\n", " ".repeat(8000));
    assert_eq!(ask(&mut stranger, &long).await, "1 Lock Get Success: a\n", "it is no stranger any more");

    let mut stranger = server.connect(1 << 16);
    stranger.write_all(" ".repeat(4096 - login.len() + 1).as_bytes()).await.unwrap();
    stranger.write_all(login.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stranger).await, "", "its last byte is one too many");
    let figure = server.monitor.figures(|figures| figures.connections());
    assert_eq!(figure, 1);
}

#[tokio::test(start_paused = true)]
async fn strangers_have_a_limit_of_their_own() {
    let server = guarded(|config| {
        config.max_unauthenticated = 3;
        config.machine.limits.connections = 2;
    });
    let mut strangers: Vec<_> = (0..3).map(|_| server.connect(4096)).collect();
    for stranger in &mut strangers {
        assert_eq!(ask(stranger, "ping\n").await, "1 pong\n");
    }
    assert_eq!(rest(&mut server.connect(4096)).await, "0 Too Many Connections\n");
    let login = |account: &str| format!("auth {}\n", token(account));
    assert_eq!(ask(&mut strangers[0], &login("web")).await, "1 Auth Success: web\n");
    let mut next = server.connect(4096);
    assert_eq!(ask(&mut next, "ping\n").await, "1 pong\n", "who has logged in is no stranger");
    assert_eq!(rest(&mut server.connect(4096)).await, "0 Too Many Connections\n");
    // The limit of an account without a quota.
    assert_eq!(ask(&mut strangers[1], &login("web")).await, "1 Auth Success: web\n");
    assert_eq!(ask(&mut strangers[2], &login("web")).await, "0 Too Many Connections\n");
    assert_eq!(rest(&mut strangers[2]).await, "");
    assert_eq!(ask(&mut next, &login("cron")).await, "1 Auth Success: cron\n", "each account has its own");
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_an_account_that_is_gone_are_closed_and_its_locks_are_free() {
    let server = guarded(|_| {});
    // More than are looked at in one go.
    let mut webs = Vec::new();
    for number in 0..300 {
        let mut web = logged_in(&server, "web").await;
        assert_eq!(ask(&mut web, &format!("g {number}\n")).await, format!("1 Lock Get Success: {number}\n"));
        webs.push(web);
    }
    let mut cron = logged_in(&server, "cron").await;
    assert_eq!(ask(&mut cron, "g c\n").await, "1 Lock Get Success: c\n");
    let mut waiting = logged_in(&server, "web").await;
    waiting.write_all(b"gw 60000 c\n").await.unwrap();
    cron.write_all(b"gw 60000 0\n").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert!(is_open(&mut cron).await && is_open(&mut waiting).await);
    let closed = server.monitor.renew_access(&rulebook(&["cron", "new"])).await.unwrap();
    assert_eq!(closed, 301);
    assert_eq!(line(&mut cron).await, "1 Lock Get Success: 0\n");
    for web in webs.iter_mut().chain([&mut waiting]) {
        assert_eq!(rest(web).await, "");
    }
    let mut late = server.connect(4096);
    late.write_all(format!("auth {}\n", token("web")).as_bytes()).await.unwrap();
    assert_eq!(line(&mut late).await, "0 Auth Failure\n");
    assert_eq!(ask(&mut cron, "g 1\n").await, "1 Lock Get Success: 1\n");
    drop(logged_in(&server, "new").await);
    assert_eq!(server.monitor.figures(|figures| figures.connections()), server.monitor.mailboxes() as u32);
}

#[tokio::test(start_paused = true)]
async fn rules_hold_from_the_next_command_on_and_what_is_held_stays() {
    let server = guarded(|_| {});
    let mut web = logged_in(&server, "web").await;
    assert_eq!(ask(&mut web, "g a\n").await, "1 Lock Get Success: a\n");
    let entries = vec![entry("web", &["inspect"]), entry("cron", &["lock"])];
    let narrow = Rulebook { entries, ..rulebook(&["web", "cron"]) };
    assert_eq!(server.monitor.renew_access(&narrow).await.unwrap(), 0);
    assert_eq!(ask(&mut web, "g b\n").await, "0 Not Allowed: g\n");
    assert_eq!(ask(&mut web, "i a\n").await, "1 Lock Is Locked: a\n");
    let mut cron = logged_in(&server, "cron").await;
    assert_eq!(ask(&mut cron, "g a\n").await, "0 Lock Get Failure: a\n");
    server.monitor.renew_access(&rulebook(&["web", "cron"])).await.unwrap();
    assert_eq!(ask(&mut web, "r a\n").await, "1 Lock Release Success: a\n");
}

#[tokio::test(start_paused = true)]
async fn who_need_not_log_in_has_the_rules_of_the_default_account() {
    let entries = vec![entry("web", &["lock", "list"]), entry(DEFAULT, &["inspect"])];
    let rulebook = Rulebook { entries, required: Required::default(), ..rulebook(&["web"]) };
    let server = start(|config| config.access = Some(Arc::new(Access::new(&rulebook).unwrap())));
    let mut client = server.connect(4096);
    assert_eq!(ask(&mut client, "g a\n").await, "0 Not Allowed: g\n");
    assert_eq!(ask(&mut client, "i a\n").await, "0 Lock Not Locked: a\n");
    advance(Duration::from_secs(3600)).await;
    assert_eq!(ask(&mut client, &format!("auth {}\n", token("web"))).await, "1 Auth Success: web\n");
    assert_eq!(ask(&mut client, "g a\n").await, "1 Lock Get Success: a\n");
    assert_eq!(ask(&mut client, "i a\n").await, "0 Not Allowed: i\n");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_accounts_cannot_get_some() {
    let server = start(|_| {});
    let refusal = server.monitor.renew_access(&rulebook(&["web"])).await.unwrap_err();
    assert!(refusal.to_string().contains("restart it"), "{refusal}");
    let mut client = server.connect(4096);
    let begin = Instant::now();
    assert_eq!(ask(&mut client, "auth x\ng a\n").await, "0 Auth Failure\n");
    assert_eq!(line(&mut client).await, "1 Lock Get Success: a\n");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
