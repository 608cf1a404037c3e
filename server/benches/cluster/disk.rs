//! How long the disk takes to sync, because every change waits for it.

use crate::support::Failure;
use crate::support::spread::Spread;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Blocks that are written one after the other, and their bytes.
const BLOCKS: usize = 200;
const BLOCK: usize = 4096;

/// The median time to append a block and sync it, in milliseconds.
pub(crate) fn sync_ms(folder: &Path) -> Result<f64, Failure> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        let begin = Instant::now();
        file.write_all(&[1; BLOCK])?;
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Spread::of(times).ok_or("nothing was written")?.median)
}
