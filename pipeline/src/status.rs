//! What the pipeline tells people: the JSON of `GET /api/v1/studies[/{uid}]`, the readiness and the counters.

use serde::{Deserialize, Serialize};
use sonode_conformance::{AeTitle, DimseStatus, SopClassUid, SopInstanceUid, StudyInstanceUid};
use sonode_findings::{LvSummary, ModelRef, Phi, Rejection};

use crate::time::Timestamp;

/// One line of the list of studies. It holds no patient data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StudyStatus {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// `receiving`, `closed`, `reported`, `held` or `quarantined`.
    pub state: String,
    /// Why it is held or quarantined, or why no report is owed.
    pub reason: Option<String>,
    /// Whether nothing is owed any more.
    pub done: bool,
    /// Names of the peers that sent it.
    pub from: Vec<String>,
    /// Number of instances, each counted once whatever the number of its versions.
    pub instances: usize,
    /// Of these, analysed and measured.
    pub analysed: usize,
    /// Of these, not measured.
    pub rejected: usize,
    /// The current report's revision, from 1; null without a report.
    pub revision: Option<u32>,
    /// Ejection fraction in percent; null where nothing was measured.
    pub lvef_percent: Option<f64>,
    /// How many deliveries are in which state.
    pub deliveries: DeliveryCounts,
    /// When what happened.
    pub timeline: Timeline,
}

/// One object of `unsorted/`: acknowledged and kept, and of no study that is known. It holds no patient data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnsortedStatus {
    /// Its file under `unsorted/` of the data folder.
    pub file: String,
    /// SOP Instance UID under which it was sent.
    pub sop_instance_uid: SopInstanceUid,
    /// SOP Class UID under which it was sent.
    pub sop_class_uid: SopClassUid,
    /// When it came.
    pub received: Timestamp,
    /// Name of the peer that sent it; null where nothing tells.
    pub from: Option<String>,
    /// AE title under which it was sent.
    pub calling_ae: Option<AeTitle>,
    /// Length of its data set in bytes.
    pub bytes: u64,
    /// Why it can't be filed; null while the worker hasn't said whose it is.
    pub reason: Option<String>,
}

/// How many deliveries are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// Still owed.
    pub due: usize,
    /// Accepted by the peer, with or without a warning.
    pub sent: usize,
    /// Confirmed by the peer.
    pub confirmed: usize,
    /// Accepted, and a confirmation never came.
    pub unconfirmed: usize,
    /// Given up: `retry` brings them back.
    pub dead: usize,
}

/// When what happened; null where it hasn't yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// First instance.
    pub received_first: Option<Timestamp>,
    /// Last instance that counted as new.
    pub received_last: Option<Timestamp>,
    /// Last analysis that ended.
    pub analysed: Option<Timestamp>,
    /// When the study closed last.
    pub closed: Option<Timestamp>,
    /// When the current report was decided.
    pub reported: Option<Timestamp>,
    /// When the last delivery that was owed ended.
    pub delivered: Option<Timestamp>,
    /// When an open study closes unless something comes.
    pub closes_at: Option<Timestamp>,
}

/// Everything about one study. It holds patient data: for readers that are entitled to it, never for a log.
#[derive(Clone, Serialize, Deserialize)]
pub struct StudyDetail {
    /// As in the list.
    #[serde(flatten)]
    pub status: StudyStatus,
    /// Patient's Name (0010,0010), decoded.
    pub patient_name: Phi,
    /// Patient ID (0010,0020), decoded.
    pub patient_id: Phi,
    /// Study Date (0008,0020).
    pub study_date: String,
    /// The instances, by UID.
    pub instance_list: Vec<InstanceStatus>,
    /// The deliveries, by peer and object.
    pub delivery_list: Vec<DeliveryStatus>,
    /// The study's measurement; null where nothing was measured.
    pub lv: Option<LvSummary>,
}

/// One instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: Option<SopClassUid>,
    /// `stored`, `analysed` or `rejected`.
    pub state: String,
    /// Why it was not measured.
    pub rejected: Option<Rejection>,
    /// The reason in a sentence.
    pub rejected_detail: Option<String>,
    /// Charged runs.
    pub attempts: u32,
    /// Whether it runs alone, since a worker died with it in flight.
    pub suspect: bool,
    /// Size of the analysed version's file in bytes.
    pub bytes: u64,
    /// Digest of each version that came, the analysed one marked. More than one: the sender sent the same UID with
    /// other bytes.
    pub versions: Vec<VersionStatus>,
}

/// One version of an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionStatus {
    /// XXH3-128 over transfer syntax, one NUL and data set, and their length: 64 hexadecimal digits.
    pub digest: String,
    /// When it came.
    pub received: Timestamp,
    /// Whether this one is analysed and reported on.
    pub current: bool,
}

/// One object's delivery to one peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryStatus {
    /// The peer's name.
    pub peer: String,
    /// `report-<revision>`, or an image's SOP Instance UID.
    pub object: String,
    /// The report's own SOP Instance UID once it is rendered.
    pub sop_instance_uid: Option<SopInstanceUid>,
    /// `due`, `sent`, `confirmed`, `unconfirmed` or `dead`.
    pub state: String,
    /// When it is tried next.
    pub next_try: Option<Timestamp>,
    /// Every answer, oldest first.
    pub answers: Vec<DeliveryAnswer>,
}

/// One answer to one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAnswer {
    /// When it came.
    pub time: Timestamp,
    /// The DIMSE status; null where there was none.
    pub status: Option<DimseStatus>,
    /// Error Comment, or what went wrong in words.
    pub comment: Option<String>,
    /// How often in a row the same answer came, `time` being the last.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// Readiness, queue lengths and counters.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// Whether everything works: the worker can measure and the spool takes objects.
    pub ready: bool,
    /// Why it isn't, one sentence each, saying what to do.
    pub problems: Vec<String>,
    /// The worker.
    pub worker: WorkerState,
    /// What waits.
    pub queue: QueueLengths,
    /// What somebody has to look into although the node works, one sentence each, saying what to do.
    pub alarms: Vec<String>,
    /// What happened since the start.
    pub counters: Counters,
    /// The peers that objects are routed to.
    pub peers: Vec<PeerHealth>,
}

impl Health {
    /// What is said of a pipeline that has ended.
    pub(crate) fn stopped() -> Self {
        Self {
            ready: false,
            problems: vec!["the node is stopping".to_owned()],
            worker: WorkerState::Stopped,
            queue: QueueLengths::default(),
            alarms: Vec::new(),
            counters: Counters::default(),
            peers: Vec::new(),
        }
    }
}

/// The worker's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum WorkerState {
    /// Started, loading its models.
    Starting,
    /// Takes jobs.
    Ready {
        /// `cpu` or `cuda:N`.
        device: String,
        /// The models that it loaded.
        models: Vec<ModelRef>,
        /// Jobs that may be in flight.
        credits: u32,
    },
    /// Can't be started or can't be used; studies are kept and not reported.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
    /// Ended with the node.
    Stopped,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueLengths {
    /// Studies that are not done.
    pub studies_open: usize,
    /// Studies that wait for an operator.
    pub studies_held: usize,
    /// Studies that failed and wait for an operator.
    pub studies_quarantined: usize,
    /// Instances that wait for their analysis.
    pub instances_waiting: usize,
    /// Objects without a readable Study Instance UID, in `unsorted/`.
    pub instances_unsorted: usize,
    /// Instances at the worker.
    pub instances_running: usize,
    /// Instances that have to run alone.
    pub instances_suspect: usize,
    /// Deliveries that are owed.
    pub deliveries_due: usize,
    /// Objects that a peer took and has not yet shown to keep, as a route demands.
    pub deliveries_unproven: usize,
    /// Deliveries that were given up.
    pub deliveries_dead: usize,
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Instances stored, versions included, duplicates not.
    pub instances_stored: u64,
    /// Instances that came again with the same bytes.
    pub duplicates: u64,
    /// Instances that came again with other bytes.
    pub new_versions: u64,
    /// The node's own objects that came back.
    pub own_objects: u64,
    /// Instances analysed and measured.
    pub instances_analysed: u64,
    /// Instances not measured.
    pub instances_rejected: u64,
    /// Workers started.
    pub worker_starts: u64,
    /// Workers that ended while the node lived.
    pub worker_deaths: u64,
    /// Workers killed for an overrun.
    pub worker_overruns: u64,
    /// Charged attempts.
    pub attempts_charged: u64,
    /// Studies closed.
    pub studies_closed: u64,
    /// Studies opened again by late evidence.
    pub studies_reopened: u64,
    /// Reports decided, revisions included.
    pub reports: u64,
    /// Objects that a peer accepted.
    pub deliveries_sent: u64,
    /// Tries that failed.
    pub deliveries_failed: u64,
    /// Deliveries given up.
    pub deliveries_dead: u64,
    /// Requests for storage commitment that were sent.
    pub commitments_asked: u64,
    /// Objects that a peer has shown to keep.
    pub deliveries_confirmed: u64,
    /// Objects that a peer took and never showed to keep.
    pub deliveries_unconfirmed: u64,
    /// Requests for storage commitment that carts made.
    pub relays_asked: u64,
    /// Of these, those whose answer the cart has.
    pub relays_reported: u64,
}

/// One peer that objects are routed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerHealth {
    /// Its name.
    pub name: String,
    /// Objects that are owed to it.
    pub due: usize,
    /// Whether a job for it is running.
    pub busy: bool,
    /// When the last object was accepted.
    pub last_success: Option<Timestamp>,
    /// Why its last association failed; null after a success.
    pub last_error: Option<String>,
    /// Whether it rejects the node permanently: somebody has to mend a configuration.
    pub alarm: bool,
    /// Objects that it took and never showed to keep, as far back as the history goes.
    pub unconfirmed: u64,
    /// When it is tried next.
    pub next_try: Option<Timestamp>,
}
