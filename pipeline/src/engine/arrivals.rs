//! Instances and associations.

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::{Rejection, Sentence, StudyContext, phrases};
use sonode_sr_writer::Style;

use super::late::contradict;
use super::record::{Instance, ObjectKey, Study, Version, is_analysable};
use super::{ArrivalKind, Engine, Stored};
use crate::states::{InstanceEvent, StudyEvent, StudyState};
use crate::text;
use crate::time::Timestamp;

impl Engine {
    pub(super) fn on_stored(&mut self, stored: Stored, now: Timestamp) {
        let Some(uid) = stored.instance.study.clone() else {
            // In unsorted/: that is `Event::Unsorted`.
            return;
        };
        match stored.kind {
            ArrivalKind::New => self.counters.instances_stored += 1,
            ArrivalKind::Duplicate | ArrivalKind::EarlyDuplicate => self.counters.duplicates += 1,
            ArrivalKind::NewVersion => {
                self.counters.instances_stored += 1;
                self.counters.new_versions += 1;
            }
        }
        if stored.kind == ArrivalKind::Duplicate && !self.knows(&uid) {
            // Of a study that is done: nothing is owed on its account, or `is_wanted_again` had it taken back.
            return;
        }
        let sop = stored.instance.sop_instance.clone();
        let (own, association, peer) = (stored.own, stored.association, stored.peer.clone());
        let context = stored.context.clone();
        let rejection = stored.rejection.clone().filter(|_| !own);
        let is_new = self.take_in(&uid, stored, now);
        if own {
            self.counters.own_objects += u64::from(is_new);
        } else {
            match peer {
                Some(peer) => self.add_source(&uid, &sop, &peer, now),
                None => self.owe_image(&uid, &sop, None, now),
            }
            self.carry(&uid, association, now, is_new);
            self.check_patient(&uid, &context);
            self.check_rejection(&uid, rejection.as_ref().filter(|_| is_new));
        }
        self.save(&uid);
        self.settle(&uid, now);
    }

    /// Files the object under its study; says whether it was new to the engine.
    fn take_in(&mut self, uid: &StudyInstanceUid, arrived: Stored, now: Timestamp) -> bool {
        let is_correction = !arrived.own && !self.is_receiver(arrived.peer.as_deref());
        let Stored {
            instance: stored,
            context,
            own,
            ..
        } = arrived;
        let sop = stored.sop_instance.clone();
        let study = self
            .studies
            .entry(uid.clone())
            .or_insert_with(|| Study::new(uid.clone(), StudyContext::unknown(uid.clone()), now));
        if !own && !contradict(&study.context, &context) {
            text::complete(&mut study.context, &context);
        }
        let late = study.state != StudyState::Receiving;
        if let Some(known) = study.instances.get_mut(&sop) {
            if known
                .versions
                .iter()
                .any(|version| version.stored.digest == stored.digest)
            {
                return false;
            }
            tracing::warn!(study = %uid, sop_instance = %sop, "the same instance came with other bytes; both are kept");
            known.versions.push(Version {
                stored,
                received: now,
            });
            if is_correction && !known.own {
                known.late = late;
                self.correct(uid, &sop, &context, now);
            }
            return true;
        }
        let mut instance = Instance::new(stored, now);
        instance.own = own;
        instance.late = late;
        study.instances.insert(sop.clone(), instance);
        self.queue_analysis(uid, &sop, now);
        true
    }

    /// Has an instance analysed, or rejects it at once where there is nothing to analyse.
    pub(super) fn queue_analysis(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let Some(instance) = study.instances.get_mut(sop) else {
            return;
        };
        let Some(version) = instance.version() else {
            return;
        };
        let class = version.stored.sop_class.clone();
        if instance.own || !is_analysable(&class) {
            let detail: Sentence = if instance.own {
                phrases::OWN_OBJECT.into()
            } else {
                let name = sonode_conformance::sop_class::find(class.as_str())
                    .map_or(class.as_str(), |class| class.name);
                phrases::NOT_ANALYSED.say([name.into()])
            };
            instance.detail = Some(detail.to_string());
            advance_instance(instance, InstanceEvent::Refused(Rejection::NotAnImage));
            study.timeline.analysed = Some(now);
            self.counters.instances_rejected += 1;
            return;
        }
        let (received, suspect) = (version.received, instance.suspect);
        self.analysis
            .enqueue(received, uid.clone(), sop.clone(), suspect);
    }

    /// Whether a duplicate gives a study that is done something to do: its sender is a new one, or a route wants from
    /// this sender what it took from no other.
    pub(crate) fn is_wanted_again(&self, study: &Study, sop: &SopInstanceUid, peer: &str) -> bool {
        let object = ObjectKey::Image(sop.clone());
        let has = |to: &String| {
            let mut deliveries = study.deliveries.iter();
            deliveries.any(|delivery| delivery.peer == *to && delivery.object == object)
        };
        !study.from.contains(peer) || !self.image_targets(Some(peer)).iter().all(has)
    }

    /// Whoever sends an object is a source of its study, although another peer sent the same bytes before: the routes
    /// of both count.
    fn add_source(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        peer: &str,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let routes = self.settings.routing.routes.iter();
        let mut reports =
            routes.filter(|route| !route.documents.is_empty() && route.from.is_some());
        let opens_a_route = reports
            .any(|route| route.takes(peer) && !study.from.iter().any(|known| route.takes(known)));
        study.from.insert(peer.to_owned());
        let is_reported = study.state == StudyState::Reported;
        self.owe_image(uid, sop, Some(peer), now);
        if opens_a_route && is_reported {
            self.bring_back(uid);
            self.step(uid, StudyEvent::NewSource);
        } else if self.studies.get(uid).is_some_and(Study::is_owing) {
            self.bring_back(uid);
        }
    }

    /// The association holds the study open; a new instance starts its quiet period again.
    fn carry(&mut self, uid: &StudyInstanceUid, association: u64, now: Timestamp, is_new: bool) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        if is_new {
            study.timeline.received_first.get_or_insert(now);
            study.timeline.received_last = Some(now);
            study.quiet_from = now;
        }
        if let Some(carried) = self.associations.get_mut(&association) {
            carried.insert(uid.clone());
            study.carried_by.insert(association);
        }
    }

    pub(super) fn on_association_closed(&mut self, id: u64, now: Timestamp) {
        for uid in self.associations.remove(&id).unwrap_or_default() {
            let Some(study) = self.studies.get_mut(&uid) else {
                continue;
            };
            study.carried_by.remove(&id);
            if study.state == StudyState::Receiving {
                study.quiet_from = now;
                self.save(&uid);
            }
            self.settle(&uid, now);
        }
    }

    pub(super) fn owe_image(
        &mut self,
        uid: &StudyInstanceUid,
        sop: &SopInstanceUid,
        peer: Option<&str>,
        now: Timestamp,
    ) {
        for to in self.image_targets(peer) {
            self.owe(
                uid,
                &to,
                ObjectKey::Image(sop.clone()),
                Style::default(),
                now,
            );
        }
    }

    /// The peers to which a route forwards what this peer sends.
    fn image_targets(&self, peer: Option<&str>) -> Vec<String> {
        let routes = self.settings.routing.routes.iter();
        routes
            .filter(|route| route.send_images)
            .filter(|route| peer.map_or(route.from.is_none(), |peer| route.takes(peer)))
            // Whoever sent it has it.
            .filter(|route| peer != Some(route.to.as_str()))
            .map(|route| route.to.clone())
            .collect()
    }
}

/// Moves an instance along its table. A prohibited step changes nothing.
pub(super) fn advance_instance(instance: &mut Instance, event: InstanceEvent) {
    match instance.state.after(event) {
        Ok(next) => instance.state = next,
        Err(prohibited) => tracing::error!(%prohibited, "instance state"),
    }
}
