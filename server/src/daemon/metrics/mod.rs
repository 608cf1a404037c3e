//! The HTTP listener for monitoring: `/metrics` for Prometheus, and `/healthz` for readiness. It changes nothing. A
//! slow or silent client takes one of a few places for a few seconds, and delays nobody else: figures are copied in
//! one step and sent by a task of their own.

mod clustered;
mod described;
mod exposition;
mod process;
mod sample;

#[cfg(test)]
pub(crate) use described::table;

use crate::cluster::TellNode;
use elockd_server::Monitor;
use elockd_server::gate::Gate;
use elockd_server::listen::{Acceptor, Listener, Peer, TcpListener, TcpOptions, Tls};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sample::Sample;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

/// The most clients at a time. More clients wait to be accepted. The limit of open files leaves room for these.
pub(crate) const MOST_CLIENTS: usize = 16;
/// How long a client may take to send its request. It is short, so that silent clients soon make room for a health
/// check, which seldom waits for more than a few seconds.
const REQUEST_PATIENCE: Duration = Duration::from_secs(1);
/// How long a client may take to send its request and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of a request, with its headers.
const REQUEST_BYTES: usize = 16 << 10;

/// The listener.
pub(crate) struct Metrics<G: Gate> {
    acceptor: Acceptor<Http>,
    source: Arc<Source<G>>,
}

/// The same listener as for clients of locks, under another name in the log.
struct Http(TcpListener);

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http {}", self.0.address())
    }
}

impl Listener for Http {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        self.0.accept().await
    }
}

/// The source of every answer.
struct Source<G: Gate> {
    monitor: Monitor<G>,
    /// Tells of this node of a cluster, if it is one.
    node: Option<TellNode>,
    /// Its certificates.
    tls: Option<Tls>,
    start: SystemTime,
}

impl<G: Gate> Metrics<G> {
    /// Listens on an address. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The system's error: the address is in use, is not of this machine, or is not allowed.
    pub(crate) fn bind(
        address: SocketAddr,
        monitor: Monitor<G>,
        node: Option<TellNode>,
        tls: Option<Tls>,
    ) -> io::Result<Self> {
        // No timeout for dead peers: each client is cut off long before one would expire.
        let listener = Http(TcpListener::bind(address, TcpOptions { peer_timeout: None })?);
        info!("listening on {listener}");
        let source = Arc::new(Source { monitor, node, tls, start: SystemTime::now() });
        Ok(Self { acceptor: Acceptor::new(listener), source })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(mut self) {
        let places = Arc::new(Semaphore::new(MOST_CLIENTS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, _) = self.acceptor.next().await;
            let source = Arc::clone(&self.source);
            tokio::spawn(async move {
                answer(stream, source).await;
                drop(place);
            });
        }
    }
}

/// One request of one client.
async fn answer<G: Gate>(stream: TcpStream, source: Arc<Source<G>>) {
    let service = service_fn(|request| {
        let response = respond(&request, &source);
        async { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off or is too slow gets no answer. That needs no line in the log.
    let _ = timeout(PATIENCE, serving).await;
}

fn respond<G: Gate>(request: &Request<Incoming>, source: &Source<G>) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("it is a header's value"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let expiry = source.tls.as_ref().map_or(0, |tls| u64::try_from(tls.expiry()).unwrap_or(0));
            let sample =
                Sample::take(&source.monitor, source.node.as_ref().map(|tell| tell()), expiry, source.start);
            let mut response = Response::new(Full::new(exposition::text(sample).into()));
            let content_type = exposition::CONTENT_TYPE.parse().expect("it is a header's value");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        "/healthz" if source.monitor.is_shutting_down() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
        }
        "/healthz" if !source.monitor.is_serving() => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no quorum: this node serves nobody
",
        ),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let content_type = "text/plain; charset=utf-8".parse().expect("it is a header's value");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
