//! Listings that clients received. Each must show what was held while it was made. A listing that was refused as too
//! large must have exceeded `--max-listing-bytes`.

use super::Finding;
use crate::history::{History, Place};
use crate::log::{Applied, Life, Told};
use crate::plan::Plan;
use elockd_core::{Account, Conn, Input, Reply};
use elockd_model_tests::listing::{Addrs, Truth};
use elockd_model_tests::reference::Reference;
use std::collections::{BTreeMap, BTreeSet};

/// The listings in one life of the server, checked along with the reference model.
pub(super) struct Listings<'a> {
    plan: &'a Plan,
    /// The result of each, by the place where it was asked for.
    fates: BTreeMap<Place, Fate>,
    addrs: Addrs,
    /// The connections of operators. Their listings have a budget of their own.
    operators: BTreeSet<Conn>,
    under_way: Vec<UnderWay>,
    done: Vec<Done>,
    /// The number of listings that were read and are right.
    pub(super) checked: u64,
}

/// The result of a listing: what its client read, if it read all of it, and until when the listing took memory.
struct Fate {
    text: Option<Vec<u8>>,
    until: Place,
}

/// A listing in progress.
struct UnderWay {
    conn: Conn,
    from: Place,
    fate: Fate,
    truth: Truth,
}

/// A listing that is finished, or was refused.
struct Done {
    conn: Conn,
    from: Place,
    until: Place,
    /// The most memory that it can have taken.
    most_bytes: usize,
    was_refused: bool,
}

impl<'a> Listings<'a> {
    pub(super) fn new(plan: &'a Plan, life: Life, history: &History) -> Self {
        let mut fates = BTreeMap::new();
        for connection in &history.connections {
            let Some(server) = connection.server.as_ref().filter(|server| server.life == life) else {
                continue;
            };
            let dropped = server.dropped.map_or(Place::MAX, |(place, _)| place);
            for (number, run) in server.commands.iter().enumerate() {
                let request = connection.client.as_ref().and_then(|client| client.requests.get(number));
                let fate = match request.and_then(|request| request.answer.clone()) {
                    Some((text, until)) => Fate { text: Some(text), until },
                    None => Fate { text: None, until: dropped },
                };
                fates.insert(run.applied, fate);
            }
        }
        Self {
            plan,
            fates,
            addrs: Addrs::new(),
            operators: BTreeSet::new(),
            under_way: Vec::new(),
            done: Vec::new(),
            checked: 0,
        }
    }

    /// Notes the state after an input.
    pub(super) fn witness(&mut self, place: Place, applied: &Applied, reference: &Reference) {
        if let Input::Opened(conn, origin) = &applied.input {
            self.addrs.insert(*conn, origin.addr.to_string());
            if origin.account == Account::ADMIN {
                self.operators.insert(*conn);
            }
        }
        for listing in &mut self.under_way {
            listing.truth.witness(reference, &self.addrs);
        }
        for (conn, told) in &applied.told {
            if let Told::Listing(subject, name) = told
                && let Some(fate) = self.fates.remove(&place)
            {
                let truth = Truth::seen_by(*conn, *subject, name.clone(), reference, &self.addrs);
                self.under_way.push(UnderWay { conn: *conn, from: place, fate, truth });
            }
        }
    }

    /// Checks the listings that were read before a place in the log.
    pub(super) fn finish_before(&mut self, place: Place) -> Result<(), Finding> {
        let is_over = |listing: &mut UnderWay| listing.fate.until < place || place == Place::MAX;
        for listing in self.under_way.extract_if(.., is_over) {
            let UnderWay { conn, from, fate: Fate { text, until }, truth } = listing;
            let refusal = text.as_deref().and_then(Reply::read);
            let was_refused = matches!(refusal, Some(Reply::TooLarge { .. }));
            if let Some(text) = text.filter(|_| !was_refused) {
                self.checked += 1;
                truth.check(&text, &self.addrs).map_err(|what| Finding {
                    place: until,
                    conn: Some(conn),
                    check: "listings are true",
                    what: format!("{conn:?} was sent a listing: {what}"),
                })?;
            }
            let most_bytes = truth.most_bytes(&self.addrs);
            self.done.push(Done { conn, from, until, most_bytes, was_refused });
        }
        Ok(())
    }

    /// Every refused listing was too large, together with all that were in progress beside it. Those of operators and
    /// those of clients are apart.
    pub(super) fn refusals_are_due(&self) -> Result<(), Finding> {
        for refused in self.done.iter().filter(|listing| listing.was_refused) {
            let is_operator = |listing: &Done| self.operators.contains(&listing.conn);
            let is_beside = |other: &&Done| {
                is_operator(other) == is_operator(refused)
                    && other.from <= refused.until
                    && other.until >= refused.from
            };
            let beside = self.done.iter().filter(is_beside);
            let most_bytes: usize = beside.map(|other| other.most_bytes).sum();
            let limit = self.plan.server.listing_bytes as usize;
            if most_bytes <= limit {
                let what = format!(
                    "{:?} was refused a listing with {most_bytes} bytes of listings under way, and {limit} may be",
                    refused.conn
                );
                return Err(Finding {
                    place: refused.from,
                    conn: Some(refused.conn),
                    check: "bounded",
                    what,
                });
            }
        }
        Ok(())
    }
}
