//! Carries out what the engine says: one thread between the node's messages, the spool, the queue and the worker.
//!
//! [`actions`] is what the engine asks for, [`arrivals`] what the spool brings, [`questions`] what the node asks, [`pages`]
//! what its associations wait for, [`recovery`] the start.

mod actions;
mod arrivals;
mod pages;
mod questions;
mod recovery;
mod relay;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_sr_writer::Form;

use crate::engine::{Action, Command, Engine, Event};
use crate::pipeline::{Arrival, CommandError, RelayError, StartError, StepError};
use crate::ports::{
    CommitmentNotice, CommitmentReport, CompanionFile, DeliveryReport, PageRequest, Ports,
    RelayRequest, ReportKey, StepRequest, Worker, WorkerEvent,
};
use crate::pruning::PrunerThread;
use crate::queue::Queue;
use crate::report::{Member, Renderer, ReportPlan, Station};
use crate::settings::{Routing, Settings};
use crate::spool::{Discarded, Spool};
use crate::status::{Health, StudyDetail, StudyStatus, UnsortedStatus};
use crate::time::Timestamp;

/// Messages taken before the engine looks whether records are due.
const BURST_MAX: usize = 64;
/// From a study's change to its record: a study that is arriving costs five records a second, and not one an object. What a
/// killed process takes with it the files tell.
const RECORD_PAUSE: Duration = Duration::from_millis(200);
/// A record is written as a whole and grows with its study: after writing, they rest so many times as long as it took ...
const RECORD_RESTS: u32 = 50;
/// ... but no longer than this.
const RECORD_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Without a deadline the thread still looks up now and then.
const LOOK_UP: Duration = Duration::from_mins(1);

type Reply<T> = Sender<T>;

/// What the engine thread is told and asked.
pub(crate) enum Message {
    Stored(Box<Arrival>),
    AssociationOpened(u64, String),
    AssociationClosed(u64),
    Delivered(Box<DeliveryReport>),
    CommitmentAnswered(CommitmentReport),
    Committed(CommitmentNotice, Reply<bool>),
    Relay(RelayRequest, Reply<Result<(), RelayError>>),
    RelayReported(u64, Result<(), String>),
    Step(StepRequest, Reply<Result<(), StepError>>),
    Plan(ReportKey, Reply<Option<ReportPlan>>),
    Rendered(ReportKey, Form, SopInstanceUid, Reply<()>),
    Page(PageRequest, Instant, Reply<CompanionFile>),
    Studies(Reply<Vec<StudyStatus>>),
    Unsorted(Reply<Vec<UnsortedStatus>>),
    Study(StudyInstanceUid, Reply<Option<StudyDetail>>),
    Members(StudyInstanceUid, Reply<Option<Vec<Member>>>),
    Command(
        StudyInstanceUid,
        Command,
        Reply<Result<Option<Discarded>, CommandError>>,
    ),
    Reload(Routing),
    Health(Reply<Health>),
    Worker(u64, WorkerEvent),
    Drain(Instant),
}

/// Recovers, and starts the engine thread. `at_end` is dropped when it ends.
pub(crate) fn start(
    settings: Settings,
    spool: Spool,
    ports: Ports,
    (messages, inbox): (SyncSender<Message>, Receiver<Message>),
    at_end: Sender<()>,
) -> Result<(JoinHandle<()>, Renderer), StartError> {
    let folder = spool.data_dir().join("queue");
    let queue = Queue::open(&folder).map_err(|error| StartError::Queue {
        folder: folder.clone(),
        detail: error.to_string(),
    })?;
    let station = Station {
        ae_title: settings.ae_title.clone(),
        device_serial: settings.device_serial.clone(),
    };
    let renderer = Renderer::new(spool.clone(), station.clone());
    let pruner = PrunerThread::start(spool.clone(), settings.prune_above_percent);
    let mut runtime = Runtime {
        routing: settings.routing.clone(),
        engine: Engine::new(settings),
        queue,
        spool,
        ports,
        station,
        messages,
        worker: None,
        dirty: BTreeSet::new(),
        saved: Instant::now(),
        rest: RECORD_PAUSE,
        pages: Vec::new(),
        drain_by: None,
        _pruner: pruner.map_err(StartError::Thread)?,
    };
    runtime.recover()?;
    let thread = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            runtime.run(&inbox);
            drop(at_end);
        })
        .map_err(StartError::Thread)?;
    Ok((thread, renderer))
}

struct Runtime {
    engine: Engine,
    queue: Queue,
    spool: Spool,
    ports: Ports,
    station: Station,
    routing: Routing,
    messages: SyncSender<Message>,
    /// The worker and its generation.
    worker: Option<(u64, Box<dyn Worker>)>,
    /// Studies whose records have to be written.
    dirty: BTreeSet<StudyInstanceUid>,
    /// When records were written last.
    saved: Instant,
    /// How long they then rest.
    rest: Duration,
    pages: Vec<pages::Waiting>,
    drain_by: Option<Instant>,
    _pruner: PrunerThread,
}

impl Runtime {
    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn run(&mut self, inbox: &Receiver<Message>) {
        self.event(Event::Tick);
        while !self.may_end() {
            match inbox.recv_timeout(self.patience()) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.event(Event::Tick),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for message in inbox.try_iter().take(BURST_MAX) {
                self.take(message);
            }
            self.give_pages();
            if self.saved.elapsed() >= self.rest {
                self.save_dirty();
            }
        }
        let last = self.engine.stop();
        self.carry_out(last);
        self.save_dirty();
        self.worker = None;
        if let Err(error) = self.queue.flush() {
            tracing::error!(%error, "the queue can't be flushed");
        }
    }

    fn may_end(&self) -> bool {
        self.drain_by
            .is_some_and(|by| self.engine.is_idle() || Instant::now() >= by)
    }

    fn patience(&self) -> Duration {
        let until_deadline = self
            .engine
            .next_deadline()
            .map_or(LOOK_UP, |deadline| deadline.since(self.now()));
        let until_end = self
            .drain_by
            .map_or(LOOK_UP, |by| by.saturating_duration_since(Instant::now()));
        let until_record = if self.dirty.is_empty() {
            LOOK_UP
        } else {
            self.rest.saturating_sub(self.saved.elapsed())
        };
        let until_page = self
            .page_due()
            .map_or(LOOK_UP, |due| due.saturating_duration_since(Instant::now()));
        until_deadline
            .min(until_end)
            .min(until_record)
            .min(until_page)
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Stored(arrival) => self.stored(*arrival),
            Message::AssociationOpened(id, peer) => {
                tracing::debug!(association = id, %peer, "association opened");
                self.event(Event::AssociationOpened(id));
            }
            Message::AssociationClosed(id) => self.event(Event::AssociationClosed(id)),
            Message::Delivered(report) => self.event(Event::Delivered(report)),
            Message::CommitmentAnswered(report) => self.event(Event::CommitmentAnswered(report)),
            Message::Committed(notice, reply) => {
                let study = self.engine.asked_under(&notice.transaction, &notice.peer);
                if let Some(study) = &study {
                    self.take_back_done(study);
                    self.event(Event::Committed(notice));
                    self.save_dirty();
                }
                answer(&reply, study.is_some());
            }
            Message::Relay(request, reply) => {
                let result = self.relay(request);
                answer(&reply, result);
            }
            Message::Step(request, reply) => {
                let result = self.step(request);
                answer(&reply, result);
            }
            Message::RelayReported(id, outcome) => self.event(Event::RelayReported(id, outcome)),
            Message::Plan(key, reply) => answer(&reply, self.engine.plan(&key)),
            Message::Rendered(key, form, sop, reply) => {
                self.event(Event::Rendered(key, form, sop));
                self.save_dirty();
                answer(&reply, ());
            }
            Message::Page(request, due, reply) => self.await_page(request, due, reply),
            Message::Studies(reply) => answer(&reply, self.studies()),
            Message::Unsorted(reply) => answer(&reply, self.engine.unsorted()),
            Message::Study(uid, reply) => answer(&reply, self.study(&uid)),
            Message::Members(uid, reply) => answer(&reply, self.members(&uid)),
            Message::Command(uid, command, reply) => {
                let result = self.command(&uid, command);
                answer(&reply, result);
            }
            Message::Reload(routing) => {
                self.routing = routing.clone();
                self.event(Event::Reload(routing));
            }
            Message::Health(reply) => answer(&reply, self.health()),
            Message::Worker(generation, said) => self.worker_said(generation, said),
            Message::Drain(by) => {
                self.drain_by = Some(by);
                self.event(Event::Drain);
            }
        }
    }

    fn worker_said(&mut self, generation: u64, said: WorkerEvent) {
        if let WorkerEvent::Amended(amended) = &said
            && let Some(study) = self.engine.study_read(generation, amended.id).cloned()
            && !self.engine.knows(&study)
        {
            self.take_back(&study);
        }
        self.event(match said {
            WorkerEvent::Ready(ready) => Event::WorkerReady(generation, ready),
            WorkerEvent::Analyzed(analyzed) => Event::Analyzed(generation, analyzed),
            WorkerEvent::Amended(amended) => Event::Amended(generation, amended),
            WorkerEvent::Illustrated(drawn) => Event::Illustrated(generation, drawn),
            WorkerEvent::Ended(end) => Event::WorkerEnded(generation, end),
        });
    }

    fn event(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.now());
        self.carry_out(actions);
    }

    /// Carries out actions in their order; what they lead to comes after them.
    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            if let Some(event) = self.act(action) {
                actions.extend(self.engine.handle(event, self.now()));
            }
        }
    }

    /// A study that is done may still get an answer that is late.
    fn take_back_done(&mut self, uid: &StudyInstanceUid) {
        if !self.engine.knows(uid)
            && let Some(study) = self.queue.finished(uid)
        {
            self.engine.adopt(study);
        }
    }

    fn save_dirty(&mut self) {
        let began = Instant::now();
        for uid in std::mem::take(&mut self.dirty) {
            if let Some(study) = self.engine.study(&uid) {
                note("record", self.queue.save(study));
            }
        }
        self.saved = Instant::now();
        self.rest = rest_after(self.saved.duration_since(began));
    }
}

/// How long records rest when writing them took so long.
fn rest_after(took: Duration) -> Duration {
    took.saturating_mul(RECORD_RESTS)
        .clamp(RECORD_PAUSE, RECORD_PAUSE_MAX)
}

/// For what costs repeated work at most when it fails.
fn note<E: std::fmt::Display>(what: &'static str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::error!(what, %error, "not kept");
    }
}

fn answer<T>(reply: &Reply<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
