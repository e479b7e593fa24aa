//! `sonode.toml`: read, checked, and turned into types. Every problem is reported at once, with its key.

mod reader;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use sonode_conformance::{AeTitle, limits};

pub use reader::Problem;
use reader::{Problems, Section};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[http] listen`; the page and the API.
    pub http_listen: SocketAddr,
    /// `[limits]`.
    pub limits: Limits,
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
    /// Associations at once; one more is rejected transiently. Default 64.
    pub max_associations: usize,
    /// `artim_s`: see [`limits::ARTIM`].
    pub artim: Duration,
    /// `idle_s`: see [`limits::IDLE`].
    pub idle: Duration,
    /// `message_s`: see [`limits::INSIDE_MESSAGE`].
    pub inside_message: Duration,
    /// `response_s`: see [`limits::RESPONSE`].
    pub response: Duration,
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
    /// Its AE title.
    pub ae_title: AeTitle,
    /// Where to call it; left out: it only calls us.
    pub address: Option<PeerAddress>,
    /// Who may call with this title; empty: any address.
    pub allow_from: Vec<IpNet>,
    /// Storage classes outside the table are taken store-only. Default true.
    pub accept_unknown: bool,
    /// Its own `quiet_period_s`.
    pub quiet_period: Option<Duration>,
}

impl Peer {
    /// Whether an association from `address` may carry this peer's title.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow_from.is_empty() || self.allow_from.iter().any(|net| net.contains(&address))
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
    /// Whether a study without a measurement is reported.
    pub report_unmeasured: ReportUnmeasured,
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
    #[error("{path}: {source}; give the configuration with --config FILE")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TOML.
    #[error("{path}: {source}")]
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

    /// Checks a parsed file.
    ///
    /// # Errors
    /// Every problem, each with its key.
    pub fn check(table: toml::Table, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut warnings = Problems::default();
        let mut root = Section::new("", table);
        let node = node(root.section("node", &mut problems), folder, &mut problems);
        let http_listen = http(root.section("http", &mut problems), &mut problems);
        let limits = network_limits(root.section("limits", &mut problems), &mut problems);
        let study = study(root.section("study", &mut problems), &mut problems);
        let inference = inference(
            root.section("inference", &mut problems),
            folder,
            &mut problems,
        );
        let peers: Vec<Peer> = root
            .sections("peer", &mut problems)
            .into_iter()
            .filter_map(|section| peer(section, &mut problems))
            .collect();
        let routes: Vec<Route> = root
            .sections("route", &mut problems)
            .into_iter()
            .enumerate()
            .filter_map(|(i, section)| route(i, section, &peers, &mut problems, &mut warnings))
            .collect();
        root.finish(
            &[
                "node",
                "http",
                "limits",
                "study",
                "inference",
                "peer",
                "route",
            ],
            &mut problems,
        );
        unambiguous(&peers, &mut problems);
        silent(&peers, &routes, &mut warnings);
        match node {
            Some(node) if problems.0.is_empty() => {
                let warnings = warnings.0;
                Ok(Self {
                    node,
                    http_listen,
                    limits,
                    study,
                    inference,
                    peers,
                    routes,
                    warnings,
                })
            }
            _ => Err(problems.0),
        }
    }

    /// The peer of this name.
    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name == name)
    }
}

fn node(mut section: Section, folder: &Path, problems: &mut Problems) -> Option<Node> {
    let ae_title = section.required("ae_title", problems);
    let listen = section
        .parsed("listen", problems)
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 11_112)));
    let data_dir = section.required::<PathBuf>("data_dir", problems);
    section.finish(&["ae_title", "listen", "data_dir"], problems);
    Some(Node {
        ae_title: ae_title?,
        listen,
        data_dir: folder.join(data_dir?),
    })
}

fn http(mut section: Section, problems: &mut Problems) -> SocketAddr {
    let listen = section.parsed("listen", problems);
    section.finish(&["listen"], problems);
    listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)))
}

fn seconds(
    section: &mut Section,
    name: &str,
    most: Duration,
    default: Duration,
    problems: &mut Problems,
) -> Duration {
    section
        .number(name, 1..=most.as_secs(), problems)
        .map_or(default, Duration::from_secs)
}

fn network_limits(mut section: Section, problems: &mut Problems) -> Limits {
    let day = Duration::from_hours(24);
    let max_associations = section
        .number("max_associations", 1..=1024, problems)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(limits::ASSOCIATIONS);
    let limits = Limits {
        max_associations,
        artim: seconds(&mut section, "artim_s", day, limits::ARTIM, problems),
        idle: seconds(&mut section, "idle_s", day, limits::IDLE, problems),
        inside_message: seconds(
            &mut section,
            "message_s",
            day,
            limits::INSIDE_MESSAGE,
            problems,
        ),
        response: seconds(&mut section, "response_s", day, limits::RESPONSE, problems),
    };
    section.finish(
        &[
            "max_associations",
            "artim_s",
            "idle_s",
            "message_s",
            "response_s",
        ],
        problems,
    );
    limits
}

fn study(mut section: Section, problems: &mut Problems) -> Study {
    let week = Duration::from_hours(7 * 24);
    let study = Study {
        quiet_period: seconds(
            &mut section,
            "quiet_period_s",
            week,
            limits::QUIET_PERIOD,
            problems,
        ),
        max_open: seconds(&mut section, "max_open_s", week, limits::OPEN_MAX, problems),
    };
    section.finish(&["quiet_period_s", "max_open_s"], problems);
    study
}

fn inference(mut section: Section, folder: &Path, problems: &mut Problems) -> Inference {
    let inference = Inference {
        device: section.parsed("device", problems).unwrap_or(Device::Auto),
        models_dir: section
            .parsed::<PathBuf>("models_dir", problems)
            .map_or_else(default_models_dir, |dir| folder.join(dir)),
        allow_research_models: section
            .flag("allow_research_models", problems)
            .unwrap_or(false),
        worker: section
            .parsed::<PathBuf>("worker", problems)
            .map_or_else(default_worker, |program| folder.join(program)),
    };
    section.finish(
        &["device", "models_dir", "allow_research_models", "worker"],
        problems,
    );
    inference
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

fn peer(mut section: Section, problems: &mut Problems) -> Option<Peer> {
    let name = section.required::<String>("name", problems);
    let ae_title = section.required("ae_title", problems);
    let host = section.parsed::<String>("host", problems);
    let port = section
        .number("port", 1..=65535, problems)
        .and_then(|n| u16::try_from(n).ok());
    let address = match (host, port) {
        (Some(host), Some(port)) => Some(PeerAddress { host, port }),
        (None, None) => None,
        (Some(_), None) => {
            problems.push(section.key("port"), "is missing: host and port go together");
            None
        }
        (None, Some(_)) => {
            problems.push(section.key("host"), "is missing: host and port go together");
            None
        }
    };
    let allow_from = section.list("allow_from", problems).unwrap_or_default();
    let accept_unknown = section.flag("accept_unknown", problems).unwrap_or(true);
    let quiet_period = section
        .number("quiet_period_s", 1..=604_800, problems)
        .map(Duration::from_secs);
    if let Some(name) = &name
        && (name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    {
        problems.push(
            section.key("name"),
            "may hold letters, digits, '-' and '_' only",
        );
    }
    section.finish(
        &[
            "name",
            "ae_title",
            "host",
            "port",
            "allow_from",
            "accept_unknown",
            "quiet_period_s",
        ],
        problems,
    );
    Some(Peer {
        name: name?,
        ae_title: ae_title?,
        address,
        allow_from,
        accept_unknown,
        quiet_period,
    })
}

fn route(
    i: usize,
    mut section: Section,
    peers: &[Peer],
    problems: &mut Problems,
    warnings: &mut Problems,
) -> Option<Route> {
    let from = section.list::<String>("from", problems);
    let to = section.required::<String>("to", problems);
    let send: BTreeSet<Send> = section.list("send", problems).map_or_else(
        || BTreeSet::from([Send::Sr]),
        |list| list.into_iter().collect(),
    );
    let report_unmeasured = section
        .parsed("report_unmeasured", problems)
        .unwrap_or_default();
    if section.flag("commit", problems).unwrap_or(false) {
        warnings.push(
            section.key("commit"),
            "this version does not ask for storage commitment yet; the C-STORE response is what counts",
        );
    }
    section.finish(
        &["from", "to", "send", "commit", "report_unmeasured"],
        problems,
    );
    let known = |name: &str| peers.iter().find(|peer| peer.name == name);
    for name in from.iter().flatten().filter(|name| known(name).is_none()) {
        problems.push(
            format!("route[{i}].from"),
            format!("there is no [[peer]] named {name:?}"),
        );
    }
    let to = to?;
    match known(&to) {
        None => problems.push(
            format!("route[{i}].to"),
            format!("there is no [[peer]] named {to:?}"),
        ),
        Some(peer) if peer.address.is_none() => {
            problems.push(
                format!("route[{i}].to"),
                format!("the peer {to:?} has no host and port"),
            );
        }
        Some(_) => {}
    }
    Some(Route {
        from,
        to,
        send,
        report_unmeasured,
    })
}

/// A node that nobody may call, or that sends nothing, is legal and hardly meant.
fn silent(peers: &[Peer], routes: &[Route], warnings: &mut Problems) {
    if peers.is_empty() {
        warnings.push(
            "peer",
            "there is no [[peer]], so every association is rejected",
        );
    }
    if routes.is_empty() {
        warnings.push(
            "route",
            "there is no [[route]], so no report is sent anywhere",
        );
    }
}

/// Two peers may share a title only if their addresses tell them apart.
fn unambiguous(peers: &[Peer], problems: &mut Problems) {
    for (i, peer) in peers.iter().enumerate() {
        for (j, other) in peers.iter().enumerate().take(i) {
            if peer.name == other.name {
                problems.push(
                    format!("peer[{i}].name"),
                    format!("{:?} is the name of peer[{j}] too", peer.name),
                );
            }
            let overlap = peer.allow_from.is_empty()
                || other.allow_from.is_empty()
                || peer.allow_from.iter().any(|a| {
                    other
                        .allow_from
                        .iter()
                        .any(|b| a.contains(b) || b.contains(a))
                });
            if peer.ae_title == other.ae_title && overlap {
                problems.push(
                    format!("peer[{i}].ae_title"),
                    format!(
                        "{} is the title of peer[{j}] too: give both an allow_from that tells them apart",
                        peer.ae_title
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
