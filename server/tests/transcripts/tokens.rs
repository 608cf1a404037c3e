//! Fencing tokens, as far as they are the same at every run: what they are is for other tests.

use crate::Step::Say;
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[Transcript {
    title: "only the holder of an exclusive lock has a token",
    flags: &[],
    steps: &[
        Say('A', b"f foo\n", b"0 Lock Not Held: foo\n"),
        Say('A', b"sg foo\nf foo\n", b"1 Shared Lock Get Success: foo\n0 Lock Not Held: foo\n"),
        Say('A', b"g foo\n", b"1 Lock Get Success: foo\n"),
        Say('B', b"f foo\n", b"0 Lock Not Held: foo\n"),
    ],
}];
