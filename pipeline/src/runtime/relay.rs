//! Carts' requests for storage commitment: on disk before they are answered.

use super::{Runtime, note};
use crate::engine::{Event, RELAYS_MAX, Relay, RelayKey, Step};
use crate::pipeline::RelayError;
use crate::ports::RelayRequest;
use crate::spool::{KeptName, SpoolError};

impl Runtime {
    pub(super) fn relay(&mut self, request: RelayRequest) -> Result<(), RelayError> {
        let archive = self
            .engine
            .archive_of(&request.peer)
            .ok_or(RelayError::NoArchive)?;
        let key: RelayKey = (request.peer, request.transaction);
        if self.engine.has_relay(&key) {
            // Its response got lost.
            return Ok(());
        }
        if self.engine.relays() >= RELAYS_MAX {
            return Err(RelayError::TooMany);
        }
        let references = request.references.into_iter();
        let references = references.map(|one| (one.sop_class, one.sop_instance));
        let references = references.collect();
        let mut relay = Relay::new(key, archive, references, self.now(), request.association);
        self.keep_relay(&relay)
            .map_err(|error| RelayError::Storage(error.to_string()))?;
        self.look_into_finished(&mut relay);
        self.event(Event::RelayKept(Box::new(relay)));
        Ok(())
    }

    /// What is done isn't in the engine's hands.
    fn look_into_finished(&self, relay: &mut Relay) {
        for (_, sop) in relay.references.clone() {
            let study = self.queue.study_of(&sop);
            let study = study.filter(|uid| !self.engine.knows(uid));
            if let Some(study) = study.and_then(|uid| self.queue.finished(&uid)) {
                relay.look_into(&study);
            }
        }
    }

    pub(super) fn keep_relay(&self, relay: &Relay) -> Result<(), SpoolError> {
        let name = KeptName::Commitment(relay.peer.clone(), relay.transaction.clone());
        // Strings, UIDs and numbers: it can be written.
        let json = serde_json::to_vec(relay).unwrap_or_default();
        self.spool.keep(&name, &json)
    }

    pub(super) fn drop_relay(&self, (peer, transaction): RelayKey) {
        // Where it comes back, the cart is told again.
        let name = KeptName::Commitment(peer, transaction);
        note("end of a request", self.spool.release(&name));
    }

    pub(super) fn recover_kept(&mut self) {
        let kept = self.spool.kept().unwrap_or_else(|error| {
            tracing::error!(%error, "kept/ can't be read: what carts asked for is answered after the next start");
            Vec::new()
        });
        for json in kept {
            // They have no field in common but the peer.
            if let Ok(mut relay) = serde_json::from_slice::<Relay>(&json) {
                self.look_into_finished(&mut relay);
                self.event(Event::RelayKept(Box::new(relay)));
            } else if let Ok(step) = serde_json::from_slice::<Step>(&json) {
                self.recover_step(step);
            } else {
                tracing::error!("a file of kept/ can't be understood and is left alone");
            }
        }
    }
}
