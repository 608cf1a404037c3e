//! The log: lines of text or of JSON, on stderr or in a file. The file can be opened again while the daemon runs. The
//! thread that logs a line writes it before it goes on.

use crate::settings::{Log, LogFormat, LogLevel};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tracing::field::Field;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// The running log, to change its file or its level.
#[derive(Debug)]
pub(crate) struct Logging {
    target: Target,
    level: reload::Handle<LevelFilter, Registry>,
}

/// Why there is no log.
#[derive(Debug, Error)]
#[error("cannot open the log file {}: {source}", .path.display())]
pub(crate) struct LogError {
    path: PathBuf,
    source: io::Error,
}

impl Logging {
    /// Starts the log. May be called once in a process.
    ///
    /// # Errors
    ///
    /// If its file cannot be opened.
    pub(crate) fn start(log: &Log) -> Result<Self, LogError> {
        let target = Target(Arc::new(Mutex::new(log.file.as_deref().map(open).transpose()?)));
        let (filter, level) = reload::Layer::new(filter(log.level));
        let lines =
            tracing_subscriber::fmt::layer().with_writer(target.clone()).with_target(false).with_ansi(false);
        let lines = match log.format {
            LogFormat::Text => lines.fmt_fields(debug_fn(write_message)).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Self { target, level })
    }

    /// Opens `file` again and goes on there, or on stderr if there is none. If the file cannot be opened, the log goes
    /// on where it was.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub(crate) fn reopen(&self, file: Option<&Path>) -> Result<(), LogError> {
        let file = file.map(open).transpose()?;
        *self.target.lock() = file;
        Ok(())
    }

    /// Changes which lines are logged.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // Fails only if the log itself is gone.
        let _ = self.level.modify(|filter_now| *filter_now = filter(level));
    }
}

/// A line of text is its message: what stands in the fields is in the message too. A terminal must not obey it.
fn write_message(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        return Ok(());
    }
    format!("{value:?}").chars().try_for_each(|char| match char {
        '\n' | '\t' => writer.write_char(char),
        _ if char.is_control() => write!(writer, "{}", char.escape_unicode()),
        _ => writer.write_char(char),
    })
}

fn open(path: &Path) -> Result<File, LogError> {
    // With --verbose the log has names in it. Not everybody may read those.
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    file.map_err(|source| LogError { path: path.to_owned(), source })
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    }
}

/// Where lines go: a file, or stderr.
#[derive(Clone, Debug)]
struct Target(Arc<Mutex<Option<File>>>);

impl Target {
    fn lock(&self) -> MutexGuard<'_, Option<File>> {
        // After a panic here, the worst is that half a line was written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.lock())
    }
}

/// The right to write one line.
struct Line<'a>(MutexGuard<'a, Option<File>>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0 {
            Some(file) => file.write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.0 {
            Some(file) => file.flush(),
            None => io::stderr().flush(),
        }
    }
}
