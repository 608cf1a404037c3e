//! Goal: every decision of the machine has an example that a newcomer can read. Method: the scripts in
//! `model-tests/examples/` are played on the reference model and on the machine. Both must say what is written. Every
//! verb, and every reply that the protocol page names, must be in a script.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_core::Verb;
use elockd_model_tests::example::{Act, Example, On, all};
use elockd_model_tests::runner::say;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// There must be at least this many scripts.
const LEAST: usize = 100;

/// Replies of the protocol page that no script can have. The server refuses large listings and other protocols, not the
/// machine, and says that a node has no quorum. In the reply to `me` every word is a value.
const NOT_HERE: [&str; 4] = ["0 No Quorum", "0 Too Large", "0 Wrong Protocol", "N ADDR NAME"];

#[test]
fn both_machines_say_what_is_written() {
    let examples = all();
    assert!(examples.len() >= LEAST, "there are only {} scripts", examples.len());
    let play = |example: &Example| [On::Reference, On::Machine].map(|on| example.play(on).err());
    let wrong: Vec<String> = examples.iter().flat_map(play).flatten().collect();
    assert!(wrong.is_empty(), "{} failed:\n\n{}\n", wrong.len(), wrong.join("\n\n"));
    say(&format!("examples: {} scripts held\n", examples.len()));
}

#[test]
fn titles_are_told_apart() {
    let mut titles = BTreeSet::new();
    for example in all() {
        assert!(titles.insert(example.title.clone()), "two scripts are called `{}`", example.title);
    }
}

#[test]
fn every_verb_is_in_one() {
    let examples = all();
    let acts = examples.iter().flat_map(|example| &example.turns).map(|turn| &turn.act);
    let said = acts.filter_map(|act| match act {
        Act::Say(_, line) => line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()),
        _ => None,
    });
    let said: BTreeSet<&[u8]> = said.collect();
    for verb in Verb::ALL {
        assert!(said.contains(verb.word().as_bytes()), "no example says `{}`", verb.word());
    }
}

#[test]
fn every_reply_of_the_protocol_page_is_in_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")).unwrap();
    // Text between two backquotes that begins like a reply.
    let spans = page.split('`').skip(1).step_by(2);
    let is_reply = |span: &&str| {
        let has_first = ["0 ", "1 ", "N ", "TOKEN "].iter().any(|first| span.starts_with(first));
        has_first && span.len() > 2 && !span.contains('…')
    };
    let named: BTreeSet<String> = spans.filter(is_reply).map(shape).collect();
    assert!(named.len() >= 35, "only {} replies were found in the protocol page", named.len());

    let examples = all();
    let outcomes = examples.iter().flat_map(|example| &example.turns).flat_map(|turn| &turn.outcome);
    let heard: BTreeSet<String> =
        outcomes.filter_map(|line| line.text.split_once("< ")).map(|(_, reply)| shape(reply)).collect();
    let missing: Vec<&String> =
        named.iter().filter(|reply| !NOT_HERE.contains(&reply.as_str()) && !heard.contains(*reply)).collect();
    assert!(missing.is_empty(), "in no example: {missing:?}");
}

/// A reply without its values: `0` or `N`, and its words up to the colon.
fn shape(reply: &str) -> String {
    let (first, rest) = reply.split_once(' ').unwrap_or((reply, ""));
    let words = rest.split_once(':').map_or(rest, |(words, _)| words);
    format!("{} {words}", if first == "0" { "0" } else { "N" })
}
