//! Draws the results of the other benchmarks, from the files that they write with `--json`. It measures nothing.
//! `docs/benchmarks.md` lists the pictures.

mod axis;
mod cluster;
mod figures;
mod orphaning;
mod percentiles;
mod rates;
mod sheet;

#[path = "../support/mod.rs"]
mod support;

use clap::Parser;
use figures::{ClusterRow, Part, Run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use support::Failure;

/// Draws pictures from the files that `peers`, `scale` and `cluster` write with `--json`.
#[derive(Parser)]
#[command(name = "plots", override_usage = "plots [FILE]... FOLDER")]
struct Arguments {
    /// Files with figures, and at last the folder that the pictures go to
    paths: Vec<PathBuf>,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    support::end("plots", run())
}

fn run() -> Result<(), Failure> {
    support::go_to_the_top()?;
    let arguments = Arguments::parse();
    // Not a failure, because `cargo bench` runs every benchmark without arguments.
    let Some((folder, files)) = arguments.paths.split_last() else {
        println!("nothing to draw: say which files, and at last the folder for the pictures");
        return Ok(());
    };
    fs::create_dir_all(folder)?;
    for file in files {
        draw(file, folder).map_err(|failure| format!("{}: {failure}", file.display()))?;
    }
    Ok(())
}

/// Draws every picture for which the file has the figures.
fn draw(file: &Path, folder: &Path) -> Result<(), Failure> {
    let json = serde_json::from_slice(&fs::read(file)?)?;
    let about = figures::about(&json)?;
    let runs = Run::all(&json)?;
    let mut drawn = Vec::new();
    let mut picture = |name: &str, draw: &dyn Fn(&Path) -> Result<bool, Failure>| {
        let path = folder.join(name);
        if draw(&path)? {
            println!("{}", path.display());
            drawn.push(path);
        }
        Ok::<_, Failure>(())
    };
    picture("percentiles.svg", &|path| percentiles::draw(&runs, about, path))?;
    picture("rates.svg", &|path| rates::draw(&runs, about, path))?;
    picture("cluster.svg", &|path| cluster::draw(&ClusterRow::all(&json)?, about, path))?;
    if let Some(part) = Part::all(&json)?.into_iter().find(|part| !part.closings.is_empty()) {
        picture("orphaning.svg", &|path| orphaning::draw(&part, about, path))?;
    }
    if drawn.is_empty() { Err("it has no figures that there is a picture of".into()) } else { Ok(()) }
}
