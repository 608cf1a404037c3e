//! A network between elock and its daemon that can be cut or made silent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Forwards all that comes to its address.
pub(crate) struct Proxy {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    is_silent: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn to(daemon: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let is_silent = Arc::new(AtomicBool::new(false));
        let (all, silent) = (Arc::clone(&streams), Arc::clone(&is_silent));
        thread::spawn(move || {
            for near in listener.incoming().map(Result::unwrap) {
                let far = TcpStream::connect(daemon).unwrap();
                all.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                forward(near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&silent));
                forward(far, near, Arc::clone(&silent));
            }
        });
        Self { address, streams, is_silent }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes through, and nothing ends.
    pub(crate) fn be_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            // It fails if the stream has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_silent: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        loop {
            let bytes = match from.read(&mut piece) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            if is_silent.load(Ordering::SeqCst) {
                continue_for_ever();
            }
            if bytes == 0 || to.write_all(&piece[..bytes]).is_err() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
        }
    });
}

fn continue_for_ever() -> ! {
    loop {
        thread::park();
    }
}
