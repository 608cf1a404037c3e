//! Panics as findings: the message and the place of a panic, caught on the thread of the run, and not printed.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// The first panic since a run began on this thread; `None` outside of runs.
    static CAUGHT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Calls `run`. The first panic in it is the error.
///
/// # Errors
///
/// The message and the place of the first panic.
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    install();
    CAUGHT.set(Some(Vec::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    let caught = CAUGHT.take().unwrap_or_default();
    match (result, caught.into_iter().next()) {
        // A panic of a task ends the run, which panics too. The first panic is the reason.
        (_, Some(first)) => Err(first),
        (Ok(value), None) => Ok(value),
        (Err(_), None) => Err("a panic without a message".to_owned()),
    }
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_caught = CAUGHT.with_borrow_mut(|caught| match caught {
                Some(caught) => {
                    caught.push(said(info));
                    true
                }
                None => false,
            });
            if !is_caught {
                default(info);
            }
        }));
    });
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let place =
        info.location().map_or_else(String::new, |place| format!(" ({}:{})", place.file(), place.line()));
    format!("{}{place}", info.payload_as_str().unwrap_or("a panic without a message"))
}
