//! Daemons that speak TLS: whom the program trusts, who it is itself, and what a killed program leaves behind.

#[path = "../../../server/tests/tls/authority.rs"]
mod authority;

use crate::daemon::elock;
use crate::{poll, run};
use authority::{Authority, Issued};
use elockd_server::listen::{ClientAuth, TcpListener, TcpOptions, Tls, TlsFiles, TlsSetup};
use elockd_server::{Config, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A server that speaks nothing but TLS.
struct World {
    address: SocketAddr,
    authority: Authority,
    folder: TempDir,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl World {
    /// Its certificate has this name. With `asks`, clients need one too.
    fn start(name: &str, asks: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let own = authority.issue(name);
        let setup = TlsSetup::load(&TlsFiles {
            certificate: own.cert.into(),
            key: own.key.into(),
            client_authorities: asks.then(|| authority.file.clone().into()),
            client_auth: ClientAuth::Required,
        });
        let tls = Tls::new(setup.unwrap());
        let (stop, stopped) = oneshot::channel();
        let (tell_address, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::new(Config::default());
                let options = TcpOptions { peer_timeout: None };
                let tcp = TcpListener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
                tell_address.send(tcp.address()).unwrap();
                server.listen_through(tcp, tls);
                server.run(async { stopped.await.unwrap() }).await;
            });
        });
        Self { address: address.recv().unwrap(), authority, folder, running: Some((stop, thread)) }
    }

    /// The program, told where the daemon is.
    fn elock(&self, words: &[&str]) -> Command {
        let mut command = elock(words);
        command.env("ELOCK_SERVER", format!("tls://{}", self.address));
        command
    }

    /// The same, and whom to trust.
    fn trusting(&self, words: &[&str]) -> Command {
        let mut command = self.elock(words);
        command.env("ELOCK_TLS_CA", &self.authority.file);
        command
    }

    fn until_held(&self, name: &str, is_held: bool) {
        poll(&format!("{name} to be held: {is_held}"), || {
            let said = run(&mut self.trusting(&["ls"]));
            assert_ran(&said);
            (said.1.contains(name) == is_held).then_some(())
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }
}

fn assert_ran(said: &(i32, String, String)) {
    assert_eq!(said.0, 0, "{said:?}");
}

fn assert_refused(said: &(i32, String, String), reason: &str) {
    assert!(said.0 != 0 && said.2.contains(reason), "{reason}: {said:?}");
}

#[test]
fn a_daemon_is_trusted_if_its_authority_and_its_name_are_right() {
    let world = World::start("127.0.0.1", false);
    let trusted = run(&mut world.trusting(&["ping"]));
    assert_ran(&trusted);
    let flag = run(&mut world.elock(&["ping", "--tls-ca", &world.authority.file]));
    assert_ran(&flag);
    let nobody = TempDir::new().unwrap();
    let mut trusts_nobody = world.elock(&["ping"]);
    trusts_nobody.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", nobody.path());
    assert_refused(&run(&mut trusts_nobody), "trusts no authority");
    let of_system = run(world.elock(&["ping"]).env("SSL_CERT_FILE", &world.authority.file));
    assert_ran(&of_system);
    let stranger = Authority::new(world.folder.path(), "stranger");
    assert_refused(&run(&mut world.elock(&["ping", "--tls-ca", &stranger.file])), "UnknownIssuer");
    let other = run(&mut world.trusting(&["ping", "--tls-server-name", "locks.example"]));
    assert_refused(&other, "not valid for name");
    assert_refused(&run(&mut world.elock(&["ping", "--tls-ca", "/none"])), "cannot read /none");
}

#[test]
fn a_daemon_may_have_another_name_than_its_address() {
    let world = World::start("locks.example", false);
    assert_refused(&run(&mut world.trusting(&["ping"])), "not valid for name");
    let flag = run(&mut world.trusting(&["ping", "--tls-server-name", "locks.example"]));
    assert_ran(&flag);
    let config = world.folder.path().join("elock.toml");
    let table = format!("[tls]\nca = '{}'\nserver_name = 'locks.example'\n", world.authority.file);
    std::fs::write(&config, table).unwrap();
    let file = run(&mut world.elock(&["ping", "--config", config.to_str().unwrap()]));
    assert_ran(&file);
}

#[test]
fn a_client_shows_its_certificate() {
    let world = World::start("127.0.0.1", true);
    assert_refused(&run(&mut world.trusting(&["ping"])), "CertificateRequired");
    let Issued { cert, key, .. } = world.authority.issue("client");
    let shown = run(&mut world.trusting(&["ping", "--tls-cert", &cert, "--tls-key", &key]));
    assert_ran(&shown);
    let by_variables = run(world.trusting(&["ping"]).env("ELOCK_TLS_CERT", &cert).env("ELOCK_TLS_KEY", &key));
    assert_ran(&by_variables);
    assert_refused(
        &run(&mut world.trusting(&["ping", "--tls-cert", &cert])),
        "both --tls-cert and --tls-key",
    );
    let other = world.authority.issue("other");
    let mixed = run(&mut world.trusting(&["ping", "--tls-cert", &cert, "--tls-key", &other.key]));
    assert_refused(&mixed, "cannot use");
}

#[test]
fn plain_tcp_is_no_way_in() {
    let world = World::start("127.0.0.1", false);
    let said = run(world.elock(&["ping"]).env("ELOCK_SERVER", world.address.to_string()));
    assert_ne!(said.0, 0, "{said:?}");
}

/// Goal: a job that runs keeps its lock, also if elock is killed, and loses it with its end. Method: the job inherits
/// the socket. Nobody has the keys of TLS any more, and nobody needs them: the daemon waits for the end of the socket.
#[test]
fn a_killed_program_leaves_the_lock_to_its_job() {
    let world = World::start("127.0.0.1", false);
    let file = world.folder.path().join("pid");
    let job = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let mut command = world.trusting(&["run", "job", "--", "sh", "-c", &job]);
    let mut program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = poll("the job to run", || std::fs::read_to_string(&file).ok()?.trim().parse::<i32>().ok());
    world.until_held("job", true);
    program.kill().unwrap();
    program.wait().unwrap();
    // Long enough for a daemon that would notice: it answers others meanwhile.
    for _ in 0..20 {
        world.until_held("job", true);
    }
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    world.until_held("job", false);
}
