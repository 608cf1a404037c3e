//! The same world with everything forced in time: beats, appends and words go when they are due, and arrive. Only what
//! a [`Plan`] says happens besides: a node dies, and leaders change.

use crate::action::Action;
use crate::budget::Budget;
use crate::log::Act;
use crate::world::World;

/// From one look at the world to the next, in true milliseconds: as often as leaders send heartbeats.
pub(crate) const SLICE: u32 = 50;

/// What happens, in true milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Hundredths of true time that the clocks go in.
    pub(crate) rates: [u8; 3],
    pub(crate) victim: u8,
    pub(crate) death: u32,
    /// From a leader's death to the election of the next.
    pub(crate) gap: u32,
    /// Who is elected in the leader's lifetime, and when.
    pub(crate) changes: [Option<(u32, u8)>; 2],
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// When the victim's epoch ended.
    pub(crate) gone: Option<u32>,
    /// When a leader was last elected before that.
    pub(crate) changed: u32,
    /// A survivor whose first epoch did not last.
    pub(crate) lost: Option<u8>,
}

/// Has a plan happen.
pub(crate) fn run(plan: Plan) -> Outcome {
    let budget = Budget { elections: 3, ups: 9, ..Budget::default() };
    let mut world = World::new(plan.rates, &[0, 1, 2], budget);
    let mut outcome = Outcome::default();
    let (mut leader, mut is_dead) = (0, false);
    while world.now < plan.death + 4 * 2500 {
        world.pass(SLICE);
        if world.now == plan.death {
            let at = world.clock(plan.victim);
            world.node(plan.victim).start(plan.victim, at);
            world.node(plan.victim).is_paused = true;
            is_dead = true;
        }
        let lives = |node: u8| !(is_dead && node == plan.victim);
        let asked = plan.changes.iter().flatten().find(|(at, _)| *at == world.now).map(|(_, node)| *node);
        let is_leaderless = !lives(leader) && world.now >= plan.death + plan.gap;
        let heir = (0..3).find(|node| lives(*node)).filter(|_| is_leaderless);
        if let Some(next) = heir.or(asked).filter(|next| *next != leader && lives(*next)) {
            let voter = (0..3).rev().find(|node| *node != next && lives(*node)).expect("two are alive");
            world.happen(Action::Elect { node: next, voter });
            (leader, outcome.changed) = (next, world.now);
        }
        exchange(&mut world, leader, lives);
        assert_eq!(world.wrong(), None, "{plan:?} at {}", world.now);
        let is_gone = |act: Act| matches!(act, Act::Gone { node, .. } if node == plan.victim);
        if world.applied.entries().iter().any(|entry| is_gone(entry.act)) {
            outcome.gone = Some(world.now);
            break;
        }
    }
    let serves = |node: u8| world.see(node).socket.is_some_and(|socket| socket.epoch == u64::from(node) + 1);
    outcome.lost = (0..3).find(|node| *node != plan.victim && !serves(*node));
    outcome
}

/// Everything that is due is sent, and arrives.
fn exchange(world: &mut World, leader: u8, lives: impl Fn(u8) -> bool) {
    for node in (0..3).filter(|node| lives(*node)) {
        world.send_beat(node, leader);
        if lives(leader) && node != leader {
            let log = world.see(leader).log;
            world.post_append(leader, node, log);
            if world.may_tell(node, leader) {
                world.tell(node, leader);
            }
        }
    }
    while let Some(mail) = world.mail.pop() {
        if lives(mail.to()) {
            world.deliver(mail);
        }
    }
}
