//! What tests need inside the code under test: bugs planted on purpose and hashes that collide, marks of what was
//! reached and counts of what it cost. Without the features `canaries` and `marks` all of it is compiled away.

mod canary;
mod cost;
mod harness;
mod hash_bits;
mod mark;

pub use canary::{ARE_COMPILED_IN, Canary, is_planted};
#[cfg(feature = "canaries")]
pub use canary::{plant, planted};
#[cfg(feature = "marks")]
pub use cost::bill;
pub(crate) use cost::pay;
pub use cost::{Bill, Cost};
pub use harness::Harness;
pub use hash_bits::HashBits;
#[cfg(feature = "marks")]
pub use mark::take;
pub use mark::{Mark, reach};

/// Whether the bug `Name` is planted in this thread: `bug!(Name)`. It must be one boolean in one expression. A bug that
/// needs more is a patch file (`model-tests/canaries/`).
#[doc(hidden)]
#[macro_export]
macro_rules! bug {
    ($name:ident) => {
        $crate::probe::is_planted($crate::probe::Canary::$name)
    };
}

/// Notes that this place was reached: `mark!(Name)`.
#[doc(hidden)]
#[macro_export]
macro_rules! mark {
    ($name:ident) => {
        $crate::probe::reach($crate::probe::Mark::$name)
    };
}

/// Counts a cost: `cost!(Name)`.
macro_rules! cost {
    ($name:ident) => {
        $crate::probe::pay($crate::probe::Cost::$name)
    };
}
