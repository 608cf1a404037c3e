//! A client that speaks raw bytes over either kind of socket.

use super::{PATIENCE, shown};
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The kinds of listener that everything must work over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

impl Transport {
    pub(crate) const BOTH: [Self; 2] = [Self::Tcp, Self::Unix];
}

/// One connection. Reads and writes that take longer than [`PATIENCE`] panic.
pub(crate) struct Client {
    socket: Socket,
    /// Where a TCP client speaks from, as the daemon has to show it.
    local: Option<SocketAddr>,
    /// Received; the first `taken` bytes of it were asked for already.
    received: Vec<u8>,
    taken: usize,
}

impl Client {
    pub(crate) fn tcp(daemon: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&daemon, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        let local = stream.local_addr().unwrap();
        Self::new(OwnedFd::from(stream), Some(local))
    }

    /// The same from an address of this machine.
    pub(crate) fn tcp_from(local: IpAddr, daemon: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(daemon), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(local, 0).into()).unwrap();
        socket.connect_timeout(&daemon.into(), PATIENCE).unwrap();
        let local = socket.local_addr().unwrap().as_socket();
        Self::new(OwnedFd::from(socket), local)
    }

    pub(crate) fn unix(daemon: &Path) -> Self {
        let stream = UnixStream::connect(daemon).unwrap();
        Self::new(OwnedFd::from(stream), None)
    }

    /// Over what is connected already.
    pub(crate) fn over(socket: impl Into<OwnedFd>) -> Self {
        Self::new(socket.into(), None)
    }

    fn new(socket: OwnedFd, local: Option<SocketAddr>) -> Self {
        let socket = Socket::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, local, received: Vec::new(), taken: 0 }
    }

    /// The same connection once more, for another thread. What this one has buffered stays here.
    pub(crate) fn twin(&self) -> Self {
        Self::new(self.socket.try_clone().unwrap().into(), self.local)
    }

    /// The socket itself, for its options.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// The address that the daemon shows for this connection, which costs a `me` on a Unix socket.
    pub(crate) fn address(&mut self) -> String {
        if let Some(local) = self.local {
            return local.to_string();
        }
        let me = self.ask("me");
        let address = me.split(' ').nth(1).unwrap_or_default();
        assert!(address.starts_with("unix:"), "`me` says {me}");
        address.to_owned()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the daemon takes what it is sent");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        (&self.socket).write_all(bytes.as_ref())
    }

    /// Writes what fits, within the write timeout.
    pub(crate) fn try_send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.socket).write(bytes)
    }

    /// What was received and not yet asked for.
    fn unread(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    fn take(&mut self, count: usize) -> &[u8] {
        self.taken += count;
        &self.received[self.taken - count..self.taken]
    }

    /// Reads once. `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        self.received.drain(..std::mem::take(&mut self.taken));
        let mut scratch = [0; 16 << 10];
        let count = loop {
            match (&self.socket).read(&mut scratch) {
                // A signal came that is not ours to look at.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&scratch[..count]);
        Ok(count > 0)
    }

    fn must_fill(&mut self, wanted: &[u8]) -> bool {
        self.fill().unwrap_or_else(|error| {
            panic!("waiting for {}, having {}: {error}", shown(wanted), shown(self.unread()))
        })
    }

    /// Reads this many bytes, whatever they are.
    pub(crate) fn expect_bytes(&mut self, count: usize) {
        while self.unread().len() < count {
            assert!(self.must_fill(b""), "expected {count} bytes, got {} and the end", self.unread().len());
        }
        self.take(count);
    }

    /// The next line, without its end.
    pub(crate) fn line_bytes(&mut self) -> Vec<u8> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.unread()[seen..].iter().position(|byte| *byte == b'\n') {
                let line = self.take(seen + at + 1);
                return line[..seen + at].to_vec();
            }
            seen = self.unread().len();
            assert!(self.must_fill(b"\n"), "expected a line, got {} and the end", shown(self.unread()));
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let line = self.line_bytes();
        String::from_utf8(line).unwrap_or_else(|error| panic!("not UTF-8: {}", shown(error.as_bytes())))
    }

    /// The lines up to the empty one that ends a reply.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty())).collect()
    }

    /// One request and its one line of reply.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\n"));
        self.line()
    }

    /// The numbers among the figures of `q full`, which include those of `q`.
    pub(crate) fn figures(&mut self) -> BTreeMap<String, u64> {
        self.send("q full\n");
        let lines = self.lines();
        let parts = lines.iter().map(|line| line.split_once(": ").expect("a figure is `key: value`"));
        parts.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
    }

    /// One number of `q full`.
    pub(crate) fn figure(&mut self, key: &str) -> u64 {
        self.figures()[key]
    }

    /// The next bytes must be exactly these. Fails at the first byte that differs.
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.unread().len() < expected.len() && expected.starts_with(self.unread()) {
            let open = self.must_fill(expected);
            assert!(open, "expected {}\n     got {} and the end", shown(expected), shown(self.unread()));
        }
        let is_so = self.unread().starts_with(expected);
        assert!(is_so, "expected {}\n     got {}", shown(expected), shown(self.unread()));
        self.take(expected.len());
    }

    /// All that is still to come, up to an orderly end: a reset is a failure.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.must_fill(b"") {}
        let rest = self.unread().to_vec();
        self.taken += rest.len();
        rest
    }

    /// The stream must end here, in order.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "expected the end, got {}", shown(&rest));
    }

    /// Waits until the connection is no more, be it by FIN or by a reset, with whatever still comes.
    pub(crate) fn wait_for_end(&mut self) {
        loop {
            match self.fill() {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the daemon does not close")
                }
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// All that is still to come, up to an end of any kind.
    pub(crate) fn late(&mut self) -> String {
        self.wait_for_end();
        let late = String::from_utf8_lossy(self.unread()).into_owned();
        self.taken = self.received.len();
        late
    }

    /// Whether the connection is no more, with whatever came before. Does not wait.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let ended = loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => break true,
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        self.socket.set_nonblocking(false).unwrap();
        ended
    }

    /// Whether a reply has begun to arrive. Does not wait.
    pub(crate) fn has_reply(&mut self) -> bool {
        if self.unread().is_empty() {
            self.socket.set_nonblocking(true).unwrap();
            let _ = self.fill();
            self.socket.set_nonblocking(false).unwrap();
        }
        !self.unread().is_empty()
    }

    /// Sends FIN, if the connection is not over.
    pub(crate) fn try_half_close(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends FIN: nothing more will be asked, but answers are still read.
    pub(crate) fn half_close(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether bytes have arrived that were not read from the socket. Does not wait.
    pub(crate) fn waits_in_the_kernel(&self) -> bool {
        rustix::io::ioctl_fionread(&self.socket).unwrap() > 0
    }

    /// Ends the connection with a reset (TCP only).
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(self);
    }

    /// How long a blocked write waits from now on.
    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        self.socket.set_write_timeout(Some(timeout)).unwrap();
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
