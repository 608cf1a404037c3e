//! Spans of time: as people write them on a command line, and as they read them.

use std::time::Duration;

/// Reads `30`, `0.5`, `30s`, `1m30s` or `12h`. A number alone is seconds, as with flock(1).
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text} is no span of time"));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 30, 0.5, 30s, 1m30s or 2h"))
}

/// The span in one unit, rounded down: `350 ms`, `12 s`, `12 min`, `3 h`, `5 days`.
pub(crate) fn shown(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds() {
        for (text, ms) in [
            ("30", 30_000),
            ("0.5", 500),
            ("0", 0),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("55 s", 55_000),
            ("10ms", 10),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "-1", "soon", "1x", "inf", "NaN", "1e300"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_is_shown_in_one_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_199_000, "119 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(shown(Duration::from_millis(ms)), text);
        }
    }
}
