//! The daemon's certificates: read at the start and at each SIGHUP, by the thread that reads files.

use elockd_server::listen::{TlsError, TlsFiles, TlsSetup};
use std::time::SystemTime;
use tracing::{info, warn};

/// Reads them, for a daemon that starts. One that has expired is no reason not to start: clients on other listeners
/// would have to go without their locks too.
pub(crate) fn load(files: &TlsFiles) -> Result<TlsSetup, TlsError> {
    TlsSetup::load(files)
}

/// Reads them, for a daemon that has others already.
pub(crate) fn load_valid(files: &TlsFiles) -> Result<TlsSetup, TlsError> {
    let setup = load(files)?;
    setup.check_validity(SystemTime::now())?;
    Ok(setup)
}

/// Says in the log until when they are valid.
pub(crate) fn tell_of(setup: &TlsSetup) {
    match setup.check_validity(SystemTime::now()) {
        Ok(()) => info!("the certificates of TLS are valid until {}", setup.expiry_date()),
        Err(error) => warn!("{error}; clients will refuse it: replace it, and send SIGHUP"),
    }
}
