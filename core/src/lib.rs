//! The heart of elockd: who gets a lock, and what the wire says about it.
//!
//! It has two parts, both pure: no I/O, no clock, no randomness, no threads. A driver passes in time and connection
//! numbers. The same inputs give the same outputs, byte for byte.
//!
//! * [`Machine`] takes `(now, input)` and pushes replies. Nothing else decides about locks.
//! * [`wire`] turns bytes into commands and replies into bytes.
//!
//! ```
//! use elockd_core::wire::{Decoder, encode};
//! use elockd_core::{Account, Addr, Config, Conn, DriverInput, Input, Machine, Now, Origin, Output};
//!
//! let mut machine = Machine::new(Config::default());
//! let mut wire = Vec::new();
//! let alice = Conn::new(0, 1);
//! let origin = Origin { addr: Addr::Unix(1), account: Account::default() };
//! machine.apply(Now(0), DriverInput::Opened(alice, origin), &mut |_, _| {});
//!
//! let mut decoder = Decoder::new(8192);
//! let mut input: &[u8] = b"g cron.daily\n";
//! while let Some(command) = decoder.next(&mut input) {
//!     machine.apply(Now(1), Input::Command(alice, &command), &mut |_, output| {
//!         if let Output::Reply(reply) = output {
//!             encode(&reply, &mut wire);
//!         }
//!     });
//! }
//! assert_eq!(wire, b"1 Lock Get Success: cron.daily\n");
//! ```

#![forbid(unsafe_code)]

#[doc(hidden)]
#[macro_use]
pub mod probe;

mod accounts;
mod config;
mod inspect;
mod machine;
mod record;
pub mod replica;
mod settings;
mod storage;
mod table;
mod types;
pub mod wire;

/// The table of figures, for exporters and documentation.
pub mod figures {
    pub use crate::inspect::{Family, FigureRow, Metric, Nature, Part, Shown, rows};
}

pub use accounts::{Accounts, Profile, Quotas};
pub use config::{Config, Features, Identity, Limit, Limits, MAX_COUNT, MAX_TIME_MS, Secret, Storage, Unit};
pub use inspect::{Entry, Figure, Figures, OwnFigures, RestoreError, Scan, Violation};
pub use machine::{BorrowedInput, Cause, DriverInput, Input, Machine, Output, Reason};
pub use record::RecordError;
pub use settings::Settings;
pub use table::Times;
pub use types::{Account, Addr, Conn, Kind, Now, Origin, Seq};
pub use wire::{Command, Listing, Refusal, Reply, Right, Subject, Verb, VerbSet, Wish};
