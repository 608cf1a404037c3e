//! The settings of a node of a cluster.

use super::Refusal;
use super::flags::Flags;
use elockd_cluster::net::TlsFiles as LinkFiles;
use elockd_server::Config;
use std::path::PathBuf;

/// The cluster's timeout, in milliseconds. A node that is silent for longer is dead.
pub(crate) const TIMEOUT_MS: u64 = 2500;

/// How a node is reached by the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSettings {
    /// Where it listens for them: host and port.
    pub(crate) listen: String,
    /// Where they reach it.
    pub(crate) advertise: String,
    /// Its certificate. Without one, nodes are on loopback addresses.
    pub(crate) files: Option<LinkFiles>,
    /// Where the node is kept.
    pub(crate) state_dir: PathBuf,
}

/// Why settings make no node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterRefusal {
    #[error("--cluster-listen needs --state-dir: the log is kept there")]
    NoStateDir,
    #[error("{flag} is set, and --cluster-listen is not: set both")]
    NoListener { flag: &'static str },
    #[error(
        "links to other nodes need --cluster-ca, --cluster-cert and --cluster-key: set all three, or none"
    )]
    SomeFiles,
    #[error(
        "{flag} is {ms} ms, but must be 0 or at least {TIMEOUT_MS} ms in a cluster: before that, a client whose \
         node is lost cannot know of it"
    )]
    Short { flag: &'static str, ms: u64 },
    #[error(
        "a node of a cluster knows no accounts yet: remove --token-file, --auth-required and [accounts.NAME], and \
         let only clients that you trust reach its ports"
    )]
    Accounts,
}

/// The settings of a node. `None` if the daemon is to run alone.
pub(super) fn cluster(
    flags: &Flags,
    server: &Config,
    has_accounts: bool,
) -> Result<Option<ClusterSettings>, Refusal> {
    let Flags { cluster_listen, cluster_advertise, cluster_ca, cluster_cert, cluster_key, .. } = flags;
    let Some(listen) = cluster_listen else {
        let others = [
            ("--cluster-advertise", cluster_advertise.is_some()),
            ("--cluster-ca", cluster_ca.is_some()),
            ("--cluster-cert", cluster_cert.is_some()),
            ("--cluster-key", cluster_key.is_some()),
        ];
        return match others.into_iter().find(|(_, is_set)| *is_set) {
            Some((flag, _)) => Err(ClusterRefusal::NoListener { flag }.into()),
            None => Ok(None),
        };
    };
    let Some(state_dir) = flags.state_dir.clone() else { return Err(ClusterRefusal::NoStateDir.into()) };
    let files = match (cluster_ca, cluster_cert, cluster_key) {
        (None, None, None) => None,
        (Some(authority), Some(certificate), Some(key)) => Some(LinkFiles {
            authority: authority.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        _ => return Err(ClusterRefusal::SomeFiles.into()),
    };
    let write_ms = server.write_timeout.map_or(0, |timeout| timeout.as_millis() as u64);
    for (flag, ms) in [("--idle-timeout", server.machine.limits.idle_ms), ("--write-timeout", write_ms)] {
        if 0 < ms && ms < TIMEOUT_MS {
            return Err(ClusterRefusal::Short { flag, ms }.into());
        }
    }
    if has_accounts {
        return Err(ClusterRefusal::Accounts.into());
    }
    let advertise = cluster_advertise.clone().unwrap_or_else(|| listen.clone());
    Ok(Some(ClusterSettings { listen: listen.clone(), advertise, files, state_dir }))
}
