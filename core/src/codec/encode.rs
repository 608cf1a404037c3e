//! Replies to bytes.

use crate::figures::{Figure, Figures};
use crate::input::Verb;
use crate::output::{Reason, Reply};
use crate::types::Kind;
use std::io::Write;

/// Appends a reply, with all its line ends.
///
/// [`Reply::Listing`] appends nothing: its text is collected in slices (see [`crate::listing`]).
pub fn encode(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match reply {
        Reply::Got { kind: Kind::Exclusive, name, .. } => line(out, b"1 Lock Get Success: ", name),
        Reply::Got { kind: Kind::Shared, holders, name } => {
            counted_line(out, *holders, b" Shared Lock Get Success: ", name);
        }
        Reply::GetFailure { name } => line(out, b"0 Lock Get Failure: ", name),
        Reply::Released { kind: Kind::Exclusive, name } => line(out, b"1 Lock Release Success: ", name),
        Reply::Released { kind: Kind::Shared, name } => line(out, b"1 Shared Lock Release Success: ", name),
        Reply::ReleaseFailure { kind: Kind::Exclusive, name } => line(out, b"0 Lock Release Failure: ", name),
        Reply::ReleaseFailure { kind: Kind::Shared, name } => {
            line(out, b"0 Shared Lock Release Failure: ", name);
        }
        Reply::Inspected { kind: Kind::Exclusive, holders: 0, name } => {
            line(out, b"0 Lock Not Locked: ", name);
        }
        Reply::Inspected { kind: Kind::Exclusive, name, .. } => line(out, b"1 Lock Is Locked: ", name),
        Reply::Inspected { kind: Kind::Shared, holders: 0, name } => {
            line(out, b"0 Shared Lock Not Locked: ", name);
        }
        Reply::Inspected { kind: Kind::Shared, holders, name } => {
            counted_line(out, *holders, b" Shared Lock Is Locked: ", name);
        }
        Reply::TooManyLocks { name } => line(out, b"0 Too Many Locks: ", name),
        Reply::ShuttingDown => line(out, b"0 Shutting Down", b""),
        Reply::Listing(_) => {}
        Reply::Me { addr, name } => {
            write!(out, "1 {addr} ").expect("writing to memory does not fail");
            match name {
                Some(name) => line(out, b"", name),
                None => writeln!(out, "{addr}").expect("writing to memory does not fail"),
            }
        }
        Reply::Registered => line(out, b"1 ok", b""),
        Reply::Figures { figures, full } => encode_figures(figures, *full, out),
        Reply::Pong => line(out, b"1 pong", b""),
        Reply::Help => {
            for verb in Verb::ALL {
                line(out, verb.help().as_bytes(), b"");
            }
            out.push(b'\n');
        }
        Reply::Disabled { framed } => framed_line(out, b"0 disabled", *framed),
        Reply::NameTooLong { framed } => framed_line(out, b"0 Name Too Long", *framed),
        Reply::UnknownCommand { verb } => line(out, b"0 Unknown Command: ", verb),
        Reply::LineTooLong => line(out, b"0 Line Too Long", b""),
    }
}

/// Appends the last line that a connection gets before it is closed, if there is one.
pub fn encode_reason(reason: Reason, out: &mut Vec<u8>) {
    match reason {
        Reason::TooManyConnections => line(out, b"0 Too Many Connections", b""),
        // An unasked-for line would be taken for the answer to the next request.
        Reason::Quit | Reason::Idle => {}
    }
}

fn encode_figures(figures: &Figures<'_>, full: bool, out: &mut Vec<u8>) {
    figures.each(full, &mut |key, figure| {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b": ");
        match figure {
            Figure::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Figure::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        out.push(b'\n');
    });
    out.push(b'\n');
}

fn line(out: &mut Vec<u8>, text: &[u8], name: &[u8]) {
    out.extend_from_slice(text);
    out.extend_from_slice(name);
    out.push(b'\n');
}

fn counted_line(out: &mut Vec<u8>, count: u32, text: &[u8], name: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    line(out, text, name);
}

fn framed_line(out: &mut Vec<u8>, text: &[u8], framed: bool) {
    line(out, text, if framed { b"\n" } else { b"" });
}
