//! Goal: some fuzzing on every commit, with a stable toolchain. Method: the seeds of the fuzzer's corpus are run on the
//! machine and on the reference model (see `elockd_model_tests::wire`), first as they are and then bent at random.
//! `ELOCKD_CORPUS_RUNS` is the number of bent runs, 20,000 by default.

use elockd_model_tests::runner::{number, say};
use elockd_model_tests::wire::run;
use quickcheck::{Arbitrary, Gen};
use std::fs;
use std::path::Path;

/// Bytes of the longest run.
const MOST: usize = 512;

/// The corpus must have at least this many seeds.
const SEEDS: usize = 18;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/wire");
    let files =
        fs::read_dir(&folder).expect("the corpus is there").map(|file| file.expect("readable").path());
    let mut seeds: Vec<_> = files
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a seed is readable")))
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_seed_runs_as_it_is() {
    let seeds = seeds();
    assert!(seeds.len() >= SEEDS, "there are only {} seeds", seeds.len());
    for (name, bytes) in seeds {
        let inputs = run(&bytes).unwrap_or_else(|difference| panic!("{name}: {difference}"));
        assert!(inputs >= 4, "{name} comes to {inputs} inputs only");
    }
}

#[test]
fn bent_seeds_run_too() {
    let runs = number("ELOCKD_CORPUS_RUNS").unwrap_or(20_000) as usize;
    let mut pool: Vec<Vec<u8>> = seeds().into_iter().map(|(_, bytes)| bytes).collect();
    let mut random = Gen::new(MOST);
    let mut inputs = 0;
    for _ in 0..runs {
        let bytes = bend(&pool, &mut random);
        match run(&bytes) {
            Ok(count) => inputs += count,
            Err(difference) => panic!("\"{}\": {difference}", bytes.escape_ascii()),
        }
        // Bent runs are bent again, so that runs go far from the seeds.
        let place = usize::arbitrary(&mut random) % 500;
        match pool.get_mut(place) {
            Some(old) if place >= SEEDS => *old = bytes,
            Some(_) => {}
            None => pool.push(bytes),
        }
    }
    say(&format!("bent seeds: {inputs} inputs in {runs} runs held\n"));
    assert!(inputs > runs, "the runs have become empty");
}

/// A member of the pool with a few random changes.
fn bend(pool: &[Vec<u8>], random: &mut Gen) -> Vec<u8> {
    let mut bytes = random.choose(pool).expect("the pool is not empty").clone();
    for _ in 0..=usize::arbitrary(random) % 4 {
        let at = usize::arbitrary(random) % (bytes.len() + 1);
        match u8::arbitrary(random) % 5 {
            0 => bytes.insert(at, u8::arbitrary(random)),
            1 => bytes.truncate(at.max(16)),
            2 => {
                let other = random.choose(pool).expect("the pool is not empty");
                let from = usize::arbitrary(random) % (other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            3 => bytes.extend_from_within(at..),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (u8::arbitrary(random) % 8);
                }
            }
        }
    }
    bytes.truncate(MOST);
    bytes
}
