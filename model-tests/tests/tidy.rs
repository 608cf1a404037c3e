//! Goal: the repository stays as tidy as it says it is. Method: every source file and page is read as text, and checked
//! against rules that no compiler and no formatter knows: widths of lines, paths that exist, counts that are right,
//! type names that mean one thing. Exceptions are listed by name below. These lists may only shrink.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "this repository names its files")]

use elockd_core::probe::{Canary, Mark};
use elockd_model_tests::census;
use elockd_model_tests::runner::say;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The widths of a line of code (as in `rustfmt.toml`) and of a comment.
const CODE: usize = 110;
const COMMENT: usize = 120;

/// The most hooks for planted bugs that core and server may have. Readers have to skip them.
const HOOKS: usize = 60;

/// Files with lines that are too wide.
const WIDE: &[&str] = &[];

/// Paths that are named but do not exist: the file, and the path.
const NO_SUCH_PATH: &[(&str, &str)] = &[];

/// Type names that a crate has twice.
const TWICE: &[(&str, &str)] = &[];

/// Where a path may begin, beside the top of the repository and the folder of the file that names it.
const ROOTS: [&str; 10] = [
    "core",
    "core/src",
    "core/src/inspect",
    "core/src/machine",
    "server",
    "server/src",
    "server/benches",
    "sim/src",
    "model-tests/src",
    "docs",
];

/// A file of the repository.
struct Source {
    /// Its path from the top of the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The crate or the benchmark that it belongs to. `None` for a test.
    fn crate_of(&self) -> Option<&str> {
        let (folder, rest) = self.path.split_once('/')?;
        let is_test = rest.starts_with("tests/") || rest.ends_with("tests.rs");
        let within = rest.strip_prefix("benches/").map_or(0, |rest| rest.find('/').map_or(0, |at| at + 9));
        (self.is_rust() && !is_test).then(|| &self.path[..folder.len() + within])
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text of the repository, by path.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![top()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            // The output of builds is not part of the repository.
            if path.is_dir() && name != "target" && (name == ".ci" || !name.starts_with('.')) {
                folders.push(path);
            } else if path.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                sources.push(Source { path: path.strip_prefix(top()).unwrap().display().to_string(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 200, "only {} files were found", sources.len());
    sources
}

/// Fails with all that was found and is not allowed. Prints exceptions that are not needed any more.
fn judge<T: PartialEq + Copy>(found: &[(T, String)], allowed: &[T], name: impl Fn(&T) -> String) {
    let wrong: Vec<&str> =
        found.iter().filter(|(what, _)| !allowed.contains(what)).map(|(_, told)| told.as_str()).collect();
    assert!(wrong.is_empty(), "{} found:\n{}\n", wrong.len(), wrong.join("\n"));
    for what in allowed.iter().filter(|what| found.iter().all(|(of, _)| of != *what)) {
        say(&format!("tidy: {} is allowed for nothing; take it off the list\n", name(what)));
    }
}

#[test]
fn lines_are_not_too_wide() {
    let sources = sources();
    let mut found = Vec::new();
    for Source { path, text, .. } in sources.iter().filter(|source| source.is_rust()) {
        for (at, line) in (1..).zip(text.lines()) {
            let most = if line.trim_start().starts_with("//") { COMMENT } else { CODE };
            // A line with a string may be wider: a string that is broken cannot be searched for.
            let has_string = most == CODE && line.contains('"');
            let width = line.chars().count();
            if width > most && !has_string {
                found.push((path.as_str(), format!("{path}:{at}: {width} characters, not {most}")));
            }
        }
    }
    judge(&found, WIDE, |path| (*path).to_owned());
}

#[test]
fn paths_that_are_named_exist() {
    let sources = sources();
    let mut found = Vec::new();
    for source in &sources {
        // The changelog names files of the past. So does a command that goes back to an old commit.
        let spans = match &source.path {
            path if path.ends_with(".md") && path != "CHANGELOG.md" => code_spans(&source.text),
            _ if source.is_rust() => comments(&source.text),
            _ => continue,
        };
        for (at, span) in spans.into_iter().filter(|(_, span)| !span.starts_with("git ")) {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || "./_-*".contains(c));
            let named = span.split(ends).map(|word| word.trim_end_matches('.')).filter(|word| is_path(word));
            for path in named.filter(|path| !exists(&source.path, path)) {
                let told = format!("{}:{at}: there is no {path}", source.path);
                found.push(((source.path.as_str(), path), told));
            }
        }
    }
    judge(&found, NO_SUCH_PATH, |(file, path)| format!("{path} in {file}"));
}

/// Whether a word is meant as a path within the repository.
fn is_path(word: &str) -> bool {
    const ENDS: [&str; 12] =
        [".rs", ".md", ".toml", ".txt", ".yml", ".json", ".py", ".html", ".css", ".js", ".svg", "/"];
    let (folder, _) = word.split_once('/').unwrap_or_default();
    let is_here = !folder.is_empty() && !folder.starts_with('.') && folder != "target";
    is_here && !word.contains('*') && !word.contains("//") && ENDS.iter().any(|end| word.ends_with(end))
}

fn exists(from: &str, path: &str) -> bool {
    let folder = Path::new(from).parent().unwrap();
    let roots = [Path::new(""), folder].into_iter().chain(ROOTS.iter().map(Path::new));
    roots.into_iter().any(|root| top().join(root).join(path).exists())
}

/// The text between backquotes within each line, with the numbers of the lines.
fn code_spans(text: &str) -> Vec<(usize, &str)> {
    let lines = (1..).zip(text.lines());
    lines.flat_map(|(at, line)| line.split('`').skip(1).step_by(2).map(move |span| (at, span))).collect()
}

/// The comments of a source file, with the numbers of their lines.
fn comments(text: &str) -> Vec<(usize, &str)> {
    let lines = (1..).zip(text.lines());
    lines.filter_map(|(at, line)| Some((at, line.trim_start().strip_prefix("//")?))).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    let mut wrong = String::new();
    for Source { path, text } in sources().iter().filter(|source| source.path.ends_with(".md")) {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") || target.contains(' ') {
                continue;
            }
            links += 1;
            let page = if file.is_empty() {
                top().join(path)
            } else {
                top().join(path).parent().unwrap().join(file)
            };
            let is_there = match fs::read_to_string(&page) {
                Ok(page) => anchor.is_empty() || page.lines().filter_map(anchor_of).any(|of| of == anchor),
                Err(_) => page.exists() && anchor.is_empty(),
            };
            if !is_there {
                writeln!(wrong, "{path}: {target} leads nowhere").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(links > 20, "only {links} links were found");
}

/// The anchor by which a heading is linked.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect())
}

#[test]
fn counts_that_pages_name_are_right() {
    let sources = sources();
    let page = |path: &str| &sources.iter().find(|source| source.path == path).unwrap().text;
    let files = |folder: &str, end: &str| {
        let is_it = |source: &&Source| source.path.starts_with(folder) && source.path.ends_with(end);
        sources.iter().filter(is_it).count()
    };
    let lines = |path: &str, start: &str| page(path).lines().filter(|line| line.starts_with(start)).count();
    let verification = "docs/verification.md";
    let seeds = fs::read_dir(top().join("model-tests/fuzz/corpus/wire")).unwrap().count();
    let counts = [
        (verification, "**Marks** (`core/src/probe/mark.rs`) are {} places", Mark::COUNT),
        (verification, "{} canaries are hooks", Canary::COUNT),
        (verification, "{} are patches", files("model-tests/canaries/", ".patch")),
        (verification, "In {} files there are", files("model-tests/examples/", ".txt")),
        (verification, "The census counts {} things", census::EXPECTED.len()),
        (
            verification,
            "{} properties (`model-tests/src/properties.rs`)",
            lines("model-tests/src/properties.rs", "pub fn "),
        ),
        (verification, "the corpus in the repository is {} seeds", seeds),
        (verification, "{} invariants of `sim/src/invariants/`", files("sim/src/invariants/", ".rs") - 1),
    ];
    let mut wrong = String::new();
    for (path, sentence, count) in counts {
        let text = page(path).split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = sentence.replace("{}", &count.to_string());
        if !text.contains(&expected) {
            writeln!(wrong, "{path} does not say: {expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_is_published_has_its_licences_and_says_what_it_is() {
    for package in ["client", "core", "server"] {
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            let text =
                |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert_eq!(text(top().join(package).join(name)), text(top().join(name)), "{package}/{name}");
        }
        let manifest = fs::read_to_string(top().join(package).join("Cargo.toml")).unwrap();
        for key in ["description", "license", "readme", "keywords", "categories"] {
            assert!(manifest.lines().any(|line| line.starts_with(key)), "{package}/Cargo.toml has no {key}");
        }
    }
}

#[test]
fn the_bug_that_the_page_proposes_to_plant_can_be_planted() {
    let page = fs::read_to_string(top().join("docs/verification.md")).unwrap();
    assert!(page.contains("change a `>=` to `>` in `core/src/machine/get.rs`"), "the page proposes another");
    let code = fs::read_to_string(top().join("core/src/machine/get.rs")).unwrap();
    assert!(code.lines().any(|line| line.contains(" >= ") && !line.trim().starts_with("//")));
}

#[test]
fn every_canary_and_every_model_is_in_its_table() {
    let sources = sources();
    let page = &sources.iter().find(|source| source.path == "docs/verification.md").unwrap().text;
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    let known: BTreeSet<String> = Canary::ALL.iter().map(|canary| format!("{canary:?}")).collect();
    let missing: Vec<_> = known.iter().filter(|name| !rows.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "docs/verification.md says of no {missing:?} what found it");

    let patches = sources.iter().filter_map(|source| {
        let name = source.path.strip_prefix("model-tests/canaries/")?.strip_suffix(".patch")?;
        Some(name.to_owned())
    });
    let known: BTreeSet<String> = known.into_iter().chain(patches).collect();
    let is_name = |row: &&&str| row.starts_with(char::is_uppercase) && row.chars().all(char::is_alphanumeric);
    let gone: Vec<_> = rows.iter().filter(is_name).filter(|row| !known.contains(**row)).collect();
    assert!(gone.is_empty(), "docs/verification.md has rows of canaries that there are not: {gone:?}");
}

/// Goal: a change that breaks a patch is noticed at once, not by the nightly run. Method: `git` checks whether each
/// patch still applies.
#[test]
fn every_patch_applies_and_says_what_finds_it() {
    let mut wrong = String::new();
    for Source { path, text } in sources().iter().filter(|source| source.path.ends_with(".patch")) {
        let has = |start: &str| text.lines().take(2).any(|line| line.starts_with(start));
        if !has("breaks: ") || !has("found by: cargo ") {
            writeln!(wrong, "{path} must begin with `breaks:` and `found by:`").unwrap();
        }
        let check = Command::new("git").args(["apply", "--check", path]).current_dir(top()).output().unwrap();
        if !check.status.success() {
            writeln!(wrong, "{path} does not apply: {}", String::from_utf8_lossy(&check.stderr)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_type_name_means_one_thing_within_a_crate() {
    let sources = sources();
    let mut places: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for source in &sources {
        let Some(of_crate) = source.crate_of() else { continue };
        for name in source.text.lines().filter_map(type_name) {
            places.entry((of_crate, name)).or_default().push(&source.path);
        }
    }
    assert!(places.len() > 200, "only {} types were found", places.len());
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    let found: Vec<_> =
        twice.map(|(at, places)| (at, format!("{} is in {}", at.1, places.join(" and ")))).collect();
    judge(&found, TWICE, |(of_crate, name)| format!("{name} in {of_crate}"));
}

/// The type that a line at the outermost level begins.
fn type_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub(super) ")).unwrap_or(line);
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let (word, rest) = line.split_once(' ')?;
    let is_type = ["struct", "enum", "trait", "type", "union"].contains(&word);
    is_type.then(|| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()).flatten()
}

#[test]
fn hooks_are_few_and_each_is_on_one_line() {
    let sources = sources();
    let is_code = |source: &&Source| {
        source.is_rust()
            && ["core/src/", "server/src/"].iter().any(|folder| source.path.starts_with(folder))
            && !source.path.starts_with("core/src/probe/")
    };
    let mut hooks = 0;
    let mut wrong = String::new();
    for Source { path, text } in sources.iter().filter(is_code) {
        for (at, line) in (1..).zip(text.lines()) {
            for rest in line.split("bug!").skip(1).chain(line.split("mark!").skip(1)) {
                let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
                if name.is_none_or(|(name, _)| !name.chars().all(char::is_alphanumeric)) {
                    writeln!(wrong, "{path}:{at}: a hook and its name belong on one line").unwrap();
                }
            }
            hooks += line.matches("bug!(").count();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(
        hooks < HOOKS,
        "core and server have {hooks} hooks for planted bugs; fewer than {HOOKS} are allowed"
    );
    say(&format!("tidy: {hooks} hooks for planted bugs\n"));
}
