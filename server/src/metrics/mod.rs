//! The HTTP listener for monitoring: `/metrics` for Prometheus and `/healthz` for whoever asks whether the
//! daemon serves. It changes nothing, and a client that is slow or silent costs one of a few places for a few
//! seconds and holds nothing else up: figures are copied in one step, and sending them is its own task's affair.

mod exposition;
mod process;
mod sample;

use elockd_server::Monitor;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sample::Sample;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// Clients at a time; more of them wait to be accepted.
const MOST_CLIENTS: usize = 16;
/// How long a client may take for everything: its request, and taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request, with its headers.
const REQUEST_BYTES: usize = 16 << 10;

/// The listener.
pub(crate) struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
    source: Arc<Source>,
}

/// What every answer is made of.
struct Source {
    monitor: Monitor,
    start: SystemTime,
}

impl Metrics {
    /// Listens on an address. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system says: the address is in use, not of this machine, or not allowed.
    pub(crate) fn bind(address: SocketAddr, monitor: Monitor) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        info!("listening on http {address}");
        Ok(Self { listener, address, source: Arc::new(Source { monitor, start: SystemTime::now() }) })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self) {
        const RETRY: Duration = Duration::from_millis(100);
        let places = Arc::new(Semaphore::new(MOST_CLIENTS));
        let mut is_failing = false;
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    is_failing = false;
                    let source = Arc::clone(&self.source);
                    tokio::spawn(async move {
                        answer(stream, source).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(
                            "cannot accept on http {}, trying again every {RETRY:?}: {error}",
                            self.address
                        );
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// One request of one client.
async fn answer(stream: TcpStream, source: Arc<Source>) {
    let service = service_fn(|request| {
        let response = respond(&request, &source);
        async { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES)
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off or is too slow has only itself to blame.
    let _ = timeout(PATIENCE, serving).await;
}

fn respond(request: &Request<Incoming>, source: &Source) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("it is a header's value"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let sample = Sample::take(&source.monitor, source.start);
            let mut response = Response::new(Full::new(exposition::text(sample).into()));
            let content_type = exposition::CONTENT_TYPE.parse().expect("it is a header's value");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        "/healthz" if source.monitor.is_shutting_down() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
        }
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
