//! The lapse over TLS: what the layer above has taken and not sent yet is late too, and must never be sent.

#[path = "../tls/authority.rs"]
mod authority;

use super::{LEASE, World, heard, over, set, settle};
use authority::Authority;
use elockd_cluster::Service;
use elockd_server::listen::{ClientAuth, Tls, TlsFiles, TlsSetup};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A node whose clients speak TLS, and the way to be one.
fn world() -> (World, TlsConnector) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let issued = authority.issue("daemon");
    let files = TlsFiles {
        certificate: issued.cert.into(),
        key: issued.key.into(),
        client_authorities: None,
        client_auth: ClientAuth::Optional,
    };
    let world = World::through(&Tls::new(TlsSetup::load(&files).unwrap()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    (world, TlsConnector::from(Arc::new(config)))
}

async fn connect(connector: &TlsConnector, stream: DuplexStream) -> TlsStream<DuplexStream> {
    connector.connect(ServerName::try_from("daemon").unwrap(), stream).await.unwrap()
}

async fn line(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_has_a_request_under_way_hears_why_and_the_close_is_clean() {
    let (world, connector) = world();
    let mut client = connect(&connector, world.connect(1)).await;
    assert_eq!(line(&mut client, "g x\n").await, "1 Lock Get Success: x\n");
    world.hold();
    client.write_all(b"r x\n").await.unwrap();
    client.flush().await.unwrap();
    settle().await;
    set(&world.nodes[0].hand, LEASE.0);
    world.nodes[0].inside.lapse();
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("close_notify comes before the end");
    assert_eq!(text, "0 No Quorum\n");
    assert_eq!(world.nodes[0].service(), Service::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_half_sent_is_never_completed() {
    let (world, connector) = world();
    let near = world.nodes[0].connect_with(600);
    let mut client = connect(&connector, near).await;
    assert_eq!(line(&mut client, "ping\n").await, "1 pong\n");
    // Some replies fit into its buffer, and then a record only in part.
    for _ in 0..3 {
        client.write_all(&b"help\n".repeat(4)).await.unwrap();
        client.flush().await.unwrap();
        settle().await;
    }
    set(&world.nodes[0].hand, LEASE.0);
    world.nodes[0].inside.lapse();
    settle().await;
    sleep(Duration::from_millis(150)).await;
    assert_eq!(world.nodes[0].service(), Service::Silent);
    // The raw bytes are those that the buffer had.
    let (mut raw, _) = client.into_inner();
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.len() <= 600, "{} bytes", bytes.len());
}

/// Goal: a handshake that is over when the lease is not is the last thing a lapsed node writes. Method: the peer is
/// silent in the middle of the handshake.
#[tokio::test(start_paused = true)]
async fn a_handshake_is_not_gone_on_with_after_the_lapse() {
    let (world, connector) = world();
    let mut silent = world.connect(1);
    settle().await;
    set(&world.nodes[0].hand, LEASE.0);
    world.nodes[0].inside.lapse();
    sleep(Duration::from_millis(150)).await;
    assert_eq!(world.nodes[0].service(), Service::Silent);
    assert_eq!(heard(&mut silent).await, over(""));
    // Without a lease a handshake is done, so that the peer can be told.
    let mut refused = connect(&connector, world.connect(1)).await;
    let mut text = String::new();
    refused.read_to_string(&mut text).await.expect("close_notify comes before the end");
    assert_eq!(text, "0 No Quorum\n");
}
