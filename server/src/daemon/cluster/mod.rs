//! This daemon as a node of a cluster: what it keeps on the disk, and the thread that its part of the cluster runs on.
//! Ten thousand busy clients must not make its heartbeats late, so that thread serves none.

mod tool;

pub(crate) use tool::{is_meant, main};

use crate::settings::ClusterSettings;
use elockd_cluster::net::{Bounds, LinkEnd, LinkListener, Links, Serving, Tcp, Tls, serve};
use elockd_cluster::raft::{EngineStore, Threads};
use elockd_cluster::store::{StateDirectory, Store};
use elockd_cluster::{Charter, Fatal, Inside, Kit, LEVELS, Node, NodeConfig};
use elockd_core::{Config, Figures};
use elockd_server::gate::Replica;
use std::process;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tracing::{error, info};

/// The exit status of a node whose disk failed.
const DISK_FAILED: i32 = 74;
/// The exit status of a node that is not like the others, which is a bug.
const DIVERGED: i32 = 70;

/// What a daemon's node is made of.
pub(crate) struct Production;

/// The network that nodes are linked by.
#[derive(Clone)]
pub(crate) enum Net {
    /// Loopback addresses alone.
    Plain(Tcp),
    /// With certificates.
    Secure(Tls),
}
