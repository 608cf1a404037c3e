//! Goal: a seed of guards can be run again. Method: some seeds run twice, and must see the same. They must see enough
//! to be worth it, too.

use elockd_sim::guards::{Guards, run};

#[test]
fn a_seed_decides_everything() {
    for seed in 0..6 {
        let first = run(seed);
        assert_eq!(first.wrong, None, "seed {seed}");
        assert_eq!(first, run(seed), "seed {seed}");
    }
}

#[test]
fn a_few_seeds_see_locks_got_lost_and_taken() {
    let (tally, _, failure) = Guards { seeds: 0..12, threads: 1 }.run();
    assert_eq!(failure, None);
    assert!(tally.got > 200 && tally.released > 100 && tally.lost > 0 && tally.taken > 0, "{tally:?}");
}
