//! The ceiling: what the computer and the runtime allow a server that decides nothing. Like the daemon it has a
//! single-threaded tokio runtime and a task for each connection. It counts the lines of each read and writes as many
//! fixed replies at once.

use elockd_load::ECHO_REPLY;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The argument that makes a benchmark's program be the ceiling. A port comes after it.
pub(crate) const ARGUMENT: &str = "be-the-ceiling";

/// Bytes of a read.
const READ: usize = 8 << 10;
/// The same backlog as the daemon's.
const BACKLOG: u32 = 4096;

/// Serves for ever, if the arguments ask for it.
pub(crate) fn run_if_asked() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(ARGUMENT) {
        return Ok(());
    }
    let port = args.next().and_then(|port| port.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        serve(socket.listen(BACKLOG)?).await
    })
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    // As many replies as one read can ask for.
    let replies: &'static [u8] = ECHO_REPLY.repeat(READ).leak();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A connection that fails is over, like one that ends.
            let _ = answer(stream, replies).await;
        });
    }
}

async fn answer(mut stream: TcpStream, replies: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let lines = memchr::memchr_iter(b'\n', &buffer[..count]).count();
        stream.write_all(&replies[..lines * ECHO_REPLY.len()]).await?;
    }
}
