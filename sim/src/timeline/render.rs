//! The picture as HTML. Everything is placed in percent of the run's width, so zooming only means making it wider.
//! Nothing here decides what there is to see.

use super::axis::Axis;
use super::head;
use super::holds::{HoldEnd, WaitEnd};
use super::html::{count, escaped, grouped, percent, readable};
use super::lanes::{Bar, Lane};
use super::lives::LifeEnd;
use super::marks::{Mark, MarkKind};
use super::palette;
use super::picture::{HostGroup, Picture, Span};
use super::troubles::{Trouble, What};
use crate::history::Place;
use crate::log::{Entry, Violation};
use crate::plan::Plan;
use crate::world::Report;
use std::fmt::Write as _;

/// The whole page.
pub(super) fn page(
    plan: &Plan,
    report: &Report,
    violation: Option<&Violation>,
    picture: &Picture<'_>,
) -> String {
    let mut page = Page { entries: &report.entries, picture, out: String::new() };
    page.put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.put("<meta name=\"viewport\" content=\"width=device-width\">\n");
    page.put(&format!("<title>elockd: seed {}</title>\n", plan.seed));
    page.put(&format!("<style>\n{}{}</style>\n", include_str!("page.css"), palette::style()));
    // Readers who cannot zoom get it wide from the start.
    page.put("<noscript><style>.rows{min-width:2800px}.needs-script{display:none}</style></noscript>\n");
    page.put("</head>\n<body>\n");
    page.put(&head::head(plan, report, violation, picture));
    page.rows(violation);
    page.put(&format!("<div id=\"tip\" hidden></div>\n<script>\n{}</script>\n", include_str!("page.js")));
    page.put("</body>\n</html>\n");
    page.out
}

struct Page<'a> {
    entries: &'a [Entry],
    picture: &'a Picture<'a>,
    out: String,
}

impl Page<'_> {
    fn put(&mut self, html: &str) {
        self.out.push_str(html);
    }

    fn axis(&self) -> &Axis {
        &self.picture.axis
    }

    fn left(&self, place: Place) -> String {
        format!("left:{}", percent(self.axis().of(place)))
    }

    fn left_and_width(&self, span: Span) -> String {
        let (from, to) = (self.axis().of(span.from), self.axis().of(span.to));
        format!("left:{};width:{}", percent(from), percent((to - from).max(0.0)))
    }

    /// The time of a place, for readers who want to find it in the log.
    fn when(&self, place: Place) -> String {
        match self.entries.get(place) {
            Some(entry) => format!("{} ms (entry {place})", grouped(entry.at_ms.into())),
            None => "the end of the run".to_owned(),
        }
    }

    fn rows(&mut self, violation: Option<&Violation>) {
        let drawn = self.axis().drawn();
        let knots: Vec<_> =
            drawn.map(|s| format!("{},{:.8},{},{:.8}", s.from_ms, s.from, s.to_ms, s.to)).collect();
        self.put("<main class=\"scroll\" tabindex=\"0\">\n");
        self.put(&format!("<div class=\"rows\" data-axis=\"{}\">\n", knots.join(";")));
        self.underlay();
        self.top(violation);
        let picture = self.picture;
        for group in &picture.groups {
            self.group(group);
        }
        self.overlay();
        self.put("</div>\n</main>\n");
    }

    /// The layer under all lanes.
    fn underlay(&mut self) {
        self.put("<div class=\"across\">");
        if let Some(from) = self.picture.liveness {
            let place = self.left_and_width(Span { from, to: self.entries.len() });
            self.put(&format!("<i class=\"liveness\" style=\"{place}\"></i>"));
        }
        self.areas(&self.picture.troubles);
        let folds: Vec<_> = self.axis().stretches.iter().copied().filter(|stretch| stretch.is_fold).collect();
        for fold in folds {
            let (left, width) = (percent(fold.from), percent(fold.to - fold.from));
            self.put(&format!("<i class=\"fold\" style=\"left:{left};width:{width}\"></i>"));
        }
        let lines: Vec<_> = self.axis().labels(14);
        self.put("<div id=\"grid\">");
        for (_, part) in lines {
            self.put(&format!("<i style=\"left:{}\"></i>", percent(part)));
        }
        self.put("</div></div>\n");
    }

    /// The layer over all lanes.
    fn overlay(&mut self) {
        self.put("<div class=\"across over\">");
        if let Some(at) = self.picture.violation {
            self.put(&format!("<i class=\"violation\" style=\"{}\"></i>", self.left(at)));
        }
        self.put("</div>\n");
    }

    /// The axis and the server's own row, which stay in sight.
    fn top(&mut self, violation: Option<&Violation>) {
        let picture = self.picture;
        self.put("<div class=\"top\">\n<div class=\"row axis\"><div class=\"label\">virtual time, ms</div>");
        self.put("<div class=\"track\"><div id=\"ruler\">");
        for (at_ms, part) in self.axis().labels(14) {
            self.put(&format!("<i style=\"left:{}\">{}</i>", percent(part), grouped(at_ms.into())));
        }
        self.put("</div>");
        for fold in picture.axis.stretches.iter().filter(|stretch| stretch.is_fold) {
            let quiet = fold.to_ms - fold.from_ms;
            let (left, width) = (percent(fold.from), percent(fold.to - fold.from));
            let _ = write!(
                self.out,
                "<i class=\"folded\" style=\"left:{left};width:{width}\" title=\"Folded: nothing happens for {} ms, \
                 from {} to {} ms\">⋯</i>",
                grouped(quiet.into()),
                grouped(fold.from_ms.into()),
                grouped(fold.to_ms.into())
            );
        }
        if let (Some(at), Some(violation)) = (picture.violation, violation) {
            let _ = write!(
                self.out,
                "<b id=\"violation\" class=\"flag\" style=\"{}\" title=\"{}\">violation</b>",
                self.left(at),
                escaped(&violation.to_string())
            );
        }
        self.put("</div></div>\n");
        self.server();
        self.put("</div>\n");
    }

    fn server(&mut self) {
        let picture = self.picture;
        let mut labels: Vec<(What, String, String, Span)> =
            picture.troubles.iter().map(|it| self.label(it)).collect();
        if let Some(from) = picture.liveness {
            let text = "faults are over: everybody left gets and releases every lock".to_owned();
            let span = Span { from, to: self.entries.len() };
            labels.push((What::Liveness, "liveness phase".to_owned(), text, span));
        }
        let rows = self.stacked(&labels);
        let height = 20 + 17 * rows.iter().max().map_or(0, |row| row + 1);
        self.put(&format!("<div class=\"row server\" style=\"height:{height}px\">"));
        self.put("<div class=\"label\"><b>server</b></div><div class=\"track\">");
        for life in &picture.lives {
            let end = match life.end {
                LifeEnd::Killed => format!("killed at {}", self.when(life.span.to)),
                LifeEnd::ShutDown => format!("shut down at {}", self.when(life.span.to)),
                LifeEnd::Lasts => "up when the run is over".to_owned(),
            };
            let (number, inputs) = (life.life.0, count(life.inputs, "input"));
            let text =
                format!("life {number} of the server, from {}\n{inputs}\n{end}", self.when(life.span.from));
            let (place, text) = (self.left_and_width(life.span), escaped(&text));
            self.put(&format!(
                "<b class=\"alive\" style=\"{place}\" title=\"{text}\"><span>life {number}</span></b>"
            ));
        }
        self.chips(&labels, &rows, 20);
        self.put("</div></div>\n");
    }

    fn group(&mut self, group: &HostGroup) {
        let host = group.host.map_or("?".to_owned(), |host| host.0.to_string());
        let name = group.host.map_or("host unknown".to_owned(), |host| host.to_string());
        self.put(&format!("<section class=\"host\" data-host=\"{host}\">\n<div class=\"across\">"));
        self.areas(&group.troubles);
        self.put("</div>\n");
        let labels: Vec<_> = group.troubles.iter().map(|it| self.label(it)).collect();
        let rows = self.stacked(&labels);
        let height = 3 + 17 * rows.iter().max().map_or(1, |row| row + 1);
        let lanes = count(group.lanes.len(), "connection");
        self.put(&format!(
            "<div class=\"row head\" style=\"height:{height}px\"><div class=\"label\"><b>{name}</b> "
        ));
        self.put(&format!("<small>{lanes}</small></div><div class=\"track\">"));
        self.chips(&labels, &rows, 2);
        self.put("</div></div>\n");
        for lane in &group.lanes {
            self.lane(lane);
        }
        self.put("</section>\n");
    }

    /// A trouble's label and its story.
    fn label(&self, trouble: &Trouble) -> (What, String, String, Span) {
        let Trouble { what, label, span } = trouble;
        let text = format!("{label}\nfrom {}\nto {}", self.when(span.from), self.when(span.to));
        (*what, label.clone(), text, *span)
    }

    /// The row of each label, so that labels do not overlap.
    fn stacked(&self, labels: &[(What, String, String, Span)]) -> Vec<usize> {
        /// Of a page that is as wide as most screens.
        const PART_OF_A_LETTER: f64 = 0.0056;
        let mut ends: Vec<f64> = Vec::new();
        let mut rows = Vec::new();
        for (_, label, _, span) in labels {
            let from = self.axis().of(span.from);
            let letters = f64::from(label.len() as u32 + 3);
            let row = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
            ends.resize(ends.len().max(row + 1), 0.0);
            ends[row] = self.axis().of(span.to).max(from + letters * PART_OF_A_LETTER);
            rows.push(row);
        }
        rows
    }

    fn areas(&mut self, troubles: &[Trouble]) {
        for trouble in troubles {
            let (class, place) = (class(trouble.what), self.left_and_width(trouble.span));
            self.put(&format!("<i class=\"area {class}\" style=\"{place}\"></i>"));
        }
    }

    fn chips(&mut self, labels: &[(What, String, String, Span)], rows: &[usize], top_px: usize) {
        for ((what, label, text, span), row) in labels.iter().zip(rows) {
            let _ = write!(
                self.out,
                "<div class=\"reach\" style=\"{};top:{}px\"><b class=\"chip {}\" title=\"{}\">{}</b></div>",
                self.left_and_width(*span),
                top_px + 17 * row,
                class(*what),
                escaped(text),
                escaped(label)
            );
        }
    }

    fn lane(&mut self, lane: &Lane) {
        let height = self.row_height(lane);
        let bad = if lane.is_violated { " bad" } else { "" };
        let small = if height < 11 { " small" } else { "" };
        let rows = lane.rows;
        let _ = write!(
            self.out,
            "<div class=\"row lane{bad}{small}\" style=\"--h:{height};--rows:{rows}\"><div class=\"label\" title=\"{}\">",
            escaped(&self.story(lane))
        );
        let name = lane.name.as_deref().unwrap_or("(unseen)");
        let number = lane.id.map_or("not accepted".to_owned(), |(life, conn)| {
            if self.picture.lives.len() > 1 {
                format!("#{}.{}", life.0, conn.serial())
            } else {
                format!("#{}", conn.serial())
            }
        });
        self.put(&format!("<b>{}</b> <small>{number} {}</small></div>", escaped(name), lane.addr));
        self.put("<div class=\"track\">");
        for (side, span) in [("ours", lane.client), ("theirs", lane.server)] {
            let Some(span) = span else { continue };
            let place = self.left_and_width(span);
            self.put(&format!("<i class=\"life {side}\" style=\"{place}\"></i>"));
        }
        if let Some((at, word)) = &lane.end {
            let (place, text) = (self.left(*at), escaped(&self.story(lane)));
            self.put(&format!("<b class=\"end\" style=\"{place}\" title=\"{text}\">{}</b>", escaped(word)));
        }
        for wait in &lane.waits {
            self.wait(wait, name);
        }
        for bar in &lane.bars {
            self.bar(bar, name);
        }
        for mark in &lane.marks {
            self.mark(mark);
        }
        self.put("</div></div>\n");
    }

    /// The height of each of a lane's rows, in pixels. If there are many, they are thin.
    fn row_height(&self, lane: &Lane) -> usize {
        let lanes: usize = self.picture.groups.iter().map(|group| group.lanes.len()).sum();
        let most = if lanes > 20 { 40 } else { 80 };
        (most / lane.rows.max(1)).clamp(2, 14)
    }

    fn story(&self, lane: &Lane) -> String {
        let steps = lane.story.iter().map(|(at, step)| format!("{}: {step}", self.when(*at)));
        steps.collect::<Vec<_>>().join("\n")
    }

    fn bar(&mut self, bar: &Bar, holder: &str) {
        let (kind, name) = self.picture.locks[bar.lock].lock;
        let name = readable(name);
        let (shared, verb) = (if kind.is_counted() { " shared" } else { "" }, kind.lock_word());
        let (class, end) = match bar.end {
            HoldEnd::Released => ("", format!("released at {}", self.when(bar.span.to))),
            HoldEnd::Orphaned => (" orphan", format!("orphaned at {}", self.when(bar.span.to))),
            HoldEnd::Stolen => (" orphan", format!("stolen at {}", self.when(bar.span.to))),
            HoldEnd::Passed => ("", format!("taken over at {}", self.when(bar.span.to))),
            HoldEnd::Lost => {
                (" orphan", format!("lost with the server's life at {}", self.when(bar.span.to)))
            }
            HoldEnd::Lasts => ("", "held when the run is over".to_owned()),
        };
        let text = format!("{verb} {name}\nheld by {holder} from {}\n{end}", self.when(bar.span.from));
        let _ = write!(
            self.out,
            "<b class=\"bar {}{shared}{class}\" style=\"{};--r:{}\" data-lock=\"{}\" title=\"{}\"><span>{}</span></b>",
            palette::class(bar.lock),
            self.left_and_width(bar.span),
            bar.row,
            bar.lock,
            escaped(&text),
            escaped(&name)
        );
    }

    fn wait(&mut self, wait: &Bar<WaitEnd>, waiter: &str) {
        let (kind, name) = self.picture.locks[wait.lock].lock;
        let name = readable(name);
        let what = kind.lock_word();
        let (class, end) = match wait.end {
            WaitEnd::Granted => (" granted", format!("granted at {}", self.when(wait.span.to))),
            WaitEnd::InVain => ("", format!("in vain: told so at {}", self.when(wait.span.to))),
            WaitEnd::CutOff => ("", format!("over with its connection's end at {}", self.when(wait.span.to))),
            WaitEnd::Lost => ("", format!("lost with the server's life at {}", self.when(wait.span.to))),
            WaitEnd::Lasts => ("", "goes on when the run is over".to_owned()),
        };
        let text = format!("{what} {name}\nwaited for by {waiter} from {}\n{end}", self.when(wait.span.from));
        let _ = write!(
            self.out,
            "<b class=\"bar wait {}{class}\" style=\"{};--r:{}\" data-lock=\"{}\" title=\"{}\"><span>{}</span></b>",
            palette::class(wait.lock),
            self.left_and_width(wait.span),
            wait.row,
            wait.lock,
            escaped(&text),
            escaped(&name)
        );
    }

    fn mark(&mut self, mark: &Mark) {
        let (class, sign) = match mark.kind {
            MarkKind::Asked => ("asked", ""),
            MarkKind::Answered => ("answered", ""),
            MarkKind::Refused => ("refused", "×"),
            MarkKind::HalfClosed => ("fin", ""),
        };
        let (colour, lock) = match mark.lock {
            Some(lock) => (format!(" {}", palette::class(lock)), format!(" data-lock=\"{lock}\"")),
            None => (String::new(), String::new()),
        };
        let text = escaped(&format!("{}\n{}", self.when(mark.at), mark.text));
        let place = self.left(mark.at);
        self.put(&format!(
            "<i class=\"mark {class}{colour}\" style=\"{place}\"{lock} title=\"{text}\">{sign}</i>"
        ));
    }
}

/// The class of a trouble.
pub(super) const fn class(what: What) -> &'static str {
    match what {
        What::Down => "down",
        What::CutOff | What::Mute | What::Unheard => "cut",
        What::Held => "held",
        What::Slow => "slow",
        What::ServerDown => "server-down",
        What::Draining => "draining",
        What::Liveness => "phase",
    }
}
