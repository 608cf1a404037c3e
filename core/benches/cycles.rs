//! How long machine and codec take, alone. Each case is timed with what prepares it and what undoes it. It shows what a
//! change gains. The benchmark `instructions` guards against a slow change.

#[allow(dead_code, unreachable_pub, reason = "the other benchmark uses the rest")]
mod scene;

use scene::{CASES, Case, Scene};

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn cycle(bencher: divan::Bencher<'_, '_>, case: &Case) {
    let mut scene = Scene::new();
    bencher.bench_local(|| scene.cycle(case));
}
