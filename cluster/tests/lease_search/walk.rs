//! Random walks, for what is too large to search. What goes wrong on a walk is shrunk before it is shown.

use crate::action::Action;
use crate::budget::{Budget, Detail, Words};
use crate::search::Found;
use crate::world::World;

/// Random numbers, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The world that a walk begins in: all three nodes serve, with more of everything than a search could have.
fn world_of(draw: &mut Draw) -> World {
    let rates = [(); 3].map(|()| draw.one_of(&[90, 90, 100, 110, 110]));
    let budget = Budget {
        steps: 14,
        appends: 24,
        beats: 12,
        elections: 3,
        crashes: draw.one_of(&[0, 1, 2]),
        pauses: draw.one_of(&[0, 1, 2]),
        ups: 3,
        doubles: draw.one_of(&[0, 2]),
    };
    let mut world = World::new(rates, &[0, 1, 2], budget);
    world.detail = Detail { words: Words::Travelling, heartbeats: true, elections: true, lean: false };
    world
}

/// How much more often this happens than a crash does.
fn weight(action: Action) -> usize {
    match action {
        Action::Deliver { .. } | Action::Tell { .. } | Action::Grant { .. } | Action::Win { .. } => 8,
        Action::Append { .. } | Action::Beat { .. } | Action::Resume { .. } | Action::AskUp { .. } => 4,
        Action::Step | Action::Heartbeat { .. } => 3,
        Action::Campaign { .. } | Action::Elect { .. } | Action::Crash { .. } | Action::Pause { .. } => 1,
    }
}

/// Walks once. Returns how far it went.
///
/// # Errors
///
/// What went wrong, by as little as possible.
pub(crate) fn walk(seed: u64) -> Result<World, Found> {
    let mut draw = Draw(seed);
    let begin = world_of(&mut draw);
    let (mut world, mut how) = (begin.clone(), Vec::new());
    loop {
        let actions = world.actions();
        let all: usize = actions.iter().copied().map(weight).sum();
        if all == 0 {
            return Ok(world);
        }
        let mut left = draw.below(all);
        let is_it = |action: &Action| {
            let is_it = left < weight(*action);
            left = left.saturating_sub(weight(*action));
            is_it
        };
        let action = actions.iter().copied().find(is_it).expect("the weights add up");
        world.happen(action);
        how.push(action);
        if let Some(what) = world.wrong() {
            let how = shrink(&begin, how);
            return Err(Found { what: format!("{what}, on walk {seed}"), how });
        }
    }
}

/// Leaves out what need not happen for something to go wrong.
fn shrink(begin: &World, mut how: Vec<Action>) -> Vec<Action> {
    let mut size = how.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < how.len() {
            let mut fewer = how.clone();
            fewer.drain(at..(at + size).min(how.len()));
            match replay(begin, &fewer) {
                Some(happened) => how = happened,
                None => at += size,
            }
        }
        size /= 2;
    }
    how
}

/// Has what may happen happen again. Returns what did, up to where it goes wrong; nothing if it does not.
fn replay(begin: &World, how: &[Action]) -> Option<Vec<Action>> {
    let (mut world, mut happened) = (begin.clone(), Vec::new());
    for action in how {
        if world.perform(*action) {
            happened.push(*action);
        }
        if world.wrong().is_some() {
            return Some(happened);
        }
    }
    None
}
