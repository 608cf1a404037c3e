//! A slab: values in numbered slots, allocated one chunk at a time. Growth never copies values, and a slot's number
//! never changes. Empty chunks are given back.

use super::{Chain, Links, Stack};

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// The number of a slot in a `Slab<T>`. `Option<Id<T>>` takes four bytes.
pub(crate) struct Id<T> {
    /// The slot's position plus one.
    number: NonZeroU32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    fn at(position: u32) -> Self {
        // A slab never grows so far that this wraps to zero (see `Slab::grow`).
        let number = NonZeroU32::MIN.saturating_add(position);
        Self { number, of: PhantomData }
    }

    /// The slot's position, counted from 0.
    pub(crate) fn position(self) -> u32 {
        self.number.get() - 1
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl<T> Eq for Id<T> {}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.position())
    }
}

/// ```text
///   chunks:  [ used used vacant used ] [ used used used used ] [ released ] ...
///                        |                                         |
///              open -> chunk 0 (has vacant slots)     bare -> chunk 2 (no memory, number kept)
/// ```
/// `open` lists the chunks that have memory and a vacant slot. `bare` lists those whose memory was given back. Both
/// are stacks. `open` is linked both ways, because any chunk may fill up or become empty.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    /// The slots of each chunk. A bare chunk has none. They are kept apart from the other data of chunks, so that
    /// finding a slot takes few steps.
    slots: Vec<Box<[Slot<T>]>>,
    chunks: Chunks,
    /// log2 of the slots in a chunk.
    shift: u32,
    /// The number of slots in a chunk, less one. This masks the offset out of a position.
    mask: u32,
    open: Stack<OpenOrBare>,
    bare: Stack<OpenOrBare>,
    len: u32,
}

#[derive(Clone, Debug)]
struct Chunk {
    used: u32,
    /// The offset of the first vacant slot in the chunk.
    vacant: Option<u32>,
    /// In `open` or in `bare`.
    links: Links<Chunk>,
}

/// Chunks by number.
#[derive(Clone, Debug)]
struct Chunks(Vec<Chunk>);

impl Index<Id<Chunk>> for Chunks {
    type Output = Chunk;

    #[inline]
    fn index(&self, id: Id<Chunk>) -> &Chunk {
        &self.0[id.position() as usize]
    }
}

impl IndexMut<Id<Chunk>> for Chunks {
    #[inline]
    fn index_mut(&mut self, id: Id<Chunk>) -> &mut Chunk {
        &mut self.0[id.position() as usize]
    }
}

/// The chunks that are open, or those that are bare.
struct OpenOrBare;

impl Chain for OpenOrBare {
    type Value = Chunk;

    fn links(chunk: &Chunk) -> &Links<Chunk> {
        &chunk.links
    }

    fn links_mut(chunk: &mut Chunk) -> &mut Links<Chunk> {
        &mut chunk.links
    }
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Vacant { next: Option<u32> },
    Used(T),
}

impl<T> Slab<T> {
    /// An empty slab that will allocate `chunk_slots` slots at a time (a power of two).
    pub(crate) fn new(chunk_slots: u32) -> Self {
        assert!(chunk_slots.is_power_of_two(), "chunk_slots must be a power of two, not {chunk_slots}");
        Self {
            slots: Vec::new(),
            chunks: Chunks(Vec::new()),
            shift: chunk_slots.trailing_zeros(),
            mask: chunk_slots - 1,
            open: Stack::EMPTY,
            bare: Stack::EMPTY,
            len: 0,
        }
    }

    /// The number of used slots.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// A bound on positions: every used slot's position is below it.
    pub(crate) fn end(&self) -> u32 {
        (self.slots.len() as u32) << self.shift
    }

    /// Bytes of one slot, used or vacant.
    pub(crate) const fn slot_bytes() -> usize {
        size_of::<Slot<T>>()
    }

    /// The value at a position, if that slot is used.
    pub(crate) fn at(&self, position: u32) -> Option<(Id<T>, &T)> {
        let slots = self.slots.get((position >> self.shift) as usize)?;
        match slots.get((position & self.mask) as usize) {
            Some(Slot::Used(value)) => Some((Id::at(position), value)),
            Some(Slot::Vacant { .. }) | None => None,
        }
    }

    /// The value in a slot, if the slot is used.
    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        self.at(id.position()).map(|(_, value)| value)
    }

    /// Every used slot, by position. A chunk without memory is skipped in one step.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        (0..).zip(&self.slots).flat_map(move |(number, slots): (u32, _)| {
            (0..).zip(slots).filter_map(move |(offset, slot): (u32, _)| match slot {
                Slot::Used(value) => Some((Id::at((number << self.shift) | offset), value)),
                Slot::Vacant { .. } => None,
            })
        })
    }

    /// The vacant slots, in the order in which they will be used: those of each open chunk in turn, then the first slot
    /// of each bare chunk.
    pub(crate) fn vacancies(&self) -> Vec<u32> {
        let mut vacancies = Vec::new();
        for (id, chunk) in self.open.iter(&self.chunks) {
            let mut next = chunk.vacant;
            while let Some(offset) = next {
                vacancies.push((id.position() << self.shift) | offset);
                let Slot::Vacant { next: following } = self.slots[id.position() as usize][offset as usize]
                else {
                    panic!("slot {offset} of chunk {id:?} is used")
                };
                next = following;
            }
        }
        vacancies.extend(self.bare.iter(&self.chunks).map(|(id, _)| id.position() << self.shift));
        vacancies
    }

    /// Checks which chunks are open and which are bare, and the links of both lists.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let at = |id: Id<Chunk>| self.chunks.0.get(id.position() as usize);
        let open = self.open.check(at).map_err(|broken| format!("open chunks: {broken}"))?;
        let bare = self.bare.check(at).map_err(|broken| format!("bare chunks: {broken}"))?;
        let with_room = self.chunks.0.iter().filter(|chunk| chunk.vacant.is_some()).count() as u32;
        let without_memory = self.slots.iter().filter(|slots| slots.is_empty()).count() as u32;
        if (open, bare) == (with_room, without_memory) {
            Ok(())
        } else {
            Err(format!("{open} of {with_room} chunks are open, {bare} of {without_memory} are bare"))
        }
    }

    /// Puts a value into a vacant slot. Returns the slot.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        let id = match self.open.first() {
            Some(id) => id,
            None => self.grow(),
        };
        let chunk = &mut self.chunks[id];
        let offset = chunk.vacant.expect("an open chunk has a vacant slot");
        let slot = &mut self.slots[id.position() as usize][offset as usize];
        let Slot::Vacant { next } = *slot else { panic!("slot {offset} of chunk {id:?} is used") };
        *slot = Slot::Used(value);
        chunk.vacant = next;
        chunk.used += 1;
        if next.is_none() {
            self.open.remove(&mut self.chunks, id);
        }
        self.len += 1;
        Id::at((id.position() << self.shift) | offset)
    }

    /// Removes a value. Its slot may be used again at once. Panics if the slot is vacant.
    #[inline]
    pub(crate) fn remove(&mut self, id: Id<T>) -> T {
        let (number, offset) = (Id::at(id.position() >> self.shift), id.position() & self.mask);
        let chunk = &mut self.chunks[number];
        let slot = &mut self.slots[number.position() as usize][offset as usize];
        let Slot::Used(value) = std::mem::replace(slot, Slot::Vacant { next: chunk.vacant }) else {
            panic!("slot {id:?} is vacant")
        };
        let was_full = chunk.vacant.is_none();
        chunk.vacant = Some(offset);
        chunk.used -= 1;
        let empty = chunk.used == 0;
        self.len -= 1;
        if was_full {
            self.open.push(&mut self.chunks, number);
        }
        // One empty chunk is kept. So a slab does not allocate while its size goes up and down by one.
        if empty && self.has_other_open(number) {
            self.release(number);
        }
        value
    }

    fn has_other_open(&self, number: Id<Chunk>) -> bool {
        let links = &self.chunks[number].links;
        links.prev().is_some() || links.next().is_some()
    }

    /// Gives memory to a bare chunk, or to a new one, and opens it.
    fn grow(&mut self) -> Id<Chunk> {
        let id = if let Some(id) = self.bare.first() {
            mark!(FreedSlotsUsedAgain);
            self.bare.remove(&mut self.chunks, id);
            id
        } else {
            let number = self.slots.len() as u32;
            // `Id` adds one to a position, and that must not overflow.
            assert!(
                (u64::from(number) + 1) << self.shift < u64::from(u32::MAX),
                "a slab's slots are numbered in 32 bits"
            );
            self.chunks.0.push(Chunk { used: 0, vacant: None, links: Links::NONE });
            self.slots.push(Box::default());
            Id::at(number)
        };
        let slots = 1 << self.shift;
        self.slots[id.position() as usize] =
            (1..=slots).map(|next| Slot::Vacant { next: (next < slots).then_some(next) }).collect();
        self.chunks[id].vacant = Some(0);
        self.open.push(&mut self.chunks, id);
        id
    }

    /// Gives an empty chunk's memory back.
    fn release(&mut self, id: Id<Chunk>) {
        self.open.remove(&mut self.chunks, id);
        let chunk = &mut self.chunks[id];
        assert_eq!(chunk.used, 0, "a released chunk holds nothing");
        chunk.vacant = None;
        self.slots[id.position() as usize] = Box::default();
        self.bare.push(&mut self.chunks, id);
    }
}

impl<T> Index<Id<T>> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: Id<T>) -> &T {
        let slots = &self.slots[(id.position() >> self.shift) as usize];
        match &slots[(id.position() & self.mask) as usize] {
            Slot::Used(value) => value,
            Slot::Vacant { .. } => panic!("slot {id:?} is vacant"),
        }
    }
}

impl<T> IndexMut<Id<T>> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        let offset = (id.position() & self.mask) as usize;
        let slots = &mut self.slots[(id.position() >> self.shift) as usize];
        match &mut slots[offset] {
            Slot::Used(value) => value,
            Slot::Vacant { .. } => panic!("slot {id:?} is vacant"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    quickcheck! {
        /// Goal: a slab behaves as a map from ids to values. Method: a random run of inserts and removes, beside a
        /// `BTreeMap`. Chunks have two slots, so that they fill, become empty, become bare and come back.
        fn behaves_as_a_map(steps: Vec<(bool, u16)>) -> bool {
            let mut slab = Slab::new(2);
            let mut model: BTreeMap<u32, u16> = BTreeMap::new();
            for (insert, value) in steps {
                if insert || model.is_empty() {
                    let id = slab.insert(value);
                    assert!(model.insert(id.position(), value).is_none(), "a used slot was given out");
                } else {
                    let nth = usize::from(value) % model.len();
                    let position = *model.keys().nth(nth).unwrap();
                    assert_eq!(slab.remove(Id::at(position)), model.remove(&position).unwrap());
                }
                assert_eq!(slab.len() as usize, model.len());
                assert_eq!(slab.check(), Ok(()));
                let listed: Vec<_> = slab.iter().map(|(id, value)| (id.position(), *value)).collect();
                assert_eq!(listed, model.clone().into_iter().collect::<Vec<_>>());
            }
            true
        }
    }

    #[test]
    fn gives_chunks_back_and_uses_them_again() {
        let mut slab = Slab::new(2);
        let ids: Vec<_> = (0..10).map(|value| slab.insert(value)).collect();
        let allocated = |slab: &Slab<_>| slab.slots.iter().filter(|slots| !slots.is_empty()).count();
        assert_eq!(allocated(&slab), 5);
        for id in ids {
            slab.remove(id);
        }
        assert_eq!((slab.len(), allocated(&slab)), (0, 1), "one empty chunk is kept, the others are bare");
        for value in 0..10 {
            slab.insert(value);
        }
        assert_eq!((slab.end(), allocated(&slab)), (10, 5), "bare chunks are used before new ones");
    }

    #[test]
    #[should_panic(expected = "is vacant")]
    fn a_removed_slot_is_not_read() {
        let mut slab = Slab::new(2);
        let id = slab.insert(1);
        slab.remove(id);
        let _ = slab[id];
    }
}
