//! Memory without surprises: slots in fixed chunks, hash indexes in sub-tables, lists through the slots, and texts.
//! Nothing here ever moves or copies everything at once, and nothing here knows what a lock means.

mod index;
mod list;
mod slab;
mod texts;

pub(crate) use index::{Index, Linked};
pub(crate) use list::{Broken, Chain, Links, List, Stack};
pub(crate) use slab::{Id, Slab};
pub(crate) use texts::{TextPlace, Texts};

/// Panics unless each bit is set in about half of the hashes. There must be 4,096 of them.
#[cfg(test)]
pub(crate) fn assert_balanced(hashes: impl ExactSizeIterator<Item = u32>) {
    assert_eq!(hashes.len(), 4096);
    let mut ones = [0; u32::BITS as usize];
    for hash in hashes {
        for (bit, ones) in ones.iter_mut().enumerate() {
            *ones += hash >> bit & 1;
        }
    }
    // In 4,096 throws of a coin the number of heads has a standard deviation of 32. The bounds are ten of these from
    // the mean.
    assert!(ones.iter().all(|ones| (1728..=2368).contains(ones)), "{ones:?}");
}
