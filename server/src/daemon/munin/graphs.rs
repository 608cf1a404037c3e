//! The graphs and their values, in munin's format. A figure that only goes up is of type DERIVE with a minimum of 0, so
//! that a restart of the daemon shows as a gap and not as a spike.

use super::query::Figures;
use elockd_core::figures::{FigureRow, Nature, rows};
use std::fmt::Write;
use std::time::Duration;

/// One picture.
struct Graph {
    /// Comes behind the plugin's name and a `_`.
    name: &'static str,
    /// Comes behind the plugin's name and a space.
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
    /// Munin's rules: a letter or `_`, then letters, digits and `_`, and not `root`.
    name: &'static str,
    label: &'static str,
    /// The figures of `q full` that are summed up.
    keys: &'static [&'static str],
    shape: Shape,
    /// Empty for a field of one figure: then the table of figures has the help.
    info: &'static str,
}

#[derive(Clone, Copy)]
enum Shape {
    /// As the table of figures says: a counter as a rate, anything else as it is now.
    Figure,
    /// As it is now, with the figure that limits it. Munin warns at 80 % of the limit, and calls 95 % critical.
    Limited(&'static str),
    /// A counter, shown for each second.
    Rate,
    /// The same, on top of the fields before it.
    StackedRate,
    /// Milliseconds, shown in seconds.
    Seconds,
    /// Milliseconds, shown in days.
    Days,
}

impl Field {
    /// A figure, under its own name and in its own words.
    const fn figure(key: &'static [&'static str; 1], label: &'static str) -> Self {
        Self { name: key[0], label, keys: key, shape: Shape::Figure, info: "" }
    }

    /// The same, in another shape or in other words.
    const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    const fn info(self, info: &'static str) -> Self {
        Self { info, ..self }
    }

    /// A sum of figures.
    const fn sum(
        name: &'static str,
        label: &'static str,
        keys: &'static [&'static str],
        shape: Shape,
        info: &'static str,
    ) -> Self {
        Self { name, label, keys, shape, info }
    }
}

/// A rate on top of the fields before it.
const fn stacked(key: &'static [&'static str; 1], label: &'static str, info: &'static str) -> Field {
    Field::figure(key, label).shape(Shape::StackedRate).info(info)
}

const GRAPHS: [Graph; 12] = [
    Graph {
        name: "locks",
        title: "locks",
        axis: "locks",
        base: 1000,
        info: "Locks held now.",
        fields: &[
            Field::figure(&["locks"], "exclusive locks").info("Names locked exclusively"),
            Field::figure(&["shared_locks"], "shared locks").info("Names locked by one or more holders"),
            Field::figure(&["read_locks"], "read locks").info("Names that are read"),
            Field::figure(&["write_locks"], "write locks").info("Names that are written"),
            Field::sum(
                "holds",
                "holds of all kinds",
                &["holds", "shared_holds", "read_holds", "write_holds"],
                Shape::Limited("limit_locks"),
                "Each holder of each lock; limited by --max-locks",
            ),
        ],
    },
    Graph {
        name: "waiters",
        title: "waiting clients",
        axis: "clients",
        base: 1000,
        info: "Clients waiting for a lock now.",
        fields: &[
            Field::figure(&["waiters"], "for exclusive locks").info("Clients waiting with gw"),
            Field::figure(&["shared_waiters"], "for shared locks").info("Clients waiting with sgw"),
            Field::figure(&["read_waiters"], "for read locks").info("Clients waiting with rgw"),
            Field::figure(&["write_waiters"], "for write locks").info("Clients waiting with wgw"),
            Field::figure(&["end_waiters"], "for ends").info("Clients waiting with iw and siw"),
            Field::sum(
                "all_waiters",
                "all",
                &["waiters", "shared_waiters", "read_waiters", "write_waiters", "end_waiters"],
                Shape::Limited("limit_waiters"),
                "All waiting clients; limited by --max-waiters",
            ),
            Field::figure(&["peak_waiters"], "most since the start"),
        ],
    },
    Graph {
        name: "waits",
        title: "waits",
        axis: "waits per ${graph_period}",
        base: 1000,
        info: "Waits that began, and how they ended. Waits that ended with their connection are not shown.",
        fields: &[
            Field::figure(&["waits"], "begun"),
            Field::figure(&["waits_granted"], "granted"),
            Field::figure(&["waits_timed_out"], "timed out"),
            Field::figure(&["waits_drained"], "shutdown")
                .info("Waits that ended because the daemon was stopped"),
            Field::figure(&["deadlocks_refused"], "refused as deadlocks")
                .info("Waits that did not begin because they would never have ended"),
            Field::figure(&["queue_full"], "refused as too many")
                .info("Waits over --max-waiters or --max-waiters-per-name"),
        ],
    },
    Graph {
        name: "wait_time",
        title: "longest wait",
        axis: "seconds",
        base: 1000,
        info: "Age of the oldest current wait.",
        fields: &[Field::sum(
            "longest_wait",
            "longest wait",
            &["longest_wait_ms"],
            Shape::Seconds,
            "0 when nobody waits",
        )],
    },
    Graph {
        name: "connections",
        title: "connections",
        axis: "connections",
        base: 1000,
        info: "Connections open now.",
        fields: &[
            Field::figure(&["connections"], "open")
                .shape(Shape::Limited("limit_connections"))
                .info("Open connections; limited by --max-connections"),
            Field::figure(&["peak_connections"], "most since the start"),
        ],
    },
    Graph {
        name: "opened",
        title: "new connections",
        axis: "connections per ${graph_period}",
        base: 1000,
        info: "Connections accepted and refused.",
        fields: &[
            Field::figure(&["connections_opened"], "opened"),
            Field::figure(&["connections_refused"], "refused"),
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
            stacked(&["closed_quit"], "quit", "The client sent quit"),
            stacked(&["closed_error"], "broken", "A reset, or a dead peer"),
            stacked(
                &["closed_stalled"],
                "stalled",
                "The client took none of its replies for --write-timeout",
            ),
            stacked(&["closed_idle"], "idle", "The client sent no command for --idle-timeout"),
            stacked(&["closed_kicked"], "kicked", "An operator closed it"),
            stacked(&["closed_resumed"], "resumed", "Another connection took over its locks with resume"),
            stacked(&["closed_shutdown"], "shutdown", "The daemon was stopped"),
        ],
    },
    Graph {
        name: "commands",
        title: "commands",
        axis: "commands per ${graph_period}",
        base: 1000,
        info: "Commands by verb, whatever the answer was.",
        fields: &[
            stacked(&["command_g"], "g", "Get an exclusive lock"),
            stacked(&["command_gw"], "gw", "Get an exclusive lock, or wait for it"),
            stacked(&["command_r"], "r", "Release an exclusive lock"),
            stacked(&["command_i"], "i", "Ask whether an exclusive lock is held"),
            Field::sum(
                "ends",
                "iw, siw",
                &["command_iw", "command_siw"],
                Shape::StackedRate,
                "Wait for the end of a lock's holds",
            ),
            stacked(&["command_sg"], "sg", "Get a shared lock"),
            Field::sum(
                "limited_gets",
                "sgl, sgw",
                &["command_sgl", "command_sgw"],
                Shape::StackedRate,
                "Get a shared lock with a limit, or wait for it",
            ),
            stacked(&["command_sr"], "sr", "Release a shared lock"),
            stacked(&["command_si"], "si", "Count the holders of a shared lock"),
            stacked(&["command_ra"], "ra", "Release everything"),
            Field::sum(
                "reads",
                "rg, rgw",
                &["command_rg", "command_rgw"],
                Shape::StackedRate,
                "Get a read lock, or wait for it",
            ),
            Field::sum(
                "writes",
                "wg, wgw",
                &["command_wg", "command_wgw"],
                Shape::StackedRate,
                "Get a write lock, or wait for it",
            ),
            Field::sum(
                "releases_rw",
                "rr, wr",
                &["command_rr", "command_wr"],
                Shape::StackedRate,
                "Release a read or a write lock",
            ),
            Field::sum(
                "inspections_rw",
                "ri, wi",
                &["command_ri", "command_wi"],
                Shape::StackedRate,
                "Count the readers of a lock, or ask for its writer",
            ),
            Field::sum(
                "tokens",
                "f, sf, rf, wf",
                &["command_f", "command_sf", "command_rf", "command_wf"],
                Shape::StackedRate,
                "Ask for a fencing token",
            ),
            Field::sum(
                "listings",
                "d, sd, dump, ls, who",
                &["command_d", "command_sd", "command_dump", "command_ls", "command_who"],
                Shape::StackedRate,
                "Listings",
            ),
            Field::sum(
                "others",
                "all other commands",
                &[
                    "command_iam",
                    "command_me",
                    "command_ping",
                    "command_q",
                    "command_help",
                    "command_quit",
                    "command_kick",
                    "command_steal",
                    "command_wsteal",
                    "command_linger",
                    "command_resume",
                    "command_auth",
                ],
                Shape::StackedRate,
                "iam, me, ping, q, help, quit, kick, steal, wsteal, linger, resume",
            ),
        ],
    },
    Graph {
        name: "failures",
        title: "failures",
        axis: "answers per ${graph_period}",
        base: 1000,
        info: "Answers that begin with 0. Failed gets are normal where clients compete for a lock.",
        fields: &[
            Field::figure(&["failed_g"], "failed gets").info("Gets of exclusive locks that failed"),
            Field::figure(&["failed_sg"], "failed shared gets")
                .info("Gets of shared locks that failed, which they do only at a limit of locks"),
            Field::sum(
                "failed_waits",
                "failed waits",
                &["failed_gw", "failed_sgw", "failed_rgw", "failed_wgw", "failed_iw", "failed_siw"],
                Shape::Rate,
                "Waits that failed: not over in time, or refused",
            ),
            Field::figure(&["failed_sgl"], "failed limited gets")
                .info("Gets of shared locks that had as many holders as the client allowed"),
            Field::sum(
                "failed_rw",
                "failed reads and writes",
                &["failed_rg", "failed_wg"],
                Shape::Rate,
                "Gets of read and write locks that failed",
            ),
            Field::sum(
                "failed_tokens",
                "no fencing tokens",
                &["failed_f", "failed_sf", "failed_rf", "failed_wf"],
                Shape::Rate,
                "Requests for fencing tokens that failed: the lock was not held, or no token was left",
            ),
            Field::figure(&["locks_refused"], "over a limit of locks"),
            Field::sum(
                "failed_releases",
                "failed releases",
                &["failed_r", "failed_sr", "failed_rr", "failed_wr"],
                Shape::Rate,
                "Releases of locks that were not held: most likely a mistake in the client",
            ),
            Field::figure(&["invalid_commands"], "invalid"),
        ],
    },
    Graph {
        name: "orphans",
        title: "orphaned locks",
        axis: "locks per ${graph_period}",
        base: 1000,
        info: "Locks released because their connection ended.",
        fields: &[
            Field::figure(&["orphans"], "exclusive").info("Exclusive locks"),
            Field::figure(&["shared_orphans"], "shared").info("Shared locks, each holder counted"),
            Field::figure(&["read_orphans"], "read").info("Read locks, each reader counted"),
            Field::figure(&["write_orphans"], "write").info("Write locks"),
        ],
    },
    Graph {
        name: "memory",
        title: "memory",
        axis: "bytes",
        base: 1024,
        info: "Memory of connections, names, holds and waits, as --max-memory counts it.",
        fields: &[
            Field::figure(&["memory_bytes"], "now").shape(Shape::Limited("limit_memory_bytes")),
            Field::figure(&["peak_memory_bytes"], "most since the start"),
            Field::figure(&["lock_bytes"], "locks").info("Memory used by locks, without their indexes"),
        ],
    },
    Graph {
        name: "uptime",
        title: "uptime",
        axis: "days",
        base: 1000,
        info: "Time since the daemon's start. When it falls to 0 the daemon was restarted, and all locks were lost.",
        fields: &[Field::sum(
            "uptime",
            "uptime",
            &["uptime_ms"],
            Shape::Days,
            "Time since the daemon's start",
        )],
    },
];

/// The graphs, with their values if `with_values`, for a munin that takes both at once. `plugin` is the name of the
/// link to this plugin. With several links there can be several daemons on one machine.
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

/// The values. Without a daemon they are unknown.
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
    /// The row of its figure in the table, if it has only one figure.
    fn row(&self) -> Option<&'static FigureRow> {
        let [key] = self.keys else { return None };
        rows().find(|row| {
            let mut is_it = false;
            row.each_part(|part| is_it |= row.key_of(part) == *key);
            is_it
        })
    }

    /// The text that munin shows beside the picture.
    fn words(&self) -> &'static str {
        let help = || self.row().map_or("", |row| row.help);
        let words = if self.info.is_empty() { help() } else { self.info };
        words.strip_suffix('.').unwrap_or(words)
    }

    fn config(&self, figures: Option<&Figures>, out: &mut String) -> std::fmt::Result {
        let Self { name, label, .. } = self;
        writeln!(out, "{name}.label {label}")?;
        writeln!(out, "{name}.info {}", self.words())?;
        let is_counter = || self.row().is_some_and(|row| row.nature == Nature::Counter);
        match self.shape {
            Shape::Rate => writeln!(out, "{name}.type DERIVE\n{name}.min 0")?,
            Shape::StackedRate => {
                writeln!(out, "{name}.type DERIVE\n{name}.min 0\n{name}.draw AREASTACK")?;
            }
            Shape::Figure if is_counter() => writeln!(out, "{name}.type DERIVE\n{name}.min 0")?,
            Shape::Figure | Shape::Seconds | Shape::Days => {
                writeln!(out, "{name}.type GAUGE\n{name}.min 0")?;
            }
            Shape::Limited(limit) => {
                writeln!(out, "{name}.type GAUGE\n{name}.min 0")?;
                if let Some(limit) = figures.and_then(|figures| figures.get(limit)) {
                    writeln!(out, "{name}.warning {}\n{name}.critical {}", limit * 8 / 10, limit * 19 / 20)?;
                }
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
    use elockd_core::Verb;
    use elockd_core::figures::Shown;
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
    fn every_figure_that_is_drawn_is_in_the_table() {
        let mut known = BTreeSet::new();
        for row in rows().filter(|row| row.shown <= Shown::Full && row.nature != Nature::Text) {
            row.each_part(|part| {
                known.insert(row.key_of(part));
            });
        }
        for field in GRAPHS.iter().flat_map(|graph| graph.fields) {
            for key in field.keys {
                assert!(known.contains(*key), "{key}");
            }
            if let Shape::Limited(limit) = field.shape {
                assert!(known.contains(limit), "{limit}");
            }
            assert!(!field.words().is_empty(), "{} has no words", field.name);
        }
    }

    #[test]
    fn what_only_goes_up_is_a_rate() {
        for field in GRAPHS.iter().flat_map(|graph| graph.fields) {
            let is_rate = matches!(field.shape, Shape::Rate | Shape::StackedRate);
            for key in field.keys {
                let field = Field { keys: std::slice::from_ref(key), shape: Shape::Figure, ..*field };
                let mut config = String::new();
                field.config(None, &mut config).unwrap();
                let is_counter = config.contains("type DERIVE");
                assert!(is_counter || !is_rate, "{key} is drawn as a rate and is no counter");
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
