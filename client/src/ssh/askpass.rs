//! How the program of OpenSSH gets a password: it runs a helper, this very program once more, and the helper asks back.
//!
//! OpenSSH closes all descriptors before it runs the helper. So the helper finds its way by an abstract Unix socket,
//! which is no file and is gone with its process. Only this user may ask there, and only with a token that nobody else
//! has seen. The secret goes from memory to memory: through that socket, and through the pipe that OpenSSH reads.

use crate::ssh::random;
use crate::ssh::secret::Secret;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as Listener, UnixStream as Stream};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Tells the helper where to ask: the socket's name, and the token.
const WHERE: &str = "ELOCK_SSH_ASKPASS";
/// The variable of OpenSSH with the program that it shall run.
const PROGRAM: &str = "SSH_ASKPASS";
/// The most bytes of a question.
const MOST_QUESTION: u64 = 4096;
/// How long a helper may take to put its question.
const PATIENCE: Duration = Duration::from_secs(10);
/// What comes before a secret. Without it there is none.
const YES: u8 = b'+';

/// Whether this program calls [`init`].
static IS_PREPARED: OnceLock<()> = OnceLock::new();

/// Must come first in the `main` of a program that gives passwords to the program of OpenSSH: OpenSSH runs this program
/// once more to ask for them. Then this answers, and does not come back.
///
/// Without it, no program is run a second time, and OpenSSH is told to ask for nothing.
pub fn init() {
    let program = std::env::var_os(PROGRAM);
    // What OpenSSH starts besides inherits the variables. It has another name.
    if let Ok(place) = std::env::var(WHERE)
        && program.is_some()
        && program == std::env::args_os().next()
    {
        let question = std::env::args().nth(1).unwrap_or_default();
        let answered = ask(&place, &question).and_then(|secret| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&secret)?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        });
        std::process::exit(i32::from(answered.is_err()));
    }
    let _ = IS_PREPARED.set(());
}

/// Asks the process that has started OpenSSH.
fn ask(place: &str, question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let (name, token) = place.split_once(' ').ok_or(io::ErrorKind::InvalidInput)?;
    let mut stream = Stream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.write_all(format!("{token}\n{question}").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Zeroizing::new(Vec::with_capacity(4096));
    stream.read_to_end(&mut answer)?;
    if answer.first() != Some(&YES) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    answer.remove(0);
    Ok(answer)
}

/// Where helpers ask. It is gone when it is dropped, or with this process.
#[derive(Debug)]
pub(crate) struct HelperSocket {
    listener: UnixListener,
    name: String,
    token: String,
}

impl HelperSocket {
    /// `None` if this program does not call [`init`].
    pub(crate) fn bind() -> io::Result<Option<Self>> {
        if IS_PREPARED.get().is_none() {
            return Ok(None);
        }
        Self::listen().map(Some)
    }

    fn listen() -> io::Result<Self> {
        let name = format!("elock-ssh-{}", random()?);
        let listener = Listener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, name, token: random()? })
    }

    /// Tells a program of OpenSSH, which shall ask nobody else.
    pub(crate) fn equip(&self, command: &mut Command) {
        // The program itself, even if its file was replaced meanwhile.
        command.env(PROGRAM, format!("/proc/{}/exe", std::process::id()));
        command.env("SSH_ASKPASS_REQUIRE", "force").env(WHERE, self.place());
    }

    fn place(&self) -> String {
        format!("{} {}", self.name, self.token)
    }

    /// The next question of a helper that may ask. Nothing but a question is lost if the future is dropped.
    pub(crate) async fn asked(&self) -> Inquiry {
        loop {
            match self.listener.accept().await {
                // Who may not ask, or asks nothing, gets no answer.
                Ok((stream, _)) => {
                    if let Ok(asked) = self.read(stream).await {
                        return asked;
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn read(&self, mut stream: UnixStream) -> io::Result<Inquiry> {
        if stream.peer_cred()?.uid() != uid()? {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut asked = String::new();
        let mut reading = (&mut stream).take(MOST_QUESTION);
        timeout(PATIENCE, reading.read_to_string(&mut asked)).await??;
        match asked.split_once('\n') {
            Some((token, question)) if is_same(token, &self.token) => {
                Ok(Inquiry { question: question.to_owned(), stream })
            }
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// A question, and who waits for the answer. If it is dropped, there is none.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(crate) question: String,
    stream: UnixStream,
}

impl Inquiry {
    pub(crate) async fn answer(mut self, secret: &Secret) {
        let answer = Zeroizing::new([&[YES], secret.bytes()].concat());
        // If it cannot be written, there is nobody any more who has asked.
        let _ = self.stream.write_all(&answer).await;
    }
}

/// Whether two texts are the same. How long it takes tells nobody where they differ.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// The user of this process, as a peer sees it.
fn uid() -> io::Result<u32> {
    let (near, _far) = UnixStream::pair()?;
    near.peer_cred().map(|credentials| credentials.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(place: String, question: &'static str) -> io::Result<Vec<u8>> {
        let asking = tokio::task::spawn_blocking(move || ask(&place, question));
        asking.await.unwrap().map(|secret| secret.to_vec())
    }

    #[tokio::test]
    async fn who_has_the_token_is_answered() {
        let socket = HelperSocket::listen().unwrap();
        let place = socket.place();
        let serving = async {
            loop {
                let asked = socket.asked().await;
                if asked.question == "password?" {
                    asked.answer(&Secret::new(b"s p".to_vec())).await;
                }
            }
        };
        let asking = async {
            assert_eq!(self::asked(place.clone(), "password?").await.unwrap(), b"s p");
            assert!(self::asked(place.clone(), "yes or no?").await.is_err());
            let (name, token) = place.split_once(' ').unwrap();
            for wrong in [format!("{name} {}", random().unwrap()), format!("{name} {}", &token[1..])] {
                assert!(self::asked(wrong, "password?").await.is_err());
            }
            assert_eq!(self::asked(place.clone(), "password?").await.unwrap(), b"s p", "it goes on");
        };
        tokio::select! {
            () = serving => {}
            () = asking => {}
        }
    }

    /// Goal: the token is not enough for another user. Method: Python asks as this user, and as nobody. It needs root.
    #[tokio::test]
    async fn another_user_is_not_answered() {
        const ASK: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect('\\0' + sys.argv[1])
s.sendall((sys.argv[2] + '\\npassword?').encode())
s.shutdown(socket.SHUT_WR)
print(s.recv(100).decode())
";
        let own = uid().unwrap();
        let has_python = std::process::Command::new("python3").arg("--version").output().is_ok();
        if own != 0 || !has_python {
            assert!(std::env::var_os("CI").is_none(), "this is not root, or there is no Python");
            return eprintln!("SKIPPED: needs root and Python");
        }
        let socket = HelperSocket::listen().unwrap();
        for (user, said) in [(own, "+s p\n"), (65534, "\n")] {
            let mut python = Command::new("python3");
            python
                .args(["-c", ASK, &socket.name, &socket.token])
                .uid(user)
                .stderr(std::process::Stdio::null());
            let serving = async {
                loop {
                    socket.asked().await.answer(&Secret::new(b"s p".to_vec())).await;
                }
            };
            let output = tokio::select! {
                () = serving => unreachable!("it serves for ever"),
                output = python.output() => output.unwrap(),
            };
            // A connection that is closed with something unread is reset, and that is no answer either.
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told == said || user != own && told.is_empty(), "{user}: {told:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_it() {
        let socket = HelperSocket::listen().unwrap();
        let (place, name) = (socket.place(), socket.name.clone());
        let is_there = || std::fs::read_to_string("/proc/net/unix").unwrap().contains(&name);
        assert!(is_there());
        drop(socket);
        // Another test may start a program at this moment, which has it until that program runs.
        let start = std::time::Instant::now();
        while is_there() {
            assert!(start.elapsed() < Duration::from_mins(1), "it is still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(asked(place, "password?").await.is_err());
    }

    #[tokio::test]
    async fn the_user_is_the_owner_of_what_it_makes() {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(uid().unwrap(), tempfile::tempfile().unwrap().metadata().unwrap().uid());
    }
}
