//! The munin plugin: the same program, run by munin-node. It asks a running daemon for `q full` and prints graphs or
//! values in munin's format. It starts nothing and changes nothing.

mod graphs;
mod query;

use crate::output;
use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use query::Address;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Acts as a munin plugin for a running elockd.
///
/// Link the program into munin's plugin folder and restart munin-node:
///
///     ln -s /usr/bin/elockd /etc/munin/plugins/elockd
///
/// If the daemon does not listen on 127.0.0.1:9999, say where in a file in /etc/munin/plugin-conf.d:
///
///     [elockd]
///     env.ELOCKD_CONNECT unix:/run/elockd.sock
///
/// For a second daemon on the same machine, make a second link, `elockd_NAME`.
#[derive(Debug, Parser)]
#[command(
    name = "elockd munin",
    bin_name = "elockd munin",
    version,
    verbatim_doc_comment,
    max_term_width = 100
)]
struct Cli {
    /// What munin asks for. The default is the values.
    action: Option<Action>,

    /// Where the daemon listens: `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9999", env = "ELOCKD_CONNECT")]
    #[arg(hide_env_values = true)]
    connect: Address,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// The graphs.
    Config,
    /// Whether the plugin works here.
    Autoconf,
    /// The values.
    Fetch,
}

/// Whether the program was started as a plugin. Its first argument may say so. Or munin-node started it: then a
/// variable tells the plugin where to keep its state.
pub(crate) fn is_meant(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|argument| argument == "munin") || std::env::var_os("MUNIN_PLUGSTATE").is_some()
}

/// The name of the link, if it begins with `elockd_`, with characters replaced that munin does not allow. Otherwise
/// `elockd`.
fn plugin_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("elockd_") {
        name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
    } else {
        "elockd".to_owned()
    }
}

/// The arguments, and the variable unless it is empty. Ends the program if they are wrong.
fn parse<'a>(args: impl Iterator<Item = &'a OsString>) -> Cli {
    let mut command = Cli::command();
    if std::env::var_os("ELOCKD_CONNECT").is_some_and(|value| value.is_empty()) {
        command = command.mut_arg("connect", |arg| arg.env(Resettable::Reset));
    }
    let matches = command.clone().get_matches_from(args);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Prints what munin asks for.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let mut args =
        args.iter().enumerate().filter(|(at, arg)| *at != 1 || *arg != "munin").map(|(_, arg)| arg);
    let cli = parse(args.clone());
    let plugin = plugin_name(args.next().map(OsString::as_os_str).unwrap_or_default());
    let figures = query::ask(&cli.connect);
    if let Some(Action::Autoconf) = cli.action {
        // By munin's rules the exit status is 0 either way.
        return output::print(&match figures {
            Ok(_) => "yes\n".to_owned(),
            Err(error) => format!("no ({})\n", output::escaped(&error.to_string(), &[])),
        });
    }
    if let Err(error) = &figures {
        output::tell(error);
    }
    // Without a daemon the graphs stay, and their values are unknown.
    let figures = figures.ok();
    let is_dirty = std::env::var_os("MUNIN_CAP_DIRTYCONFIG").is_some_and(|value| value == "1");
    let text = match cli.action {
        Some(Action::Config) => graphs::config(&plugin, figures.as_ref(), is_dirty),
        _ => graphs::values(&plugin, figures.as_ref()),
    };
    output::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_another_name_is_another_plugin() {
        let name = |path: &str| plugin_name(OsStr::new(path));
        assert_eq!(name("/etc/munin/plugins/elockd"), "elockd");
        assert_eq!(name("/etc/munin/plugins/elockd_b-2.x"), "elockd_b_2_x");
        assert_eq!(name("locks"), "elockd");
        assert_eq!(name(""), "elockd");
    }
}
