//! The sections of `sonode.toml`, each checked into its type; and what only shows when they are seen together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sonode_conformance::limits;
use sonode_sr_writer::{Document, Style};

use super::reader::{Problem, Problems, Section};
use super::{
    CharsetTerm, Commitment, CompanionName, Config, Device, Inference, Limits, Node, Peer,
    PeerAddress, ReportName, Route, SecondReader, Send, Storage, Study, default_models_dir,
    default_worker,
};
use std::collections::BTreeSet;

impl Config {
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
        let storage = storage(root.section("storage", &mut problems), &mut problems);
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
                "storage",
                "study",
                "inference",
                "peer",
                "route",
            ],
            &mut problems,
        );
        unambiguous(&peers, &mut problems);
        relays(&peers, &routes, &mut problems);
        silent(&peers, &routes, &mut warnings);
        for (i, _) in peers.iter().enumerate().filter(|(_, peer)| peer.mpps) {
            warnings.push(
                format!("peer[{i}].mpps"),
                "the RIS needs this peer's MPPS: have it sent here too, and don't take it away from there",
            );
        }
        match node {
            Some(node) if problems.0.is_empty() => {
                let warnings = warnings.0;
                Ok(Self {
                    node,
                    http_listen,
                    limits,
                    storage,
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
        share_idle: seconds(
            &mut section,
            "share_idle_s",
            day,
            limits::SHARE_IDLE,
            problems,
        ),
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
            "share_idle_s",
            "artim_s",
            "idle_s",
            "message_s",
            "response_s",
        ],
        problems,
    );
    limits
}

fn storage(mut section: Section, problems: &mut Problems) -> Storage {
    let mut percent = |name, default| {
        let given = section.number(name, 1..=100, problems);
        given
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(default)
    };
    let storage = Storage {
        prune_above_percent: percent("prune_above_percent", limits::PRUNE_ABOVE_PERCENT),
        refuse_above_percent: percent("refuse_above_percent", limits::REFUSE_ABOVE_PERCENT),
    };
    if storage.refuse_above_percent < storage.prune_above_percent {
        problems.push(
            "storage.refuse_above_percent",
            "is below storage.prune_above_percent: carts would be refused before anything is pruned",
        );
    }
    section.finish(&["prune_above_percent", "refuse_above_percent"], problems);
    storage
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
        second_reader: SecondReader::read(&mut section, folder, problems),
    };
    section.finish(
        &[
            "device",
            "models_dir",
            "allow_research_models",
            "worker",
            "second_reader",
        ],
        problems,
    );
    inference
}

fn peer(mut section: Section, problems: &mut Problems) -> Option<Peer> {
    let name = section.required::<String>("name", problems);
    let ae_title = section.required("ae_title", problems);
    let aliases = section.list("aliases", problems).unwrap_or_default();
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
    let commitment = section.parsed("commitment", problems).unwrap_or_default();
    let mpps = section.flag("mpps", problems).unwrap_or(false);
    let commit_timeout = section
        .number("commit_timeout_s", 1..=2_592_000, problems)
        .map(Duration::from_secs);
    let charset_if_missing = section
        .parsed::<CharsetTerm>("charset_if_missing", problems)
        .map(|term| term.0);
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
            "aliases",
            "host",
            "port",
            "allow_from",
            "accept_unknown",
            "quiet_period_s",
            "commitment",
            "mpps",
            "commit_timeout_s",
            "charset_if_missing",
        ],
        problems,
    );
    Some(Peer {
        name: name?,
        ae_title: ae_title?,
        aliases,
        address,
        allow_from,
        accept_unknown,
        quiet_period,
        commitment,
        mpps,
        commit_timeout,
        charset_if_missing,
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
    let commit = section.flag("commit", problems).unwrap_or(false);
    let documents = documents(&mut section, &send, problems, warnings);
    let companions: BTreeSet<CompanionName> = section
        .list("companions", problems)
        .map(|list| list.into_iter().collect())
        .unwrap_or_default();
    let is_drawn = |name: &CompanionName| matches!(name, CompanionName::Drawn(_));
    if companions.iter().any(is_drawn) && !send.contains(&Send::Sr) {
        problems.push(
            section.key("companions"),
            "but key-object go beside the report, and send lacks \"sr\"",
        );
    }
    let style = style(&mut section, problems);
    section.finish(
        &[
            "from",
            "to",
            "send",
            "commit",
            "report_unmeasured",
            "documents",
            "companions",
            "codes",
            "findings_code",
            "charset",
            "language",
        ],
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
        commit,
        report_unmeasured,
        documents,
        companions,
        style,
    })
}

/// `documents`: what "sr" stands for.
fn documents(
    section: &mut Section,
    send: &BTreeSet<Send>,
    problems: &mut Problems,
    warnings: &mut Problems,
) -> BTreeSet<Document> {
    let Some(names) = section.list::<ReportName>("documents", problems) else {
        return BTreeSet::from([Document::MeasurementReport]);
    };
    let key = section.key("documents");
    if names.is_empty() {
        problems.push(
            key,
            "is empty: name at least one, or leave \"sr\" out of send",
        );
    } else if !send.contains(&Send::Sr) {
        warnings.push(key, "has no effect, since send lacks \"sr\"");
    }
    names.into_iter().map(|name| name.0).collect()
}

/// How everything that is written for the peer is written.
fn style(section: &mut Section, problems: &mut Problems) -> Style {
    Style {
        codes: section.parsed("codes", problems).unwrap_or_default(),
        findings_code: section
            .parsed("findings_code", problems)
            .unwrap_or_default(),
        charset: section.parsed("charset", problems).unwrap_or_default(),
        language: section.parsed("language", problems).unwrap_or_default(),
    }
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

/// Whoever asks for commitment has to be answered, and only an archive can answer.
fn relays(peers: &[Peer], routes: &[Route], problems: &mut Problems) {
    let relays = peers
        .iter()
        .enumerate()
        .filter(|(_, peer)| peer.commitment == Commitment::Relay);
    for (i, peer) in relays {
        let key = format!("peer[{i}].commitment");
        if peer.address.is_none() {
            problems.push(
                &key,
                "\"relay\" needs the peer's host and port: the answer may have to go out on an association of ours",
            );
        }
        let forwards = |route: &Route| {
            let takes = route
                .from
                .as_ref()
                .is_none_or(|from| from.contains(&peer.name));
            takes && route.send.contains(&Send::Images) && route.to != peer.name
        };
        if !routes.iter().any(forwards) {
            problems.push(
                &key,
                "\"relay\" needs a [[route]] from this peer that sends \"images\": the node is no archive and answers for nobody",
            );
        }
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
            let titles = std::iter::once(&peer.ae_title).chain(&peer.aliases);
            let shared = titles.filter(|title| overlap && other.is_called(title));
            for title in shared {
                let key = if *title == peer.ae_title {
                    "ae_title"
                } else {
                    "aliases"
                };
                problems.push(
                    format!("peer[{i}].{key}"),
                    format!(
                        "{title} is a title of peer[{j}] too: give both an allow_from that tells them apart"
                    ),
                );
            }
        }
    }
}
