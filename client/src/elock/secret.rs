//! Where passwords come from: a terminal, a descriptor, a file, or a command. They are never on a command line or in an
//! environment.

use elockd_client::ssh::{Secret, SecretKind, SecretQuestion};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// The most bytes of a password.
const MOST: u64 = 1024;
/// Ctrl-C, Ctrl-D, Ctrl-H, Ctrl-U, and the key above Enter.
const KEYS: [u8; 5] = [0x03, 0x04, 0x08, 0x15, 0x7f];

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Somebody types it on the terminal of this process.
    Prompt,
    /// An open descriptor.
    Descriptor(u32),
    /// A file.
    File(PathBuf),
    /// The output of a line for `sh`.
    Command(String),
    /// None of these. It may be the password itself, so it is neither kept nor shown.
    Unknown,
}

/// What a source is.
pub(crate) const SOURCES: &str = "prompt, fd:N, file:PATH or command:LINE, and never the password itself";

impl FromStr for Source {
    type Err = Infallible;

    /// An error would be shown with the text.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once(':') {
            None if text == "prompt" => Self::Prompt,
            Some(("fd", number)) => number.parse().map_or(Self::Unknown, Self::Descriptor),
            Some(("file", path)) if !path.is_empty() => Self::File(path.into()),
            Some(("command", line)) if !line.trim().is_empty() => Self::Command(line.to_owned()),
            _ => Self::Unknown,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt => f.write_str("prompt"),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(line) => write!(f, "command:{line}"),
            Self::Unknown => f.write_str("nothing"),
        }
    }
}

/// Answers questions from these sources, or on the terminal.
pub(crate) fn answerer(
    password: Option<Source>,
    passphrase: Option<Source>,
) -> impl Fn(&SecretQuestion) -> io::Result<Secret> + Send + Sync {
    move |question| {
        let source = match question.kind {
            SecretKind::Password => &password,
            SecretKind::Passphrase => &passphrase,
        };
        match source {
            None | Some(Source::Prompt) => prompt(&question.text),
            Some(source) => source
                .read()
                .map_err(|error| io::Error::new(error.kind(), format!("{source} gives none: {error}"))),
        }
    }
}

/// What was read from descriptors: each can be read once.
static FROM_DESCRIPTORS: Mutex<BTreeMap<u32, Secret>> = Mutex::new(BTreeMap::new());

impl Source {
    fn read(&self) -> io::Result<Secret> {
        match self {
            Self::Prompt | Self::Unknown => Err(ErrorKind::Unsupported.into()),
            Self::Descriptor(number) => {
                let mut known = FROM_DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(secret) = known.get(number) {
                    return Ok(secret.clone());
                }
                let secret = first_line(File::open(format!("/proc/self/fd/{number}"))?)?;
                known.insert(*number, secret.clone());
                Ok(secret)
            }
            Self::File(path) => first_line(File::open(path)?),
            Self::Command(line) => {
                let mut command = Command::new("/bin/sh");
                let mut child =
                    command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
                let secret = child.stdout.take().ok_or(ErrorKind::BrokenPipe.into()).and_then(first_line);
                let status = child.wait()?;
                if !status.success() {
                    return Err(io::Error::other(format!("it ended with {status}")));
                }
                secret
            }
        }
    }
}

/// The first line, without its end.
fn first_line(from: impl Read) -> io::Result<Secret> {
    // A vector that grew would leave parts of it behind.
    let mut bytes = Vec::with_capacity(MOST as usize + 1);
    from.take(MOST + 1).read_to_end(&mut bytes)?;
    let is_too_long = bytes.len() as u64 > MOST;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    bytes[end..].fill(0);
    bytes.truncate(end);
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let is_empty = bytes.is_empty();
    let secret = Secret::new(bytes);
    if is_empty {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "its first line is empty"));
    }
    if is_too_long {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("it has more than {MOST} bytes")));
    }
    Ok(secret)
}

/// How the terminal was before a question.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Gives the terminal back as it was, if a question has changed it.
pub(crate) fn restore() {
    if let Some((terminal, before)) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&terminal, SetArg::TCSAFLUSH, &before);
    }
}

/// Asks on the terminal of this process, whatever stdin is.
fn prompt(question: &str) -> io::Result<Secret> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|error| {
        let text =
            format!("there is no terminal to ask on ({error}); --ssh-password-from takes it from elsewhere");
        io::Error::new(ErrorKind::NotFound, text)
    })?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    // Ctrl-C comes as a key, so that the terminal is given back before anything ends.
    silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    silent.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    silent.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal.try_clone()?, before));
    let typed = tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent)
        .map_err(io::Error::from)
        .and_then(|()| (&terminal).write_all(shown(question).as_bytes()))
        .and_then(|()| typed(&terminal));
    restore();
    let _ = (&terminal).write_all(b"\n");
    typed
}

/// A question may come from a server. What a terminal could obey is left out.
fn shown(question: &str) -> String {
    let text: String = question.chars().filter(|char| !char.is_control()).collect();
    format!("elock: {} ", text.trim_end())
}

/// What is typed up to Enter.
fn typed(mut keys: impl Read) -> io::Result<Secret> {
    let [interrupt, end, backspace, kill, delete] = KEYS;
    let mut bytes = Vec::with_capacity(MOST as usize);
    let given_up = || Err(io::Error::new(ErrorKind::Interrupted, "nothing was typed"));
    loop {
        let mut key = [0];
        if keys.read(&mut key)? == 0 {
            return given_up();
        }
        match key[0] {
            b'\n' | b'\r' if bytes.is_empty() => return given_up(),
            b'\n' | b'\r' => return Ok(Secret::new(bytes)),
            key if key == interrupt || key == end => {
                bytes.fill(0);
                return given_up();
            }
            key if key == backspace || key == delete => {
                // A character of UTF-8 has one byte that begins it.
                while bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if key == kill => {
                bytes.fill(0);
                bytes.clear();
            }
            key if (bytes.len() as u64) < MOST => bytes.push(key),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_source_is_read_as_it_is_shown_and_a_password_is_none() {
        for text in ["prompt", "fd:3", "file:/a:b", "command:pass show gw"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in ["", "hunter2", "fd:", "fd:x", "file:", "command: ", "env:X", "prompt:x"] {
            assert_eq!(text.parse::<Source>(), Ok(Source::Unknown), "{text}");
        }
    }

    #[test]
    fn the_first_line_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let file = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Source::File(path.clone()).read()
        };
        for text in ["s p", "s p\n", "s p\r\n", "s p\nmore\n"] {
            assert_eq!(file(text).unwrap(), secret("s p"));
        }
        let longest = "x".repeat(MOST as usize);
        assert_eq!(file(&longest).unwrap(), secret(&longest));
        for wrong in ["", "\n", &format!("{longest}x"), &format!("{longest}\n")] {
            assert!(file(wrong).is_err(), "{} bytes", wrong.len());
        }
        assert!(Source::File("/no/such/file".into()).read().is_err());
        assert_eq!(Source::Command("echo 's p'".to_owned()).read().unwrap(), secret("s p"));
        assert!(Source::Command("echo x; exit 3".to_owned()).read().unwrap_err().to_string().contains('3'));
    }

    #[test]
    fn a_descriptor_is_read_once_and_known_afterwards() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"from a pipe\n").unwrap();
        drop(write);
        let source = Source::Descriptor(read.as_raw_fd().try_into().unwrap());
        assert_eq!(source.read().unwrap(), secret("from a pipe"));
        drop(read);
        assert_eq!(source.read().unwrap(), secret("from a pipe"));
    }

    #[test]
    fn keys_are_as_on_any_terminal() {
        for (keys, expected) in [
            ("abc\r", Some("abc")),
            ("abd\x7fc\n", Some("abc")),
            ("aé\x08bc\n", Some("abc")),
            ("wrong\x15abc\n", Some("abc")),
            ("\x7fabc\n", Some("abc")),
            ("abc\x03\n", None),
            ("abc\x04\n", None),
            ("abc", None),
            ("\n", None),
        ] {
            assert_eq!(typed(keys.as_bytes()).ok(), expected.map(secret), "{keys:?}");
        }
    }

    #[test]
    fn a_question_cannot_paint_on_the_terminal() {
        assert_eq!(shown("a@b's password: \x1b[2J"), "elock: a@b's password: [2J ");
    }
}
