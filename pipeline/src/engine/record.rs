//! What the engine knows of a study; also the form in which the queue keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sonode_conformance::sop_class::{self, Use};
use sonode_conformance::{SopClassUid, SopInstanceUid, StudyInstanceUid};
use sonode_findings::{Findings, LvSummary, Rejection, StudyContext};
use sonode_sr_writer::{Document, Form, Style};

use super::commitment::{Proof, ProofLane};
use crate::companions::CompanionKey;
use crate::report::Member;
use crate::spool::{Digest, PeerMark, StoredInstance};
use crate::states::{DeliveryState, DrawingState, InstanceState, StudyState};
use crate::status::{DeliveryAnswer, Timeline};
use crate::time::Timestamp;

/// One study. It has no `Debug`: it holds patient data.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Study {
    pub(crate) uid: StudyInstanceUid,
    pub(crate) state: StudyState,
    /// Names of the peers that sent it.
    pub(crate) from: BTreeSet<String>,
    pub(crate) context: StudyContext,
    pub(crate) instances: BTreeMap<SopInstanceUid, Instance>,
    pub(crate) timeline: Timeline,
    /// When it began to receive, or was reopened: `max_open` counts from here.
    pub(crate) opened_at: Timestamp,
    /// When the last instance came or the last association that carried it ended: the quiet period counts from here.
    pub(crate) quiet_from: Timestamp,
    /// Every report that was decided, by revision.
    pub(crate) reports: Vec<Report>,
    pub(crate) deliveries: Vec<Delivery>,
    /// What goes beside the reports.
    #[serde(default)]
    pub(crate) companions: Vec<Drawing>,
    /// Why no report is owed.
    pub(crate) unreported: Option<String>,
    /// A rejection note came, in words: nothing of it leaves.
    #[serde(default)]
    pub(crate) rejected: Option<String>,
    /// The operator has released it although its instances contradict each other.
    pub(crate) released: bool,
    /// Nothing is owed any more: it lies under `done/`.
    pub(crate) done: bool,
    /// Reports that lay in the spool when the queue was rebuilt.
    pub(crate) found_reports: Vec<(u32, SopInstanceUid)>,
    /// Those of them whose document and form their files tell: a later revision names them.
    #[serde(default)]
    pub(crate) found_documents: Vec<(u32, Document, Rendered)>,
    /// Those of them that were documents of the findings at one of the closes since.
    #[serde(default)]
    pub(crate) recognised: Vec<(u32, Document, SopInstanceUid)>,
    /// Marks of peers that lay in the spool at the last start.
    #[serde(default)]
    pub(crate) found_marks: Vec<FoundMark>,
    /// When each peer is asked next whether it keeps what it took.
    #[serde(default)]
    pub(crate) proofs: BTreeMap<String, ProofLane>,
    /// Open associations that carried it.
    #[serde(skip)]
    pub(crate) carried_by: BTreeSet<u64>,
    /// When what is due to each peer is tried next. The queue keeps it in its index of due times.
    #[serde(skip)]
    pub(crate) lanes: BTreeMap<String, Lane>,
    /// Its findings have been asked for.
    #[serde(skip)]
    pub(crate) assembling: bool,
}

/// One SOP instance with all its versions.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) state: InstanceState,
    pub(crate) detail: Option<String>,
    /// In order of arrival; never empty.
    pub(crate) versions: Vec<Version>,
    /// Index of the version that is analysed.
    pub(crate) current: usize,
    /// The version that is to be analysed after the current one.
    #[serde(default)]
    pub(crate) wanted: Option<Digest>,
    /// Made by this node and come back.
    pub(crate) own: bool,
    /// Came when the study was not receiving.
    pub(crate) late: bool,
    /// Charged runs.
    pub(crate) attempts: u32,
    /// Was in flight when a worker or the node died: runs alone.
    pub(crate) suspect: bool,
}

/// One version of an instance.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) stored: StoredInstance,
    pub(crate) received: Timestamp,
}

/// One revision of the study's report.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// From 1.
    pub(crate) revision: u32,
    /// Content Date and Time.
    pub(crate) content: Timestamp,
    pub(crate) evidence: Evidence,
    /// The instances that it speaks of, with the digest of the version that was analysed.
    pub(crate) members: Vec<Member>,
    /// Its documents in each form that some peer took, in the order in which they were first made.
    pub(crate) rendered: Vec<(Document, Rendered)>,
}

/// A document as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rendered {
    pub(crate) form: Form,
    pub(crate) sop: SopInstanceUid,
}

/// One companion of one revision.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Drawing {
    pub(crate) key: CompanionKey,
    pub(crate) state: DrawingState,
    /// Charged runs.
    pub(crate) attempts: u32,
}

/// What a report stands on. A new revision is sent where it changed, and never where it shrank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// The measured instances, and the reports whose values are named.
    pub(crate) sources: BTreeMap<SopInstanceUid, Digest>,
    /// SHA-256 of the models.
    pub(crate) models: BTreeSet<String>,
    pub(crate) lv: Option<LvSummary>,
    /// The instances that a second reader has read.
    #[serde(default)]
    pub(crate) read: BTreeSet<SopInstanceUid>,
}

/// One object owed to one peer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) peer: String,
    pub(crate) object: ObjectKey,
    pub(crate) state: DeliveryState,
    /// Tries that were refused with a status that archives use for passing faults too.
    pub(crate) refused: u32,
    /// Tries that failed here, not at the peer.
    pub(crate) failed_here: u32,
    /// Associations that ended while this object was on its way.
    #[serde(default)]
    pub(crate) broke: u32,
    /// The version of an image that this peer is sent, since it was sent first: a UID has one content.
    #[serde(default)]
    pub(crate) version: Option<Digest>,
    /// How a document is written for this peer; as the route said when it came to be owed.
    #[serde(default)]
    pub(crate) style: Style,
    /// The document as it was made for this peer.
    pub(crate) rendered: Option<Rendered>,
    pub(crate) answers: Vec<DeliveryAnswer>,
    /// What shows that the peer keeps it.
    #[serde(default)]
    pub(crate) proof: Proof,
    #[serde(skip)]
    pub(crate) in_flight: bool,
}

/// A mark that lay in the spool: what it says, the peer, the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundMark {
    pub(crate) mark: PeerMark,
    pub(crate) peer: String,
    pub(crate) sop: SopInstanceUid,
}

/// What is delivered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ObjectKey {
    /// The instance as it was received. First, so that a peer has the images before the report that refers to them.
    Image(SopInstanceUid),
    /// This document of this revision of the report.
    Report(u32, Document),
    /// What goes beside it. Last, so that a viewer that opens what came last shows the picture.
    Companion(CompanionKey),
}

impl ObjectKey {
    /// Of which revision of the report it is; an image is of none.
    pub(crate) fn revision(&self) -> Option<u32> {
        match self {
            Self::Image(_) => None,
            Self::Report(revision, _) => Some(*revision),
            Self::Companion(key) => Some(key.revision),
        }
    }
}

/// When the objects of one study are tried next at one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) due: Timestamp,
    /// Failures in a row.
    pub(crate) failures: u32,
}

/// What the worker is asked to do with objects of a SOP class.
pub(crate) fn is_analysable(class: &SopClassUid) -> bool {
    // A screen capture has lost the regions and times that a measurement needs.
    const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
    let is_capture = class
        .as_str()
        .strip_prefix(SECONDARY_CAPTURE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let usage = sop_class::find(class.as_str()).map(|class| class.usage);
    let is_looked_at = matches!(usage, Some(Use::Cine | Use::Image))
        || sop_class::is_measurement_report(class.as_str());
    !is_capture && is_looked_at
}

impl Study {
    pub(crate) fn new(uid: StudyInstanceUid, context: StudyContext, now: Timestamp) -> Self {
        Self {
            uid,
            state: StudyState::Receiving,
            from: BTreeSet::new(),
            context,
            instances: BTreeMap::new(),
            timeline: Timeline::default(),
            opened_at: now,
            quiet_from: now,
            reports: Vec::new(),
            deliveries: Vec::new(),
            companions: Vec::new(),
            unreported: None,
            rejected: None,
            released: false,
            done: false,
            found_reports: Vec::new(),
            found_documents: Vec::new(),
            recognised: Vec::new(),
            found_marks: Vec::new(),
            proofs: BTreeMap::new(),
            carried_by: BTreeSet::new(),
            lanes: BTreeMap::new(),
            assembling: false,
        }
    }

    /// The current report.
    pub(crate) fn report(&self) -> Option<&Report> {
        self.reports.last()
    }

    /// The latest revision that was ever decided, as far as record and files tell; 0 where none was.
    pub(crate) fn newest_made(&self) -> u32 {
        let decided = self.reports.iter().map(|report| report.revision);
        let found = self.found_reports.iter().map(|(revision, _)| *revision);
        decided.chain(found).max().unwrap_or(0)
    }

    /// Whether a file tells of a later revision than the record does: the last of the record was lost.
    pub(crate) fn is_behind(&self) -> bool {
        let known = self.report().map_or(0, |report| report.revision);
        self.newest_made() > known
    }

    pub(crate) fn delivery(&self, peer: &str, object: &ObjectKey) -> Option<&Delivery> {
        self.deliveries
            .iter()
            .find(|delivery| delivery.peer == peer && delivery.object == *object)
    }

    pub(crate) fn delivery_mut(&mut self, peer: &str, object: &ObjectKey) -> Option<&mut Delivery> {
        self.deliveries
            .iter_mut()
            .find(|delivery| delivery.peer == peer && delivery.object == *object)
    }

    /// Whether an instance still waits for its analysis.
    pub(crate) fn is_analysing(&self) -> bool {
        self.instances
            .values()
            .any(|instance| instance.state == InstanceState::Stored)
    }

    /// Whether something is owed to a peer.
    pub(crate) fn is_owing(&self) -> bool {
        self.deliveries.iter().any(|delivery| {
            delivery.state.is_owed() || delivery.in_flight || delivery.is_unproven()
        })
    }

    /// Whether a delivery was given up. The study stays where `retry` finds it, whatever becomes of the queue.
    pub(crate) fn has_dead_letter(&self) -> bool {
        self.deliveries
            .iter()
            .any(|delivery| delivery.state == DeliveryState::Dead)
    }

    /// Whether reports may leave.
    pub(crate) fn may_report(&self) -> bool {
        self.state.reason().is_none()
    }

    /// The instances of which findings speak: everything but what the node made itself.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.instances
            .iter()
            .filter(|(_, instance)| !instance.own)
            .filter_map(|(uid, instance)| {
                let stored = &instance.version()?.stored;
                Some(Member {
                    sop: uid.clone(),
                    digest: stored.digest,
                    document: (!is_analysable(&stored.sop_class))
                        .then(|| instance.detail.clone().unwrap_or_default()),
                })
            })
            .collect()
    }

    /// The version of an image that a delivery is about.
    pub(crate) fn sent_version(&self, delivery: &Delivery) -> Option<&StoredInstance> {
        let ObjectKey::Image(sop) = &delivery.object else {
            return None;
        };
        let instance = self.instances.get(sop)?;
        let mut versions = instance.versions.iter();
        let pinned = delivery
            .version
            .and_then(|digest| versions.find(|version| version.stored.digest == digest));
        // What came first, where nothing was sent yet.
        let version = pinned.or_else(|| instance.versions.first());
        version.map(|version| &version.stored)
    }

    /// Whether the record knows this version.
    pub(crate) fn has(&self, stored: &StoredInstance) -> bool {
        self.instances
            .get(&stored.sop_instance)
            .is_some_and(|instance| {
                let mut versions = instance.versions.iter();
                versions.any(|version| version.stored.digest == stored.digest)
            })
    }

    /// Whether a mark in the spool says this of the peer and the object.
    pub(crate) fn is_marked(&self, mark: PeerMark, peer: &str, object: &ObjectKey) -> bool {
        self.found_marks.iter().any(|found| {
            found.mark == mark
                && found.peer == peer
                && match object {
                    ObjectKey::Image(uid) => *uid == found.sop,
                    ObjectKey::Report(revision, document) => {
                        self.recognised
                            .contains(&(*revision, *document, found.sop.clone()))
                    }
                    ObjectKey::Companion(key) => self.drawn(*key) == Some(&found.sop),
                }
        })
    }

    /// The images whose receivers had to show that they keep them.
    pub(crate) fn proven_images(&self) -> impl Iterator<Item = &SopInstanceUid> {
        self.deliveries
            .iter()
            .filter(|delivery| delivery.proof.is_wanted())
            .filter_map(|delivery| match &delivery.object {
                ObjectKey::Image(sop) => Some(sop),
                ObjectKey::Report(..) | ObjectKey::Companion(_) => None,
            })
    }

    /// The SOP Instance UID under which an object was delivered.
    pub(crate) fn delivered_as(&self, delivery: &Delivery) -> Option<SopInstanceUid> {
        match &delivery.object {
            ObjectKey::Image(sop) => Some(sop.clone()),
            ObjectKey::Report(revision, document) => {
                let made = delivery.rendered.as_ref().map(|made| made.sop.clone());
                // Where the queue was lost, the mark says which one it was.
                made.or_else(|| {
                    let mut marks = self.found_marks.iter();
                    let found = marks.find(|found| {
                        let form = (*revision, *document, found.sop.clone());
                        found.peer == delivery.peer && self.recognised.contains(&form)
                    })?;
                    Some(found.sop.clone())
                })
            }
            ObjectKey::Companion(key) => self.drawn(*key).cloned(),
        }
    }

    /// The SOP class of what was delivered; none where only its file tells.
    pub(crate) fn class_of(&self, delivery: &Delivery) -> Option<SopClassUid> {
        match &delivery.object {
            ObjectKey::Image(_) => Some(self.sent_version(delivery)?.sop_class.clone()),
            ObjectKey::Report(..) => {
                let made = delivery.rendered.as_ref()?;
                made.form.class.sop_class().parse().ok()
            }
            ObjectKey::Companion(key) => key.companion.sop_class().parse().ok(),
        }
    }
}

impl Delivery {
    /// Whether the peer took it and has not shown yet that it keeps it, as it should.
    pub(crate) fn is_unproven(&self) -> bool {
        self.state == DeliveryState::Sent && self.proof.is_wanted()
    }

    /// How often it ended an association, over the network's fault or over our own: the more, the later its turn in a job.
    pub(crate) fn endings(&self) -> u32 {
        self.broke.saturating_add(self.failed_here)
    }
}

impl Instance {
    pub(crate) fn new(stored: StoredInstance, received: Timestamp) -> Self {
        Self {
            state: InstanceState::Stored,
            detail: None,
            versions: vec![Version { stored, received }],
            current: 0,
            wanted: None,
            own: false,
            late: false,
            attempts: 0,
            suspect: false,
        }
    }

    /// The version that is analysed.
    pub(crate) fn version(&self) -> Option<&Version> {
        self.versions.get(self.current)
    }

    pub(crate) fn is_undecodable(&self) -> bool {
        self.state == InstanceState::Rejected(Rejection::Undecodable)
    }
}

impl Evidence {
    pub(crate) fn of(findings: &Findings, members: &[Member]) -> Self {
        let measured = |uid: &SopInstanceUid| {
            findings
                .instances
                .iter()
                .any(|instance| instance.sop_instance_uid == *uid && instance.is_evidence())
        };
        Self {
            sources: members
                .iter()
                .filter(|member| measured(&member.sop))
                .map(|member| (member.sop.clone(), member.digest))
                .collect(),
            models: findings
                .models
                .iter()
                .map(|model| model.sha256.clone())
                .collect(),
            lv: findings.lv.clone(),
            read: findings
                .instances
                .iter()
                .filter(|instance| instance.second_reading.is_some())
                .map(|instance| instance.sop_instance_uid.clone())
                .collect(),
        }
    }

    /// Whether this evidence holds everything measured that `old` holds, and differs. A reading less is no news.
    pub(crate) fn extends(&self, old: &Self) -> bool {
        let keeps_all = old.sources.keys().all(|uid| self.sources.contains_key(uid));
        let has_grown =
            self.sources != old.sources || self.lv != old.lv || !self.read.is_subset(&old.read);
        keeps_all && has_grown
    }
}
