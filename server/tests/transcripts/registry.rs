//! `me`, `iam` and `who`.

use crate::Step::{Leave, Say};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "a connection has its address for a name until it registers one",
        flags: &[],
        steps: &[
            Say('A', b"me\n", b"1 {A} {A}\n"),
            Say('A', b"iam worker\nme\n", b"1 ok\n1 {A} worker\n"),
            Say('B', b"me\n", b"1 {B} {B}\n"),
            Say('A', b"iam  a \t b\nme\n", b"1 ok\n1 {A} a b\n"),
            Say('A', b"iam\nme\n", b"1 ok\n1 {A} {A}\n"),
            Say('A', b"iam\niam \t\nme\n", b"1 ok\n1 ok\n1 {A} {A}\n"),
        ],
    },
    Transcript {
        title: "words after me change nothing",
        flags: &[],
        steps: &[Say('A', b"me myself and i\nme full\n", b"1 {A} {A}\n1 {A} {A}\n")],
    },
    Transcript {
        title: "who lists registered connections, the latest registration last",
        flags: &[],
        steps: &[
            Say('A', b"who\n", b"\n"),
            Say('C', b"iam z\nwho\n", b"1 ok\n{C}: z\n\n"),
            Say('A', b"who\niam y\nwho\n", b"{C}: z\n\n1 ok\n{C}: z\n{A}: y\n\n"),
            Say('B', b"iam z\n", b"1 ok\n"),
            Say(
                'A',
                b"who\nwho z\nwho y\nwho x\n",
                b"{C}: z\n{A}: y\n{B}: z\n\n{C}: z\n{B}: z\n\n{A}: y\n\n\n",
            ),
            Say('C', b"iam z\nwho z\n", b"1 ok\n{B}: z\n{C}: z\n\n"),
            Say('A', b"iam x\nwho\nwho y\n", b"1 ok\n{B}: z\n{C}: z\n{A}: x\n\n\n"),
            Leave('B', b"", b""),
            Say('A', b"who\n", b"{C}: z\n{A}: x\n\n"),
            Say('C', b"iam\nwho\n", b"1 ok\n{A}: x\n\n"),
        ],
    },
];
