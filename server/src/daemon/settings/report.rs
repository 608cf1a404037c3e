//! Reports of all settings: the output of `--check-config`, which is itself a configuration file, and the table on the
//! page for operators.

use super::accounts;
use super::environment::variable;
use super::file::{File, is_mode};
use super::{Loaded, is_list, names};
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Every setting by name, as it was written.
pub(super) type Values = BTreeMap<String, Value>;

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) texts: Vec<String>,
    source: String,
}

impl Loaded {
    /// A configuration file with every setting as it is, and a comment that says where it was set.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        for (name, Value { texts, source }) in &self.values {
            let text = match &texts[..] {
                [] if is_list(name) => "[]".to_owned(),
                // Not set. A file cannot say so.
                [] => continue,
                [text] if !is_list(name) => quoted(name, text),
                texts => {
                    let texts: Vec<_> = texts.iter().map(|text| quoted(name, text)).collect();
                    format!("[{}]", texts.join(", "))
                }
            };
            writeln!(report, "{name} = {text} # {source}").expect("writing to memory does not fail");
        }
        report.push_str(&accounts::report(&self.accounts));
        report
    }
}

/// As TOML: numbers and switches bare, everything else in quotes. A number that TOML does not write so, such as `015`
/// or `+5`, is a text: read back, it is the same again.
fn quoted(name: &str, text: &str) -> String {
    let is_number = text.parse::<i64>().is_ok_and(|number| number >= 0 && number.to_string() == text);
    let is_bare = is_number || text.parse::<bool>().is_ok();
    if is_bare && !is_mode(name) { text.to_owned() } else { toml::Value::from(text).to_string() }
}

/// Every setting with its value and where that was set.
pub(super) fn values(matches: &ArgMatches, file: Option<(&Path, &File)>) -> Values {
    let value = |name: String| {
        let id = name.replace('-', "_");
        let raw = matches.get_raw(&id).into_iter().flatten();
        let texts = raw.map(|text| text.to_string_lossy().into_owned()).collect();
        let source = match (matches.value_source(&id), file) {
            (Some(ValueSource::CommandLine), _) => format!("--{name}"),
            (Some(ValueSource::EnvVariable), _) => variable(&name),
            // A line break in it would end the comment.
            (_, Some((path, file))) if file.contains_key(&name) => {
                path.display().to_string().replace(char::is_control, "?")
            }
            _ => "default".to_owned(),
        };
        (name, Value { texts, source })
    };
    names().into_iter().map(value).collect()
}

/// The program's command line.
#[cfg(test)]
pub(crate) fn command_line() -> clap::Command {
    <super::Flags as clap::CommandFactory>::command().name("elockd").bin_name("elockd")
}

/// The table of the page for operators: the text of `--help` on each setting, by heading.
#[cfg(test)]
pub(crate) fn table() -> String {
    use clap::CommandFactory;
    let command = super::Flags::command();
    let arguments = command.get_arguments().filter(|arg| super::is_setting(arg) || arg.get_id() == "config");
    let mut arguments: Vec<_> = arguments.collect();
    let headings: Vec<_> = arguments.iter().map(|arg| arg.get_help_heading().map(str::to_owned)).collect();
    arguments
        .sort_by_key(|arg| headings.iter().position(|heading| heading.as_deref() == arg.get_help_heading()));
    let lines = arguments.into_iter().map(|arg| {
        let name = arg.get_long().expect("every setting has a long name");
        let value_name = arg.get_value_names().map_or("", |names| names[0].as_str());
        let default = arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy()));
        let default: Vec<String> = default.collect();
        let default = if default.is_empty() { "none".to_owned() } else { default.join(", ") };
        let mark = if super::reload::is_reloadable(name) { "R" } else { "" };
        let help = arg.get_long_help().or(arg.get_help()).expect("every setting has a help").to_string();
        let sentences = help.replace(" (R)", "").split("\n\n").map(dotted).collect::<Vec<_>>().join(" ");
        format!("| `--{name} {value_name}` | {default} | {mark} | {sentences} |\n")
    });
    format!("| setting | default | | meaning |\n|---|---|---|---|\n{}", lines.collect::<String>())
}

/// Adds the full stop at the end, which clap takes away.
#[cfg(test)]
fn dotted(sentences: &str) -> String {
    let sentences = sentences.trim().replace('\n', " ");
    if sentences.ends_with('.') { sentences } else { sentences + "." }
}
