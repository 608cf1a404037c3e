//! The clients of an etcd cluster, over gRPC. They are as lean as can be, so that what is measured is etcd.

mod caller;
mod channel;
mod client;
mod crowd;
mod messages;

pub use caller::{EtcdCaller, etcd_leads};
pub(super) use client::Failing;
pub(super) use crowd::{line, play, uncontended};

use super::LoadError;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Result<Runtime, LoadError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
