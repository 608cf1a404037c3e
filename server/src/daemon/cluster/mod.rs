//! This daemon as a node of a cluster: what it keeps on the disk, and the thread that its part of the cluster runs on.
//! Ten thousand busy clients must not make its heartbeats late, so that thread serves none.

mod shown;
mod tool;

pub(crate) use tool::{is_meant, main};

use crate::settings::ClusterSettings;
use crate::{CANNOT_START, logging};
use elockd_cluster::net::{Bounds, LinkEnd, LinkListener, Links, Net, Tcp, Tls, TlsError, serve};
use elockd_cluster::raft::{EngineStore, Threads};
use elockd_cluster::store::{IdentityError, StateDirectory, Store, Writing};
use elockd_cluster::{
    Charter, CharterError, Clock, Door, Fatal, Inside, Kit, Node, NodeConfig, NodeFigures, door,
};
use elockd_core::{Config, Settings};
use elockd_server::gate::Replica;
use std::future::pending;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// The exit status of a node whose disk failed.
const DISK_FAILED: i32 = 74;
/// The exit status after a panic, and of a node that is not like the others: both are bugs.
const IS_A_BUG: i32 = 70;
/// The exit status of a node that is not to be started again. A service manager must not try.
pub(crate) const NOT_AGAIN: u8 = 77;
/// How long the end of the thread is waited for.
const STOPPING: Duration = Duration::from_secs(5);
/// The same of a node that is being removed: its own bounds are shorter.
const LEAVING: Duration = Duration::from_secs(15);

/// Why a daemon does not start as a node.
#[derive(Debug, Error)]
pub(crate) enum ClusterError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Charter(#[from] CharterError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{flag} is {own} here, and {common} in the cluster: they must be the same on all nodes")]
    Differs { flag: String, own: String, common: String },
    #[error("cannot listen on {address} for other nodes: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot open the cluster's log: {0}")]
    Log(io::Error),
    #[error("cannot start the cluster's thread: {0}")]
    Thread(io::Error),
    #[error("this node does not start: {0}")]
    Start(String),
    #[error("the cluster's thread has ended")]
    Ended,
}

impl ClusterError {
    /// Whether it will be the same at every start.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::Identity(IdentityError::Refused(_)))
    }
}

/// A state directory that is this daemon's.
pub(crate) struct Prepared {
    directory: StateDirectory,
    charter: Charter,
    tls: Option<Tls>,
}

/// Opens the state directory, and reads the certificates. `machine` is what the settings say: it must be what the
/// cluster was founded with.
pub(crate) fn prepare(settings: &ClusterSettings, machine: &Config) -> Result<Prepared, ClusterError> {
    let directory = StateDirectory::open(&settings.state_dir)?;
    let charter = Charter::read(directory.path())?;
    if let Some((flag, own, common)) = charter.difference(&machine.limits, &machine.features) {
        return Err(ClusterError::Differs { flag: format!("--{flag}"), own, common });
    }
    let tls = settings.files.clone().map(|files| Tls::new(files, Some(&settings.advertise))).transpose()?;
    Ok(Prepared { directory, charter, tls })
}

impl Prepared {
    /// Gives a machine's configuration what is the cluster's. A node that may open few files has fewer sockets, and not
    /// another limit.
    pub(crate) fn adopt(&self, config: &mut Config) {
        let Settings { limits, features, secret, .. } = self.charter.settings.clone();
        (config.limits, config.features, config.secret) = (limits, features, secret);
        config.identity.node = self.directory.identity().node;
    }

    /// The door of the node, and its inner side.
    pub(crate) fn door(&self) -> (Door, Inside) {
        door(self.directory.identity().node, Clock::system())
    }

    /// The certificates of links, to be read again.
    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }
}

/// The parts of a node in production.
struct Production<N>(PhantomData<N>);

impl<N: Net> Kit for Production<N> {
    type Served = Replica;
    type Ask = Links<N>;
    type Pace = Threads;
}

/// Tells the figures of a node, as they are now.
pub(crate) type TellNode = Arc<dyn Fn() -> NodeFigures + Send + Sync>;

/// Ready when something was said.
pub(crate) type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the daemon sees of its node.
pub(crate) struct Member {
    figures: TellNode,
    told_to_leave: Told,
    leaves: Arc<dyn Fn() -> bool + Send + Sync>,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Member {
    /// Starts a node on a thread of its own. It serves as soon as the cluster lets it.
    pub(crate) async fn start(
        prepared: Prepared,
        settings: &ClusterSettings,
        replica: Arc<Replica>,
        inside: Inside,
        machine: Config,
    ) -> Result<Self, ClusterError> {
        let (begun, beginning) = oneshot::channel();
        let settings = settings.clone();
        let body = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(begun.send(Err(ClusterError::Thread(error)))),
            };
            let parts = Parts {
                directory: prepared.directory,
                charter: prepared.charter,
                settings,
                replica,
                inside,
                machine,
            };
            if let Some(tls) = prepared.tls {
                let listening = tls.clone();
                let listen = async move |address: &str| listening.listen(address).await;
                runtime.block_on(run(parts, tls, listen, begun));
            } else {
                let listen = async move |address: &str| Tcp::plain().listen(address).await;
                runtime.block_on(run(parts, Tcp::plain(), listen, begun));
            }
        };
        thread::Builder::new().name("cluster".to_owned()).spawn(body).map_err(ClusterError::Thread)?;
        beginning.await.unwrap_or(Err(ClusterError::Ended))
    }

    /// Who tells of the node.
    pub(crate) fn tell(&self) -> TellNode {
        Arc::clone(&self.figures)
    }

    /// Ready when the node is told to leave the cluster: then the daemon is to end in order. To be asked once.
    pub(crate) fn told_to_leave(&mut self) -> Told {
        mem::replace(&mut self.told_to_leave, Box::pin(pending()))
    }

    /// Ends the node's epoch, hands leadership over, and stops. All its connections have ended. A node that leaves
    /// waits before that until it is no member, and then the process ends here.
    pub(crate) async fn stop(self) {
        let patience = if (self.leaves)() { LEAVING } else { STOPPING };
        // It fails if the thread has ended.
        let _ = self.stop.send(());
        if timeout(patience, self.stopped).await.is_err() {
            warn!("the cluster's thread did not end in time");
        }
    }
}

/// What the thread is given.
struct Parts {
    directory: StateDirectory,
    charter: Charter,
    settings: ClusterSettings,
    replica: Arc<Replica>,
    inside: Inside,
    machine: Config,
}

/// The thread's life.
async fn run<N: Net<Listener = LinkListener>>(
    parts: Parts,
    net: N,
    listen: impl AsyncFnOnce(&str) -> io::Result<LinkListener>,
    begun: oneshot::Sender<Result<Member, ClusterError>>,
) {
    let address = parts.settings.listen.clone();
    let listener = match listen(&address).await {
        Ok(listener) => listener,
        Err(source) => return drop(begun.send(Err(ClusterError::Listen { address, source }))),
    };
    let me = LinkEnd { cluster: parts.directory.identity().cluster, node: parts.directory.identity().node };
    let links = Links::new(net.clone(), me, Bounds::default());
    let seen = links.clone();
    // It is locked as long as the thread lives.
    let (node, _directory) = match start::<N>(parts, links).await {
        Ok(started) => started,
        Err(error) => return drop(begun.send(Err(error))),
    };
    info!("node {} of the cluster {:032x}, listening on {address} for the others", me.node, me.cluster);
    warn!("cluster mode is experimental: its engine has no stable release yet");
    let (admitting, answering) = (node.clone(), node.clone());
    let serving = serve(
        net,
        listener,
        me,
        Bounds::default(),
        move |from, purpose| admitting.admit(from, purpose),
        answering,
    );
    let (stop, stopping) = oneshot::channel();
    let (ended, stopped) = oneshot::channel();
    let looking = node.clone();
    let refused = serving.refusals();
    let figures = move || NodeFigures { links_refused: seen.failures() + refused(), ..looking.figures() };
    let told_to_leave = Box::pin(node.is_to_leave());
    let leaving = node.clone();
    let leaves = Arc::new(move || leaving.leaves());
    let member = Member { figures: Arc::new(figures), told_to_leave, leaves, stop, stopped };
    if begun.send(Ok(member)).is_err() {
        return;
    }
    // It fails if the daemon ends without a word, as after a second signal.
    if stopping.await.is_ok() {
        if node.leaves() && !node.leave().await {
            warn!("this node was to be removed from its cluster, and is a member still: start it again");
        }
        node.stop().await;
    }
    serving.shutdown().await;
    let _ = ended.send(());
}

async fn start<N: Net>(
    parts: Parts,
    links: Links<N>,
) -> Result<(Node<Production<N>>, Arc<StateDirectory>), ClusterError> {
    let Parts { directory, charter, settings, replica, inside, machine } = parts;
    let log = Store::open(Arc::new(directory.log().map_err(ClusterError::Log)?), Writing::Thread)
        .map_err(ClusterError::Log)?;
    let store = EngineStore { log: Arc::new(log), depot: Arc::new(directory.folder()) };
    let directory = Arc::new(directory);
    let refusing = Arc::clone(&directory);
    let nonce = getrandom::u64().map_err(|error| ClusterError::Start(error.to_string()))?;
    let config = NodeConfig {
        identity: directory.identity(),
        advertise: settings.advertise,
        founding: charter.founding(),
        machine,
        nonce,
        on_fatal: Box::new(move |fatal| end(&refusing, fatal)),
    };
    let node = Node::start(config, store, replica, inside, links).await;
    Ok((node.map_err(|error| ClusterError::Start(error.to_string()))?, directory))
}

/// Ends the process: it must not go on. The kernel closes what is open. A node that was removed, or that is not like
/// the others, is not started again.
fn end(directory: &StateDirectory, fatal: &Fatal) {
    let status = match fatal {
        Fatal::Disk(_) => DISK_FAILED,
        Fatal::Engine(_) | Fatal::Diverged { .. } => IS_A_BUG,
        Fatal::Removed => NOT_AGAIN.into(),
        Fatal::Level(_) => CANNOT_START.into(),
    };
    if let Fatal::Diverged { .. } | Fatal::Removed = fatal
        && let Err(error) = directory.refuse(&fatal.to_string())
    {
        error!("cannot note that this node is not to be started again: {error}");
    }
    error!("ending with status {status}: {fatal}");
    logging::flush();
    process::exit(status);
}
