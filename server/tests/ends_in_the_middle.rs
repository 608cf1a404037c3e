//! Goal: a client may go at any moment, in the middle of anything that it says or hears, and by FIN, reset or
//! half-close. What it said whole has run, what it said in part has not, its locks are free, and nobody else notices.
//! Method: cut a dialogue at each byte in each of these ways; and go in the middle of a listing, of last replies and
//! of a refusal.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, Transport, poll};

/// A way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Fin,
    HalfClose,
    /// Over a Unix socket there is none: there it is a FIN.
    Reset,
}

impl Gone {
    const ALL: [Self; 3] = [Self::Fin, Self::HalfClose, Self::Reset];

    fn go(self, client: Client, transport: Transport) {
        match (self, transport) {
            (Self::Fin, _) | (Self::Reset, Transport::Unix) => drop(client),
            (Self::HalfClose, _) => {
                client.half_close_and_hear();
            }
            (Self::Reset, Transport::Tcp) => client.reset(),
        }
    }
}

trait HalfClose {
    fn half_close_and_hear(self) -> Vec<u8>;
}

impl HalfClose for Client {
    fn half_close_and_hear(mut self) -> Vec<u8> {
        self.half_close();
        self.rest()
    }
}

/// Waits until only the observer is connected.
fn alone(observer: &mut Client) -> BTreeMap<String, u64> {
    poll("the client to be gone", PATIENCE, || {
        Some(observer.figures()).filter(|figures| figures["connections"] == 1)
    })
}

/// What a client says, line by line. Each whole line has an effect that shows in the figures.
const DIALOGUE: &[u8] = b"g one\r\nsg two\ngw 0 three\niam x\nr one\nbogus\nsgl 5 four\n\nra\n";

/// How often each figure went up, if these bytes were said and then the client went.
fn expected(said: &[u8]) -> [(&'static str, u64); 8] {
    let lines: Vec<&[u8]> =
        said.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).collect();
    let count = |verb: &[u8]| lines.iter().filter(|line| line.starts_with(verb)).count() as u64;
    // What is held in the end, unless `ra` released it.
    let exclusive = count(b"g one") + count(b"gw") - count(b"r ");
    let shared = count(b"sg two") + count(b"sgl");
    let is_released = count(b"ra") > 0;
    let kept = |held: u64| if is_released { 0 } else { held };
    [
        ("command_g", count(b"g one")),
        ("command_gw", count(b"gw")),
        ("command_sgl", count(b"sgl")),
        ("command_r", count(b"r ")),
        ("command_ra", count(b"ra")),
        ("invalid_commands", count(b"bogus")),
        ("orphans", kept(exclusive)),
        ("shared_orphans", kept(shared)),
    ]
}

#[test]
fn a_client_may_go_at_any_byte_of_what_it_says() {
    let daemon = Daemon::start(&[]);
    for transport in Transport::BOTH {
        let mut observer = daemon.unix();
        for gone in Gone::ALL {
            for end in 0..=DIALOGUE.len() {
                let before = alone(&mut observer);
                let mut client = daemon.connect(transport);
                let said = &DIALOGUE[..end];
                client.send(said);
                let is_seen = |figures: &BTreeMap<String, u64>| {
                    let difference = |key: &str| {
                        let of = |figures: &BTreeMap<String, u64>| figures.get(key).copied().unwrap_or(0);
                        of(figures) - of(&before)
                    };
                    expected(said)
                        .into_iter()
                        .all(|(key, count)| key.contains("orphans") || difference(key) == count)
                };
                if gone == Gone::Reset && transport == Transport::Tcp {
                    // A reset overtakes what was not read.
                    poll("what was said to be run", PATIENCE, || is_seen(&observer.figures()).then_some(()));
                }
                gone.go(client, transport);
                poll("the client to come and go", PATIENCE, || {
                    (observer.figures()["connections_opened"] > before["connections_opened"]).then_some(())
                });
                let after = alone(&mut observer);
                for (key, count) in expected(said) {
                    let of = |figures: &BTreeMap<String, u64>| figures.get(key).copied().unwrap_or(0);
                    let what = format!(
                        "{key} after {gone:?} behind {:?}, {transport:?}",
                        said.escape_ascii().to_string()
                    );
                    assert_eq!(of(&after) - of(&before), count, "{what}");
                }
                assert_eq!((after["locks"], after["shared_locks"]), (0, 0), "{gone:?} at {end}");
            }
        }
        drop(observer);
        poll("the observer to be gone", PATIENCE, || {
            (daemon.unix().figure("connections") == 1).then_some(())
        });
    }
}

/// A daemon with more locks than a listing fits into a socket, and their holder.
fn with_many_locks(flags: &[&str]) -> (Daemon, Client) {
    let daemon = Daemon::start(flags);
    let mut holder = daemon.unix();
    for at in 0..2000 {
        holder.send(format!("g {at:04}{}\n", "x".repeat(4000)));
        assert!(holder.line_bytes().starts_with(b"1 "));
    }
    (daemon, holder)
}

#[test]
fn a_client_may_go_in_the_middle_of_a_listing() {
    let (daemon, mut holder) = with_many_locks(&["--max-listing-bytes", "12000000"]);
    for transport in Transport::BOTH {
        for gone in [Gone::Fin, Gone::Reset] {
            for request in ["d", "ls", "dump"] {
                // Each listing takes most of the room for listings: what one leaves taken the next cannot have.
                let mut client = daemon.connect(transport);
                client.send(format!("sg other\n{request}\ng after\n"));
                assert_eq!(client.line(), "1 Shared Lock Get Success: other");
                poll("the listing to begin", PATIENCE, || client.has_reply().then_some(()));
                gone.go(client, transport);
                let figures = alone(&mut holder);
                assert_eq!(figures["shared_locks"], 0, "{request}, {gone:?}, {transport:?}");
            }
        }
        // A half-close is none: the whole listing comes, and what was said before it is run.
        let mut client = daemon.connect(transport);
        client.send("d\ng after\n");
        client.half_close();
        assert_eq!(client.lines().len(), 2000);
        assert_eq!(client.line(), "1 Lock Get Success: after");
        client.expect_end();
        assert_eq!(alone(&mut holder)["locks"], 2000);
    }
}

#[test]
fn a_client_may_go_in_the_middle_of_its_last_replies() {
    for gone in [Gone::Fin, Gone::Reset] {
        for transport in Transport::BOTH {
            let (mut daemon, holder) = with_many_locks(&[]);
            let mut other = daemon.connect(transport);
            let mut client = daemon.connect(transport);
            client.send("d\n");
            poll("the listing to begin", PATIENCE, || client.has_reply().then_some(()));
            assert_eq!(other.ask("ping"), "1 pong");
            daemon.signal(rustix::process::Signal::TERM);
            other.expect_end();
            // Without it there is nobody to wait for; the rest of the 5 seconds is not needed.
            let begun = std::time::Instant::now();
            gone.go(client, transport);
            drop((holder, other));
            daemon.wait_for_success();
            assert!(
                begun.elapsed() < Duration::from_secs(4),
                "{:?}: it waited for one that was gone",
                begun.elapsed()
            );
            assert!(!daemon.log().contains("cut off"), "{}", daemon.log());
        }
    }
}

#[test]
fn a_client_may_go_in_the_middle_of_being_refused() {
    let daemon = Daemon::start(&["--max-connections", "1"]);
    let mut only = daemon.unix();
    assert_eq!(only.ask("g a"), "1 Lock Get Success: a");
    let at_rest = daemon.descriptors();
    let mut refused = 0;
    for transport in Transport::BOTH {
        for gone in Gone::ALL {
            for said in [&b""[..], b"g ", b"g a\nr a\n"] {
                let mut client = daemon.connect(transport);
                // The daemon may have closed already.
                let _ = client.try_send(said);
                match gone {
                    Gone::HalfClose => {
                        let mut client = client;
                        client.half_close();
                        client.expect("0 Too Many Connections\n");
                        client.wait_for_end();
                    }
                    _ => gone.go(client, transport),
                }
                refused += 1;
                poll("the refusal", PATIENCE, || {
                    (only.figure("connections_refused") == refused).then_some(())
                });
            }
        }
    }
    poll("their sockets to be gone", PATIENCE, || (daemon.descriptors() == at_rest).then_some(()));
    let figures = only.figures();
    assert_eq!((figures["command_g"], figures["command_r"], figures["locks"]), (1, 0, 1));
}
