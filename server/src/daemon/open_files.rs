//! The limit of open files: raised as high as the system allows, with a warning if that is too low for the allowed
//! connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// File descriptors that are not clients' connections: standard streams, listeners, the runtime's own, files of state,
/// clients of metrics, a few operators.
const OTHER_FILES: u64 = 64;

/// Raises the soft limit of open files to the hard one. Warns if that is too low for `connections` connections.
pub(crate) fn raise_limit(connections: u32) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!("cannot raise the limit of open files: {error}");
    }
    // `None` is no limit at all.
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < u64::from(connections) + OTHER_FILES {
        warn!(
            "--max-connections is {connections}, but the limit of {files} open files leaves room for about \
             {}; raise it with `ulimit -n` or LimitNOFILE=",
            files.saturating_sub(OTHER_FILES)
        );
    }
}
