//! Options that all commands share: which daemon, and how to print. A flag wins over its variable, the variable over
//! the configuration file.

use crate::output::Color;
use crate::ssh::SshArgs;
use crate::status::Failure;
use crate::tls::{TlsArgs, TlsTable};
use crate::token::{TokenArgs, TokenInFile};
use clap::Args;
use clap::builder::FalseyValueParser;
use elockd_client::{AccessToken, Builder, Client, Server};
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
    /// The addresses are nodes of one cluster. If one of them fails, the next is used. Without this, only one of
    /// several daemons may run at a time.
    #[arg(long, env = "ELOCK_CLUSTER", value_parser = FalseyValueParser::new(), global = true)]
    cluster: bool,
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
    ssh: SshArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    token: TokenArgs,
}

/// The settings, from all their sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Addresses of daemons; never none.
    pub(crate) servers: Vec<Server>,
    /// Whether they are nodes of one cluster.
    pub(crate) is_cluster: bool,
    pub(crate) admin: PathBuf,
    pub(crate) is_json: bool,
    pub(crate) color: Color,
    pub(crate) ssh: SshArgs,
    /// By which the daemon knows the account.
    pub(crate) token: Option<AccessToken>,
    /// Whether operators' commands go where all others go: there is a token, and no administrative socket was given.
    pub(crate) operates_by_token: bool,
}

impl Options {
    /// A client of these daemons, with what else it is told.
    pub(crate) fn builder(&self) -> Builder {
        let builder = if self.is_cluster { Client::builder().cluster() } else { Client::builder() };
        let builder = self.servers.iter().fold(builder, |builder, server| builder.server(server.clone()));
        match &self.token {
            Some(token) => builder.token(token.clone()),
            None => builder,
        }
    }

    /// The addresses of daemons, as they are reached from here. All lead through one login.
    fn through_ssh(mut self) -> Self {
        if let Some(ssh) = self.ssh.through() {
            self.servers = self.servers.into_iter().map(|server| server.via_ssh(&ssh)).collect();
        }
        self
    }

    /// The administrative socket.
    pub(crate) fn admin(&self) -> Server {
        let server = Server::Unix(self.admin.clone());
        match self.ssh.through() {
            Some(ssh) => server.via_ssh(&ssh),
            None => server,
        }
    }
}

/// What a configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(clippy::struct_field_names, reason = "fields are called as keys are")]
struct File {
    #[serde(default)]
    server: Servers,
    #[serde(default)]
    cluster: bool,
    admin: Option<PathBuf>,
    color: Option<Color>,
    ssh: Option<String>,
    #[serde(default)]
    tls: TlsTable,
    token: Option<String>,
    token_file: Option<PathBuf>,
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
        let (file, path) = match self.config {
            Some(path) => {
                let file = read(&path)?;
                let none = || Failure::usage(format_args!("{}: no such file", path.display()));
                (file.ok_or_else(none)?, Some(path))
            }
            None => first(&places(|key| std::env::var_os(key).map(PathBuf::from)))?,
        };
        let in_file = TokenInFile {
            path: path.as_deref(),
            token: file.token.as_deref(),
            token_file: file.token_file.as_deref(),
        };
        let token = self.token.or_in(|key| std::env::var(key).ok(), &in_file)?;
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
        let options = Options {
            operates_by_token: token.is_some() && self.admin.is_none() && file.admin.is_none(),
            token,
            servers,
            is_cluster: self.cluster || file.cluster,
            admin: self.admin.or(file.admin).unwrap_or_else(|| ADMIN.into()),
            is_json: self.json,
            color: self.color.or(file.color).unwrap_or_default(),
            ssh: self.ssh.checked(file.ssh.as_deref())?,
        };
        Ok(options.through_ssh())
    }
}

/// Where a configuration file may be, the first choice first.
fn places(var: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let is_absolute = |path: &PathBuf| path.is_absolute();
    let home = || var("HOME").filter(is_absolute).map(|home| home.join(".config"));
    let of_user = var("XDG_CONFIG_HOME").filter(is_absolute).or_else(home);
    of_user.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join("elock.toml")).collect()
}

/// The first file that there is, and where it is.
fn first(places: &[PathBuf]) -> Result<(File, Option<PathBuf>), Failure> {
    for path in places {
        if let Some(file) = read(path)? {
            return Ok((file, Some(path.clone())));
        }
    }
    Ok((File::default(), None))
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
        let (tls, token) = (TlsArgs::default(), TokenArgs::default());
        let (ssh, config) = (SshArgs::default(), Some(path));
        let (servers, admin, color) = (vec![], None, None);
        (folder, Common { servers, cluster: false, admin, json: false, color, config, ssh, tls, token })
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
    fn a_cluster_is_one_by_the_flag_or_by_the_file() {
        for (flag, text, is_cluster) in [
            (false, "", false),
            (true, "", true),
            (false, "cluster = true", true),
            (false, "cluster = false", false),
        ] {
            let (_folder, common) = common(text);
            let options = Common { cluster: flag, ..common }.options().unwrap();
            assert_eq!(options.is_cluster, is_cluster, "{flag}, {text:?}");
        }
    }

    #[test]
    fn a_daemon_behind_ssh_is_shown_so() {
        let (_folder, common) = common("server = ['a:1', '[::1]']\nssh = 'alice@gateway:22'");
        let options = common.options().unwrap();
        assert_eq!(shown(&options), "a:1 via alice@gateway:22 [::1]:9999 via alice@gateway:22");
        assert_eq!(options.admin().to_string(), "unix:/run/elockd/admin.sock via alice@gateway:22");
    }

    #[test]
    fn a_wrong_file_is_told_and_a_missing_one_only_if_it_was_asked_for() {
        for text in
            ["servers = 'a:1'", "server = 1", "color = 'pink'", "server = ", "server = ':1'", "ssh = '-x'"]
        {
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
        assert!(first(&[folder.path().join("none")]).unwrap().0.admin.is_none());
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
