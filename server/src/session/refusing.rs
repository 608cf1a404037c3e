//! Connections that are refused. They are told why, and then closed.

use super::alarm::Alarm;
use super::finishing::Flush;
use super::lingering::Linger;
use crate::listen::Stream;
use crate::places::{Closing, Places};
use elockd_core::Reason;
use elockd_core::wire::encode_reason;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// How long a socket without a place may stay open. The system takes the line sooner: the socket is new.
const MOMENT: Duration = Duration::from_millis(100);

/// Tells a connection why it is refused, and closes it. Its socket has a place.
pub(crate) async fn refuse<S: Stream>(stream: S, reason: Reason, places: Arc<Places>, closing: Closing) {
    // Its place is given back last, also if this is cut off.
    let _place = Leaving(places);
    let (closing, mut stream) = (closing, stream);
    let line = line(reason);
    let mut flush = Flush::of_refused(closing);
    let is_told = tokio::select! {
        biased;
        told = stream.write_all(&line) => told.is_ok(),
        () = poll_fn(|cx| flush.poll_cut_off(cx)) => false,
    };
    let mut linger = flush.linger();
    if is_told {
        poll_fn(|cx| linger.poll(&mut stream, cx)).await;
    }
    drop(stream);
    drop(linger);
}

/// Gives a socket's place back when it is dropped.
struct Leaving(Arc<Places>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The same for a socket for which there is no place: it does not wait for the peer. A peer that talks first may lose
/// the line, if its system is not Linux.
pub(crate) async fn refuse_at_once<S: Stream>(mut stream: S, reason: Reason) {
    if let Ok(Ok(())) = timeout(MOMENT, stream.write_all(&line(reason))).await {
        let mut linger = Linger::new(None, Alarm::after(Duration::ZERO));
        poll_fn(|cx| linger.poll(&mut stream, cx)).await;
    }
}

fn line(reason: Reason) -> Vec<u8> {
    let mut line = Vec::new();
    encode_reason(reason, &mut line);
    line
}
