//! Runs the engine.
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::Instant;

use sonode_conformance::StudyInstanceUid;

use crate::pipeline::{Arrival, CommandError, RenderError, StartError};
use crate::ports::{DeliveryReport, Ports, RenderedReport, ReportForm, ReportKey};
use crate::settings::{Routing, Settings};
use crate::spool::Spool;
use crate::status::{Health, StudyDetail, StudyStatus};

type Reply<T> = Sender<T>;

pub(crate) enum Message {
    Stored(Box<Arrival>),
    AssociationOpened(u64, String),
    AssociationClosed(u64),
    Delivered(Box<DeliveryReport>),
    Plan(ReportKey, ReportForm, Reply<Option<Arc<ReportPlan>>>),
    Studies(Reply<Vec<StudyStatus>>),
    Study(StudyInstanceUid, Reply<Option<StudyDetail>>),
    Retry(StudyInstanceUid, Reply<Result<(), CommandError>>),
    Close(StudyInstanceUid, Reply<Result<(), CommandError>>),
    Discard(StudyInstanceUid, Reply<Result<(), CommandError>>),
    Reload(Routing),
    Health(Reply<Health>),
    Drain(Instant),
}

pub(crate) struct ReportPlan;

pub(crate) struct Renderer;

impl Renderer {
    pub(crate) fn render(
        &self,
        _plan: &ReportPlan,
        _messages: &SyncSender<Message>,
    ) -> Result<RenderedReport, RenderError> {
        Err(RenderError::Stopping)
    }
}

pub(crate) fn start(
    _settings: Settings,
    _spool: Spool,
    _ports: Ports,
    _messages: (SyncSender<Message>, Receiver<Message>),
    _at_end: Sender<()>,
) -> Result<(JoinHandle<()>, Renderer), StartError> {
    Err(StartError::Spool(String::new()))
}
