//! Everything that can happen within a budget, depth first. What was seen is kept as hashes.

use crate::action::Action;
use crate::world::World;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What a search saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) states: usize,
    /// States in which an epoch is over.
    pub(crate) gone: usize,
    /// States in which a leader of a later term than the first has answered.
    pub(crate) renewed: usize,
    /// States in which an epoch is served that began later.
    pub(crate) served_again: usize,
}

/// Something wrong, and how it came about.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) what: String,
    pub(crate) how: Vec<Action>,
}

/// Searches all that may come of a world.
///
/// # Errors
///
/// The first thing that is wrong.
pub(crate) fn search(world: World) -> Result<Seen, Found> {
    let mut seen = Seen::default();
    let mut known = HashSet::<u64, BuildHasherDefault<AsItIs>>::default();
    let mut path = vec![(world.actions(), world)];
    let mut how: Vec<Action> = Vec::new();
    while let Some((left, world)) = path.last_mut() {
        let Some(action) = left.pop() else {
            path.pop();
            how.pop();
            continue;
        };
        let mut next = world.clone();
        next.happen(action);
        if !known.insert(digest(&next)) {
            continue;
        }
        if let Some(what) = next.wrong() {
            how.push(action);
            return Err(Found { what, how });
        }
        seen.count(&next);
        if !next.is_over() {
            how.push(action);
            path.push((next.actions(), next));
        }
    }
    Ok(seen)
}

impl Seen {
    fn count(&mut self, world: &World) {
        self.states += 1;
        self.gone += usize::from(world.has_ended());
        self.renewed += usize::from(world.nodes.iter().any(|node| {
            node.socket.is_some_and(|socket| socket.until > node.first_deadline()) && node.term > 1
        }));
        self.served_again +=
            usize::from(world.nodes.iter().any(|node| node.socket.is_some_and(|socket| socket.epoch > 1)));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.states += other.states;
        self.gone += other.gone;
        self.renewed += other.renewed;
        self.served_again += other.served_again;
    }
}

/// A hash of a world. Two worlds in a million million have the same.
fn digest(world: &World) -> u64 {
    let mut hasher = Fold(0x9E37_79B9_7F4A_7C15);
    world.hash(&mut hasher);
    hasher.finish()
}

/// A hasher that folds the halves of a product, a word at a time.
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        fold(self.0 ^ 0xD6E8_FEB8_6659_FD93, 0xA076_1D64_78BD_642F)
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, 0xE703_7ED1_A0B4_28DB).wrapping_add(0x8EBC_6AF0_9C88_C6E3);
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hashes of hashes are themselves.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 are hashed");
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}
