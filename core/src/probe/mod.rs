//! What tests need inside the code under test: bugs planted on purpose, and marks of what was reached. Without the
//! features `canaries` and `marks` both are compiled away.

mod canary;
mod harness;
mod mark;

pub use canary::{ARE_COMPILED_IN, Canary, is_planted};
#[cfg(feature = "canaries")]
pub use canary::{plant, planted};
pub use harness::Harness;
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
