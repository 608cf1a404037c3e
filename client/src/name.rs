//! Names, as the daemon will understand them.

use crate::error::Error;
use elockd_core::wire::parse;
use elockd_core::{Command, Kind};

/// The name as the daemon reads it: white space at the ends is dropped, and each run of it inside is one space.
///
/// # Errors
///
/// [`Error::BadName`] if it has a line end in it.
pub(crate) fn folded(name: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    let name = name.as_ref();
    if name.contains(&b'\n') {
        return Err(Error::BadName);
    }
    let line = Command::Release(Kind::Exclusive, name).line();
    match parse(&line) {
        Some(Command::Release(_, name)) => Ok(name.into_owned()),
        _ => Err(Error::BadName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_daemon_makes_of_it() {
        for (given, name) in [("a", "a"), (" a \t b\r", "a b"), ("", ""), ("\t", ""), ("5 x", "5 x")] {
            assert_eq!(folded(given).unwrap(), name.as_bytes(), "{given:?}");
        }
        assert!(matches!(folded("a\nra"), Err(Error::BadName)), "a name cannot bring a request of its own");
    }
}
