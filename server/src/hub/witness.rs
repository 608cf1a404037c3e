//! A look over the hub's shoulder, for simulations: what the machine is given, what comes of it, and the
//! machine itself, all of it within the hub's lock and so in the machine's own order. It changes nothing;
//! production has no witness, and pays one comparison for an input.

use elockd_core::{Command, Conn, Input, Machine, Now, Output, Seq};

/// Sees every input. For each of them: `input` once, `output` for everything that comes of it, `applied`
/// once. A panic of the machine leaves out what would have come after it.
pub trait Witness: Send {
    /// The machine is about to be given an input.
    fn input(&mut self, now: Now, input: Input<Command<&[u8]>>);

    /// The input had this outcome for a connection.
    fn output(&mut self, to: Conn, output: &Output<'_>);

    /// The input was applied, and this is the machine after it.
    fn applied(&mut self, seq: Seq, machine: &Machine);
}
