//! `d`, `sd`, `dump` and `dump shared`.

use crate::Step::{Leave, Say};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "empty listings",
        flags: &[],
        steps: &[
            Say('A', b"d\nsd\n", b"\n\n"),
            Say('A', b"d foo\nsd foo\n", b"\n\n"),
            Say('A', b"dump\ndump shared\n", b"map[]\nmap[]\n"),
            Say('A', b"who\nwho foo\n", b"\n\n"),
            Say(
                'A',
                b"g foo\nr foo\nd\nd foo\n",
                b"1 Lock Get Success: foo\n1 Lock Release Success: foo\n\n\n",
            ),
            Say('A', b"sg foo\nd\ndump\n", b"1 Shared Lock Get Success: foo\n\nmap[]\n"),
            Say(
                'A',
                b"sr foo\ng foo\nsd\ndump shared\n",
                b"1 Shared Lock Release Success: foo\n1 Lock Get Success: foo\n\nmap[]\n",
            ),
        ],
    },
    Transcript {
        title: "exclusive locks are listed by name with their holders",
        flags: &[],
        steps: &[
            Say('A', b"g b\ng a\n", b"1 Lock Get Success: b\n1 Lock Get Success: a\n"),
            Say(
                'B',
                b"g ab\ng B\ng b 2\n",
                b"1 Lock Get Success: ab\n1 Lock Get Success: B\n1 Lock Get Success: b 2\n",
            ),
            Say('A', b"d\n", b"B: {B}\na: {A}\nab: {B}\nb: {A}\nb 2: {B}\n\n"),
            Say('B', b"d\n", b"B: {B}\na: {A}\nab: {B}\nb: {A}\nb 2: {B}\n\n"),
            Say('A', b"dump\n", b"map[B:{B} a:{A} ab:{B} b:{A} b 2:{B}]\n"),
            Say('A', b"d a\nd b 2\nd c\n", b"a: {A}\n\nb 2: {B}\n\n\n"),
            Leave('B', b"d ab\n", b"ab: {B}\n\n"),
            Say('A', b"d\ndump\n", b"a: {A}\nb: {A}\n\nmap[a:{A} b:{A}]\n"),
        ],
    },
    Transcript {
        title: "shared locks are listed by name with their holders in the order they got it",
        flags: &[],
        steps: &[
            Say('B', b"sg y\nsg x\n", b"1 Shared Lock Get Success: y\n1 Shared Lock Get Success: x\n"),
            Say('C', b"sg x\n", b"2 Shared Lock Get Success: x\n"),
            Say('A', b"sg x\nsg z\n", b"3 Shared Lock Get Success: x\n1 Shared Lock Get Success: z\n"),
            Say('A', b"sd\n", b"x: {B}\nx: {C}\nx: {A}\ny: {B}\nz: {A}\n\n"),
            Say('A', b"sd x\nsd y\n", b"x: {B}\nx: {C}\nx: {A}\n\ny: {B}\n\n"),
            Say('A', b"dump shared\n", b"map[x:[{B} {C} {A}] y:[{B}] z:[{A}]]\n"),
            // To get it again changes nothing, to get it anew does.
            Say('B', b"sg x\nsd x\n", b"3 Shared Lock Get Success: x\nx: {B}\nx: {C}\nx: {A}\n\n"),
            Say('B', b"sr x\nsg x\n", b"1 Shared Lock Release Success: x\n3 Shared Lock Get Success: x\n"),
            Say('A', b"sd x\n", b"x: {C}\nx: {A}\nx: {B}\n\n"),
            Leave('C', b"", b""),
            Say('A', b"sd\n", b"x: {A}\nx: {B}\ny: {B}\nz: {A}\n\n"),
            Say(
                'A',
                b"sr x\ndump shared\n",
                b"1 Shared Lock Release Success: x\nmap[x:[{B}] y:[{B}] z:[{A}]]\n",
            ),
        ],
    },
    Transcript {
        title: "a registered holder is listed by its name, and dumped by its address",
        flags: &[],
        steps: &[
            Say('A', b"g a\nsg s\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
            Say('B', b"g b\nsg s\n", b"1 Lock Get Success: b\n2 Shared Lock Get Success: s\n"),
            Say('B', b"iam the second\n", b"1 ok\n"),
            Say('A', b"d\nsd\n", b"a: {A}\nb: the second\n\ns: {A}\ns: the second\n\n"),
            Say('A', b"d b\nsd s\n", b"b: the second\n\ns: {A}\ns: the second\n\n"),
            Say('A', b"dump\ndump shared\n", b"map[a:{A} b:{B}]\nmap[s:[{A} {B}]]\n"),
            Say('B', b"iam\n", b"1 ok\n"),
            Say('A', b"d\nsd\n", b"a: {A}\nb: {B}\n\ns: {A}\ns: {B}\n\n"),
        ],
    },
    Transcript {
        title: "dump looks for one word and overlooks others",
        flags: &[],
        steps: &[
            Say('A', b"g a\nsg s\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
            Say('A', b"dump exclusive\ndump s\ndump sharedx\n", b"map[a:{A}]\nmap[a:{A}]\nmap[a:{A}]\n"),
            Say(
                'A',
                b"dump \t shared \ndump all shared\ndump shared please\n",
                b"map[s:[{A}]]\nmap[s:[{A}]]\nmap[s:[{A}]]\n",
            ),
        ],
    },
];
