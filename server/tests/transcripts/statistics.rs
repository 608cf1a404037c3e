//! `q`: its keys, its order, and what is counted when.

use crate::Step::{Leave, Say, Shut};
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript {
        title: "fresh statistics show every old verb, and q itself",
        flags: &[],
        steps: &[Say(
            'A',
            b"q\n",
            b"command_d: 0\ncommand_dump: 0\ncommand_g: 0\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\n\
            command_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\n\
            invalid_commands: 0\nlocks: 0\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n",
        )],
    },
    Transcript {
        title: "every verb is counted, and newer ones are shown once used",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"g a\ng a\ni a\ni b\ni c\nr a\nr a\n",
                b"1 Lock Get Success: a\n1 Lock Get Success: a\n1 Lock Is Locked: a\n0 Lock Not Locked: b\n\
                0 Lock Not Locked: c\n1 Lock Release Success: a\n0 Lock Release Failure: a\n",
            ),
            Say(
                'A',
                b"sg a\nsi a\nsi b\nsr a\n",
                b"1 Shared Lock Get Success: a\n1 Shared Lock Is Locked: a\n0 Shared Lock Not Locked: b\n\
                1 Shared Lock Release Success: a\n",
            ),
            Say('A', b"d\nd a\nd b\nsd\ndump\ndump shared\n", b"\n\n\n\nmap[]\nmap[]\n"),
            Say('A', b"iam x\niam\nwho\nping\nping\nping\n", b"1 ok\n1 ok\n\n1 pong\n1 pong\n1 pong\n"),
            Shut('B', b"quit\n", b""),
            Say('A', b"bogus\ngx 10 foo\n", b"0 Unknown Command: bogus\n0 Unknown Command: gx\n"),
            Say(
                'A',
                b"q\n",
                b"command_d: 3\ncommand_dump: 2\ncommand_g: 2\ncommand_i: 3\ncommand_iam: 2\n\
                command_ping: 3\ncommand_q: 1\ncommand_quit: 1\ncommand_r: 2\ncommand_sd: 1\n\
                command_sg: 1\ncommand_si: 2\ncommand_sr: 1\ncommand_who: 1\nconnections: 1\n\
                invalid_commands: 2\nlocks: 0\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n",
            ),
        ],
    },
    Transcript {
        title: "locks are names, orphans are holds",
        flags: &[],
        steps: &[
            Say(
                'A',
                b"g a\ng b\nsg s\nsg t\n",
                b"1 Lock Get Success: a\n1 Lock Get Success: b\n1 Shared Lock Get Success: s\n\
                1 Shared Lock Get Success: t\n",
            ),
            Say(
                'B',
                b"g a\ng c\nsg s\n",
                b"0 Lock Get Failure: a\n1 Lock Get Success: c\n2 Shared Lock Get Success: s\n",
            ),
            Say('C', b"sg s\n", b"3 Shared Lock Get Success: s\n"),
            Say(
                'C',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 4\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\n\
                command_sd: 0\ncommand_sg: 4\ncommand_si: 0\ncommand_sr: 0\nconnections: 3\n\
                invalid_commands: 0\nlocks: 3\norphans: 0\nshared_locks: 2\nshared_orphans: 0\n\n",
            ),
            Leave('A', b"r b\n", b"1 Lock Release Success: b\n"),
            Say(
                'C',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 4\ncommand_i: 0\ncommand_q: 2\ncommand_r: 1\n\
                command_sd: 0\ncommand_sg: 4\ncommand_si: 0\ncommand_sr: 0\nconnections: 2\n\
                invalid_commands: 0\nlocks: 1\norphans: 1\nshared_locks: 1\nshared_orphans: 2\n\n",
            ),
            Shut('B', b"quit\n", b""),
            Say(
                'C',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 4\ncommand_i: 0\ncommand_q: 3\n\
                command_quit: 1\ncommand_r: 1\ncommand_sd: 0\ncommand_sg: 4\ncommand_si: 0\n\
                command_sr: 0\nconnections: 1\ninvalid_commands: 0\nlocks: 0\norphans: 2\n\
                shared_locks: 1\nshared_orphans: 3\n\n",
            ),
        ],
    },
    Transcript {
        title: "words other than full change nothing",
        flags: &[],
        steps: &[Say(
            'A',
            b"q fuller words\n",
            b"command_d: 0\ncommand_dump: 0\ncommand_g: 0\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\n\
            command_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\n\
            invalid_commands: 0\nlocks: 0\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n",
        )],
    },
    Transcript {
        title: "what is invalid counts as that and as nothing else",
        flags: &["--max-name-bytes", "4", "--max-line-bytes", "68"],
        steps: &[
            Say('A', b"g 12345\nsd 12345\n", b"0 Name Too Long\n0 Name Too Long\n\n"),
            Say('A', b"g {67*x}\nbogus\n", b"0 Line Too Long\n0 Unknown Command: bogus\n"),
            Say(
                'A',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 0\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\n\
                command_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\n\
                invalid_commands: 4\nlocks: 0\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n",
            ),
        ],
    },
];
