//! Goal: the daemon says on real sockets, byte for byte, what the protocol document says it does.
//! Method: tables of transcripts, one file for each chapter of the document. Each transcript runs
//! against a daemon of its own, over TCP and over a Unix socket, each request once in one piece and
//! once byte by byte; afterwards nothing more may come. What does not fit a table stands below them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod framing;
mod limits;
mod listings;
mod locks;
mod registry;
mod statistics;
#[path = "../support/mod.rs"]
mod support;
mod switches;
mod tokens;
mod waits;

use std::collections::BTreeMap;
use std::time::Duration;
use support::{Client, Daemon, Transport, tell};

/// What some clients say to a daemon, and what they hear.
struct Transcript {
    title: &'static str,
    /// Of the daemon, beside those of its listeners.
    flags: &'static [&'static str],
    steps: &'static [Step],
}

/// A client is a letter. It connects at its first step.
///
/// In the bytes, `{A}` stands for client A's address, and `{30*x}` for thirty times `x`.
enum Step {
    /// The client says this and hears exactly that.
    Say(char, &'static [u8], &'static [u8]),
    /// The client says this and has to wait for the answer to its last line: it hears no more than that before it.
    Wait(char, &'static [u8], &'static [u8]),
    /// The client, which waits, hears exactly that.
    Hear(char, &'static [u8]),
    /// The same, but it sends FIN right after the request; after the reply the daemon closes.
    Leave(char, &'static [u8], &'static [u8]),
    /// The same, but it is the daemon that closes first.
    Shut(char, &'static [u8], &'static [u8]),
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Bytewise,
}

fn run_all(transcripts: &'static [Transcript]) {
    let mut failed = Vec::new();
    for transcript in transcripts {
        for transport in Transport::BOTH {
            for cut in [Cut::Whole, Cut::Bytewise] {
                // A thread of that name, so that the panic message says which one it was.
                let name = format!("{}, {transport:?}, {cut:?}", transcript.title);
                let thread = std::thread::Builder::new().name(name.clone());
                let thread = thread.spawn(move || Run::new(transcript, transport, cut).run()).unwrap();
                failed.extend(thread.join().is_err().then_some(name));
            }
        }
    }
    assert!(failed.is_empty(), "these differ:\n{}", failed.join("\n"));
}

/// A transcript under way.
struct Run {
    transcript: &'static Transcript,
    transport: Transport,
    cut: Cut,
    daemon: Daemon,
    clients: BTreeMap<char, Client>,
    addresses: BTreeMap<char, String>,
}

impl Run {
    fn new(transcript: &'static Transcript, transport: Transport, cut: Cut) -> Self {
        let daemon = Daemon::start(transcript.flags);
        Self { transcript, transport, cut, daemon, clients: BTreeMap::new(), addresses: BTreeMap::new() }
    }

    fn run(mut self) {
        for step in self.transcript.steps {
            match *step {
                Step::Say(who, request, reply) => {
                    self.send(who, request);
                    self.expect(who, reply);
                }
                Step::Wait(who, request, reply) => {
                    let waiters = self.waiters();
                    self.send(who, request);
                    self.expect(who, reply);
                    while self.waiters() == waiters {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                Step::Hear(who, reply) => self.expect(who, reply),
                Step::Leave(who, request, reply) => {
                    self.send(who, request);
                    self.clients.get_mut(&who).unwrap().half_close();
                    self.expect(who, reply);
                    self.clients.remove(&who).unwrap().expect_end();
                }
                Step::Shut(who, request, reply) => {
                    self.send(who, request);
                    self.expect(who, reply);
                    self.clients.remove(&who).unwrap().expect_end();
                }
            }
        }
        for client in self.clients.values_mut() {
            client.half_close();
            client.expect_end();
        }
        self.daemon.stop();
    }

    fn send(&mut self, who: char, request: &[u8]) {
        if !self.clients.contains_key(&who) {
            let mut client = self.daemon.connect(self.transport);
            // Only where it is needed: asking may cost a command, which would be counted.
            if self.mentions_address_of(who) {
                self.addresses.insert(who, client.address());
            }
            self.clients.insert(who, client);
        }
        let request = self.expand(request);
        let client = self.clients.get_mut(&who).unwrap();
        match self.cut {
            Cut::Whole => client.send(request),
            Cut::Bytewise => request.iter().for_each(|byte| client.send([*byte])),
        }
    }

    fn expect(&mut self, who: char, reply: &[u8]) {
        let reply = self.expand(reply);
        self.clients.get_mut(&who).unwrap().expect(reply);
    }

    /// How many wait, as another client is told.
    fn waiters(&self) -> u64 {
        let mut client = self.daemon.connect(self.transport);
        client.send("q full\n");
        let lines = client.lines();
        let waiters = lines.iter().filter_map(|line| {
            line.strip_prefix("waiters: ").or_else(|| line.strip_prefix("shared_waiters: "))
        });
        waiters.map(|number| number.parse::<u64>().unwrap()).sum()
    }

    fn mentions_address_of(&self, who: char) -> bool {
        let placeholder = format!("{{{who}}}");
        self.transcript.steps.iter().any(|step| {
            let (Step::Say(_, _, reply)
            | Step::Wait(_, _, reply)
            | Step::Hear(_, reply)
            | Step::Leave(_, _, reply)
            | Step::Shut(_, _, reply)) = step;
            reply.windows(3).any(|window| window == placeholder.as_bytes())
        })
    }

    fn expand(&self, mut text: &[u8]) -> Vec<u8> {
        let mut expanded = Vec::new();
        while let Some(at) = text.iter().position(|byte| *byte == b'{') {
            let end = at + text[at..].iter().position(|byte| *byte == b'}').expect("a placeholder ends");
            expanded.extend_from_slice(&text[..at]);
            let inner = std::str::from_utf8(&text[at + 1..end]).unwrap();
            match inner.split_once('*') {
                Some((times, what)) => expanded.extend(what.repeat(times.parse().unwrap()).into_bytes()),
                None => expanded.extend_from_slice(self.addresses[&inner.parse().unwrap()].as_bytes()),
            }
            text = &text[end + 1..];
        }
        expanded.extend_from_slice(text);
        expanded
    }
}

#[test]
fn lines_and_names_are_framed_as_documented() {
    run_all(framing::TRANSCRIPTS);
}

#[test]
fn locks_are_got_and_released_as_documented() {
    run_all(locks::TRANSCRIPTS);
}

#[test]
fn waits_end_as_documented() {
    run_all(waits::TRANSCRIPTS);
}

#[test]
fn tokens_ascend_as_documented() {
    run_all(tokens::TRANSCRIPTS);
}

#[test]
fn listings_look_as_documented() {
    run_all(listings::TRANSCRIPTS);
}

#[test]
fn connections_register_as_documented() {
    run_all(registry::TRANSCRIPTS);
}

#[test]
fn statistics_count_as_documented() {
    run_all(statistics::TRANSCRIPTS);
}

#[test]
fn limits_hold_to_the_last_one() {
    run_all(limits::TRANSCRIPTS);
}

#[test]
fn switches_change_what_they_say_and_no_more() {
    run_all(switches::TRANSCRIPTS);
}

#[test]
fn help_has_one_line_for_each_verb_and_an_empty_one_at_the_end() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let mut client = daemon.connect(transport);
        client.send("help\n");
        let lines = client.lines();
        let verbs: Vec<&str> = lines.iter().map(|line| line.split([' ', ':']).next().unwrap()).collect();
        let expected = "auth d dump f g gw help i iam iw kick linger ls me ping q quit r ra resume rf rg rgw ri rr sd sf sg sgl sgw si siw sr steal wf wg wgw \
                        who wi wr wsteal";
        assert_eq!(verbs, expected.split(' ').collect::<Vec<_>>());
        client.half_close();
        client.expect_end();
    }
}

#[test]
fn full_statistics_are_those_of_q_and_more_sorted_by_key() {
    let daemon = Daemon::start(&["--max-locks", "77"]);
    for transport in Transport::BOTH {
        let mut client = daemon.connect(transport);
        client.send("q\n");
        let short = client.lines();
        client.send("q full\n");
        let full = client.lines();
        client.half_close();
        client.expect_end();

        let key = |line: &String| line.split_once(": ").expect("`key: value`").0.to_owned();
        let keys: Vec<String> = full.iter().map(key).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(short.iter().map(key).all(|key| keys.contains(&key)), "{short:?} {full:?}");
        for line in [format!("pid: {}", daemon.pid()), "limit_locks: 77".to_owned()] {
            assert!(full.contains(&line), "{line} is not in {full:?}");
        }
        let page = std::fs::read_to_string(support::document("protocol.md")).unwrap();
        for key in &keys {
            let is_there = page.contains(&format!("`{key}`")) || key.starts_with("failed_");
            assert!(is_there || key.starts_with("command_"), "{key} is not on the page about the protocol");
        }
        for key in ["version", "uptime_ms", "connections_opened", "failed_g", "peak_lock_bytes"] {
            assert!(keys.contains(&key.to_owned()), "{key} is not in {keys:?}");
        }
    }
}

#[test]
fn an_ipv6_client_is_shown_with_brackets() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return tell("SKIPPED: no IPv6 loopback address here");
    }
    let daemon = Daemon::start(&["--listen", "[::1]:0"]);
    let mut client = Client::tcp(daemon.address_of("tcp [::1]:"));
    let address = client.address();
    assert!(address.starts_with("[::1]:"), "{address}");
    client.send("me\ng foo\nd\ndump\n");
    client.expect(format!("1 {address} {address}\n1 Lock Get Success: foo\nfoo: {address}\n\n"));
    client.expect(format!("map[foo:{address}]\n"));
    client.half_close();
    client.expect_end();
}

#[test]
fn listings_under_way_count_together_against_their_limit() {
    let flags = ["--max-listing-bytes", "3000000", "--max-locks-per-connection", "18000"];
    let daemon = Daemon::start(&flags);
    let mut holder = daemon.unix();
    let locks = 18_000;
    let names = (0..locks).map(|number| format!("{number:0>100}"));
    holder.send("iam h\n");
    holder.expect("1 ok\n");
    let mut writer = holder.twin();
    let gets = support::lines("g ", names.clone());
    let writing = std::thread::spawn(move || writer.send(gets));
    names.for_each(|name| holder.expect(format!("1 Lock Get Success: {name}\n")));
    writing.join().unwrap();
    // Two thirds of the limit, and more than the buffers between here and there can take.
    let mut other = daemon.unix();
    other.send("d\n");
    assert_eq!(other.lines().len(), locks, "one listing fits");

    let mut stuck = daemon.unix();
    stuck.send("d\n");
    let first_line = stuck.line();
    assert!(first_line.ends_with(": h"), "{first_line}");
    other.send("d\ndump\nd 1\n");
    other.expect("0 Too Large\n\n0 Too Large\n\n");

    drop(stuck);
    let whole = || {
        other.send("d\n");
        Some(other.lines().len()).filter(|lines| *lines == locks)
    };
    support::poll("the listing to fit again", support::PATIENCE, whole);
}
