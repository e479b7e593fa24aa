//! Requests of ours that go out on an association that a peer opened.
//!
//! Only the association's own thread may write to it. It looks here twice a second.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use sonode_conformance::DimseStatus;
use sonode_dimse::commitment::CommitmentResult;

/// An N-EVENT-REPORT that waits for its association. Dropped unanswered when that ends.
pub(crate) struct Outgoing {
    pub(crate) result: CommitmentResult,
    /// Gets the status of the response.
    pub(crate) answer: SyncSender<DimseStatus>,
}

/// What waits, by the number of the association.
#[derive(Default)]
pub(crate) struct Mailboxes(Mutex<HashMap<u64, Vec<Outgoing>>>);

impl Mailboxes {
    /// The association stands and looks for what waits.
    pub(crate) fn open(&self, association: u64) {
        self.with(|boxes| drop(boxes.insert(association, Vec::new())));
    }

    /// It has ended.
    pub(crate) fn close(&self, association: u64) {
        self.with(|boxes| drop(boxes.remove(&association)));
    }

    /// Leaves a request; `false` where the association is gone.
    pub(crate) fn leave(&self, association: u64, outgoing: Outgoing) -> bool {
        self.with(|boxes| match boxes.get_mut(&association) {
            Some(waiting) => {
                waiting.push(outgoing);
                true
            }
            None => false,
        })
    }

    /// Takes what waits.
    pub(crate) fn take(&self, association: u64) -> Option<Outgoing> {
        self.with(|boxes| boxes.get_mut(&association)?.pop())
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashMap<u64, Vec<Outgoing>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
