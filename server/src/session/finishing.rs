//! The end of a connection: its locks go first, then it gets what it is still owed, then the socket is closed.

use super::{End, LINGER, Session};
use crate::gate::{Gate, GateHandle};
use elockd_core::wire::encode_reason;
use elockd_core::{Cause, Reason};
use elockd_core::{bug, mark};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

impl<S: AsyncRead + AsyncWrite + Unpin, G: Gate> Session<S, G> {
    /// The end of a connection: its locks go first, then it gets what it is still owed.
    pub(super) async fn finish(mut self, end: End) {
        let now = self.now();
        let cause = match end {
            End::Error => Cause::Error,
            End::Stalled => Cause::Stalled,
            End::Eof => Cause::Eof,
            End::Closed(Reason::Idle) => Cause::Idle,
            End::Closed(Reason::Kicked) => Cause::Kicked,
            End::Closed(Reason::Quit | Reason::TooManyConnections) => Cause::Quit,
            End::Drained => Cause::Shutdown,
        };
        if matches!(end, End::Eof) && bug!(LocksAreHeldWhileFlushing) {
            self.send_rest().await;
        }
        if let End::Closed(reason) = end {
            self.handle.closed();
            encode_reason(reason, self.unsent());
        } else {
            let owed = self.handle.close(now, cause);
            if !owed.is_empty() {
                self.tell_answer(&owed);
                self.unsent().extend(owed);
            }
        }
        if let Some(teller) = self.teller.take() {
            teller.disconnected(cause).await;
        }
        match end {
            End::Error => mark!(ConnectionFailed),
            End::Stalled => mark!(PeerStalled),
            End::Eof => {
                if self.unsent_len() > 0 {
                    mark!(ReplyAfterFin);
                }
                if !bug!(RepliesAreDroppedAtFin) {
                    self.send_rest().await;
                }
            }
            End::Closed(_) | End::Drained => self.close_in_order().await,
        }
    }

    async fn close_in_order(mut self) {
        if self.send_rest().await {
            close_first(self.stream).await;
        }
    }
}

/// Closes a connection whose peer has not: FIN, then its input is taken and dropped until it closes too.
pub(super) async fn close_first<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if bug!(NoLinger) {
        return;
    }
    let linger = async {
        stream.shutdown().await?;
        let mut dropped = [0; 1024];
        while stream.read(&mut dropped).await? > 0 {}
        std::io::Result::Ok(())
    };
    // However it goes, the connection is over.
    let _ = timeout(LINGER, linger).await;
}
