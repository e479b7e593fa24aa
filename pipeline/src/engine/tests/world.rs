//! A world for the engine: a spool, a queue, a worker and two PACS, in memory, without a clock.

mod arrivals;
mod drawings;
mod peers;
mod readings;
mod restart;
mod worker;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sonode_conformance::sop_class::{COMPREHENSIVE_3D_SR, US_MULTIFRAME};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid, transfer_syntax};
use sonode_findings::protocol::{Analyzed, Ready};
use sonode_findings::{
    Findings, InstanceFindings, LvMeasurement, Method, Phi, Rejection, Sentence, StudyContext,
};

use sonode_sr_writer::{ReportForm, Style, Syntax};

use super::super::record::Evidence;
use super::super::*;
use crate::ports::{AssociationFailure, DeliveryObject, ObjectResult};
use crate::settings::{ReportUnmeasured, Route, WorkerSettings};
use crate::spool::{Digest, PeerMark};
use drawings::Drawings;
use readings::Late;
use restart::KeptQueue;
pub(super) use restart::Queue;

/// Grayscale Softcopy Presentation State Storage.
const PRESENTATION_STATE: &str = "1.2.840.10008.5.1.4.1.1.11.1";

/// What an instance is, by the last component of its UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Measurable,
    OtherView,
    Carotid,
    /// Every worker dies of it.
    Killer,
    /// A presentation state of the cart.
    Document,
    /// A report of ours that comes back.
    Own,
}

pub(super) const KINDS: [Kind; 6] = [
    Kind::Measurable,
    Kind::OtherView,
    Kind::Carotid,
    Kind::Killer,
    Kind::Document,
    Kind::Own,
];

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    pub(super) settings: Settings,
    /// Who sends what arrives.
    pub(super) peer: &'static str,
    /// Patient's Name in what arrives.
    pub(super) name: String,
    /// What arrives is this rejection note.
    pub(super) rejection: Option<RejectionNote>,
    contexts: BTreeMap<(SopInstanceUid, Digest), StudyContext>,
    // The spool.
    pub(super) files: BTreeMap<(StudyInstanceUid, SopInstanceUid, Digest), StoredInstance>,
    /// The files of `unsorted/`.
    pub(super) unsorted: BTreeMap<(SopInstanceUid, Digest), StoredInstance>,
    pub(super) findings: BTreeMap<(StudyInstanceUid, Digest), InstanceFindings>,
    /// Studies whose folders lie in `open/`.
    pub(super) open: BTreeSet<StudyInstanceUid>,
    pub(super) reports: BTreeSet<(StudyInstanceUid, u32, SopInstanceUid)>,
    pub(super) marked: BTreeSet<(PeerMark, StudyInstanceUid, String, SopInstanceUid)>,
    // The queue.
    pub(super) records: BTreeMap<StudyInstanceUid, Study>,
    marks: BTreeMap<(StudyInstanceUid, SopInstanceUid), Mark>,
    pub(super) finished: BTreeMap<StudyInstanceUid, Study>,
    kept_queue: KeptQueue,
    // The worker.
    generation: u64,
    pub(super) running: Vec<(u64, StoredInstance, bool)>,
    has_worker: bool,
    is_ready: bool,
    pub(super) drawings: Drawings,
    pub(super) late: Vec<Late>,
    // The PACS.
    pub(super) jobs: VecDeque<DeliveryJob>,
    pub(super) questions: VecDeque<CommitmentJob>,
    /// Every request for commitment that a peer has got.
    pub(super) requests: Vec<CommitmentJob>,
    /// Answers to carts.
    pub(super) relay_reports: VecDeque<RelayReport>,
    /// Performed procedure steps that are no longer kept.
    pub(super) dropped_steps: Vec<SopInstanceUid>,
    /// Requests of carts on disk.
    pub(super) kept: BTreeMap<RelayKey, String>,
    /// What a peer has shown to keep.
    pub(super) shown: BTreeSet<(String, SopInstanceUid)>,
    pub(super) accepted: Vec<(String, StudyInstanceUid, u32)>,
    /// Instances that a death has made suspect and that have not been answered since.
    suspects: BTreeSet<SopInstanceUid>,
    /// How often the node has died.
    lives: u32,
    /// The node dies after so many actions more.
    pub(super) fuse: Option<usize>,
    /// What the rules say about charges, counted apart from the engine.
    pub(super) charges: BTreeMap<SopInstanceUid, u32>,
}

pub(super) fn route(to: &str) -> Route {
    Route {
        from: None,
        to: to.to_owned(),
        documents: BTreeSet::from([Document::MeasurementReport]),
        style: Style::default(),
        send_images: false,
        commit: false,
        companions: BTreeSet::new(),
        report_unmeasured: ReportUnmeasured::EchoOnly,
    }
}

pub(super) fn study_uid(study: u8) -> StudyInstanceUid {
    format!("1.2.{study}").parse().unwrap()
}

pub(super) fn sop_uid(study: u8, kind: usize, n: u8) -> SopInstanceUid {
    format!("1.2.{study}.{n}.{kind}").parse().unwrap()
}

fn instance(study: u8, kind: usize, n: u8, version: u8) -> StoredInstance {
    let sop = sop_uid(study, kind, n);
    let class = match KINDS[kind] {
        Kind::Own => COMPREHENSIVE_3D_SR,
        Kind::Document => PRESENTATION_STATE,
        _ => US_MULTIFRAME,
    };
    let bytes = [study, u8::try_from(kind).unwrap(), n, version];
    StoredInstance {
        study: None,
        sop_class: class.parse().unwrap(),
        transfer_syntax: transfer_syntax::EXPLICIT_LITTLE.parse().unwrap(),
        digest: Digest::from_bytes(bytes.repeat(8).try_into().unwrap()),
        path: format!("/spool/{sop}.dcm").into(),
        sop_instance: sop,
        bytes: 1,
        calling_ae: None,
    }
}

pub(super) fn kind_of(sop: &SopInstanceUid) -> Kind {
    let last = sop.as_str().rsplit('.').next().unwrap();
    KINDS[last.parse::<usize>().unwrap()]
}

impl World {
    pub(super) fn new() -> Self {
        let worker = WorkerSettings::default();
        let mut settings = Settings::new("SONODE".parse().unwrap(), worker);
        settings.routing.routes = vec![route("pacs-a"), route("pacs-b")];
        let mut world = Self {
            engine: Engine::new(settings.clone()),
            now: Timestamp::from_millis(1_000_000),
            settings,
            peer: "cart",
            name: String::new(),
            rejection: None,
            contexts: BTreeMap::new(),
            files: BTreeMap::new(),
            unsorted: BTreeMap::new(),
            findings: BTreeMap::new(),
            open: BTreeSet::new(),
            reports: BTreeSet::new(),
            marked: BTreeSet::new(),
            records: BTreeMap::new(),
            marks: BTreeMap::new(),
            finished: BTreeMap::new(),
            kept_queue: KeptQueue::default(),
            generation: 0,
            running: Vec::new(),
            has_worker: false,
            is_ready: false,
            drawings: Drawings::default(),
            late: Vec::new(),
            jobs: VecDeque::new(),
            questions: VecDeque::new(),
            requests: Vec::new(),
            relay_reports: VecDeque::new(),
            kept: BTreeMap::new(),
            dropped_steps: Vec::new(),
            shown: BTreeSet::new(),
            accepted: Vec::new(),
            suspects: BTreeSet::new(),
            lives: 0,
            fuse: None,
            charges: BTreeMap::new(),
        };
        world.event(Event::Tick);
        world
    }

    pub(super) fn with_routes(routes: Vec<Route>) -> Self {
        let mut world = Self::new();
        world.settings.routing.routes = routes;
        world.event(Event::Reload(world.settings.routing.clone()));
        world
    }

    pub(super) fn event(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.now);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let life = self.lives;
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            if let Some(left) = &mut self.fuse {
                if *left == 0 {
                    self.fuse = None;
                    // What was still to be done dies with the node.
                    return self.restart(false);
                }
                *left -= 1;
            }
            let event = self.act(action);
            if self.lives != life {
                // The node died in what this action led to, and all that it still had in hand died with it.
                return;
            }
            if let Some(event) = event {
                actions.extend(self.engine.handle(event, self.now));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Save(uid) => {
                if let Some(study) = self.engine.study(&uid) {
                    // As the queue does it: through JSON, the lanes apart.
                    let json = serde_json::to_vec(study).unwrap();
                    let mut record: Study = serde_json::from_slice(&json).unwrap();
                    record.lanes.clone_from(&study.lanes);
                    self.records.insert(uid, record);
                }
            }
            Action::SetMark(study, sop, mark) => {
                self.marks.insert((study, sop), mark);
            }
            Action::ClearMark(study, sop) => {
                self.marks.remove(&(study, sop));
            }
            Action::PutFindings(stored, findings) => {
                let study = stored.study.clone().unwrap();
                // It has its answer. Another version of it begins afresh.
                self.suspects.remove(&stored.sop_instance);
                self.findings.insert((study, stored.digest), *findings);
            }
            Action::StartWorker(generation) => {
                assert!(!self.has_worker, "two workers");
                self.generation = generation;
                self.has_worker = true;
                self.is_ready = false;
            }
            Action::KillWorker(_) => {
                self.has_worker = false;
                self.is_ready = false;
                self.lose_runs();
            }
            Action::Analyze(generation, id, stored) => self.begin(generation, id, stored),
            Action::Identify(generation, id, stored) => {
                assert!(generation == self.generation && self.is_ready);
                assert!(self.running.is_empty(), "an identification runs alone");
                self.running.push((id, stored, true));
            }
            Action::Illustrate(_, id, uid, key) => return self.begin_drawing(id, uid, key),
            Action::KeepCompanion(uid, key, _) => return Some(self.keep_companion(uid, key)),
            Action::File(filing) => return Some(self.file(*filing)),
            Action::Assemble(uid) => return Some(self.assemble(uid)),
            Action::Submit(job) => {
                assert!(
                    self.jobs.iter().all(|other| other.peer != job.peer),
                    "two jobs for one peer"
                );
                assert!(!job.objects.is_empty());
                self.jobs.push_back(job);
            }
            Action::Ask(job) => {
                assert!(
                    self.questions.iter().all(|other| other.peer != job.peer),
                    "two questions to one peer"
                );
                assert!(!job.objects.is_empty());
                self.questions.push_back(job);
            }
            Action::Report(report) => self.relay_reports.push_back(*report),
            Action::KeepRelay(relay) => {
                let key = (relay.peer.clone(), relay.transaction.clone());
                self.kept
                    .insert(key, serde_json::to_string(&relay).unwrap());
            }
            Action::DropStep(step) => self.dropped_steps.push(step),
            Action::DropRelay(key) => {
                self.kept.remove(&key);
            }
            Action::MarkPeer(mark, study, peer, sop) => {
                self.marked.insert((mark, study, peer, sop));
            }
            Action::Finish(study) => {
                self.records.remove(&study.uid);
                self.marks.retain(|(uid, _), _| *uid != study.uid);
                self.open.remove(&study.uid);
                self.finished.insert(study.uid.clone(), *study);
            }
            Action::Reopen(uid) => {
                self.finished.remove(&uid);
                self.open.insert(uid);
            }
            Action::Issued(..) | Action::Discard(_) => {}
        }
        None
    }

    fn begin(&mut self, generation: u64, id: u64, stored: StoredInstance) {
        assert_eq!(generation, self.generation);
        assert!(self.is_ready, "a job for a worker that isn't ready");
        let kind = kind_of(&stored.sop_instance);
        assert!(
            !matches!(kind, Kind::Own | Kind::Document),
            "{kind:?} is analysed"
        );
        assert!(
            self.running
                .iter()
                .all(|(_, other, _)| other.study.is_some()),
            "a job begins beside an identification"
        );
        assert!(
            self.drawings.running.is_none(),
            "a job begins beside a drawing"
        );
        let is_suspect = self.suspects.contains(&stored.sop_instance);
        assert!(
            !is_suspect || self.running.is_empty(),
            "a suspect doesn't run alone"
        );
        assert!(
            self.running
                .iter()
                .all(|(_, other, _)| !self.suspects.contains(&other.sop_instance)),
            "a job begins beside a suspect"
        );
        let mark = self
            .marks
            .get(&(stored.study.clone().unwrap(), stored.sop_instance.clone()));
        assert!(mark.is_some_and(|mark| mark.started), "no durable mark");
        let alone = self.running.is_empty() && self.late.is_empty();
        for running in &mut self.running {
            running.2 = false;
        }
        self.running.push((id, stored, alone));
    }

    fn lose_runs(&mut self) {
        self.drawings.running = None;
        self.late.clear();
        for (_, stored, alone) in std::mem::take(&mut self.running) {
            if stored.study.is_none() {
                continue;
            }
            if alone {
                *self.charges.entry(stored.sop_instance.clone()).or_default() += 1;
            }
            self.suspects.insert(stored.sop_instance);
        }
    }

    fn assemble(&self, uid: StudyInstanceUid) -> Event {
        let members = self.engine.study(&uid).unwrap().members();
        let findings = self.merged(&uid, &members);
        let sop = report_sop(&findings, &members);
        let same_as = self
            .reports
            .iter()
            .filter(|(study, _, report)| *study == uid && *report == sop)
            .map(|(_, revision, sop)| (*revision, Document::MeasurementReport, sop.clone()))
            .collect();
        Event::Assembled(
            uid,
            Box::new(Assembly {
                findings,
                same_as,
                wall: self.now,
            }),
        )
    }

    fn merged(&self, uid: &StudyInstanceUid, members: &[crate::report::Member]) -> Findings {
        let instances = members.iter().map(|member| {
            let kept = self.findings.get(&(uid.clone(), member.digest));
            match &member.document {
                Some(detail) => InstanceFindings::empty(member.sop.clone())
                    .reject(Rejection::NotAnImage, Sentence::verbatim(detail.clone())),
                None => kept
                    .expect("findings are durable before they are used")
                    .clone(),
            }
        });
        Findings::merge(uid.clone(), instances.collect())
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.event(Event::Tick);
    }

    pub(super) fn pass_all_but_a_second(&mut self, time: Duration) {
        self.pass(time.saturating_sub(Duration::from_secs(1)));
    }

    /// Everything works, time passes, associations end: until nothing is left to do.
    pub(super) fn come_to_rest(&mut self) {
        for association in 0..4 {
            self.event(Event::AssociationClosed(association));
        }
        for _ in 0..10_000 {
            self.worker_ready();
            if !self.running.is_empty() {
                self.worker_works(0);
            } else if self.drawings.running.is_some() {
                self.worker_draws(None);
            } else if !self.jobs.is_empty() {
                self.peer_answers(&success(), None);
            } else if !self.questions.is_empty() {
                self.peer_shows_all();
            } else if let Some(report) = self.relay_reports.pop_front() {
                self.event(Event::RelayReported(report.id, Ok(())));
            } else if let Some(next) = self.engine.next_deadline() {
                self.now = self.now.max(next);
                self.event(Event::Tick);
            } else {
                return;
            }
        }
        panic!("the engine doesn't come to rest");
    }
}

pub(super) fn success() -> ObjectResult {
    ObjectResult::Status(sonode_conformance::DimseStatus::SUCCESS, None)
}

fn measured(mut findings: InstanceFindings) -> InstanceFindings {
    findings.lv = Some(LvMeasurement {
        edv_ml: None,
        esv_ml: None,
        lvef_percent: 60.0,
        lvef_interval: None,
        method: Method::ModA4c,
    });
    findings
}

/// Stands for the report's identity: its sources and their digests.
fn report_sop(findings: &Findings, members: &[crate::report::Member]) -> SopInstanceUid {
    use sha2::Digest as _;
    let evidence = Evidence::of(findings, members);
    let text = if evidence.sources.is_empty() {
        format!("{} {members:?}", findings.study_instance_uid)
    } else {
        let Evidence { sources, read, .. } = evidence;
        format!("{} {sources:?} {read:?}", findings.study_instance_uid)
    };
    let hash = sha2::Sha256::digest(text.as_bytes());
    let number = hash
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("2.25.{number}").parse().unwrap()
}

impl World {
    pub(super) fn operate(
        &mut self,
        uid: &StudyInstanceUid,
        command: Command,
    ) -> Result<(), crate::CommandError> {
        if !self.engine.knows(uid)
            && let Some(done) = self.finished.get(uid)
        {
            self.engine.adopt(done.clone());
        }
        let (result, actions) = self.engine.command(uid, command, self.now);
        self.carry_out(actions);
        result
    }
}
