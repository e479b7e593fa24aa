//! The engine: sans-I/O. Events and the time go in, actions come out, and there is one next deadline.
//!
//! The same events at the same times give the same actions. Nothing here reads a clock, a file or a socket; jitter
//! comes from a hash. Actions are carried out in their order, each finished before the next begins: that is how a
//! durable mark precedes the run that it stands for.

mod analysis;
mod arrivals;
mod closing;
mod commands;
mod commitment;
mod companions;
mod delivery;
mod late;
mod outcome;
mod page_instead;
mod readings;
mod record;
mod recover;
mod relay;
mod steps;
#[cfg(test)]
mod tests;
mod unsorted;
mod view;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::protocol::{Amended, Analyzed, Illustrated, Picture, Ready};
use sonode_findings::{Findings, InstanceFindings, StudyContext};
use sonode_sr_writer::{Document, Form};

use crate::companions::CompanionKey;
use crate::header::RejectionNote;
use crate::ports::{
    CommitmentJob, CommitmentNotice, CommitmentReport, DeliveryJob, DeliveryReport, PageRequest,
    RelayReport, ReportKey, WorkerEnd,
};
use crate::settings::{Routing, Settings};
use crate::spool::{PeerMark, StoredInstance};
use crate::states::{StudyEvent, StudyState};
use crate::status::Counters;
use crate::time::Timestamp;

pub(crate) use analysis::Mark;
pub(crate) use commands::Command;
pub(crate) use commitment::StoredAs;
pub(crate) use page_instead::Page;
pub(crate) use record::{FoundMark, Lane, Rendered, Study};
pub(crate) use recover::{FoundReport, Recovered, RecoveredInstance};
pub(crate) use relay::{RELAYS_MAX, Relay, RelayKey};
pub(crate) use steps::Step;
pub(crate) use unsorted::{Filing, UnsortedArrival};

/// What happens.
pub(crate) enum Event {
    /// An object is durable.
    Stored(Box<Stored>),
    /// An object without a readable study is durable.
    Unsorted(Box<UnsortedArrival>),
    /// [`Action::File`] failed, and the object lies where it was.
    NotFiled(Box<UnsortedArrival>, String),
    AssociationOpened(u64),
    AssociationClosed(u64),
    /// The worker of this generation takes jobs.
    WorkerReady(u64, Ready),
    /// The worker of this generation is gone.
    WorkerEnded(u64, WorkerEnd),
    /// The worker of this generation answered a job: an analysis or an identification.
    Analyzed(u64, Box<Analyzed>),
    /// The worker of this generation has a second reading of what it answered before.
    Amended(u64, Box<Amended>),
    /// The worker of this generation drew something, or can't.
    Illustrated(u64, Box<Illustrated>),
    /// A companion is on disk under this UID, or can't be put there.
    CompanionKept(
        StudyInstanceUid,
        CompanionKey,
        Result<SopInstanceUid, String>,
    ),
    /// The answer to [`Action::Assemble`].
    Assembled(StudyInstanceUid, Box<Assembly>),
    /// Something of this study can't be kept.
    StorageFailed(StudyInstanceUid, String),
    /// A report is on disk in this form.
    Rendered(ReportKey, Form, SopInstanceUid),
    /// The sender's association takes the page in place of a report.
    PageRequested(PageRequest),
    /// The sender's answer.
    Delivered(Box<DeliveryReport>),
    /// The sender's answer to [`Action::Ask`].
    CommitmentAnswered(CommitmentReport),
    /// A peer's answer to a request for commitment.
    Committed(CommitmentNotice),
    /// A cart's request for commitment is on disk.
    RelayKept(Box<Relay>),
    /// What is known of a performed procedure step is on disk.
    Step(Box<Step>),
    /// The sender's answer to [`Action::Report`].
    RelayReported(u64, Result<(), String>),
    Reload(Routing),
    /// Nothing new begins any more.
    Drain,
    /// A deadline has passed.
    Tick,
}

/// An object that is durable.
pub(crate) struct Stored {
    pub(crate) instance: StoredInstance,
    pub(crate) kind: ArrivalKind,
    pub(crate) context: StudyContext,
    pub(crate) peer: Option<String>,
    pub(crate) association: u64,
    /// Made by this node.
    pub(crate) own: bool,
    /// What it says if it is a rejection note.
    pub(crate) rejection: Option<RejectionNote>,
}

/// What the spool did with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrivalKind {
    New,
    Duplicate,
    /// A duplicate of an object of an open study, which comes before the news of any of the study's objects: two carts
    /// sent the first one at once.
    EarlyDuplicate,
    NewVersion,
}

/// A study's findings, read back from the spool.
pub(crate) struct Assembly {
    pub(crate) findings: Findings,
    /// The reports on disk that have the identity of these findings: revision, document and UID.
    pub(crate) same_as: Vec<(u32, Document, SopInstanceUid)>,
    /// The time of day, for Content Date and Time.
    pub(crate) wall: Timestamp,
}

/// What is to be done.
pub(crate) enum Action {
    /// Keep the study's record. Losing it costs repeated work.
    Save(StudyInstanceUid),
    /// Keep a mark durably; the run begins after it.
    SetMark(StudyInstanceUid, SopInstanceUid, Mark),
    /// The run is over.
    ClearMark(StudyInstanceUid, SopInstanceUid),
    /// Keep an instance's findings durably.
    PutFindings(StoredInstance, Box<InstanceFindings>),
    /// Start a worker of this generation.
    StartWorker(u64),
    /// Kill the worker.
    KillWorker(u64),
    /// Give the worker a job.
    Analyze(u64, u64, StoredInstance),
    /// Ask the worker whose this object of `unsorted/` is; answered like an analysis.
    Identify(u64, u64, StoredInstance),
    /// Have the worker draw a companion, and answer with [`Event::CompanionKept`] where it is on disk already.
    Illustrate(u64, u64, StudyInstanceUid, CompanionKey),
    /// Keep what was drawn durably, and answer with [`Event::CompanionKept`].
    KeepCompanion(StudyInstanceUid, CompanionKey, Box<Picture>),
    /// Move an object of `unsorted/` to its study, durably, and answer with [`Event::Stored`] or [`Event::NotFiled`].
    File(Box<Filing>),
    /// Read the study's findings and answer with [`Event::Assembled`].
    Assemble(StudyInstanceUid),
    /// Hand a job to the sender.
    Submit(DeliveryJob),
    /// Have the sender ask a peer.
    Ask(CommitmentJob),
    /// Have the sender answer a cart.
    Report(Box<RelayReport>),
    /// Keep a cart's request durably.
    KeepRelay(Box<Relay>),
    /// A performed procedure step is of no more use.
    DropStep(SopInstanceUid),
    /// A cart's request is over.
    DropRelay(RelayKey),
    /// Keep a mark of a delivery durably.
    MarkPeer(PeerMark, StudyInstanceUid, String, SopInstanceUid),
    /// Remember a report's UID as our own.
    Issued(SopInstanceUid),
    /// Move the study to `done/`.
    Finish(Box<Study>),
    /// Move the study back from `done/`.
    Reopen(StudyInstanceUid),
    /// Delete the study.
    Discard(StudyInstanceUid),
}

/// The engine.
pub(crate) struct Engine {
    settings: Settings,
    studies: BTreeMap<StudyInstanceUid, Study>,
    /// Open associations and the studies that each has carried.
    associations: BTreeMap<u64, BTreeSet<StudyInstanceUid>>,
    /// When receiving studies close.
    closings: BTreeSet<(Timestamp, StudyInstanceUid)>,
    analysis: analysis::Analysis,
    unsorted: unsorted::Unsorted,
    sending: delivery::Sending,
    proving: commitment::Proving,
    relays: relay::Relays,
    steps: steps::Steps,
    counters: Counters,
    draining: bool,
    actions: Vec<Action>,
}

impl Engine {
    /// An engine that knows no study.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            studies: BTreeMap::new(),
            associations: BTreeMap::new(),
            closings: BTreeSet::new(),
            analysis: analysis::Analysis::default(),
            unsorted: unsorted::Unsorted::default(),
            sending: delivery::Sending::default(),
            proving: commitment::Proving::default(),
            relays: relay::Relays::default(),
            steps: steps::Steps::default(),
            counters: Counters::default(),
            draining: false,
            actions: Vec::new(),
        }
    }

    /// Takes an event in and says what is to be done.
    pub(crate) fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match event {
            Event::Stored(stored) => self.on_stored(*stored, now),
            Event::Unsorted(arrival) => self.keep_unsorted(*arrival),
            Event::NotFiled(arrival, detail) => self.on_not_filed(*arrival, &detail),
            Event::AssociationOpened(id) => {
                self.associations.entry(id).or_default();
            }
            Event::AssociationClosed(id) => self.on_association_closed(id, now),
            Event::WorkerReady(generation, ready) => self.on_worker_ready(generation, ready, now),
            Event::WorkerEnded(generation, end) => self.on_worker_ended(generation, end, now),
            Event::Analyzed(generation, analyzed) => self.on_analyzed(generation, *analyzed, now),
            Event::Amended(generation, amended) => self.on_amended(generation, *amended, now),
            Event::Illustrated(generation, answer) => {
                self.on_illustrated(generation, *answer, now);
            }
            Event::CompanionKept(study, key, outcome) => {
                self.on_companion_kept(&study, key, outcome, now);
            }
            Event::Assembled(study, assembly) => self.on_assembled(&study, &assembly, now),
            Event::StorageFailed(study, detail) => self.on_storage_failed(&study, detail, now),
            Event::Rendered(key, form, sop) => self.on_rendered(&key, form, sop),
            Event::PageRequested(request) => self.on_page_requested(&request, now),
            Event::Delivered(report) => self.on_delivered(*report, now),
            Event::CommitmentAnswered(report) => self.on_commitment_answered(report, now),
            Event::Committed(notice) => self.on_committed(&notice, now),
            Event::RelayKept(relay) => self.keep_relay(*relay),
            Event::Step(step) => self.on_step(*step, now),
            Event::RelayReported(id, outcome) => self.on_relay_reported(id, outcome, now),
            Event::Reload(routing) => self.on_reload(routing, now),
            Event::Drain => self.draining = true,
            Event::Tick => {}
        }
        self.advance(now)
    }

    /// When [`Event::Tick`] is due at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let closing = self.closings.first().map(|(time, _)| *time);
        let others = [
            self.worker_deadline(),
            self.delivery_deadline(),
            self.proof_deadline(),
            self.relay_deadline(),
        ];
        std::iter::once(closing).chain(others).flatten().min()
    }

    /// Whether the engine has this study in hand; what is done it has not.
    pub(crate) fn knows(&self, study: &StudyInstanceUid) -> bool {
        self.studies.contains_key(study)
    }

    /// One study in hand.
    pub(crate) fn study(&self, study: &StudyInstanceUid) -> Option<&Study> {
        self.studies.get(study)
    }

    /// Takes a study that was done back in hand.
    pub(crate) fn adopt(&mut self, study: Study) {
        self.proving.uncount_done(&study.uid);
        self.studies.insert(study.uid.clone(), study);
    }

    /// A study of an earlier process that is done: what its receivers never showed to keep is an alarm still.
    pub(crate) fn remember_done(&mut self, study: &Study) {
        self.proving.count_done(study);
    }

    /// Everything that time and free capacity allow now.
    fn advance(&mut self, now: Timestamp) -> Vec<Action> {
        self.close_due(now);
        self.check_worker(now);
        self.dispatch_analyses(now);
        self.dispatch_deliveries(now);
        self.review_relays(now);
        self.dispatch_proofs(now);
        std::mem::take(&mut self.actions)
    }

    fn save(&mut self, study: &StudyInstanceUid) {
        self.actions.push(Action::Save(study.clone()));
    }

    /// Moves a study along its table and logs it. A prohibited step changes nothing.
    fn step(&mut self, uid: &StudyInstanceUid, event: StudyEvent) -> bool {
        let Some(study) = self.studies.get_mut(uid) else {
            return false;
        };
        match study.state.after(event) {
            Ok(next) => {
                let span = tracing::info_span!("study", %uid);
                let _in_study = span.enter();
                tracing::info!(
                    from = study.state.name(),
                    to = next.name(),
                    reason = next.reason(),
                    "study state"
                );
                study.state = next;
                self.save(uid);
                true
            }
            Err(prohibited) => {
                tracing::error!(%uid, %prohibited, "study state");
                false
            }
        }
    }

    fn on_storage_failed(&mut self, uid: &StudyInstanceUid, detail: String, now: Timestamp) {
        let is_active = self
            .studies
            .get(uid)
            .is_some_and(|study| study.state.reason().is_none());
        if is_active {
            self.step(uid, StudyEvent::Failure(detail));
            self.settle(uid, now);
        }
    }

    /// After every change of a study: its closing time, the next step that it is ready for, its end.
    fn settle(&mut self, uid: &StudyInstanceUid, now: Timestamp) {
        self.schedule_closing(uid);
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let is_analysing = study.is_analysing();
        if study.state == StudyState::Closed && !is_analysing && !study.assembling {
            study.assembling = true;
            self.actions.push(Action::Assemble(uid.clone()));
        } else if study.state == StudyState::Reported
            && !is_analysing
            && !study.is_owing()
            && !study.has_dead_letter()
        {
            self.finish(uid, now);
        }
    }

    fn finish(&mut self, uid: &StudyInstanceUid, now: Timestamp) {
        let Some(mut study) = self.studies.remove(uid) else {
            return;
        };
        if !study.done && !study.deliveries.is_empty() {
            study.timeline.delivered = Some(now);
        }
        study.done = true;
        for studies in self.associations.values_mut() {
            studies.remove(uid);
        }
        study.carried_by.clear();
        study.lanes.clear();
        self.tell_relays(&study);
        self.drop_steps(uid);
        self.proving.forget(&study);
        self.proving.count_done(&study);
        study.proofs.clear();
        tracing::info_span!("study", %uid).in_scope(|| tracing::info!("study done"));
        self.actions.push(Action::Finish(Box::new(study)));
    }
}
