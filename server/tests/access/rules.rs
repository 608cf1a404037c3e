//! What an account may say and see.

use super::{Guarded, expect, say, token};
use crate::support::Client;

const RULES: &str = "
[accounts.web]
allow = ['lock', 'inspect', 'list', 'figures']
deny = ['linger', 'sd']
names = ['web.', 'both']
max-locks = 3
max-waiters = 1

[accounts.cron]
allow = ['lock', 'list']

[accounts.watch]
allow = ['list', 'q']
names = []
all-figures = true

[accounts.ops]
allow = ['list', 'operate', 'q']

[accounts.small]
allow = ['lock']
max-memory = 2000
max-waiters = 0
";

fn start() -> Guarded {
    Guarded::start(&["web", "cron", "watch", "ops", "small"], RULES, &["--max-name-bytes", "20"])
}

#[test]
fn a_verb_or_a_name_that_no_rule_allows_is_refused() {
    let guarded = start();
    let lines = [
        ("g web.a", "1 Lock Get Success: web.a"),
        ("g  web.a  b", "1 Lock Get Success: web.a b"),
        ("g both", "1 Lock Get Success: both"),
        ("g web", "0 Not Allowed: g"),
        ("g", "0 Not Allowed: g"),
        ("g Web.a", "0 Not Allowed: g"),
        ("sg x", "0 Not Allowed: sg"),
        ("sgl 1 x", "0 Not Allowed: sgl"),
        ("gw 0 x", "0 Not Allowed: gw"),
        ("rgw 0 x", "0 Not Allowed: rgw"),
        ("iw 0 x", "0 Not Allowed: iw"),
        ("siw 0 web.x", "1 Shared Lock Ended: web.x"),
        ("i x", "0 Not Allowed: i"),
        ("i web.a", "1 Lock Is Locked: web.a"),
        ("r x", "0 Not Allowed: r"),
        ("f x", "0 Not Allowed: f"),
        ("linger 1000", "0 Not Allowed: linger"),
        ("linger", "0 Bad Argument: linger"),
        ("gw x", "0 Bad Argument: gw"),
        ("sd", "0 Not Allowed: sd"),
        ("d x", "0 Not Allowed: d"),
        ("kick x", "0 Not Allowed: kick"),
        ("steal web.a", "0 Not Allowed: steal"),
        ("g 123456789012345678901", "0 Name Too Long"),
        ("kick 123456789012345678901", "0 Name Too Long"),
        ("iam 1234", "1 ok"),
        ("ping", "1 pong"),
        ("ra", "3 Locks Released"),
    ];
    expect(&mut guarded.client("web"), &lines);
    let lines = [
        ("g x", "1 Lock Get Success: x"),
        ("i x", "0 Not Allowed: i"),
        ("q", "0 Not Allowed: q"),
        ("q full", "0 Not Allowed: q"),
    ];
    expect(&mut guarded.client("cron"), &lines);
    expect(&mut guarded.client("watch"), &[("g x", "0 Not Allowed: g"), ("ls", ""), ("d", "")]);
}

#[test]
fn a_refused_command_changes_nothing_but_its_verbs_figures() {
    let guarded = start();
    let mut watch = guarded.client("watch");
    let mut web = guarded.client("web");
    let before = watch.figures();
    expect(
        &mut web,
        &[("g x", "0 Not Allowed: g"), ("gw 1 x", "0 Not Allowed: gw"), ("i x", "0 Not Allowed: i")],
    );
    let mut stranger = guarded.daemon.tcp();
    expect(&mut stranger, &[("g x", "0 Auth Required")]);
    let after = watch.figures();
    let changed = |key: &str| after.get(key).unwrap_or(&0) - before.get(key).unwrap_or(&0);
    assert_eq!(
        ["command_g", "command_gw", "command_i", "failed_g", "failed_i"].map(changed),
        [2, 1, 1, 2, 1]
    );
    let same = ["locks", "waiters", "invalid_commands", "waits"];
    assert_eq!(same.map(changed), [0; 4]);
}

#[test]
fn listings_show_an_account_what_it_may_see() {
    let guarded = start();
    let mut web = guarded.client("web");
    let mut cron = guarded.client("cron");
    expect(&mut web, &[("g web.a", "1 Lock Get Success: web.a"), ("iam W", "1 ok")]);
    expect(
        &mut cron,
        &[
            ("g hidden", "1 Lock Get Success: hidden"),
            ("g web.b", "1 Lock Get Success: web.b"),
            ("sg both", "1 Shared Lock Get Success: both"),
            ("iam C", "1 ok"),
        ],
    );
    let mut waiting = guarded.client("cron");
    waiting.send("gw 60000 hidden\n");
    let names = |answer: &str| -> Vec<String> {
        let rows = answer.split('|').filter(|row| !row.is_empty());
        rows.map(|row| row.split(['\t']).next().unwrap().rsplit(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&say(&mut web, "ls", true)), ["both", "web.a", "web.b"]);
    assert_eq!(names(&say(&mut web, "ls h", true)), [] as [&str; 0]);
    assert_eq!(names(&say(&mut web, "ls web.", true)), ["web.a", "web.b"]);
    assert_eq!(say(&mut web, "d", true), "web.a: W|web.b: C");
    assert_eq!(say(&mut web, "d web.b", true), "web.b: C");
    let dump = web.ask("dump");
    assert!(dump.starts_with("map[web.a:") && dump.contains("web.b:") && !dump.contains("hidden"), "{dump}");
    // Registered names are its own connections'.
    let who = say(&mut web, "who", true);
    assert!(who.ends_with(": W") && !who.contains('|'), "{who}");
    let all = ["both", "hidden", "hidden", "web.a", "web.b"];
    let of_cron = names(&say(&mut cron, "ls", true));
    assert_eq!(of_cron, all);
    assert_eq!(say(&mut cron, "who", true).matches('|').count(), 1);
    let mut watch = guarded.client("watch");
    assert_eq!(["ls", "d", "sd", "who"].map(|request| say(&mut watch, request, true)), ["", "", "", ""]);
    assert_eq!((watch.ask("dump"), watch.ask("dump shared")), ("map[]".to_owned(), "map[]".to_owned()));
}

#[test]
fn figures_are_an_accounts_own_unless_it_may_see_all() {
    let guarded = start();
    let mut cron = guarded.client("cron");
    expect(&mut cron, &[("g a", "1 Lock Get Success: a"), ("g b", "1 Lock Get Success: b")]);
    let mut web = guarded.client("web");
    expect(&mut web, &[("g web.a", "1 Lock Get Success: web.a")]);
    for request in ["q", "q full"] {
        let figures = say(&mut web, request, true);
        assert!(
            figures.starts_with("account: web|connections: 1|") && figures.contains("|holds: 1|"),
            "{figures}"
        );
        assert!(figures.contains("|limit_locks: 3|") && !figures.contains("command_"), "{figures}");
    }
    for account in ["watch", "ops"] {
        let figures = say(&mut guarded.client(account), "q", true);
        assert!(figures.contains("|locks: 3|"), "{account}: {figures}");
    }
}

#[test]
fn an_account_has_no_more_than_its_quotas() {
    let guarded = start();
    let mut web = guarded.client("web");
    let lines = [
        ("g web.1", "1 Lock Get Success: web.1"),
        ("sg web.2", "1 Shared Lock Get Success: web.2"),
        ("g web.3", "1 Lock Get Success: web.3"),
        ("g web.4", "0 Too Many Locks: web.4"),
    ];
    expect(&mut web, &lines);
    let mut second = guarded.client("web");
    expect(&mut second, &[("g web.5", "0 Too Many Locks: web.5")]);
    let mut cron = guarded.client("cron");
    expect(&mut cron, &[("g x", "1 Lock Get Success: x"), ("g web.4", "1 Lock Get Success: web.4")]);
    expect(&mut web, &[("r web.3", "1 Lock Release Success: web.3")]);
    web.send("gw 60000 web.4\n");
    expect(&mut second, &[("iw 60000 web.4", "0 Lock Wait Queue Full: web.4")]);
    expect(&mut cron, &[("r web.4", "1 Lock Release Success: web.4")]);
    assert_eq!(web.line(), "1 Lock Get Success: web.4");
    let mut small = guarded.client("small");
    let count = (0..100).take_while(|number| {
        let answer = small.ask(&format!("g {number}"));
        assert!(
            answer.starts_with("1 Lock Get Success") || answer == format!("0 Out Of Memory: {number}"),
            "{answer}"
        );
        answer.starts_with('1')
    });
    let count = count.count();
    assert!((1..100).contains(&count), "{count} locks in 2000 bytes");
    expect(&mut small, &[("gw 1 x", "0 Lock Get Queue Full: x")]);
    expect(&mut small, &[("ra", &*format!("{count} Locks Released")), ("g 0", "1 Lock Get Success: 0")]);
}

#[test]
fn an_account_with_rights_is_an_operator() {
    let guarded = start();
    let mut cron = guarded.client("cron");
    expect(&mut cron, &[("g a", "1 Lock Get Success: a"), ("wg b", "1 Write Lock Get Success: b")]);
    let address = cron.address();
    let mut ops = guarded.client("ops");
    let kick = format!("kick {address}");
    let kicked = format!("1 Kick Success: {address}");
    let lines = [
        ("steal a", "1 Lock Steal Success: a"),
        ("wsteal b", "1 Write Lock Steal Success: b"),
        (&*kick, &*kicked),
    ];
    expect(&mut ops, &lines);
    cron.expect_end();
    let operator = format!("operator {} (account ops)", ops.address());
    for done in ["stole lock \"a\"", &format!("closed \"{address}\"")] {
        guarded.daemon.wait_for_log(&format!("{operator} {done}"));
    }
}

#[test]
fn a_session_is_its_accounts() {
    let rules = "[accounts.web]\nallow = ['lock']\n[accounts.cron]\nallow = ['lock']\n";
    let guarded = Guarded::start(&["web", "cron"], rules, &[]);
    let mut web = guarded.client("web");
    let key = web.ask("linger 60000").split(' ').nth(3).unwrap().to_owned();
    expect(&mut web, &[("g a", "1 Lock Get Success: a")]);
    drop(web);
    let resume = format!("resume {key}");
    expect(&mut guarded.client("cron"), &[(&*resume, "0 Resume Failure")]);
    let mut stranger: Client = guarded.daemon.tcp();
    expect(&mut stranger, &[(&*resume, "0 Auth Required")]);
    expect(&mut guarded.client("web"), &[(&*resume, "1 Resume Success: 1")]);
    assert!(!token("web").is_empty());
}
