//! A connection that sends one request after the other and waits for each reply. It is for what is not measured itself,
//! such as taking a million locks and asking for figures.

use super::protocol::{Exchange, replies, requests};
use super::script::get_waiting;
use super::{LoadError, Protocol, Target, name};
use elockd_core::wire::read_figures;
use elockd_core::{Command, Kind, Reply};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

/// Requests that are sent at once. They are so few that neither side ever waits for the other to read.
const AT_ONCE: usize = 256;
/// How long it waits for a reply before it gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// How locks are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grip {
    /// Alone.
    Exclusive,
    /// Shared, as the Nth holder.
    Shared(u32),
}

/// A connection that sends one request after the other.
pub struct Caller {
    protocol: Protocol,
    stream: BufReader<TcpStream>,
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn connect(target: Target) -> Result<Self, LoadError> {
        let socket = TcpStream::connect(target.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { protocol: target.protocol, stream: BufReader::new(socket) })
    }

    /// Its own address.
    ///
    /// # Errors
    ///
    /// If the socket does not know.
    pub fn address(&self) -> Result<SocketAddr, LoadError> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// Gets the locks with these numbers, and holds them until it is dropped.
    ///
    /// # Errors
    ///
    /// If it does not get one of them.
    pub fn hold(&mut self, numbers: Range<usize>, grip: Grip) -> Result<(), LoadError> {
        let protocol = self.protocol;
        self.ask_each(numbers, |name| match grip {
            Grip::Exclusive => {
                let get = protocol.get(name);
                (get.request, get.yes)
            }
            Grip::Shared(nth) => {
                let got = Reply::Got { kind: Kind::Shared, holders: nth, name: name.as_bytes() };
                (requests(&[Command::get(Kind::Shared, name)]), replies(&[got]))
            }
        })
    }

    /// Checks that nobody holds the locks with these numbers, exclusive or shared.
    ///
    /// # Errors
    ///
    /// If somebody does.
    pub fn see_free(&mut self, numbers: Range<usize>) -> Result<(), LoadError> {
        self.ask_each(numbers, |name| {
            let free = |kind| Reply::Inspected { kind, holders: 0, name: name.as_bytes() };
            (requests(&Kind::ALL.map(|kind| Command::Inspect(kind, name))), replies(&Kind::ALL.map(free)))
        })
    }

    /// Has what it holds outlive it by so much.
    ///
    /// # Errors
    ///
    /// If the daemon refuses that.
    pub fn linger(&mut self, time: Duration) -> Result<(), LoadError> {
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let zeros = [b'0'; 32];
        let lingers = |key| replies(&[Reply::Lingers { key: Some(key), ms }]);
        self.stream.get_mut().write_all(&requests(&[Command::<&str>::Linger(ms)]))?;
        let mut heard = vec![0; lingers(&zeros).len()];
        self.stream.read_exact(&mut heard)?;
        // Only the daemon knows the key.
        let key = heard.split(|byte| *byte == b' ').find(|word| word.len() == zeros.len());
        let wanted = lingers(key.unwrap_or(&zeros));
        if heard == wanted { Ok(()) } else { Err(super::expect::difference(&wanted, &heard)) }
    }

    /// Waits until it has the lock with this number, at most a minute.
    ///
    /// # Errors
    ///
    /// If it does not get it.
    pub fn wait_for(&mut self, number: usize) -> Result<(), LoadError> {
        let Exchange { request, yes, .. } = get_waiting(&name(number));
        self.exchange(&request, &yes)
    }

    /// Gets one lock and releases it.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn get_and_release(&mut self, number: usize) -> Result<(), LoadError> {
        let name = name(number);
        for exchange in [self.protocol.get(&name), self.protocol.release(&name)] {
            self.exchange(&exchange.request, &exchange.yes)?;
        }
        Ok(())
    }

    /// All numbers in elockd's statistics (`q full`).
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn figures(&mut self) -> Result<BTreeMap<String, u64>, LoadError> {
        self.stream.get_mut().write_all(&requests(&[Command::Query { full: true }]))?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n\n") {
            if self.stream.read_until(b'\n', &mut answer)? == 0 {
                return Err(LoadError::Closed);
            }
        }
        let figures = read_figures(&answer).ok_or(LoadError::Closed)?;
        let number = |(key, value): (&str, &str)| Some((key.to_owned(), value.parse().ok()?));
        Ok(figures.into_iter().filter_map(number).collect())
    }

    /// One of elockd's figures. 0 if it is not shown yet.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn figure(&mut self, key: &str) -> Result<u64, LoadError> {
        Ok(self.figures()?.get(key).copied().unwrap_or_default())
    }

    /// Lists every hold and wait whose name begins with `prefix` (`ls PREFIX`). Returns the number of lines.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn list(&mut self, prefix: &str) -> Result<u64, LoadError> {
        self.stream.get_mut().write_all(format!("ls {prefix}\n").as_bytes())?;
        let mut lines = 0;
        let mut is_at_start = true;
        loop {
            let bytes = self.stream.fill_buf()?;
            if bytes.is_empty() {
                return Err(LoadError::Closed);
            }
            let length = bytes.len();
            for &byte in bytes {
                if byte != b'\n' {
                    is_at_start = false;
                } else if is_at_start {
                    self.stream.consume(length);
                    return Ok(lines);
                } else {
                    is_at_start = true;
                    lines += 1;
                }
            }
            self.stream.consume(length);
        }
    }

    fn ask_each(
        &mut self,
        numbers: Range<usize>,
        ask: impl Fn(&str) -> (Vec<u8>, Vec<u8>),
    ) -> Result<(), LoadError> {
        let (mut request, mut reply) = (Vec::new(), Vec::new());
        let mut numbers = numbers.peekable();
        while numbers.peek().is_some() {
            request.clear();
            reply.clear();
            for number in numbers.by_ref().take(AT_ONCE) {
                let (asked, answer) = ask(&name(number));
                request.extend(asked);
                reply.extend(answer);
            }
            self.exchange(&request, &reply)?;
        }
        Ok(())
    }

    fn exchange(&mut self, request: &[u8], reply: &[u8]) -> Result<(), LoadError> {
        self.stream.get_mut().write_all(request)?;
        let mut heard = vec![0; reply.len()];
        self.stream.read_exact(&mut heard)?;
        if heard == reply { Ok(()) } else { Err(super::expect::difference(reply, &heard)) }
    }
}
