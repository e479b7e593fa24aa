//! One process of the node: the real spool and pipeline, and between them and the network what `sonode`'s own threads do
//! with sockets, step by step.

mod delivery;
mod receiving;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sonode_conformance::transfer_syntax;
use sonode_dimse::{HeaderFacts, HeaderScanner, Tag};
use sonode_pipeline::spool::{Disk, Spool};
use sonode_pipeline::{
    AssociationFailure, Clock, CommitmentJob, DeliveryJob, DeliveryReport, HeaderSummary, Headers,
    Pipeline, Ports, RelayReport, ReportSender, RetrySettings, Route, Settings, Timestamp,
    WorkerSettings,
};

use crate::called::Called;
use crate::caller::Caller;
use crate::crash_disk::CrashDisk;
use crate::worker::Bench;

pub(crate) use delivery::Sent;
use delivery::{AtDelivery, Delivery, proposal};
use receiving::{AtNode, Incoming};

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
        // A file that is gone or cut says nothing.
        let Some(file) = self.0.contents(path).filter(|file| file.len() >= META_END) else {
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

/// End of preamble, prefix and the group length of the file meta information.
const META_END: usize = 144;

/// What follows the meta information of a Part 10 file (PS3.10 section 7.1).
pub(crate) fn data_set(file: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap());
    &file[144 + usize::try_from(length).unwrap()..]
}

struct Inbound {
    end: Called,
    incoming: Option<Incoming>,
}

struct Outbound {
    end: Caller,
    delivery: Delivery,
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
