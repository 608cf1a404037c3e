//! A hash index over the slots of a slab, cut into sub-tables, so that no growth step touches everything. It stores
//! only slot numbers. Each value carries the link to the next value in its bucket. The caller compares and hashes.

use super::{Id, Slab};

/// A value that an index can find. It has room for the index's link.
pub(crate) trait Linked: Sized {
    /// The next value in the same bucket. Only the index uses it.
    fn link(&self) -> Option<Id<Self>>;

    /// That link, to change it.
    fn link_mut(&mut self) -> &mut Option<Id<Self>>;
}

/// Finds values in a slab by a 32-bit hash. There is no iteration: its order would depend on the hash's key, and
/// nothing may depend on that.
///
/// ```text
///   hash:    ....bucket.... | table      tables[table].buckets[bucket] -> slot -> slot -> end
/// ```
/// A sub-table has at least as many buckets as entries, so chains are always short.
#[derive(Clone, Debug)]
pub(crate) struct Index<T> {
    /// The number of sub-tables is a power of two.
    tables: Box<[Table<T>]>,
    /// log2 of the number of sub-tables.
    shift: u32,
    len: u32,
}

#[derive(Clone, Debug)]
struct Table<T> {
    /// The number of buckets is a power of two, or zero.
    buckets: Box<[Option<Id<T>>]>,
    len: u32,
}

impl<T: Linked> Index<T> {
    /// Number of buckets when a sub-table gets its first entry.
    const FEWEST_BUCKETS: usize = 4;
    /// Sub-tables with up to this many buckets are not shrunk: it would save nothing.
    const SMALL_TABLE: usize = 64;

    /// An empty index with `tables` sub-tables (a power of two).
    pub(crate) fn new(tables: u32) -> Self {
        assert!(tables.is_power_of_two(), "sub-tables must be a power of two, not {tables}");
        let table = || Table { buckets: Box::default(), len: 0 };
        Self { tables: (0..tables).map(|_| table()).collect(), shift: tables.trailing_zeros(), len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    pub(crate) fn find(
        &self,
        slots: &Slab<T>,
        hash: u32,
        mut is_it: impl FnMut(&T) -> bool,
    ) -> Option<Id<T>> {
        let buckets = &self.tables[self.table_of(hash)].buckets;
        let mut next = *buckets.get(self.bucket_of(hash, buckets.len()))?;
        while let Some(id) = next {
            let value = &slots[id];
            cost!(SlotSeen);
            if is_it(value) {
                return Some(id);
            }
            next = value.link();
        }
        None
    }

    /// Puts a value into a vacant slot and returns the slot. From now on `find` finds it. The value must not be there
    /// yet.
    #[inline]
    pub(crate) fn insert(&mut self, slots: &mut Slab<T>, mut value: T, hash_of: impl Fn(&T) -> u32) -> Id<T> {
        let hash = hash_of(&value);
        let number = self.table_of(hash);
        let table = &self.tables[number];
        if table.len as usize == table.buckets.len() {
            self.resize(number, (table.buckets.len() * 2).max(Self::FEWEST_BUCKETS), slots, hash_of);
        }
        let bucket = self.bucket_of(hash, self.tables[number].buckets.len());
        let table = &mut self.tables[number];
        let first = &mut table.buckets[bucket];
        *value.link_mut() = *first;
        let id = slots.insert(value);
        *first = Some(id);
        table.len += 1;
        self.len += 1;
        id
    }

    /// Removes a value from its slot and from the index. Panics if it is not in both.
    #[inline]
    pub(crate) fn remove(&mut self, slots: &mut Slab<T>, id: Id<T>, hash_of: impl Fn(&T) -> u32) -> T {
        let mut value = slots.remove(id);
        let after = value.link_mut().take();
        let hash = hash_of(&value);
        let number = self.table_of(hash);
        let bucket = self.bucket_of(hash, self.tables[number].buckets.len());
        let table = &mut self.tables[number];
        let mut link = table.buckets.get_mut(bucket);
        while link.as_ref().is_some_and(|link| **link != Some(id)) {
            cost!(SlotSeen);
            link = link.and_then(|link| *link).map(|before| slots[before].link_mut());
        }
        let Some(link) = link else { panic!("slot {id:?} is not in the index") };
        *link = after;
        table.len -= 1;
        self.len -= 1;
        let (len, buckets) = (table.len as usize, table.buckets.len());
        if buckets > Self::SMALL_TABLE && len < buckets / 8 {
            self.resize(number, (len * 2).next_power_of_two().max(Self::FEWEST_BUCKETS), slots, hash_of);
        }
        value
    }

    /// Changes the number of a sub-table's buckets (to a power of two).
    #[cold]
    #[inline(never)]
    fn resize(&mut self, number: usize, buckets: usize, slots: &mut Slab<T>, hash_of: impl Fn(&T) -> u32) {
        let fresh = vec![None; buckets].into_boxed_slice();
        let old = std::mem::replace(&mut self.tables[number].buckets, fresh);
        for first in old {
            let mut next = first;
            while let Some(id) = next {
                cost!(SlotMoved);
                let bucket = self.bucket_of(hash_of(&slots[id]), buckets);
                let link = slots[id].link_mut();
                next = *link;
                *link = self.tables[number].buckets[bucket].replace(id);
            }
        }
    }

    /// The lowest bits of a hash select the sub-table, the next ones the bucket in it.
    fn table_of(&self, hash: u32) -> usize {
        hash as usize & (self.tables.len() - 1)
    }

    /// Returns a number beyond all buckets if there are none.
    fn bucket_of(&self, hash: u32, buckets: usize) -> usize {
        (hash >> self.shift) as usize & buckets.wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Entry {
        key: u64,
        link: Option<Id<Self>>,
    }

    impl Linked for Entry {
        fn link(&self) -> Option<Id<Self>> {
            self.link
        }

        fn link_mut(&mut self) -> &mut Option<Id<Self>> {
            &mut self.link
        }
    }

    /// Entries by their keys.
    struct Map {
        slots: Slab<Entry>,
        index: Index<Entry>,
    }

    fn hash(key: u64) -> u32 {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
    }

    impl Map {
        fn new(tables: u32) -> Self {
            Self { slots: Slab::new(64), index: Index::new(tables) }
        }

        fn insert(&mut self, key: u64) {
            self.index.insert(&mut self.slots, Entry { key, link: None }, |entry| hash(entry.key));
        }

        fn find(&self, key: u64) -> Option<Id<Entry>> {
            self.index.find(&self.slots, hash(key), |entry| entry.key == key)
        }

        fn remove(&mut self, key: u64) {
            let id = self.find(key).expect("inserted");
            assert_eq!(self.index.remove(&mut self.slots, id, |entry| hash(entry.key)).key, key);
        }

        fn buckets(&self) -> usize {
            self.index.tables.iter().map(|table| table.buckets.len()).sum()
        }
    }

    #[test]
    fn finds_what_is_there_through_growth_and_shrinking() {
        for tables in [1, 4] {
            let mut map = Map::new(tables);
            assert_eq!(map.find(0), None, "an empty index finds nothing");
            (0..10_000).for_each(|key| map.insert(key));
            assert_eq!(map.index.len(), 10_000);
            // Removes from both ends of chains.
            for key in (0..10_000).rev().step_by(2).chain((0..10_000).step_by(2)) {
                if key % 100 != 0 {
                    map.remove(key);
                }
            }
            assert_eq!(map.index.len(), 100);
            assert!(map.buckets() <= 1024, "shrunk with what it holds, but has {} buckets", map.buckets());
            for key in 0..10_000 {
                assert_eq!(map.find(key).is_some(), key % 100 == 0, "key {key}");
            }
        }
    }

    /// The buckets of one table after `inserted` entries were put in and `removed` of them taken out.
    fn buckets(inserted: u64, removed: u64) -> usize {
        let mut map = Map::new(1);
        (0..inserted).for_each(|key| map.insert(key));
        (0..removed).for_each(|key| map.remove(key));
        assert_eq!(u64::from(map.index.len()), inserted - removed);
        map.buckets()
    }

    #[test]
    fn a_table_has_no_fewer_buckets_than_entries() {
        assert_eq!([0, 1, 4, 5, 64, 65].map(|entries| buckets(entries, 0)), [0, 4, 4, 8, 64, 128]);
    }

    #[test]
    fn a_table_shrinks_when_less_than_an_eighth_of_it_is_used_to_twice_what_it_holds() {
        assert_eq!(buckets(1000, 0), 1024);
        assert_eq!(buckets(1000, 1000 - 128), 1024);
        assert_eq!(buckets(1000, 1000 - 127), 256);
        assert!(buckets(100_000, 100_000) <= 64);
    }

    #[test]
    fn a_small_table_does_not_shrink() {
        assert_eq!(buckets(50, 50), 64);
        assert!(buckets(100, 100) <= 64);
    }

    #[test]
    fn entries_of_one_bucket_are_told_apart() {
        let mut slots = Slab::new(2);
        let mut index = Index::new(1);
        let ids = [1, 2, 3].map(|key| index.insert(&mut slots, Entry { key, link: None }, |_| 7));
        for (place, removed) in [(1, 2), (0, 1), (2, 3)] {
            assert_eq!(index.find(&slots, 7, |entry| entry.key == removed), Some(ids[place]));
            index.remove(&mut slots, ids[place], |_| 7);
            assert_eq!(index.find(&slots, 7, |entry| entry.key == removed), None);
        }
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn entries_are_spread_over_all_tables() {
        let index: Index<Entry> = Index::new(4);
        let mut counts = [0; 4];
        for key in 0..4096_u64 {
            counts[index.table_of(hash(key))] += 1;
        }
        assert!(counts.iter().all(|count| (900..1150).contains(count)), "{counts:?}");
    }

    #[test]
    #[should_panic(expected = "is not in the index")]
    fn removing_what_is_not_there_panics() {
        let mut slots = Slab::new(2);
        let id = slots.insert(Entry { key: 7, link: None });
        Index::new(1).remove(&mut slots, id, |_| 7);
    }

    #[test]
    #[should_panic(expected = "is not in the index")]
    fn removing_under_another_hash_panics() {
        let mut map = Map::new(1);
        (0..4).for_each(|key| map.insert(key));
        let id = map.find(0).expect("inserted");
        map.index.remove(&mut map.slots, id, |entry| hash(entry.key) ^ 1);
    }
}
