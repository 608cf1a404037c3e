//! Who runs this program, for a registered name.

use crate::name::Name;

/// `alice@build-7`, as far as it can be told.
pub(crate) fn user_at_host() -> Name {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| nix::unistd::getuid().to_string());
    let host = nix::unistd::gethostname().unwrap_or_else(|_| "?".into());
    let text = format!("{user}@{}", host.to_string_lossy());
    Name::new(text.as_bytes()).unwrap_or_else(|_| Name::told(b"?"))
}
