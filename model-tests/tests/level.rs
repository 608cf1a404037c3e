//! The level: the same inputs give the same outputs in every release of a level. The inputs come from a generator that
//! only this file uses, so nothing else changes them.

use elockd_core::replica::{Act, LEVEL, LEVEL_BEFORE, LogEntry, NodeInput, Replica};
use elockd_core::wire::{encode, encode_reason, parse};
use elockd_core::{Account, Addr, Cause, Config, Conn, Figure, Input, Now, Origin, Output, Settings};
use siphasher::sip::SipHasher13;
use std::borrow::Cow;

/// For each level that this release knows, what [`INPUTS`] inputs come to. If a change of core makes this another
/// number, it changes what replicas say: raise [`LEVEL`], and keep the old ways for clusters that still work by the old
/// level.
const COMES_TO: [(u16, u64); 1] = [(1, 7_101_937_132_733_426_094)];
const INPUTS: u64 = 100_000;

/// Goal: a change that replicas of two releases would disagree about is noticed. Method: what connections of three
/// nodes are told in many inputs, and the state in the end, as one hash.
#[test]
fn what_a_level_says_stays() {
    for level in [LEVEL, LEVEL_BEFORE] {
        let (_, expected) = COMES_TO.into_iter().find(|(of, _)| *of == level).expect("each level is here");
        assert_eq!(comes_to(), expected, "level {level}");
    }
}

/// What the inputs must lead to, by its key in `q full`. Otherwise the hash would stay though much changed.
const MUST_HAPPEN: [&str; 14] = [
    "closed_eof",
    "closed_idle",
    "closed_kicked",
    "closed_node_lost",
    "closed_quit",
    "deadlocks_refused",
    "locks_refused",
    "orphans",
    "queue_full",
    "shared_orphans",
    "tokens_given",
    "waits",
    "waits_granted",
    "waits_timed_out",
];

/// Numbers in an order that looks random and never changes: an xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

const VERBS: [&str; 40] = [
    "g",
    "g",
    "g",
    "gw 30",
    "gw 300",
    "sg",
    "sgl 2",
    "sgw 50 2",
    "rg",
    "rgw 90",
    "wg",
    "wgw 90",
    "r",
    "r",
    "r",
    "sr",
    "rr",
    "wr",
    "ra",
    "f",
    "sf",
    "i",
    "si",
    "iw 40",
    "siw 40",
    "linger 25",
    "linger 0",
    "iam",
    "me",
    "q",
    "q full",
    "ping",
    "help",
    "kick unix:3",
    "steal",
    "wsteal",
    "rw",
    "quit",
    "gw",
    "resume x",
];
const NAMES: [&str; 6] =
    ["a", "b", "c", "d", "a longer name that does not fit into a slot of thirty bytes", ""];

fn comes_to() -> u64 {
    let mut config = Config::default();
    config.limits.idle_ms = 900;
    config.limits.waiters_per_name = 3;
    config.limits.locks_per_connection = 4;
    let Config { limits, features, secret, accounts, .. } = config.clone();
    let mut replica = Replica::new(config);
    let (mut numbers, mut said) = (Numbers(0x9E37_79B9_7F4A_7C15), Vec::new());
    let mut hash = 0;
    let mut now = Now(0);
    let mut next = [1; 4];
    let settings = Act::Set(Box::new(Settings { limits, features, secret, accounts }));
    let mut acts = vec![settings, Act::Tokens { first: 1, last: 1 << 20 }];
    let mut inputs = 0;
    while inputs < INPUTS {
        for node in 1..=3 {
            if replica.roll.epoch_of(node).is_none() {
                acts.push(Act::Up { node, nonce: now.0, levels: (LEVEL_BEFORE, LEVEL) });
            }
        }
        let node = 1 + numbers.below(3) as u16;
        if let Some(epoch) = replica.roll.epoch_of(node) {
            let (epoch, number) = (epoch.number, epoch.last_batch + 1);
            let several: Vec<NodeInput> = (0..=numbers.below(4))
                .map(|_| input(&mut numbers, node, &mut next[usize::from(node)]))
                .collect();
            inputs += several.len() as u64;
            acts.push(match numbers.below(3_000) {
                0 => Act::Gone { node, epoch },
                _ => Act::Batch { node, epoch, number, inputs: several },
            });
        }
        now.0 += numbers.below(6);
        acts.push(Act::Tick);
        let acts = std::mem::take(&mut acts);
        replica.apply(&LogEntry { stamp: now, acts }, &mut |conn, output| {
            said.extend_from_slice(&conn.bits().to_le_bytes());
            match output {
                Output::Reply(reply) => encode(&reply, &mut said),
                Output::Wait => said.push(b'w'),
                Output::Disconnect(reason) => {
                    said.push(b'd');
                    encode_reason(reason, &mut said);
                }
            }
        });
        said.extend_from_slice(&replica.digest().to_le_bytes());
        hash = SipHasher13::new_with_keys(hash, inputs).hash(&said);
        said.clear();
    }
    replica.machine.check().expect("every invariant holds");
    let mut dull: Vec<_> = MUST_HAPPEN.to_vec();
    replica.machine.figures().each(true, &mut |key, figure| {
        let often = matches!(figure, Figure::Number(number) if number >= 20);
        dull.retain(|wanted| *wanted != key || !often);
    });
    assert!(dull.is_empty(), "the inputs are dull: hardly any {dull:?}");
    hash
}

fn input(numbers: &mut Numbers, node: u16, next: &mut u64) -> NodeInput {
    let conn = Conn::new(node, (*next).saturating_sub(1 + numbers.below(6)));
    match numbers.below(400) {
        0..20 => {
            let conn = Conn::new(node, *next);
            *next += 1;
            let account =
                if numbers.below(9) == 0 { Account::ADMIN } else { Account(numbers.below(3) as u16) };
            Input::Opened(conn, Origin { addr: Addr::Unix(conn.serial() % 7), account })
        }
        20..24 => Input::Closed(conn, Cause::ALL[numbers.below(4) as usize]),
        24 if numbers.below(40) == 0 => Input::Drain(node),
        _ => {
            let verb = VERBS[numbers.below(VERBS.len() as u64) as usize];
            let name = NAMES[numbers.below(NAMES.len() as u64) as usize];
            let command =
                parse(format!("{verb} {name}").as_bytes()).expect("it is not blank").map(Cow::into_owned);
            Input::Command(conn, command)
        }
    }
}
