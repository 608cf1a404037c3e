//! What `elock check` prints: a line whenever something happened that a user looks out for, and the verdict.

use super::judge::Finding;
use crate::name::Name;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A time without a grant that is worth a line.
const STALL: Duration = Duration::from_millis(500);
/// So many findings get a line of their own.
const MOST_SHOWN: u64 = 10;

/// Counts what happens, and makes lines of it.
#[derive(Debug, Default)]
pub(crate) struct CheckReport {
    pub(crate) holds: u64,
    lost: u64,
    twice: u64,
    descending: u64,
    /// When a lock was granted last.
    granted: Duration,
    longest: Duration,
    is_stall_told: bool,
    /// What happened since the last lines, and how often.
    happened: BTreeMap<String, u64>,
    /// The failure that a line was written about last, since the last grant.
    failure: String,
    lines: Vec<String>,
}

impl CheckReport {
    /// Whether there is nothing that must not be.
    pub(crate) fn is_good(&self) -> bool {
        self.twice + self.descending == 0
    }

    /// A lock was granted.
    pub(crate) fn grant(&mut self, now: Duration) {
        let gap = self.gap(now);
        if gap > STALL {
            self.line(now, format_args!("locks are granted again, after {} without a grant", seconds(gap)));
        }
        self.granted = self.granted.max(now);
        self.is_stall_told = false;
        self.failure.clear();
    }

    /// For how long nothing has been granted.
    fn gap(&mut self, now: Duration) -> Duration {
        let gap = now.saturating_sub(self.granted);
        self.longest = self.longest.max(gap);
        gap
    }

    /// A hold has ended, and was lost if there is a reason.
    pub(crate) fn end(&mut self, lost: Option<&str>) {
        self.holds += 1;
        if let Some(reason) = lost {
            self.lose(&format!("lost while held: {reason}"));
        }
    }

    /// A lock was lost in this way.
    pub(crate) fn lose(&mut self, how: &str) {
        self.lost += 1;
        *self.happened.entry(how.to_owned()).or_default() += 1;
    }

    /// A client has another server than before.
    pub(crate) fn moved(&mut self, to: &str) {
        *self.happened.entry(format!("gone on to {to}")).or_default() += 1;
    }

    /// A request has failed.
    pub(crate) fn fail(&mut self, now: Duration, error: &str) {
        if self.failure != error {
            error.clone_into(&mut self.failure);
            self.line(now, format_args!("trying again: {error}"));
        }
    }

    /// Something was found that must not be.
    pub(crate) fn find(&mut self, now: Duration, name: &Name, finding: &Finding) {
        match finding {
            Finding::Twice(..) => self.twice += 1,
            Finding::Descending(..) => self.descending += 1,
        }
        if self.twice + self.descending <= MOST_SHOWN {
            self.line(now, format_args!("{name} {finding}"));
        }
    }

    /// The lines that are due.
    pub(crate) fn lines(&mut self, now: Duration) -> Vec<String> {
        for (what, count) in std::mem::take(&mut self.happened) {
            self.line(now, format_args!("{} {what}", counted(count, "connection")));
        }
        if !self.is_stall_told && self.gap(now) > STALL {
            self.is_stall_told = true;
            self.line(now, format_args!("nothing was granted since {}", seconds(self.granted)));
        }
        std::mem::take(&mut self.lines)
    }

    fn line(&mut self, now: Duration, what: std::fmt::Arguments<'_>) {
        self.lines.push(format!("{:>9}  {what}\n", seconds(now)));
    }

    /// The verdict, at the end.
    pub(crate) fn verdict(&mut self, now: Duration, locks: u64, clients: u64) -> String {
        self.gap(now);
        let twice = match self.twice {
            0 => "no lock was held twice".to_owned(),
            twice => format!("A LOCK WAS HELD TWICE, {}", counted(twice, "time")),
        };
        let descending = match self.descending {
            0 => String::new(),
            descending => format!("; TOKENS DID NOT ASCEND, {}", counted(descending, "time")),
        };
        format!(
            "{} of {} by {}; {} ended by a lost connection; {twice}{descending}; the longest time without a grant was {}\n",
            counted(self.holds, "hold"),
            counted(locks, "lock"),
            counted(clients, "client"),
            grouped(self.lost),
            seconds(self.longest),
        )
    }

    /// The verdict for programs.
    pub(crate) fn json(&mut self, now: Duration, locks: u64, clients: u64) -> Value {
        self.gap(now);
        json!({
            "clients": clients,
            "held_twice": self.twice,
            "holds": self.holds,
            "locks": locks,
            "longest_ms_without_grant": u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX),
            "lost": self.lost,
            "tokens_out_of_order": self.descending,
        })
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// `1 lock`, `43,210 locks`
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `43,210`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::judge::Begun;
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn numbers_are_readable() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (43_210, "43,210"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!([counted(1, "lock"), counted(2, "lock")], ["1 lock", "2 locks"]);
    }

    #[test]
    fn a_time_without_a_grant_is_told_when_it_is_long_and_when_it_is_over() {
        let mut report = CheckReport::default();
        report.grant(ms(100));
        assert_eq!(report.lines(ms(600)), Vec::<String>::new());
        assert_eq!(report.lines(ms(601)), ["   0.60 s  nothing was granted since 0.10 s\n"]);
        assert_eq!(report.lines(ms(900)), Vec::<String>::new(), "once is enough");
        report.grant(ms(1100));
        assert_eq!(
            report.lines(ms(1100)),
            ["   1.10 s  locks are granted again, after 1.00 s without a grant\n"]
        );
        report.grant(ms(1200));
        assert_eq!(report.lines(ms(1200)), Vec::<String>::new());
        report.end(None);
        assert_eq!(
            report.verdict(ms(1300), 1, 2),
            "1 hold of 1 lock by 2 clients; 0 ended by a lost connection; no lock was held twice; the longest time \
             without a grant was 1.00 s\n"
        );
    }

    #[test]
    fn what_was_lost_is_told_and_counted() {
        let mut report = CheckReport::default();
        for lost in [Some("it broke"), None, Some("it broke")] {
            report.end(lost);
        }
        report.moved("b:1");
        let lines = [
            "   0.20 s  1 connection gone on to b:1\n",
            "   0.20 s  2 connections lost while held: it broke\n",
        ];
        assert_eq!(report.lines(ms(200)), lines);
        report.fail(ms(200), "no daemon");
        report.fail(ms(210), "no daemon");
        assert_eq!(report.lines(ms(220)), ["   0.20 s  trying again: no daemon\n"]);
        assert!(
            report
                .verdict(ms(300), 4, 2)
                .starts_with("3 holds of 4 locks by 2 clients; 2 ended by a lost conn")
        );
    }

    #[test]
    fn a_finding_changes_the_verdict() {
        let begun = Begun { client: 1, from: ms(1), token: Some(1) };
        let mut report = CheckReport::default();
        assert!(report.is_good());
        for _ in 0..20 {
            report.find(ms(2), &Name::told(b"a"), &Finding::Descending(begun, begun));
        }
        assert_eq!(report.lines(ms(3)).len(), 10, "they do not flood the terminal");
        assert!(!report.is_good());
        assert!(
            report
                .verdict(ms(4), 1, 1)
                .contains("; no lock was held twice; TOKENS DID NOT ASCEND, 20 times; ")
        );
        assert_eq!(report.json(ms(4), 1, 1)["tokens_out_of_order"], 20);
    }
}
