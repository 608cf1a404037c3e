//! The judge of guards. It knows what guards say and what was done to the daemon, the links and the hosts, and nothing
//! of what the daemon thinks.
//!
//! Of the guards of a lock that exclude each other, the one with the highest token has the lock: tokens ascend in the
//! order of holds. Any other that says that it is held must have an excuse, and each excuse has an end. There are
//! three, those of `docs/clients.md`:
//!
//! - The daemon was killed, or has shut down, after it had given out the token. The token says which of its lives that
//!   was.
//! - An operator kicked the guard's connection, by the name that was registered for this guard alone.
//! - An operator stole the lock, and the guard was asked for before the answer to that.
//!
//! A guard whose link is as it should be is told soon. Any other counts on its lock for as long as its last proof is
//! good, and no longer.

use super::plan::{LIMIT, RATE, RATE_MS, TOKENS_OF_A_LIFE};
use elockd_client::{Kind, State, Watch};
use std::collections::BTreeMap;

/// How long a proof is good, in milliseconds.
pub(super) const LOST_AFTER_MS: u32 = 8_000;
const HEARTBEAT_MS: u32 = 2_000;
/// A question and its answer on a link as it should be, and looks that come every few milliseconds.
const ROUND_TRIP_MS: u32 = 100;
/// How long a link must have been well before it counts as it should be: what was late has come.
const WELL_MS: u32 = 20_000;

/// What a guard was asked for as.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) host: u8,
    /// The name that was registered. No other request has it.
    pub(super) registered: String,
    pub(super) asked_ms: u32,
    pub(super) grace_ms: u32,
    /// A session cannot ask for its holds while it waits.
    pub(super) is_of_session: bool,
}

/// A guard.
struct Claim {
    asking: Asking,
    name: String,
    kind: Kind,
    token: u64,
    got_ms: u32,
    watch: Watch,
    /// How often it was resumed.
    resumed: u32,
    /// What it said when it was last looked at.
    is_held: bool,
    /// When it was first seen to be over. A session's guard may say no and yes again before.
    over_ms: Option<u32>,
}

impl Claim {
    fn life(&self) -> u64 {
        self.token / TOKENS_OF_A_LIFE
    }

    /// For how long a proof may be good.
    fn good_for_ms(&self) -> u32 {
        LOST_AFTER_MS.max(self.asking.grace_ms)
    }

    /// Whether both may not be held at once.
    fn excludes(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind != Kind::Shared
            && !(self.kind == Kind::Read && other.kind == Kind::Read)
    }
}

/// An operator took something away.
#[derive(Clone, Debug)]
pub(super) struct Taking {
    /// The lock, or the registered name.
    pub(super) what: String,
    pub(super) is_kick: bool,
    pub(super) sent_ms: u32,
    /// When its answer came, or when no answer could come any more.
    pub(super) answered_ms: u32,
    /// Whether the answer said that it was done.
    pub(super) is_certain: bool,
}

/// A host's link to the daemon. Times are in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct LinkState {
    /// Since when nothing gets through in at least one direction.
    dead_since: Option<u32>,
    /// Since when it is not as it should be, for whatever reason.
    ill_since: Option<u32>,
    /// When it was last not as it should be.
    ill_until: Option<u32>,
}

/// What a run saw, for the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Guards that were got.
    pub got: u64,
    /// Guards that were lost.
    pub lost: u64,
    /// How often a guard was resumed.
    pub resumed: u64,
    /// Releases that were answered well.
    pub released: u64,
    /// Times at which a guard had an excuse beside the true holder.
    pub excused: u64,
    /// What operators took away.
    pub taken: u64,
    /// Kills of the daemon.
    pub kills: u64,
    /// Shutdowns of the daemon.
    pub shutdowns: u64,
    /// Permissions within a rate that were judged.
    pub permitted: u64,
}

impl Tally {
    /// Adds another run's.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { got, lost, resumed, released, excused, taken, kills, shutdowns, permitted } = other;
        self.got += got;
        self.lost += lost;
        self.resumed += resumed;
        self.released += released;
        self.excused += excused;
        self.taken += taken;
        self.kills += kills;
        self.shutdowns += shutdowns;
        self.permitted += permitted;
    }

    /// What a run of many seeds must have seen, or it has judged nothing.
    #[must_use]
    pub fn has_everything(&self) -> bool {
        let Self { got, lost, resumed, released, excused, taken, kills, shutdowns, permitted } = *self;
        let counts = [got, lost, resumed, released, excused, taken, kills, shutdowns, permitted];
        counts.iter().all(|count| *count > 0)
    }
}

/// The judge.
#[derive(Default)]
pub(super) struct Umpire {
    pub(super) now_ms: u32,
    pub(super) tally: Tally,
    /// The first thing that was wrong.
    pub(super) wrong: Option<String>,
    guards: BTreeMap<u64, Claim>,
    next: u64,
    takings: Vec<Taking>,
    /// When each life of the daemon was over.
    killed_ms: BTreeMap<u64, u32>,
    /// When permissions were had from the daemon that is alive.
    permits_ms: Vec<u32>,
    links: BTreeMap<u8, LinkState>,
}

/// Until when a guard may say that it is held though it is not, and why.
struct Excuse {
    until_ms: u32,
    why: &'static str,
    /// Whether it certainly is not.
    is_certain: bool,
}

impl Umpire {
    pub(super) fn blame(&mut self, what: &str) {
        let at_ms = self.now_ms;
        self.wrong.get_or_insert_with(|| format!("at {at_ms} ms: {what}"));
    }

    /// A guard was handed out. Returns its number.
    pub(super) fn got(&mut self, asking: &Asking, name: &str, watch: Watch) -> u64 {
        self.tally.got += 1;
        let token = watch.token().unwrap_or_else(|| {
            self.blame(&format!("a guard of {name} has no token"));
            0
        });
        let claim = Claim {
            asking: asking.clone(),
            name: name.to_owned(),
            kind: watch.kind(),
            token,
            got_ms: self.now_ms,
            resumed: 0,
            is_held: watch.is_held(),
            watch,
            over_ms: None,
        };
        // Whoever comes later has a higher token, unless it is not the holder any more.
        let is_later = |other: &&Claim| other.excludes(&claim) && other.token >= token;
        if let Some(other) = self.guards.values().find(is_later)
            && claim.is_held
            && (other.token == token || self.excuse(&claim).is_none_or(|it| it.until_ms < self.now_ms))
        {
            let what = format!("{} comes after {}, and its token is not higher", told(&claim), told(other));
            self.blame(&what);
        }
        self.next += 1;
        self.guards.insert(self.next, claim);
        self.next
    }

    /// Looks at the guards of a host, by its clock.
    pub(super) fn look(&mut self, host: u8) {
        let now_ms = self.now_ms;
        for claim in
            self.guards.values_mut().filter(|claim| claim.asking.host == host && claim.over_ms.is_none())
        {
            claim.is_held = claim.watch.is_held();
            match claim.watch.state() {
                State::Lost(_) if claim.is_held => {
                    let what = format!("{} says that it is held and that it is lost", told(claim));
                    self.wrong.get_or_insert(format!("at {now_ms} ms: {what}"));
                }
                State::Lost(_) => {
                    self.tally.lost += 1;
                    claim.over_ms = Some(now_ms);
                }
                State::Released => claim.over_ms = Some(now_ms),
                State::Held { resumed } => {
                    self.tally.resumed += u64::from(resumed - claim.resumed);
                    claim.resumed = resumed;
                }
                State::Resuming => {}
            }
        }
    }

    /// Nobody uses a guard any more: it was dropped, or its release was ordered.
    pub(super) fn gives_up(&mut self, id: u64) {
        let now_ms = self.now_ms;
        let Some(claim) = self.guards.get_mut(&id) else { return };
        claim.is_held = false;
        claim.over_ms.get_or_insert(now_ms);
    }

    /// The release of a guard was answered with Ok. It was ordered at this time.
    pub(super) fn released(&mut self, id: u64, ordered_ms: u32) {
        self.tally.released += 1;
        let Some(claim) = self.guards.get(&id) else { return };
        let is_next =
            |other: &&Claim| other.excludes(claim) && other.token > claim.token && other.got_ms < ordered_ms;
        if let Some(next) = self.guards.values().find(is_next) {
            let what =
                format!("the release of {} says that it was held, after {} was got", told(claim), told(next));
            self.blame(&what);
        }
    }

    /// The processes of a host are gone.
    pub(super) fn crashed(&mut self, host: u8) {
        let now_ms = self.now_ms;
        for claim in self.guards.values_mut().filter(|claim| claim.asking.host == host) {
            claim.is_held = false;
            claim.over_ms.get_or_insert(now_ms);
        }
    }

    /// A life of the daemon was killed, unless it was over already.
    pub(super) fn killed(&mut self, life: u64) {
        if !self.killed_ms.contains_key(&life) {
            self.tally.kills += 1;
            self.is_over(life);
        }
    }

    /// A life of the daemon has shut down in order.
    pub(super) fn shut_down(&mut self, life: u64, now_ms: u32) {
        self.tally.shutdowns += 1;
        self.now_ms = now_ms;
        self.is_over(life);
    }

    fn is_over(&mut self, life: u64) {
        self.killed_ms.insert(life, self.now_ms);
        self.permits_ms.clear();
    }

    /// A permission was had that was asked for at this time. It counts from now on at least, for the whole time of the
    /// rate, unless the daemon that gave it is gone.
    pub(super) fn permitted(&mut self, asked_ms: u32) {
        let now_ms = self.now_ms;
        if self.killed_ms.values().any(|killed_ms| *killed_ms >= asked_ms) {
            return;
        }
        self.tally.permitted += 1;
        self.permits_ms.push(now_ms);
        self.permits_ms.retain(|at_ms| at_ms + RATE_MS > now_ms);
        let count = self.permits_ms.len();
        if count > RATE as usize {
            self.blame(&format!("{count} permissions within {RATE_MS} ms"));
        }
    }

    pub(super) fn took(&mut self, taking: Taking) {
        self.tally.taken += u64::from(taking.is_certain);
        self.takings.push(taking);
    }

    /// The registered name of one of the guards, for an operator who kicks.
    pub(super) fn somebody(&self, draw: usize) -> Option<String> {
        let there: Vec<&Claim> = self.guards.values().filter(|claim| claim.over_ms.is_none()).collect();
        (!there.is_empty()).then(|| there[draw % there.len()].asking.registered.clone())
    }

    /// A link is from now on as it should be, or slow, or dead.
    pub(super) fn link(&mut self, host: u8, is_dead: bool, is_ill: bool) {
        let now_ms = self.now_ms;
        let link = self.links.entry(host).or_default();
        if link.ill_since.is_some() {
            link.ill_until = Some(now_ms);
        }
        link.dead_since = is_dead.then(|| link.dead_since.unwrap_or(now_ms));
        link.ill_since = (is_dead || is_ill).then(|| link.ill_since.unwrap_or(now_ms));
    }

    /// Whether a host's link is as it should be, and was so for some time before this time.
    fn is_well_since(&self, host: u8, from_ms: u32) -> bool {
        let link = self.links.get(&host).copied().unwrap_or_default();
        link.ill_since.is_none() && link.ill_until.is_none_or(|until| until + WELL_MS < from_ms)
    }

    /// The latest of the excuses of a guard.
    fn excuse(&self, claim: &Claim) -> Option<Excuse> {
        let killed = self.killed_ms.get(&claim.life()).map(|at_ms| {
            // One that can be resumed is told when it reaches the next daemon.
            let is_told_soon = claim.asking.grace_ms == 0 && self.is_well_since(claim.asking.host, *at_ms);
            let most_ms = if is_told_soon { ROUND_TRIP_MS } else { claim.good_for_ms() + ROUND_TRIP_MS };
            Excuse { until_ms: at_ms + most_ms, why: "its daemon was gone", is_certain: true }
        });
        let taken = self.takings.iter().filter(|taking| is_hit(taking, claim)).map(|taking| {
            let is_told_soon = !claim.asking.is_of_session
                && claim.asking.grace_ms == 0
                && self.is_well_since(claim.asking.host, taking.sent_ms);
            let soon_ms = if taking.is_kick { 0 } else { HEARTBEAT_MS };
            let most_ms = if is_told_soon { soon_ms } else { claim.good_for_ms() };
            // A grant that was on its way is told of later.
            let from_ms = taking.answered_ms.max(if is_told_soon { claim.got_ms } else { 0 });
            // Whoever was the holder before is hit, or was not the holder any more for another reason. But a resumed
            // one is not registered any more.
            let is_hit = !taking.is_kick || claim.asking.grace_ms == 0;
            Excuse {
                until_ms: from_ms + most_ms + ROUND_TRIP_MS,
                why: if taking.is_kick { "it was kicked" } else { "it was stolen" },
                is_certain: taking.is_certain && is_hit && claim.got_ms < taking.sent_ms,
            }
        });
        taken.chain(killed).max_by_key(|excuse| excuse.until_ms)
    }

    /// Judges this moment.
    pub(super) fn judge(&mut self) {
        let mut wrong = None;
        let held: Vec<&Claim> = self.guards.values().filter(|claim| claim.is_held).collect();
        for claim in &held {
            if let Some(excuse) = self.excuse(claim)
                && excuse.is_certain
                && self.now_ms > excuse.until_ms
            {
                let until_ms = excuse.until_ms;
                wrong = Some(format!(
                    "{} still says so; {} and had time until {until_ms} ms",
                    told(claim),
                    excuse.why
                ));
            }
            let link = self.links.get(&claim.asking.host).copied().unwrap_or_default();
            if let Some(since_ms) = link.dead_since
                && self.now_ms > since_ms + claim.good_for_ms() + ROUND_TRIP_MS
            {
                wrong =
                    Some(format!("{} says so, and nothing was answered since {since_ms} ms", told(claim)));
            }
        }
        let mut excused = 0;
        let mut is_excused = |claim: &Claim| {
            let is_excused = self.excuse(claim).is_some_and(|excuse| self.now_ms <= excuse.until_ms);
            excused += u64::from(is_excused);
            is_excused
        };
        for (at, one) in held.iter().enumerate() {
            for other in &held[at + 1..] {
                let (low, high) = if one.token < other.token { (one, other) } else { (other, one) };
                if one.excludes(other) && !is_excused(low) {
                    wrong = Some(format!("{} and {} are held at once", told(low), told(high)));
                }
            }
        }
        let sharing: Vec<_> = held.iter().filter(|claim| claim.kind == Kind::Shared).collect();
        let most = LIMIT as usize;
        if sharing.len() > most {
            let sharing: Vec<_> = sharing.into_iter().filter(|claim| !is_excused(claim)).collect();
            if sharing.len() > most {
                let sharing: Vec<String> = sharing.into_iter().map(|claim| told(claim)).collect();
                wrong = Some(format!("more than {LIMIT} share one lock: {}", sharing.join(", ")));
            }
        }
        self.tally.excused += excused;
        if let Some(wrong) = wrong {
            self.blame(&wrong);
        }
    }
}

/// Whether a taking may have hit a guard.
fn is_hit(taking: &Taking, claim: &Claim) -> bool {
    if claim.asking.asked_ms > taking.answered_ms
        || claim.over_ms.is_some_and(|over_ms| over_ms < taking.sent_ms)
    {
        return false;
    }
    if taking.is_kick {
        return claim.asking.registered == taking.what;
    }
    claim.name == taking.what && matches!(claim.kind, Kind::Exclusive | Kind::Write)
}

fn told(claim: &Claim) -> String {
    let Claim { asking, name, kind, token, got_ms, .. } = claim;
    let grace = if asking.grace_ms > 0 { format!(", grace {} ms", asking.grace_ms) } else { String::new() };
    format!(
        "guard {} of {kind:?} {name} (host {}, token {token}, got at {got_ms} ms{grace})",
        asking.registered, asking.host
    )
}
