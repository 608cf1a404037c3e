//! What was done to a run's world, and what its nodes said of themselves: which processes ran, whether links were
//! whole, and who led. Judges ask it what they may demand at a time.

use super::plan::Death;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// A node's process ended.
    Down(u16, Death),
    /// Another was started.
    Up(u16),
    /// A node's process begins to end by itself.
    Leaving(u16),
    /// Links between nodes are from now on whole and fast, or are not.
    Links { are_well: bool },
    /// A node leads in a term.
    Leads(u16, u64),
}

/// All that happened, with times in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Happenings(Vec<(u32, Happened)>);

impl Happenings {
    pub(super) fn note(&mut self, ms: u32, what: Happened) {
        self.0.push((ms, what));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(u32, Happened)> {
        self.0.iter()
    }

    /// Deaths of processes: when, which node's, and how.
    pub(super) fn deaths(&self) -> impl Iterator<Item = (u32, u16, Death)> {
        self.0.iter().filter_map(|(ms, what)| match what {
            Happened::Down(node, death) => Some((*ms, *node, *death)),
            _ => None,
        })
    }

    /// When somebody began to lead.
    pub(super) fn elections(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|(_, what)| matches!(what, Happened::Leads(..))).map(|(ms, _)| *ms)
    }

    /// Whether all links were whole in all of this time.
    pub(super) fn links_were_well(&self, from_ms: u32, to_ms: u32) -> bool {
        let mut are_well = true;
        for (ms, what) in self.0.iter().filter(|(ms, _)| *ms <= to_ms) {
            if *ms > from_ms && !are_well {
                return false;
            }
            if let Happened::Links { are_well: now } = what {
                are_well = *now;
            }
        }
        are_well
    }

    /// The fewest processes that ran at a time, within this time, of so many nodes.
    pub(super) fn fewest_running(&self, nodes: u16, from_ms: u32, to_ms: u32) -> u16 {
        let (mut running, mut fewest) = (nodes, nodes);
        for (ms, what) in self.0.iter().filter(|(ms, _)| *ms <= to_ms) {
            if *ms <= from_ms {
                fewest = running;
            }
            match what {
                Happened::Down(..) => running -= 1,
                Happened::Up(_) => running += 1,
                Happened::Leaving(_) | Happened::Links { .. } | Happened::Leads(..) => {}
            }
            fewest = if *ms <= from_ms { running } else { fewest.min(running) };
        }
        fewest
    }

    /// Whether this node's process ran in all of this time.
    pub(super) fn ran(&self, node: u16, from_ms: u32, to_ms: u32) -> bool {
        let mut runs = true;
        for (ms, what) in self.0.iter().filter(|(ms, _)| *ms <= to_ms) {
            match what {
                Happened::Down(of, _) | Happened::Leaving(of) if *of == node && *ms >= from_ms => {
                    return false;
                }
                Happened::Down(of, _) | Happened::Leaving(of) if *of == node => runs = false,
                Happened::Up(of) if *of == node && *ms > from_ms => return false,
                Happened::Up(of) if *of == node => runs = true,
                _ => {}
            }
        }
        runs
    }

    /// When the process of a node that ran at this time began to end by itself, if it did.
    pub(super) fn leaves(&self, node: u16, ms: u32) -> Option<u32> {
        let later = self.0.iter().filter(|(at_ms, _)| *at_ms >= ms);
        let mut of_node = later.filter(|(_, what)| match what {
            Happened::Leaving(of) | Happened::Down(of, _) | Happened::Up(of) => *of == node,
            Happened::Links { .. } | Happened::Leads(..) => false,
        });
        of_node.next().filter(|(_, what)| matches!(what, Happened::Leaving(_))).map(|(ms, _)| *ms)
    }

    /// Whether a node lost power while a connection to it was open.
    pub(super) fn lost_power(&self, node: u16, from_ms: u32, to_ms: u32) -> bool {
        self.deaths()
            .any(|(ms, of, death)| of == node && death == Death::Power && (from_ms..=to_ms).contains(&ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happenings() -> Happenings {
        let mut happenings = Happenings::default();
        happenings.note(100, Happened::Links { are_well: false });
        happenings.note(200, Happened::Links { are_well: true });
        happenings.note(300, Happened::Down(2, Death::Killed));
        happenings.note(400, Happened::Up(2));
        happenings
    }

    /// Goal: a time is well only if nothing went wrong in it or before it that lasts. Method: times before, within,
    /// around and after a trouble.
    #[test]
    fn links_are_well_outside_of_trouble() {
        let happenings = happenings();
        let were_well = |from, to| happenings.links_were_well(from, to);
        assert_eq!([were_well(0, 99), were_well(0, 150), were_well(120, 180)], [true, false, false]);
        assert_eq!([were_well(150, 500), were_well(50, 500), were_well(201, 500)], [false, false, true]);
    }

    /// Goal: who ran is known. Method: one node is down for a time.
    #[test]
    fn a_process_runs_outside_of_its_down_times() {
        let happenings = happenings();
        let ran = |from, to| (happenings.ran(2, from, to), happenings.fewest_running(3, from, to));
        assert_eq!([ran(0, 299), ran(250, 350), ran(320, 380)], [(true, 3), (false, 2), (false, 2)]);
        assert_eq!([ran(350, 450), ran(401, 500)], [(false, 2), (true, 3)]);
        assert!(happenings.ran(1, 0, 500));
    }
}
