//! A run as a picture: one HTML page with a lane for each connection, bars for its holds, faults across the lanes,
//! and the violation marked. It is for people who would rather look than read.
//!
//! A page is made from the log alone, in two steps. The picture (`picture.rs`) says what there is to see and between
//! which places of the log. The renderer (`render.rs`) writes it as HTML. The page needs nothing beside itself, and
//! no network. Without JavaScript it is still a picture, without zoom. It must never show anything that the log does
//! not say. The same run must always give the same bytes.

mod axis;
mod ends;
mod head;
mod holds;
mod html;
mod lanes;
mod lives;
mod marks;
mod palette;
mod picture;
mod render;
#[cfg(test)]
mod scene;
mod troubles;

use crate::log::Violation;
use crate::plan::Plan;
use crate::world::Report;
use picture::Picture;

/// Draws a run. The given violation is marked; it comes from the report or from a judge.
#[must_use]
pub fn page(plan: &Plan, report: &Report, violation: Option<&Violation>) -> String {
    let picture = Picture::new(plan, report, violation);
    render::page(plan, report, violation, &picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw;
    use crate::log::Ended;
    use crate::plan::Orphaning;
    use crate::script::{Fault, Host};
    use crate::timeline::holds::{HoldEnd, WaitEnd};
    use crate::timeline::scene::{Scene, conn};
    use crate::timeline::troubles::What;
    use crate::world;
    use elockd_core::Cause;

    /// Two clients want one lock. The host of the holder crashes.
    fn scene() -> Scene {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.open(2, 1);
        scene.ask(1, b"g job", b"1 Lock Get Success: job\n");
        scene.ask(2, b"g job", b"0 Lock Get Failure: job\n");
        scene.fault(Fault::Crash(Host(0)));
        scene.end(1, Ended::Crashed);
        scene.close(1, Cause::Eof);
        scene.wait(500);
        scene.ask(2, b"g job", b"1 Lock Get Success: job\n");
        scene
    }

    fn times(html: &str, what: &str) -> usize {
        html.matches(what).count()
    }

    #[test]
    fn a_small_log_has_its_lanes_bars_marks_and_troubles() {
        let (plan, report) = scene().report();
        let picture = Picture::new(&plan, &report, None);
        let [first, second] = &picture.groups[..] else { panic!("two hosts") };
        assert_eq!((first.lanes.len(), second.lanes.len()), (1, 1));
        assert_eq!(first.troubles[0].what, What::Down);
        let (victim, heir) = (&first.lanes[0], &second.lanes[0]);
        assert_eq!(victim.name.as_deref(), Some("c1"));
        assert_eq!(victim.end.as_ref().map(|(_, word)| &word[..]), Some("crashed"));
        assert_eq!(victim.bars.iter().map(|bar| bar.end).collect::<Vec<_>>(), [HoldEnd::Orphaned]);
        assert_eq!(heir.end, None);
        assert_eq!(heir.bars.iter().map(|bar| bar.end).collect::<Vec<_>>(), [HoldEnd::Lasts]);
        assert!(victim.bars[0].span.to < heir.bars[0].span.from);
        let counts = picture.counts;
        assert_eq!((counts.requests, counts.holds, counts.refused), (3, 2, 1));
        let html = page(&plan, &report, None);
        assert!(html.contains("all invariants held"));
        assert!(html.contains("Folded: nothing happens for"));
        assert!(!html.contains("class=\"violation\""));
    }

    #[test]
    fn holds_at_one_time_do_not_share_a_row() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        scene.apply(1, b"g b", b"1 Lock Get Success: b\n");
        scene.apply(1, b"r a", b"1 Lock Release Success: a\n");
        scene.apply(1, b"r b", b"1 Lock Release Success: b\n");
        scene.apply(1, b"g b", b"1 Lock Get Success: b\n");
        scene.apply(1, b"g c", b"1 Lock Get Success: c\n");
        let (plan, report) = scene.report();
        let picture = Picture::new(&plan, &report, None);
        let lane = &picture.groups[0].lanes[0];
        // Each lock in the row where it was before.
        assert_eq!(lane.bars.iter().map(|bar| bar.row).collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!(lane.rows, 2);
    }

    #[test]
    fn a_violation_is_marked_on_the_lane_of_the_life_it_is_about() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.kill();
        scene.restart();
        // The same number again, and another client's.
        scene.accept(1, 7);
        let at = scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let at_ms = scene.entries[at].at_ms;
        let (plan, report) = scene.report();
        let what = "<both> hold it".to_owned();
        let violation = Violation { at_ms, check: "one holder", what, conn: Some(conn(1)) };
        let picture = Picture::new(&plan, &report, Some(&violation));
        assert_eq!(picture.violation, Some(at));
        let lanes = picture.groups.iter().flat_map(|group| &group.lanes);
        let marked: Vec<_> = lanes.map(|lane| (lane.name.is_some(), lane.is_violated)).collect();
        assert_eq!(marked, [(true, false), (false, true)]);
        let html = page(&plan, &report, Some(&violation));
        assert!(html.contains("<b>one holder</b> does not hold"));
        assert!(html.contains("&lt;both&gt; hold it"));
        assert_eq!(times(&html, "class=\"violation\""), 1);
        assert!(!html.contains("all invariants held"));
    }

    #[test]
    fn names_are_never_markup() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        scene.ask(1, b"g <script>\"'&\xff", b"1 Lock Get Success: <script>\"'&\xff\n");
        let (plan, report) = scene.report();
        let html = page(&plan, &report, None);
        assert_eq!(times(&html, "<script>"), 1, "the page's own");
        assert!(html.contains("&lt;script&gt;\\&quot;\\&#39;&amp;\\xff"));
    }

    #[test]
    fn a_run_in_which_nothing_happened_is_a_page() {
        let (plan, report) = Scene::new().report();
        assert!(page(&plan, &report, None).ends_with("</html>\n"));
    }

    #[test]
    fn a_page_needs_nothing_beside_itself() {
        let (plan, report) = scene().report();
        let html = page(&plan, &report, None);
        for beside in ["http:", "https:", "//", "src=", "<link", "@import", "url("] {
            let found =
                html.lines().find(|line| line.contains(beside) && !line.trim_start().starts_with("//"));
            assert_eq!(found, None, "{beside}");
        }
    }

    #[test]
    fn the_same_run_gives_the_same_page() {
        let draw = || {
            let (plan, script) = draw::swarm(27);
            page(&plan, &world::run(&plan, &script), None)
        };
        assert!(draw() == draw());
    }

    #[test]
    fn mass_orphaning_has_all_its_lanes_and_the_crash() {
        let (plan, script) = draw::mass(1, Orphaning::Crash, 50, 500);
        let report = world::run(&plan, &script);
        assert_eq!(report.violation, None);
        let picture = Picture::new(&plan, &report, None);
        let lanes = || picture.groups.iter().flat_map(|group| &group.lanes);
        // Those that are orphaned, those that look on, those that wait, and one newcomer from each of two hosts.
        let waiters = draw::waiters(50) as usize;
        assert_eq!(lanes().count(), 50 + 5 + waiters + 2);
        let waits = lanes().flat_map(|lane| &lane.waits);
        let granted = waits.filter(|wait| wait.end == WaitEnd::Granted).count();
        assert!(granted >= waiters, "{granted}");
        let crashed = |word: &str| word.starts_with("crashed");
        assert_eq!(
            lanes().filter(|lane| lane.end.as_ref().is_some_and(|(_, word)| crashed(word))).count(),
            50
        );
        let orphans = lanes().flat_map(|lane| &lane.bars).filter(|bar| bar.end == HoldEnd::Orphaned).count();
        assert!(orphans > 450, "{orphans}");
        assert_eq!(picture.groups[0].troubles[0].what, What::Down);
        let html = page(&plan, &report, None);
        assert_eq!(times(&html, "<div class=\"row lane"), 57 + waiters);
        assert_eq!(times(&html, " granted\" style"), granted);
        assert_eq!(times(&html, "class=\"chip down\""), 1);
        assert_eq!(times(&html, " orphan\" style"), orphans);
    }
}
