//! Carries out what the engine says: one thread between the node's messages, the spool, the queue and the worker.

mod recovery;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid, limits};
use sonode_findings::InstanceFindings;
use sonode_findings::protocol::{AnalyzeJob, IllustrateJob, ToWorker};
use sonode_sr_writer::Form;

use crate::companions::{CompanionKey, Composed, Illustrator};
use crate::engine::{
    Action, ArrivalKind, Assembly, Command, Engine, Event, Filing, Stored, Study, UnsortedArrival,
    WorkerEnd,
};
use crate::header::HeaderSummary;
use crate::pipeline::{Arrival, CommandError, StartError};
use crate::ports::{DeliveryJob, DeliveryObject, DeliveryReport, Ports, ReportKey};
use crate::queue::Queue;
use crate::report::{self, Member, Renderer, ReportPlan, Station};
use crate::settings::{Routing, Settings, WorkerSettings};
use crate::spool::{Committed, Spool, SpoolError, StoredInstance};
use crate::status::{Health, StudyDetail, StudyStatus, UnsortedStatus};
use crate::time::Timestamp;
use crate::workers::{Worker, WorkerEvent};

/// Studies that are done and shown in the list.
const LISTED_DONE_MAX: usize = 500;
/// Messages taken before records are written: a burst of objects of one study costs one record, not a hundred.
const BURST_MAX: usize = 64;
/// Without a deadline the thread still looks up now and then.
const LOOK_UP: Duration = Duration::from_mins(1);

type Reply<T> = Sender<T>;

/// What the engine thread is told and asked.
pub(crate) enum Message {
    Stored(Box<Arrival>),
    AssociationOpened(u64, String),
    AssociationClosed(u64),
    Delivered(Box<DeliveryReport>),
    Plan(ReportKey, Reply<Option<ReportPlan>>),
    Rendered(ReportKey, Form, SopInstanceUid, Reply<()>),
    Studies(Reply<Vec<StudyStatus>>),
    Unsorted(Reply<Vec<UnsortedStatus>>),
    Study(StudyInstanceUid, Reply<Option<StudyDetail>>),
    Members(StudyInstanceUid, Reply<Option<Vec<Member>>>),
    Command(StudyInstanceUid, Command, Reply<Result<(), CommandError>>),
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
    let mut runtime = Runtime {
        worker_settings: settings.worker.clone(),
        routing: settings.routing.clone(),
        engine: Engine::new(settings),
        queue,
        spool,
        ports,
        station,
        messages,
        worker: None,
        dirty: BTreeSet::new(),
        drain_by: None,
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
    worker_settings: WorkerSettings,
    routing: Routing,
    messages: SyncSender<Message>,
    /// The worker and its generation.
    worker: Option<(u64, Worker)>,
    /// Studies whose records have to be written.
    dirty: BTreeSet<StudyInstanceUid>,
    drain_by: Option<Instant>,
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
            self.save_dirty();
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
        until_deadline.min(until_end).min(LOOK_UP)
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
            Message::Plan(key, reply) => answer(&reply, self.engine.plan(&key)),
            Message::Rendered(key, form, sop, reply) => {
                self.event(Event::Rendered(key, form, sop));
                self.save_dirty();
                answer(&reply, ());
            }
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
            Message::Worker(generation, said) => self.event(match said {
                WorkerEvent::Ready(ready) => Event::WorkerReady(generation, ready),
                WorkerEvent::Analyzed(analyzed) => Event::Analyzed(generation, analyzed),
                WorkerEvent::Illustrated(drawn) => Event::Illustrated(generation, drawn),
                WorkerEvent::Ended(end) => Event::WorkerEnded(generation, end),
            }),
            Message::Drain(by) => {
                self.drain_by = Some(by);
                self.event(Event::Drain);
            }
        }
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

    /// Carries out one action; gives the event that it leads to at once.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Save(study) => {
                self.dirty.insert(study);
                None
            }
            Action::SetMark(study, sop, mark) => {
                note("mark", self.queue.set_mark(&study, &sop, mark));
                None
            }
            Action::ClearMark(study, sop) => {
                note("mark", self.queue.clear_mark(&study, &sop));
                None
            }
            Action::PutFindings(stored, findings) => self.put_findings(&stored, &findings),
            Action::StartWorker(generation) => self.start_worker(generation),
            Action::KillWorker(generation) => {
                self.worker.take_if(|(running, _)| *running == generation);
                None
            }
            Action::Analyze(generation, id, stored) => {
                let path = self.spool.locate(&stored).unwrap_or(stored.path);
                self.give_worker(generation, &ToWorker::Analyze(AnalyzeJob { id, path }));
                None
            }
            Action::Identify(generation, id, stored) => {
                let path = stored.path;
                self.give_worker(generation, &ToWorker::Identify(AnalyzeJob { id, path }));
                None
            }
            Action::Illustrate(generation, id, study, key) => {
                self.illustrate(generation, id, study, key)
            }
            Action::KeepCompanion(study, key, picture) => {
                let plan = self.engine.companion_plan(&study, key)?;
                let outcome = self.illustrator().keep(&plan, *picture);
                Some(Event::CompanionKept(study, key, outcome))
            }
            Action::File(filing) => Some(self.file(*filing)),
            Action::Assemble(study) => self.assemble(study),
            Action::Submit(job) => {
                let job = self.located(job);
                self.ports.sender.submit(job);
                None
            }
            Action::MarkDelivered(study, peer, sop) => {
                // Where the marker is lost, the same bytes are sent again, and no more.
                note(
                    "delivery marker",
                    self.spool.mark_delivered(&study, &peer, &sop),
                );
                None
            }
            Action::Issued(study, sop) => {
                note("issued UID", self.queue.issue(&study, &sop));
                None
            }
            Action::Finish(study) => {
                self.finish(*study);
                None
            }
            Action::Reopen(study) => {
                note("reopening", self.spool.reopen_study(&study).map(drop));
                note("reopening", self.queue.unfinish(&study));
                None
            }
            Action::Discard(study) => {
                self.dirty.remove(&study);
                note("discarding", self.queue.discard(&study));
                None
            }
        }
    }

    fn give_worker(&mut self, generation: u64, job: &ToWorker) {
        if let Some((running, worker)) = &mut self.worker
            && *running == generation
        {
            worker.give(job);
        }
    }

    fn illustrator(&self) -> Illustrator<'_> {
        Illustrator {
            spool: &self.spool,
            station: &self.station,
        }
    }

    fn illustrate(
        &mut self,
        generation: u64,
        id: u64,
        study: StudyInstanceUid,
        key: CompanionKey,
    ) -> Option<Event> {
        let composed = match self.engine.companion_plan(&study, key) {
            Some(plan) => self.illustrator().compose(&plan),
            None => Err("the report isn't there any more".to_owned()),
        };
        match composed {
            Ok(Composed::Drawing(drawing)) => {
                let job = IllustrateJob { id, drawing };
                self.give_worker(generation, &ToWorker::Illustrate(Box::new(job)));
                None
            }
            Ok(Composed::Kept(sop)) => Some(Event::CompanionKept(study, key, Ok(sop))),
            Err(detail) => Some(Event::CompanionKept(study, key, Err(detail))),
        }
    }

    fn put_findings(
        &mut self,
        stored: &StoredInstance,
        findings: &InstanceFindings,
    ) -> Option<Event> {
        let kept = serde_json::to_vec(findings)
            .map_err(|error| error.to_string())
            .and_then(|json| {
                let kept = self.spool.put_findings(stored, &json);
                kept.map_err(|error| error.to_string())
            });
        let detail = kept.err()?;
        let study = stored.study.clone()?;
        Some(Event::StorageFailed(
            study,
            format!("findings can't be kept: {detail}"),
        ))
    }

    fn start_worker(&mut self, generation: u64) -> Option<Event> {
        let messages = self.messages.clone();
        let tell = move |said| {
            if messages.send(Message::Worker(generation, said)).is_err() {
                tracing::debug!("the engine has ended");
            }
        };
        let settings = &self.worker_settings;
        match Worker::start(&settings.program, &settings.args, tell) {
            Ok(worker) => {
                self.worker = Some((generation, worker));
                None
            }
            Err(error) => {
                let program = settings.program.display();
                let end = WorkerEnd {
                    detail: format!("the worker {program} can't be started: {error}"),
                    unusable: true,
                };
                Some(Event::WorkerEnded(generation, end))
            }
        }
    }

    fn assemble(&self, uid: StudyInstanceUid) -> Option<Event> {
        let study = self.engine.study(&uid)?;
        let members = study.members();
        let findings = match report::assemble(&self.spool, &uid, &members) {
            Ok(findings) => findings,
            Err(error) => return Some(Event::StorageFailed(uid, error.to_string())),
        };
        let variants = report::variants(&self.routing).into_iter();
        let identities: Vec<_> = variants
            .map(|variant| {
                let node_uid = self.spool.node_uid();
                let sop = report::identity(node_uid, &self.station, &findings, &members, variant);
                (variant.document, sop)
            })
            .collect();
        let same_as = study
            .found_reports
            .iter()
            .filter_map(|(revision, found)| {
                let (document, _) = identities.iter().find(|(_, sop)| sop == found)?;
                Some((*revision, *document, found.clone()))
            })
            .collect();
        let wall = self.ports.clock.wall();
        Some(Event::Assembled(
            uid,
            Box::new(Assembly {
                findings,
                same_as,
                wall,
            }),
        ))
    }

    /// Files move with their study: the sender gets the current paths.
    fn located(&self, mut job: DeliveryJob) -> DeliveryJob {
        for object in &mut job.objects {
            match object {
                DeliveryObject::Image(stored) => {
                    if let Some(path) = self.spool.locate(stored) {
                        stored.path = path;
                    }
                }
                DeliveryObject::Companion(file) => {
                    let revision = file.key.revision;
                    let found = self
                        .spool
                        .companion(&file.study, revision, &file.sop_instance);
                    file.path = found.unwrap_or_default();
                }
                DeliveryObject::Report(_) => {}
            }
        }
        job
    }

    fn finish(&mut self, study: Study) {
        let day = report::day(self.ports.clock.wall());
        let files = study
            .instances
            .values()
            .map(|instance| instance.versions.len())
            .sum();
        self.dirty.remove(&study.uid);
        match self.spool.finish_study_if(&study.uid, &day, files) {
            Ok(()) => note("finished study", self.queue.finish(&study, self.now())),
            Err(error) => {
                // An instance was committed a moment ago and its message is on the way, or the disk fails: the study
                // stays in hand, and the next thing that happens to it, or the next start, finishes it.
                if !matches!(error, SpoolError::StudyChanged { .. }) {
                    tracing::error!(study = %study.uid, %error, "the study can't be moved to done/");
                }
                self.dirty.insert(study.uid.clone());
                self.engine.adopt(Study {
                    done: false,
                    ..study
                });
            }
        }
    }

    fn stored(&mut self, arrival: Arrival) {
        let kind = match &arrival.committed {
            Committed::Stored(_) => ArrivalKind::New,
            Committed::Duplicate(_) => ArrivalKind::Duplicate,
            Committed::NewVersion(_) => ArrivalKind::NewVersion,
        };
        let instance = arrival.committed.instance().clone();
        let Some(study) = instance.study.clone() else {
            tracing::warn!(sop_instance = %instance.sop_instance, "an object without a readable study; it is kept in unsorted/ and the worker is asked whose it is");
            let received = self.now();
            return self.event(Event::Unsorted(Box::new(UnsortedArrival {
                instance,
                received,
                peer: Some(arrival.peer),
                association: arrival.association,
            })));
        };
        if !self.engine.knows(&study) {
            if kind != ArrivalKind::Duplicate {
                self.take_back(&study);
            } else if let Some(done) = self.queue.finished(&study)
                && self
                    .engine
                    .is_wanted_again(&done, &instance.sop_instance, &arrival.peer)
            {
                self.engine.adopt(done);
            }
        }
        let own = self.is_own(&instance, &arrival.header);
        self.event(Event::Stored(Box::new(Stored {
            context: arrival.header.context(study),
            instance,
            kind,
            peer: Some(arrival.peer),
            association: arrival.association,
            own,
        })));
    }

    /// Moves an object out of `unsorted/`. From then on its file is what a restart finds, in one place or the other;
    /// what isn't in memory yet is repeated work.
    fn file(&mut self, filing: Filing) -> Event {
        let Filing { arrival, context } = filing;
        let study = context.study_instance_uid.clone();
        let kind = match self.engine.study(&study) {
            Some(known) if known.has(&arrival.instance) => ArrivalKind::Duplicate,
            Some(known) if known.instances.contains_key(&arrival.instance.sop_instance) => {
                ArrivalKind::NewVersion
            }
            _ => ArrivalKind::New,
        };
        let instance = match self.spool.file_unsorted(&arrival.instance, &study) {
            Ok(instance) => instance,
            Err(error) => return Event::NotFiled(Box::new(arrival), error.to_string()),
        };
        tracing::info!(%study, sop_instance = %instance.sop_instance, "an object of unsorted/ was filed");
        if !self.engine.knows(&study) {
            self.take_back(&study);
        }
        let header = self
            .ports
            .headers
            .read(&instance.path, &instance.transfer_syntax);
        let own = self.is_own(&instance, &header);
        Event::Stored(Box::new(Stored {
            instance,
            kind,
            context,
            peer: arrival.peer,
            association: arrival.association,
            own,
        }))
    }

    fn is_own(&self, instance: &StoredInstance, header: &HeaderSummary) -> bool {
        let node_uid = self.spool.node_uid();
        let device = sonode_conformance::Uid::parse(&header.device_uid).ok();
        self.queue.is_issued(&instance.sop_instance)
            || device.is_some_and(|device| {
                device == *node_uid || device == sonode_sr_writer::device_uid(node_uid)
            })
    }

    fn command(&mut self, uid: &StudyInstanceUid, command: Command) -> Result<(), CommandError> {
        if !self.engine.knows(uid)
            && let Some(study) = self.queue.finished(uid)
        {
            self.engine.adopt(study);
        }
        if command == Command::Discard {
            // The files first: what is deleted there can't come back by a recovery.
            match self.spool.discard_study(uid) {
                // A study that only the files knew: it was done when the queue was lost.
                Ok(()) if !self.engine.knows(uid) => return Ok(()),
                Ok(()) | Err(SpoolError::NoSuchStudy(_)) => {}
                Err(error) => return Err(CommandError::Storage(error.to_string())),
            }
        }
        let (result, actions) = self.engine.command(uid, command, self.now());
        self.carry_out(actions);
        self.save_dirty();
        result
    }

    fn studies(&self) -> Vec<StudyStatus> {
        let mut studies = self.engine.list();
        studies.extend(self.queue.finished_latest(LISTED_DONE_MAX));
        studies
    }

    fn study(&self, uid: &StudyInstanceUid) -> Option<StudyDetail> {
        match self.engine.study(uid) {
            Some(study) => Some(self.engine.detail(study)),
            None => self
                .queue
                .finished(uid)
                .map(|study| self.engine.detail(&study)),
        }
    }

    fn members(&self, uid: &StudyInstanceUid) -> Option<Vec<Member>> {
        match self.engine.study(uid) {
            Some(study) => Some(study.members()),
            None => self.queue.finished(uid).map(|study| study.members()),
        }
    }

    fn health(&self) -> Health {
        let mut health = self.engine.health();
        if self.spool.is_poisoned() {
            health.ready = false;
            health.problems.push(
                "an fsync failed and nothing more is taken in: check the disk, then restart the node".to_owned(),
            );
        }
        let free = self.spool.free_bytes();
        if let Some(problem) = too_full(&free.map_err(|error| error.to_string())) {
            health.ready = false;
            health.problems.push(problem);
        }
        health
    }

    fn save_dirty(&mut self) {
        for uid in std::mem::take(&mut self.dirty) {
            if let Some(study) = self.engine.study(&uid) {
                note("record", self.queue.save(study));
            }
        }
    }
}

/// Why the disk may not take the next object.
fn too_full(free: &Result<u64, String>) -> Option<String> {
    match free {
        Ok(free) if *free >= limits::FREE_BYTES_MIN => None,
        Ok(free) => Some(format!(
            "the disk of data_dir has {} MiB left, and an object may need {}: make room, or C-STOREs are answered A700",
            free >> 20,
            limits::FREE_BYTES_MIN >> 20
        )),
        Err(error) => Some(format!(
            "the disk of data_dir can't be asked for its free space: {error}"
        )),
    }
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
