//! What was asked over a link: the requests that wait to be sent, and those that wait for an answer.
//!
//! A request is here from the call on until its answer came, its link broke, or its future was dropped. So nothing
//! remains of a request that nobody waits for, but for its place in the queue.

use super::Bounds;
use super::frame::Frame;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// The requests of a link.
#[derive(Default)]
pub(super) struct Asked {
    requests: Mutex<Requests>,
    /// Told when something is queued.
    queued: Notify,
}

#[derive(Default)]
struct Requests {
    /// The highest number given.
    last: u64,
    queue: VecDeque<Frame>,
    queue_bytes: usize,
    /// By number, so that they fail in order: a simulation repeats itself.
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    kind: u8,
    answer: oneshot::Sender<Result<Vec<u8>, String>>,
}

/// A request's place. Dropped, it gives the request up.
pub(super) struct Ticket {
    asked: Arc<Asked>,
    number: u64,
    answer: oneshot::Receiver<Result<Vec<u8>, String>>,
}

impl Asked {
    /// Queues a request.
    ///
    /// # Errors
    ///
    /// It is too large, or too many wait. The text says which.
    pub(super) fn ask(
        self: &Arc<Self>,
        kind: u8,
        payload: Vec<u8>,
        bounds: &Bounds,
    ) -> Result<Ticket, String> {
        let bytes = payload.len();
        if bytes > bounds.payload {
            return Err(format!("a request of {bytes} bytes is larger than the most of {}", bounds.payload));
        }
        let mut requests = self.lock();
        if requests.queue.len() >= bounds.queued {
            return Err(format!("{} requests wait to be sent already", requests.queue.len()));
        }
        if !requests.queue.is_empty() && requests.queue_bytes + bytes > bounds.queued_bytes {
            return Err(format!("{} bytes wait to be sent already", requests.queue_bytes));
        }
        requests.last += 1;
        requests.queue_bytes += bytes;
        let (sender, answer) = oneshot::channel();
        let number = requests.last;
        requests.queue.push_back(Frame { kind, number, payload });
        requests.waiting.insert(number, Waiting { kind, answer: sender });
        drop(requests);
        self.queued.notify_one();
        Ok(Ticket { asked: Arc::clone(self), number, answer })
    }

    /// Returns when something is queued. Only one task may wait.
    pub(super) async fn some(&self) {
        while self.lock().queue.is_empty() {
            self.queued.notified().await;
        }
    }

    /// The next request to send. Those that were given up are skipped.
    pub(super) fn next(&self) -> Option<Frame> {
        let requests = &mut *self.lock();
        while let Some(frame) = requests.queue.pop_front() {
            requests.queue_bytes -= frame.payload.len();
            if requests.waiting.contains_key(&frame.number) {
                return Some(frame);
            }
        }
        None
    }

    /// Gives an answer to who waits for it. An answer to a request that was given up is dropped.
    ///
    /// # Errors
    ///
    /// Nothing like it was asked.
    pub(super) fn answered(&self, frame: Frame) -> Result<(), String> {
        let mut requests = self.lock();
        if frame.number > requests.last {
            return Err(format!("an answer has number {}, and no request had", frame.number));
        }
        let Some(waiting) = requests.waiting.remove(&frame.number) else { return Ok(()) };
        drop(requests);
        if waiting.kind != frame.kind {
            let reason = format!("a request of kind {} was answered with kind {}", waiting.kind, frame.kind);
            let _ = waiting.answer.send(Err(reason.clone()));
            return Err(reason);
        }
        let _ = waiting.answer.send(Ok(frame.payload));
        Ok(())
    }

    /// Ends all requests with a reason, those that wait to be sent as well.
    pub(super) fn fail(&self, reason: &impl fmt::Display) {
        let mut requests = self.lock();
        requests.queue.clear();
        requests.queue_bytes = 0;
        let waiting = std::mem::take(&mut requests.waiting);
        drop(requests);
        for waiting in waiting.into_values() {
            let _ = waiting.answer.send(Err(reason.to_string()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The answer, or why there is none.
    pub(super) async fn answer(mut self) -> Result<Vec<u8>, String> {
        let answer = (&mut self.answer).await;
        answer.unwrap_or_else(|_| Err("the link was ended".to_owned()))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.asked.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { payload: 100, queued: 5, queued_bytes: 150, ..Bounds::default() }
    }

    fn ask(asked: &Arc<Asked>, kind: u8, bytes: usize) -> Result<Ticket, String> {
        asked.ask(kind, vec![kind; bytes], &bounds())
    }

    fn answer(kind: u8, number: u64) -> Frame {
        Frame { kind, number, payload: vec![number as u8] }
    }

    /// Goal: answers find their requests in any order, and one that nobody waits for is dropped. Method: four requests,
    /// one of them given up, answered from the last to the first.
    #[tokio::test]
    async fn answers_find_their_requests() {
        let asked = Arc::new(Asked::default());
        let [one, two, three, four] = [1, 2, 3, 4].map(|kind| ask(&asked, kind, 1).unwrap());
        drop(three);
        let sent: Vec<_> =
            std::iter::from_fn(|| asked.next()).map(|frame| (frame.kind, frame.number)).collect();
        assert_eq!(sent, [(1, 1), (2, 2), (4, 4)]);
        for number in [4, 3, 2, 1] {
            asked.answered(answer(number as u8, number)).unwrap();
        }
        assert_eq!(one.answer().await, Ok(vec![1]));
        assert_eq!(two.answer().await, Ok(vec![2]));
        assert_eq!(four.answer().await, Ok(vec![4]));
        asked.answered(answer(1, 1)).unwrap();
        assert!(asked.lock().waiting.is_empty());
    }

    /// Goal: an answer to what was not asked is an error. Method: a number that is too high, and another kind.
    #[tokio::test]
    async fn strange_answers_are_errors() {
        let asked = Arc::new(Asked::default());
        let ticket = ask(&asked, 1, 1).unwrap();
        assert_eq!(
            asked.answered(answer(1, 2)),
            Err("an answer has number 2, and no request had".to_owned())
        );
        let reason = "a request of kind 1 was answered with kind 2".to_owned();
        assert_eq!(asked.answered(answer(2, 1)), Err(reason.clone()));
        assert_eq!(ticket.answer().await, Err(reason));
    }

    /// Goal: the bounds hold, and what is sent or given up makes room. Method: requests up to each bound.
    #[test]
    fn bounds_hold() {
        let asked = Arc::new(Asked::default());
        let reason = |result: Result<Ticket, String>| result.map(|_| ()).unwrap_err();
        assert!(reason(ask(&asked, 1, 101)).contains("larger than the most of 100"));
        let kept: Vec<_> = (0..5).map(|_| ask(&asked, 1, 1).unwrap()).collect();
        assert!(reason(ask(&asked, 1, 1)).contains("5 requests wait"));
        asked.next().unwrap();
        let more = ask(&asked, 1, 1).unwrap();
        drop((kept, more));
        assert!(asked.next().is_none() && asked.lock().queue_bytes == 0 && asked.lock().waiting.is_empty());

        let _kept = [100, 50].map(|bytes| ask(&asked, 1, bytes).unwrap());
        assert!(reason(ask(&asked, 1, 1)).contains("150 bytes wait"));
        asked.fail(&"no link");
        assert!(ask(&asked, 1, 100).is_ok());
        // One request may always wait, however small the bound.
        let narrow = Bounds { queued_bytes: 10, ..bounds() };
        assert!(Arc::new(Asked::default()).ask(1, vec![0; 100], &narrow).is_ok());
    }

    /// Goal: a link that breaks fails all its requests with the reason. Method: one that was sent, and one that was
    /// not.
    #[tokio::test]
    async fn all_fail_together() {
        let asked = Arc::new(Asked::default());
        let sent = ask(&asked, 1, 1).unwrap();
        asked.next().unwrap();
        let queued = ask(&asked, 1, 1).unwrap();
        asked.fail(&"it broke");
        assert_eq!(sent.answer().await, Err("it broke".to_owned()));
        assert_eq!(queued.answer().await, Err("it broke".to_owned()));
        assert!(asked.next().is_none());
    }
}
