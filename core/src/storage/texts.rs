//! Bytes of any length in chunks, so that memory goes back to the system: a chunk is one large allocation, and is given
//! back as soon as nothing in it is used.
//!
//! If much of what is in use is scattered among what was removed, it is moved together, a little at each removal. So
//! all chunks together never take much more than what is in use.

/// Where a text is. It changes when the text is moved: its owner is then told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextPlace {
    /// The number of its chunk.
    pub(crate) chunk: u32,
    /// Where its record begins in the chunk.
    pub(crate) offset: u32,
}

/// ```text
///   chunks:  [ record record record ... ] [ record ... ] [ given back ] [ record | rest ]
///                       ^                                                         ^
///                     cursor: up to here the chunk was moved away                open: records are added here
///   record:  [ length | owner, or GONE | text ]
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    chunks: Vec<TextChunk>,
    /// Chunks whose memory was given back. Their numbers are used again.
    bare: Vec<u32>,
    /// The chunk that records are added to.
    open: Option<u32>,
    /// Bytes of a chunk. A longer record has a chunk of its own.
    chunk_bytes: u32,
    /// Bytes of the records in use.
    used: u64,
    /// Bytes of the records that were removed, and whose chunk is still there.
    gone: u64,
    /// The record to be looked at next, to move it away or to pass over it.
    cursor: TextPlace,
    /// Bytes that may still be moved or passed over.
    credit: u64,
}

#[derive(Clone, Debug, Default)]
struct TextChunk {
    /// Empty if the memory was given back.
    bytes: Box<[u8]>,
    /// Up to here there are records.
    end: u32,
    /// Bytes of the records in use.
    used: u32,
}

impl TextChunk {
    fn word(&self, at: u32) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn set_word(&mut self, at: u32, word: u32) {
        let at = at as usize;
        self.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Bytes of the record that begins here, and its owner.
    fn record(&self, at: u32) -> (u32, u32) {
        (Texts::HEADER + self.word(at), self.word(at + 4))
    }

    fn text(&self, at: u32) -> &[u8] {
        let from = (at + Texts::HEADER) as usize;
        &self.bytes[from..from + self.word(at) as usize]
    }

    /// Whether so little of it is gone that it is not worth moving the rest.
    fn is_dense(&self) -> bool {
        (self.end - self.used) * 8 < self.end
    }
}

impl Texts {
    /// Bytes of a record before its text.
    const HEADER: u32 = 8;
    /// The owner of a record that was removed.
    const GONE: u32 = u32::MAX;
    /// For each byte that is removed, so many may be moved or passed over. With fewer, removals could outrun moving.
    const CREDIT: u64 = 8;
    /// What it costs to pass over a record or a chunk, in bytes moved.
    const STEP: u64 = 64;

    /// An empty store that will allocate so many bytes at a time.
    pub(crate) const fn new(chunk_bytes: u32) -> Self {
        Self {
            chunks: Vec::new(),
            bare: Vec::new(),
            open: None,
            chunk_bytes,
            used: 0,
            gone: 0,
            cursor: TextPlace { chunk: 0, offset: 0 },
            credit: 0,
        }
    }

    pub(crate) fn get(&self, place: TextPlace) -> &[u8] {
        self.chunks[place.chunk as usize].text(place.offset)
    }

    /// Adds a text, at most `u16::MAX` bytes, for an owner: any number but `u32::MAX`.
    pub(crate) fn insert(&mut self, text: &[u8], owner: u32) -> TextPlace {
        let length = u32::from(u16::try_from(text.len()).expect("a name's limit is a `u16`"));
        let place = self.place_for(Self::HEADER + length);
        let chunk = &mut self.chunks[place.chunk as usize];
        chunk.set_word(place.offset, length);
        let from = (place.offset + Self::HEADER) as usize;
        chunk.bytes[from..from + text.len()].copy_from_slice(text);
        self.set_owner(place, owner);
        place
    }

    /// Says whose a text is.
    pub(crate) fn set_owner(&mut self, place: TextPlace, owner: u32) {
        assert!(owner != Self::GONE, "an owner's number is below the highest");
        self.chunks[place.chunk as usize].set_word(place.offset + 4, owner);
    }

    /// Room for a record.
    fn place_for(&mut self, bytes: u32) -> TextPlace {
        let has_room = |number: &u32| {
            let chunk = &self.chunks[*number as usize];
            chunk.bytes.len() as u32 - chunk.end >= bytes
        };
        let number = match self.open.filter(has_room) {
            Some(open) => open,
            None => self.add_chunk(bytes),
        };
        let chunk = &mut self.chunks[number as usize];
        let place = TextPlace { chunk: number, offset: chunk.end };
        chunk.end += bytes;
        chunk.used += bytes;
        self.used += u64::from(bytes);
        place
    }

    /// Adds a chunk with room for a record, and opens it unless the record fills it.
    fn add_chunk(&mut self, bytes: u32) -> u32 {
        let number = self.bare.pop().unwrap_or_else(|| {
            self.chunks.push(TextChunk::default());
            self.chunks.len() as u32 - 1
        });
        let capacity = self.chunk_bytes.max(bytes);
        self.chunks[number as usize].bytes = vec![0; capacity as usize].into_boxed_slice();
        if bytes < self.chunk_bytes {
            // Something in the chunk that was open is used: an unused one begins anew and has room for this record.
            self.open = Some(number);
        }
        number
    }

    /// Removes a text. Then moves others together, if much is gone: `moved` gets the owner and the new place of each.
    pub(crate) fn remove(&mut self, place: TextPlace, moved: impl FnMut(u32, TextPlace)) {
        let bytes = self.forget(place);
        if self.is_dense() {
            self.credit = 0;
            return;
        }
        self.credit += u64::from(bytes) * Self::CREDIT;
        self.move_together(moved);
    }

    /// Removes a record. Returns its bytes.
    fn forget(&mut self, place: TextPlace) -> u32 {
        let chunk = &mut self.chunks[place.chunk as usize];
        let (bytes, owner) = chunk.record(place.offset);
        assert!(owner != Self::GONE, "a text is removed once");
        chunk.set_word(place.offset + 4, Self::GONE);
        chunk.used -= bytes;
        self.used -= u64::from(bytes);
        self.gone += u64::from(bytes);
        self.release_unused(place.chunk);
        bytes
    }

    /// If nothing in a chunk is used, gives its memory back, or begins it anew if it is open.
    fn release_unused(&mut self, number: u32) {
        let chunk = &mut self.chunks[number as usize];
        if chunk.used > 0 || chunk.bytes.is_empty() {
            return;
        }
        self.gone -= u64::from(chunk.end);
        chunk.end = 0;
        if self.cursor.chunk == number {
            self.cursor.offset = 0;
        }
        if self.open != Some(number) {
            mark!(TextsGaveMemoryBack);
            chunk.bytes = Box::default();
            self.bare.push(number);
        }
    }

    /// Whether little enough is gone: a quarter of what is in use, and one chunk.
    fn is_dense(&self) -> bool {
        self.gone <= self.used / 4 + u64::from(self.chunk_bytes)
    }

    /// Goes round the chunks and moves out of them what is in use, as far as the credit goes. There is always something
    /// to be found: if every other chunk were dense, all would be.
    fn move_together(&mut self, mut moved: impl FnMut(u32, TextPlace)) {
        while !self.is_dense() {
            let TextPlace { chunk: number, offset } = self.cursor;
            let Some(chunk) = self.chunks.get(number as usize) else {
                self.cursor = TextPlace { chunk: 0, offset: 0 };
                continue;
            };
            let is_passed_over = self.open == Some(number) || (offset == 0 && chunk.is_dense());
            let record = (offset < chunk.end && !is_passed_over).then(|| chunk.record(offset));
            let cost = match record {
                Some((bytes, owner)) if owner != Self::GONE => u64::from(bytes).max(Self::STEP),
                _ => Self::STEP,
            };
            if self.credit < cost {
                return;
            }
            self.credit -= cost;
            let Some((bytes, owner)) = record else {
                self.cursor = TextPlace { chunk: number + 1, offset: 0 };
                continue;
            };
            self.cursor.offset += bytes;
            if owner != Self::GONE {
                mark!(TextWasMoved);
                let from = TextPlace { chunk: number, offset };
                moved(owner, self.move_away(from, bytes));
            }
        }
        self.credit = 0;
    }

    /// Moves a record to the end of the open chunk.
    fn move_away(&mut self, from: TextPlace, bytes: u32) -> TextPlace {
        let to = self.place_for(bytes);
        let (source, target) = (from.offset as usize, to.offset as usize);
        let [source_chunk, target_chunk] = self
            .chunks
            .get_disjoint_mut([from.chunk as usize, to.chunk as usize])
            .expect("an open chunk is not moved away");
        let bytes = bytes as usize;
        target_chunk.bytes[target..target + bytes]
            .copy_from_slice(&source_chunk.bytes[source..source + bytes]);
        self.forget(from);
        to
    }

    /// Bytes of all chunks.
    #[cfg(test)]
    fn allocated(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum()
    }

    /// Checks what is counted. `places` are all places that are in use, with their owners.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check(&self, places: impl Iterator<Item = (u32, TextPlace)>) -> Result<(), String> {
        let (mut used, mut in_use) = (0, 0);
        for (owner, place) in places {
            let Some(chunk) = self.chunks.get(place.chunk as usize).filter(|chunk| place.offset < chunk.end)
            else {
                return Err(format!("{place:?} is nowhere"));
            };
            let (bytes, of) = chunk.record(place.offset);
            if of != owner {
                return Err(format!("{place:?} is {of}'s, not {owner}'s"));
            }
            (used, in_use) = (used + u64::from(bytes), in_use + 1);
        }
        let (mut gone, mut found) = (0, 0);
        for (number, chunk) in (0..).zip(&self.chunks) {
            let (mut at, mut used_here) = (0, 0);
            let mut cursor_fits = self.cursor.chunk != number || self.cursor.offset == 0;
            while at < chunk.end {
                let (bytes, owner) = chunk.record(at);
                (gone, found) =
                    if owner == Self::GONE { (gone + u64::from(bytes), found) } else { (gone, found + 1) };
                used_here += if owner == Self::GONE { 0 } else { bytes };
                at += bytes;
                cursor_fits |= self.cursor.offset == at;
            }
            if at != chunk.end || used_here != chunk.used || !cursor_fits {
                return Err(format!("chunk {number}: {used_here} of {at} bytes are in use, not as counted"));
            }
            let is_bare = self.bare.contains(&number);
            if is_bare != chunk.bytes.is_empty() || (chunk.used == 0 && !is_bare && self.open != Some(number))
            {
                return Err(format!("chunk {number} has memory, or not, against what is noted"));
            }
        }
        if (used, in_use, gone) == (self.used, found, self.gone) {
            Ok(())
        } else {
            Err(format!("{used} bytes of {in_use} texts are in use, {gone} bytes are gone, not as counted"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;

    /// Texts by owner, in the store and as they must be.
    struct Both {
        texts: Texts,
        places: BTreeMap<u32, TextPlace>,
        model: BTreeMap<u32, Vec<u8>>,
    }

    impl Both {
        fn new(chunk_bytes: u32) -> Self {
            Self { texts: Texts::new(chunk_bytes), places: BTreeMap::new(), model: BTreeMap::new() }
        }

        fn insert(&mut self, owner: u32, text: Vec<u8>) {
            self.places.insert(owner, self.texts.insert(&text, owner));
            self.model.insert(owner, text);
        }

        /// Returns how many texts were moved.
        fn remove(&mut self, owner: u32) -> u64 {
            self.model.remove(&owner);
            let place = self.places.remove(&owner).expect("inserted");
            let (places, mut moved) = (&mut self.places, 0);
            self.texts.remove(place, |owner, place| {
                assert!(places.insert(owner, place).is_some(), "only what is in use is moved");
                moved += 1;
            });
            moved
        }

        /// Bytes of all records in use.
        fn used(&self) -> u64 {
            self.model.values().map(|text| text.len() as u64 + 8).sum()
        }

        fn check(&self) {
            assert_eq!(self.texts.check(self.places.iter().map(|(owner, place)| (*owner, *place))), Ok(()));
            for (owner, text) in &self.model {
                assert_eq!(self.texts.get(self.places[owner]), text);
            }
        }
    }

    quickcheck! {
        /// Goal: a store behaves as a map from owners to texts, wherever it moves them. Method: a random run of inserts
        /// and removals, beside a `BTreeMap`. Chunks have room for a few texts, and some texts are longer than a chunk.
        fn behaves_as_a_map(steps: Vec<(bool, u8, u8)>) -> bool {
            let mut both = Both::new(64);
            for (owner, (insert, length, nth)) in (0..).zip(steps) {
                if insert || both.model.is_empty() {
                    both.insert(owner, vec![owner as u8; usize::from(length % 80)]);
                } else {
                    let nth = usize::from(nth) % both.model.len();
                    both.remove(*both.model.keys().nth(nth).unwrap());
                }
                both.check();
            }
            true
        }
    }

    /// Inserts many texts, then removes all but some, in this order.
    fn thinned(chunk_bytes: u32, stays: impl Fn(u32) -> bool, order: impl Iterator<Item = u32>) -> Both {
        const TEXTS: u32 = 20_000;
        let mut both = Both::new(chunk_bytes);
        for owner in 0..TEXTS {
            both.insert(owner, vec![owner as u8; 30 + owner as usize % 90]);
        }
        for owner in order.take(TEXTS as usize).filter(|owner| !stays(*owner)) {
            both.remove(owner);
            let Texts { used, gone, .. } = both.texts;
            assert!(gone <= used / 2 + 4 * u64::from(chunk_bytes), "{used} bytes in use, {gone} are gone");
        }
        both.check();
        both
    }

    #[test]
    fn memory_comes_back_whoever_stays() {
        for (name, every) in
            [("none", u32::MAX), ("each second", 2), ("each tenth", 10), ("each 1000th", 1000)]
        {
            let stays = |owner| every < u32::MAX && owner % every == 0;
            // 7,919 has no factor in common with the number of texts.
            let scattered = (0_u32..).map(|step| step * 7_919 % 20_000);
            for both in [
                thinned(4096, stays, 0..20_000),
                thinned(4096, stays, (0..20_000).rev()),
                thinned(4096, stays, scattered),
            ] {
                let (allocated, most) = (both.texts.allocated(), both.used() * 3 / 2 + 4 * 4096);
                assert!(allocated <= most, "{name}: {allocated} bytes for {}", both.used());
            }
        }
    }

    #[test]
    fn a_removal_moves_only_a_few_bytes() {
        // The first texts of all chunks stay, or two thirds of each large chunk: hundreds of records must be moved
        // before its memory comes back.
        for (chunk_bytes, every, stays) in [(4096, 37, [0].as_slice()), (1 << 16, 3, &[1, 2])] {
            let mut both = Both::new(chunk_bytes);
            for owner in 0..20_000 {
                both.insert(owner, vec![7; 100]);
            }
            let mut all = 0;
            for owner in (0..20_000).filter(|owner| !stays.contains(&(owner % every))) {
                let moved = both.remove(owner) * 108;
                // What it may move, and what an earlier one left because it was less than a record.
                assert!(moved <= 108 * Texts::CREDIT + 108, "{moved} bytes");
                all += moved;
            }
            assert!(all > 0, "nothing was moved");
            both.check();
        }
    }

    #[test]
    fn nothing_is_moved_before_much_is_gone() {
        let mut both = Both::new(4096);
        for owner in 0..2000 {
            both.insert(owner, vec![7; 92]);
        }
        // No chunk loses all its texts. So all that was removed is gone and still there.
        let removed = (0..2000).step_by(3).take_while(|owner| both.remove(*owner) == 0).count() + 1;
        let much = (1..2000).find(|gone| gone * 100 > (2000 - gone) * 100 / 4 + 4096);
        assert_eq!(Some(removed), much);
    }

    #[test]
    fn chunks_are_filled_to_their_ends() {
        let mut both = Both::new(64);
        let mut insert = |owner: u32, record: usize| {
            both.insert(owner, vec![owner as u8; record - 8]);
            both.check();
            both.texts.allocated()
        };
        assert_eq!([insert(1, 32), insert(2, 32)], [64, 64]);
        // What fills a chunk leaves the open one open.
        assert_eq!([insert(3, 32), insert(4, 64), insert(5, 32)], [128, 192, 192]);
    }

    #[test]
    #[should_panic(expected = "removed once")]
    fn a_text_is_not_removed_twice() {
        let mut texts = Texts::new(64);
        texts.insert(b"stays", 1);
        let place = texts.insert(b"goes", 2);
        texts.remove(place, |_, _| {});
        texts.remove(place, |_, _| {});
    }
}
