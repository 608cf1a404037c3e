//! The runtime of the server's tasks.

use crate::logging;
use crate::output::tell;
use std::panic;
use std::process;
use tokio::runtime::{Builder, Runtime};
use tracing::error;

/// Makes the runtime. A single thread needs no queue that others can steal from.
///
/// tokio panics if the system has no threads left for it, and then waits forever for those that it did get. So a panic
/// ends the process with `status` before anything else happens. Call this while there is nothing to be removed yet.
///
/// # Errors
///
/// What the system says.
pub(crate) fn make(threads: usize, status: i32) -> std::io::Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let reason = panicked.payload_as_str().unwrap_or("no reason given");
        tell(format_args!("elockd: cannot start the runtime: {reason}"));
        error!("cannot start the runtime: {reason}");
        logging::flush();
        process::exit(status);
    }));
    let made = builder.enable_all().build();
    panic::set_hook(usual);
    made
}
