//! One process of the node: the real spool and pipeline, and between them and the network what `sonode`'s own threads do
//! with sockets, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sonode_conformance::{
    DimseStatus, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid, Uid,
    transfer_syntax,
};
use sonode_dimse::{
    AssociateAccept, AssociateRequest, HeaderFacts, HeaderScanner, Proposal, Rejection, StoreRq,
    Tag,
};
use sonode_pipeline::spool::{Disk, FileMeta, InstanceWriter, Spool};
use sonode_pipeline::{
    Arrival, AssociationFailure, Clock, CommitmentJob, DeliveryJob, DeliveryObject, DeliveryReport,
    HeaderSummary, Headers, ObjectResult, Pipeline, Ports, RelayReport, RenderError, ReportSender,
    RetrySettings, Route, Settings, Timestamp, WorkerSettings,
};
use sonode_sr_writer::Form;

use crate::called::{Called, Scp};
use crate::caller::{Caller, Outgoing, Scu};
use crate::crash_disk::CrashDisk;
use crate::worker::Bench;

/// The world's time, for every process of the node's.
#[derive(Clone, Default)]
pub(crate) struct SimClock(Arc<AtomicU64>);

impl SimClock {
    pub(crate) fn set(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap();
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_176_000_000 + self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<DeliveryJob>>>);

impl ReportSender for Outbox {
    fn submit(&self, job: DeliveryJob) {
        self.0.lock().unwrap().push(job);
    }

    fn ask(&self, job: CommitmentJob) {
        panic!("no route asks for commitment: {job:?}");
    }

    fn report(&self, report: RelayReport) {
        panic!("no cart asks for commitment: {report:?}");
    }
}

/// Reads headers from the disk double.
struct FileHeaders(CrashDisk);

impl Headers for FileHeaders {
    fn read(&self, path: &Path) -> HeaderSummary {
        let Some(file) = self.0.contents(path) else {
            return HeaderSummary::default();
        };
        let mut scanner = scanner();
        scanner.push(data_set(&file));
        summary(&scanner.finish())
    }
}

fn scanner() -> HeaderScanner {
    HeaderScanner::new(transfer_syntax::Encoding::ExplicitLittle)
}

fn summary(facts: &HeaderFacts) -> HeaderSummary {
    HeaderSummary {
        study_instance_uid: facts.study().ok().flatten(),
        series_instance_uid: facts.series().ok().flatten(),
        sop_class_uid: facts.sop_class().ok().flatten(),
        sop_instance_uid: facts.sop_instance().ok().flatten(),
        modality: facts.raw(Tag::MODALITY).unwrap_or_default().to_vec(),
        patient_id: facts.raw(Tag::PATIENT_ID).unwrap_or_default().to_vec(),
        ..HeaderSummary::default()
    }
}

/// What follows the meta information of a Part 10 file (PS3.10 section 7.1).
pub(crate) fn data_set(file: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap());
    &file[144 + usize::try_from(length).unwrap()..]
}

struct Incoming {
    sop: SopInstanceUid,
    scanner: HeaderScanner,
    /// None: the disk failed.
    writer: Option<InstanceWriter>,
}

struct Inbound {
    end: Called,
    incoming: Option<Incoming>,
}

struct Outbound {
    end: Caller,
    delivery: Delivery,
}

/// A job on its association.
struct Delivery {
    job: DeliveryJob,
    /// The object that comes next.
    next: usize,
    results: Vec<(DeliveryObject, ObjectResult)>,
    sending: Option<DeliveryObject>,
    outcome: Option<Result<(), String>>,
}

/// Everything that any process of the node's ever began to send: one UID, one content.
#[derive(Default)]
pub(crate) struct Sent {
    by_uid: BTreeMap<SopInstanceUid, Vec<u8>>,
    pub(crate) complaint: Option<String>,
}

impl Sent {
    fn note(&mut self, sop: &SopInstanceUid, data: &[u8]) {
        let first = self
            .by_uid
            .entry(sop.clone())
            .or_insert_with(|| data.to_vec());
        if first != data {
            self.complaint = Some(format!("{sop} was sent with two contents"));
        }
    }
}

pub(crate) struct Process {
    pub(crate) spool: Spool,
    pub(crate) pipeline: Pipeline,
    pub(crate) bench: Bench,
    disk: CrashDisk,
    outbox: Outbox,
    inbound: BTreeMap<u64, Inbound>,
    outbound: BTreeMap<u64, Outbound>,
}

impl Process {
    pub(crate) fn start(
        seen: Arc<dyn Disk>,
        disk: CrashDisk,
        data_dir: &Path,
        clock: SimClock,
        route: Route,
    ) -> Result<Self, String> {
        let spool = Spool::open_on(seen, data_dir).map_err(|error| error.to_string())?;
        let mut settings = Settings::new(
            "SONODE".parse().unwrap(),
            WorkerSettings {
                deadline: Duration::from_secs(20),
                start_deadline: Duration::from_secs(20),
                ..WorkerSettings::default()
            },
        );
        settings.quiet_period = Duration::from_secs(20);
        settings.retry = RetrySettings {
            first: Duration::from_secs(2),
            max: Duration::from_secs(30),
            ..RetrySettings::default()
        };
        settings.routing.routes = vec![route];
        let cart = ("CART1".parse().unwrap(), "cart".to_owned());
        settings.routing.peer_names = [cart].into();
        let (outbox, bench) = (Outbox::default(), Bench::default());
        let ports = Ports {
            sender: Box::new(outbox.clone()),
            headers: Box::new(FileHeaders(disk.clone())),
            analyzer: Box::new(bench.clone()),
            clock: Box::new(clock),
        };
        let pipeline = Pipeline::start(settings, spool.clone(), ports);
        Ok(Self {
            pipeline: pipeline.map_err(|error| error.to_string())?,
            spool,
            bench,
            disk,
            outbox,
            inbound: BTreeMap::new(),
            outbound: BTreeMap::new(),
        })
    }

    /// Everything that the engine was told is done, and what was due is too.
    pub(crate) fn settle(&self) {
        // An association that nobody has: the engine looks at the time.
        self.pipeline.association_closed(u64::MAX);
        self.pipeline.health();
    }

    pub(crate) fn jobs(&self) -> Vec<DeliveryJob> {
        std::mem::take(&mut self.outbox.0.lock().unwrap())
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let inbound = self.inbound.values().map(|one| one.end.deadline());
        let outbound = self.outbound.values().map(|one| one.end.deadline());
        inbound.chain(outbound).flatten().min()
    }

    /// A cart calls.
    pub(crate) fn accept(&mut self, link: u64, now: Instant) {
        let end = Called::new(now);
        let incoming = None;
        self.inbound.insert(link, Inbound { end, incoming });
    }

    /// The PACS was called for a job.
    pub(crate) fn deliver(&mut self, link: u64, job: DeliveryJob, now: Instant) {
        let end = Caller::new(proposal(&job), now);
        let delivery = Delivery {
            job,
            next: 0,
            results: Vec::new(),
            sending: None,
            outcome: None,
        };
        self.outbound.insert(link, Outbound { end, delivery });
    }

    /// The PACS couldn't be called.
    pub(crate) fn unreachable(&self, job: DeliveryJob) {
        self.pipeline.delivered(DeliveryReport {
            id: job.id,
            peer: job.peer,
            results: Vec::new(),
            association_error: Some(AssociationFailure {
                permanent: false,
                detail: "connection refused".to_owned(),
            }),
        });
    }

    /// Bytes, or the end of a connection.
    pub(crate) fn hear(&mut self, link: u64, bytes: Option<&[u8]>, now: Instant, sent: &mut Sent) {
        if let Some(inbound) = self.inbound.get_mut(&link) {
            let mut scp = AtNode {
                spool: &self.spool,
                pipeline: &self.pipeline,
                link,
                incoming: &mut inbound.incoming,
            };
            match bytes {
                Some(bytes) => inbound.end.on_bytes(bytes, now, &mut scp),
                None => inbound.end.on_closed(now),
            }
        } else if let Some(outbound) = self.outbound.get_mut(&link) {
            let mut scu = AtDelivery {
                pipeline: &self.pipeline,
                disk: &self.disk,
                delivery: &mut outbound.delivery,
                sent,
            };
            match bytes {
                Some(bytes) => outbound.end.on_bytes(bytes, now, &mut scu),
                None => outbound.end.on_closed(now, &mut scu),
            }
        }
    }

    pub(crate) fn on_timeouts(&mut self, now: Instant, sent: &mut Sent) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        for inbound in self.inbound.values_mut() {
            if is_due(inbound.end.deadline()) {
                inbound.end.on_timeout(now);
            }
        }
        for outbound in self.outbound.values_mut() {
            if is_due(outbound.end.deadline()) {
                let mut scu = AtDelivery {
                    pipeline: &self.pipeline,
                    disk: &self.disk,
                    delivery: &mut outbound.delivery,
                    sent,
                };
                outbound.end.on_timeout(now, &mut scu);
            }
        }
    }

    /// What goes out, and which connections are over: (connection, whether the node called, bytes, over).
    pub(crate) fn take_outputs(&mut self) -> Vec<(u64, bool, Vec<u8>, bool)> {
        let mut outputs = Vec::new();
        for (link, one) in &mut self.inbound {
            outputs.push((*link, false, one.end.take_output(), one.end.is_closed()));
        }
        for (link, one) in &mut self.outbound {
            outputs.push((*link, true, one.end.take_output(), one.end.is_closed()));
        }
        for (link, is_caller, _, _) in outputs.iter().filter(|output| output.3) {
            if *is_caller {
                self.outbound.remove(link);
            } else {
                self.inbound.remove(link);
                self.pipeline.association_closed(*link);
            }
        }
        outputs
    }
}

/// What is behind an association of a cart's.
struct AtNode<'a> {
    spool: &'a Spool,
    pipeline: &'a Pipeline,
    link: u64,
    incoming: &'a mut Option<Incoming>,
}

impl Scp for AtNode<'_> {
    fn refuses(&mut self, _request: &AssociateRequest) -> Option<Rejection> {
        self.pipeline.association_opened(self.link, "cart");
        None
    }

    fn begin(&mut self, store: &StoreRq, transfer_syntax: &'static str) {
        let sop = store.request.sop_instance.sop_instance().unwrap();
        let meta = FileMeta {
            sop_class: store.request.sop_class.sop_class().unwrap(),
            sop_instance: sop.clone(),
            transfer_syntax: transfer_syntax.parse().unwrap(),
            calling_ae: Some("CART1".parse().unwrap()),
        };
        *self.incoming = Some(Incoming {
            sop,
            scanner: scanner(),
            writer: self.spool.begin(self.link, &meta).ok(),
        });
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some(incoming) = self.incoming {
            incoming.scanner.push(bytes);
            if let Some(writer) = &mut incoming.writer
                && writer.write(bytes).is_err()
            {
                incoming.writer = None;
            }
        }
    }

    fn end(&mut self) -> Option<DimseStatus> {
        let incoming = self.incoming.take()?;
        let facts = incoming.scanner.finish();
        assert_eq!(facts.sop_instance().unwrap(), Some(incoming.sop));
        let study: Option<StudyInstanceUid> = facts.study().unwrap();
        let committed = incoming
            .writer
            .and_then(|writer| writer.finish().ok())
            .and_then(|pending| self.spool.commit(pending, study).ok());
        let Some(committed) = committed else {
            return Some(DimseStatus::OUT_OF_RESOURCES);
        };
        self.pipeline.stored(Arrival {
            committed,
            header: summary(&facts),
            peer: "cart".to_owned(),
            association: self.link,
        });
        Some(DimseStatus::SUCCESS)
    }
}

/// What is behind an association with the PACS.
struct AtDelivery<'a> {
    pipeline: &'a Pipeline,
    disk: &'a CrashDisk,
    delivery: &'a mut Delivery,
    sent: &'a mut Sent,
}

impl AtDelivery<'_> {
    fn object(
        &self,
        object: &DeliveryObject,
        accept: &AssociateAccept,
    ) -> Result<Outgoing, ObjectResult> {
        match object {
            DeliveryObject::Image(stored) => self.file(
                accept,
                (&stored.sop_class, &stored.transfer_syntax),
                stored.sop_instance.clone(),
                &stored.path,
            ),
            DeliveryObject::Report(key) => {
                let is_taken = |form: &Form| {
                    context(accept, form.class.sop_class(), form.syntax.uid()).is_some()
                };
                let accepted: Vec<Form> = key.document.forms().filter(is_taken).collect();
                match self.pipeline.render(key, &accepted) {
                    Ok((_, report)) => self.file(
                        accept,
                        (&report.sop_class, &report.transfer_syntax),
                        report.sop_instance,
                        &report.path,
                    ),
                    Err(RenderError::NotOwed) => Err(ObjectResult::NotSent("not owed".to_owned())),
                    Err(error) => Err(ObjectResult::Failed(error.to_string())),
                }
            }
            DeliveryObject::Companion(_) => panic!("no route asks for companions"),
        }
    }

    fn file(
        &self,
        accept: &AssociateAccept,
        (sop_class, syntax): (&SopClassUid, &TransferSyntaxUid),
        sop_instance: SopInstanceUid,
        path: &Path,
    ) -> Result<Outgoing, ObjectResult> {
        let file = self.disk.contents(path);
        let file = file.ok_or_else(|| ObjectResult::Failed("no such file".to_owned()))?;
        let context = context(accept, sop_class.as_str(), syntax.as_str());
        Ok(Outgoing {
            context: context.ok_or_else(|| ObjectResult::NoContext(sop_class.to_string()))?,
            sop_class: sop_class.clone(),
            sop_instance,
            data: data_set(&file).to_vec(),
        })
    }
}

impl Scu for AtDelivery<'_> {
    fn next(&mut self, accept: &AssociateAccept) -> Option<Outgoing> {
        loop {
            let object = self.delivery.job.objects.get(self.delivery.next)?.clone();
            self.delivery.next += 1;
            match self.object(&object, accept) {
                Ok(outgoing) => {
                    self.delivery.sending = Some(object);
                    // Where the power has failed already, nothing leaves.
                    if !self.disk.is_cut() {
                        self.sent.note(&outgoing.sop_instance, &outgoing.data);
                    }
                    return Some(outgoing);
                }
                Err(result) => self.delivery.results.push((object, result)),
            }
        }
    }

    fn answered(&mut self, status: DimseStatus) {
        if let Some(object) = self.delivery.sending.take() {
            let result = ObjectResult::Status(status, None);
            self.delivery.results.push((object, result));
        }
    }

    fn over(&mut self, outcome: Result<(), String>) {
        if let (Err(why), Some(object)) = (&outcome, self.delivery.sending.take()) {
            let result = ObjectResult::Broke(why.clone());
            self.delivery.results.push((object, result));
        }
        let failure = |detail| AssociationFailure {
            permanent: false,
            detail,
        };
        // What is left at the release is no failure any more.
        let is_done = self.delivery.results.len() == self.delivery.job.objects.len();
        self.pipeline.delivered(DeliveryReport {
            id: self.delivery.job.id,
            peer: self.delivery.job.peer.clone(),
            results: std::mem::take(&mut self.delivery.results),
            association_error: outcome.clone().err().filter(|_| !is_done).map(failure),
        });
        self.delivery.outcome = Some(outcome);
    }
}

fn context(accept: &AssociateAccept, class: &str, syntax: &str) -> Option<u8> {
    let mut accepted = accept.accepted(class);
    let context = accepted.find(|context| context.transfer_syntax == syntax)?;
    Some(context.id)
}

/// As `sonode`'s own sender: every form of a report, each image in the syntax in which it came.
fn proposal(job: &DeliveryJob) -> Proposal {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for object in &job.objects {
        match object {
            DeliveryObject::Report(key) => wanted.extend(key.document.forms().map(|form| {
                let class = form.class.sop_class().to_owned();
                (class, form.syntax.uid().to_owned())
            })),
            DeliveryObject::Image(image) => wanted.push((
                image.sop_class.to_string(),
                image.transfer_syntax.to_string(),
            )),
            DeliveryObject::Companion(_) => panic!("no route asks for companions"),
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let proposal = Proposal::new("SONODE".parse().unwrap(), "PACS".parse().unwrap());
    wanted.iter().fold(proposal, |proposal, (class, syntax)| {
        proposal
            .with_context(class, [Uid::parse(syntax.as_bytes()).unwrap().as_str()])
            .unwrap()
    })
}
