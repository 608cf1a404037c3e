//! `elockd cluster`: the commands by which operators found a cluster, and add and remove its nodes.

use super::shown::{json, table};
use crate::output::{self, tell};
use crate::settings::{self, ClusterSettings, Occasion, TIMEOUT_MS};
use clap::{Args, Parser, Subcommand};
use elockd_cluster::net::{Bounds, Tcp, Tls, call};
use elockd_cluster::store::{Identity, StateDirectory, Store, Writing};
use elockd_cluster::{Charter, Condition, ControlAnswer, ControlRequest, LEVELS};
use elockd_core::{Config, Settings};
use elockd_server::tokens::{FileTokens, HIGHEST_TOKEN, TokenSource};
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;

/// A member is missing.
const MISSING: u8 = 1;
/// It cannot be done; of `status`: there is no majority, or no answer.
const FAILED: u8 = 2;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
#[command(name = "elockd cluster", bin_name = "elockd cluster", version, max_term_width = 100)]
struct ClusterLine {
    #[command(subcommand)]
    command: ClusterTool,
}

/// Founds a cluster, and adds and removes its nodes.
#[derive(Debug, Subcommand)]
enum ClusterTool {
    /// Founds a cluster: prepares the state directory of its first node. Then start the daemon.
    ///
    /// Limits and features are those of the settings given here, and will be the same on all nodes.
    Init(Daemon),
    /// Joins a cluster: asks a member for a number, and prepares the state directory. Then start the daemon.
    ///
    /// The new node has no vote until `promote`.
    Join(Join),
    /// Gives a node that has joined a vote, once it has caught up.
    Promote(Other),
    /// Removes a node: its clients are let go, and its locks are freed. Its daemon ends, and does not start again.
    ///
    /// A node that answers ends in order, as at a shutdown. One that does not is let go of once it can serve nobody.
    Remove(Other),
    /// Raises the level to the highest that all members know: when all run the new release. There is no way back.
    Upgrade(Whole),
    /// Founds the cluster anew from this node alone, when most others are lost for good. Its daemon must not run.
    ///
    /// All connections and locks are gone. The settings stay, and fencing tokens go on above all that were given out.
    /// The other nodes must be off for good: this cannot be checked. Afterwards others join as new nodes, with empty
    /// state directories.
    Recover(Recover),
    /// Tells what the cluster looks like. The status is 0, 1 if a member does not serve, 2 if there is no majority.
    ///
    /// Any member answers, also without a majority. It asks the others for a word on themselves, for a second at most.
    Status(Status),
}

/// The daemon's own settings: the same flags, variables and file.
#[derive(Args, Debug)]
struct Daemon {
    /// The settings that the daemon is started with, such as `--config FILE`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SETTINGS")]
    settings: Vec<OsString>,
}

#[derive(Args, Debug)]
struct Join {
    /// Where a member is reached: what it has as `--cluster-advertise`.
    #[arg(value_name = "HOST:PORT")]
    member: String,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Args, Debug)]
struct Other {
    /// Ask this member. By default it is the node of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,
    /// The number of the node.
    #[arg(value_name = "NODE")]
    node: u16,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Args, Debug)]
struct Whole {
    /// Ask this member. By default it is the node of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Args, Debug)]
struct Recover {
    /// Says that all other nodes are off for good. Otherwise there would be two clusters, and locks held twice.
    #[arg(long, required = true)]
    others_are_off: bool,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Args, Debug)]
struct Status {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Ask this member. By default it is the node of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
}

/// Whether the program was started as this tool.
pub(crate) fn is_meant(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|argument| argument == "cluster")
}

/// Does what the arguments say.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let line = ClusterLine::parse_from(args.iter().skip(1));
    let done = match line.command {
        ClusterTool::Init(daemon) => init(&daemon),
        ClusterTool::Join(join) => self::join(&join),
        ClusterTool::Promote(other) => change(&other, &ControlRequest::Promote(other.node), "votes now"),
        ClusterTool::Remove(other) => change(&other, &ControlRequest::Remove(other.node), "is removed"),
        ClusterTool::Upgrade(whole) => upgrade(&whole),
        ClusterTool::Recover(recover) => self::recover(&recover),
        ClusterTool::Status(status) => self::status(&status),
    };
    match done {
        Ok(status) => status,
        Err(Refused::Settings(refusal)) => refusal.exit(),
        Err(Refused::Reason(reason)) => {
            tell(format_args!("error: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Why something is not done.
enum Refused {
    Settings(settings::Refusal),
    Reason(String),
}

impl<E: std::error::Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Reason(error.to_string())
    }
}

/// The settings of a daemon that is a node.
fn load(daemon: &Daemon) -> Result<(settings::Settings, ClusterSettings), Refused> {
    let args: Vec<OsString> = ["elockd".into()].into_iter().chain(daemon.settings.iter().cloned()).collect();
    let loaded = settings::load(&args, Occasion::Start).map_err(Refused::Settings)?;
    let cluster = loaded.settings.cluster.clone().ok_or_else(|| {
        Refused::Reason("these settings are not a node's: set --cluster-listen and --state-dir".to_owned())
    })?;
    Ok((loaded.settings, cluster))
}

/// Makes the state directory if it is missing, and sees that it belongs to no cluster. It is locked as long as the
/// tokens live.
fn new_directory(cluster: &ClusterSettings) -> Result<FileTokens, Refused> {
    let tokens = FileTokens::open(&cluster.state_dir)?;
    if StateDirectory::is_one(&cluster.state_dir)? {
        let reason = format!("{} belongs to a cluster already", cluster.state_dir.display());
        return Err(Refused::Reason(reason));
    }
    Ok(tokens)
}

fn init(daemon: &Daemon) -> Result<ExitCode, Refused> {
    let (settings, cluster) = load(daemon)?;
    let machine = settings.server.machine;
    // Tokens go on above those that a daemon alone gave out of it.
    let mut tokens = new_directory(&cluster)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let first = *runtime.block_on(tokens.reserve())?.start();
    let Config { limits, features, secret, accounts, .. } = machine;
    let common = Settings { limits, features, secret, accounts };
    let charter = Charter { settings: common, founds: Some((first, HIGHEST_TOKEN)), token: first };
    let identity = Identity::found(TIMEOUT_MS)?;
    charter.write(&cluster.state_dir)?;
    let directory = StateDirectory::create(&cluster.state_dir, identity)?;
    Ok(output::print(&format!(
        "founded the cluster {:032x}\nnode 1 at {}: start its daemon, and join others to it\n",
        directory.identity().cluster,
        cluster.advertise
    )))
}

fn join(join: &Join) -> Result<ExitCode, Refused> {
    let (settings, cluster) = load(&join.daemon)?;
    let machine = settings.server.machine;
    drop(new_directory(&cluster)?);
    // Asked again after a failure, it gets the same number: the draw is kept.
    let draw = cluster.state_dir.join("cluster.joining");
    let drawn = fs::read_to_string(&draw).ok().and_then(|text| text.trim().parse().ok());
    let nonce = if let Some(nonce) = drawn {
        nonce
    } else {
        let nonce = getrandom::u64().map_err(|error| Refused::Reason(error.to_string()))?;
        fs::write(&draw, format!("{nonce}\n"))?;
        nonce
    };
    let request = ControlRequest::Join { nonce, address: cluster.advertise.clone(), levels: LEVELS };
    let answer = ask(&cluster, &join.member, &request)?;
    let ControlAnswer::Joined { node, cluster: number, timeout_ms, settings: common, token } = answer else {
        return Err(unexpected(answer));
    };
    let common = Charter::settings_of(&common).ok_or_else(|| {
        Refused::Reason("the cluster has settings that this release does not know".to_owned())
    })?;
    let charter = Charter { settings: common, founds: None, token };
    if let Some((flag, own, common)) = charter.difference(&machine.limits, &machine.features) {
        return Err(Refused::Reason(format!(
            "--{flag} is {own} here, and {common} in the cluster: they must be the same on all nodes; node {node} \
             has its number and is kept for this one: change the settings, and join again"
        )));
    }
    charter.write(&cluster.state_dir)?;
    StateDirectory::create(&cluster.state_dir, Identity { cluster: number, node, timeout_ms })?;
    fs::remove_file(&draw)?;
    Ok(output::print(&format!(
        "joined the cluster {number:032x} as node {node}, at {}: start its daemon, and then give it a vote with\n\
         elockd cluster promote --at {} {node}\n",
        cluster.advertise, join.member
    )))
}

/// Asks a member: that one, or else the node of the settings.
fn ask_member(at: Option<&str>, daemon: &Daemon, request: &ControlRequest) -> Result<ControlAnswer, Refused> {
    let (_, cluster) = load(daemon)?;
    ask(&cluster, at.unwrap_or(&cluster.advertise), request)
}

fn change(other: &Other, request: &ControlRequest, what: &str) -> Result<ExitCode, Refused> {
    match ask_member(other.at.as_deref(), &other.daemon, request)? {
        ControlAnswer::Done => Ok(output::print(&format!("node {} {what}\n", other.node))),
        answer => Err(unexpected(answer)),
    }
}

fn upgrade(whole: &Whole) -> Result<ExitCode, Refused> {
    match ask_member(whole.at.as_deref(), &whole.daemon, &ControlRequest::Upgrade)? {
        ControlAnswer::Level(level) => Ok(output::print(&format!("the cluster is at level {level}\n"))),
        answer => Err(unexpected(answer)),
    }
}

fn recover(recover: &Recover) -> Result<ExitCode, Refused> {
    assert!(recover.others_are_off, "clap demands it");
    let (settings, cluster) = load(&recover.daemon)?;
    // Its daemon must not run, and a node that was refused as damaged or different may be the last one left.
    let mut directory = StateDirectory::open_refused(&cluster.state_dir)?;
    let mut charter = Charter::read(&cluster.state_dir)?;
    let log = Store::open(Arc::new(directory.log()?), Writing::Inline)?;
    let last = log.head().last.map_or(0, |last| last.index);
    drop(log);
    let mut tokens = FileTokens::open(&cluster.state_dir)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let by_clock = *runtime.block_on(tokens.reserve())?.start();
    let first = by_clock.max(charter.token_above(last));
    // Keys of before open nothing any more.
    charter.settings.secret = settings.server.machine.secret;
    charter.founds = Some((first, HIGHEST_TOKEN));
    charter.token = first;
    charter.write(&cluster.state_dir)?;
    directory.renew(Identity::found(TIMEOUT_MS)?)?;
    Ok(output::print(&format!(
        "founded the cluster {:032x} anew, without connections and locks\nthis is its node 1 now: start its daemon, \
         and join others, with empty state directories\n",
        directory.identity().cluster
    )))
}

fn status(status: &Status) -> Result<ExitCode, Refused> {
    let answer = ask_member(status.at.as_deref(), &status.daemon, &ControlRequest::Status)?;
    let ControlAnswer::Status(record) = answer else { return Err(unexpected(answer)) };
    let text = if status.json { json(&record) } else { table(&record) };
    output::print(&text);
    Ok(match record.condition() {
        Condition::Whole => ExitCode::SUCCESS,
        Condition::MemberMissing => ExitCode::from(MISSING),
        Condition::NoQuorum => ExitCode::from(FAILED),
    })
}

fn ask(cluster: &ClusterSettings, at: &str, request: &ControlRequest) -> Result<ControlAnswer, Refused> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (kind, payload, bounds) = (ControlRequest::KIND, request.to_bytes(), Bounds::default());
    let called = match &cluster.files {
        Some(files) => {
            let tls = Tls::new(files.clone(), None)?;
            runtime.block_on(call(&tls, at, kind, payload, PATIENCE, &bounds))
        }
        None => runtime.block_on(call(&Tcp::plain(), at, kind, payload, PATIENCE, &bounds)),
    };
    let called = called.map_err(|error| Refused::Reason(format!("no answer from {at}: {error}")))?;
    ControlAnswer::from_bytes(&called.answer).map_err(Refused::from)
}

fn unexpected(answer: ControlAnswer) -> Refused {
    Refused::Reason(match answer {
        ControlAnswer::Refused(reason) => reason,
        answer => format!("an answer that this release does not know: {answer:?}"),
    })
}
