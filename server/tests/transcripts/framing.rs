//! How lines are found, taken apart and answered.

use crate::Step::{Leave, Say};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "white space at both ends of a line is dropped",
        flags: &[],
        steps: &[
            Say('A', b"g foo\r\n", b"1 Lock Get Success: foo\n"),
            Say('A', b" i foo \n\ti foo\t\n", b"1 Lock Is Locked: foo\n1 Lock Is Locked: foo\n"),
            Say('A', b"\x0bi foo\x0b\n\x0ci foo\x0c\n", b"1 Lock Is Locked: foo\n1 Lock Is Locked: foo\n"),
            Say('A', b"\ri foo\r\n", b"1 Lock Is Locked: foo\n"),
            Say('A', b" \t\x0b\x0c\r i foo \t\x0b\x0c\r\n", b"1 Lock Is Locked: foo\n"),
            Say('A', b" ping\t\n\r\x0bme\x0c\n", b"1 pong\n1 {A} {A}\n"),
        ],
    },
    Transcript {
        title: "a verb ends at the first space, not at other white space",
        flags: &[],
        steps: &[
            Say('A', b"g\tfoo\n", b"0 Unknown Command: g\\x09foo\n"),
            Say('A', b"g\x0bfoo bar\n", b"0 Unknown Command: g\\x0bfoo\n"),
            Say('A', b"g\rfoo\n", b"0 Unknown Command: g\\x0dfoo\n"),
            Say('A', b"g \t\x0b\x0c\r foo\n", b"1 Lock Get Success: foo\n"),
            Say('A', b"gfoo\n", b"0 Unknown Command: gfoo\n"),
        ],
    },
    Transcript {
        title: "a run of white space in a name is one space",
        flags: &[],
        steps: &[
            Say('A', b"g one  two\n", b"1 Lock Get Success: one two\n"),
            Say('B', b"g one \t\x0b\x0c\r two\r\n", b"0 Lock Get Failure: one two\n"),
            Say('B', b"g one\ttwo\n", b"0 Lock Get Failure: one two\n"),
            Say('B', b"g one\x0btwo\x0cthree\rfour\n", b"1 Lock Get Success: one two three four\n"),
            Say('B', b"g onetwo\n", b"1 Lock Get Success: onetwo\n"),
            Say('A', b"sg  a \t b\n", b"1 Shared Lock Get Success: a b\n"),
            Say('A', b"si a    b\nd one\t two\n", b"1 Shared Lock Is Locked: a b\none two: {A}\n\n"),
            Say('A', b"iam  big\t\tone \nwho big \r one\n", b"1 ok\n{A}: big one\n\n"),
        ],
    },
    Transcript {
        title: "names are any bytes else",
        flags: &[],
        steps: &[
            Say('A', b"g a\0b\ng \0\n", b"1 Lock Get Success: a\0b\n1 Lock Get Success: \0\n"),
            Say(
                'B',
                b"g a\0b\ni a\ni a\0c\n",
                b"0 Lock Get Failure: a\0b\n0 Lock Not Locked: a\n0 Lock Not Locked: a\0c\n",
            ),
            Say('A', b"g \xff\xfe\x80\n", b"1 Lock Get Success: \xff\xfe\x80\n"),
            Say('A', b"g f\xc3\xb6\xc3\xb6\n", b"1 Lock Get Success: f\xc3\xb6\xc3\xb6\n"),
            // White space to Unicode or to some languages, not to the protocol.
            Say('A', b"g \x85a\xa0\xa0b\x1c\x1f\n", b"1 Lock Get Success: \x85a\xa0\xa0b\x1c\x1f\n"),
            Say('A', b"g \x08\x0e\x7f\n", b"1 Lock Get Success: \x08\x0e\x7f\n"),
            Say('B', b"sg \xff\0\nsd \xff\0\n", b"1 Shared Lock Get Success: \xff\0\n\xff\0: {B}\n\n"),
            Say('B', b"iam \xfe\0\nme\n", b"1 ok\n1 {B} \xfe\0\n"),
            Say('A', b"who\nsd\n", b"{B}: \xfe\0\n\n\xff\0: \xfe\0\n\n"),
        ],
    },
    Transcript {
        title: "the empty name is a name",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"g\ng \ng \t \r\n",
                b"1 Lock Get Success: \n1 Lock Get Success: \n1 Lock Get Success: \n",
            ),
            Say('B', b"g\nr\ni\n", b"0 Lock Get Failure: \n0 Lock Release Failure: \n1 Lock Is Locked: \n"),
            Say('B', b"sg\nsi\n", b"1 Shared Lock Get Success: \n1 Shared Lock Is Locked: \n"),
            Say('A', b"d\nsd\n", b": {A}\n\n: {B}\n\n"),
            Say('A', b"dump\ndump shared\n", b"map[:{A}]\nmap[:[{B}]]\n"),
            Say('A', b"r\ni\n", b"1 Lock Release Success: \n0 Lock Not Locked: \n"),
            Say('B', b"sr\nsi\n", b"1 Shared Lock Release Success: \n0 Shared Lock Not Locked: \n"),
        ],
    },
    Transcript {
        title: "upper and lower case differ, in names and in verbs",
        flags: &[],
        steps: &[
            Say('A', b"g foo\n", b"1 Lock Get Success: foo\n"),
            Say('B', b"g Foo\ng FOO\n", b"1 Lock Get Success: Foo\n1 Lock Get Success: FOO\n"),
            Say(
                'B',
                b"G foo\nSG foo\nPing\n",
                b"0 Unknown Command: G\n0 Unknown Command: SG\n0 Unknown Command: Ping\n",
            ),
            Say('B', b"dump SHARED\n", b"map[FOO:{B} Foo:{B} foo:{A}]\n"),
        ],
    },
    Transcript {
        title: "all that follows the verb is the name",
        flags: &[],
        steps: &[
            Say('A', b"g foo 10\n", b"1 Lock Get Success: foo 10\n"),
            Say('B', b"g foo\ng 10 foo\n", b"1 Lock Get Success: foo\n1 Lock Get Success: 10 foo\n"),
            Say('B', b"g 'a b' \"c\" \\n #\n", b"1 Lock Get Success: 'a b' \"c\" \\n #\n"),
            Say('B', b"sg 3 pool\n", b"1 Shared Lock Get Success: 3 pool\n"),
        ],
    },
    Transcript {
        title: "a name may be as long as it likes to be, up to the limit",
        flags: &[],
        steps: &[
            Say('A', b"g {30*n}\ng {31*n}\n", b"1 Lock Get Success: {30*n}\n1 Lock Get Success: {31*n}\n"),
            Say('A', b"g {29*n}x\n", b"1 Lock Get Success: {29*n}x\n"),
            Say(
                'B',
                b"g {31*n}\nsg {300*n}\n",
                b"0 Lock Get Failure: {31*n}\n1 Shared Lock Get Success: {300*n}\n",
            ),
            Say('A', b"sg {300*n}\n", b"2 Shared Lock Get Success: {300*n}\n"),
            Say('A', b"d\nd {31*n}\n", b"{30*n}: {A}\n{31*n}: {A}\n{29*n}x: {A}\n\n{31*n}: {A}\n\n"),
            Say('A', b"dump shared\n", b"map[{300*n}:[{B} {A}]]\n"),
            Say('A', b"r {31*n}\n", b"1 Lock Release Success: {31*n}\n"),
            Say('B', b"i {31*n}\ng {31*n}\n", b"0 Lock Not Locked: {31*n}\n1 Lock Get Success: {31*n}\n"),
            Say('B', b"iam {40*b}\nme\n", b"1 ok\n1 {B} {40*b}\n"),
            Say('A', b"d {31*n}\n", b"{31*n}: {40*b}\n\n"),
        ],
    },
    Transcript {
        title: "blank lines are ignored and not counted",
        flags: &[],
        steps: &[Say(
            'A',
            b"\n\r\n \n\t\x0b\x0c\r\n\n\nping\n\nq\n\n",
            b"1 pong\ncommand_d: 0\ncommand_dump: 0\ncommand_g: 0\ncommand_i: 0\ncommand_ping: 1\n\
            command_q: 1\ncommand_r: 0\ncommand_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\n\
            connections: 1\ninvalid_commands: 0\nlocks: 0\norphans: 0\nshared_locks: 0\n\
            shared_orphans: 0\n\n",
        )],
    },
    Transcript {
        title: "requests may be pipelined, and are answered in their order",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"g a\ni a\nr a\ni a\nsg a\nsg b\nsi a\nbogus\nping\nd\nsd\ndump\ndump shared\nme\ng a\nd\n\
                ping\n",
                b"1 Lock Get Success: a\n1 Lock Is Locked: a\n1 Lock Release Success: a\n\
                0 Lock Not Locked: a\n1 Shared Lock Get Success: a\n1 Shared Lock Get Success: b\n\
                1 Shared Lock Is Locked: a\n0 Unknown Command: bogus\n1 pong\n\na: {A}\nb: {A}\n\nmap[]\n\
                map[a:[{A}] b:[{A}]]\n1 {A} {A}\n1 Lock Get Success: a\na: {A}\n\n1 pong\n",
            ),
            Say('A', b"{100*i a\n}", b"{100*1 Lock Is Locked: a\n}"),
        ],
    },
    Transcript {
        title: "a last line without its end is not run",
        flags: &[],
        steps: &[
            Leave('A', b"g foo\ni foo", b"1 Lock Get Success: foo\n"),
            Leave('B', b"i foo\ng foo", b"0 Lock Not Locked: foo\n"),
            Leave('C', b"ping", b""),
            Leave(
                'D',
                b"q\nq",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 1\ncommand_i: 1\ncommand_q: 1\ncommand_r: 0\n\
                command_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\n\
                invalid_commands: 0\nlocks: 0\norphans: 1\nshared_locks: 0\nshared_orphans: 0\n\n",
            ),
        ],
    },
    Transcript {
        title: "an unknown verb is named, without what follows it",
        flags: &[],
        steps: &[
            Say('A', b"bogus\nbogus a b\n", b"0 Unknown Command: bogus\n0 Unknown Command: bogus\n"),
            Say('A', b"\xff\0x y\n", b"0 Unknown Command: \\xff\\x00x\n"),
            Say('A', b"\x1b[2J y\n", b"0 Unknown Command: \\x1b[2J\n"),
            Say('A', b"{257*v}\n", b"0 Unknown Command: {256*v}...\n"),
            Say('A', b"{200*v}\n", b"0 Unknown Command: {200*v}\n"),
            Say('A', b"1 Lock Get Success: foo\n", b"0 Unknown Command: 1\n"),
            Say('A', b"gx 10 foo\nsglx 2 foo\n", b"0 Unknown Command: gx\n0 Unknown Command: sglx\n"),
            Say('A', b"kick 127.0.0.1:1\nsteal foo\n", b"0 Not Allowed: kick\n0 Not Allowed: steal\n"),
            Say('A', b"login secret\n", b"0 Unknown Command: login\n"),
            Say('A', b"i foo\nsi foo\n", b"0 Lock Not Locked: foo\n0 Shared Lock Not Locked: foo\n"),
        ],
    },
];
