//! How long machine and codec take, alone: each case with what makes it possible and what undoes it. For finding
//! out what a change is good for; what guards against a slow change is `instructions`.

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
