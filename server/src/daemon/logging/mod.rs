//! The log: lines of text or of JSON, on stderr or in a file. The file can be opened again while the daemon runs. Who
//! logs a line does not wait until it is written.

mod lines;
mod sink;

pub(crate) use lines::dropped;
pub(crate) use sink::Sink;

use crate::output::escaped;
use crate::settings::{Log, LogFormat, LogLevel};
use lines::{Lines, MOST_BYTES};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;
use tracing::field::Field;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// How long the end of the process waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The lines of this process, once the log has begun.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

/// The running log, to change its file or its level.
#[derive(Debug)]
pub(crate) struct Logging {
    lines: Arc<Lines>,
    level: reload::Handle<Targets, Registry>,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    #[error("cannot open the log file {}: {source}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
}

impl Logging {
    /// Starts the log. May be called once in a process.
    ///
    /// # Errors
    ///
    /// If its file cannot be opened, or if the system has no thread for it.
    pub(crate) fn start(log: &Log) -> Result<Self, LogError> {
        let told = |dropped| {
            // An error, so that it is seen at every level.
            tracing::error!("lines of the log were dropped because nobody took them: {dropped}");
        };
        let lines = Lines::start(open(log.file.as_deref())?, MOST_BYTES, told).map_err(LogError::Thread)?;
        let (filter, level) = reload::Layer::new(filter(log.level));
        let target = Target(Arc::clone(LINES.get_or_init(|| Arc::clone(&lines))));
        let layer = tracing_subscriber::fmt::layer().with_writer(target).with_target(false).with_ansi(false);
        let layer = match log.format {
            LogFormat::Text => layer.fmt_fields(debug_fn(write_message)).boxed(),
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(layer).init();
        Ok(Self { lines, level })
    }

    /// Goes on there. What was logged before may still go where the log was.
    pub(crate) fn switch(&self, sink: Sink) {
        self.lines.switch(sink);
    }

    /// Changes which lines are logged.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // Fails only if the log itself is gone.
        let _ = self.level.modify(|filter_now| *filter_now = filter(level));
    }
}

/// Waits until what was logged is written, for a moment. Before the process ends.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// Opens the file of the log, or stderr if there is none.
///
/// # Errors
///
/// If the file cannot be opened.
pub(crate) fn open(file: Option<&Path>) -> Result<Sink, LogError> {
    let Some(path) = file else { return Ok(Sink::stderr()) };
    Sink::open(path).map_err(|source| LogError::Open { path: path.to_owned(), source })
}

/// A line of text is its message: what stands in the fields is in the message too. It stays one line, and a terminal
/// must not obey it.
fn write_message(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        return Ok(());
    }
    writer.write_str(&escaped(&format!("{value:?}"), &['\t']))
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
    // The consensus engine tells each of its steps, and twenty times a second that a node is down. What an operator
    // needs of that the cluster says itself.
    Targets::new().with_default(level).with_target("openraft", LevelFilter::ERROR)
}

/// Where lines go when they are made.
#[derive(Debug)]
struct Target(Arc<Lines>);

impl<'a> MakeWriter<'a> for Target {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// Takes one line, which comes in one piece.
struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
