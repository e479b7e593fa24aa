//! What the engine asks for, carried out one by one.

use std::path::PathBuf;

use sonode_conformance::StudyInstanceUid;
use sonode_findings::InstanceFindings;
use sonode_findings::protocol::{AnalyzeJob, IllustrateJob, ToWorker};

use super::{Message, Runtime, note};
use crate::companions::{CompanionKey, Composed, Illustrator};
use crate::engine::{Action, Assembly, Event, StoredAs, Study};
use crate::ports::{CommitmentJob, CompanionFile, DeliveryJob, DeliveryObject, WorkerEnd};
use crate::report::{self};
use crate::spool::{SpoolError, StoredInstance};

impl Runtime {
    /// Carries out one action; gives the event that it leads to at once.
    pub(super) fn act(&mut self, action: Action) -> Option<Event> {
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
            Action::Ask(job) => {
                let job = self.with_paths(job);
                self.ports.sender.ask(job);
                None
            }
            Action::Report(report) => {
                self.ports.sender.report(*report);
                None
            }
            Action::KeepRelay(relay) => {
                note("decision", self.keep_relay(&relay));
                None
            }
            Action::DropStep(step) => {
                self.drop_step(step);
                None
            }
            Action::DropRelay(key) => {
                self.drop_relay(key);
                None
            }
            Action::MarkPeer(mark, study, peer, sop) => {
                // Where the mark is lost, the same bytes are sent again, or the peer is asked again, and no more.
                note("delivery mark", self.spool.mark(mark, &study, &peer, &sop));
                None
            }
            Action::Issued(sop) => {
                note("issued UID", self.queue.issue(&sop));
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
        match self.ports.analyzer.start(Box::new(tell)) {
            Ok(worker) => {
                self.worker = Some((generation, worker));
                None
            }
            Err(error) => {
                let end = WorkerEnd {
                    detail: format!("the worker can't be started: {error}"),
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
                DeliveryObject::Companion(file) => file.path = self.path_of(file),
                DeliveryObject::Report(_) => {}
            }
        }
        job
    }

    /// Where a companion lies; empty where it is gone.
    pub(super) fn path_of(&self, file: &CompanionFile) -> PathBuf {
        let found = self
            .spool
            .companion(&file.study, file.key.revision, &file.sop_instance);
        found.unwrap_or_default()
    }

    /// The objects' files, for their series.
    fn with_paths(&self, mut job: CommitmentJob) -> CommitmentJob {
        for object in &mut job.objects {
            object.path = self
                .engine
                .study(&object.study)
                .and_then(|study| study.stored_as(&object.sop_instance))
                .and_then(|stored| match stored {
                    StoredAs::Instance(instance) => self.spool.locate(instance),
                    StoredAs::Report(revision) => {
                        self.spool
                            .report(&object.study, revision, &object.sop_instance)
                    }
                    StoredAs::Companion(revision) => {
                        self.spool
                            .companion(&object.study, revision, &object.sop_instance)
                    }
                });
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
        // Before its folder leaves `open/`: what the queue has in memory alone dies with a kill, and nobody looks into
        // `done/` for studies of which no record tells.
        let kept = self.queue.save(&study).and_then(|()| self.queue.flush());
        note("record", kept);
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
}
