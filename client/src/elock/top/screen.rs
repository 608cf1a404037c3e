//! The screen of `elock top`. It uses the terminal's own colours, so it is readable on dark and on light ground.

use super::summary::{LockLine, Sorting, Summary};
use super::{Dashboard, Prompt};
use crate::span;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use std::time::Duration;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut Dashboard, is_colored: bool) {
    let [head, gap, table, foot] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let colored = |color: Color| if is_colored { Style::new().fg(color) } else { Style::new() };
    frame.render_widget(Paragraph::new(head_of(view)), head);
    let trouble = view.trouble.as_deref().or(view.summary.unlisted()).unwrap_or_default();
    frame.render_widget(
        Line::styled(trouble.to_owned(), colored(Color::Red).add_modifier(Modifier::BOLD)),
        gap,
    );

    let lines = view.summary.lines(view.order);
    let titles = [
        ("NAME", Sorting::Name),
        ("LOCK", Sorting::Name),
        ("HELD BY", Sorting::Holders),
        ("WAIT", Sorting::Waiters),
        ("FOR", Sorting::Age),
        ("LONGEST BY", Sorting::Age),
    ];
    let titles = titles.map(|(title, order)| {
        let is_key = order == view.order && !["LOCK", "LONGEST BY"].contains(&title);
        let style = if is_key { Modifier::BOLD | Modifier::UNDERLINED } else { Modifier::BOLD };
        Cell::new(title).style(style)
    });
    let rows: Vec<Row<'_>> = lines
        .iter()
        .map(|line| row_of(line).style(if line.waiters > 0 { colored(Color::Magenta) } else { Style::new() }))
        .collect();
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(10),
        Constraint::Length(7),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Fill(2),
    ];
    let shown = Table::new(rows, widths).header(Row::new(titles)).row_highlight_style(Modifier::REVERSED);
    // A lock that has gone takes the choice with it.
    if view.selected.selected().is_some_and(|at| at >= lines.len()) {
        view.selected.select(lines.len().checked_sub(1));
    }
    frame.render_stateful_widget(shown, table, &mut view.selected);

    let foot_line = match &view.prompt {
        Prompt::None => keys(),
        Prompt::Kick { who, .. } => {
            Line::styled(format!("kick {who}? y: yes, anything else: no"), Modifier::REVERSED)
        }
        Prompt::Told(text) => Line::from(text.clone()),
    };
    frame.render_widget(foot_line, foot);
}

fn keys() -> Line<'static> {
    let keys = [
        ("q", "quit"),
        ("↑↓", "choose"),
        ("k", "kick"),
        ("a", "by age"),
        ("w", "waiters"),
        ("h", "holders"),
        ("n", "name"),
    ];
    let spans = keys
        .into_iter()
        .flat_map(|(key, what)| [Span::styled(key, Modifier::BOLD), Span::raw(format!(" {what}  "))]);
    spans.collect()
}

fn head_of(view: &Dashboard) -> Vec<Line<'static>> {
    let summary = &view.summary;
    let number = |key: &str| summary.number(key);
    let up = span::shown(Duration::from_millis(number("uptime_ms")));
    let rates = summary.rates.map_or_else(
        || "counting ...".to_owned(),
        |(requests, failed)| format!("{requests} requests/s, {failed} of them refused"),
    );
    let wait = span::shown(Duration::from_millis(number("longest_wait_ms")));
    let holds: u64 =
        ["holds", "shared_holds", "read_holds", "write_holds"].iter().map(|key| number(key)).sum();
    let waiters: u64 =
        ["waiters", "shared_waiters", "read_waiters", "write_waiters"].iter().map(|key| number(key)).sum();
    vec![
        Line::styled(
            format!("{}  elockd {}  up {up}", view.server, summary.figure("version")),
            Modifier::BOLD,
        ),
        Line::from(format!(
            "{rates}; {} connections of {}, {} lingering",
            number("connections"),
            number("limit_connections"),
            number("lingering")
        )),
        Line::from(locks(summary)),
        Line::from(format!(
            "{holds} holds of {}; {waiters} wait, the longest for {wait}; {} deadlocks refused",
            number("limit_locks"),
            number("deadlocks_refused")
        )),
    ]
}

fn locks(summary: &Summary) -> String {
    format!(
        "locks: {} exclusive, {} shared, {} read, {} written; memory {} of {} MiB",
        summary.number("locks"),
        summary.number("shared_locks"),
        summary.number("read_locks"),
        summary.number("write_locks"),
        summary.number("memory_bytes") >> 20,
        summary.number("limit_memory_bytes") >> 20,
    )
}

fn row_of(line: &LockLine) -> Row<'static> {
    let (age, who) = line.longest.as_ref().map_or_else(Default::default, |row| (row.age(), row.who()));
    Row::new([
        line.name.to_string(),
        line.kind.to_owned(),
        line.holders.to_string(),
        line.waiters.to_string(),
        age,
        who,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(view: &mut Dashboard) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 12)).unwrap();
        terminal.draw(|frame| draw(frame, view, true)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn all_of_it_fits_on_80_columns() {
        let mut view = super::super::tests::view();
        let text = drawn(&mut view);
        for expected in ["127.0.0.1:9999  elockd 1.2.3", "NAME ", "unix:2000", "n name"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let at = |name: &str| {
            text.lines().position(|line| line.trim_start_matches('"').starts_with(name)).unwrap()
        };
        assert!(at("b ") < at("a "), "the longest hold comes first:\n{text}");
    }

    #[test]
    fn troubles_and_questions_are_shown() {
        let mut view = super::super::tests::view();
        view.trouble = Some("no daemon can be reached".to_owned());
        view.prompt = Prompt::Kick { who: "alice".to_owned(), address: String::new() };
        let text = drawn(&mut view);
        assert!(text.contains("no daemon can be reached") && text.contains("kick alice? y: yes"), "{text}");
    }
}
