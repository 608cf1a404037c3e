//! What a connection says and hears, rendered before the run: a script is turns, over and over, and a turn is one
//! write and the replies to it.

use super::expect::Expect;
use super::protocol::{Exchange, Protocol, name};

/// A wait for as long as the protocol allows: nothing in a run is to time out.
const WAIT_MS: u32 = u32::MAX;

/// Locks that a connection of a crowd asks for before it begins anew.
const CROWD_NAMES: usize = 100;

/// What is sent at once, and what has to come.
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
    /// Sends more, and is owed exactly these bytes for it.
    pub(super) fn exactly(mut self, request: &[u8], reply: &[u8]) -> Self {
        self.request.extend_from_slice(request);
        // One comparison for a whole stretch of replies.
        if let Some(Expect::Exactly { bytes, replies }) = self.replies.last_mut() {
            bytes.extend_from_slice(reply);
            *replies += 1;
        } else {
            self.replies.push(Expect::Exactly { bytes: reply.to_vec(), replies: 1 });
        }
        self
    }

    /// Sends more, and is owed this.
    fn expecting(mut self, request: &[u8], reply: Expect) -> Self {
        self.request.extend_from_slice(request);
        self.replies.push(reply);
        self
    }

    fn succeeding(self, Exchange { request, yes, .. }: &Exchange) -> Self {
        self.exactly(request, &yes[..])
    }
}

impl Script {
    /// Gets a lock that nobody else asks for, and releases it.
    pub(super) fn uncontended(protocol: Protocol, name: &str, depth: usize) -> Self {
        let (get, release) = (protocol.get(name), protocol.release(name));
        Self::pairs(depth, |turn| turn.succeeding(&get), |turn| turn.succeeding(&release))
    }

    /// Tries to get a lock that everybody wants; a release succeeds exactly when that did.
    pub(super) fn fight(protocol: Protocol, depth: usize) -> Self {
        let name = name(0);
        let get = |turn: Turn| {
            let Exchange { request, yes, no } = protocol.get(&name);
            turn.expecting(&request, Expect::Attempt { yes, no })
        };
        let release = |turn: Turn| {
            let Exchange { request, yes, no } = protocol.release(&name);
            turn.expecting(&request, Expect::Consequence { yes, no })
        };
        Self::pairs(depth, get, release)
    }

    /// Waits in line for a lock that everybody wants, the release sent along.
    pub(super) fn line(depth: usize) -> Self {
        let release = Protocol::Elockd.release(&name(0));
        let wait = get_waiting();
        Self::pairs(depth.max(2), |turn| turn.succeeding(&wait), |turn| turn.succeeding(&release))
    }

    /// Takes a share of a lock that everybody shares, and a lock of its own, and gives both back.
    pub(super) fn mixed(who: usize, connections: usize, depth: usize) -> Self {
        let (own, shared_name) = (name(who + 1), name(0));
        let (get, release) = (Protocol::Elockd.get(&own), Protocol::Elockd.release(&own));
        let most = u32::try_from(connections).expect("connections fit into 32 bits");
        let [share, unshare] = shared(&shared_name, most);
        if depth < 4 {
            let turns = [share(Turn::default()), Turn::default().succeeding(&get)].into_iter();
            let rest = [Turn::default().succeeding(&release), unshare(Turn::default())];
            return Self { turns: turns.chain(rest).collect() };
        }
        let mut turn = Turn::default();
        for _ in 0..depth / 4 {
            turn = unshare(share(turn).succeeding(&get).succeeding(&release));
        }
        Self { turns: vec![turn] }
    }

    /// Tries to get locks out of many, exclusive and shared, one after the other. What one connection asks for is
    /// the same in every run.
    pub(super) fn crowd(who: usize, connections: usize, names: usize) -> Self {
        let most = u32::try_from(connections).expect("connections fit into 32 bits");
        // Knuth's 64-bit generator: good enough to spread names, and nothing to depend on.
        let mut state = (who as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut turns = Vec::with_capacity(2 * CROWD_NAMES);
        for _ in 0..CROWD_NAMES {
            let name = name(usize::try_from(draw() % names as u64).expect("below names"));
            if draw() % 2 == 0 {
                let Exchange { request, yes, no } = Protocol::Elockd.get(&name);
                turns.push(Turn::default().expecting(&request, Expect::Attempt { yes, no }));
                let Exchange { request, yes, no } = Protocol::Elockd.release(&name);
                turns.push(Turn::default().expecting(&request, Expect::Consequence { yes, no }));
            } else {
                let [share, unshare] = shared(&name, most);
                turns.extend([share(Turn::default()), unshare(Turn::default())]);
            }
        }
        Self { turns }
    }

    /// Two kinds of request by turns: each in a turn of its own, or `depth` of them in one.
    fn pairs(depth: usize, first: impl Fn(Turn) -> Turn, second: impl Fn(Turn) -> Turn) -> Self {
        if depth == 1 {
            return Self { turns: vec![first(Turn::default()), second(Turn::default())] };
        }
        let mut turn = Turn::default();
        for _ in 0..depth / 2 {
            turn = second(first(turn));
        }
        Self { turns: vec![turn] }
    }
}

/// Takes a share of a lock that no more than `most` share, and gives it back: what each adds to a turn.
fn shared(name: &str, most: u32) -> [Box<dyn Fn(Turn) -> Turn + '_>; 2] {
    let share = move |turn: Turn| {
        let rest = format!(" Shared Lock Get Success: {name}\n").into_bytes();
        turn.expecting(format!("sg {name}\n").as_bytes(), Expect::Counted { most, rest })
    };
    let unshare = move |turn: Turn| {
        let reply = format!("1 Shared Lock Release Success: {name}\n");
        turn.exactly(format!("sr {name}\n").as_bytes(), reply.as_bytes())
    };
    [Box::new(share), Box::new(unshare)]
}

/// Waits in line for the lock that everybody wants.
pub(super) fn get_waiting() -> Exchange {
    let get = Protocol::Elockd.get(&name(0));
    Exchange { request: format!("gw {WAIT_MS} {}\n", name(0)).into_bytes(), ..get }
}
