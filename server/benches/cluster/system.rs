//! The systems that are measured.

use clap::ValueEnum;
use elockd_load::Protocol;
use std::process::{Command, Stdio};

/// A system that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    /// A cluster of elockd
    Elockd,
    /// A cluster of etcd
    Etcd,
    /// One elockd without a cluster, to see what agreement costs
    Alone,
}

impl System {
    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Elockd => "elockd",
            Self::Etcd => "etcd",
            Self::Alone => "one elockd",
        }
    }

    /// The protocol that it speaks.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Elockd | Self::Alone => Protocol::Elockd,
            Self::Etcd => Protocol::EtcdGrpc,
        }
    }

    /// Whether it can be started. What is built here always can.
    pub(crate) fn is_installed(self) -> bool {
        let mut etcd = Command::new("etcd");
        etcd.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self != Self::Etcd || etcd.status().is_ok()
    }
}
