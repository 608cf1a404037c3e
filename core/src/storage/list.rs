//! The one linked list: values in slots that carry the links to their neighbours. It is linked both ways, so a value is
//! taken out in one step, wherever it stands. A list allocates nothing, and knows nothing about what is listed or why.

use super::Id;
use std::fmt;
use std::ops::IndexMut;

/// A value's neighbours in one of the lists that it can be in.
pub(crate) struct Links<T> {
    prev: Option<Id<T>>,
    next: Option<Id<T>>,
}

impl<T> Links<T> {
    /// The links of a value that is in no list, or alone in one.
    pub(crate) const NONE: Self = Self { prev: None, next: None };

    /// The value that comes before.
    pub(crate) fn prev(self) -> Option<Id<T>> {
        self.prev
    }

    /// The value that comes next.
    pub(crate) fn next(self) -> Option<Id<T>> {
        self.next
    }
}

impl<T> Clone for Links<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Links<T> {}
impl<T> fmt::Debug for Links<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} .. {:?}", self.prev, self.next)
    }
}

/// A sort of list: the one that goes along certain links of its values. Each sort is a type of its own, so lists along
/// different links cannot be mixed up.
pub(crate) trait Chain {
    /// What is listed.
    type Value;

    /// The value's links in lists of this sort.
    fn links(value: &Self::Value) -> &Links<Self::Value>;

    /// The same links, to change them.
    fn links_mut(value: &mut Self::Value) -> &mut Links<Self::Value>;
}

/// A list's length and its last value.
type Walked<C> = (u32, Option<Id<<C as Chain>::Value>>);

/// The slots that the values of a list are in.
pub(crate) trait Slots<T>: IndexMut<Id<T>, Output = T> {}
impl<T, S: IndexMut<Id<T>, Output = T>> Slots<T> for S {}

/// A list that grows at its front, and knows only its front.
///
/// ```text
///   first -> value <-> value <-> value
/// ```
pub(crate) struct Stack<C: Chain> {
    first: Option<Id<C::Value>>,
}

impl<C: Chain> Stack<C> {
    pub(crate) const EMPTY: Self = Self { first: None };

    pub(crate) fn first(&self) -> Option<Id<C::Value>> {
        self.first
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts a value in front of all others. It must be in no list of this sort.
    #[inline]
    pub(crate) fn push(&mut self, slots: &mut impl Slots<C::Value>, id: Id<C::Value>) {
        *C::links_mut(&mut slots[id]) = self.links_of_next();
        self.pushed(slots, id);
    }

    /// Like `push`, for a value that has no slot yet. `insert` must put it into a slot, with the links that it is
    /// given.
    #[inline]
    pub(crate) fn push_new<S: Slots<C::Value>>(
        &mut self,
        slots: &mut S,
        insert: impl FnOnce(&mut S, Links<C::Value>) -> Id<C::Value>,
    ) -> Id<C::Value> {
        let id = insert(slots, self.links_of_next());
        self.pushed(slots, id);
        id
    }

    fn links_of_next(&self) -> Links<C::Value> {
        Links { prev: None, next: self.first }
    }

    #[inline]
    fn pushed(&mut self, slots: &mut impl Slots<C::Value>, id: Id<C::Value>) {
        if let Some(next) = self.first.replace(id) {
            C::links_mut(&mut slots[next]).prev = Some(id);
        }
    }

    /// Takes a value out of the list, and leaves it in its slot.
    #[inline]
    pub(crate) fn remove(&mut self, slots: &mut impl Slots<C::Value>, id: Id<C::Value>) {
        let links = std::mem::replace(C::links_mut(&mut slots[id]), Links::NONE);
        self.close_gap(slots, id, links);
    }

    /// Links the two neighbours of the value `id`, which had these `links`, to each other. The value itself has left
    /// its slot or is about to. Panics if it has no neighbour in front and is not the first of this list.
    #[inline]
    pub(crate) fn close_gap(
        &mut self,
        slots: &mut impl Slots<C::Value>,
        id: Id<C::Value>,
        links: Links<C::Value>,
    ) {
        if let Some(prev) = links.prev {
            C::links_mut(&mut slots[prev]).next = links.next;
        } else {
            assert!(self.first == Some(id), "a value is taken out of the list that it is in");
            self.first = links.next;
        }
        if let Some(next) = links.next {
            C::links_mut(&mut slots[next]).prev = links.prev;
        }
    }

    /// The values, from the front.
    pub(crate) fn iter<'a, S: Slots<C::Value>>(
        &self,
        slots: &'a S,
    ) -> impl Iterator<Item = (Id<C::Value>, &'a C::Value)> + use<'a, C, S>
    where
        C::Value: 'a,
    {
        Self::iter_from(self.first, slots)
    }

    /// The values from `from` on. None if `from` is `None`.
    pub(crate) fn iter_from<'a, S: Slots<C::Value>>(
        from: Option<Id<C::Value>>,
        slots: &'a S,
    ) -> impl Iterator<Item = (Id<C::Value>, &'a C::Value)> + use<'a, C, S>
    where
        C::Value: 'a,
    {
        let at = |id: Id<C::Value>| (id, &slots[id]);
        std::iter::successors(from.map(at), move |(_, value)| C::links(value).next.map(at))
    }

    /// Checks every link, in both directions, and returns the length. `at` must return the value in a slot, if the slot
    /// is used. The check ends even in a ring: some value of it is reached from two others, and its link back leads to
    /// only one of them.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check<'a>(&self, at: impl Fn(Id<C::Value>) -> Option<&'a C::Value>) -> Result<u32, Broken>
    where
        C::Value: 'a,
    {
        self.walk(at).map(|(length, _)| length)
    }

    /// The length, and the last value.
    fn walk<'a>(&self, at: impl Fn(Id<C::Value>) -> Option<&'a C::Value>) -> Result<Walked<C>, Broken>
    where
        C::Value: 'a,
    {
        let (mut length, mut before, mut next) = (0, None, self.first);
        while let Some(id) = next {
            let links = C::links(at(id).ok_or(Broken::Vacant(id.position()))?);
            if links.prev != before {
                return Err(Broken::Back(id.position()));
            }
            length += 1;
            (before, next) = (next, links.next);
        }
        Ok((length, before))
    }
}

/// A list that grows at its back, and knows both its ends.
///
/// ```text
///   first -> value <-> value <-> value <- last
/// ```
pub(crate) struct List<C: Chain> {
    front: Stack<C>,
    last: Option<Id<C::Value>>,
}

impl<C: Chain> List<C> {
    pub(crate) const EMPTY: Self = Self { front: Stack::EMPTY, last: None };

    pub(crate) fn first(&self) -> Option<Id<C::Value>> {
        self.front.first
    }

    pub(crate) fn last(&self) -> Option<Id<C::Value>> {
        self.last
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    /// Puts a value behind all others. It must be in no list of this sort.
    #[inline]
    pub(crate) fn push_back(&mut self, slots: &mut impl Slots<C::Value>, id: Id<C::Value>) {
        let prev = self.last.replace(id);
        *C::links_mut(&mut slots[id]) = Links { prev, next: None };
        match prev {
            Some(prev) => C::links_mut(&mut slots[prev]).next = Some(id),
            None => self.front.first = Some(id),
        }
    }

    /// Takes a value out of the list, and leaves it in its slot.
    #[inline]
    pub(crate) fn remove(&mut self, slots: &mut impl Slots<C::Value>, id: Id<C::Value>) {
        let links = std::mem::replace(C::links_mut(&mut slots[id]), Links::NONE);
        self.close_gap(slots, id, links);
    }

    /// Links the two neighbours of a value to each other, as [`Stack::close_gap`] does. Also panics if the value has no
    /// neighbour behind and is not the last of this list.
    #[inline]
    pub(crate) fn close_gap(
        &mut self,
        slots: &mut impl Slots<C::Value>,
        id: Id<C::Value>,
        links: Links<C::Value>,
    ) {
        self.front.close_gap(slots, id, links);
        if links.next.is_none() {
            assert!(self.last == Some(id), "a value is taken out of the list that it is in");
            self.last = links.prev;
        }
    }

    /// The values, from the front.
    pub(crate) fn iter<'a, S: Slots<C::Value>>(
        &self,
        slots: &'a S,
    ) -> impl Iterator<Item = (Id<C::Value>, &'a C::Value)> + use<'a, C, S>
    where
        C::Value: 'a,
    {
        self.front.iter(slots)
    }

    /// The values from `from` on. None if `from` is `None`.
    pub(crate) fn iter_from<'a, S: Slots<C::Value>>(
        from: Option<Id<C::Value>>,
        slots: &'a S,
    ) -> impl Iterator<Item = (Id<C::Value>, &'a C::Value)> + use<'a, C, S>
    where
        C::Value: 'a,
    {
        Stack::<C>::iter_from(from, slots)
    }

    /// Checks every link, in both directions, and returns the length, as [`Stack::check`] does.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check<'a>(&self, at: impl Fn(Id<C::Value>) -> Option<&'a C::Value>) -> Result<u32, Broken>
    where
        C::Value: 'a,
    {
        let (length, last) = self.front.walk(at)?;
        if last == self.last { Ok(length) } else { Err(Broken::End) }
    }
}

/// What is wrong with a list. Numbers are positions of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// A link leads to a slot that is not used.
    #[error("its link to #{0} leads nowhere")]
    Vacant(u32),
    /// A value's link back does not lead to the value before it.
    #[error("the link back from #{0} leads elsewhere")]
    Back(u32),
    /// The last value is not the one that the list names.
    #[error("it ends elsewhere")]
    End,
}

/// A clone is of use only with a clone of the slots: a value can be in one list of each sort.
impl<C: Chain> Clone for Stack<C> {
    fn clone(&self) -> Self {
        Self { first: self.first }
    }
}
impl<C: Chain> fmt::Debug for Stack<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ..", self.first)
    }
}

impl<C: Chain> Clone for List<C> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), last: self.last }
    }
}
impl<C: Chain> Default for List<C> {
    fn default() -> Self {
        Self::EMPTY
    }
}
impl<C: Chain> fmt::Debug for List<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} .. {:?}", self.front.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Slab;
    use quickcheck::quickcheck;

    /// A value that is in a list and in a stack at the same time.
    struct Entry {
        number: u16,
        listed: Links<Entry>,
        stacked: Links<Entry>,
    }

    struct Listed;
    impl Chain for Listed {
        type Value = Entry;

        fn links(entry: &Entry) -> &Links<Entry> {
            &entry.listed
        }

        fn links_mut(entry: &mut Entry) -> &mut Links<Entry> {
            &mut entry.listed
        }
    }

    struct Stacked;
    impl Chain for Stacked {
        type Value = Entry;

        fn links(entry: &Entry) -> &Links<Entry> {
            &entry.stacked
        }

        fn links_mut(entry: &mut Entry) -> &mut Links<Entry> {
            &mut entry.stacked
        }
    }

    /// A list and a stack of the same entries.
    struct Both {
        slots: Slab<Entry>,
        list: List<Listed>,
        stack: Stack<Stacked>,
    }

    impl Both {
        fn new() -> Self {
            Self { slots: Slab::new(2), list: List::EMPTY, stack: Stack::EMPTY }
        }

        fn push(&mut self, number: u16) -> Id<Entry> {
            let new = |stacked| Entry { number, listed: Links::NONE, stacked };
            let id = if number.is_multiple_of(2) {
                self.stack.push_new(&mut self.slots, |slots, links| slots.insert(new(links)))
            } else {
                let id = self.slots.insert(new(Links::NONE));
                self.stack.push(&mut self.slots, id);
                id
            };
            self.list.push_back(&mut self.slots, id);
            id
        }

        /// The length of each, if its links are right.
        fn check(&self) -> (Result<u32, Broken>, Result<u32, Broken>) {
            let at = |id: Id<Entry>| self.slots.at(id.position()).map(|(_, entry)| entry);
            (self.list.check(at), self.stack.check(at))
        }
    }

    quickcheck! {
        /// Goal: a list behaves as a vector that grows at its back, and a stack as one that grows at its front. Method:
        /// entries are in both at the same time, and are pushed and taken out at any place, beside a vector. Half of
        /// them leave their slots first.
        fn a_list_and_a_stack_behave_as_vectors(steps: Vec<(bool, u16)>) -> bool {
            let mut both = Both::new();
            let mut model: Vec<(Id<Entry>, u16)> = Vec::new();
            for (push, number) in steps {
                if push || model.is_empty() {
                    model.push((both.push(number), number));
                } else {
                    let (id, _) = model.remove(usize::from(number) % model.len());
                    if number.is_multiple_of(2) {
                        let Entry { listed, stacked, .. } = both.slots.remove(id);
                        both.list.close_gap(&mut both.slots, id, listed);
                        both.stack.close_gap(&mut both.slots, id, stacked);
                    } else {
                        both.list.remove(&mut both.slots, id);
                        both.stack.remove(&mut both.slots, id);
                        let listed = both.slots[id].listed;
                        assert!(listed.prev().is_none() && listed.next().is_none());
                        both.slots.remove(id);
                    }
                }
                let numbers = |(id, entry): (Id<Entry>, &Entry)| (id, entry.number);
                assert_eq!(both.list.iter(&both.slots).map(numbers).collect::<Vec<_>>(), model);
                let mut backwards: Vec<_> = both.stack.iter(&both.slots).map(numbers).collect();
                backwards.reverse();
                assert_eq!(backwards, model);
                assert_eq!(both.list.first(), model.first().map(|(id, _)| *id));
                assert_eq!(both.list.last(), model.last().map(|(id, _)| *id));
                assert_eq!(both.stack.first(), both.list.last());
                let are_empty = (both.list.is_empty(), both.stack.is_empty());
                assert_eq!(are_empty, (model.is_empty(), model.is_empty()));
                let middle = model.len() / 2;
                let rest = List::<Listed>::iter_from(model.get(middle).map(|(id, _)| *id), &both.slots);
                assert_eq!(rest.map(numbers).collect::<Vec<_>>(), model[middle..]);
                let length = model.len() as u32;
                assert_eq!(both.check(), (Ok(length), Ok(length)));
            }
            true
        }
    }

    #[test]
    fn a_broken_list_is_told_from_a_sound_one() {
        let break_it = |damage: fn(&mut Both, [Id<Entry>; 3])| {
            let mut both = Both::new();
            let ids = [1, 2, 3].map(|number| both.push(number));
            assert_eq!(both.check(), (Ok(3), Ok(3)));
            damage(&mut both, ids);
            both.check().0
        };
        let back = break_it(|both, [a, _, c]| both.slots[c].listed.prev = Some(a));
        assert_eq!(back, Err(Broken::Back(2)));
        let vacant = break_it(|both, [_, b, _]| {
            both.slots.remove(b);
        });
        assert_eq!(vacant, Err(Broken::Vacant(1)));
        let short = break_it(|both, [_, b, _]| both.slots[b].listed.next = None);
        assert_eq!(short, Err(Broken::End));
        let ring = break_it(|both, [a, _, c]| {
            both.slots[c].listed.next = Some(a);
            both.slots[a].listed.prev = Some(c);
            both.list.front.first = Some(a);
        });
        assert_eq!(ring, Err(Broken::Back(0)), "its first value has one before it");
        let two = break_it(|both, [_, b, c]| both.slots[c].listed.next = Some(b));
        assert_eq!(two, Err(Broken::Back(1)));
    }
    #[test]
    #[should_panic(expected = "out of the list that it is in")]
    fn a_value_that_is_not_listed_is_not_taken_out() {
        let mut both = Both::new();
        let [a, _] = [1, 2].map(|number| both.push(number));
        both.list.remove(&mut both.slots, a);
        both.list.remove(&mut both.slots, a);
    }
}
