//! Lines of the log on their way: a bounded buffer, and a thread that writes them. Who logs a line only puts it into
//! the buffer. So a full pipe, a disk that hangs, or a file system that is away holds up the log and nothing else.

use super::sink::{Sink, Written};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of lines that may wait to be written. Further lines are dropped.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// Lines that were dropped since the start, for the metric.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were dropped since the start.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Lines {
    state: Mutex<Progress>,
    /// Something in the state has changed.
    changed: Condvar,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Progress {
    waiting: Vec<u8>,
    /// Whether the thread has lines that it has not written yet.
    is_writing: bool,
    /// Where to go on, if that has changed.
    next: Option<Sink>,
    /// Lines that were dropped and not told of.
    dropped: u64,
    /// While the thread tells of them: that line finds room in a full buffer.
    is_telling: bool,
}

impl Lines {
    /// Starts the thread. `told` is called in it when lines get through again, with how many were dropped before.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(super) fn start(
        sink: Sink,
        most_bytes: usize,
        told: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let lines = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), most_bytes });
        let own = Arc::clone(&lines);
        thread::Builder::new().name("log".to_owned()).spawn(move || own.write(sink, told))?;
        Ok(lines)
    }

    /// Puts a line into the buffer, or drops it if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > self.most_bytes && !state.is_telling {
            return drop_lines(&mut state, 1);
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Goes on there.
    pub(super) fn switch(&self, sink: Sink) {
        self.lock().next = Some(sink);
        self.changed.notify_all();
    }

    /// Waits until all lines are written, but not for longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while state.is_writing || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread's work.
    fn write(&self, mut sink: Sink, told: impl Fn(u64)) {
        loop {
            let batch = self.take(&mut sink);
            let mut rest = &batch[..];
            let wrote_all = loop {
                match sink.write(rest, || self.lock().next.is_some()) {
                    Written::All => break true,
                    Written::GivenUp(taken) => {
                        // The line that was cut off begins again in the new place.
                        let begin =
                            rest[..taken].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                        rest = &rest[begin..];
                        sink = self.lock().next.take().unwrap_or(sink);
                    }
                    Written::Failed(taken) => {
                        let lost = rest[taken..].split_inclusive(|byte| *byte == b'\n').count();
                        drop_lines(&mut self.lock(), lost as u64);
                        break false;
                    }
                }
            };
            // Not after a failure: that would fail as well, and be told of again.
            if wrote_all {
                self.tell(&told);
            }
        }
    }

    fn tell(&self, told: &impl Fn(u64)) {
        let mut state = self.lock();
        let dropped = mem::take(&mut state.dropped);
        if dropped > 0 {
            state.is_telling = true;
            drop(state);
            told(dropped);
            self.lock().is_telling = false;
        }
    }

    /// Waits for lines, and takes them all. Moves to the next place if there is one.
    fn take(&self, sink: &mut Sink) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.next.take() {
                *sink = next;
            }
            if !state.waiting.is_empty() {
                state.is_writing = true;
                return mem::take(&mut state.waiting);
            }
            state.is_writing = false;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // After a panic here, the worst is that a line is missing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_lines(state: &mut Progress, lines: u64) {
    state.dropped += lines;
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;
    use tempfile::TempDir;

    const LONG: Duration = Duration::from_secs(10);

    fn pipe_in(dir: &TempDir) -> PathBuf {
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    fn start(path: &Path, most_bytes: usize) -> (Arc<Lines>, mpsc::Receiver<u64>) {
        let (told, tells) = mpsc::channel();
        let told = move |dropped| told.send(dropped).unwrap();
        (Lines::start(Sink::open(path).unwrap(), most_bytes, told).unwrap(), tells)
    }

    /// Lines of 100 bytes with numbers.
    fn line(number: usize) -> Vec<u8> {
        format!("{number:099}\n").into_bytes()
    }

    #[test]
    fn lines_are_written_in_order_and_all_of_them_by_the_end() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let (lines, tells) = start(&path, 1 << 20);
        let all: Vec<Vec<u8>> = (0..1000).map(line).collect();
        for line in &all {
            lines.push(line);
        }
        lines.flush(LONG);
        assert_eq!(fs::read(&path).unwrap(), all.concat());
        assert!(tells.try_recv().is_err(), "none were dropped");
    }

    #[test]
    fn a_pipe_that_nobody_reads_from_drops_lines_says_how_many_and_goes_on() {
        let dir = TempDir::new().unwrap();
        let path = pipe_in(&dir);
        let (lines, tells) = start(&path, 1000);
        // More than a pipe, a batch, and the buffer hold.
        let sent = 20_000;
        (0..sent).for_each(|number| lines.push(&line(number)));
        lines.flush(Duration::from_millis(1));
        let reader = BufReader::new(fs::File::open(&path).unwrap());
        let reading = thread::spawn(move || {
            let lines = reader.lines().map(Result::unwrap).take_while(|line| line != "the last");
            lines.inspect(|line| assert_eq!(line.len(), 99, "lines come whole")).count()
        });
        let first = tells.recv_timeout(LONG).unwrap();
        lines.flush(LONG);
        lines.push(b"the last\n");
        let got = reading.join().unwrap() as u64;
        let dropped = first + tells.try_iter().sum::<u64>();
        assert_eq!(got + dropped, sent as u64);
        assert!(super::dropped() >= dropped && dropped > 0);
    }

    #[test]
    fn a_new_place_frees_a_line_that_nobody_takes() {
        let dir = TempDir::new().unwrap();
        let (pipe, path) = (pipe_in(&dir), dir.path().join("log"));
        let (lines, _tells) = start(&pipe, 1 << 20);
        let all: Vec<Vec<u8>> = (0..2000).map(line).collect();
        for line in &all {
            lines.push(line);
        }
        lines.flush(Duration::from_millis(1));
        lines.switch(Sink::open(&path).unwrap());
        lines.flush(LONG);
        let written = fs::read(&path).unwrap();
        assert!(!written.is_empty() && all.concat().ends_with(&written), "whole lines, up to the last");
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_told_of_later() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("log");
        let (lines, tells) = start(Path::new("/dev/full"), 1 << 20);
        (0..3).for_each(|number| lines.push(&line(number)));
        lines.flush(LONG);
        assert!(tells.try_recv().is_err(), "not on the full disk");
        lines.switch(Sink::open(&path).unwrap());
        lines.push(b"again\n");
        assert_eq!(tells.recv_timeout(LONG), Ok(3));
        assert_eq!(fs::read(&path).unwrap(), b"again\n");
    }
}
