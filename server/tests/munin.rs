//! Goal: munin draws the daemon's figures with nothing but a link in its plugin folder. Method: a real munin-node
//! from Debian's packages, with folders of its own, driven over its port as a munin master drives it; and the
//! plugin run by hand where there is no daemon.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use support::{Daemon, Guard, PATIENCE, has_tools, own_address, poll, program};
use tempfile::TempDir;

/// Runs Debian's program on folders other than the system's.
const RUN_NODE: &str = r#"
    use Munin::Common::Defaults;
    my $dir = shift @ARGV;
    $Munin::Common::Defaults::MUNIN_CONFDIR = $dir;
    $Munin::Common::Defaults::MUNIN_PLUGSTATE = "$dir/state";
    @ARGV = ('--config', "$dir/munin-node.conf");
    do '/usr/sbin/munin-node' or die $@ || $!;
    exit main();
"#;

/// A munin-node, and a line to it.
struct Node {
    _process: Guard,
    _dir: TempDir,
    stream: BufReader<TcpStream>,
}

impl Node {
    /// One whose only plugins are links to the program, with these names, and the configuration for each.
    fn start(plugins: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        // Plugins may run as another user.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["plugins", "plugin-conf.d", "state"] {
            std::fs::create_dir(path.join(folder)).unwrap();
        }
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        for (name, connect) in plugins {
            symlink(env!("CARGO_BIN_EXE_elockd"), path.join("plugins").join(name)).unwrap();
            let conf = format!("[{name}]\nuser {}\nenv.ELOCKD_CONNECT {connect}\n", user.trim());
            std::fs::write(path.join("plugin-conf.d").join(name), conf).unwrap();
        }
        let address = own_address();
        let node = format!(
            "log_file {dir}/log\npid_file {dir}/pid\nbackground 0\nsetsid 0\nuser {user}\nhost {}\n\
             port {}\nhost_name here\nallow ^127\\..*$\n",
            address.ip(),
            address.port(),
            dir = path.display(),
        );
        std::fs::write(path.join("munin-node.conf"), node).unwrap();
        let mut command = Command::new("perl");
        command.args(["-e", RUN_NODE]).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Guard::new(command.spawn().unwrap());
        let stream = poll("munin-node to listen", PATIENCE, || TcpStream::connect(address).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut node = Self { _process: process, _dir: dir, stream: BufReader::new(stream) };
        assert_eq!(node.line(), "# munin node at here");
        node
    }

    fn say(&mut self, request: &str) {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The lines up to the point that ends an answer.
    fn lines(&mut self, request: &str) -> Vec<String> {
        self.say(request);
        std::iter::from_fn(|| Some(self.line()).filter(|line| line != ".")).collect()
    }
}

/// What an answer says, graph by graph: each attribute by its name.
fn graphs(lines: &[String]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut graphs = BTreeMap::new();
    let mut current: Option<&mut BTreeMap<String, String>> = None;
    for line in lines {
        let (key, value) = line.split_once(' ').unwrap_or_else(|| panic!("what is {line:?}?"));
        if key == "multigraph" {
            assert!(!graphs.contains_key(value), "{value} comes twice");
            current = Some(graphs.entry(value.to_owned()).or_default());
        } else {
            let graph = current.as_deref_mut().expect("a graph has a name first");
            assert!(graph.insert(key.to_owned(), value.to_owned()).is_none(), "{key} comes twice");
        }
    }
    graphs
}

/// The fields of a graph.
fn fields(graph: &BTreeMap<String, String>) -> BTreeSet<&str> {
    graph.keys().filter_map(|key| key.split_once('.').map(|(field, _)| field)).collect()
}

#[test]
fn a_munin_node_runs_the_link_and_its_master_gets_graphs_and_values() {
    if !has_tools(&["munin-node", "perl"]) {
        return;
    }
    let daemon = Daemon::start(&["--max-locks", "1000"]);
    let mut client = daemon.unix();
    client.send("g a\nsg b\ng a\nr x\n");
    (0..4).for_each(|_| drop(client.line()));
    let mut node = Node::start(&[("elockd", &daemon.tcp_address().to_string())]);
    node.say("cap multigraph dirtyconfig");
    let capabilities = node.line();
    assert!(capabilities.contains("multigraph") && capabilities.contains("dirtyconfig"), "{capabilities}");
    node.say("list");
    assert_eq!(node.line(), "elockd");

    // With its values: munin calls it once, not twice.
    let config = node.lines("config elockd");
    let graphs_of_config = graphs(&config);
    assert!(graphs_of_config.len() >= 8, "{config:?}");
    for (name, graph) in &graphs_of_config {
        assert!(name.starts_with("elockd_"), "{name}");
        for key in ["graph_title", "graph_vlabel", "graph_category", "graph_args", "graph_info"] {
            assert!(graph.contains_key(key), "{name} has no {key}");
        }
        for field in fields(graph) {
            let attribute = |key: &str| graph.get(&format!("{field}.{key}")).map(String::as_str);
            assert!(attribute("label").is_some() && attribute("info").is_some(), "{name} {field}");
            assert!(["GAUGE", "DERIVE"].contains(&attribute("type").unwrap()), "{name} {field}");
            assert_eq!(attribute("min"), Some("0"), "{name} {field}");
            assert!(attribute("value").unwrap().parse::<f64>().is_ok(), "{name} {field}");
            // A counter that begins anew must not be a spike; RRDtool takes whole numbers alone for these.
            let is_whole = attribute("value").unwrap().parse::<u64>().is_ok();
            assert!(attribute("type") == Some("GAUGE") || is_whole, "{name} {field}");
        }
    }
    let locks = &graphs_of_config["elockd_locks"];
    let value = |key: &str| &*locks[key];
    assert_eq!((value("locks.value"), value("shared_locks.value"), value("holds.value")), ("1", "1", "2"));
    assert_eq!((value("holds.warning"), value("holds.critical")), ("800", "950"));
    assert_eq!(graphs_of_config["elockd_commands"]["command_g.value"], "2");
    assert_eq!(graphs_of_config["elockd_failures"]["failed_releases.value"], "1");

    // Who asks for the values alone gets those of the same fields.
    let fetched = graphs(&node.lines("fetch elockd"));
    assert_eq!(fetched.keys().collect::<Vec<_>>(), graphs_of_config.keys().collect::<Vec<_>>());
    for (name, graph) in &fetched {
        assert_eq!(fields(graph), fields(&graphs_of_config[name]), "{name}");
        assert!(graph.keys().all(|key| key.split('.').nth(1) == Some("value")), "{graph:?}");
    }
    assert_eq!(fetched["elockd_locks"]["locks.value"], "1");
}

#[test]
fn a_master_that_does_not_know_of_dirty_configs_gets_none() {
    if !has_tools(&["munin-node", "perl"]) {
        return;
    }
    let daemon = Daemon::start(&[]);
    let mut node = Node::start(&[("elockd", &daemon.tcp_address().to_string())]);
    node.say("cap multigraph");
    node.line();
    assert!(node.lines("config elockd").iter().all(|line| !line.contains(".value ")));
    assert!(node.lines("fetch elockd").contains(&"locks.value 0".to_owned()));
}

#[test]
fn two_daemons_on_one_machine_are_two_links() {
    if !has_tools(&["munin-node", "perl"]) {
        return;
    }
    let (one, two) = (Daemon::start(&[]), Daemon::start(&[]));
    let mut client = two.unix();
    assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    let unix = format!("unix:{}", two.socket_path().display());
    let mut node = Node::start(&[("elockd", &one.tcp_address().to_string()), ("elockd_b", &unix)]);
    node.say("cap multigraph dirtyconfig");
    node.line();
    let (first, second) = (graphs(&node.lines("fetch elockd")), graphs(&node.lines("fetch elockd_b")));
    assert_eq!(first["elockd_locks"]["locks.value"], "0");
    assert_eq!(second["elockd_b_locks"]["locks.value"], "1");
    assert_eq!(graphs(&node.lines("config elockd_b"))["elockd_b_locks"]["graph_title"], "elockd_b locks");
}

/// Runs the plugin by hand: its status, and what it wrote to stdout and to stderr.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = program().arg("munin").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An address where nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn autoconf_says_yes_where_there_is_a_daemon_and_else_why_not() {
    let daemon = Daemon::start(&[]);
    let yes = run(&["autoconf", "--connect", &daemon.tcp_address().to_string()]);
    assert_eq!(yes, (Some(0), "yes\n".to_owned(), String::new()));
    let nowhere = nowhere();
    let (status, no, _) = run(&["autoconf", "--connect", &nowhere]);
    assert_eq!(status, Some(0), "by munin's rules");
    assert!(no.starts_with(&format!("no (no figures from elockd at {nowhere}: ")), "{no}");
    assert!(no.ends_with(")\n") && no.lines().count() == 1, "{no}");
}

#[test]
fn without_a_daemon_values_are_unknown_and_graphs_stay() {
    let nowhere = nowhere();
    let (status, values, complaint) = run(&["--connect", &nowhere]);
    assert_eq!(status, Some(0));
    assert!(complaint.contains(&nowhere), "{complaint}");
    let values: Vec<&str> = values.lines().filter(|line| !line.starts_with("multigraph ")).collect();
    assert!(values.len() > 20 && values.iter().all(|line| line.ends_with(".value U")), "{values:?}");
    let (status, config, _) = run(&["config", "--connect", &nowhere]);
    assert_eq!(status, Some(0));
    assert!(config.contains("graph_title elockd locks\n"), "{config}");
}

#[test]
fn what_does_not_answer_as_elockd_does_is_no_daemon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example.org ESMTP\r\n").unwrap();
    });
    let (_, answer, _) = run(&["autoconf", "--connect", &address]);
    other.join().unwrap();
    assert!(answer.starts_with("no ("), "{answer}");
}

#[test]
fn run_by_munin_it_never_becomes_a_daemon_whatever_its_link_is_called() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("locks");
    symlink(env!("CARGO_BIN_EXE_elockd"), &link).unwrap();
    let mut command = Command::new(&link);
    // As munin-node does for every plugin.
    command.env("MUNIN_PLUGSTATE", dir.path()).env("ELOCKD_CONNECT", nowhere());
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("multigraph elockd_locks\n"));
}

#[test]
fn a_wrong_request_is_refused_with_status_2() {
    for (args, reason) in
        [(&["frobnicate"][..], "frobnicate"), (&["--connect", "localhost:1"], "not looked up")]
    {
        let (status, _, complaint) = run(args);
        assert_eq!(status, Some(2));
        assert!(complaint.contains(reason), "{complaint}");
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let output = |connect: Option<&str>| {
        let mut command = program();
        command.args(["munin", "config"]).env_remove("ELOCKD_CONNECT");
        if let Some(connect) = connect {
            command.env("ELOCKD_CONNECT", connect);
        }
        command.output().unwrap()
    };
    let (unset, empty, wrong) = (output(None), output(Some("")), output(Some("nonsense")));
    assert_eq!((empty.status, empty.stdout), (unset.status, unset.stdout));
    assert!(unset.status.success() && !wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("nonsense"));
}
