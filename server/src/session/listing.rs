//! Listings: read from the machine a slice at a time, merged and sent a piece at a time, so that neither
//! the hub's lock nor this thread is ever held for long, and memory has a bound.

use super::{End, MAX_UNSENT, Session};
use crate::gate::Gate;
use elockd_core::Scan;
use elockd_core::wire::listing::{Slice, Text, write_too_large};
use elockd_core::{bug, mark};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;

/// Rows that are merged before other connections have their turn.
const ROWS_PER_TURN: usize = 256;

impl<S: AsyncRead + AsyncWrite + Unpin, G: Gate> Session<S, G> {
    /// Answers with a listing.
    pub(super) async fn list(&mut self, mut scan: Scan) -> Result<(), End> {
        let shared = self.shared.clone();
        let mut reservation = Reservation::new(&shared.listing_bytes);
        let mut text = Text::new(scan.subject());
        while !scan.is_done() {
            let mut slice = Slice::new(&scan);
            shared.gate.hub().scan(&mut scan, &mut slice);
            if !reservation.grow(slice.weight(), shared.tunables().max_listing_bytes) {
                mark!(ListingWasTooLarge);
                shared.listings_refused.fetch_add(1, Ordering::Relaxed);
                drop(text);
                drop(reservation);
                write_too_large(scan.subject(), self.unsent());
                return self.send_all().await;
            }
            text.add(slice);
            if !scan.is_done() {
                mark!(ListingTookSlices);
            }
            yield_now().await;
        }
        let mut has_more = true;
        while has_more {
            has_more = text.piece(ROWS_PER_TURN, self.unsent());
            if !has_more || self.unsent_len() >= MAX_UNSENT {
                self.send_all().await?;
            }
            yield_now().await;
        }
        Ok(())
    }
}

/// A share of the bytes that all listings may take together, given back when dropped.
struct Reservation<'a> {
    total: &'a AtomicUsize,
    own: usize,
}

impl<'a> Reservation<'a> {
    fn new(total: &'a AtomicUsize) -> Self {
        Self { total, own: 0 }
    }

    /// Takes more, unless the total would pass `limit`.
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
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !bug!(ListingBudgetLeaks) {
            self.total.fetch_sub(self.own, Ordering::Relaxed);
        }
    }
}
