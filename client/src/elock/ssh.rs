//! How elock goes through SSH: the flags, and what the library makes of them.

use crate::secret::{SOURCES, Source, answerer};
use crate::span;
use crate::status::Failure;
use clap::Args;
use elockd_client::ssh::{Destination, HostKeys, LOGIN, Ssh};
use std::path::PathBuf;
use std::time::Duration;

/// Flags for SSH, which every command takes.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Through SSH")]
pub(crate) struct SshArgs {
    /// Reach the daemon through this SSH host. The addresses of --server are as seen from there.
    #[arg(id = "ssh", long, value_name = "[USER@]HOST[:PORT]", env = "ELOCK_SSH", global = true)]
    through: Option<Destination>,
    /// Speak SSH in this process, instead of running the program ssh.
    #[arg(id = "ssh-native", long, global = true)]
    is_native: bool,
    /// Where passwords for SSH come from: prompt (on the terminal, which is the default), fd:N, file:PATH or
    /// command:LINE.
    #[arg(id = "ssh-password-from", long, value_name = "SOURCE", global = true)]
    password: Option<Source>,
    /// Where passphrases of SSH keys come from, likewise.
    #[arg(id = "ssh-passphrase-from", long, value_name = "SOURCE", global = true)]
    passphrase: Option<Source>,
    /// Use this SSH key, and no other.
    #[arg(id = "ssh-key", long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Which host keys are accepted: strict (those that are known) or accept-new (also those of hosts of which nothing
    /// is known; they are added). Default: strict, or what the program ssh is configured to.
    #[arg(id = "ssh-host-key", long, value_name = "WHICH", global = true)]
    host_keys: Option<Accepted>,
    /// The file with the keys of known hosts. Default: ~/.ssh/known_hosts, and the system's.
    #[arg(id = "ssh-known-hosts", long, value_name = "FILE", global = true)]
    known_hosts: Option<PathBuf>,
    /// Configuration for the program ssh, instead of ~/.ssh/config.
    #[arg(id = "ssh-config", long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How long a login may take. The time in which a password is typed does not count. Default: 15s.
    #[arg(id = "ssh-timeout", long, value_name = "SPAN", value_parser = span::parse, global = true)]
    timeout: Option<Duration>,
}

/// Which host keys are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Accepted {
    /// Those that are known.
    Strict,
    /// Also those of new hosts.
    AcceptNew,
}

impl SshArgs {
    /// Takes the host from a configuration file if the command line has none, and refuses what makes no sense.
    pub(crate) fn checked(mut self, host: Option<&str>) -> Result<Self, Failure> {
        for (source, flag) in
            [(&self.password, "--ssh-password-from"), (&self.passphrase, "--ssh-passphrase-from")]
        {
            if *source == Some(Source::Unknown) {
                return Err(Failure::usage(format_args!("{flag} takes {SOURCES}")));
            }
        }
        if let (None, Some(host)) = (&self.through, host) {
            let host = host.parse();
            let host =
                host.map_err(|error| Failure::usage(format_args!("in the configuration file: {error}")))?;
            self.through = Some(host);
        }
        Ok(self)
    }

    /// The way to the host that the daemon is behind.
    pub(crate) fn through(&self) -> Option<Ssh> {
        self.through.as_ref().map(|destination| self.to(destination))
    }

    /// The way to any host.
    pub(crate) fn to(&self, destination: &Destination) -> Ssh {
        let Self { is_native, password, passphrase, key, host_keys, known_hosts, config, timeout, .. } = self;
        let mut builder = Ssh::builder(destination.clone()).native(*is_native);
        builder = builder.secrets(answerer(password.clone(), passphrase.clone()));
        builder = builder.login_timeout(timeout.unwrap_or(LOGIN));
        if let Some(file) = key {
            builder = builder.key(file);
        }
        if let Some(accepted) = host_keys {
            builder = builder.host_keys(match accepted {
                Accepted::Strict => HostKeys::Strict,
                Accepted::AcceptNew => HostKeys::AcceptNew,
            });
        }
        if let Some(file) = known_hosts {
            builder = builder.known_hosts(file);
        }
        if let Some(file) = config {
            builder = builder.config(file);
        }
        builder.build()
    }
}
