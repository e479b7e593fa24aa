//! Workers that measure whatever they are given, after a while, unless they die.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use sonode_conformance::SopInstanceUid;
use sonode_findings::protocol::{Analyzed, Ready, ToWorker};
use sonode_findings::{InstanceFindings, LvMeasurement, Method, ModelRef};
use sonode_pipeline::{Analyzer, Tell, Worker, WorkerEnd, WorkerEvent};

/// What the engine asked for and nobody has looked at yet.
pub(crate) enum Asked {
    Started(u64),
    Job(u64, ToWorker),
    Killed(u64),
}

/// The workers of one process of the node's.
#[derive(Default)]
pub(crate) struct Workers {
    asked: Vec<Asked>,
    running: BTreeMap<u64, Tell>,
    started: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Bench(Arc<Mutex<Workers>>);

struct Handle {
    number: u64,
    bench: Bench,
}

impl Bench {
    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.0.lock().unwrap()
    }

    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    pub(crate) fn says(&self, number: u64, event: WorkerEvent) {
        let mut workers = self.lock();
        if matches!(event, WorkerEvent::Ended(_)) {
            if let Some(tell) = workers.running.remove(&number) {
                tell(event);
            }
        } else if let Some(tell) = workers.running.get(&number) {
            tell(event);
        }
    }
}

impl Analyzer for Bench {
    fn start(&self, tell: Tell) -> io::Result<Box<dyn Worker>> {
        let mut workers = self.lock();
        workers.started += 1;
        let number = workers.started;
        workers.running.insert(number, tell);
        workers.asked.push(Asked::Started(number));
        Ok(Box::new(Handle {
            number,
            bench: self.clone(),
        }))
    }
}

impl Worker for Handle {
    fn give(&mut self, job: &ToWorker) {
        self.bench
            .lock()
            .asked
            .push(Asked::Job(self.number, job.clone()));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.bench.lock().asked.push(Asked::Killed(self.number));
    }
}

pub(crate) fn ready() -> WorkerEvent {
    WorkerEvent::Ready(Ready {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device: "cpu".to_owned(),
        models: vec![model()],
        credits: 2,
    })
}

pub(crate) fn ended(detail: &str) -> WorkerEvent {
    WorkerEvent::Ended(WorkerEnd {
        detail: detail.to_owned(),
        unusable: false,
    })
}

/// The answer to a job: the same for the same instance, whenever it is asked.
pub(crate) fn answer(job: &ToWorker) -> WorkerEvent {
    let (ToWorker::Analyze(job) | ToWorker::Identify(job)) = job else {
        panic!("nothing is drawn here");
    };
    let mut findings = InstanceFindings::empty(instance_of(&job.path));
    findings.models = vec![model()];
    findings.series_instance_uid = Some("1.2.826.0.5".parse().unwrap());
    findings.lv = Some(LvMeasurement {
        edv_ml: None,
        esv_ml: None,
        lvef_percent: 58.5,
        lvef_interval: None,
        method: Method::ModA4c,
    });
    WorkerEvent::Analyzed(Box::new(Analyzed {
        id: job.id,
        findings,
        context: None,
        reading_may_follow: false,
    }))
}

/// `<SOPUID>.<hash16>.dcm`
fn instance_of(path: &Path) -> SopInstanceUid {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.rsplitn(3, '.').nth(2).unwrap().parse().unwrap()
}

fn model() -> ModelRef {
    ModelRef {
        name: "simulated".to_owned(),
        version: "1".to_owned(),
        sha256: "0".repeat(64),
        research: false,
    }
}
