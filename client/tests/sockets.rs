//! Goal: the client works over real sockets, with and without async. Method: the production server in this process, on
//! a TCP port and a Unix socket. Nothing here depends on time being short.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_client::{Client, Error, Lost, Server as Address, blocking};
use elockd_server::listen::{AdminListener, TcpListener, TcpOptions, UnixListener};
use elockd_server::{Config, Server};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Much longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A daemon on a thread of its own.
struct Daemon {
    tcp: String,
    unix: PathBuf,
    admin: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (unix, admin) = (folder.path().join("locks"), folder.path().join("admin"));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let paths = (unix.clone(), admin.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let options = TcpOptions { peer_timeout: Some(Duration::from_secs(15)) };
                let tcp = TcpListener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
                let address = tcp.address();
                let server = Server::new(Config::default());
                server.listen(tcp);
                server.listen(UnixListener::bind(&paths.0, 0o600).unwrap());
                server.listen(AdminListener::bind(&paths.1, 0o600).unwrap());
                ready.send(address).unwrap();
                server
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await;
            });
        });
        let tcp = is_ready.recv().unwrap().to_string();
        Self { tcp, unix, admin, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tokio::test]
async fn over_tcp_and_unix_sockets_it_is_one_daemon() {
    let daemon = Daemon::start();
    let tcp = Client::connect(&daemon.tcp).await.unwrap();
    let unix = Client::connect(&format!("unix:{}", daemon.unix.display())).await.unwrap();
    let guard = tcp.lock("a").wait(PATIENCE).await.unwrap();
    assert!(matches!(unix.lock("a").try_now().await, Err(Error::Held { by: Some(_), .. })));
    let waiting = tokio::spawn(async move { unix.lock("a").wait(PATIENCE).await });
    while tcp.holders("a").await.unwrap().len() < 2 {}
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();

    let mut operator = BufReader::new(UnixStream::connect(&daemon.admin).await.unwrap());
    let holder = tcp.holder("a").await.unwrap().unwrap();
    operator.write_all(format!("kick {}\n", holder.address).as_bytes()).await.unwrap();
    let mut answer = String::new();
    operator.read_line(&mut answer).await.unwrap();
    assert!(answer.starts_with("1 Kick Success"), "{answer}");
    assert_eq!(guard.lost().await, Lost::Closed);
}

#[tokio::test]
async fn a_daemon_that_ends_is_told_and_another_address_is_tried() {
    let (mut first, second) = (Daemon::start(), Daemon::start());
    let servers: [Address; 2] = [first.tcp.parse().unwrap(), second.tcp.parse().unwrap()];
    let [one, two] = servers.clone();
    let client = Client::builder().server(one).server(two).connect().await.unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    assert_eq!(guard.server(), &servers[0]);
    tokio::task::spawn_blocking(move || first.stop()).await.unwrap();
    assert_eq!(guard.lost().await, Lost::Closed);
    let guard = client.lock("a").try_now().await.unwrap();
    assert_eq!(guard.server(), &servers[1]);
}

#[tokio::test]
async fn what_does_not_exist_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing");
    let error = Client::connect(path.to_str().unwrap()).await.unwrap_err();
    let Error::Unreachable(tried) = &error else { panic!("{error:?}") };
    assert_eq!(tried[0].0, Address::Unix(path.clone()));
    assert!(error.to_string().contains(&format!("unix:{}: ", path.display())), "{error}");
    assert!(matches!(Client::connect("::1").await, Err(Error::BadServer(_))));
}

/// Goal: whoever comes after a release finds the lock free. Method: processes of their own, as threads with clients of
/// their own, hand a lock over as fast as they can. Each try must succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_release_the_next_try_succeeds() {
    let daemon = Daemon::start();
    for round in 0..300 {
        let client = Client::connect(&daemon.tcp).await.unwrap();
        let guard = match round % 3 {
            0 => client.lock("a").try_now().await,
            1 => client.lock("a").linger(Duration::from_secs(30)).try_now().await,
            _ => client.lock("a").named("alice").try_now().await,
        };
        guard.unwrap().release().await.unwrap();
    }
}

#[test]
fn it_works_without_async() {
    let daemon = Daemon::start();
    let client = blocking::connect(&daemon.tcp).unwrap();
    let guard = client.lock("a").named("alice").try_now().unwrap();
    assert!(guard.is_held() && guard.token().is_some());
    assert_eq!(client.holder("a").unwrap().unwrap().name.as_deref(), Some(&b"alice"[..]));
    let waiting = thread::spawn({
        let client = client.clone();
        move || client.lock("a").wait(PATIENCE).unwrap()
    });
    while client.holders("a").unwrap().len() < 2 {}
    guard.release().unwrap();
    let guard = waiting.join().unwrap();
    assert_eq!(guard.lost_within(Duration::ZERO), None);

    let ended = thread::spawn({
        let client = client.clone();
        move || client.ended("a").get()
    });
    // A guard is dropped where there is no runtime.
    drop(guard);
    ended.join().unwrap().unwrap();
    let again = client.lock("a").wait(PATIENCE).unwrap();

    let mut session = client.session();
    let shares = [session.shared("s").limit(2).try_now().unwrap(), client.shared("s").get().unwrap()];
    assert!(matches!(client.shared("s").limit(2).try_now(), Err(Error::Held { .. })));
    assert!(matches!(session.lock("a").wait(Duration::ZERO), Err(Error::Timeout)));
    drop(shares);
    session.close().unwrap();

    let set = client.lock_all(["x", "y"], Some(PATIENCE)).unwrap();
    let slot = client.slot("gpu", 2, Some(PATIENCE)).unwrap();
    assert!(set.is_held() && slot.index() == 0);
    slot.release().unwrap();
    set.release().unwrap();
    client.rate("mails", 1, Duration::from_secs(30)).try_now().unwrap();
    assert!(matches!(client.rate("mails", 1, Duration::from_secs(30)).try_now(), Err(Error::Held { .. })));
    assert!(client.ping().is_ok() && client.stats().unwrap().contains_key("holds"));
    drop(daemon);
    assert_eq!(again.lost_within(PATIENCE), Some(Lost::Closed));
    assert!(matches!(client.ping(), Err(Error::Unreachable(_))));
}
