//! Random bytes of clients, in pieces. Some of them are lines of the protocol.

use super::rng::Rng;
use quickcheck::{Arbitrary, Gen};
use std::fmt;

/// What several connections send, in pieces that may end anywhere in a line.
#[derive(Clone)]
pub struct Chatter {
    /// A connection's serial, and the bytes that come from it.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

impl Arbitrary for Chatter {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut rng = Rng(g);
        let length = 1 + rng.below(rng.0.size() as u64);
        let pieces = (0..length).map(|_| (1 + rng.below(4), chatter(&mut rng))).collect();
        Self { pieces }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.pieces.shrink().map(|pieces| Self { pieces }))
    }
}

impl fmt::Debug for Chatter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (conn, bytes) in &self.pieces {
            write!(f, "{conn}>\"{}\" ", bytes.escape_ascii())?;
        }
        Ok(())
    }
}

/// Some bytes of a client: words of the protocol, separators, and anything else.
fn chatter(rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 46] = [
        b"g ",
        b"sg ",
        b"gw 2 ",
        b"sgw 3 1 ",
        b"sgl 2 ",
        b"f ",
        b"r ",
        b"sr ",
        b"i ",
        b"si ",
        b"gw 9 ",
        b"gw ",
        b"sgw ",
        b"sgl ",
        b"4294967295 ",
        b"4294967296 ",
        b"0 ",
        b"ra\n",
        b"ls ",
        b"ls\n",
        b"kick unix:3\n",
        b"steal ",
        b"d ",
        b"sd",
        b"dump ",
        b"shared",
        b"me",
        b"iam ",
        b"who ",
        b"q ",
        b"full",
        b"ping",
        b"help",
        b"quit\n",
        b"linger ",
        b"resume ",
        b"nonsense",
        b"\n",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x0b",
        b"a",
        b"b",
        b"a name that takes much more than the line limit of the fuzzed decoder",
    ];
    let words = rng.below(8);
    let mut bytes = Vec::new();
    for _ in 0..words {
        match rng.below(10) {
            0 => bytes.push(u8::arbitrary(rng.0)),
            1..5 => {
                bytes.extend(WORDS[rng.below(10) as usize]);
                bytes.extend([b"a\n", b"b\n", b"c\n"][rng.below(3) as usize]);
            }
            _ => bytes.extend(WORDS[rng.below(WORDS.len() as u64) as usize]),
        }
    }
    bytes
}
