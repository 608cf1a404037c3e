//! One of so many places, each with a number of its own.

use crate::client::{Client, on_a_link};
use crate::error::Error;
use crate::guard::{Guard, Guards};
use crate::hold::Proof;
use crate::link::{Link, Patience, Want};
use crate::lost::Lost;
use crate::name::folded;
use crate::transport::Transport;
use elockd_core::Kind;
use std::time::Duration;

/// How often all places are tried. One of them must be free, unless somebody gets their names in another way.
const ROUNDS: u32 = 3;

/// A place: two locks on one connection, a share of the lock `NAME` and the lock `NAME#INDEX`.
///
/// Dropping it releases both in the background.
#[derive(Debug)]
#[must_use = "the slot is released when it is dropped"]
pub struct Slot {
    index: u32,
    guards: Guards,
}

impl<T: Transport> Client<T> {
    /// One of `count` places with a number of its own, which nobody else has at the same time: a graphics card of
    /// several, or a worker's number. All who ask for it must name the same count.
    ///
    /// With `wait` it waits in line for up to so long, and without it not at all.
    ///
    /// # Errors
    ///
    /// As [`LockRequest::wait`](crate::LockRequest::wait). [`Error::BadSetting`] if `count` is 0.
    ///
    /// ```no_run
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// let card = client.slot("gpu", 4, None).await?;
    /// println!("computing on card {}", card.index());
    /// card.release().await
    /// # }
    /// ```
    pub async fn slot(
        &self,
        name: impl AsRef<[u8]>,
        count: u32,
        wait: Option<Duration>,
    ) -> Result<Slot, Error> {
        if count == 0 {
            return Err(Error::BadSetting("a slot is one of at least 1"));
        }
        let share = Want { name: folded(name)?, kind: Kind::Shared, limit: count };
        let patience = wait.map_or(Patience::None, Patience::of);
        let shared = &self.shared;
        let linger = shared.settings.linger;
        let (link, result) = on_a_link!(shared, None, patience, link => {
            link.get_slot(&share, patience, linger).await
        });
        match result {
            Ok((index, wants, proofs)) => {
                Ok(Slot { index, guards: Guards::new(shared.hold(link, &wants, proofs)) })
            }
            Err(error) => {
                shared.put_back(link, Some(&error)).await;
                Err(error)
            }
        }
    }
}

impl<T: Transport> Link<T> {
    /// Gets a share, and then a place that is free. Returns its number, and both locks with their proofs.
    async fn get_slot(
        &mut self,
        share: &Want,
        patience: Patience,
        linger: Option<Duration>,
    ) -> Result<(u32, [Want; 2], Vec<Proof>), Error> {
        if let Err(error) = self.get(share, patience).await {
            return Err(self.undo(share, error, false).await);
        }
        let mut result = Error::Held { by: None, since: None };
        for index in (0..ROUNDS).flat_map(|_| 0..share.limit) {
            let name = [&share.name[..], format!("#{index}").as_bytes()].concat();
            let place = Want { name, kind: Kind::Exclusive, limit: 0 };
            match self.get(&place, Patience::None).await {
                Ok(_) => {
                    // The place is released first, so that whoever gets the share finds a place that is free.
                    let wants = [place, share.clone()];
                    let proofs = self.settle(&wants, Vec::new(), linger).await?;
                    return Ok((index, wants, proofs));
                }
                Err(Error::Held { .. }) => {}
                Err(error) => {
                    result = error;
                    break;
                }
            }
        }
        Err(self.undo(share, result, true).await)
    }
}

impl Slot {
    /// Its number, from 0 on.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The guard of the lock `NAME#INDEX`. Its fencing token is the slot's.
    pub fn guard(&self) -> &Guard {
        self.guards.iter().next().expect("a slot has two guards")
    }

    /// The fencing token.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.guard().token()
    }

    /// As [`Guard::is_held`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.guards.is_held()
    }

    /// As [`Guard::lost`].
    pub async fn lost(&self) -> Lost {
        self.guards.lost().await
    }

    /// As [`Guard::release`].
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if it was not held until now.
    pub async fn release(self) -> Result<(), Error> {
        self.guards.release().await
    }
}
