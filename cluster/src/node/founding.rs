//! What a cluster begins with. Its first node proposes it, once it leads alone.

use elockd_core::Settings;
use elockd_core::replica::{Act, Roll};

/// The first entries of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Limits and features, and the secret of resume keys.
    pub settings: Settings,
    /// The fencing tokens that may be given out, from the first to the last.
    pub tokens: (u64, u64),
}

impl Founding {
    /// What is not in the log yet.
    pub(crate) fn acts(&self, roll: &Roll) -> Vec<Act> {
        if roll.settings().is_some() {
            return Vec::new();
        }
        let (first, last) = self.tokens;
        vec![Act::Set(Box::new(self.settings.clone())), Act::Tokens { first, last }]
    }
}
