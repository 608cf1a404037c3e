//! HTML's rules: text that must not become markup, names of arbitrary bytes, and lengths. All data of a run gets into
//! a page only through this module.

use std::fmt::Write as _;

/// Text as HTML, in content as well as in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// A lock's name in plain characters, for people. It is not HTML yet.
pub(super) fn readable(name: &[u8]) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { name.escape_ascii().to_string() }
}

/// A part of the whole in percent, fine enough to zoom in to one of a thousand events in one millisecond.
pub(super) fn percent(part: f64) -> String {
    let text = format!("{:.5}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with separated thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things, by their name for one of them.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

/// The first lines, and the number of the others.
pub(super) fn some_lines(lines: &[String]) -> String {
    const MOST: usize = 12;
    let mut out = lines.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join("\n");
    if let Some(more) = lines.len().checked_sub(MOST)
        && more > 0
    {
        let _ = write!(out, "\nand {} more", grouped(more as u64));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_is_markup() {
        assert_eq!(
            escaped("<b a='1' b=\"2\">&\n\0é"),
            "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;&#10;\\u{0}é"
        );
        assert_eq!(escaped(&readable(b"<\xff\x00\">")), "&lt;\\xff\\x00\\&quot;&gt;");
        assert_eq!(readable(b""), "\"\"");
    }

    #[test]
    fn lengths_are_short_and_exact() {
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(0.123_456_789), "12.34568%");
        assert_eq!(percent(0.5), "50%");
    }

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(count(1, "lock"), "1 lock");
        assert_eq!(count(2, "lock"), "2 locks");
    }

    #[test]
    fn long_lists_are_cut() {
        let lines: Vec<_> = (1..=14).map(|n| n.to_string()).collect();
        assert!(some_lines(&lines).ends_with("11\n12\nand 2 more"));
        assert_eq!(some_lines(&lines[..2]), "1\n2");
    }
}
