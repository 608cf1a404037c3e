//! Runs on disk: a plan and its script, written with bincode, in files without a name. Such a file is gone with the
//! process, however that ends. Only a run that is worth keeping is copied to a file with a name.
//!
//! Only this module knows of bincode, apart from the derives on the written types.

use crate::plan::Plan;
use crate::script::Step;
use bincode::config::{Configuration, standard};
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode, decode_from_std_read, encode_into_std_write};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use thiserror::Error;

/// The first bytes of a trace: what it is, and the number of its format.
const HEADER: &[u8; 18] = b"elockd sim trace 3";

/// Why a trace cannot be read or written.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not a trace.
    #[error("this is not a trace of this version of elockd-sim")]
    NotATrace,
    /// The file begins as a trace but is damaged.
    #[error("the trace is damaged or cut short: {0}")]
    Damaged(DecodeError),
    /// A step cannot be written.
    #[error("a step cannot be written: {0}")]
    Write(EncodeError),
}

/// A plan and its script in a file.
#[derive(Debug)]
pub struct Trace {
    file: File,
}

/// After the plan come steps, and then the end, so that a file that was cut short is noticed.
#[derive(Encode, Decode)]
enum Record {
    Step(Step),
    End,
}

impl Trace {
    /// A new file without a name, and no trace in it yet.
    ///
    /// # Errors
    ///
    /// There is no place for temporary files.
    pub fn empty() -> Result<Self, TraceError> {
        Ok(Self { file: tempfile::tempfile()? })
    }

    /// Writes a trace into a new file without a name.
    ///
    /// # Errors
    ///
    /// The disk is full, or there is no place for temporary files.
    pub fn record(plan: &Plan, script: impl IntoIterator<Item = Step>) -> Result<Self, TraceError> {
        let mut trace = Self::empty()?;
        trace.write(plan, script)?;
        Ok(trace)
    }

    /// Writes another trace in the place of this one.
    ///
    /// # Errors
    ///
    /// As [`Trace::record`].
    pub fn write(&mut self, plan: &Plan, script: impl IntoIterator<Item = Step>) -> Result<(), TraceError> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        let mut out = BufWriter::new(&self.file);
        out.write_all(HEADER)?;
        put(&mut out, plan)?;
        for step in script {
            put(&mut out, Record::Step(step))?;
        }
        put(&mut out, Record::End)?;
        out.flush()?;
        Ok(())
    }

    /// Opens a trace that was kept.
    ///
    /// # Errors
    ///
    /// The file is not there, or is not a trace.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let trace = Self { file: File::open(path)? };
        trace.read()?;
        Ok(trace)
    }

    /// Keeps it: copies it to a file with a name.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn keep(&self, path: &Path) -> Result<(), TraceError> {
        let mut from = &self.file;
        from.seek(SeekFrom::Start(0))?;
        let mut to = File::create(path)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        Ok(())
    }

    /// Reads it from its start: the plan, and its steps one after the other.
    ///
    /// # Errors
    ///
    /// It is not a trace.
    pub fn read(&self) -> Result<(Plan, Steps<'_>), TraceError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(file);
        let mut header = [0; HEADER.len()];
        match reader.read_exact(&mut header) {
            Ok(()) if header == *HEADER => {}
            Ok(()) => return Err(TraceError::NotATrace),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(TraceError::NotATrace),
            Err(error) => return Err(error.into()),
        }
        let plan = take(&mut reader)?;
        Ok((plan, Steps { reader, is_done: false }))
    }

    /// The plan and the whole script.
    ///
    /// # Errors
    ///
    /// It is not a trace, or damaged.
    pub fn load(&self) -> Result<(Plan, Vec<Step>), TraceError> {
        let (plan, steps) = self.read()?;
        Ok((plan, steps.collect::<Result<_, _>>()?))
    }
}

/// The steps of a trace, read one by one.
#[derive(Debug)]
pub struct Steps<'a> {
    reader: BufReader<&'a File>,
    is_done: bool,
}

impl Iterator for Steps<'_> {
    type Item = Result<Step, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        match take(&mut self.reader) {
            Ok(Record::Step(step)) => Some(Ok(step)),
            Ok(Record::End) => {
                self.is_done = true;
                None
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        }
    }
}

/// The largest size of a value: a damaged length must not ask for all memory.
const MOST: usize = 16 << 20;

fn format()
-> Configuration<bincode::config::LittleEndian, bincode::config::Varint, bincode::config::Limit<MOST>> {
    standard().with_limit::<MOST>()
}

fn put(out: &mut impl Write, value: impl Encode) -> Result<(), TraceError> {
    encode_into_std_write(value, out, format()).map_err(TraceError::Write)?;
    Ok(())
}

fn take<T: Decode<()>>(reader: &mut impl Read) -> Result<T, TraceError> {
    decode_from_std_read(reader, format()).map_err(TraceError::Damaged)
}
