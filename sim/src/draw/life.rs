//! The life of one client, and the habits that all clients of a run have in common.

use super::Rng;
use super::lines::{Lines, piece_at};
use crate::plan::Network;
use crate::script::{Action, Client, Step};

/// How clients behave in one run.
pub(super) struct Habits {
    /// Number of requests of one client.
    requests: (u32, u32),
    /// Milliseconds between two requests, and the percentage of cases without a pause.
    pause_ms: u32,
    pipelined: u32,
    /// Percentage of lines that are written in pieces.
    pieces: u32,
    /// Percentage of requests before which a client stops reading for a while.
    deaf: u32,
    /// Percentage of these cases in which it then asks for much at once.
    pub(super) flood: u32,
    /// How clients end, by weight.
    ends: [(End, u32); 6],
}

#[derive(Clone, Copy, Debug)]
enum End {
    Stay,
    Close,
    HalfClose,
    Quit,
    CutOffLine,
    Reset,
}

impl Habits {
    pub(super) fn draw(rng: &mut Rng, network: &Network) -> Self {
        let mut ends = [
            (End::Stay, 4),
            (End::Close, 4),
            (End::HalfClose, 2),
            (End::Quit, 1),
            (End::CutOffLine, 2),
            (End::Reset, 2),
        ];
        for end in &mut ends[1..] {
            if rng.percent(30) {
                end.1 = 0;
            }
        }
        // Through a small window, large replies take too long.
        let may_flood = network.window_bytes >= 4_096 && network.read_bytes >= 40;
        Self {
            requests: rng.of(&[(1, 8), (4, 30), (20, 60)]),
            pause_ms: rng.of(&[2, 10, 40]),
            pipelined: rng.of(&[0, 30, 80]),
            pieces: rng.of(&[0, 10, 40]),
            deaf: rng.of(&[0, 0, 3]),
            flood: if may_flood { rng.of(&[0, 50]) } else { 0 },
            ends,
        }
    }
}

/// One client's life while it is drawn.
pub(super) struct ClientLife<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) client: Client,
    pub(super) at_ms: u32,
    pub(super) script: &'a mut Vec<Step>,
}

impl ClientLife<'_> {
    pub(super) fn act(&mut self, after_ms: u32, action: Action) {
        self.at_ms += after_ms;
        self.script.push(Step { at_ms: self.at_ms, action });
    }

    /// A client's life. It may come back as one of the first `clients`.
    pub(super) fn live(&mut self, lines: &Lines, habits: &Habits, clients: u32, duration_ms: u32) {
        let mut mine = Vec::new();
        let mut is_deaf = false;
        if lines.may_resume() && self.rng.percent(20) {
            let pause = self.rng.between(0, 30);
            self.resume(pause, clients);
        }
        for _ in 0..self.rng.between(habits.requests.0, habits.requests.1) {
            if self.at_ms >= duration_ms {
                return;
            }
            if is_deaf && self.rng.percent(15) {
                let pause = self.rng.between(1, 300);
                self.act(pause, Action::Hear(self.client));
                is_deaf = false;
            } else if !is_deaf && self.rng.percent(habits.deaf) {
                self.act(1, Action::Deafen(self.client));
                is_deaf = true;
                if self.rng.percent(habits.flood) {
                    let helps = self.rng.between(20, 400) as usize;
                    self.act(0, Action::Say(self.client, b"help\n".repeat(helps)));
                }
            }
            let pause =
                if self.rng.percent(habits.pipelined) { 0 } else { self.rng.between(1, habits.pause_ms) };
            if lines.may_resume() && self.rng.percent(2) {
                self.resume(pause, clients);
                continue;
            }
            let line = lines.line(self.rng, &mut mine);
            match piece_at(self.rng, habits.pieces, &line) {
                Some(at) => {
                    self.act(pause, Action::Say(self.client, line[..at].to_vec()));
                    let between = self.rng.between(1, 5);
                    self.act(between, Action::Say(self.client, line[at..].to_vec()));
                }
                None => self.act(pause, Action::Say(self.client, line)),
            }
        }
        self.end(habits, lines, &mut mine);
    }

    /// Says the key of one of the first `clients`, which may be its own. Sometimes it gives back first what it holds.
    fn resume(&mut self, after_ms: u32, clients: u32) {
        if self.rng.percent(40) {
            self.act(after_ms, Action::Say(self.client, b"ra\n".to_vec()));
        }
        let of = if self.rng.percent(10) { self.client } else { Client(self.rng.between(0, clients - 1)) };
        self.act(after_ms, Action::Resume(self.client, of));
    }

    /// An operator's life: it steals, kicks, lists, and does what other clients do.
    pub(super) fn operate(&mut self, lines: &Lines, habits: &Habits, clients: u32, duration_ms: u32) {
        let mut mine = Vec::new();
        for _ in 0..self.rng.between(1, 16) {
            if self.at_ms >= duration_ms {
                return;
            }
            let pause = self.rng.between(1, habits.pause_ms * 4);
            let deed = match self.rng.between(1, 100) {
                1..=40 => Action::Say(self.client, lines.steal(self.rng)),
                41..=50 => Action::KickSession(self.client, Client(self.rng.between(0, clients - 1))),
                51..=60 => Action::Kick(self.client, Client(self.rng.between(0, clients - 1))),
                // One of the first clients, perhaps an operator, perhaps itself.
                61..=66 => {
                    let number = self.rng.between(1, clients + 3);
                    Action::Say(self.client, format!("kick unix:{number}\n").into_bytes())
                }
                67..=69 => Action::Say(self.client, lines.kick_by_name(self.rng)),
                70..=75 => Action::Say(self.client, b"ls\n".to_vec()),
                76..=78 => Action::Resume(self.client, Client(self.rng.between(0, clients - 1))),
                _ => Action::Say(self.client, lines.line(self.rng, &mut mine)),
            };
            self.act(pause, deed);
        }
    }

    fn end(&mut self, habits: &Habits, lines: &Lines, mine: &mut Vec<Vec<u8>>) {
        let pause = self.rng.of(&[0, 1, 5, 40]);
        match self.rng.weighted(&habits.ends) {
            End::Stay => {}
            End::Close => self.act(pause.max(1), Action::Close(self.client)),
            End::HalfClose => self.act(pause, Action::HalfClose(self.client)),
            End::Quit => self.act(pause, Action::Say(self.client, b"quit\n".to_vec())),
            End::CutOffLine => {
                let mut line = lines.line(self.rng, mine);
                line.pop();
                self.act(pause, Action::Say(self.client, line));
                let end = if self.rng.percent(50) { Action::Close } else { Action::HalfClose };
                self.act(1, end(self.client));
            }
            End::Reset => {
                self.act(pause, Action::Deafen(self.client));
                let line = lines.line(self.rng, mine);
                self.act(0, Action::Say(self.client, line));
                let wait = self.rng.between(5, 60);
                self.act(wait, Action::Close(self.client));
            }
        }
    }
}
