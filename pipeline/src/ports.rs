//! What the pipeline asks of the node around it: a sender, a header reader and a clock. Submit and complete; none of
//! them blocks the engine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sonode_conformance::{
    DimseStatus, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid, Uid,
};
use sonode_findings::protocol::{Amended, Analyzed, Illustrated, Ready, ToWorker};
use sonode_sr_writer::{Document, Syntax};

use crate::companions::CompanionKey;
use crate::header::HeaderSummary;
use crate::spool::StoredInstance;
use crate::time::Timestamp;

/// The node's side of the pipeline.
pub struct Ports {
    /// Sends objects to peers.
    pub sender: Box<dyn ReportSender>,
    /// Reads headers of files that were stored before a restart.
    pub headers: Box<dyn Headers>,
    /// Starts workers.
    pub analyzer: Box<dyn Analyzer>,
    /// The one clock.
    pub clock: Box<dyn Clock>,
}

/// Starts workers, one at a time; [`crate::WorkerProgram`] is the real one.
pub trait Analyzer: Send {
    /// Starts a worker and returns at once. `tell` gets what it says.
    ///
    /// # Errors
    /// As the operating system gives them: no such program, no more processes.
    fn start(&self, tell: Tell) -> io::Result<Box<dyn Worker>>;
}

/// Takes what a worker says, from another thread than the one that started it.
pub type Tell = Box<dyn Fn(WorkerEvent) + Send>;

/// A running worker. It is killed when it is dropped.
pub trait Worker: Send {
    /// Hands a job over and returns at once. A worker that doesn't take it is killed: its end is told as any other.
    fn give(&mut self, job: &ToWorker);
}

/// What a worker says.
pub enum WorkerEvent {
    /// It takes jobs.
    Ready(Ready),
    /// The answer to an analysis or an identification.
    Analyzed(Box<Analyzed>),
    /// A second reading of what it answered before.
    Amended(Box<Amended>),
    /// What it drew, or why it can't.
    Illustrated(Box<Illustrated>),
    /// It is gone. The last one, always.
    Ended(WorkerEnd),
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEnd {
    /// In words.
    pub detail: String,
    /// It says itself that it can't be used as it is configured.
    pub unusable: bool,
}

/// Sends objects to peers by C-STORE.
pub trait ReportSender: Send {
    /// Takes a job and returns at once. Its answer comes by [`crate::Pipeline::delivered`], exactly once, whatever
    /// happens; a job that was handed over and is not answered keeps its peer busy. What was owed before a restart may
    /// be submitted before [`crate::Pipeline::start`] has returned: it has to wait in the sender then.
    fn submit(&self, job: DeliveryJob);
    /// Takes a question to a peer and returns at once. Its answer comes by [`crate::Pipeline::commitment_answered`], under
    /// the rules of [`Self::submit`].
    fn ask(&self, job: CommitmentJob);
    /// Takes the answer to a cart's request for commitment and returns at once. Whether the cart took it comes by
    /// [`crate::Pipeline::relay_reported`], under the rules of [`Self::submit`].
    fn report(&self, report: RelayReport);
}

/// Reads the header of a stored file.
pub trait Headers: Send {
    /// What the listing and the report need of a Part 10 file; what can't be read is left empty.
    fn read(&self, path: &Path) -> HeaderSummary;
}

/// The time.
pub trait Clock: Send + Sync {
    /// The time for deadlines. It must not go back while the process lives.
    fn now(&self) -> Timestamp;
    /// The time of day for a report's Content Date and Time (0008,0023 and 0008,0033).
    fn wall(&self) -> Timestamp;
}

/// The machine's clock: wall-clock time at the start, monotonic from there on, so that a corrected clock neither closes
/// every study at once nor holds them open.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(
        clippy::new_without_default,
        reason = "a default value that depends on the moment surprises"
    )]
    pub fn new() -> Self {
        Self {
            wall_at_start: Timestamp::from_system(SystemTime::now()),
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall_at_start.plus(self.start.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }
}

/// Objects for one peer, to be sent on one association.
#[derive(Debug, Clone)]
pub struct DeliveryJob {
    /// Comes back in the [`DeliveryReport`].
    pub id: u64,
    /// The peer's name in the configuration.
    pub peer: String,
    /// The objects, in the order in which they should be sent; never empty.
    pub objects: Vec<DeliveryObject>,
}

/// One object of a job.
#[derive(Debug, Clone)]
pub enum DeliveryObject {
    /// A report. Its bytes come from [`crate::Pipeline::render`] once the association's contexts are known.
    Report(ReportKey),
    /// An instance, forwarded as it was received.
    Image(StoredInstance),
    /// What goes beside a report; its bytes are on disk.
    Companion(CompanionFile),
}

/// A companion of a report that is durably on disk and may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionFile {
    /// The study.
    pub study: StudyInstanceUid,
    /// Which of its companions.
    pub key: CompanionKey,
    /// Its SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// The Part 10 file.
    pub path: PathBuf,
}

/// Names one document of one revision of a study's report for one peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReportKey {
    /// The study.
    pub study: StudyInstanceUid,
    /// From 1.
    pub revision: u32,
    /// Which of the documents.
    pub document: Document,
    /// The peer's name in the configuration.
    pub peer: String,
}

/// A report that is durably on disk and may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedReport {
    /// The Part 10 file.
    pub path: PathBuf,
    /// Its bytes, where it was rendered just now.
    pub bytes: Option<Vec<u8>>,
    /// Its SOP class: that of the form in which it was rendered.
    pub sop_class: SopClassUid,
    /// Its SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Its transfer syntax.
    pub transfer_syntax: TransferSyntaxUid,
}

/// The answer to a [`DeliveryJob`].
#[derive(Debug, Clone)]
pub struct DeliveryReport {
    /// The job's number.
    pub id: u64,
    /// The peer's name in the configuration.
    pub peer: String,
    /// What became of each object. One that is missing here counts as not sent.
    pub results: Vec<(DeliveryObject, ObjectResult)>,
    /// Why there was no association, or why it ended early.
    pub association_error: Option<AssociationFailure>,
}

/// Why an association failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociationFailure {
    /// A rejection that the peer called permanent: tried again all the same, with an alarm, because IT will mend it.
    pub permanent: bool,
    /// The failure in plain words, without patient data.
    pub detail: String,
}

/// A question to a peer about objects that it took.
#[derive(Debug, Clone)]
pub struct CommitmentJob {
    /// Comes back in the [`CommitmentReport`].
    pub id: u64,
    /// The peer's name in the configuration.
    pub peer: String,
    /// What is asked.
    pub question: CommitmentQuestion,
    /// About what; never empty.
    pub objects: Vec<CommitmentObject>,
}

/// What a peer is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitmentQuestion {
    /// To commit itself (PS3.4 annex J).
    Commit {
        /// The Transaction UID under which it answers.
        transaction: Uid,
        /// How long to wait for the answer on the same association.
        linger: Duration,
    },
    /// Whether it has them: C-FIND at IMAGE level (PS3.4 annex C).
    Find,
}

/// One object that a peer took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentObject {
    /// Its SOP class; none where only its file tells.
    pub sop_class: Option<SopClassUid>,
    /// Its SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// Its study.
    pub study: StudyInstanceUid,
    /// Its Part 10 file, for its series; none where it was pruned.
    pub path: Option<PathBuf>,
}

/// The answer to a [`CommitmentJob`].
#[derive(Debug, Clone)]
pub struct CommitmentReport {
    /// The job's number.
    pub id: u64,
    /// What came of it.
    pub outcome: CommitmentOutcome,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitmentOutcome {
    /// The peer has the request, or may have it. Its answer comes by [`crate::Pipeline::committed`].
    Requested,
    /// The peer doesn't offer the service; in words.
    NotOffered(String),
    /// The peer answered with a failure; in words.
    Refused(String),
    /// Which of the objects the peer has.
    Found(Vec<SopInstanceUid>),
    /// No association came about.
    NoAssociation(AssociationFailure),
}

/// A peer's answer to a request for commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentNotice {
    /// The peer's name in the configuration.
    pub peer: String,
    /// The request's Transaction UID.
    pub transaction: Uid,
    /// What it keeps.
    pub committed: Vec<SopInstanceUid>,
    /// What it doesn't keep, each with its Failure Reason (0008,1197).
    pub failed: Vec<(SopInstanceUid, u16)>,
}

/// An instance as Storage Commitment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentReference {
    /// Referenced SOP Class UID (0008,1150).
    pub sop_class: SopClassUid,
    /// Referenced SOP Instance UID (0008,1155).
    pub sop_instance: SopInstanceUid,
}

/// A cart's request for commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRequest {
    /// The cart's name in the configuration.
    pub peer: String,
    /// The association on which it came.
    pub association: u64,
    /// Transaction UID (0008,1195).
    pub transaction: Uid,
    /// What the cart wants to be kept.
    pub references: Vec<CommitmentReference>,
}

/// What a cart says of a performed procedure step (MPPS): N-CREATE or N-SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRequest {
    /// The cart's name in the configuration.
    pub peer: String,
    /// SOP Instance UID of the step.
    pub step: SopInstanceUid,
    /// Whether it is N-CREATE.
    pub is_new: bool,
    /// COMPLETED (`true`) or DISCONTINUED; none: in progress.
    pub ended: Option<bool>,
    /// The studies that it names.
    pub studies: Vec<StudyInstanceUid>,
    /// The instances that it lists; none where it says nothing of them.
    pub instances: Option<Vec<SopInstanceUid>>,
    /// The attribute list as it came, and its Transfer Syntax UID.
    pub data_set: (Vec<u8>, String),
}

/// The answer to a [`RelayRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayReport {
    /// Comes back with the outcome.
    pub id: u64,
    /// The cart's name in the configuration.
    pub peer: String,
    /// The name of the peer that has committed itself.
    pub archive: String,
    /// The request's Transaction UID.
    pub transaction: Uid,
    /// The association on which the request came, if this process took it.
    pub association: Option<u64>,
    /// What the archive keeps.
    pub committed: Vec<CommitmentReference>,
    /// What it doesn't, each with a Failure Reason (0008,1197).
    pub failed: Vec<(CommitmentReference, u16)>,
}

/// A peer accepts no form of a report and takes the page as a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The report.
    pub report: ReportKey,
    /// The forms that were offered, in words.
    pub offered: String,
    /// The picture's.
    pub syntax: Syntax,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectResult {
    /// The peer answered with this status and Error Comment (0000,0902).
    Status(DimseStatus, Option<String>),
    /// The association ended before the object's turn.
    NotSent(String),
    /// The association ended while the object was on its way or its answer was due: it may be the reason.
    Broke(String),
    /// The peer accepts no form of it: what was offered, in words.
    NoContext(String),
    /// A local failure: it could not be rendered or read.
    Failed(String),
}
