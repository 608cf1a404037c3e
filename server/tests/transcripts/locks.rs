//! Getting, releasing and inspecting locks of both kinds.

use crate::Step::{Leave, Say, Shut};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "an exclusive lock has one holder",
        flags: &[],
        steps: &[
            Say('A', b"i foo\n", b"0 Lock Not Locked: foo\n"),
            Say('A', b"g foo\ng foo\ng foo\n", b"{3*1 Lock Get Success: foo\n}"),
            Say('A', b"i foo\n", b"1 Lock Is Locked: foo\n"),
            Say('B', b"i foo\ng foo\n", b"1 Lock Is Locked: foo\n0 Lock Get Failure: foo\n"),
            Say('B', b"r foo\ni foo\n", b"0 Lock Release Failure: foo\n1 Lock Is Locked: foo\n"),
            Say('A', b"r foo\nr foo\n", b"1 Lock Release Success: foo\n0 Lock Release Failure: foo\n"),
            Say('B', b"i foo\nr foo\n", b"0 Lock Not Locked: foo\n0 Lock Release Failure: foo\n"),
            Say('B', b"g foo\n", b"1 Lock Get Success: foo\n"),
            Say('A', b"g foo\nr foo\n", b"0 Lock Get Failure: foo\n0 Lock Release Failure: foo\n"),
        ],
    },
    Transcript {
        title: "a shared lock counts its holders",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"si foo\nsr foo\n",
                b"0 Shared Lock Not Locked: foo\n0 Shared Lock Release Failure: foo\n",
            ),
            Say('A', b"sg foo\nsg foo\n", b"{2*1 Shared Lock Get Success: foo\n}"),
            Say(
                'B',
                b"si foo\nsr foo\n",
                b"1 Shared Lock Is Locked: foo\n0 Shared Lock Release Failure: foo\n",
            ),
            Say('B', b"sg foo\nsg foo\n", b"{2*2 Shared Lock Get Success: foo\n}"),
            Say('C', b"si foo\nsg foo\n", b"2 Shared Lock Is Locked: foo\n3 Shared Lock Get Success: foo\n"),
            Say('A', b"sg foo\nsi foo\n", b"3 Shared Lock Get Success: foo\n3 Shared Lock Is Locked: foo\n"),
            Say(
                'B',
                b"sr foo\nsr foo\n",
                b"1 Shared Lock Release Success: foo\n0 Shared Lock Release Failure: foo\n",
            ),
            Say(
                'A',
                b"si foo\nsr foo\n",
                b"2 Shared Lock Is Locked: foo\n1 Shared Lock Release Success: foo\n",
            ),
            Say('B', b"si foo\nsg foo\n", b"1 Shared Lock Is Locked: foo\n2 Shared Lock Get Success: foo\n"),
            Say(
                'C',
                b"sr foo\nsi foo\n",
                b"1 Shared Lock Release Success: foo\n1 Shared Lock Is Locked: foo\n",
            ),
            Say(
                'B',
                b"sr foo\nsi foo\n",
                b"1 Shared Lock Release Success: foo\n0 Shared Lock Not Locked: foo\n",
            ),
        ],
    },
    Transcript {
        title: "exclusive and shared locks of one name have nothing to do with each other",
        flags: &[],
        steps: &[
            Say('A', b"g foo\n", b"1 Lock Get Success: foo\n"),
            Say('B', b"si foo\nsg foo\n", b"0 Shared Lock Not Locked: foo\n1 Shared Lock Get Success: foo\n"),
            Say(
                'A',
                b"sr foo\nsg foo\n",
                b"0 Shared Lock Release Failure: foo\n2 Shared Lock Get Success: foo\n",
            ),
            Say('B', b"r foo\ng foo\n", b"0 Lock Release Failure: foo\n0 Lock Get Failure: foo\n"),
            Say('A', b"r foo\nsi foo\n", b"1 Lock Release Success: foo\n2 Shared Lock Is Locked: foo\n"),
            Say('B', b"i foo\ng foo\n", b"0 Lock Not Locked: foo\n1 Lock Get Success: foo\n"),
            Say('B', b"sr foo\ni foo\n", b"1 Shared Lock Release Success: foo\n1 Lock Is Locked: foo\n"),
            Say('A', b"si foo\n", b"1 Shared Lock Is Locked: foo\n"),
        ],
    },
    Transcript {
        title: "a connection's end releases all it holds, and only that",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"g a\nsg s\nsg t\n",
                b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n1 Shared Lock Get Success: t\n",
            ),
            Say(
                'B',
                b"g b\nsg s\ng a\n",
                b"1 Lock Get Success: b\n2 Shared Lock Get Success: s\n0 Lock Get Failure: a\n",
            ),
            Leave('A', b"i a\n", b"1 Lock Is Locked: a\n"),
            Say('B', b"i a\ni b\n", b"0 Lock Not Locked: a\n1 Lock Is Locked: b\n"),
            Say('B', b"si s\nsi t\n", b"1 Shared Lock Is Locked: s\n0 Shared Lock Not Locked: t\n"),
            Say('B', b"g a\nsg t\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: t\n"),
            Say(
                'A',
                b"g a\nsg s\nsg t\n",
                b"0 Lock Get Failure: a\n2 Shared Lock Get Success: s\n2 Shared Lock Get Success: t\n",
            ),
        ],
    },
    Transcript {
        title: "quit releases everything and closes, and what follows it is not run",
        flags: &[],
        steps: &[
            Say('A', b"g a\nsg s\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
            Say('B', b"g a\n", b"0 Lock Get Failure: a\n"),
            Shut('A', b"ping\nquit\n", b"1 pong\n"),
            Say('B', b"g a\nsg s\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
            Shut('B', b" quit \r\n", b""),
            Say('C', b"i a\nsi s\n", b"0 Lock Not Locked: a\n0 Shared Lock Not Locked: s\n"),
        ],
    },
    Transcript {
        title: "ping is answered",
        flags: &[],
        steps: &[Say('A', b"ping\n", b"1 pong\n"), Say('A', b"ping\nping\r\n", b"1 pong\n1 pong\n")],
    },
];
