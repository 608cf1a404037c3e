//! The log, connection by connection: what each client sent and received and when, beside what the server applied and
//! told it and when. A time here is a place in the log, which orders everything.

mod sessions;

use crate::conversation::Conversation;
use crate::log::{Applied, Ended, Entry, Event, Life, Told};
use crate::plan::Plan;
use crate::script::{Client, Fault, Host};
use elockd_core::{Addr, Cause, Command, Conn, Input, Now, Reason, Reply};
use sessions::ToldSessions;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// A place in the log.
pub type Place = usize;

/// One connection, from both sides.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address that it came from.
    pub addr: SocketAddr,
    /// The client's side; `None` if the log has none.
    pub client: Option<ClientSide>,
    /// The server's side; `None` if it was never accepted.
    pub server: Option<ServerSide>,
}

/// A connection as its client saw it.
#[derive(Clone, Debug)]
pub struct ClientSide {
    /// The client.
    pub client: Client,
    /// The host that the client was on.
    pub host: Host,
    /// When it was connected.
    pub connected: Place,
    /// Its requests.
    pub requests: Vec<Request>,
    /// All bytes that it wrote.
    pub sent: Vec<u8>,
    /// All bytes that it read.
    pub received: Vec<u8>,
    /// When it read bytes.
    pub received_at: Vec<Place>,
    /// The start of a reply whose end it did not get.
    pub rest: Vec<u8>,
    /// Bytes that it read and that answer nothing.
    pub stray: Option<Vec<u8>>,
    /// When it sent FIN and went on reading.
    pub half_closed: Option<Place>,
    /// How it ended, and when.
    pub ended: Option<(Ended, Place)>,
}

/// A request, as its client saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request line.
    pub command: Command<Vec<u8>>,
    /// When its last byte was written.
    pub sent: Place,
    /// The whole answer, and when its last byte was read.
    pub answer: Option<(Vec<u8>, Place)>,
}

/// A connection as the server saw it.
#[derive(Clone, Debug)]
pub struct ServerSide {
    /// The life of the server that accepted it.
    pub life: Life,
    /// Its number in that life.
    pub conn: Conn,
    /// Its address, as the server shows it.
    pub shown: Vec<u8>,
    /// When it was opened in the machine.
    pub opened: Place,
    /// The commands that were applied, in order.
    pub commands: Vec<Run>,
    /// Why it ended in the machine, and when.
    pub closed: Option<(Close, Place)>,
    /// The same, with the step within that place.
    pub closed_at: Option<Moment>,
    /// When nothing lingered any more of what it held. `None` as long as it lives or lingers, or if another connection
    /// has taken that over.
    pub released: Option<Moment>,
    /// The connections whose holds it took over, and when.
    pub took_over: Vec<(Place, Conn)>,
    /// The names that it had registered, and since when. An empty one is none.
    pub names: Vec<(Place, Vec<u8>)>,
    /// How many bytes had been read, after each read.
    pub read: Vec<(Place, usize)>,
    /// How many bytes had been written, after each write.
    pub wrote: Vec<(Place, usize)>,
    /// When FIN was read.
    pub fin: Option<Place>,
    /// When reading or writing failed.
    pub failed: Option<Place>,
    /// When the server dropped its stream, and since when the peer had taken nothing.
    pub dropped: Option<(Place, Option<u32>)>,
}

impl ServerSide {
    /// The name it had registered at a place in the log, if it had one.
    #[must_use]
    pub fn registered(&self, place: Place) -> Option<&Vec<u8>> {
        let named = self.names.iter().rev().find(|(since, _)| *since < place);
        named.map(|(_, name)| name).filter(|name| !name.is_empty())
    }

    /// Whether it was ever told this key, or has resumed with it.
    #[must_use]
    pub fn has_had(&self, wanted: &[u8]) -> bool {
        self.commands.iter().any(|run| {
            let Some(Told::Reply(reply)) = &run.told else { return false };
            match (&run.command, Reply::read(reply)) {
                (_, Some(Reply::Lingers { key, .. })) => key == Some(wanted),
                (Command::Resume(key), Some(Reply::Resumed { .. })) => key == wanted,
                _ => false,
            }
        })
    }
}

/// A command, as the server saw it.
#[derive(Clone, Debug)]
pub struct Run {
    /// The command.
    pub command: Command<Vec<u8>>,
    /// When it was applied.
    pub applied: Place,
    /// Its outcome, if it had one. For a wait, the outcome that ended it, as soon as there is one.
    pub told: Option<Told>,
    /// When the outcome was told: for a wait, later than the command was applied.
    pub told_at: Moment,
    /// Whether it was a wait.
    pub has_waited: bool,
}

impl Run {
    /// Its reply, if it was told before a place in the log.
    #[must_use]
    pub fn reply_by(&self, place: Place) -> Option<&Told> {
        let is_reply = |told: &&Told| matches!(told, Told::Reply(_) | Told::Listing(..));
        self.told.as_ref().filter(is_reply).filter(|_| self.told_at.place <= place)
    }
}

/// A place in the log, and a step within it: the outcomes of one input have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The place.
    pub place: Place,
    /// 0 is the input itself; its outcomes are numbered from 1.
    pub part: usize,
}

/// Why a connection ended in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The server reported it.
    Said(Cause),
    /// The machine decided it.
    Decided(Reason),
}

impl ServerSide {
    /// Notes an outcome: the end of its wait, or else the outcome of its last command.
    fn told(&mut self, told: &Told, moment: Moment) {
        let is_asked = |run: &Run| run.applied == moment.place && run.told.is_none();
        let waiting = self.commands.iter().rposition(|run| run.told == Some(Told::Wait));
        let asked = self.commands.iter().rposition(is_asked);
        let Some(run) = waiting.or(asked).map(|at| &mut self.commands[at]) else { return };
        run.has_waited |= *told == Told::Wait;
        run.told = Some(told.clone());
        run.told_at = moment;
    }

    fn close(&mut self, close: Close, at: Moment) {
        if self.closed.is_none() {
            (self.closed, self.closed_at) = (Some((close, at.place)), Some(at));
        }
    }

    /// Bytes of replies that had been told and not written at a place in the log; `None` if a listing was told
    /// before, because nobody counts the bytes of listings.
    #[must_use]
    pub fn unsent(&self, place: Place) -> Option<usize> {
        let mut told = 0;
        for run in self.commands.iter().take_while(|run| run.applied <= place) {
            match run.reply_by(place) {
                Some(Told::Reply(reply)) => told += reply.len(),
                Some(Told::Listing(..)) => return None,
                Some(Told::Wait | Told::Disconnect(_)) | None => {}
            }
        }
        let wrote = self.wrote.iter().take_while(|(at, _)| *at <= place).last();
        Some(told.saturating_sub(wrote.map_or(0, |(_, total)| *total)))
    }
}

impl Connection {
    /// Whether the server may have stopped reading at a place in the log, because it had too much to send.
    #[must_use]
    pub fn is_busy(&self, place: Place) -> bool {
        /// Bytes of unsent replies at which the server reads no further.
        const MUCH: usize = 64 << 10;
        let Some(server) = &self.server else { return false };
        let is_answered = |number: usize| {
            let request = self.client.as_ref().and_then(|client| client.requests.get(number));
            request.is_some_and(|request| request.answer.as_ref().is_some_and(|(_, at)| *at <= place))
        };
        if let Some(unsent) = server.unsent(place) {
            return unsent >= MUCH;
        }
        // The length of a listing is unknown. Once the client has read it and all replies after it, nothing is left.
        let mut run = server.commands.iter().enumerate().take_while(|(_, run)| run.applied <= place);
        run.any(|(number, run)| run.reply_by(place).is_some() && !is_answered(number))
    }
}

/// Every connection of a run.
#[derive(Clone, Debug)]
pub struct History {
    /// The connections, in the order of their first appearance.
    pub connections: Vec<Connection>,
    /// When each of the server's lives ended, in order or killed.
    pub ends: BTreeMap<Life, Place>,
}

impl History {
    /// Reads a log.
    #[must_use]
    pub fn new(plan: &Plan, entries: &[Entry]) -> Self {
        let mut reader = Reader::new(plan);
        for (place, entry) in entries.iter().enumerate() {
            reader.read(place, &entry.event);
        }
        for (at, conversation) in reader.conversations {
            if let Some(client) = &mut reader.connections[at].client {
                client.rest = conversation.rest().to_vec();
            }
        }
        Self { connections: reader.connections, ends: reader.ends }
    }
}

struct Reader<'a> {
    plan: &'a Plan,
    connections: Vec<Connection>,
    conversations: BTreeMap<usize, Conversation>,
    by_addr: BTreeMap<SocketAddr, usize>,
    by_client: BTreeMap<Client, usize>,
    by_conn: BTreeMap<(Life, Conn), usize>,
    ends: BTreeMap<Life, Place>,
    sessions: ToldSessions,
    /// Operators that are accepted and not open yet.
    operators: VecDeque<SocketAddr>,
    /// The server's present life.
    life: Life,
}

impl<'a> Reader<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            connections: Vec::new(),
            conversations: BTreeMap::new(),
            by_addr: BTreeMap::new(),
            by_client: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            ends: BTreeMap::new(),
            sessions: ToldSessions::default(),
            operators: VecDeque::new(),
            life: Life::default(),
        }
    }

    fn read(&mut self, place: Place, event: &Event) {
        match event {
            Event::Connected { client, host, addr, .. } => self.connected(place, *client, *host, *addr),
            Event::Sent(client, bytes) => self.sent(place, *client, bytes),
            Event::Received(client, bytes) => self.received(place, *client, bytes),
            Event::HalfClosed(client) => {
                if let Some((_, side)) = self.client(*client) {
                    side.half_closed = Some(place);
                }
            }
            Event::Ended(client, ended) => {
                if let Some((_, side)) = self.client(*client) {
                    side.ended = Some((*ended, place));
                }
            }
            Event::Applied(applied) => self.applied(place, applied),
            Event::ReadBytes { addr, bytes } => {
                if let Some(server) = self.server_at(*addr) {
                    let before = server.read.last().map_or(0, |(_, total)| *total);
                    server.read.push((place, before + bytes));
                }
            }
            Event::WroteBytes { addr, bytes } => {
                if let Some(server) = self.server_at(*addr) {
                    let before = server.wrote.last().map_or(0, |(_, total)| *total);
                    server.wrote.push((place, before + bytes));
                }
            }
            Event::ReadEnd { addr, is_fin } => {
                if let Some(server) = self.server_at(*addr) {
                    if *is_fin {
                        server.fin = Some(place);
                    } else {
                        server.failed.get_or_insert(place);
                    }
                }
            }
            Event::Dropped { addr, blocked_since_ms } => {
                if let Some(server) = self.server_at(*addr) {
                    server.dropped = Some((place, *blocked_since_ms));
                }
            }
            Event::ServerEnded(life) => {
                self.ends.entry(*life).or_insert(place);
            }
            Event::ServerStarted(life) => {
                self.life = *life;
                self.operators.clear();
            }
            Event::Fault(Fault::KillServer) => {
                self.ends.entry(self.life).or_insert(place);
            }
            Event::OperatorAccepted(addr) => self.operators.push_back(*addr),
            Event::NotConnected(_) | Event::Fault(_) | Event::LivenessBegins => {}
        }
    }

    /// The connection from an address. No address is used twice in a run.
    fn at(&mut self, addr: SocketAddr) -> usize {
        let next = self.connections.len();
        let at = *self.by_addr.entry(addr).or_insert(next);
        if at == next {
            self.connections.push(Connection { addr, client: None, server: None });
        }
        at
    }

    fn connected(&mut self, place: Place, client: Client, host: Host, addr: SocketAddr) {
        let at = self.at(addr);
        assert!(self.connections[at].client.is_none(), "{addr} was used twice");
        self.connections[at].client = Some(ClientSide {
            client,
            host,
            connected: place,
            requests: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            received_at: Vec::new(),
            rest: Vec::new(),
            stray: None,
            half_closed: None,
            ended: None,
        });
        self.by_client.insert(client, at);
        let settings = &self.plan.server;
        self.conversations.insert(at, Conversation::new(settings.line_bytes, settings.silent_errors));
    }

    fn client(&mut self, client: Client) -> Option<(usize, &mut ClientSide)> {
        let at = *self.by_client.get(&client)?;
        Some((at, self.connections[at].client.as_mut()?))
    }

    fn sent(&mut self, place: Place, client: Client, bytes: &[u8]) {
        let Some(at) = self.by_client.get(&client).copied() else { return };
        let conversation = self.conversations.get_mut(&at).expect("each client has a conversation");
        let made = conversation.said(bytes);
        let Some((_, side)) = self.client(client) else { return };
        side.sent.extend(bytes);
        side.requests.extend(made.into_iter().map(|command| Request { command, sent: place, answer: None }));
    }

    fn received(&mut self, place: Place, client: Client, bytes: &[u8]) {
        let Some(at) = self.by_client.get(&client).copied() else { return };
        let conversation = self.conversations.get_mut(&at).expect("each client has a conversation");
        let heard = conversation.heard(bytes);
        let Some((_, side)) = self.client(client) else { return };
        side.received.extend(bytes);
        side.received_at.push(place);
        match heard {
            Ok(answers) => {
                for answer in answers {
                    side.requests[answer.request].answer = Some((answer.bytes, place));
                }
            }
            Err(stray) => {
                side.stray.get_or_insert(stray);
            }
        }
    }

    fn server_at(&mut self, addr: SocketAddr) -> Option<&mut ServerSide> {
        let at = *self.by_addr.get(&addr)?;
        self.connections[at].server.as_mut()
    }

    fn applied(&mut self, place: Place, applied: &Applied) {
        let Applied { life, now, input, told, .. } = applied;
        for (life, conn) in self.sessions.due(*life, *now) {
            self.released(life, conn, Moment { place, part: 0 });
        }
        match input {
            Input::Opened(conn, origin) => {
                let addr = match origin.addr {
                    Addr::Ip(addr) => addr,
                    Addr::Unix(_) => self.operators.pop_front().expect("only operators have no address"),
                };
                let at = self.at(addr);
                assert!(self.connections[at].server.is_none(), "{addr} was used twice");
                self.by_conn.insert((*life, *conn), at);
                self.connections[at].server = Some(ServerSide {
                    life: *life,
                    conn: *conn,
                    shown: origin.addr.to_string().into_bytes(),
                    opened: place,
                    commands: Vec::new(),
                    closed: None,
                    closed_at: None,
                    released: None,
                    took_over: Vec::new(),
                    names: Vec::new(),
                    read: Vec::new(),
                    wrote: Vec::new(),
                    fin: None,
                    failed: None,
                    dropped: None,
                });
            }
            Input::Command(conn, command) => {
                if let Some(server) = self.server(*life, *conn)
                    && server.closed.is_none()
                {
                    server.commands.push(Run {
                        command: command.clone(),
                        applied: place,
                        told: None,
                        told_at: Moment { place, part: 0 },
                        has_waited: false,
                    });
                }
            }
            Input::Closed(..)
            | Input::Gone(_)
            | Input::Tick
            | Input::Lapse { .. }
            | Input::Drain(_)
            | Input::Tokens { .. }
            | Input::Accounts(_) => {}
        }
        let moments = (1..).map(|part| Moment { place, part });
        for ((to, told), moment) in told.iter().zip(moments) {
            let Some(server) = self.server(*life, *to) else { continue };
            if let Told::Disconnect(reason) = told {
                // A command of a connection that was just closed as idle is not run.
                if *reason == Reason::Idle && server.commands.last().is_some_and(|run| run.applied == place) {
                    server.commands.pop();
                }
                server.close(Close::Decided(*reason), moment);
                // What is resumed is over for the old connection, and for nobody else.
                if *reason != Reason::Resumed {
                    self.ended(*life, *to, None, *now, moment);
                }
            } else {
                server.told(told, moment);
                self.heard(applied, *to, told, moment);
            }
        }
        if let Input::Closed(conn, cause) = input
            && let Some(server) = self.server(*life, *conn)
            && server.closed.is_none()
        {
            // Its own outcome comes before the grants to others.
            let part = told.iter().rposition(|(to, _)| to == conn).map_or(0, |at| at + 1);
            server.close(Close::Said(*cause), Moment { place, part });
            self.ended(*life, *conn, Some(*cause), *now, Moment { place, part });
        }
    }

    /// Notes what a reply says of sessions and names.
    fn heard(&mut self, applied: &Applied, to: Conn, told: &Told, moment: Moment) {
        let life = applied.life;
        let (Told::Reply(text), Input::Command(by, command)) = (told, &applied.input) else { return };
        let Some(reply) = Reply::read(text).filter(|_| *by == to) else { return };
        match (reply, command) {
            (Reply::Lingers { key, ms }, _) => self.sessions.lingers((life, to), key, ms),
            (Reply::Resumed { .. }, Command::Resume(key)) => {
                let Some((_, old)) = self.sessions.resumed((life, to), key) else { return };
                let name = self.server(life, old).and_then(|old| old.registered(moment.place)).cloned();
                if let Some(server) = self.server(life, to) {
                    server.took_over.push((moment.place, old));
                    server.names.extend(name.map(|name| (moment.place, name)));
                }
            }
            (Reply::Kicked { .. }, Command::Kick(wanted)) => {
                for (life, conn) in self.sessions.kicked(life, wanted) {
                    self.released(life, conn, moment);
                }
            }
            (Reply::Registered, Command::Iam(name)) => {
                if let Some(server) = self.server(life, to) {
                    server.names.push((moment.place, name.clone()));
                }
            }
            _ => {}
        }
    }

    /// A connection has ended in the machine: for this cause, or because the machine decided it.
    fn ended(&mut self, life: Life, conn: Conn, cause: Option<Cause>, now: Now, moment: Moment) {
        let Some(server) = self.server(life, conn) else { return };
        let addr = [b"~", &server.shown[..]].concat();
        let name = server.registered(Place::MAX).cloned();
        if !self.sessions.closed((life, conn), cause, now, [Some(addr), name]) {
            self.released(life, conn, moment);
        }
    }

    fn released(&mut self, life: Life, conn: Conn, moment: Moment) {
        if let Some(server) = self.server(life, conn) {
            server.released.get_or_insert(moment);
        }
    }

    fn server(&mut self, life: Life, conn: Conn) -> Option<&mut ServerSide> {
        let at = *self.by_conn.get(&(life, conn))?;
        self.connections[at].server.as_mut()
    }
}
