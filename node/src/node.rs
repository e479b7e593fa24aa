//! The running node: what its listeners, its sender and its page share.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use sonode_conformance::limits;
use sonode_pipeline::spool::Spool;
use sonode_pipeline::{
    Health, Pipeline, Ports, ReportUnmeasured, Route, Routing, Settings, SystemClock, Timestamp,
    WorkerProgram, WorkerSettings,
};
use tokio::net::TcpListener;

use crate::config::{self, Commitment, Config};
use crate::header::FileHeaders;
use crate::mailbox::Mailboxes;
use crate::metrics::Metrics;
use crate::places::{Places, Rules};
use crate::refused::Refused;
use crate::sender::Sender;
use crate::strangers::Strangers;
use crate::{http, listener};

/// What IT is told while [`Node::has_room`] is false.
pub(crate) const NO_ROOM: &str = "the disk of data_dir is above storage.refuse_above_percent: make room; until then associations are rejected";

/// How long a stopping node lets running work end.
const DRAIN: Duration = Duration::from_secs(20);

/// State that the whole node shares.
pub(crate) struct Node {
    config: RwLock<Arc<Config>>,
    spool: Spool,
    pipeline: Pipeline,
    metrics: Metrics,
    stopping: AtomicBool,
    /// TCP connections, whether or not they carry an association.
    connections: AtomicUsize,
    strangers: Strangers,
    /// Associations that stand. Connections that ask for nothing, probes among them, take nobody's place.
    places: Places,
    next_association: AtomicU64,
    last_calls: Mutex<HashMap<String, Timestamp>>,
    refused: Refused,
    mailboxes: Mailboxes,
}

impl Node {
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was refused for want of room and has not arrived since.
    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Requests of ours that wait for an association of the peer's.
    pub(crate) fn mailboxes(&self) -> &Mailboxes {
        &self.mailboxes
    }

    /// Readiness, queue lengths and counters: the pipeline's, and whether carts are rejected for want of room.
    pub(crate) fn health(&self) -> Health {
        let mut health = self.pipeline.health();
        if !self.has_room() {
            health.ready = false;
            health.problems.push(NO_ROOM.to_owned());
        }
        health
    }

    /// Whether the disk has room for one association more: every one that stands has [`limits::FREE_BYTES_MIN`] in
    /// reserve for the object that it is sending. A disk that can't be asked has: its own error says more than a refusal.
    pub(crate) fn has_room(&self) -> bool {
        let standing = u64::try_from(self.metrics.open_associations.get()).unwrap_or(0);
        let reserved = limits::FREE_BYTES_MIN.saturating_mul(standing.saturating_add(1));
        let percent = self.config().storage.refuse_above_percent;
        self.spool
            .space()
            .map_or(true, |space| space.until(percent) >= reserved)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn stop_flag(&self) -> &AtomicBool {
        &self.stopping
    }

    /// Connections that are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Counts a connection for as long as the guard lives.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub(crate) fn count_connection(
        self: &Arc<Self>,
        stream: &TcpStream,
    ) -> std::io::Result<OpenConnection> {
        let association = self.next_association();
        self.strangers.enter(association, stream)?;
        self.connections.fetch_add(1, Ordering::SeqCst);
        Ok(OpenConnection {
            node: Arc::clone(self),
            association,
        })
    }

    /// The connections without an association.
    pub(crate) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// Takes a place for an association of this peer for as long as the guard lives; none if the node is full and
    /// nobody has to make room. It may wait for a moment: see [`Places::take`].
    pub(crate) fn take_place(self: &Arc<Self>, id: u64, peer: &str) -> Option<OpenAssociation> {
        let limits = &self.config().limits;
        let rules = Rules {
            max: limits.max_associations,
            idle: limits.share_idle,
        };
        if !self.places.take(id, peer, rules) {
            return None;
        }
        self.strangers.leave(id);
        self.metrics.open_associations.inc();
        Some(OpenAssociation {
            node: Arc::clone(self),
            id,
        })
    }

    /// Associations of a peer that stand.
    pub(crate) fn associations_of(&self, peer: &str) -> usize {
        self.places.held(peer)
    }

    fn next_association(&self) -> u64 {
        self.next_association.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers that a peer called now.
    pub(crate) fn note_call(&self, peer: &str) {
        let now = Timestamp::from_system(SystemTime::now());
        let mut calls = self
            .last_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        calls.insert(peer.to_owned(), now);
    }

    /// When a peer last opened an association with us.
    pub(crate) fn last_call(&self, peer: &str) -> Option<Timestamp> {
        self.last_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(peer)
            .copied()
    }

    /// The Prometheus text: the network's metrics and the pipeline's counters.
    pub(crate) fn metrics_text(&self) -> String {
        let refused = i64::try_from(self.refused.len()).unwrap_or(i64::MAX);
        self.metrics.refused_instances.set(refused);
        self.metrics.encode(&self.health())
    }

    /// Takes the peers and routes of a configuration that was read again. Addresses and folders stay as they are.
    pub(crate) fn reload(&self, fresh: Config) {
        let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&config);
        let merged = Config {
            peers: fresh.peers,
            routes: fresh.routes,
            warnings: fresh.warnings,
            ..(*old).clone()
        };
        self.pipeline.reload(routing(&merged));
        *config = Arc::new(merged);
    }
}

/// One open connection.
pub(crate) struct OpenConnection {
    node: Arc<Node>,
    association: u64,
}

impl OpenConnection {
    /// The number of its association, if it comes to one.
    pub(crate) fn association(&self) -> u64 {
        self.association
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.node.strangers.leave(self.association);
        self.node.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One association that stands.
pub(crate) struct OpenAssociation {
    node: Arc<Node>,
    id: u64,
}

impl OpenAssociation {
    /// A message began, or everything that came was dealt with.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.node.places.set_busy(self.id, busy);
    }

    /// Whether it has to make room for another peer.
    pub(crate) fn is_wanted(&self) -> bool {
        self.node.places.is_wanted(self.id)
    }
}

impl Drop for OpenAssociation {
    fn drop(&mut self) {
        self.node.places.leave(self.id);
        self.node.metrics.open_associations.dec();
    }
}

/// A node whose listeners are open.
pub(crate) struct Running {
    pub(crate) node: Arc<Node>,
    /// Where DICOM associations are accepted.
    pub(crate) dicom: SocketAddr,
    /// Where the page is.
    pub(crate) http: SocketAddr,
}

impl Running {
    /// Opens the spool, starts the pipeline and the listeners. To be called on a tokio runtime.
    ///
    /// # Errors
    /// What can't be opened, in words.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        // The addresses first: a second node on the same machine fails before it touches anything.
        let dicom_socket = bind(config.node.listen, "node.listen").await?;
        let http_socket = bind(config.http_listen, "http.listen").await?;
        let (dicom, http) = (dicom_socket.local_addr()?, http_socket.local_addr()?);
        let spool = Spool::open(&config.node.data_dir)
            .with_context(|| format!("node.data_dir {}", config.node.data_dir.display()))?;
        let sender = Sender::new();
        let ports = Ports {
            sender: Box::new(sender.clone()),
            headers: Box::new(FileHeaders),
            analyzer: Box::new(worker_program(&config, spool.data_dir())),
            clock: Box::new(SystemClock::new()),
        };
        let pipeline = Pipeline::start(settings(&config), spool.clone(), ports)?;
        let now = Timestamp::from_system(SystemTime::now());
        let refused = Refused::open(&spool.data_dir().join("refused"), now);
        let node = Arc::new(Node {
            config: RwLock::new(Arc::new(config)),
            spool,
            pipeline,
            metrics: Metrics::new(),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            strangers: Strangers::default(),
            places: Places::default(),
            next_association: AtomicU64::new(1),
            last_calls: Mutex::default(),
            refused,
            mailboxes: Mailboxes::default(),
        });
        sender.attach(&node);
        tokio::spawn(listener::accept(dicom_socket, Arc::clone(&node)));
        let router = http::router(Arc::clone(&node));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(http_socket, router).await {
                tracing::error!(%error, "the page ended");
            }
        });
        Ok(Self { node, dicom, http })
    }

    /// Refuses what is new, lets what runs end within a bound, and writes everything down.
    pub(crate) async fn stop(&self) {
        self.node.stopping.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + DRAIN;
        while self.node.open_connections() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let pipeline = self.node.pipeline.clone();
        let drained = tokio::task::spawn_blocking(move || pipeline.drain(deadline)).await;
        if let Err(error) = drained {
            tracing::error!(%error, "draining failed");
        }
    }
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{key} = {address} can't be opened: is another node running there?")
    })
}

fn worker_program(config: &Config, data_dir: &Path) -> WorkerProgram {
    let inference = &config.inference;
    let mut args = vec![
        "serve".to_owned(),
        "--models-dir".to_owned(),
        inference.models_dir.display().to_string(),
        "--device".to_owned(),
        inference.device.to_string(),
        "--spool".to_owned(),
        data_dir.display().to_string(),
    ];
    if inference.allow_research_models {
        args.push("--allow-research-models".to_owned());
    }
    if let Some(reader) = &inference.second_reader {
        args.extend(reader.arguments());
    }
    WorkerProgram {
        program: inference.worker.clone(),
        args,
    }
}

fn settings(config: &Config) -> Settings {
    let inference = &config.inference;
    let mut worker = WorkerSettings {
        allow_research_models: inference.allow_research_models,
        ..WorkerSettings::default()
    };
    if inference.second_reader.is_some() {
        // Twenty gigabytes are hashed and quantised before the first job.
        worker.start_deadline = 3 * limits::ANALYSIS;
    }
    let mut settings = Settings::new(config.node.ae_title.clone(), worker);
    settings.quiet_period = config.study.quiet_period;
    settings.max_open = config.study.max_open;
    settings.routing = routing(config);
    settings.prune_above_percent = config.storage.prune_above_percent;
    settings
}

fn routing(config: &Config) -> Routing {
    Routing {
        routes: config.routes.iter().map(route).collect(),
        per_peer_quiet: config
            .peers
            .iter()
            .filter_map(|peer| Some((peer.name.clone(), peer.quiet_period?)))
            .collect(),
        charset_if_missing: config
            .peers
            .iter()
            .filter_map(|peer| Some((peer.name.clone(), peer.charset_if_missing.clone()?)))
            .collect(),
        commit_timeout: config
            .peers
            .iter()
            .filter_map(|peer| Some((peer.name.clone(), peer.commit_timeout?)))
            .collect(),
        relays: config
            .peers
            .iter()
            .filter(|peer| peer.commitment == Commitment::Relay)
            .map(|peer| peer.name.clone())
            .collect(),
        peer_names: config
            .peers
            .iter()
            .flat_map(|peer| {
                let titles = std::iter::once(&peer.ae_title).chain(&peer.aliases);
                titles.map(|title| (title.clone(), peer.name.clone()))
            })
            .collect(),
    }
}

fn route(route: &config::Route) -> Route {
    Route {
        from: route.from.clone(),
        to: route.to.clone(),
        documents: route.written(),
        style: route.style,
        commit: route.commit,
        send_images: route.send.contains(&config::Send::Images),
        companions: route.drawn(),
        report_unmeasured: match route.report_unmeasured {
            config::ReportUnmeasured::Never => ReportUnmeasured::Never,
            config::ReportUnmeasured::EchoOnly => ReportUnmeasured::EchoOnly,
            config::ReportUnmeasured::Always => ReportUnmeasured::Always,
        },
    }
}
