//! An answer of the daemon, whole, and what it means. The reading itself is the core's.

use crate::error::{Error, Refusal};
use elockd_core::wire::{Row, read_figures, read_me, read_rows};
use elockd_core::{Addr, Reply, Subject};

/// One whole answer, with its line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        Self { text }
    }

    /// Its bytes as the daemon sent them, with all line ends.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it begins with `0 `, as every failure does. A listing of several lines is a failure only if it is a
    /// refusal: the kind of a lock and an address are no number.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.reply().is_some_and(|reply| reply.is_failure())
    }

    /// A reply of one line, or the refusal of a listing. `None` for everything else: listings, `q`, `help`, `me` and
    /// `dump`.
    #[must_use]
    pub fn reply(&self) -> Option<Reply<'_>> {
        Reply::read(&self.text)
    }

    /// Why the daemon refused the request, if it did so because of a limit, a setting or its own end.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::of(&self.reply()?)
    }

    /// The rows of a listing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the daemon refused it, and [`Error::Protocol`] if it is no listing of this subject.
    pub fn rows(&self, subject: Subject) -> Result<Vec<Row<'_>>, Error> {
        read_rows(subject, &self.text).ok_or_else(|| self.unexpected("a listing"))
    }

    /// The keys and values of `q`.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows).
    pub fn figures(&self) -> Result<Vec<(&str, &str)>, Error> {
        read_figures(&self.text).ok_or_else(|| self.unexpected("statistics"))
    }

    /// The address and the registered name of `me`. Without a registered name it is the address again.
    ///
    /// # Errors
    ///
    /// As [`rows`](Self::rows).
    pub fn me(&self) -> Result<(Addr, &[u8]), Error> {
        read_me(&self.text).ok_or_else(|| self.unexpected("an address"))
    }

    /// The error of an answer that is not what was asked for: the refusal, or a broken protocol.
    pub(crate) fn unexpected(&self, expected: &'static str) -> Error {
        match self.refusal() {
            Some(refusal) => Error::Refused(refusal),
            None => Error::protocol(expected, &self.text),
        }
    }
}
