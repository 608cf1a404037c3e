//! The head of the page: which run it is, whether all invariants held, how much happened, and what the signs in the
//! picture mean.

use super::html::{count, escaped, grouped, readable};
use super::palette;
use super::picture::{Known, Picture, Tallies};
use crate::log::Violation;
use crate::plan::{Orphaning, Plan, Scenario, Settings};
use crate::script::FaultKind;
use crate::world::Report;
use std::fmt::Write as _;

/// The head.
pub(super) fn head(
    plan: &Plan,
    report: &Report,
    violation: Option<&Violation>,
    picture: &Picture<'_>,
) -> String {
    let mut out = String::from("<header>\n");
    let _ = writeln!(
        out,
        "<div class=\"title\"><h1>elockd, simulated: seed {}</h1>{}<span class=\"needs-script\" id=\"zoom\">{ZOOM}</span></div>",
        plan.seed,
        verdict(violation)
    );
    if let Some(violation) = violation {
        let _ = writeln!(
            out,
            "<div class=\"box\"><b>{}</b> does not hold, at <a href=\"#violation\">{} ms</a><pre>{}</pre></div>",
            escaped(violation.check),
            grouped(violation.at_ms.into()),
            escaped(&violation.what)
        );
    }
    let _ = writeln!(out, "<p>{}</p>", escaped(&in_words(plan)));
    let _ = writeln!(out, "<p>{}</p>", figures(report, picture));
    let _ = writeln!(
        out,
        "<details><summary>the whole plan</summary><pre>{}</pre></details>",
        escaped(&plan.to_string())
    );
    out.push_str(SIGNS);
    out.push_str(&hosts(picture));
    out.push_str(&locks(&picture.locks));
    out.push_str("</header>\n");
    out
}

const ZOOM: &str = "<button data-zoom=\"0.5\" title=\"less of it (or Ctrl and wheel)\">−</button>\
    <button data-zoom=\"2\" title=\"more of it (or Ctrl and wheel)\">+</button>\
    <button data-zoom=\"0\">whole run</button>\
    <button id=\"taller\" title=\"makes lanes higher, so that names of locks have room\">taller lanes</button>";

const SIGNS: &str = "<div class=\"signs\">\
    <span><i class=\"life ours\"></i><i class=\"life theirs\"></i> connection: dark while both sides have it, pale while one has</span>\
    <span><i class=\"bar c0\"></i> holds a lock</span>\
    <span><i class=\"bar c0 shared\"></i> holds a shared lock</span>\
    <span><i class=\"bar c0 orphan\"></i> orphaned or stolen at its end</span>\
    <span><i class=\"bar c0 wait\"></i> waits for a lock</span>\
    <span><i class=\"bar c0 wait granted\"></i> and is granted it</span>\
    <span><i class=\"mark refused c0\">×</i> get refused</span>\
    <span><i class=\"mark asked\"></i> asks</span>\
    <span><i class=\"mark answered\"></i> hears</span>\
    <span><i class=\"mark fin\"></i> sends FIN</span>\
    </div>\n";

fn verdict(violation: Option<&Violation>) -> String {
    match violation {
        None => "<strong class=\"verdict good\">all invariants held</strong>".to_owned(),
        Some(_) => "<strong class=\"verdict wrong\">an invariant was violated</strong>".to_owned(),
    }
}

/// A plan in a few words.
fn in_words(plan: &Plan) -> String {
    let scenario = match plan.scenario {
        Scenario::Swarm => "A swarm",
        Scenario::Accounts => "A swarm with accounts",
        Scenario::Line => "One long line",
        Scenario::MassOrphaning(Orphaning::Crash) => "Mass orphaning by crashes",
        Scenario::MassOrphaning(Orphaning::HalfOpen) => "Mass orphaning by half-open peers",
        Scenario::MassOrphaning(Orphaning::Shutdown) => "Mass orphaning during a shutdown",
    };
    let (least, most) = plan.network.latency_us;
    let ms = |us: u32| f64::from(us) / 1000.0;
    let message = match (least, most) {
        (_, 0) => "no time".to_owned(),
        (least, most) if least == most => format!("{} ms", ms(most)),
        (least, most) => format!("{} to {} ms", ms(least), ms(most)),
    };
    let mut words = format!(
        "{scenario} on {}; a message takes {message}; faults stop after {} ms",
        count(plan.hosts.into(), "host"),
        grouped(plan.duration_ms.into())
    );
    for limit in limits(&plan.server) {
        let _ = write!(words, "; {limit}");
    }
    words.push('.');
    words
}

/// Limits that a run is likely to reach.
fn limits(server: &Settings) -> Vec<String> {
    const FEW: u32 = 100;
    let at_most = |limit: u32, of: &str| (limit < FEW).then(|| format!("at most {limit} {of}"));
    let idle = (server.idle_ms > 0).then(|| format!("idle limit {} ms", grouped(server.idle_ms.into())));
    [
        at_most(server.connections, "connections"),
        at_most(server.locks, "locks"),
        at_most(server.locks_per_connection, "locks a connection"),
        at_most(server.waiters, "waits"),
        at_most(server.waiters_per_name, "waits for one name"),
        idle,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn figures(report: &Report, picture: &Picture<'_>) -> String {
    let Tallies { connections, not_connected, requests, answers, holds, waits, granted, refused } =
        picture.counts;
    let mut figures = vec![
        format!("{} ms", grouped(report.virtual_ms.into())),
        count(picture.lives.len(), "server life").replace("lifes", "lives"),
        count(connections, "connection"),
        format!("{} ({} answered)", count(requests, "request"), grouped(answers as u64)),
        count(picture.locks.len(), "lock"),
        count(holds, "hold"),
        format!("{} ({} granted)", count(waits, "wait"), grouped(granted as u64)),
        format!("{} refused", count(refused, "get")),
        count(report.entries.len(), "entry").replace("entrys", "entries"),
    ];
    if not_connected > 0 {
        figures.push(format!("{} could not connect", count(not_connected, "client")));
    }
    let bites: Vec<_> = report.bites.iter().map(|(kind, times)| bite(*kind, *times)).collect();
    let bites = if bites.is_empty() { "none".to_owned() } else { bites.join(", ") };
    let figures: Vec<_> = figures.iter().map(|figure| format!("<span>{}</span>", escaped(figure))).collect();
    format!("{} <span>faults that made a difference: {}</span>", figures.join(" "), escaped(&bites))
}

fn bite(kind: FaultKind, times: u64) -> String {
    let what = match kind {
        FaultKind::Crash => "crash",
        FaultKind::CutOff => "host cut off",
        FaultKind::Mute => "host not heard",
        FaultKind::Unheard => "host that does not hear",
        FaultKind::Hold => "link held",
        FaultKind::Slow => "slow link",
        FaultKind::KillServer => "server killed",
        FaultKind::Drain => "server shut down",
        FaultKind::FullDisk => "tokens not reserved on a full disk",
        FaultKind::KillAtReserve => "server killed when it had reserved tokens",
        FaultKind::Deaf => "client that did not read",
        FaultKind::Reset => "reset",
        FaultKind::CutOffLine => "line cut off",
        FaultKind::HalfClose => "half-close",
    };
    if times == 1 { what.to_owned() } else { format!("{what} ×{}", grouped(times)) }
}

fn hosts(picture: &Picture<'_>) -> String {
    let mut out = String::from("<div class=\"legend\"><b>hosts</b>");
    for group in &picture.groups {
        let (key, name) = match group.host {
            Some(host) => (host.0.to_string(), host.to_string()),
            None => ("?".to_owned(), "host unknown".to_owned()),
        };
        let _ = write!(
            out,
            "<button data-pick-host=\"{key}\">{name} <small>{}</small></button>",
            group.lanes.len()
        );
    }
    out.push_str("</div>\n");
    out
}

fn locks(locks: &[Known<'_>]) -> String {
    let mut out = String::from("<div class=\"legend locks\"><b>locks</b>");
    for (number, Known { lock: (kind, name), holds, waits, refused }) in locks.iter().enumerate() {
        let (class, what) = (if kind.is_counted() { " shared" } else { "" }, kind.lock_word());
        let name = readable(name);
        let text = format!(
            "{what} {name}: {}, {}, {} refused",
            count(*holds, "hold"),
            count(*waits, "wait"),
            count(*refused, "get")
        );
        let _ = write!(
            out,
            "<button data-pick-lock=\"{number}\" title=\"{}\"><i class=\"bar {}{class}\"></i>{} <small>{holds}</small></button>",
            escaped(&text),
            palette::class(number),
            escaped(&name)
        );
    }
    out.push_str("</div>\n");
    out
}
