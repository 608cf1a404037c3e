//! The harnesses that must find canaries and reach marks. The rows of both tables name them.

/// A part of the tests that runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harness {
    /// quickcheck, with the machine beside the reference model, and every invariant.
    Reference,
    /// The scripts in `model-tests/examples/`, one by one.
    Examples,
    /// The search of small worlds to their ends.
    Search,
    /// quickcheck, with a restored machine beside the original.
    Snapshots,
    /// quickcheck, with other inputs between the slices of a listing.
    Listings,
    /// quickcheck, with raw bytes.
    RawBytes,
    /// The model of this name in `model-tests/tests/hub_under_loom.rs`.
    Loom(&'static str),
    /// The simulation.
    Swarm,
    /// The simulation's watch for runs that do not end.
    Watchdog,
}
