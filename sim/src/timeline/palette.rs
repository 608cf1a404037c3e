//! The colours of locks. People with any kind of sight can tell them apart, and each has an ink that is readable on
//! it. They repeat if there are more locks than colours. Red is not among them: red means violation.

use std::fmt::Write as _;

/// Fill and ink. The first are from Paul Tol's "light" scheme, the others from his "muted" one.
const COLOURS: [(&str, &str); 13] = [
    ("#77aadd", "#111"),
    ("#ee8866", "#111"),
    ("#44bb99", "#111"),
    ("#eedd88", "#111"),
    ("#aa4499", "#fff"),
    ("#bbcc33", "#111"),
    ("#332288", "#fff"),
    ("#ffaabb", "#111"),
    ("#117733", "#fff"),
    ("#99ddff", "#111"),
    ("#882255", "#fff"),
    ("#aaaa00", "#111"),
    ("#225588", "#fff"),
];

/// The class of a lock's colour, by the lock's number.
pub(super) fn class(lock: usize) -> String {
    format!("c{}", lock % COLOURS.len())
}

/// The style of all of these classes.
pub(super) fn style() -> String {
    let mut style = String::new();
    for (number, (fill, ink)) in COLOURS.iter().enumerate() {
        let _ = writeln!(style, ".c{number}{{--fill:{fill};--ink:{ink}}}");
    }
    style
}
