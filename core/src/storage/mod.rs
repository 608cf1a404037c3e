//! Memory without surprises: slots in fixed chunks, hash indexes in sub-tables, short names inline.
//! Nothing here ever moves or copies everything at once, and nothing here knows what a lock means.

mod index;
mod name;
mod slab;

pub(crate) use index::Index;
pub(crate) use name::Name;
pub(crate) use slab::{Id, Slab};
