//! What carts send, as the spool would take it.

use super::*;

impl World {
    /// An object comes over an association.
    pub(in crate::engine::tests) fn arrive(
        &mut self,
        study: u8,
        kind: usize,
        n: u8,
        version: u8,
        association: u64,
    ) {
        self.arrive_of(study, kind, n, version, association, "PATIENT");
    }

    pub(in crate::engine::tests) fn arrive_of(
        &mut self,
        study: u8,
        kind: usize,
        n: u8,
        version: u8,
        association: u64,
        patient: &str,
    ) {
        let mut instance = instance(study, kind, n, version);
        instance.study = Some(study_uid(study));
        let life = self.lives;
        let event = self.stored(instance, patient, association);
        // Where the node died over it, the next life has found it in the spool.
        if self.lives == life {
            self.event(event);
        }
    }

    /// An object comes whose study the header scanner can't read. The worker can't either where it shows another view.
    pub(in crate::engine::tests) fn arrive_unsorted(
        &mut self,
        study: u8,
        kind: usize,
        n: u8,
        association: u64,
    ) {
        let instance = instance(study, kind, n, 0);
        let key = (instance.sop_instance.clone(), instance.digest);
        self.unsorted.insert(key, instance.clone());
        let received = self.now;
        self.event(Event::Unsorted(Box::new(UnsortedArrival {
            instance,
            received,
            peer: Some("cart".to_owned()),
            association,
        })));
    }

    /// As the runtime does it: the file moves, and the object is one of its study.
    pub(in crate::engine::tests) fn file(&mut self, filing: Filing) -> Event {
        let Filing { arrival, context } = filing;
        let mut instance = arrival.instance;
        self.unsorted
            .remove(&(instance.sop_instance.clone(), instance.digest))
            .expect("what is filed was there");
        instance.study = Some(context.study_instance_uid);
        self.stored(instance, "PATIENT", arrival.association)
    }

    /// The spool has it: what the engine is told.
    pub(in crate::engine::tests) fn stored(
        &mut self,
        instance: StoredInstance,
        patient: &str,
        association: u64,
    ) -> Event {
        let (uid, sop) = (
            instance.study.clone().unwrap(),
            instance.sop_instance.clone(),
        );
        let digest = instance.digest;
        let others = self
            .files
            .keys()
            .filter(|(_, other, _)| *other == sop)
            .count();
        let key = (uid.clone(), sop.clone(), digest);
        let kind_of_arrival = match (self.files.contains_key(&key), others) {
            (true, _) => ArrivalKind::Duplicate,
            (false, 0) => ArrivalKind::New,
            (false, _) => ArrivalKind::NewVersion,
        };
        if kind_of_arrival != ArrivalKind::Duplicate {
            self.open.insert(uid.clone());
        }
        self.files.entry(key).or_insert_with(|| instance.clone());
        let is_duplicate = kind_of_arrival == ArrivalKind::Duplicate;
        if !self.engine.knows(&uid) {
            let mut files = self.files.keys();
            if let Some(done) = self.finished.get(&uid) {
                if !is_duplicate || self.engine.is_wanted_again(done, &sop, self.peer) {
                    self.engine.adopt(done.clone());
                }
            } else if !is_duplicate && files.any(|(study, other, _)| *study == uid && *other != sop)
            {
                self.recover(uid.clone());
            }
        }
        let mut context = StudyContext::unknown(uid);
        context.patient_id = Phi::new(patient);
        context.patient_name = Phi::new(&self.name);
        self.contexts.insert((sop.clone(), digest), context.clone());
        Event::Stored(Box::new(Stored {
            own: kind_of(&sop) == Kind::Own,
            instance,
            kind: kind_of_arrival,
            context,
            peer: Some(self.peer.to_owned()),
            association,
            rejection: self.rejection.clone(),
        }))
    }
}
