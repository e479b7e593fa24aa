//! What was refused for want of room or a failed disk (A7xx), until it arrives: the cart has it still and was told to try
//! again, and somebody has to see that it does.
//!
//! In memory only: the disk is what failed. After a restart the list begins anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_pipeline::Timestamp;

/// Most objects that are listed; the oldest are forgotten first, and counted.
const LISTED_MAX: usize = 10_000;

/// An object that a peer was told to send again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedObject {
    /// Its SOP Instance UID.
    pub(crate) sop_instance_uid: SopInstanceUid,
    /// Its study, as far as its header was read.
    pub(crate) study_instance_uid: Option<StudyInstanceUid>,
    /// Who sent it, by the name in the configuration.
    pub(crate) peer: String,
    /// The status that it was refused with, in words.
    pub(crate) status: String,
    /// When it was refused last.
    pub(crate) last: Timestamp,
    /// How often it was refused.
    pub(crate) times: u32,
}

/// The list of a running node.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    objects: Mutex<BTreeMap<SopInstanceUid, RefusedObject>>,
}

impl Refused {
    /// An object was refused.
    pub(crate) fn note(&self, object: RefusedObject) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let times = objects
            .get(&object.sop_instance_uid)
            .map_or(0, |known| known.times);
        let object = RefusedObject {
            times: times.saturating_add(1),
            ..object
        };
        objects.insert(object.sop_instance_uid.clone(), object);
        if objects.len() > LISTED_MAX {
            let oldest = objects.values().min_by_key(|object| object.last);
            if let Some(oldest) = oldest.map(|object| object.sop_instance_uid.clone()) {
                tracing::warn!(sop_instance = %oldest, "too many refused objects: this one is no longer listed");
                objects.remove(&oldest);
            }
        }
    }

    /// An object has arrived.
    pub(crate) fn arrived(&self, sop: &SopInstanceUid) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.remove(sop);
    }

    /// How many have not arrived.
    pub(crate) fn len(&self) -> usize {
        self.objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Those that have not arrived, the one that was refused longest ago first.
    pub(crate) fn list(&self) -> Vec<RefusedObject> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<RefusedObject> = objects.values().cloned().collect();
        list.sort_by_key(|object| object.last);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: u64) -> RefusedObject {
        RefusedObject {
            sop_instance_uid: format!("1.2.{number}").parse().unwrap(),
            study_instance_uid: None,
            peer: "cart-1".to_owned(),
            status: "A700".to_owned(),
            last: Timestamp::from_millis(number),
            times: 0,
        }
    }

    #[test]
    fn what_was_refused_is_listed_once_until_it_arrives() {
        let refused = Refused::default();
        refused.note(object(7));
        refused.note(object(3));
        refused.note(object(7));
        let times: Vec<u32> = refused.list().iter().map(|object| object.times).collect();
        assert_eq!(times, [1, 2]);
        refused.arrived(&object(7).sop_instance_uid);
        assert_eq!(refused.list().len(), 1);
        refused.arrived(&object(3).sop_instance_uid);
        assert_eq!(refused.len(), 0);
    }

    #[test]
    fn the_list_is_bounded() {
        let refused = Refused::default();
        for number in 0..=10_000 {
            refused.note(object(number));
        }
        let list = refused.list();
        assert_eq!(list.len(), LISTED_MAX);
        assert_eq!(
            list[0],
            RefusedObject {
                times: 1,
                ..object(1)
            }
        );
    }
}
