//! A hash index from keys to slots, cut into sub-tables so that no growth step touches everything.
//! It stores slot numbers only: the caller says how to compare and how to hash a slot again.

use super::Id;
use hashbrown::HashTable;

/// Finds `Id<T>`s by a 64-bit hash. Iteration is not offered: the order inside depends on the hash's
/// key, and nothing may depend on that.
#[derive(Clone, Debug)]
pub(crate) struct Index<T> {
    /// A power of two of them.
    tables: Box<[HashTable<Id<T>>]>,
    len: u32,
}

impl<T> Index<T> {
    /// Sub-tables below this many buckets are not shrunk: there is nothing to win.
    const SMALL_TABLE: usize = 64;

    /// An empty index of so many sub-tables (a power of two).
    pub(crate) fn new(tables: u32) -> Self {
        assert!(tables.is_power_of_two(), "sub-tables must be a power of two, not {tables}");
        Self { tables: (0..tables).map(|_| HashTable::new()).collect(), len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(Id<T>) -> bool) -> Option<Id<T>> {
        self.tables[self.table_of(hash)].find(hash, |&id| is_it(id)).copied()
    }

    /// Adds a slot that the index does not hold yet.
    pub(crate) fn insert(&mut self, hash: u64, id: Id<T>, rehash: impl Fn(Id<T>) -> u64) {
        let table = self.table_of(hash);
        self.tables[table].insert_unique(hash, id, |&id| rehash(id));
        self.len += 1;
    }

    /// Takes a slot out. Panics when the index does not hold it under this hash.
    pub(crate) fn remove(&mut self, hash: u64, id: Id<T>, rehash: impl Fn(Id<T>) -> u64) {
        let number = self.table_of(hash);
        let table = &mut self.tables[number];
        let Ok(entry) = table.find_entry(hash, |&held| held == id) else {
            panic!("slot {id:?} is not in the index")
        };
        entry.remove();
        self.len -= 1;
        if table.num_buckets() > Self::SMALL_TABLE && table.len() < table.num_buckets() / 8 {
            let keep = table.len() * 2;
            table.shrink_to(keep, |&id| rehash(id));
        }
    }

    /// hashbrown places by the lowest bits and tags by the highest seven: the bits between choose the
    /// sub-table, so that entries of one sub-table still differ in the others.
    fn table_of(&self, hash: u64) -> usize {
        (hash >> 40) as usize & (self.tables.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Slab;

    #[test]
    fn finds_what_is_there_through_growth_and_shrinking() {
        for tables in [1, 4] {
            let mut slab = Slab::new(2);
            let mut index = Index::new(tables);
            let hash = |key: u64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for key in 0..10_000_u64 {
                let id = slab.insert(key);
                index.insert(hash(key), id, |id| hash(slab[id]));
            }
            assert_eq!(index.len(), 10_000);
            let find =
                |index: &Index<u64>, slab: &Slab<u64>, key| index.find(hash(key), |id| slab[id] == key);
            for key in 0..10_000 {
                let id = find(&index, &slab, key).expect("inserted");
                if key % 100 != 0 {
                    index.remove(hash(key), id, |id| hash(slab[id]));
                    slab.remove(id);
                }
            }
            assert_eq!(index.len(), 100);
            let buckets: usize = index.tables.iter().map(HashTable::num_buckets).sum();
            assert!(buckets <= 1024, "shrunk with what it holds, but has {buckets} buckets");
            for key in 0..10_000 {
                assert_eq!(find(&index, &slab, key).is_some(), key % 100 == 0, "key {key}");
            }
        }
    }

    /// Buckets after so many of a table's entries were inserted and then removed again.
    fn buckets(inserted: u64, removed: u64) -> usize {
        let mut slab = Slab::new(64);
        let mut index = Index::new(1);
        let hash = |key: u64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let ids: Vec<_> = (0..inserted).map(|key| slab.insert(key)).collect();
        for &id in &ids {
            index.insert(hash(slab[id]), id, |id| hash(slab[id]));
        }
        for &id in &ids[..removed as usize] {
            index.remove(hash(slab[id]), id, |id| hash(slab[id]));
        }
        assert_eq!(u64::from(index.len()), inserted - removed);
        index.tables[0].num_buckets()
    }

    #[test]
    fn a_table_shrinks_when_less_than_an_eighth_of_it_is_used_to_twice_what_it_holds() {
        assert_eq!(buckets(1000, 0), 2048);
        assert_eq!(buckets(1000, 1000 - 256), 2048);
        assert_eq!(buckets(1000, 1000 - 255), 1024);
    }

    #[test]
    fn a_small_table_does_not_shrink() {
        assert_eq!(buckets(50, 50), 64);
        assert!(buckets(100, 100) <= 64);
    }

    #[test]
    fn entries_are_spread_over_all_tables() {
        let index: Index<u64> = Index::new(4);
        let mut counts = [0; 4];
        for key in 0..4096_u64 {
            counts[index.table_of(key.wrapping_mul(0x9E37_79B9_7F4A_7C15))] += 1;
        }
        assert!(counts.iter().all(|count| (900..1150).contains(count)), "{counts:?}");
    }

    #[test]
    #[should_panic(expected = "is not in the index")]
    fn removing_what_is_not_there_panics() {
        let mut slab = Slab::new(2);
        let id = slab.insert(7_u64);
        Index::new(1).remove(7, id, |_| 7);
    }
}
