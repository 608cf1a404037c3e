//! Goal: no epoch is ended while its node may write, whatever happens to three nodes, their clocks and their messages.
//! Method: the lease machines of production run in an abstract world, and everything that can happen in it is searched
//! within budgets, and walked at random beyond.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of a search are small")]

mod action;
mod log;
mod search;
mod walk;
mod world;

use search::{Seen, search};
use world::{Budget, Detail, Words, World};

fn all(rates: &[[u8; 3]], victims: &[u8], budget: Budget, detail: Detail) -> Seen {
    let mut seen = Seen::default();
    for victim in victims {
        for [of_victim, b, c] in rates {
            let mut rates = [*b, *b, *c];
            rates[usize::from(*victim)] = *of_victim;
            let begin = if std::env::var("IDLE").is_ok() { World::idle } else { World::new };
            let mut world = begin(rates, &[*victim], budget);
            world.detail = detail;
            match search(world) {
                Ok(more) => {
                    println!("{victim} {rates:?} {more:?}");
                    seen.add(more);
                }
                Err(found) => panic!("{victim} {rates:?}: {}\n{:#?}", found.what, found.how),
            }
        }
    }
    seen
}

#[test]
fn measure() {
    let get = |name: &str| -> u8 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(0) };
    let budget = Budget {
        steps: get("STEPS"),
        appends: get("APPENDS"),
        beats: get("BEATS"),
        elections: get("ELECTIONS"),
        crashes: get("CRASHES"),
        pauses: get("PAUSES"),
        ups: get("UPS"),
        doubles: get("DOUBLES"),
    };
    let began = std::time::Instant::now();
    let detail = Detail {
        words: [Words::AtAnyTime, Words::AtOnce, Words::Travelling][usize::from(get("WORDS"))],
        lean: get("LEAN") > 0,
        heartbeats: get("HEARTBEATS") > 0,
        elections: get("APART") > 0,
    };
    let victims: &[u8] = match get("VICTIM") {
        1 => &[0],
        2 => &[1],
        _ => &[0, 1],
    };
    let rates: &[[u8; 3]] = if get("SHARP") > 0 { &[[9, 11, 11]] } else { &[[9, 11, 11], [10, 10, 10]] };
    let seen = all(rates, victims, budget, detail);
    println!("{budget:?} {seen:?} {:?}", began.elapsed());
}

#[test]
fn walks() {
    let count = std::env::var("WALKS").ok().and_then(|v| v.parse().ok()).unwrap_or(1000);
    let mut seen = Seen::default();
    let mut marks = [0; 4];
    for seed in 0..count {
        match walk::walk(seed) {
            Ok(world) => {
                marks[0] += usize::from(world.has_ended());
                marks[1] += usize::from(world.nodes.iter().any(|node| node.epochs.ups() > 3));
            }
            Err(found) => panic!("{}\n{:#?}", found.what, found.how),
        }
    }
    println!("{marks:?} {seen:?}");
}
