//! Names of locks and of connections: how they come from the command line, and how they are shown to people and
//! written as JSON. They may have any bytes, and who chose them may want to trick a terminal.

use elockd_core::wire::{Command, parse as parse_line};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// The name of a lock, of a connection, or the start of one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// The name as the daemon understands it: white space at the ends is dropped, and folded inside.
    pub(crate) fn new(text: &[u8]) -> Result<Self, String> {
        if text.contains(&b'\n') {
            return Err("a name cannot have a line end in it".to_owned());
        }
        let line = [b"g ", text].concat();
        match parse_line(&line) {
            Some(Command::Get(wish)) => Ok(Self(wish.name().to_vec())),
            _ => Err("it is no name".to_owned()),
        }
    }

    /// The name that a reply has.
    pub(crate) fn told(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

/// A name as clap reads it.
pub(crate) fn parser() -> impl clap::builder::TypedValueParser<Value = Name> {
    use clap::builder::{OsStringValueParser, TypedValueParser};
    OsStringValueParser::new().try_map(|text| Name::new(text.as_bytes()))
}

/// Bytes that are no text, and characters that a terminal would obey, are escaped: `\x1b`, `\xff`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\\' => shown.push_str("\\\\"),
                    // Marks of direction reorder what stands around them.
                    '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                        shown.extend(char.escape_unicode());
                    }
                    char if char.is_control() => {
                        let mut bytes = [0; 4];
                        shown.push_str(&escaped(char.encode_utf8(&mut bytes).as_bytes()));
                    }
                    char => shown.push(char),
                }
            }
            shown.push_str(&escaped(chunk.invalid()));
        }
        f.pad(&shown)
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"))
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A string, or an array of bytes if it is not UTF-8: as journalctl(1) does it.
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(&self.0),
        }
    }
}

/// A string or an array of bytes.
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Bytes(Vec<u8>),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into_bytes(),
            Written::Bytes(bytes) => bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_folded_as_the_daemon_does_it() {
        for (text, name) in [("a", "a"), ("  a \t b ", "a b"), ("", ""), ("g x", "g x")] {
            assert_eq!(Name::new(text.as_bytes()).unwrap().bytes(), name.as_bytes());
        }
        assert!(Name::new(b"a\nr b").is_err());
    }

    #[test]
    fn a_terminal_does_not_obey_a_name() {
        for (name, shown) in [
            (&b"job"[..], "job"),
            (b"\x1b[2J", "\\x1b[2J"),
            ("Käse".as_bytes(), "Käse"),
            (b"a\xff\xfeb", "a\\xff\\xfeb"),
            ("\u{9b}2J".as_bytes(), "\\xc2\\x9b2J"),
            ("\u{202e}x".as_bytes(), "\\u{202e}x"),
            (b"\\x1b", "\\\\x1b"),
        ] {
            assert_eq!(Name::told(name).to_string(), shown);
        }
    }

    #[test]
    fn no_byte_is_lost_in_json() {
        let json = |name: &[u8]| serde_json::to_string(&Name::told(name)).unwrap();
        assert_eq!(json(b"a\"b"), "\"a\\\"b\"");
        assert_eq!(json(b"a\xff"), "[97,255]");
    }
}
