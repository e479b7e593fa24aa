//! `sonode.toml`: read, checked, and turned into types. Every problem is reported at once, with its key.

mod check;
mod reader;
mod second_reader;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use sonode_conformance::AeTitle;
use sonode_conformance::charset::Charset;
use sonode_sr_writer::{Companion, Document, Style};

pub use reader::Problem;
pub use second_reader::{Dtype, SecondReader, Tongue, WhenLate};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[http] listen`; the page and the API.
    pub http_listen: SocketAddr,
    /// `[limits]`.
    pub limits: Limits,
    /// `[storage]`.
    pub storage: Storage,
    /// `[study]`.
    pub study: Study,
    /// `[inference]`.
    pub inference: Inference,
    /// `[[peer]]`, in the file's order.
    pub peers: Vec<Peer>,
    /// `[[route]]`, in the file's order.
    pub routes: Vec<Route>,
    /// What is accepted but does not do what its writer may expect.
    pub warnings: Vec<Problem>,
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Our AE title: what carts call, and what we call the PACS with.
    pub ae_title: AeTitle,
    /// Where DICOM associations are accepted. Default 0.0.0.0:11112, the registered port.
    pub listen: SocketAddr,
    /// The folder that holds everything that was promised to a peer.
    pub data_dir: PathBuf,
}

/// `[limits]`: bounds and timers of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Associations at once; one more is rejected transiently, unless another peer has idle ones over its share.
    /// Default 64.
    pub max_associations: usize,
    /// `share_idle_s`: see [`sonode_conformance::limits::SHARE_IDLE`].
    pub share_idle: Duration,
    /// `artim_s`: see [`sonode_conformance::limits::ARTIM`].
    pub artim: Duration,
    /// `idle_s`: see [`sonode_conformance::limits::IDLE`].
    pub idle: Duration,
    /// `message_s`: see [`sonode_conformance::limits::INSIDE_MESSAGE`].
    pub inside_message: Duration,
    /// `response_s`: see [`sonode_conformance::limits::RESPONSE`].
    pub response: Duration,
}

/// `[storage]`: how full the disk of `data_dir` may become, by whatever fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// `prune_above_percent`: see [`sonode_conformance::limits::PRUNE_ABOVE_PERCENT`].
    pub prune_above_percent: u8,
    /// `refuse_above_percent`: see [`sonode_conformance::limits::REFUSE_ABOVE_PERCENT`].
    pub refuse_above_percent: u8,
}

/// `[study]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// `quiet_period_s`: without a new instance before a study closes. Default 300.
    pub quiet_period: Duration,
    /// `max_open_s`: longest time that a study stays open. Default 14400.
    pub max_open: Duration,
}

/// `[inference]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// `auto`, `cpu` or `cuda:N`. Default `auto`.
    pub device: Device,
    /// Folder of models. Default `models`.
    pub models_dir: PathBuf,
    /// The built-in, phantom-trained models may report from `serve`. Default false.
    pub allow_research_models: bool,
    /// `worker`: the `sonode-worker` program. Default: beside this program.
    pub worker: PathBuf,
    /// `[inference.second_reader]`. Default: none.
    pub second_reader: Option<SecondReader>,
}

/// Where the models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A GPU if there is one.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(u8),
}

impl std::str::FromStr for Device {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or("write auto, cpu or cuda:0"),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// `[[peer]]`: one cart, PACS or other node.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Name in this file, in the log and on the page.
    pub name: String,
    /// Its AE title: what we call it by.
    pub ae_title: AeTitle,
    /// `aliases`: further titles under which it may call, such as that of an archive's storage commitment.
    pub aliases: Vec<AeTitle>,
    /// Where to call it; left out: it only calls us.
    pub address: Option<PeerAddress>,
    /// Who may call with this title; empty: any address.
    pub allow_from: Vec<IpNet>,
    /// Storage classes outside the table are taken store-only. Default true.
    pub accept_unknown: bool,
    /// Its own `quiet_period_s`.
    pub quiet_period: Option<Duration>,
    /// `commitment`: whether it may ask for storage commitment of what it sent. Default off.
    pub commitment: Commitment,
    /// `mpps`: its performed procedure steps are taken. Default false.
    pub mpps: bool,
    /// `commit_timeout_s`: see [`sonode_conformance::limits::COMMIT_TIMEOUT`].
    pub commit_timeout: Option<Duration>,
    /// `charset_if_missing`: Specific Character Set of its objects that name none, as PS3.3 spells it.
    pub charset_if_missing: Option<String>,
}

impl Peer {
    /// Whether it may call with this title.
    pub fn is_called(&self, title: &AeTitle) -> bool {
        self.ae_title == *title || self.aliases.contains(title)
    }

    /// Whether an association from `address` may carry this peer's title.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow_from.is_empty() || self.allow_from.iter().any(|net| net.contains(&address))
    }
}

/// Whether a peer may ask for storage commitment of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Commitment {
    /// The presentation context is rejected: the node is no archive.
    #[default]
    Off,
    /// It is told what the receiver of its images has committed itself to.
    Relay,
}

impl std::str::FromStr for Commitment {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "relay" => Ok(Self::Relay),
            _ => Err("write \"off\" or \"relay\""),
        }
    }
}

/// A value of Specific Character Set (0008,0005) that is known, as PS3.3 spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharsetTerm(pub String);

impl std::str::FromStr for CharsetTerm {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let charset = Charset::parse(text);
        if charset.is_known() {
            Ok(Self(charset.term().to_owned()))
        } else {
            Err(
                "write a Specific Character Set such as \"ISO_IR 100\", \"ISO_IR 192\" or \"GB18030\"",
            )
        }
    }
}

/// Host and port of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `[[route]]`: what of whose studies goes where.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Names of the peers whose studies it is for; none: every peer that may send.
    pub from: Option<Vec<String>>,
    /// Name of the peer that receives.
    pub to: String,
    /// What is sent.
    pub send: BTreeSet<Send>,
    /// `commit`: the peer has to show that it keeps what it took, by storage commitment or a query. Default false.
    pub commit: bool,
    /// Whether a study without a measurement is reported.
    pub report_unmeasured: ReportUnmeasured,
    /// `documents`: what "sr" stands for. Default TID 1500 alone.
    pub documents: BTreeSet<Document>,
    /// `companions`: what is sent beside the reports, for a PACS that shows none. Default none.
    pub companions: BTreeSet<CompanionName>,
    /// `codes`, `findings_code`, `charset` and `language` of everything that is written for it.
    pub style: Style,
}

impl Route {
    /// Every document that the peer gets of a study.
    pub fn written(&self) -> BTreeSet<Document> {
        let reports = self
            .documents
            .iter()
            .filter(|_| self.send.contains(&Send::Sr));
        let key_object = self
            .companions
            .iter()
            .filter(|name| **name == CompanionName::KeyObject)
            .map(|_| &Document::KeyObject);
        reports.chain(key_object).copied().collect()
    }

    /// What is drawn beside the reports.
    pub fn drawn(&self) -> BTreeSet<Companion> {
        let drawn = self.companions.iter().filter_map(|name| match name {
            CompanionName::KeyObject => None,
            CompanionName::Drawn(companion) => Some(*companion),
        });
        drawn.collect()
    }
}

/// One name of `documents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportName(pub Document);

impl std::str::FromStr for ReportName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(Document::KeyObject) | Err(_) => {
                Err("write \"tid1500\", \"tid5200\" or \"tid5300\"")
            }
            Ok(document) => Ok(Self(document)),
        }
    }
}

/// One name of `companions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompanionName {
    /// A document that names the frames of end diastole and end systole.
    KeyObject,
    /// A picture.
    Drawn(Companion),
}

impl std::str::FromStr for CompanionName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "key-object" => Ok(Self::KeyObject),
            _ => text.parse().map(Self::Drawn).map_err(
                |_| "write \"secondary-capture\", \"overlay-cine\", \"pdf\" or \"key-object\"",
            ),
        }
    }
}

/// What a route sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Send {
    /// The Structured Report.
    Sr,
    /// Every instance as it was received.
    Images,
}

impl std::str::FromStr for Send {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sr" => Ok(Self::Sr),
            "images" => Ok(Self::Images),
            _ => Err("write \"sr\" or \"images\""),
        }
    }
}

/// Whether a study without a measurement is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportUnmeasured {
    /// Never.
    Never,
    /// A report that says why for an echo, none for another object.
    #[default]
    EchoOnly,
    /// For every study.
    Always,
}

impl std::str::FromStr for ReportUnmeasured {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "echo-only" => Ok(Self::EchoOnly),
            "always" => Ok(Self::Always),
            _ => Err("write never, echo-only or always"),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path} can't be read; give the configuration with --config FILE")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TOML.
    #[error("{path} is no TOML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Everything that is wrong.
    #[error("{path}: {} problem(s)\n{}", .problems.len(), .problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Problems {
        /// The file.
        path: PathBuf,
        /// Each with its key.
        problems: Vec<Problem>,
    },
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Each [`ConfigError`] variant.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let table = text
            .parse()
            .map_err(|source: toml::de::Error| ConfigError::Syntax {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::check(table, folder).map_err(|problems| ConfigError::Problems {
            path: path.to_owned(),
            problems,
        })
    }

    /// Whether a peer is asked to commit itself to what it took: a route says so, or forwards the images of a cart that is
    /// told of it.
    pub fn asks_commitment_of(&self, peer: &str) -> bool {
        let mut routes = self.routes.iter();
        let is_relayed = |route: &Route| {
            let mut carts = self.peers.iter();
            let takes = |cart: &Peer| {
                route
                    .from
                    .as_ref()
                    .is_none_or(|from| from.contains(&cart.name))
            };
            route.send.contains(&Send::Images)
                && carts.any(|cart| cart.commitment == Commitment::Relay && takes(cart))
        };
        routes.any(|route| route.to == peer && (route.commit || is_relayed(route)))
    }

    /// The peer of this name.
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name == name)
    }
}

/// `sonode-worker` beside this program; found on the path where this program's own place is unknown.
pub fn default_worker() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join("sonode-worker")))
        .unwrap_or_else(|| PathBuf::from("sonode-worker"))
}

/// `models` in the working folder, or in a folder above this program (a source tree, an installation prefix).
pub fn default_models_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    std::iter::once(Path::new("models").to_owned())
        .chain(
            program
                .ancestors()
                .skip(1)
                .take(3)
                .map(|folder| folder.join("models")),
        )
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| PathBuf::from("models"))
}

#[cfg(test)]
mod tests;
