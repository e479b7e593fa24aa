//! Objects without a readable Study Instance UID: kept, and filed where the worker can tell whose they are.
//!
//! ```text
//!   arrival, start --> waiting --the worker reads it--> filed: an ordinary arrival of its study
//!                        ^   |
//!     the worker dies    |   +--no Study Instance UID, another SOP Instance UID,
//!     or overruns        |   |  attempts used up, the disk failed--> left, with the reason
//!                        +---+
//! ```
//! The header scanner ends where a data set is not in order, and keeps little of it; the worker parses all of it. It is
//! asked for the header alone, and alone: an object that kills it takes no neighbour with it, and so needs no mark that
//! outlives the node. Everything here is in memory: the files in `unsorted/` are the truth, and every start asks again.

use std::collections::{BTreeMap, BTreeSet};

use sonode_conformance::SopInstanceUid;
use sonode_findings::StudyContext;
use sonode_findings::protocol::Analyzed;

use super::analysis::Task;
use super::{Action, Engine};
use crate::spool::{Digest, StoredInstance};
use crate::status::UnsortedStatus;
use crate::time::Timestamp;

/// An object of `unsorted/`.
#[derive(Debug, Clone)]
pub(crate) struct UnsortedArrival {
    pub(crate) instance: StoredInstance,
    pub(crate) received: Timestamp,
    /// Name of the peer that sent it, as far as it is known.
    pub(crate) peer: Option<String>,
    /// The association that carried it; 0 for none that is open.
    pub(crate) association: u64,
}

/// An object whose study is known now. It has no `Debug`: it holds patient data.
pub(crate) struct Filing {
    pub(crate) arrival: UnsortedArrival,
    pub(crate) context: StudyContext,
}

pub(super) type Key = (SopInstanceUid, Digest);

/// What lies in `unsorted/`.
#[derive(Default)]
pub(super) struct Unsorted {
    entries: BTreeMap<Key, Entry>,
    /// Those that the worker has not been asked about, in order of arrival.
    waiting: BTreeSet<(Timestamp, Key)>,
}

struct Entry {
    arrival: UnsortedArrival,
    /// Runs that ended with the worker.
    attempts: u32,
    /// Why it stays.
    problem: Option<String>,
}

impl Unsorted {
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn pop_waiting(&mut self) -> Option<Key> {
        self.waiting.pop_first().map(|(_, key)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn insert(&mut self, arrival: UnsortedArrival, problem: Option<String>) -> bool {
        let key = (
            arrival.instance.sop_instance.clone(),
            arrival.instance.digest,
        );
        if self.entries.contains_key(&key) {
            return false;
        }
        if problem.is_none() {
            self.waiting.insert((arrival.received, key.clone()));
        }
        let entry = Entry {
            arrival,
            attempts: 0,
            problem,
        };
        self.entries.insert(key, entry);
        true
    }

    fn leave(&mut self, key: &Key, why: String) {
        if let Some(entry) = self.entries.get_mut(key) {
            tracing::warn!(sop_instance = %key.0, reason = why, "an object stays in unsorted/");
            entry.problem = Some(why);
        }
    }
}

impl Engine {
    /// Takes an object of `unsorted/` in hand, once.
    pub(crate) fn keep_unsorted(&mut self, arrival: UnsortedArrival) {
        self.unsorted.insert(arrival, None);
    }

    /// What lies in `unsorted/`, in order of arrival.
    pub(crate) fn unsorted(&self) -> Vec<UnsortedStatus> {
        let mut list: Vec<UnsortedStatus> =
            self.unsorted.entries.values().map(Entry::status).collect();
        list.sort_by_key(|object| object.received);
        list
    }

    pub(super) fn begin_identification(&mut self, key: Key, now: Timestamp) {
        let Some(entry) = self.unsorted.entries.get(&key) else {
            return;
        };
        let stored = entry.arrival.instance.clone();
        tracing::debug!(sop_instance = %key.0, "identification begins");
        let id = self.start_run(Task::Identification(key), now);
        self.actions
            .push(Action::Identify(self.analysis.generation, id, stored));
    }

    pub(super) fn on_identified(&mut self, key: &Key, answer: Analyzed) {
        let (sop, _) = key;
        let Some(context) = answer.context else {
            let detail = answer.findings.rejected_detail;
            let why = detail.unwrap_or_else(|| {
                "its data set has no valid Study Instance UID (0020,000D)".to_owned()
            });
            return self.unsorted.leave(key, why);
        };
        if answer.findings.sop_instance_uid != *sop {
            let why = "the SOP Instance UID (0008,0018) of its data set is another one than that it was sent under";
            return self.unsorted.leave(key, why.to_owned());
        }
        if let Some(Entry { arrival, .. }) = self.unsorted.entries.remove(key) {
            self.actions
                .push(Action::File(Box::new(Filing { arrival, context })));
        }
    }

    pub(super) fn on_not_filed(&mut self, arrival: UnsortedArrival, detail: &str) {
        let why = format!("it could not be moved to its study: {detail}");
        self.unsorted.insert(arrival, Some(why));
    }

    /// The worker ended over it. It ran alone, so nothing else was the cause.
    pub(super) fn on_identification_lost(&mut self, key: &Key) {
        let attempts_max = self.settings.worker.attempts_max;
        self.counters.attempts_charged += 1;
        let Some(entry) = self.unsorted.entries.get_mut(key) else {
            return;
        };
        entry.attempts += 1;
        if entry.attempts < attempts_max {
            let received = entry.arrival.received;
            self.unsorted.waiting.insert((received, key.clone()));
        } else {
            let why = format!("the worker did not survive it in {attempts_max} attempts");
            self.unsorted.leave(key, why);
        }
    }
}

impl Entry {
    fn status(&self) -> UnsortedStatus {
        let instance = &self.arrival.instance;
        let name = instance.path.file_name().unwrap_or_default();
        UnsortedStatus {
            file: name.to_string_lossy().into_owned(),
            sop_instance_uid: instance.sop_instance.clone(),
            sop_class_uid: instance.sop_class.clone(),
            received: self.arrival.received,
            from: self.arrival.peer.clone(),
            calling_ae: instance.calling_ae.clone(),
            bytes: instance.bytes,
            reason: self.problem.clone(),
        }
    }
}
