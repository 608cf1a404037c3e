//! Options that all commands share: which daemon, and how to print. A flag wins over its variable, the variable over
//! the configuration file.

use crate::output::Color;
use crate::status::Failure;
use crate::tls::{TlsArgs, TlsTable};
use clap::Args;
use elockd_client::Server;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where contrib's configuration has the administrative socket.
const ADMIN: &str = "/run/elockd/admin.sock";

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which daemon, and how to print")]
pub(crate) struct Common {
    /// Address of the daemon: HOST:PORT (IPv6 in brackets), tls://HOST:PORT or unix:PATH. May be repeated, or have
    /// several addresses with commas between them: the first that answers is used. Default: 127.0.0.1:9999.
    #[arg(long = "server", value_name = "ADDR", env = "ELOCK_SERVER", value_delimiter = ',', global = true)]
    servers: Vec<Server>,
    /// The daemon's administrative socket, for kick and steal. Default: /run/elockd/admin.sock.
    #[arg(long, value_name = "PATH", env = "ELOCK_ADMIN", global = true)]
    admin: Option<PathBuf>,
    /// Print JSON, one document on a line.
    #[arg(long, global = true)]
    json: bool,
    /// When to use colours. NO_COLOR switches them off too.
    #[arg(long, value_enum, value_name = "WHEN", global = true)]
    color: Option<Color>,
    /// The configuration file. Default: elock.toml in $XDG_CONFIG_HOME or ~/.config, else /etc/elock.toml.
    #[arg(long, value_name = "FILE", env = "ELOCK_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// The settings, from all their sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Addresses of daemons; never none.
    pub(crate) servers: Vec<Server>,
    pub(crate) admin: PathBuf,
    pub(crate) is_json: bool,
    pub(crate) color: Color,
}

/// What a configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    server: Servers,
    admin: Option<PathBuf>,
    color: Option<Color>,
    #[serde(default)]
    tls: TlsTable,
}

/// One address, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Servers {
    One(String),
    Several(Vec<String>),
}

impl Default for Servers {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Common {
    pub(crate) fn options(self) -> Result<Options, Failure> {
        let file = match &self.config {
            Some(path) => {
                read(path)?.ok_or_else(|| Failure::usage(format_args!("{}: no such file", path.display())))?
            }
            None => first(&places(|key| std::env::var_os(key).map(PathBuf::from)))?,
        };
        let from_file = match file.server {
            Servers::One(server) => vec![server],
            Servers::Several(servers) => servers,
        };
        let from_file = from_file.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let from_file =
            from_file.map_err(|error| Failure::usage(format_args!("in the configuration file: {error}")))?;
        let servers = [self.servers, from_file, vec![Server::default()]]
            .into_iter()
            .find(|servers| !servers.is_empty())
            .unwrap_or_default();
        let tls = self.tls.options(file.tls)?;
        let servers = servers.into_iter().map(|server| server.with_tls(&tls)).collect();
        Ok(Options {
            servers,
            admin: self.admin.or(file.admin).unwrap_or_else(|| ADMIN.into()),
            is_json: self.json,
            color: self.color.or(file.color).unwrap_or_default(),
        })
    }
}

/// Where a configuration file may be, the first choice first.
fn places(var: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let is_absolute = |path: &PathBuf| path.is_absolute();
    let home = || var("HOME").filter(is_absolute).map(|home| home.join(".config"));
    let of_user = var("XDG_CONFIG_HOME").filter(is_absolute).or_else(home);
    of_user.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join("elock.toml")).collect()
}

fn first(places: &[PathBuf]) -> Result<File, Failure> {
    for path in places {
        if let Some(file) = read(path)? {
            return Ok(file);
        }
    }
    Ok(File::default())
}

fn read(path: &Path) -> Result<Option<File>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Failure::usage(format_args!("cannot read {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(text: &str) -> (tempfile::TempDir, Common) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elock.toml");
        std::fs::write(&path, text).unwrap();
        (
            folder,
            Common {
                servers: vec![],
                admin: None,
                json: false,
                color: None,
                config: Some(path),
                tls: TlsArgs::default(),
            },
        )
    }

    fn shown(options: &Options) -> String {
        options.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let (_folder, common) = common("server = ['a:1', 'unix:/b']\nadmin = '/c'\ncolor = 'never'\n");
        let options = common.clone().options().unwrap();
        assert_eq!(shown(&options), "a:1 unix:/b");
        assert_eq!((options.admin.as_path(), options.color), (Path::new("/c"), Color::Never));
        let flags = Common { servers: vec!["d:1".parse().unwrap()], color: Some(Color::Always), ..common };
        let options = flags.options().unwrap();
        assert_eq!((shown(&options).as_str(), options.color), ("d:1", Color::Always));

        let (_folder, common) = self::common("server = 'a:1'");
        assert_eq!(shown(&common.options().unwrap()), "a:1");
        let (_folder, common) = self::common("");
        let options = common.options().unwrap();
        assert_eq!(shown(&options), "127.0.0.1:9999");
        assert_eq!(options.admin, Path::new("/run/elockd/admin.sock"));
    }

    #[test]
    fn a_wrong_file_is_told_and_a_missing_one_only_if_it_was_asked_for() {
        for text in ["servers = 'a:1'", "server = 1", "color = 'pink'", "server = ", "server = ':1'"] {
            let (_folder, common) = common(text);
            let failure = common.options().unwrap_err();
            assert!(
                failure.status == 64 && failure.message.contains("elock.toml")
                    || failure.message.contains("configuration"),
                "{failure:?}"
            );
        }
        let (folder, mut common) = common("");
        common.config = Some(folder.path().join("none"));
        assert!(common.options().unwrap_err().message.contains("no such file"));
        assert!(first(&[folder.path().join("none")]).unwrap().admin.is_none());
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let places = |vars: &[(&str, &str)]| {
            let var =
                |key: &str| vars.iter().find(|(name, _)| *name == key).map(|(_, value)| PathBuf::from(value));
            super::places(var)
        };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(places(&[]), paths(&["/etc/elock.toml"]));
        assert_eq!(places(&[("HOME", "/h")]), paths(&["/h/.config/elock.toml", "/etc/elock.toml"]));
        let both = [("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")];
        assert_eq!(places(&both), paths(&["/x/elock.toml", "/etc/elock.toml"]));
    }
}
