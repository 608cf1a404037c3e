//! Links over TLS: who is let in, what is said to the others, and certificates that change.

use super::*;
use crate::net::{Tls, TlsError, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// The files of a node, in a folder that goes with it.
struct NodeFiles {
    folder: TempDir,
}

impl NodeFiles {
    /// A certificate for `localhost` of one authority.
    fn of(authority: &Authority) -> Self {
        Self::with(&authority.pem, authority.issue("localhost", |_| {}))
    }

    fn with(authority: &str, certificate: (String, String)) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write(authority, certificate);
        files
    }

    fn write(&self, authority: &str, (certificate, key): (String, String)) {
        fs::write(self.path("ca.pem"), authority).unwrap();
        fs::write(self.path("cert.pem"), certificate).unwrap();
        fs::write(self.path("key.pem"), key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Tls, TlsError> {
        let files = TlsFiles {
            authority: self.path("ca.pem"),
            certificate: self.path("cert.pem"),
            key: self.path("key.pem"),
        };
        Tls::new(files, Some("localhost:7373"))
    }

    /// Why they cannot be used, without their folder.
    fn error(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().map(|_| ()).unwrap_err().to_string().replace(&folder, "")
    }
}

/// A node that answers over TLS at `localhost`.
struct TlsNode {
    answerer: Answerer,
    serving: Serving,
    port: u16,
}

impl TlsNode {
    async fn new(tls: &Tls) -> Self {
        let listener = tls.listen("127.0.0.1:0").await.unwrap();
        let port = listener.address().unwrap().port();
        let answerer = Answerer::new();
        let (bounds, admit) = (patient(), answerer.admit());
        let serving = serve(tls.clone(), listener, node(2), bounds, admit, answerer.clone());
        Self { answerer, serving, port }
    }

    fn links(&self, tls: &Tls, host: &str) -> Links<Tls> {
        links_to(tls.clone(), node(1), patient(), 2, &format!("{host}:{}", self.port))
    }
}

/// Goal: nodes of one authority have links, and their bytes come through whole. Method: requests of all sizes over TLS,
/// and a client's call.
#[tokio::test]
async fn nodes_of_one_authority_have_links() {
    let authority = Authority::new("ours");
    let (here, there) =
        (NodeFiles::of(&authority).load().unwrap(), NodeFiles::of(&authority).load().unwrap());
    let there = TlsNode::new(&there).await;
    let links = there.links(&here, "localhost");
    for bytes in [0, 1, 20_000, 1 << 20, Bounds::default().payload] {
        let payload: Vec<_> = (0..bytes).map(|at| (at % 251) as u8).collect();
        assert_eq!(echo(&links, 2, &payload).await, Ok(payload));
    }
    let address = format!("localhost:{}", there.port);
    let called = crate::net::call(&here, &address, ECHO, vec![7], LONG, &patient()).await;
    assert_eq!(called.map(|called| (called.by, called.answer)), Ok((node(2), vec![7])));
    assert_eq!((links.failures(), there.serving.refused()), (0, 0));
    drop((links, there));
    no_task_is_left().await;
}

/// Goal: who is not of the authority gets no link, at either end, and the reason is said. Method: a peer of another
/// authority; one that trusts ours but is not of it; one under another name; one without TLS; one without a
/// certificate.
#[tokio::test]
async fn all_others_are_refused_with_a_reason() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let there = TlsNode::new(&NodeFiles::of(&ours).load().unwrap()).await;
    let refused = async |tls: &Tls, host: &str, part: &str| {
        let reason = reason(echo(&there.links(tls, host), 2, b"x").await);
        assert!(reason.contains(part), "{reason:?} has no {part:?}");
    };
    let here = NodeFiles::of(&ours).load().unwrap();
    refused(&NodeFiles::of(&theirs).load().unwrap(), "localhost", "the certificate is of another authority")
        .await;
    let both = format!("{}{}", ours.pem, theirs.pem);
    let trusting = NodeFiles::with(&both, theirs.issue("localhost", |_| {})).load().unwrap();
    refused(&trusting, "localhost", "the other end does not know this end's authority").await;
    refused(&here, "127.0.0.1", "not valid for name").await;

    let plain = links_to(Tcp::plain(), node(1), patient(), 2, &format!("127.0.0.1:{}", there.port));
    assert_ne!(reason(echo(&plain, 2, b"x").await), "");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let tcp = TcpStream::connect(("127.0.0.1", there.port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, tcp).await.unwrap();
    stream.write_all(b"elockd/h").await.unwrap();
    let error = stream.read_u8().await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(there.answerer.begun.borrow().is_empty());
    let told = async {
        while there.serving.refused() < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();

    // The other way round: a node with TLS finds one without.
    let plain = PlainNode::new(2).await;
    let address = format!("localhost:{}", plain.address.rsplit_once(':').unwrap().1);
    let links = links_to(here, node(1), patient(), 2, &address);
    assert_ne!(reason(echo(&links, 2, b"x").await), "");
}

/// Goal: a mistake in the files is found when they are read, and the error names the file and the mistake. Method:
/// files with each mistake.
#[test]
fn mistakes_in_files_are_named() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let issue = |change: &dyn Fn(&mut CertificateParams)| ours.issue("localhost", change);
    let of = |certificate| NodeFiles::with(&ours.pem, certificate);
    let good = issue(&|_| {});
    assert!(of(good.clone()).load().is_ok());

    let expired = issue(&|params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = issue(&|params| params.not_before = date_time_ymd(2999, 1, 1));
    let one_sided = issue(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let both_sided = issue(&|params| {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert!(of(both_sided).load().is_ok());
    for (files, parts) in [
        (of(expired), ["cannot use cert.pem: the certificate cannot be used", "expired"]),
        (of(early), ["cannot use cert.pem: the certificate cannot be used", "not valid yet"]),
        (of(one_sided), ["cannot use cert.pem: the certificate cannot be used", "client"]),
        (of(ours.issue("elsewhere", |_| {})), ["cannot use cert.pem", "not valid for name \"localhost\""]),
        (of(theirs.issue("localhost", |_| {})), ["cannot use cert.pem", "of another authority"]),
        (of((good.0.clone(), issue(&|_| {}).1)), ["cannot use key.pem", "not the key of the certificate in"]),
        (of((good.1.clone(), good.1.clone())), ["cannot read cert.pem", "no certificate"]),
        (of((good.0.clone(), good.0.clone())), ["cannot read key.pem", "no private key"]),
        (NodeFiles::with("", good.clone()), ["cannot read ca.pem", "no certificate"]),
    ] {
        let error = files.error();
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} has not all of {parts:?}");
    }
    let files = of(good);
    fs::remove_file(files.path("key.pem")).unwrap();
    assert!(files.error().starts_with("cannot read key.pem: No such file"), "{}", files.error());
    fs::create_dir(files.path("key.pem")).unwrap();
    assert_eq!(files.error(), "cannot read key.pem: it is not a regular file");
    fs::remove_file(files.path("ca.pem")).unwrap();
    fs::write(files.path("ca.pem"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(files.error().starts_with("cannot read ca.pem: it has more than 1048576 bytes"));
    let nowhere = TlsFiles {
        authority: Path::new("/nonexistent").to_owned(),
        certificate: PathBuf::new(),
        key: PathBuf::new(),
    };
    assert_eq!(Tls::new(nowhere, Some("localhost")).unwrap_err().to_string(), "localhost is not HOST:PORT");
}

/// Goal: a reload takes effect for new links, leaves those that there are, and leaves all as it was if it fails.
/// Method: a node whose authority is replaced, with a link before and one after; then files with a mistake.
#[tokio::test]
async fn a_reload_is_for_new_links() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (here_files, there_files) = (NodeFiles::of(&old), NodeFiles::of(&old));
    let (here, there_tls) = (here_files.load().unwrap(), there_files.load().unwrap());
    let there = TlsNode::new(&there_tls).await;
    let before = there.links(&here, "localhost");
    assert_eq!(echo(&before, 2, b"x").await, Ok(b"x".to_vec()));

    there_files.write(&new.pem, new.issue("localhost", |_| {}));
    there_tls.reload().unwrap();
    assert_eq!(echo(&before, 2, b"x").await, Ok(b"x".to_vec()));
    let after = there.links(&here, "localhost");
    assert!(reason(echo(&after, 2, b"x").await).contains("of another authority"));
    here_files.write(&new.pem, new.issue("localhost", |_| {}));
    here.reload().unwrap();
    assert_eq!(echo(&after, 2, b"x").await, Ok(b"x".to_vec()));

    here_files.write(&new.pem, old.issue("localhost", |_| {}));
    assert!(here.reload().unwrap_err().to_string().contains("of another authority"));
    let third = there.links(&here, "localhost");
    assert_eq!(echo(&third, 2, b"x").await, Ok(b"x".to_vec()));
    assert_eq!(before.failures() + third.failures(), 0);
}

/// Goal: the commands of docs/cluster.md make files that nodes can use. Method: they are run, and the files of each
/// node are loaded under its name, and under another's.
#[test]
fn the_commands_of_the_page_work() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing");
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join("cluster.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("**1. Certificates.**").expect("the page makes certificates");
    let commands = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-ec", commands]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let load = |host: &str, advertised: &str| {
        let path = |end: &str| folder.path().join(end);
        let (certificate, key) = (path(&format!("{host}.crt")), path(&format!("{host}.key")));
        Tls::new(TlsFiles { authority: path("ca.crt"), certificate, key }, Some(advertised))
    };
    for host in ["a.example", "b.example", "c.example"] {
        load(host, &format!("{host}:9990")).unwrap();
    }
    let error = load("a.example", "b.example:9990").unwrap_err().to_string();
    assert!(error.contains("not valid for name \"b.example\""), "{error}");
}
