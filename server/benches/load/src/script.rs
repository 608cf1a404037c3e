//! What a connection sends and expects, rendered before the run. A script is a list of turns, repeated over and over. A
//! turn is one write and the replies to it.

use super::expect::Expect;
use super::protocol::{Exchange, Protocol, elockd_get, elockd_release, name};
use elockd_core::{Kind, Wish};

/// The longest wait that the protocol allows, because nothing in a run should time out.
const WAIT_MS: u32 = u32::MAX;

/// How many names a connection uses that asks for another lock each time. There are more if a turn needs more.
pub const FRESH_NAMES: usize = 64;

/// Locks that a connection of a crowd asks for before its script begins again.
const CROWD_NAMES: usize = 100;

/// What is sent at once, and the expected replies.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) request: Vec<u8>,
    pub(super) replies: Vec<Expect>,
}

/// The turns of a connection. It may stop after the last: then it holds nothing.
pub(super) struct Script {
    pub(super) turns: Vec<Turn>,
}

impl Turn {
    /// A turn of these requests, with exactly these replies.
    pub(super) fn of(exchanges: &[(&[u8], &[u8])]) -> Self {
        let mut turn = Self::default();
        for (request, reply) in exchanges {
            turn.exactly(request, reply);
        }
        turn
    }

    /// Adds a request, with exactly this reply.
    pub(super) fn exactly(&mut self, request: &[u8], reply: &[u8]) {
        self.request.extend_from_slice(request);
        // Joined with the reply before, so that one comparison checks both.
        if let Some(Expect::Exactly { bytes, replies }) = self.replies.last_mut() {
            bytes.extend_from_slice(reply);
            *replies += 1;
        } else {
            self.replies.push(Expect::Exactly { bytes: reply.to_vec(), replies: 1 });
        }
    }

    fn succeeding(&mut self, Exchange { request, yes, is_http, .. }: &Exchange) {
        if *is_http {
            self.request.extend_from_slice(request);
            self.replies.push(Expect::Response { part: yes.clone() });
        } else {
            self.exactly(request, yes);
        }
    }

    /// Adds a request that may succeed or fail.
    fn attempting(&mut self, Exchange { request, yes, no, .. }: &Exchange) {
        self.request.extend_from_slice(request);
        self.replies.push(Expect::Attempt { yes: yes.clone(), no: no.clone() });
    }

    /// Adds a request that succeeds if and only if the last attempt did.
    fn following(&mut self, Exchange { request, yes, no, .. }: &Exchange) {
        self.request.extend_from_slice(request);
        self.replies.push(Expect::Consequence { yes: yes.clone(), no: no.clone() });
    }

    /// Adds a get of a shared lock with at most `most` holders.
    fn sharing(&mut self, name: &str, most: u32) {
        let Exchange { request, yes, .. } = elockd_get(Wish::at_once(Kind::Shared, name));
        self.request.extend_from_slice(&request);
        // Without the count, which is 1 in the reply to the first holder.
        self.replies.push(Expect::Counted { most, rest: yes[1..].to_vec() });
    }

    /// Adds its release.
    fn unsharing(&mut self, name: &str) {
        self.succeeding(&elockd_release(Kind::Shared, name));
    }
}

impl Script {
    /// Gets a lock that nobody else asks for, and releases it.
    pub(super) fn uncontended(protocol: Protocol, name: &str, depth: usize) -> Self {
        let (get, release) = (protocol.get(name), protocol.release(name));
        Self::cut(depth, &[&|turn| turn.succeeding(&get), &|turn| turn.succeeding(&release)])
    }

    /// Gets and releases one lock after the other, and begins again after the last. Nobody else asks for these locks.
    /// The script is longer than a turn, so no turn has the names of the turn before.
    pub(super) fn fresh(protocol: Protocol, who: usize, depth: usize) -> Self {
        let pairs = (depth / 2).max(1);
        let count = FRESH_NAMES.next_multiple_of(pairs).max(2 * pairs);
        let exchanges: Vec<_> = (who * count..(who + 1) * count)
            .map(name)
            .flat_map(|name| [protocol.get(&name), protocol.release(&name)])
            .collect();
        let turn = |exchanges: &[Exchange]| {
            let mut turn = Turn::default();
            for exchange in exchanges {
                turn.succeeding(exchange);
            }
            turn
        };
        let size = if depth < 2 { 1 } else { 2 * pairs };
        Self { turns: exchanges.chunks(size).map(turn).collect() }
    }

    /// Tries to get a lock that everybody wants, and then sends a release. The release succeeds if and only if the get
    /// did.
    pub(super) fn fight(protocol: Protocol, depth: usize) -> Self {
        let (get, release) = (protocol.get(&name(0)), protocol.release(&name(0)));
        Self::cut(depth, &[&|turn| turn.attempting(&get), &|turn| turn.following(&release)])
    }

    /// Waits in line for a lock that everybody wants. The release is sent with the request.
    pub(super) fn line(depth: usize) -> Self {
        let (wait, release) = (get_waiting(&name(0)), Protocol::Elockd.release(&name(0)));
        Self::cut(depth.max(2), &[&|turn| turn.succeeding(&wait), &|turn| turn.succeeding(&release)])
    }

    /// Gets a lock that everybody shares, and a lock of its own, and releases both.
    pub(super) fn mixed(who: usize, connections: usize, depth: usize) -> Self {
        let (own, shared) = (name(who + 1), name(0));
        let (get, release) = (Protocol::Elockd.get(&own), Protocol::Elockd.release(&own));
        let most = u32::try_from(connections).expect("connections fit into 32 bits");
        let steps: [Step<'_>; 4] = [
            &|turn| turn.sharing(&shared, most),
            &|turn| turn.succeeding(&get),
            &|turn| turn.succeeding(&release),
            &|turn| turn.unsharing(&shared),
        ];
        Self::cut(depth, &steps)
    }

    /// Tries to get random locks out of many, exclusive and shared, one after the other. A connection asks for the same
    /// locks in every run.
    pub(super) fn crowd(who: usize, connections: usize, names: usize) -> Self {
        let most = u32::try_from(connections).expect("connections fit into 32 bits");
        // Knuth's 64-bit generator. It spreads names well enough, and needs no dependency.
        let mut state = (who as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut turns = Vec::with_capacity(2 * CROWD_NAMES);
        for _ in 0..CROWD_NAMES {
            let name = name(usize::try_from(draw() % names as u64).expect("below names"));
            let mut pair = if draw() % 2 == 0 {
                let (get, release) = (Protocol::Elockd.get(&name), Protocol::Elockd.release(&name));
                Self::cut(1, &[&|turn| turn.attempting(&get), &|turn| turn.following(&release)])
            } else {
                Self::cut(1, &[&|turn| turn.sharing(&name, most), &|turn| turn.unsharing(&name)])
            };
            turns.append(&mut pair.turns);
        }
        Self { turns }
    }

    /// Cuts these requests into turns. If `depth` is less than their number, each is a turn. Otherwise all are in one
    /// turn, repeated until there are `depth` of them.
    fn cut(depth: usize, steps: &[Step<'_>]) -> Self {
        let times = (depth / steps.len()).max(1);
        let all: Vec<_> = std::iter::repeat_n(steps, times).flatten().collect();
        let size = if depth < steps.len() { 1 } else { all.len() };
        let turn = |steps: &[&Step<'_>]| {
            let mut turn = Turn::default();
            for step in steps {
                step(&mut turn);
            }
            turn
        };
        Self { turns: all.chunks(size).map(turn).collect() }
    }
}

/// What adds a request to a turn.
type Step<'s> = &'s dyn Fn(&mut Turn);

/// Waits in line for a lock.
pub(super) fn get_waiting(name: &str) -> Exchange {
    elockd_get(Wish::at_once(Kind::Exclusive, name).waiting(WAIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Goal: a connection never asks for the lock that it released last, at any depth, and also from the end of the
    /// script to its start. A script holds nothing at its end. No two connections have a name in common.
    #[test]
    fn fresh_names_are_never_the_last_one() {
        for (depth, turns) in [(1, 128), (2, 64), (16, 8), (48, 3), (64, 2), (128, 2), (512, 2)] {
            let requests = |who| -> Vec<String> {
                let script = Script::fresh(Protocol::Elockd, who, depth);
                assert_eq!(script.turns.len(), turns, "depth {depth}");
                let each = script.turns.iter().flat_map(|turn| {
                    let text = String::from_utf8_lossy(&turn.request).into_owned();
                    assert_eq!(text.lines().count(), depth);
                    text.lines().map(str::to_owned).collect::<Vec<_>>()
                });
                each.collect()
            };
            let (one, other) = (requests(3), requests(4));
            let names: BTreeSet<_> = one.iter().filter_map(|request| request.strip_prefix("g ")).collect();
            assert!(names.len() >= FRESH_NAMES && names.len() == one.len() / 2, "depth {depth}");
            for pair in one.chunks(2) {
                assert_eq!(pair[1].strip_prefix("r "), pair[0].strip_prefix("g "), "depth {depth}");
            }
            assert!(other.iter().all(|request| !names.contains(&request[2..])), "depth {depth}");
        }
    }

    /// Goal: every turn sends its requests, even if the optimizer merges functions that look alike.
    #[test]
    fn depth_cuts_requests_into_turns() {
        let requests = |script: &Script| {
            let text = |turn: &Turn| String::from_utf8_lossy(&turn.request).into_owned();
            script.turns.iter().map(text).collect::<Vec<_>>()
        };
        let script = |depth| Script::uncontended(Protocol::Elockd, "x", depth);
        assert_eq!(requests(&script(1)), ["g x\n", "r x\n"]);
        assert_eq!(requests(&script(2)), ["g x\nr x\n"]);
        assert_eq!(requests(&script(4)), ["g x\nr x\ng x\nr x\n"]);
        let (own, all) = (name(8), name(0));
        let each = [format!("sg {all}\n"), format!("g {own}\n"), format!("r {own}\n"), format!("sr {all}\n")];
        assert_eq!(requests(&Script::mixed(7, 50, 1)), each);
        assert_eq!(requests(&Script::mixed(7, 50, 8)), [each.concat().repeat(2)]);
        assert_eq!(requests(&Script::crowd(3, 50, 10)).len(), 2 * CROWD_NAMES);
    }
}
