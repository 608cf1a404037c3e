//! The keys of `linger`, as clients alone know them: who was told which key, who said it, and which connections may
//! have had the same holds one after the other.

use crate::history::{ClientSide, Connection, History, Place, Request};
use elockd_core::{Command, Reply};
use std::collections::BTreeMap;

/// The number of a connection in a history.
pub type Number = usize;

/// A request `resume KEY`.
#[derive(Clone, Copy, Debug)]
pub struct SaidKey<'a> {
    /// The connection that said the key.
    pub by: Number,
    /// The number of the request among those of its connection.
    pub at: usize,
    /// The request.
    pub request: &'a Request,
    /// The key.
    pub key: &'a [u8],
}

/// What came of a request `resume KEY`, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upshot {
    /// It was given this many holds, and was told so at this place.
    Given(u32, Place),
    /// It was refused.
    Refused,
    /// It was not answered.
    Unknown,
}

impl SaidKey<'_> {
    /// What came of it.
    #[must_use]
    pub fn upshot(&self) -> Upshot {
        match &self.request.answer {
            None => Upshot::Unknown,
            Some((text, place)) => match Reply::read(text) {
                Some(Reply::Resumed { holds }) => Upshot::Given(holds, *place),
                _ => Upshot::Refused,
            },
        }
    }
}

/// All keys of a run.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    /// The number of each key that a client was told, the connection that was told it first, and when that one asked.
    told: BTreeMap<&'a [u8], (u32, Number, Place)>,
    /// Every request with a key.
    said: Vec<SaidKey<'a>>,
    /// For each connection, a connection that stands for all that may have had the same holds.
    groups: Vec<Number>,
}

impl<'a> Keys<'a> {
    /// The keys of a run.
    #[must_use]
    pub fn new(history: &'a History) -> Self {
        let clients = || history.connections.iter().enumerate().filter_map(client_of);
        let mut tellings: Vec<(Place, &'a [u8], Number, Place)> = Vec::new();
        let mut said = Vec::new();
        for (by, client) in clients() {
            for (at, request) in client.requests.iter().enumerate() {
                if let Some((key, answered)) = told_key(request) {
                    tellings.push((answered, key, by, request.sent));
                }
                if let Command::Resume(key) = &request.command {
                    said.push(SaidKey { by, at, request, key });
                }
            }
        }
        tellings.sort_unstable();
        let mut told = BTreeMap::new();
        for (_, key, by, sent) in tellings {
            let number = told.len() as u32;
            told.entry(key).or_insert((number, by, sent));
        }
        let mut groups: Vec<Number> = (0..history.connections.len()).collect();
        for resume in said.iter().filter(|resume| resume.upshot() != Upshot::Refused) {
            if let Some((_, first, _)) = told.get(resume.key) {
                let (one, other) = (groups[*first], groups[resume.by]);
                groups.iter_mut().filter(|group| **group == other).for_each(|group| *group = one);
            }
        }
        Self { told, said, groups }
    }

    /// The connection that stands for all that may have had the same holds as this one.
    #[must_use]
    pub fn group(&self, of: Number) -> Number {
        self.groups[of]
    }

    /// The number of a key, the connection that was told it first, and when that one asked. `None` if no client was
    /// told it.
    #[must_use]
    pub fn told(&self, key: &[u8]) -> Option<(u32, Number, Place)> {
        self.told.get(key).copied()
    }

    /// Every request with a key.
    #[must_use]
    pub fn said(&self) -> &[SaidKey<'a>] {
        &self.said
    }

    /// When another connection first said a key that this one may have had.
    #[must_use]
    pub fn first_said_by_another(&self, of: Number) -> Option<Place> {
        let has_had = |key: &[u8]| {
            let mut said = self.said.iter().filter(|resume| resume.key == key);
            self.told.get(key).is_some_and(|(_, first, _)| *first == of)
                || said.any(|resume| resume.by == of && resume.upshot() != Upshot::Refused)
        };
        let by_others = self.said.iter().filter(|resume| resume.by != of && has_had(resume.key));
        by_others.map(|resume| resume.request.sent).min()
    }

    /// The connection that had a key just before it was said with success. `None` if clients alone cannot know it.
    #[must_use]
    pub fn had_before(&self, resume: &SaidKey<'_>) -> Option<Number> {
        let Upshot::Given(_, answered) = resume.upshot() else { return None };
        let sent = resume.request.sent;
        let (_, first, _) = self.told(resume.key)?;
        let mut before: Vec<(Place, Place, Number)> = Vec::new();
        let is_itself = |other: &SaidKey<'_>| other.by == resume.by && other.at == resume.at;
        for other in self.said.iter().filter(|other| other.key == resume.key && !is_itself(other)) {
            match other.upshot() {
                Upshot::Refused => {}
                Upshot::Given(_, then) if then < sent => before.push((other.request.sent, then, other.by)),
                Upshot::Unknown | Upshot::Given(..) if other.request.sent > answered => {}
                Upshot::Unknown | Upshot::Given(..) => return None,
            }
        }
        before.sort_unstable();
        let Some((asked, _, last)) = before.pop() else { return Some(first) };
        before.iter().all(|(_, then, _)| *then < asked).then_some(last)
    }
}

fn client_of((number, connection): (Number, &Connection)) -> Option<(Number, &ClientSide)> {
    connection.client.as_ref().map(|client| (number, client))
}

/// The key that a request was answered with, and when.
fn told_key(request: &Request) -> Option<(&[u8], Place)> {
    let (text, place) = request.answer.as_ref()?;
    match Reply::read(text)? {
        Reply::Lingers { key: Some(key), .. } => Some((key, *place)),
        _ => None,
    }
}
