//! Objects that the spool has committed, on their way to the engine.

use sonode_conformance::StudyInstanceUid;

use super::Runtime;
use crate::engine::{ArrivalKind, Event, Filing, Stored, UnsortedArrival};
use crate::header::HeaderSummary;
use crate::pipeline::Arrival;
use crate::spool::{Committed, StoredInstance, StudyPlace};

impl Runtime {
    pub(super) fn stored(&mut self, arrival: Arrival) {
        let mut kind = match &arrival.committed {
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
            } else if self.is_open(&study) {
                // Both were answered after one flush, and this one's message was faster than the first one's. Its sender is
                // a source of the study all the same; what the first one brings is known then by its digest.
                self.take_back(&study);
                kind = ArrivalKind::EarlyDuplicate;
            }
        }
        let own = self.is_own(&instance, &arrival.header);
        self.event(Event::Stored(Box::new(Stored {
            context: arrival
                .header
                .context(study, self.routing.charset_of(Some(&arrival.peer))),
            instance,
            kind,
            peer: Some(arrival.peer),
            association: arrival.association,
            own,
            rejection: arrival.header.rejection,
        })));
    }

    /// Moves an object out of `unsorted/`. From then on its file is what a restart finds, in one place or the other;
    /// what isn't in memory yet is repeated work.
    pub(super) fn file(&mut self, filing: Filing) -> Event {
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
        let header = self.ports.headers.read(&instance.path);
        let own = self.is_own(&instance, &header);
        Event::Stored(Box::new(Stored {
            instance,
            kind,
            context,
            peer: arrival.peer,
            association: arrival.association,
            own,
            rejection: header.rejection,
        }))
    }

    fn is_open(&self, study: &StudyInstanceUid) -> bool {
        let found = self.spool.find_study(study);
        matches!(found, Ok(Some((StudyPlace::Open, _))))
    }

    pub(super) fn is_own(&self, instance: &StoredInstance, header: &HeaderSummary) -> bool {
        let node_uid = self.spool.node_uid();
        let device = sonode_conformance::Uid::parse(&header.device_uid).ok();
        self.queue.is_issued(&instance.sop_instance)
            || device.is_some_and(|device| {
                device == *node_uid || device == sonode_sr_writer::device_uid(node_uid)
            })
    }
}
