//! How a connection ended, in a word. Of what both sides saw, it names what came first. Beside it stands what the
//! server found out later, unless that is only the other side of the same event.

use crate::history::{Close, Connection};
use crate::log::Ended;
use elockd_core::{Cause, Reason};

/// How a connection ended; `None` if it has not ended.
pub(super) fn word(connection: &Connection, is_server_dead: bool) -> Option<String> {
    let client = connection.client.as_ref().and_then(|client| client.ended);
    let server = connection.server.as_ref().and_then(|server| server.closed);
    let own = client.filter(|(ended, at)| is_own(*ended) && server.is_none_or(|(_, closed)| *at < closed));
    match (own, server) {
        (Some((ended, _)), Some((close, _))) => Some(both(ended, close)),
        (_, Some((close, _))) => Some(server_word(close).to_owned()),
        (_, None) if is_server_dead && connection.server.is_some() => Some("server gone".to_owned()),
        (_, None) => client.map(|(ended, _)| client_word(ended).to_owned()),
    }
}

/// A client's end in a word.
pub(super) const fn client_word(ended: Ended) -> &'static str {
    match ended {
        Ended::Closed => "closed",
        Ended::Crashed => "crashed",
        Ended::Fin => "FIN",
        Ended::Broken => "reset",
    }
}

/// The server's end in a word.
pub(super) const fn server_word(close: Close) -> &'static str {
    match close {
        Close::Said(Cause::Eof) => "FIN",
        Close::Said(Cause::Error) => "reset",
        Close::Said(Cause::Stalled) => "stalled",
        Close::Said(Cause::Shutdown) => "shutdown",
        Close::Said(Cause::Quit) | Close::Decided(Reason::Quit) => "quit",
        Close::Said(Cause::Idle) | Close::Decided(Reason::Idle) => "idle",
        Close::Said(Cause::Kicked) | Close::Decided(Reason::Kicked) => "kicked",
        Close::Said(Cause::Resumed) | Close::Decided(Reason::Resumed) => "resumed",
        Close::Said(Cause::Refused) | Close::Decided(Reason::TooManyConnections) => "too many connections",
        Close::Said(Cause::NodeLost) => "node lost",
        Close::Decided(Reason::NoQuorum) => "no quorum",
    }
}

/// Whether the client itself ended it.
const fn is_own(ended: Ended) -> bool {
    matches!(ended, Ended::Closed | Ended::Crashed)
}

/// The client's action, which the server saw later.
fn both(ended: Ended, close: Close) -> String {
    let first = client_word(ended);
    match (ended, close) {
        (_, Close::Said(Cause::Eof)) | (Ended::Crashed, Close::Said(Cause::Error)) => first.to_owned(),
        (_, close) => format!("{first}, then {}", server_word(close)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use crate::timeline::scene::Scene;

    fn ended(act: impl FnOnce(&mut Scene)) -> Option<String> {
        let mut scene = Scene::new();
        scene.open(1, 0);
        act(&mut scene);
        let (plan, report) = scene.report();
        word(&History::new(&plan, &report.entries).connections[0], false)
    }

    #[test]
    fn an_end_is_named_by_who_came_first() {
        assert_eq!(ended(|_| {}), None);
        let closed = ended(|scene| {
            scene.end(1, Ended::Closed);
            scene.close(1, Cause::Eof);
        });
        assert_eq!(closed.as_deref(), Some("closed"));
        let reset = ended(|scene| {
            scene.end(1, Ended::Closed);
            scene.close(1, Cause::Error);
        });
        assert_eq!(reset.as_deref(), Some("closed, then reset"));
        let half_open = ended(|scene| {
            scene.end(1, Ended::Crashed);
            scene.disconnect(1, Reason::Idle);
        });
        assert_eq!(half_open.as_deref(), Some("crashed, then idle"));
        let idle = ended(|scene| {
            scene.disconnect(1, Reason::Idle);
            scene.end(1, Ended::Fin);
        });
        assert_eq!(idle.as_deref(), Some("idle"));
        let half_closed = ended(|scene| {
            scene.close(1, Cause::Eof);
            scene.end(1, Ended::Fin);
        });
        assert_eq!(half_closed.as_deref(), Some("FIN"));
    }

    #[test]
    fn a_client_alone_tells_its_own_end() {
        let broken = ended(|scene| {
            scene.end(1, Ended::Broken);
        });
        assert_eq!(broken.as_deref(), Some("reset"));
    }
}
