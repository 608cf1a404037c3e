//! What operators can switch off, in both spellings of the flags.

use crate::Step::Say;
use crate::Transcript;

pub(crate) const TRANSCRIPTS: &[Transcript] = &[
    Transcript { title: "without listings", flags: &["--dump=false"], steps: WITHOUT_LISTINGS },
    Transcript {
        title: "without listings, as glockd says it",
        flags: &["-dump=false"],
        steps: WITHOUT_LISTINGS,
    },
    Transcript { title: "without a registry", flags: &["--registry=false"], steps: WITHOUT_REGISTRY },
    Transcript {
        title: "without a registry, as glockd says it",
        flags: &["-registry=false"],
        steps: WITHOUT_REGISTRY,
    },
    Transcript {
        title: "switched on in words",
        flags: &["--dump=true", "--registry", "--silent-errors=false"],
        steps: &[
            Say('A', b"iam x\nwho\ng a\nd\n", b"1 ok\n{A}: x\n\n1 Lock Get Success: a\na: x\n\n"),
            Say('A', b"bogus\n", b"0 Unknown Command: bogus\n"),
        ],
    },
    Transcript {
        title: "unknown verbs pass in silence when told so, other failures do not",
        flags: &["--silent-errors", "--max-name-bytes", "8", "--max-line-bytes", "72"],
        steps: &[
            Say('A', b"bogus\nping\ngx 10 foo\nG a\nping\n", b"1 pong\n1 pong\n"),
            Say('A', b"g 123456789\n{73*x}\n", b"0 Name Too Long\n0 Line Too Long\n"),
            Say('A', b"r a\nsr a\n", b"0 Lock Release Failure: a\n0 Shared Lock Release Failure: a\n"),
            Say(
                'A',
                b"q\n",
                b"command_d: 0\ncommand_dump: 0\ncommand_g: 0\ncommand_i: 0\ncommand_ping: 2\n\
                command_q: 1\ncommand_r: 1\ncommand_sd: 0\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 1\n\
                connections: 1\ninvalid_commands: 5\nlocks: 0\norphans: 0\nshared_locks: 0\n\
                shared_orphans: 0\n\n",
            ),
        ],
    },
];

const WITHOUT_LISTINGS: &[crate::Step] = &[
    Say('A', b"g a\niam x\n", b"1 Lock Get Success: a\n1 ok\n"),
    Say('A', b"d\nd a\nsd\nsd a\n", b"{4*0 disabled\n\n}"),
    Say('A', b"dump\ndump shared\n", b"0 disabled\n0 disabled\n"),
    Say('A', b"who\nwho x\n", b"0 disabled\n\n0 disabled\n\n"),
    Say('A', b"me\ni a\n", b"1 {A} x\n1 Lock Is Locked: a\n"),
];

const WITHOUT_REGISTRY: &[crate::Step] = &[
    Say('A', b"iam x\niam\n", b"0 disabled\n0 disabled\n"),
    Say('A', b"who\nwho x\n", b"0 disabled\n\n0 disabled\n\n"),
    Say('A', b"me\ng a\nsg s\n", b"1 {A} {A}\n1 Lock Get Success: a\n1 Shared Lock Get Success: s\n"),
    Say('A', b"d\nsd\n", b"a: {A}\n\ns: {A}\n\n"),
    Say('A', b"dump\ndump shared\n", b"map[a:{A}]\nmap[s:[{A}]]\n"),
];
