//! What the node tells the pipeline, already validated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonode_conformance::{AeTitle, limits};
use sonode_sr_writer::{Companion, Document, Style};

/// The pipeline's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's own AE title: a report's Station AE.
    pub ae_title: AeTitle,
    /// Device Serial Number (0018,1000) of the reports; the node's UID where the operator gives none.
    pub device_serial: String,
    /// Without a new instance before a study closes.
    pub quiet_period: Duration,
    /// Longest time from the first instance to the close.
    pub max_open: Duration,
    /// The worker.
    pub worker: WorkerSettings,
    /// What goes where.
    pub routing: Routing,
    /// When failed deliveries are tried again.
    pub retry: RetrySettings,
    /// Above this share of the disk, 0 to 100 per cent, images of done studies are pruned.
    pub prune_above_percent: u8,
}

impl Settings {
    /// The defaults of [`limits`], with no route.
    pub fn new(ae_title: AeTitle, worker: WorkerSettings) -> Self {
        Self {
            ae_title,
            device_serial: String::new(),
            quiet_period: limits::QUIET_PERIOD,
            max_open: limits::OPEN_MAX,
            worker,
            routing: Routing::default(),
            retry: RetrySettings::default(),
            prune_above_percent: limits::PRUNE_ABOVE_PERCENT,
        }
    }
}

/// What the engine demands of a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Longest time without an answer while jobs are in flight: one analysis.
    pub deadline: Duration,
    /// Longest time from start to `Ready`: loading models and checking them.
    pub start_deadline: Duration,
    /// Charged runs of one instance before it is rejected as undecodable.
    pub attempts_max: u32,
    /// Whether models that were trained on the phantom alone may report. `--allow-research-models` is among the worker's
    /// arguments exactly where this is set, and the node puts it there.
    pub allow_research_models: bool,
    /// First wait before a worker that died is started again; it doubles up to a minute.
    pub restart_first: Duration,
}

impl Default for WorkerSettings {
    /// The defaults of [`limits`].
    fn default() -> Self {
        Self {
            deadline: limits::ANALYSIS,
            start_deadline: limits::ANALYSIS,
            attempts_max: limits::ATTEMPTS_MAX,
            allow_research_models: false,
            restart_first: Duration::from_millis(200),
        }
    }
}

/// The part of the settings that SIGHUP replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// What goes where.
    pub routes: Vec<Route>,
    /// [`Settings::quiet_period`] for single peers, by name. Of a study that came from several, the longest counts.
    pub per_peer_quiet: BTreeMap<String, Duration>,
    /// Specific Character Set of the objects of single peers that name none, by name of the peer.
    pub charset_if_missing: BTreeMap<String, String>,
    /// How long single peers have to show that they keep what they took, by name; the others have
    /// [`limits::COMMIT_TIMEOUT`].
    pub commit_timeout: BTreeMap<String, Duration>,
    /// Names of the carts that may ask for storage commitment.
    pub relays: BTreeSet<String>,
    /// Names of the peers by AE title, aliases included: a file that outlived a crash names its sender by the title alone.
    pub peer_names: BTreeMap<AeTitle, String>,
}

/// What goes to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Names of the peers whose studies it takes; `None`: of every peer.
    pub from: Option<Vec<String>>,
    /// Name of the peer that it sends to.
    pub to: String,
    /// What the peer gets of each reported study; none: no report.
    pub documents: BTreeSet<Document>,
    /// How those are written.
    pub style: Style,
    /// Whether instances are forwarded as received.
    pub send_images: bool,
    /// Whether the peer is asked to commit itself to what it took (PS3.4 annex J).
    pub commit: bool,
    /// The pictures that are sent beside each report, for a peer that shows none.
    pub companions: BTreeSet<Companion>,
    /// What is sent about a study in which nothing could be measured.
    pub report_unmeasured: ReportUnmeasured,
}

impl Routing {
    /// How long a peer has to show that it keeps what it took.
    pub(crate) fn commit_timeout_of(&self, peer: &str) -> Duration {
        let own = self.commit_timeout.get(peer).copied();
        own.unwrap_or(limits::COMMIT_TIMEOUT)
    }

    /// The Specific Character Set of a peer's objects that name none; empty where the configuration doesn't say.
    pub(crate) fn charset_of(&self, peer: Option<&str>) -> &str {
        peer.and_then(|peer| self.charset_if_missing.get(peer))
            .map_or("", String::as_str)
    }
}

impl Route {
    /// Whether the route takes what this peer sent.
    pub fn takes(&self, from: &str) -> bool {
        self.from
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == from))
    }
}

/// Whether a report says why nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportUnmeasured {
    /// Such a study gets no report.
    Never,
    /// Only an echo study gets one: a carotid or an obstetric study doesn't.
    #[default]
    EchoOnly,
    /// Every study gets one.
    Always,
}

/// When failed deliveries are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// First wait; it doubles with each failure.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
    /// Tries of a status that archives use for passing faults too (Cxxx), before the dead letter.
    pub refused_tries_max: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            first: limits::RETRY_FIRST,
            max: limits::RETRY_MAX,
            refused_tries_max: limits::REFUSED_TRIES_MAX,
        }
    }
}
