//! The handle that the node holds: one engine thread behind a channel.

use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sonode_conformance::{StudyInstanceUid, limits};
use sonode_findings::Findings;
use sonode_sr_writer::Form;

use crate::engine::Command;
use crate::header::HeaderSummary;
use crate::ports::{
    CommitmentNotice, CommitmentReport, CompanionFile, DeliveryReport, PageRequest, Ports,
    RelayRequest, RenderedReport, ReportKey, StepRequest,
};
use crate::report::Renderer;
use crate::runtime::{self, Message};
use crate::settings::{Routing, Settings};
use crate::spool::{Committed, Discarded, Spool};
use crate::status::{Health, StudyDetail, StudyStatus, UnsortedStatus};

/// Messages that wait for the engine thread: a flood of objects makes their senders wait, not the memory grow.
const MESSAGES_MAX: usize = 1024;

/// The pipeline: clones share one engine.
#[derive(Clone)]
pub struct Pipeline {
    shared: Arc<Shared>,
}

struct Shared {
    messages: SyncSender<Message>,
    engine: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<Receiver<()>>,
    renderer: Renderer,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last handle is gone: the engine thread ends too, at once.
        if self
            .messages
            .try_send(Message::Drain(Instant::now()))
            .is_err()
        {
            tracing::debug!("the engine has ended or is overwhelmed");
        }
    }
}

/// One object that the spool has committed.
pub struct Arrival {
    /// What the spool did with it.
    pub committed: Committed,
    /// Its header.
    pub header: HeaderSummary,
    /// The sending peer's name in the configuration.
    pub peer: String,
    /// The association that carried it.
    pub association: u64,
}

/// Why the pipeline didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool's open studies can't be listed.
    #[error("the spool can't be read: {0}")]
    Spool(String),
    /// Neither the queue nor a new one in its place can be opened.
    #[error("the queue under {folder} can't be opened: {detail}")]
    Queue {
        /// The queue's folder.
        folder: std::path::PathBuf,
        /// The cause.
        detail: String,
    },
    /// No thread.
    #[error("the engine thread can't be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such study, open or done.
    #[error("there is no study {0}")]
    NoSuchStudy(StudyInstanceUid),
    /// The study's state doesn't allow it.
    #[error("{0}")]
    NotNow(String),
    /// The spool or the queue failed.
    #[error("the disk failed: {0}")]
    Storage(String),
    /// The pipeline has ended.
    #[error("the node is stopping")]
    Stopping,
}

/// Why a cart's request for commitment was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// No route forwards the cart's images.
    #[error("no route forwards images of this peer")]
    NoArchive,
    /// Too many requests wait.
    #[error("too many requests for commitment wait")]
    TooMany,
    /// It could not be kept.
    #[error("the request can't be kept: {0}")]
    Storage(String),
    /// The pipeline has ended.
    #[error("the node is stopping")]
    Stopping,
}

/// Why a performed procedure step was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// N-CREATE of a step that is known.
    #[error("the performed procedure step is known already")]
    Known,
    /// N-SET of a step that isn't.
    #[error("there is no such performed procedure step")]
    Unknown,
    /// N-SET of a step that has ended (PS3.4 section F.7.2.2.2).
    #[error("the performed procedure step may no longer be updated")]
    Ended,
    /// It could not be kept.
    #[error("the performed procedure step can't be kept: {0}")]
    Storage(String),
    /// The pipeline has ended.
    #[error("the node is stopping")]
    Stopping,
}

/// Why a report could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No report of this study and revision is owed to this peer any more: discarded, or replaced by a later revision.
    #[error("the report isn't owed any more")]
    NotOwed,
    /// The peer accepts no form of it.
    #[error("no form of the report was given")]
    NoForm,
    /// The report can't be written from these findings.
    #[error("the report can't be written: {0}")]
    Write(String),
    /// The spool failed.
    #[error("the report can't be kept: {0}")]
    Spool(String),
    /// The pipeline has ended.
    #[error("the node is stopping")]
    Stopping,
}

impl Pipeline {
    /// Recovers from the spool, opens the queue, starts the worker and the engine thread.
    ///
    /// # Errors
    /// Each [`StartError`] variant. A worker that doesn't start is no error: studies are kept, [`Pipeline::health`]
    /// says what is wrong, and the worker is started again.
    pub fn start(settings: Settings, spool: Spool, ports: Ports) -> Result<Self, StartError> {
        let (messages, inbox) = mpsc::sync_channel(MESSAGES_MAX);
        let (at_end, ended) = mpsc::channel();
        let (engine, renderer) =
            runtime::start(settings, spool, ports, (messages.clone(), inbox), at_end)?;
        Ok(Self {
            shared: Arc::new(Shared {
                messages,
                engine: Mutex::new(Some(engine)),
                ended: Mutex::new(ended),
                renderer,
            }),
        })
    }

    /// Tells of an object that is durable. It may wait for a moment where many come at once.
    pub fn stored(&self, arrival: Arrival) {
        self.tell(Message::Stored(Box::new(arrival)));
    }

    /// An association was accepted.
    pub fn association_opened(&self, association: u64, peer: &str) {
        self.tell(Message::AssociationOpened(association, peer.to_owned()));
    }

    /// An association ended, in whatever way.
    pub fn association_closed(&self, association: u64) {
        self.tell(Message::AssociationClosed(association));
    }

    /// The sender's answer to a job.
    pub fn delivered(&self, report: DeliveryReport) {
        self.tell(Message::Delivered(Box::new(report)));
    }

    /// The sender's answer to a question.
    pub fn commitment_answered(&self, report: CommitmentReport) {
        self.tell(Message::CommitmentAnswered(report));
    }

    /// A peer's answer to a request for commitment. What it says is durable when this returns: whether it answers a
    /// request of ours to this peer, or `None` while the node stops.
    pub fn committed(&self, notice: CommitmentNotice) -> Option<bool> {
        self.ask(|reply| Message::Committed(notice, reply))
    }

    /// A cart's request for commitment. It is durable when this returns.
    ///
    /// # Errors
    /// Each [`RelayError`] variant.
    pub fn relay(&self, request: RelayRequest) -> Result<(), RelayError> {
        self.ask(|reply| Message::Relay(request, reply))
            .unwrap_or(Err(RelayError::Stopping))
    }

    /// What a cart says of a performed procedure step. It is durable when this returns.
    ///
    /// # Errors
    /// Each [`StepError`] variant.
    pub fn procedure_step(&self, request: StepRequest) -> Result<(), StepError> {
        self.ask(|reply| Message::Step(request, reply))
            .unwrap_or(Err(StepError::Stopping))
    }

    /// Whether a cart was told: in words, why not.
    pub fn relay_reported(&self, id: u64, outcome: Result<(), String>) {
        self.tell(Message::RelayReported(id, outcome));
    }

    /// Renders a document in the best form that the peer accepts, commits it to disk and says in which form and where.
    /// `accepted` is not empty and has the best form first.
    ///
    /// Idempotent: what was rendered for a document, revision and peer is the answer for as long as the peer accepts
    /// it, even if it accepts a better form later. It blocks for the disk, so it is called from the sender's own thread.
    ///
    /// # Errors
    /// Each [`RenderError`] variant.
    pub fn render(
        &self,
        report: &ReportKey,
        accepted: &[Form],
    ) -> Result<(Form, RenderedReport), RenderError> {
        let plan = self
            .ask(|reply| Message::Plan(report.clone(), reply))
            .ok_or(RenderError::Stopping)?
            .ok_or(RenderError::NotOwed)?;
        let form = plan
            .form
            .filter(|form| accepted.contains(form))
            .or(accepted.first().copied())
            .ok_or(RenderError::NoForm)?;
        let rendered = self.shared.renderer.render(&plan, form)?;
        // Before it can come back from a PACS, its UID is known as our own.
        let sop = rendered.sop_instance.clone();
        self.ask(|reply| Message::Rendered(report.clone(), form, sop, reply))
            .ok_or(RenderError::Stopping)?;
        Ok((form, rendered))
    }

    /// The page that the peer takes in place of a report, as soon as it is drawn; it is one object more of the peer's job,
    /// whose result is told with the others. None where that takes longer than [`limits::PAGE_WAIT`] or the report is not
    /// owed any more: what is still owed leaves on a later association.
    pub fn page_instead(&self, request: PageRequest) -> Option<CompanionFile> {
        let (reply, answer) = mpsc::channel();
        let due = Instant::now() + limits::PAGE_WAIT;
        self.tell(Message::Page(request, due, reply));
        answer.recv().ok()
    }

    /// Every study: open ones first, then those that are done, latest first.
    pub fn studies(&self) -> Vec<StudyStatus> {
        self.ask(Message::Studies).unwrap_or_default()
    }

    /// What lies in `unsorted/`, in order of arrival.
    pub fn unsorted(&self) -> Vec<UnsortedStatus> {
        self.ask(Message::Unsorted).unwrap_or_default()
    }

    /// One study with everything that is known of it.
    pub fn study(&self, study: &StudyInstanceUid) -> Option<StudyDetail> {
        self.ask(|reply| Message::Study(study.clone(), reply))?
    }

    /// What was found in a study's analysed instances; read from the spool in the caller's thread. `None` where there
    /// is no such study or its findings can't be read.
    pub fn findings(&self, study: &StudyInstanceUid) -> Option<Findings> {
        let members = self.ask(|reply| Message::Members(study.clone(), reply))??;
        match self.shared.renderer.findings(study, &members) {
            Ok(findings) => Some(findings),
            Err(error) => {
                tracing::warn!(%study, %error, "the findings can't be read");
                None
            }
        }
    }

    /// Tries again at once: dead letters are due again, rejected-as-undecodable instances and a quarantined study get
    /// fresh attempts, waiting deliveries don't wait.
    ///
    /// # Errors
    /// Each [`CommandError`] variant.
    pub fn retry(&self, study: &StudyInstanceUid) -> Result<(), CommandError> {
        self.command(study, Command::Retry).map(drop)
    }

    /// Closes a receiving study without waiting, or releases a held one as it is.
    ///
    /// # Errors
    /// Each [`CommandError`] variant.
    pub fn close(&self, study: &StudyInstanceUid) -> Result<(), CommandError> {
        self.command(study, Command::Close).map(drop)
    }

    /// Deletes a study with everything in it; the files in the caller's thread.
    ///
    /// # Errors
    /// Each [`CommandError`] variant.
    pub fn discard(&self, study: &StudyInstanceUid) -> Result<(), CommandError> {
        // Gigabytes of files go here, where nobody but the caller waits for it.
        self.command(study, Command::Discard).map(drop)
    }

    /// New routes, names and quiet periods. They count for studies that close from now on; deliveries to a peer that
    /// no route names any more are still made.
    pub fn reload(&self, routing: Routing) {
        self.tell(Message::Reload(routing));
    }

    /// Readiness, queue lengths and counters.
    pub fn health(&self) -> Health {
        self.ask(Message::Health).unwrap_or_else(Health::stopped)
    }

    /// Stops: no new analysis and no new delivery begins; what is running may end until the deadline. Everything that
    /// isn't finished then goes on at the next start, without an attempt charged.
    pub fn drain(&self, deadline: Instant) {
        self.tell(Message::Drain(deadline));
        let ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The engine thread itself keeps to the deadline; the margin is for its last write.
        let wait = deadline.saturating_duration_since(Instant::now()) + Duration::from_secs(5);
        // Nothing is ever sent: the thread drops its end when it ends.
        if ended.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the engine thread did not end in time");
            return;
        }
        let engine = self
            .shared
            .engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if engine.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the engine thread panicked");
        }
    }

    fn tell(&self, message: Message) {
        if self.shared.messages.send(message).is_err() {
            // Nothing is lost: what the spool holds is found at the next start.
            tracing::debug!("the engine has ended");
        }
    }

    fn ask<T>(&self, message: impl FnOnce(Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = mpsc::channel();
        self.shared.messages.send(message(reply)).ok()?;
        answer.recv().ok()
    }

    fn command(
        &self,
        study: &StudyInstanceUid,
        command: Command,
    ) -> Result<Option<Discarded>, CommandError> {
        self.ask(|reply| Message::Command(study.clone(), command, reply))
            .unwrap_or(Err(CommandError::Stopping))
    }
}
