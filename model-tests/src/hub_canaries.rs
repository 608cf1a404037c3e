//! Which model of `tests/hub_under_loom.rs` is meant to find which of the hub's canaries.

use elockd_core::canary::Canary;

/// The environment variable by which a process of the models is told which canary to plant.
pub const VARIABLE: &str = "ELOCKD_CANARY";

/// Each canary of the hub, and the model that has to fail with it.
pub const ALL: [(Canary, &str); 4] = [
    (Canary::WakerRegisteredLate, "a_mailbox_is_filled_while_its_owner_looks"),
    (Canary::OpenedWhileDrainingIsNotTold, "a_connection_opens_while_the_hub_drains"),
    (Canary::TickerNotWoken, "something_falls_due_while_the_ticker_goes_to_sleep"),
    (Canary::DroppedHandleStaysOpen, "a_connection_opens_while_the_hub_drains"),
];
