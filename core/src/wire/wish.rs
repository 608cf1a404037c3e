//! What a get asks for. It is the same for every verb that gets, so the machine has only one way to get a lock.

use crate::types::Kind;

use super::verb::Verb;

/// The lock that a get asks for, how many may share it, and how long the asker would wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<N> {
    name: N,
    /// 0 is no limit.
    limit: u32,
    /// Also 0 for verbs that do not wait.
    ms: u32,
    /// A verb that gets a lock. It determines the kind, and which of the numbers count.
    verb: Verb,
}

impl<N> Wish<N> {
    /// What `g`, `sg`, `rg` and `wg` ask for: the lock at once.
    #[inline]
    pub const fn at_once(kind: Kind, name: N) -> Self {
        let (verb, limit) = match kind {
            Kind::Exclusive => (Verb::Get, 1),
            Kind::Shared => (Verb::SharedGet, 0),
            Kind::Read => (Verb::ReadGet, 0),
            Kind::Write => (Verb::WriteGet, 1),
        };
        Self { name, limit, ms: 0, verb }
    }

    /// The same for at most `limit` holders, including the asker. 0 is no limit. Only a shared lock takes a limit.
    #[must_use]
    pub fn limited(self, limit: u32) -> Self {
        match self.verb {
            Verb::SharedGet => Self { limit, verb: Verb::SharedGetLimited, ..self },
            Verb::SharedGetLimited | Verb::SharedGetWait => Self { limit, ..self },
            _ => self,
        }
    }

    /// The same, waiting up to `ms` milliseconds. 0 does not wait.
    #[must_use]
    pub fn waiting(self, ms: u32) -> Self {
        Self { ms, verb: Verb::that_waits_for(self.kind()), ..self }
    }

    /// The verb of the request.
    #[inline]
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// The kind of lock.
    #[inline]
    pub const fn kind(&self) -> Kind {
        match self.verb {
            Verb::Get | Verb::GetWait => Kind::Exclusive,
            Verb::ReadGet | Verb::ReadGetWait => Kind::Read,
            Verb::WriteGet | Verb::WriteGetWait => Kind::Write,
            _ => Kind::Shared,
        }
    }

    /// The lock.
    #[inline]
    pub const fn name(&self) -> &N {
        &self.name
    }

    /// The lock's name, owned.
    pub fn into_name(self) -> N {
        self.name
    }

    /// How many holders there may be, including the asker. 0 is no limit.
    #[inline]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// How long to wait at most, in milliseconds. `None` if the verb does not wait.
    #[inline]
    pub const fn ms(&self) -> Option<u32> {
        match self.verb {
            Verb::GetWait | Verb::SharedGetWait | Verb::ReadGetWait | Verb::WriteGetWait => Some(self.ms),
            _ => None,
        }
    }

    /// Whether it must not overtake waits. False only for `sg`.
    #[inline]
    pub const fn heeds_line(&self) -> bool {
        !matches!(self.verb, Verb::SharedGet)
    }

    /// The same with its name changed by `text`.
    pub fn map<M>(self, text: impl FnOnce(N) -> M) -> Wish<M> {
        let Self { name, limit, ms, verb } = self;
        Wish { name: text(name), limit, ms, verb }
    }

    /// The same with its name borrowed.
    #[inline]
    pub fn borrowed(&self) -> Wish<&[u8]>
    where
        N: AsRef<[u8]>,
    {
        self.map_ref(N::as_ref)
    }

    #[inline]
    pub(super) fn map_ref<'a, M>(&'a self, text: impl FnOnce(&'a N) -> M) -> Wish<M> {
        let Self { limit, ms, verb, .. } = *self;
        Wish { name: text(&self.name), limit, ms, verb }
    }

    /// The numbers in front of the name, in their order.
    pub(super) const fn numbers(&self) -> [Option<u32>; 2] {
        match self.verb {
            Verb::GetWait | Verb::ReadGetWait | Verb::WriteGetWait => [Some(self.ms), None],
            Verb::SharedGetLimited => [Some(self.limit), None],
            Verb::SharedGetWait => [Some(self.ms), Some(self.limit)],
            _ => [None, None],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_asks_for_what_it_says() {
        let [x, s, r, w] = Kind::ALL.map(|kind| Wish::at_once(kind, "n"));
        for (wish, verb, limit, ms, heeds_line) in [
            (x, Verb::Get, 1, None, true),
            (x.limited(7), Verb::Get, 1, None, true),
            (x.waiting(5), Verb::GetWait, 1, Some(5), true),
            (s, Verb::SharedGet, 0, None, false),
            (s.limited(3), Verb::SharedGetLimited, 3, None, true),
            (s.limited(0), Verb::SharedGetLimited, 0, None, true),
            (s.waiting(5), Verb::SharedGetWait, 0, Some(5), true),
            (s.limited(3).waiting(0), Verb::SharedGetWait, 3, Some(0), true),
            (s.waiting(5).limited(3), Verb::SharedGetWait, 3, Some(5), true),
            (r, Verb::ReadGet, 0, None, true),
            (r.limited(3).waiting(5), Verb::ReadGetWait, 0, Some(5), true),
            (w, Verb::WriteGet, 1, None, true),
            (w.limited(3).waiting(5), Verb::WriteGetWait, 1, Some(5), true),
        ] {
            assert_eq!(
                (wish.verb(), wish.limit(), wish.ms(), wish.heeds_line()),
                (verb, limit, ms, heeds_line)
            );
        }
    }
}
