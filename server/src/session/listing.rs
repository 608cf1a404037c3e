//! Listings. They are read from the machine a slice at a time, and merged and sent a piece at a time. So the hub's lock
//! and this thread are never held for long, and memory has a bound.

use super::serving::give_way;
use super::state::State;
use super::{MAX_UNSENT, Session};
use crate::gate::{Gate, GateHandle};
use crate::listen::Stream;
use crate::shared::Shared;
use elockd_core::wire::listing::{Slice, Text, write_too_large};
use elockd_core::{Account, Scan};
use elockd_core::{bug, mark};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// Rows that are merged before other connections have their turn. Fewer if they are `MAX_UNSENT` bytes before.
const ROWS_PER_TURN: usize = 256;

/// A listing in progress.
pub(super) struct Listing {
    stage: Stage,
    text: Text,
    reservation: Reservation,
}

impl Listing {
    /// Whether nothing of it was written yet.
    pub(super) fn has_no_text(&self) -> bool {
        matches!(self.stage, Stage::Collecting(_))
    }
}

/// ```text
///                all slices are in          enough is unsent, or it was the last piece
///   Collecting -------------------> Printing ----------------------------> Sending ---> over
///       |                              ^                                    ^   |
///       |                              +---- all is sent, there is more ----|---+
///       +--------------------- too large -----------------------------------+
/// ```
enum Stage {
    /// Slices are read from the machine.
    Collecting(Scan),
    /// Pieces of the text are added to the replies.
    Printing,
    /// Nothing more is printed until all replies are sent.
    Sending {
        /// Whether there is more to print then.
        has_more: bool,
    },
}

impl<S: Stream, G: Gate> Session<S, G> {
    /// Begins to collect and send a listing.
    pub(super) fn begin_listing(&self, scan: Scan) -> Listing {
        let text = Text::new(scan.subject());
        let scan = match &self.asker {
            Some(asker) => scan.seen_by(asker.account()),
            None => scan,
        };
        let is_operator = self.handle.account() == Account::ADMIN;
        let Shared { listing_bytes, operators_listing_bytes, .. } = &*self.shared;
        let total = if is_operator { operators_listing_bytes } else { listing_bytes };
        let reservation = Reservation::new(Arc::clone(total));
        Listing { stage: Stage::Collecting(scan), text, reservation }
    }

    /// Answers with the listing in progress. Ready when all of it is sent, or the connection ends.
    pub(super) fn poll_listing(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        loop {
            let State::Listing(listing) = &mut self.state else { panic!("no listing is in progress") };
            let Listing { stage, text, reservation } = &mut **listing;
            match stage {
                Stage::Collecting(scan) if scan.is_done() => *stage = Stage::Printing,
                Stage::Collecting(scan) => {
                    let mut slice = Slice::new(scan);
                    self.shared.gate.hub().scan(scan, &mut slice);
                    let packed = slice.pack();
                    if reservation.grow(packed.memory(), self.shared.tunables().max_listing_bytes) {
                        text.add(packed);
                        if !scan.is_done() {
                            mark!(ListingTookSlices);
                        }
                        return give_way(cx);
                    }
                    mark!(ListingWasTooLarge);
                    self.shared.listings_refused.fetch_add(1, Ordering::Relaxed);
                    let subject = scan.subject();
                    *text = Text::new(subject);
                    reservation.give_back();
                    *stage = Stage::Sending { has_more: false };
                    write_too_large(subject, self.unsent());
                }
                Stage::Printing => {
                    let unsent = &mut self.backlog.get_or_insert_default().unsent;
                    let room = MAX_UNSENT.saturating_sub(unsent.rest().len());
                    let full = unsent.tail().len() + room;
                    let has_more = text.piece(ROWS_PER_TURN, full, unsent.tail());
                    if has_more && unsent.rest().len() < MAX_UNSENT {
                        return give_way(cx);
                    }
                    *stage = Stage::Sending { has_more };
                }
                Stage::Sending { has_more } => {
                    let has_more = *has_more;
                    if let Err(end) = ready!(self.poll_send_all(cx)) {
                        return Poll::Ready(self.finish(end));
                    }
                    if !has_more {
                        return Poll::Ready(State::Running);
                    }
                    if let State::Listing(listing) = &mut self.state {
                        listing.stage = Stage::Printing;
                    }
                    return give_way(cx);
                }
            }
        }
    }
}

/// A share of the bytes that all listings of clients, or all of operators, may take together. If it is dropped, they
/// are given back.
struct Reservation {
    total: Arc<AtomicUsize>,
    own: usize,
}

impl Reservation {
    fn new(total: Arc<AtomicUsize>) -> Self {
        Self { total, own: 0 }
    }

    /// Takes more, unless the total would exceed `limit`. Returns whether it did.
    fn grow(&mut self, bytes: usize, limit: usize) -> bool {
        let taken = self
            .total
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                total.checked_add(bytes).filter(|total| *total <= limit)
            })
            .is_ok();
        self.own += if taken { bytes } else { 0 };
        taken
    }

    /// Gives all of it back.
    fn give_back(&mut self) {
        let own = std::mem::take(&mut self.own);
        if !bug!(ListingBudgetLeaks) {
            self.total.fetch_sub(own, Ordering::Relaxed);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}
