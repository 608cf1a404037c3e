//! What is made from the program's own tables: those of the documentation (settings, metrics, figures), the manual
//! page, the completions for shells. Tests compare them. With `UPDATE_PAGES=1` they write them.

use clap_complete::{Generator, Shell};
use elockd_core::figures::{FigureRow, Nature, Part, Shown, rows};
use std::path::Path;

/// The lines before and behind a table.
const BEGIN: &str = "<!-- This table is made from the program's: see CONTRIBUTING.md. -->\n";
const END: &str = "<!-- The end of the table. -->\n";

/// Compares the tables of a page, in their order. With `UPDATE_PAGES=1`, writes them instead.
fn check(page: &str, tables: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let old = std::fs::read_to_string(&path).unwrap();
    let pieces: Vec<&str> = old.split(BEGIN).collect();
    assert_eq!(
        pieces.len(),
        tables.len() + 1,
        "{page} has another number of tables between {BEGIN:?} and {END:?}"
    );
    let mut new = pieces[0].to_owned();
    for (piece, table) in pieces[1..].iter().zip(tables) {
        let (_, rest) = piece.split_once(END).unwrap_or_else(|| panic!("a table of {page} has no {END:?}"));
        new.extend([BEGIN, table, END, rest]);
    }
    compare(&path, &old, &new);
}

/// Compares a file with what the program says. With `UPDATE_PAGES=1`, writes it instead.
fn compare(path: &Path, old: &str, new: &str) {
    if std::env::var_os("UPDATE_PAGES").is_some() {
        return std::fs::write(path, new).unwrap();
    }
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    let page = path.display();
    assert_eq!(differs, None, "{page} is not what the program says: run the test with UPDATE_PAGES=1");
    assert_eq!(old.len(), new.len(), "{page} is not what the program says: run the test with UPDATE_PAGES=1");
}

#[test]
fn the_files_to_copy_have_the_manual_page_and_the_completions_of_the_program() {
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib");
    let mut page = Vec::new();
    clap_mangen::Man::new(crate::settings::command_line()).render(&mut page).unwrap();
    let shells = [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut crate::settings::command_line(), "elockd", &mut text);
        (Path::new("completions").join(shell.file_name("elockd")), text)
    });
    for (name, text) in [(Path::new("elockd.1").to_owned(), page)].into_iter().chain(shells) {
        let path = contrib.join(name);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        compare(&path, &old, &String::from_utf8(text).unwrap());
    }
}

#[test]
fn the_page_for_operators_has_the_settings_and_the_metrics_of_the_program() {
    check("operations.md", &[crate::settings::table(), crate::metrics::table()]);
}

#[test]
fn the_page_of_the_protocol_has_the_figures_of_the_program() {
    check("protocol.md", &[figures(Shown::Short), figures(Shown::Full)]);
}

/// The figures whose row has this `shown`, by key.
fn figures(shown: Shown) -> String {
    let mut lines: Vec<String> = rows().filter(|row| row.shown == shown).map(line).collect();
    lines.sort();
    format!("| key | type | what it is |\n|---|---|---|\n{}", lines.concat())
}

fn line(row: &FigureRow) -> String {
    let mut keys: Vec<String> = Vec::new();
    row.each_part(|part| match part {
        Part::Verb(_) if keys.is_empty() => keys.push(format!("`{}_VERB`", row.key)),
        Part::Verb(_) => {}
        _ => keys.push(format!("`{}`", row.key_of(part))),
    });
    let nature = match row.nature {
        Nature::Counter => "counter",
        Nature::Gauge => "gauge",
        Nature::Peak => "peak",
        Nature::Limit => "limit",
        Nature::Text => "word",
    };
    let note = if row.note.is_empty() { String::new() } else { format!(" {}", row.note) };
    format!("| {} | {nature} | {}{note} |\n", keys.join(", "), row.help)
}
