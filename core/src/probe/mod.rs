//! What tests need inside the code that they test: bugs planted on purpose, and marks of what was reached. Both are
//! compiled away without the features `canaries` and `marks`.

mod canary;
mod mark;

pub use canary::{ARE_COMPILED_IN, Canary, is_planted};
#[cfg(feature = "canaries")]
pub use canary::{plant, planted};
#[cfg(feature = "marks")]
pub use mark::take;
pub use mark::{Mark, reach};
