//! What was refused for want of room or a failed disk (A7xx), until it arrives: the cart has it still and was told to try
//! again, and somebody has to see that it does.
//!
//! The list outlives a restart in `data_dir/refused`. The disk may be full when it is written, and sled's log would have to
//! grow then. So the file has its whole length from the beginning, and is only ever overwritten: a slot for each object,
//! JSON on a line filled up with blanks. It isn't synced, since a failing disk would keep the cart waiting: a killed node
//! loses nothing, a power failure what was written in the last half minute. While the node runs the list in memory is what
//! counts, and where the file can't be written there is that one alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid, limits};
use sonode_pipeline::Timestamp;

/// Bytes of a slot: two UIDs, a peer's name and the rest fit with room to spare.
const SLOT_BYTES: usize = 512;
/// An empty slot.
const BLANK: [u8; SLOT_BYTES] = {
    let mut blank = [b' '; SLOT_BYTES];
    blank[SLOT_BYTES - 1] = b'\n';
    blank
};

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

/// The list of a node.
#[derive(Debug)]
pub(crate) struct Refused {
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    objects: BTreeMap<SopInstanceUid, Listed>,
    /// Slots without an object.
    free: Vec<usize>,
    /// None where it can't be had: then there is the list in memory alone.
    file: Option<File>,
}

#[derive(Debug)]
struct Listed {
    object: RefusedObject,
    slot: usize,
}

impl Refused {
    /// The list as an earlier process left it, but for what was refused longer than [`limits::REFUSED_KEPT`] ago: nobody
    /// sends that again.
    pub(crate) fn open(path: &Path, now: Timestamp) -> Self {
        let opened = open_file(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "what is refused is listed until the node ends only");
        });
        let mut list = List {
            objects: BTreeMap::new(),
            free: Vec::new(),
            file: None,
        };
        let (file, kept) = opened.map_or((None, Vec::new()), |(file, kept)| (Some(file), kept));
        list.file = file;
        let slots = kept.chunks(SLOT_BYTES).map(read_slot);
        let slots = slots.chain(std::iter::repeat_with(|| None));
        for (slot, object) in slots.take(limits::REFUSED_LISTED_MAX).enumerate() {
            match object.filter(|object| now.since(object.last) < limits::REFUSED_KEPT) {
                Some(object) => list.put(object, slot),
                None => list.free.push(slot),
            }
        }
        Self {
            list: Mutex::new(list),
        }
    }

    /// An object was refused.
    pub(crate) fn note(&self, object: RefusedObject) {
        self.lock().note(object);
    }

    /// An object has arrived.
    pub(crate) fn arrived(&self, sop: &SopInstanceUid) {
        self.lock().remove(sop);
    }

    /// How many have not arrived.
    pub(crate) fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Those that have not arrived, the one that was refused longest ago first.
    pub(crate) fn list(&self) -> Vec<RefusedObject> {
        let list = self.lock();
        let objects = list.objects.values().map(|listed| listed.object.clone());
        let mut objects: Vec<RefusedObject> = objects.collect();
        objects.sort_by_key(|object| object.last);
        objects
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn note(&mut self, object: RefusedObject) {
        let sop = &object.sop_instance_uid;
        let times = self.objects.get(sop).map_or(0, |known| known.object.times);
        self.remove(sop);
        if self.free.is_empty() {
            self.forget_oldest();
        }
        let object = RefusedObject {
            times: times.saturating_add(1),
            ..object
        };
        if let Some(slot) = self.free.pop() {
            self.write(slot, &slot_of(&object));
            self.put(object, slot);
        }
    }

    fn forget_oldest(&mut self) {
        let listed = self.objects.values();
        let oldest = listed.min_by_key(|listed| listed.object.last);
        if let Some(oldest) = oldest.map(|listed| listed.object.sop_instance_uid.clone()) {
            tracing::warn!(sop_instance = %oldest, "too many refused objects: this one is no longer listed");
            self.remove(&oldest);
        }
    }

    fn put(&mut self, object: RefusedObject, slot: usize) {
        let sop = object.sop_instance_uid.clone();
        let before = self.objects.insert(sop, Listed { object, slot });
        // A slot that could not be emptied when its object arrived, and the object was refused again.
        self.free.extend(before.map(|listed| listed.slot));
    }

    fn remove(&mut self, sop: &SopInstanceUid) {
        if let Some(listed) = self.objects.remove(sop) {
            self.write(listed.slot, &BLANK);
            self.free.push(listed.slot);
        }
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        let Some(file) = &self.file else {
            return;
        };
        let at = u64::try_from(slot * SLOT_BYTES).unwrap_or(u64::MAX);
        if let Err(error) = file.write_all_at(bytes, at) {
            tracing::warn!(%error, "the list of what was refused can't be written: a restart will not know of this change");
        }
    }
}

/// The file with every slot in it, and what it held.
fn open_file(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = File::options();
    let file = options.create(true).truncate(false).read(true).write(true);
    let file = file.open(path)?;
    let bytes = SLOT_BYTES * limits::REFUSED_LISTED_MAX;
    let mut kept = Vec::new();
    (&file)
        .take(u64::try_from(bytes).unwrap_or(u64::MAX))
        .read_to_end(&mut kept)?;
    // The first start, or one after a first start for which there was no room.
    kept.truncate(kept.len() / SLOT_BYTES * SLOT_BYTES);
    let missing = (bytes - kept.len()) / SLOT_BYTES;
    let begin = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    file.write_all_at(&BLANK.repeat(missing), begin)?;
    Ok((file, kept))
}

/// What a slot holds. One that was half written holds nothing.
fn read_slot(slot: &[u8]) -> Option<RefusedObject> {
    serde_json::from_slice(slot).ok()
}

/// As it stands in a slot; blank where it doesn't fit, for a peer with an endless name.
fn slot_of(object: &RefusedObject) -> [u8; SLOT_BYTES] {
    let mut slot = BLANK;
    let json = serde_json::to_vec(object).unwrap_or_default();
    if let Some((text, [_, ..])) = slot.split_at_mut_checked(json.len()) {
        text.copy_from_slice(&json);
    }
    slot
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

    fn open(folder: &tempfile::TempDir) -> Refused {
        Refused::open(&folder.path().join("refused"), Timestamp::from_millis(0))
    }

    fn times(refused: &Refused) -> Vec<u32> {
        let list = refused.list();
        list.iter().map(|object| object.times).collect()
    }

    #[test]
    fn what_was_refused_is_listed_once_until_it_arrives_also_after_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(&folder);
        refused.note(object(7));
        refused.note(object(3));
        refused.note(object(7));
        assert_eq!(times(&refused), [1, 2]);
        let refused = open(&folder);
        assert_eq!(times(&refused), [1, 2]);
        refused.note(object(3));
        refused.arrived(&object(7).sop_instance_uid);
        let refused = open(&folder);
        assert_eq!(times(&refused), [2]);
        refused.arrived(&object(3).sop_instance_uid);
        assert_eq!(refused.len(), 0);
        assert_eq!(open(&folder).len(), 0);
    }

    #[test]
    fn the_list_is_bounded_and_its_file_has_one_length_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(&folder);
        let length = || folder.path().join("refused").metadata().unwrap().len();
        let first = length();
        let most = u64::try_from(limits::REFUSED_LISTED_MAX).unwrap();
        for number in 0..=most {
            refused.note(object(number));
        }
        for refused in [refused, open(&folder)] {
            let list = refused.list();
            assert_eq!(list.len(), limits::REFUSED_LISTED_MAX);
            let oldest = RefusedObject {
                times: 1,
                ..object(1)
            };
            assert_eq!(list[0], oldest);
        }
        assert_eq!(length(), first);
    }

    #[test]
    fn what_nobody_sends_any_more_is_forgotten_by_a_start() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder).note(object(7));
        let later = Timestamp::from_millis(7).plus(limits::REFUSED_KEPT);
        let refused = Refused::open(&folder.path().join("refused"), later);
        assert_eq!(refused.len(), 0);
    }

    #[test]
    fn a_damaged_or_cut_file_costs_what_it_held_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(&folder);
        refused.note(object(7));
        refused.note(object(8));
        let path = folder.path().join("refused");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.rchunks_mut(SLOT_BYTES).next().unwrap();
        last[20] = 0xFF;
        std::fs::write(&path, &bytes).unwrap();
        let refused = open(&folder);
        assert_eq!(times(&refused), [1]);
        bytes.truncate(SLOT_BYTES * 3 + 1);
        std::fs::write(&path, &bytes).unwrap();
        let refused = open(&folder);
        assert_eq!(refused.len(), 0);
        refused.note(object(9));
        assert_eq!(open(&folder).len(), 1);
    }

    #[test]
    fn without_a_file_there_is_the_list_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("no such folder").join("refused");
        let refused = Refused::open(&nowhere, Timestamp::from_millis(0));
        let mut long = object(7);
        long.peer = "p".repeat(SLOT_BYTES);
        refused.note(long);
        assert_eq!(times(&refused), [1]);
    }
}
