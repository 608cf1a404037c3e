//! The graphs: what munin is told of each, and the values for it, in munin's own words. Everything that only
//! goes up is of type DERIVE with a minimum of 0, so that a restart of the daemon is a gap and not a spike.

use super::query::Figures;
use std::fmt::Write;
use std::time::Duration;

/// One picture.
struct Graph {
    /// Behind the plugin's name and a `_`.
    name: &'static str,
    /// Behind the plugin's name and a space.
    title: &'static str,
    /// What the vertical axis counts.
    axis: &'static str,
    /// 1000, or 1024 for bytes.
    base: u32,
    info: &'static str,
    fields: &'static [Field],
}

/// One line of a picture.
struct Field {
    /// By munin's rules a letter or `_`, then letters, digits and `_`, and not `root`.
    name: &'static str,
    label: &'static str,
    /// The figures of `q full` whose sum it is.
    keys: &'static [&'static str],
    shape: Shape,
    info: &'static str,
}

enum Shape {
    /// As it is now.
    Now,
    /// As it is now, with the figure that it must not pass: munin warns at 80 % of it, and more so at 95 %.
    Limited(&'static str),
    /// Something that only goes up: shown for each second.
    Rate,
    /// The same, on top of the fields before it.
    StackedRate,
    /// Milliseconds, shown in seconds.
    Seconds,
    /// Milliseconds, shown in days.
    Days,
}

/// A rate of a figure of the same name.
const fn rate(key: &'static [&'static str; 1], label: &'static str, info: &'static str) -> Field {
    Field { name: key[0], label, keys: key, shape: Shape::Rate, info }
}

/// The same, stacked.
const fn stacked(key: &'static [&'static str; 1], label: &'static str, info: &'static str) -> Field {
    Field { name: key[0], label, keys: key, shape: Shape::StackedRate, info }
}

const GRAPHS: [Graph; 12] = [
    Graph {
        name: "locks",
        title: "locks",
        axis: "locks",
        base: 1000,
        info: "What is locked now.",
        fields: &[
            Field {
                name: "locks",
                label: "exclusive locks",
                keys: &["locks"],
                shape: Shape::Now,
                info: "Names that are locked exclusively",
            },
            Field {
                name: "shared_locks",
                label: "shared locks",
                keys: &["shared_locks"],
                shape: Shape::Now,
                info: "Names that are locked by one holder or several",
            },
            Field {
                name: "holds",
                label: "holds of both kinds",
                keys: &["holds", "shared_holds"],
                shape: Shape::Limited("limit_locks"),
                info: "Exclusive locks, and each holder of each shared lock; --max-locks limits it",
            },
        ],
    },
    Graph {
        name: "waiters",
        title: "waiting clients",
        axis: "clients",
        base: 1000,
        info: "Clients that wait for a lock now.",
        fields: &[
            Field {
                name: "waiters",
                label: "for exclusive locks",
                keys: &["waiters"],
                shape: Shape::Now,
                info: "Clients that wait with gw",
            },
            Field {
                name: "shared_waiters",
                label: "for shared locks",
                keys: &["shared_waiters"],
                shape: Shape::Now,
                info: "Clients that wait with sgw",
            },
            Field {
                name: "all_waiters",
                label: "for both kinds",
                keys: &["waiters", "shared_waiters"],
                shape: Shape::Limited("limit_waiters"),
                info: "All clients that wait; --max-waiters limits them",
            },
            Field {
                name: "peak_waiters",
                label: "most since the start",
                keys: &["peak_waiters"],
                shape: Shape::Now,
                info: "The most at a time since the daemon was started",
            },
        ],
    },
    Graph {
        name: "waits",
        title: "waits",
        axis: "waits per ${graph_period}",
        base: 1000,
        info: "How many waits begin, and how those end that do not end with their connection.",
        fields: &[
            rate(&["waits"], "begun", "Clients that began to wait for a lock"),
            rate(&["waits_granted"], "granted", "Waits that ended with the lock"),
            rate(&["waits_timed_out"], "timed out", "Waits that lasted as long as they were allowed to"),
            rate(&["waits_drained"], "shutdown", "Waits that ended because the daemon was stopped"),
            rate(
                &["deadlocks_refused"],
                "refused as deadlocks",
                "Waits that did not begin because they would never have ended",
            ),
            rate(
                &["queue_full"],
                "refused as too many",
                "Waits over --max-waiters or --max-waiters-per-name",
            ),
        ],
    },
    Graph {
        name: "wait_time",
        title: "longest wait",
        axis: "seconds",
        base: 1000,
        info: "How long the client has waited that has waited longest, of those that wait now.",
        fields: &[Field {
            name: "longest_wait",
            label: "longest wait",
            keys: &["longest_wait_ms"],
            shape: Shape::Seconds,
            info: "0 when nobody waits",
        }],
    },
    Graph {
        name: "connections",
        title: "connections",
        axis: "connections",
        base: 1000,
        info: "Connections that are open now.",
        fields: &[
            Field {
                name: "connections",
                label: "open",
                keys: &["connections"],
                shape: Shape::Limited("limit_connections"),
                info: "Open connections; --max-connections limits them",
            },
            Field {
                name: "peak_connections",
                label: "most since the start",
                keys: &["peak_connections"],
                shape: Shape::Now,
                info: "The most connections at a time since the daemon was started",
            },
        ],
    },
    Graph {
        name: "opened",
        title: "new connections",
        axis: "connections per ${graph_period}",
        base: 1000,
        info: "How many connections are opened, and how many are turned away.",
        fields: &[
            rate(&["connections_opened"], "opened", "Connections that were accepted"),
            rate(&["connections_refused"], "refused", "Connections over --max-connections"),
        ],
    },
    Graph {
        name: "closed",
        title: "closed connections",
        axis: "connections per ${graph_period}",
        base: 1000,
        info: "How connections end.",
        fields: &[
            stacked(&["closed_eof"], "closed by the client", "The client closed it"),
            stacked(&["closed_quit"], "quit", "The client said quit"),
            stacked(&["closed_error"], "broken", "A reset, or a peer that was dead"),
            stacked(
                &["closed_stalled"],
                "stalled",
                "The client took none of its replies for --write-timeout",
            ),
            stacked(&["closed_idle"], "idle", "The client said nothing for --idle-timeout"),
            stacked(&["closed_kicked"], "kicked", "An operator closed it"),
            stacked(&["closed_shutdown"], "shutdown", "The daemon was stopped"),
        ],
    },
    Graph {
        name: "commands",
        title: "commands",
        axis: "commands per ${graph_period}",
        base: 1000,
        info: "What is asked of the daemon, whatever the answer is.",
        fields: &[
            stacked(&["command_g"], "g", "Get an exclusive lock"),
            stacked(&["command_gw"], "gw", "Get an exclusive lock, or wait for it"),
            stacked(&["command_r"], "r", "Release an exclusive lock"),
            stacked(&["command_i"], "i", "Ask whether an exclusive lock is held"),
            stacked(&["command_sg"], "sg", "Get a shared lock"),
            Field {
                name: "limited_gets",
                label: "sgl, sgw",
                keys: &["command_sgl", "command_sgw"],
                shape: Shape::StackedRate,
                info: "Get a shared lock with a limit, or wait for it",
            },
            stacked(&["command_sr"], "sr", "Release a shared lock"),
            stacked(&["command_si"], "si", "Count the holders of a shared lock"),
            stacked(&["command_ra"], "ra", "Release everything"),
            stacked(&["command_f"], "f", "Ask for a fencing token"),
            Field {
                name: "listings",
                label: "d, sd, dump, ls, who",
                keys: &["command_d", "command_sd", "command_dump", "command_ls", "command_who"],
                shape: Shape::StackedRate,
                info: "Listings",
            },
            Field {
                name: "others",
                label: "all other commands",
                keys: &[
                    "command_iam",
                    "command_me",
                    "command_ping",
                    "command_q",
                    "command_help",
                    "command_quit",
                    "command_kick",
                    "command_steal",
                ],
                shape: Shape::StackedRate,
                info: "iam, me, ping, q, help, quit, kick, steal",
            },
        ],
    },
    Graph {
        name: "failures",
        title: "failures",
        axis: "answers per ${graph_period}",
        base: 1000,
        info: "Answers that begin with 0. Failed gets are normal where clients compete for a lock.",
        fields: &[
            rate(&["failed_g"], "failed gets", "Exclusive locks that could not be had"),
            rate(
                &["failed_sg"],
                "failed shared gets",
                "Shared locks that could not be had: only for a limit",
            ),
            Field {
                name: "failed_waits",
                label: "failed waits",
                keys: &["failed_gw", "failed_sgw"],
                shape: Shape::Rate,
                info: "Locks that could not be had in the time that was given, or for another reason",
            },
            rate(&["failed_sgl"], "failed limited gets", "Shared locks that had as many holders as allowed"),
            rate(
                &["failed_f"],
                "no fencing tokens",
                "Fencing tokens that could not be had: for locks not held, or none are left",
            ),
            rate(&["locks_refused"], "over a limit of locks", "Those of both that would have passed a limit"),
            Field {
                name: "failed_releases",
                label: "failed releases",
                keys: &["failed_r", "failed_sr"],
                shape: Shape::Rate,
                info: "Releases of what was not held: most likely a mistake of the client",
            },
            rate(
                &["invalid_commands"],
                "invalid",
                "Unknown commands, and lines and names that were too long",
            ),
        ],
    },
    Graph {
        name: "orphans",
        title: "orphaned locks",
        axis: "locks per ${graph_period}",
        base: 1000,
        info: "Locks that were released because their connection ended.",
        fields: &[
            rate(&["orphans"], "exclusive", "Exclusive locks"),
            rate(&["shared_orphans"], "shared", "Shared locks, each holder counted"),
        ],
    },
    Graph {
        name: "memory",
        title: "memory of locks",
        axis: "bytes",
        base: 1024,
        info: "Memory that locks take, their indexes left out.",
        fields: &[
            Field {
                name: "lock_bytes",
                label: "now",
                keys: &["lock_bytes"],
                shape: Shape::Now,
                info: "The locks that are held now",
            },
            Field {
                name: "peak_lock_bytes",
                label: "most since the start",
                keys: &["peak_lock_bytes"],
                shape: Shape::Now,
                info: "The most at a time since the daemon was started",
            },
        ],
    },
    Graph {
        name: "uptime",
        title: "uptime",
        axis: "days",
        base: 1000,
        info: "When it falls to 0 the daemon was started anew, and all locks were lost.",
        fields: &[Field {
            name: "uptime",
            label: "uptime",
            keys: &["uptime_ms"],
            shape: Shape::Days,
            info: "Time since the daemon's start",
        }],
    },
];

/// What there is to be drawn, with its values where munin takes both at once. `plugin` is the name that this
/// plugin was linked under, so that there can be several on one machine.
pub(super) fn config(plugin: &str, figures: Option<&Figures>, with_values: bool) -> String {
    let mut text = String::new();
    for graph in &GRAPHS {
        graph.config(plugin, figures, &mut text).expect("writing to memory does not fail");
        if with_values {
            graph.values(figures, &mut text).expect("writing to memory does not fail");
        }
    }
    text
}

/// The values; unknown ones without a daemon.
pub(super) fn values(plugin: &str, figures: Option<&Figures>) -> String {
    let mut text = String::new();
    for graph in &GRAPHS {
        writeln!(text, "multigraph {plugin}_{}", graph.name).expect("writing to memory does not fail");
        graph.values(figures, &mut text).expect("writing to memory does not fail");
    }
    text
}

impl Graph {
    fn config(&self, plugin: &str, figures: Option<&Figures>, out: &mut String) -> std::fmt::Result {
        let Self { name, title, axis, base, info, fields } = self;
        writeln!(out, "multigraph {plugin}_{name}")?;
        writeln!(out, "graph_title {plugin} {title}")?;
        writeln!(out, "graph_args --base {base} --lower-limit 0")?;
        writeln!(out, "graph_vlabel {axis}")?;
        writeln!(out, "graph_category appserver")?;
        writeln!(out, "graph_info {info}")?;
        // 0.02 commands a second are easier to read than 20 m.
        if *base == 1000 {
            writeln!(out, "graph_scale no")?;
        }
        for field in *fields {
            field.config(figures, out)?;
        }
        Ok(())
    }

    fn values(&self, figures: Option<&Figures>, out: &mut String) -> std::fmt::Result {
        self.fields.iter().try_for_each(|field| field.value(figures, out))
    }
}

impl Field {
    fn config(&self, figures: Option<&Figures>, out: &mut String) -> std::fmt::Result {
        let Self { name, label, shape, info, .. } = self;
        writeln!(out, "{name}.label {label}")?;
        writeln!(out, "{name}.info {info}")?;
        match shape {
            Shape::Now | Shape::Seconds | Shape::Days => writeln!(out, "{name}.type GAUGE\n{name}.min 0")?,
            Shape::Limited(limit) => {
                writeln!(out, "{name}.type GAUGE\n{name}.min 0")?;
                if let Some(limit) = figures.and_then(|figures| figures.get(*limit)) {
                    writeln!(out, "{name}.warning {}\n{name}.critical {}", limit * 8 / 10, limit * 19 / 20)?;
                }
            }
            Shape::Rate => writeln!(out, "{name}.type DERIVE\n{name}.min 0")?,
            Shape::StackedRate => {
                writeln!(out, "{name}.type DERIVE\n{name}.min 0\n{name}.draw AREASTACK")?;
            }
        }
        Ok(())
    }

    fn value(&self, figures: Option<&Figures>, out: &mut String) -> std::fmt::Result {
        let Some(figures) = figures else { return writeln!(out, "{}.value U", self.name) };
        // A verb that was never used has no line.
        let sum: u64 = self.keys.iter().map(|key| figures.get(*key).copied().unwrap_or(0)).sum();
        match self.shape {
            Shape::Days => {
                let days = Duration::from_millis(sum).as_secs_f64() / 86_400.0;
                writeln!(out, "{}.value {days:.4}", self.name)
            }
            Shape::Seconds => {
                let seconds = Duration::from_millis(sum).as_secs_f64();
                writeln!(out, "{}.value {seconds:.3}", self.name)
            }
            _ => writeln!(out, "{}.value {sum}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::{Figure, Machine, Verb};
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_munins_rules_and_are_there_once() {
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            starts_well && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && name != "root"
        };
        let mut graphs = BTreeSet::new();
        for graph in &GRAPHS {
            assert!(is_name(graph.name) && graphs.insert(graph.name), "{}", graph.name);
            let mut fields = BTreeSet::new();
            for field in graph.fields {
                assert!(is_name(field.name) && fields.insert(field.name), "{}", field.name);
                assert!(!field.label.contains(['#', '\\']) && field.label.len() < 30, "{}", field.label);
            }
        }
    }

    #[test]
    fn every_figure_that_is_drawn_exists() {
        let mut known = BTreeSet::new();
        Machine::new(elockd_core::Config::smallest_storage()).figures().each(true, &mut |key, figure| {
            if let Figure::Number(_) = figure {
                known.insert(key.to_owned());
            }
        });
        // These have a line from their first use on.
        for verb in Verb::ALL {
            known.extend(["command", "failed"].map(|figure| format!("{figure}_{}", verb.word())));
        }
        for field in GRAPHS.iter().flat_map(|graph| graph.fields) {
            for key in field.keys {
                assert!(known.contains(*key), "{key}");
            }
            if let Shape::Limited(limit) = field.shape {
                assert!(known.contains(limit), "{limit}");
            }
        }
    }

    #[test]
    fn every_verb_is_in_the_graph_of_commands() {
        let graph = GRAPHS.iter().find(|graph| graph.name == "commands").unwrap();
        let drawn: Vec<&str> = graph.fields.iter().flat_map(|field| field.keys).copied().collect();
        let verbs = Verb::ALL.map(|verb| format!("command_{}", verb.word()));
        assert!(verbs.iter().all(|verb| drawn.contains(&verb.as_str())), "{drawn:?}");
        assert_eq!(drawn.len(), verbs.len());
    }

    #[test]
    fn sums_limits_and_days_are_computed() {
        let figures = [("holds", 3), ("shared_holds", 4), ("limit_locks", 1000), ("uptime_ms", 129_600_000)];
        let figures = [&figures[..], &[("longest_wait_ms", 1_500)]].concat().into_iter();
        let figures = figures.map(|(key, value)| (key.to_owned(), value)).collect();
        let text = config("elockd", Some(&figures), true);
        assert!(text.contains("holds.warning 800\nholds.critical 950\n"), "{text}");
        assert!(text.contains("holds.value 7\n") && text.contains("uptime.value 1.5000\n"), "{text}");
        assert!(text.contains("longest_wait.value 1.500\n"), "{text}");
        assert!(!config("elockd", Some(&figures), false).contains(".value"));
    }

    #[test]
    fn without_a_daemon_all_values_are_unknown() {
        let text = values("elockd", None);
        let values: Vec<&str> = text.lines().filter(|line| line.contains(".value")).collect();
        assert!(values.len() > 20 && values.iter().all(|line| line.ends_with(".value U")), "{text}");
        assert!(!config("elockd", None, false).contains("warning"));
    }
}
