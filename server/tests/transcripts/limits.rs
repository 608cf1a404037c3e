//! Every limit at its edge: the last that is allowed, and one more.

use crate::Step::{Leave, Say, Shut};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "the daemon's holds",
        flags: &["--max-locks", "3"],
        steps: &[
            Say('A', b"g a\nsg s\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
            Say(
                'B',
                b"sg s\nsg t\ng b\n",
                b"2 Shared Lock Get Success: s\n0 Too Many Locks: t\n0 Too Many Locks: b\n",
            ),
            Say(
                'A',
                b"g a\nsg s\ng c\n",
                b"1 Lock Get Success: a\n2 Shared Lock Get Success: s\n0 Too Many Locks: c\n",
            ),
            Say('A', b"i c\nd c\n", b"0 Lock Not Locked: c\n\n"),
            Say('B', b"sr s\ng b\n", b"1 Shared Lock Release Success: s\n1 Lock Get Success: b\n"),
            Say('B', b"sg t\n", b"0 Too Many Locks: t\n"),
            Leave('A', b"sg t\n", b"0 Too Many Locks: t\n"),
            Say(
                'B',
                b"sg t\ng a\ng c\n",
                b"1 Shared Lock Get Success: t\n1 Lock Get Success: a\n0 Too Many Locks: c\n",
            ),
        ],
    },
    Transcript {
        title: "a connection's holds",
        flags: &["--max-locks-per-connection", "2"],
        steps: &[
            Say('A', b"g a\nsg a\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: a\n"),
            Say('A', b"g b\nsg b\n", b"0 Too Many Locks: b\n0 Too Many Locks: b\n"),
            Say('A', b"g a\nsg a\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: a\n"),
            Say('B', b"g b\nsg a\n", b"1 Lock Get Success: b\n2 Shared Lock Get Success: a\n"),
            Say(
                'A',
                b"r a\ng c\ng d\n",
                b"1 Lock Release Success: a\n1 Lock Get Success: c\n0 Too Many Locks: d\n",
            ),
        ],
    },
    Transcript {
        title: "a short limit on names, for each verb that takes one",
        flags: &["--max-name-bytes", "8"],
        steps: &[
            Say('A', b"g 12345678\ng 123456789\n", b"1 Lock Get Success: 12345678\n0 Name Too Long\n"),
            Say('A', b"i 12345678\ni 123456789\n", b"1 Lock Is Locked: 12345678\n0 Name Too Long\n"),
            Say('A', b"r 12345678\nr 123456789\n", b"1 Lock Release Success: 12345678\n0 Name Too Long\n"),
            Say(
                'A',
                b"sg 12345678\nsg 123456789\n",
                b"1 Shared Lock Get Success: 12345678\n0 Name Too Long\n",
            ),
            Say('A', b"si 12345678\nsi 123456789\n", b"1 Shared Lock Is Locked: 12345678\n0 Name Too Long\n"),
            Say(
                'A',
                b"sr 12345678\nsr 123456789\n",
                b"1 Shared Lock Release Success: 12345678\n0 Name Too Long\n",
            ),
            Say('A', b"iam 12345678\niam 123456789\n", b"1 ok\n0 Name Too Long\n"),
            Say('A', b"d 12345678\nd 123456789\n", b"\n0 Name Too Long\n\n"),
            Say('A', b"sd 12345678\nsd 123456789\n", b"\n0 Name Too Long\n\n"),
            Say('A', b"who 12345678\nwho 123456789\n", b"{A}: 12345678\n\n0 Name Too Long\n\n"),
            // White space counts as what is left of it, and words that are no names do not count.
            Say('A', b"g   123   5678   \ng 1234 6789\n", b"1 Lock Get Success: 123 5678\n0 Name Too Long\n"),
            Say('A', b"bogusbogusbogus 123456789\n", b"0 Unknown Command: bogusbogusbogus\n"),
            Say('A', b"me 123456789\ndump 123456789\n", b"1 {A} 12345678\nmap[123 5678:{A}]\n"),
        ],
    },
    Transcript {
        title: "the usual limit on names",
        flags: &[],
        steps: &[
            Say('A', b"g {4096*n}\n", b"1 Lock Get Success: {4096*n}\n"),
            Say('A', b"g {4097*n}\nd {4097*n}\n", b"0 Name Too Long\n0 Name Too Long\n\n"),
            Say('A', b"d\n", b"{4096*n}: {A}\n\n"),
            Say('A', b"iam {4096*n}\niam {4097*n}\nd\n", b"1 ok\n0 Name Too Long\n{4096*n}: {4096*n}\n\n"),
        ],
    },
    Transcript {
        title: "a short limit on lines",
        flags: &["--max-name-bytes", "8", "--max-line-bytes", "72"],
        steps: &[
            Say('A', b"g{70* }a\n", b"1 Lock Get Success: a\n"),
            Say('A', b"g{71* }b\ni b\n", b"0 Line Too Long\n0 Lock Not Locked: b\n"),
            Say('A', b"i{69* }a\r\ni{70* }a\r\n", b"1 Lock Is Locked: a\n0 Line Too Long\n"),
            Say('A', b"{72* }\n{73* }\n", b"0 Line Too Long\n"),
            Say(
                'A',
                b"{73*x}\n{5000*x} g b\n{74*g b}\ni b\n",
                b"{3*0 Line Too Long\n}0 Lock Not Locked: b\n",
            ),
            Say('A', b"{72*x}\n", b"0 Unknown Command: {72*x}\n"),
        ],
    },
    Transcript {
        title: "the usual limit on lines",
        flags: &[],
        steps: &[
            Say('A', b"g{8190* }a\n", b"1 Lock Get Success: a\n"),
            Say('A', b"g{8191* }a\nping\n", b"0 Line Too Long\n1 pong\n"),
            Say('A', b"g {8190*n}\ng {8191*n}\nping\n", b"0 Name Too Long\n0 Line Too Long\n1 pong\n"),
        ],
    },
    Transcript {
        title: "a line over the limit is answered before its end comes, and is not run when it never does",
        flags: &["--max-name-bytes", "8", "--max-line-bytes", "72"],
        steps: &[
            Say('A', b"g {71*x}", b"0 Line Too Long\n"),
            Say('A', b"{500*x} g b\ni b\n", b"0 Lock Not Locked: b\n"),
            Leave('A', b"g {71*x}", b"0 Line Too Long\n"),
        ],
    },
    Transcript {
        title: "connections",
        flags: &["--max-connections", "2"],
        steps: &[
            Say('A', b"g a\n", b"1 Lock Get Success: a\n"),
            Say('B', b"g b\n", b"1 Lock Get Success: b\n"),
            Shut('C', b"", b"0 Too Many Connections\n"),
            Shut('D', b"", b"0 Too Many Connections\n"),
            Say(
                'A',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 2\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\n\
                command_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 2\n\
                invalid_commands: 0\nlocks: 2\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n",
            ),
            Leave('B', b"ping\n", b"1 pong\n"),
            Say('C', b"i a\ni b\n", b"1 Lock Is Locked: a\n0 Lock Not Locked: b\n"),
            Shut('D', b"", b"0 Too Many Connections\n"),
        ],
    },
    Transcript {
        // An entry takes its name, its holder, and here five bytes: 8 for `ab` by `h`. All entries of a listing are in
        // one slice. That takes 256 and twice the longest name, and for a holder of a shared lock 32. So `sd` below
        // takes 308, and 310 when the holder is called `hi`.
        title: "listings",
        flags: &["--max-listing-bytes", "309"],
        steps: &[
            Say('A', b"iam h\ng ab\ng cd\n", b"1 ok\n1 Lock Get Success: ab\n1 Lock Get Success: cd\n"),
            Say('A', b"d\n", b"ab: h\ncd: h\n\n"),
            Say(
                'A',
                b"sg cd\nsg ef\nsd\n",
                b"1 Shared Lock Get Success: cd\n1 Shared Lock Get Success: ef\ncd: h\nef: h\n\n",
            ),
            Say('A', b"iam hi\nsd\nsd ef\n", b"1 ok\n0 Too Large\n\nef: hi\n\n"),
            Say('A', b"iam h\nsd\n", b"1 ok\ncd: h\nef: h\n\n"),
            Say('A', b"g e\nd\ni e\n", b"1 Lock Get Success: e\nab: h\ncd: h\ne: h\n\n1 Lock Is Locked: e\n"),
            Say(
                'A',
                b"g 123456789012\nd\nr 123456789012\nd\n",
                b"1 Lock Get Success: 123456789012\n0 Too Large\n\n1 Lock Release Success: 123456789012\n\
                ab: h\ncd: h\ne: h\n\n",
            ),
            Say('A', b"iam xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", b"1 ok\n"),
            Say(
                'A',
                b"d e\nd ab\nd\n",
                b"e: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\n0 Too Large\n\n0 Too Large\n\n",
            ),
        ],
    },
    Transcript {
        title: "listings that show addresses",
        flags: &["--max-listing-bytes", "3"],
        steps: &[
            Say('A', b"d\nsd\nwho\ndump\ndump shared\n", b"\n\n\nmap[]\nmap[]\n"),
            Say('A', b"g a\nsg s\niam h\n", b"1 Lock Get Success: a\n1 Shared Lock Get Success: s\n1 ok\n"),
            Say('A', b"dump\ndump shared\n", b"0 Too Large\n0 Too Large\n"),
            Say('A', b"d\nsd\nwho\nping\n", b"0 Too Large\n\n0 Too Large\n\n0 Too Large\n\n1 pong\n"),
        ],
    },
];
