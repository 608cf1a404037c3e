//! A witness, for simulations: it sees each input of the machine, its outputs, and the machine itself. All of this
//! happens within the hub's lock, and so in the machine's own order. A witness changes nothing. Production has none,
//! and pays one comparison for each input.

use elockd_core::{Command, Conn, Input, Machine, Now, Output, Seq};

/// Sees every input. For each, the hub calls `input` once, `output` for every output, and `applied` once. If the
/// machine panics, the calls after that are left out.
pub trait Witness: Send {
    /// The machine is about to get an input.
    fn input(&mut self, now: Now, input: Input<Command<&[u8]>>);

    /// The input had this output for a connection.
    fn output(&mut self, to: Conn, output: &Output<'_>);

    /// The input was applied, and this is the machine after it.
    fn applied(&mut self, seq: Seq, machine: &Machine);
}
