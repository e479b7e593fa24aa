//! Taking up what the spool and the queue hold.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use sonode_conformance::StudyInstanceUid;
use sonode_findings::{InstanceFindings, Rejection};
use sonode_sr_writer::{Document, Form, series_uid};

use super::{Runtime, note};
use crate::engine::{FoundMark, FoundReport, Recovered, RecoveredInstance, Study, UnsortedArrival};
use crate::pipeline::StartError;
use crate::queue::QueueError;
use crate::spool::{OpenStudy, Spool, SpoolError, StoredInstance, StudyPlace, Unsorted};
use crate::states::StudyState;
use crate::time::Timestamp;

impl Runtime {
    /// A study that the engine doesn't have in hand: it may be done, or the queue that knew it may be lost.
    pub(super) fn take_back(&mut self, uid: &StudyInstanceUid) {
        let record = self.queue.finished(uid);
        let found = self.spool.scan_study(uid);
        if let Some(record) = record {
            self.engine.adopt(record.clone());
            // The last that the queue was told may be lost, and what it knows be older than the folder.
            if let Ok(found) = found
                && !knows(&record, &found, 1)
            {
                note("reopening", self.queue.unfinish(uid));
                self.recover_study(found, Some(record));
            }
            return;
        }
        match found {
            Ok(found)
                if found.instances.len() + found.pruned.len() > 1 || !found.reports.is_empty() =>
            {
                // A record may have been kept for a study that couldn't be read at the start.
                let record = self.queue.record(uid);
                self.recover_study(found, record);
            }
            Ok(_) | Err(SpoolError::NoSuchStudy(_)) => {}
            Err(error) => tracing::error!(study = %uid, %error, "the study can't be read"),
        }
    }

    pub(super) fn recover(&mut self) -> Result<(), StartError> {
        let queue_failed = |error: &QueueError| tracing::error!(%error, "the queue can't be read");
        let mut records: BTreeMap<StudyInstanceUid, Study> = self
            .queue
            .load()
            .inspect_err(queue_failed)
            .unwrap_or_default()
            .into_iter()
            .map(|study| (study.uid.clone(), study))
            .collect();
        let open = self
            .spool
            .scan_open()
            .map_err(|error| StartError::Spool(error.to_string()))?;
        tracing::info!(studies = open.len(), records = records.len(), "recovering");
        for found in open {
            // A study that was done and got something new just before the end has only its old record.
            let record = records
                .remove(&found.uid)
                .or_else(|| self.queue.finished(&found.uid));
            self.recover_study(found, record);
        }
        for (uid, record) in records {
            self.settle_stray(&uid, &record);
        }
        for done in self.queue.finished_unconfirmed() {
            if !self.engine.knows(&done.uid) {
                self.engine.remember_done(&done);
            }
        }
        self.recover_unsorted();
        self.recover_kept();
        Ok(())
    }

    fn recover_unsorted(&mut self) {
        let found = self.spool.scan_unsorted().unwrap_or_else(|error| {
            tracing::error!(%error, "unsorted/ can't be read: what lies there is asked about at the next start");
            Unsorted::default()
        });
        for instance in found.instances {
            self.engine.keep_unsorted(UnsortedArrival {
                received: self.modified(&instance),
                peer: self.sender_of(&instance),
                association: 0,
                instance,
            });
        }
    }

    /// When a file was written.
    fn modified(&self, stored: &StoredInstance) -> Timestamp {
        std::fs::metadata(&stored.path)
            .and_then(|file| file.modified())
            .map_or_else(|_| self.now(), Timestamp::from_system)
    }

    /// Name of the peer that sent an instance, as far as its file tells.
    fn sender_of(&self, stored: &StoredInstance) -> Option<String> {
        let ae = stored.calling_ae.as_ref()?;
        self.routing.peer_names.get(ae).cloned()
    }

    /// A record whose study wasn't found in `open/`: it was finished or removed just before the end. Where the disk
    /// doesn't tell which, the record stays, or the study would be forgotten.
    fn settle_stray(&mut self, uid: &StudyInstanceUid, record: &Study) {
        let place = self.spool.find_study(uid);
        let result = match place.map(|found| found.map(|(place, _)| place)) {
            Ok(Some(StudyPlace::Done(_))) if self.is_up_to_date(record) => {
                let study = Study {
                    done: true,
                    ..record.clone()
                };
                self.queue.finish(&study, self.now())
            }
            // What it doesn't know happened since: the files tell, and the study goes its way to the end once more.
            Ok(Some(StudyPlace::Done(_))) => match self
                .spool
                .reopen_study(uid)
                .and_then(|_| self.spool.scan_study(uid))
            {
                Ok(found) => return self.recover_study(found, Some(record.clone())),
                Err(error) => return keep_for_next_start(uid, &error),
            },
            Ok(Some(StudyPlace::Open)) => {
                return keep_for_next_start(uid, &"its folder in open/ was left out");
            }
            Ok(None) => {
                tracing::warn!(study = %uid, "its folder is gone: its record goes too");
                self.queue.discard(uid)
            }
            Err(error) => return keep_for_next_start(uid, &error),
        };
        note("stray record", result);
    }

    /// Whether a record knows everything that lies in its study's folder, and nothing is owed any more.
    fn is_up_to_date(&self, record: &Study) -> bool {
        let is_over = record.state == StudyState::Reported && !record.is_owing();
        let found = self.spool.scan_study(&record.uid);
        is_over && found.is_ok_and(|found| knows(record, &found, 0))
    }

    fn recover_study(&mut self, found: OpenStudy, record: Option<Study>) {
        for skipped in &found.skipped {
            tracing::warn!(path = %skipped.path.display(), reason = %skipped.reason, "a file of the spool is left out");
        }
        let marks = self.queue.marks(&found.uid).unwrap_or_default();
        let instances = found
            .instances
            .iter()
            .chain(&found.pruned)
            .map(|stored| self.recover_instance(&found, record.as_ref(), stored))
            .collect();
        let reports = found
            .reports
            .iter()
            .map(|(revision, sop, path)| FoundReport {
                revision: *revision,
                sop: sop.clone(),
                made_as: self.made_as(&found.uid, path),
            })
            .collect();
        let recovered = Recovered {
            uid: found.uid,
            record,
            instances,
            reports,
            peer_marks: found
                .marks
                .into_iter()
                .map(|(mark, peer, sop)| FoundMark { mark, peer, sop })
                .collect(),
            marks,
        };
        let reports = recovered.reports.iter().map(|report| &report.sop);
        let companions = found.companions.iter().map(|(_, sop)| sop);
        for sop in reports.chain(companions) {
            note("issued UID", self.queue.issue(sop));
        }
        let now = self.now();
        let actions = self.engine.recover(recovered, now);
        self.carry_out(actions);
    }

    /// Which document a report's file is, and in which form it was written: its series and its class tell.
    fn made_as(&self, study: &StudyInstanceUid, path: &Path) -> Option<(Document, Form)> {
        let header = self.ports.headers.read(path);
        let (series, class) = (header.series_instance_uid?, header.sop_class_uid?);
        let node_uid = self.spool.node_uid();
        let document = Document::ALL
            .into_iter()
            .find(|document| series_uid(node_uid, study, *document) == series)?;
        let mut forms = document.forms();
        let form = forms.find(|form| form.class.sop_class() == class.as_str())?;
        Some((document, form))
    }

    fn recover_instance(
        &self,
        found: &OpenStudy,
        record: Option<&Study>,
        stored: &StoredInstance,
    ) -> RecoveredInstance {
        let is_known = record.is_some_and(|record| record.has(stored));
        let peer = self.sender_of(stored);
        let header = (!is_known).then(|| self.ports.headers.read(&stored.path));
        RecoveredInstance {
            modified: self.modified(stored),
            findings: found
                .findings
                .get(&stored.digest.short())
                .and_then(|path| read_outcome(&self.spool, path)),
            own: header
                .as_ref()
                .is_some_and(|header| self.is_own(stored, header)),
            rejection: header.as_ref().and_then(|header| header.rejection.clone()),
            context: header.map(|header| {
                let charset = self.routing.charset_of(peer.as_deref());
                header.context(found.uid.clone(), charset)
            }),
            peer,
            stored: stored.clone(),
        }
    }
}

fn keep_for_next_start(study: &StudyInstanceUid, reason: &dyn Display) {
    tracing::error!(%study, %reason, "a study can't be read: its record is kept for the next start");
}

/// Whether a record knows what lies in its study's folder, but for so many instances that have just come.
fn knows(record: &Study, found: &OpenStudy, just_come: usize) -> bool {
    let is_reported = |revision: u32| {
        let mut reports = record.reports.iter();
        let mut before = record.found_reports.iter();
        reports.any(|report| report.revision == revision)
            || before.any(|(known, _)| *known == revision)
    };
    let instances = found.instances.iter().chain(&found.pruned);
    instances.filter(|stored| !record.has(stored)).count() <= just_come
        && found
            .reports
            .iter()
            .all(|(revision, ..)| is_reported(*revision))
}

/// What a findings file says in short. One that can't be read doesn't count: the instance is analysed again.
fn read_outcome(spool: &Spool, path: &Path) -> Option<(Option<Rejection>, Option<String>)> {
    let json = spool.read(path).ok()?;
    let findings: InstanceFindings = serde_json::from_slice(&json).ok()?;
    Some((findings.rejected, findings.rejected_detail))
}
