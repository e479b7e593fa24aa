//! The queue: what the engine knows and files don't say, in sled. Losing it costs repeated work, never data.
//!
//! sled 0.34 has open reports of databases that won't open again. So whatever goes wrong at the opening, the folder is
//! set aside as `queue.broken-<n>`, a new one begins, and the engine takes up from the spool alone. A folder that is
//! locked isn't broken: the lock is waited for, since the threads of an instance that has ended may hold it a moment longer.
//! Nor is one for which the disk is too full: a new one wouldn't open either.

mod issued;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sled::{Batch, Db, IVec, Tree};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid, limits};

use self::issued::Issued;
use crate::engine::{Lane, Mark, Study};
use crate::status::StudyStatus;
use crate::time::Timestamp;

/// sled keeps what it reads; the queue is small and the memory belongs to the instances.
const CACHE_BYTES: u64 = 8 << 20;
/// The form of the records. A queue of another form is set aside like a broken one.
const VERSION: &[u8] = b"3";
/// Between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The queue.
pub(crate) struct Queue {
    db: Db,
    /// Study UID -> record, of the studies in hand.
    studies: Tree,
    /// Due time (big-endian, so that what is due is a range), study, NUL, peer -> failures.
    due: Tree,
    /// Study, NUL, instance -> mark.
    marks: Tree,
    /// The reports that are our own.
    issued: Issued,
    /// Study UID -> when (as in `finished_by_time`) and record, of the studies that are done.
    finished: Tree,
    /// SOP Instance UID of an image whose receiver had to show that it keeps it -> its study, of the studies that are done.
    images: Tree,
    /// Time (big-endian), study -> its line in the list, so that listing reads no records.
    finished_by_time: Tree,
    /// Entries of `finished_by_time`, which sled would count one by one.
    finished_count: usize,
    /// The keys in `due`, by study.
    due_keys: BTreeMap<StudyInstanceUid, Vec<Vec<u8>>>,
}

/// Why the queue could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("sled: {0}")]
    Sled(sled::Error),
    #[error("a record can't be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("sled panicked")]
    Panicked,
    #[error("the queue has another form")]
    Version,
    #[error("another process holds it: {0}")]
    Locked(io::Error),
    #[error("the disk is full, make room: {0}")]
    Full(io::Error),
    #[error("cannot set {path} aside: {source}")]
    SetAside { path: PathBuf, source: io::Error },
}

impl From<sled::Error> for QueueError {
    fn from(error: sled::Error) -> Self {
        match error {
            // Its words are all that tells: the kind is `Other`, as for several failures of a damaged database.
            sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock") => {
                Self::Locked(error)
            }
            sled::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) =>
            {
                Self::Full(error)
            }
            error => Self::Sled(error),
        }
    }
}

impl Queue {
    /// Opens the queue in a folder, or a new one in its place. Where another one has it open, it waits for
    /// [`limits::QUEUE_LOCK`].
    ///
    /// # Errors
    /// [`QueueError::Locked`] when it is still open then; [`QueueError::Full`]; any other when neither the queue nor a new
    /// one opens.
    pub(crate) fn open(folder: &Path) -> Result<Self, QueueError> {
        let until = Instant::now() + limits::QUEUE_LOCK;
        Self::open_patiently(folder, || {
            thread::sleep(LOCK_PAUSE);
            Instant::now() < until
        })
    }

    /// `pause` is called before each further try to get the lock, and says whether there is to be one.
    fn open_patiently(folder: &Path, mut pause: impl FnMut() -> bool) -> Result<Self, QueueError> {
        loop {
            match Self::open_or_replace(folder) {
                Err(QueueError::Locked(_)) if pause() => {}
                opened => return opened,
            }
        }
    }

    fn open_or_replace(folder: &Path) -> Result<Self, QueueError> {
        match Self::open_guarded(folder) {
            Ok(queue) => Ok(queue),
            Err(sound @ (QueueError::Locked(_) | QueueError::Full(_))) => Err(sound),
            Err(error) => {
                let aside = set_aside(folder)?;
                tracing::error!(%error, aside = %aside.display(), "the queue is broken and set aside; it is rebuilt from the spool");
                Self::open_guarded(folder)
            }
        }
    }

    fn open_guarded(folder: &Path) -> Result<Self, QueueError> {
        // sled 0.34 panics on some damage instead of returning an error.
        catch_unwind(AssertUnwindSafe(|| Self::try_open(folder)))
            .unwrap_or(Err(QueueError::Panicked))
    }

    fn try_open(folder: &Path) -> Result<Self, QueueError> {
        let db = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .open()?;
        match db.get("version")? {
            Some(found) if found == VERSION => {}
            Some(_) => return Err(QueueError::Version),
            None => drop(db.insert("version", VERSION)?),
        }
        let mut queue = Self {
            studies: db.open_tree("studies")?,
            due: db.open_tree("due")?,
            marks: db.open_tree("marks")?,
            issued: Issued::open(&db)?,
            finished: db.open_tree("finished")?,
            images: db.open_tree("images")?,
            finished_by_time: db.open_tree("finished-by-time")?,
            finished_count: 0,
            due_keys: BTreeMap::new(),
            db,
        };
        // Damage that only shows when it is read has to show now, while setting aside is still possible.
        for tree in [&queue.studies, &queue.marks] {
            for entry in tree {
                entry?;
            }
        }
        for entry in &queue.finished_by_time {
            entry?;
            queue.finished_count += 1;
        }
        for entry in &queue.due {
            let (key, _) = entry?;
            if let Some((_, study, _)) = split_due(&key) {
                queue.due_keys.entry(study).or_default().push(key.to_vec());
            }
        }
        Ok(queue)
    }

    /// The studies in hand, each with its lanes. A record that can't be read is left out: the spool has the study.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn load(&self) -> Result<Vec<Study>, QueueError> {
        let mut studies = Vec::new();
        for entry in &self.studies {
            let (key, value) = entry?;
            match serde_json::from_slice::<Study>(&value) {
                Ok(study) => studies.push(self.with_lanes(study)?),
                Err(error) => {
                    let study = String::from_utf8_lossy(&key);
                    tracing::warn!(%study, %error, "a record of the queue can't be read");
                }
            }
        }
        Ok(studies)
    }

    /// The study's record, not done; `None` also where it can't be read.
    pub(crate) fn record(&self, study: &StudyInstanceUid) -> Option<Study> {
        let value = self.studies.get(study.as_str()).ok()??;
        self.with_lanes(serde_json::from_slice(&value).ok()?).ok()
    }

    fn with_lanes(&self, mut study: Study) -> Result<Study, QueueError> {
        for key in self.due_keys.get(&study.uid).into_iter().flatten() {
            let Some((due, _, peer)) = split_due(key) else {
                continue;
            };
            let failures = self.due.get(key)?.map_or(0, |value| read_u32(&value));
            study.lanes.insert(peer, Lane { due, failures });
        }
        Ok(study)
    }

    /// Keeps a study in hand.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn save(&mut self, study: &Study) -> Result<(), QueueError> {
        self.studies
            .insert(study.uid.as_str(), serde_json::to_vec(study)?)?;
        let mut batch = Batch::default();
        for old in self.due_keys.remove(&study.uid).unwrap_or_default() {
            batch.remove(old);
        }
        let mut keys = Vec::new();
        for (peer, lane) in &study.lanes {
            let key = due_key(lane.due, &study.uid, peer);
            batch.insert(key.as_slice(), &lane.failures.to_be_bytes());
            keys.push(key);
        }
        self.due.apply_batch(batch)?;
        if !keys.is_empty() {
            self.due_keys.insert(study.uid.clone(), keys);
        }
        Ok(())
    }

    /// Keeps a mark; durable when it returns.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn set_mark(
        &self,
        study: &StudyInstanceUid,
        sop: &SopInstanceUid,
        mark: Mark,
    ) -> Result<(), QueueError> {
        self.marks
            .insert(mark_key(study, sop), serde_json::to_vec(&mark)?)?;
        self.db.flush()?;
        Ok(())
    }

    /// Removes a mark. Where that is lost, the next run of the instance is alone, and no more.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn clear_mark(
        &self,
        study: &StudyInstanceUid,
        sop: &SopInstanceUid,
    ) -> Result<(), QueueError> {
        self.marks.remove(mark_key(study, sop))?;
        Ok(())
    }

    /// A study's marks.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn marks(
        &self,
        study: &StudyInstanceUid,
    ) -> Result<BTreeMap<SopInstanceUid, Mark>, QueueError> {
        let prefix = study_prefix(study);
        let mut marks = BTreeMap::new();
        for entry in self.marks.scan_prefix(&prefix) {
            let (key, value) = entry?;
            let sop = key.get(prefix.len()..).map(SopInstanceUid::parse);
            if let (Some(Ok(sop)), Ok(mark)) = (sop, serde_json::from_slice(&value)) {
                marks.insert(sop, mark);
            }
        }
        Ok(marks)
    }

    /// Remembers a report's UID as our own.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn issue(&mut self, sop: &SopInstanceUid) -> Result<(), QueueError> {
        Ok(self.issued.insert(sop)?)
    }

    /// Whether a SOP Instance UID is that of a report of ours.
    pub(crate) fn is_issued(&self, sop: &SopInstanceUid) -> bool {
        self.issued.contains(sop).unwrap_or_else(|error| {
            tracing::error!(%error, "the queue can't be read");
            false
        })
    }

    /// Moves a study to those that are done.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn finish(&mut self, study: &Study, now: Timestamp) -> Result<(), QueueError> {
        self.unfinish(&study.uid)?;
        let time = now.as_millis().to_be_bytes();
        let record = [&time[..], &serde_json::to_vec(study)?].concat();
        self.finished.insert(study.uid.as_str(), record)?;
        let line = serde_json::to_vec(&study.status())?;
        self.finished_by_time
            .insert(finished_key(&time, study.uid.as_str()), line)?;
        self.finished_count += 1;
        for image in study.proven_images() {
            self.images.insert(image.as_str(), study.uid.as_str())?;
        }
        self.drop_open(&study.uid)?;
        while self.finished_count > limits::FINISHED_LISTED_MAX {
            let Some((key, _)) = self.finished_by_time.pop_min()? else {
                break;
            };
            self.finished_count -= 1;
            let oldest = self.finished.remove(key.get(8..).unwrap_or_default())?;
            let oldest = oldest.as_ref().and_then(finished_record);
            for image in oldest.iter().flat_map(Study::proven_images) {
                self.images.remove(image.as_str())?;
            }
        }
        Ok(())
    }

    /// Takes a study from those that are done.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn unfinish(&mut self, study: &StudyInstanceUid) -> Result<(), QueueError> {
        let Some(record) = self.finished.remove(study.as_str())? else {
            return Ok(());
        };
        let key = finished_key(record.get(..8).unwrap_or_default(), study.as_str());
        if self.finished_by_time.remove(key)?.is_some() {
            self.finished_count -= 1;
        }
        Ok(())
    }

    /// The record of a study that is done.
    pub(crate) fn finished(&self, study: &StudyInstanceUid) -> Option<Study> {
        let value = self.finished.get(study.as_str()).ok()??;
        finished_record(&value)
    }

    /// The study, done, of an image whose receiver had to show that it keeps it.
    pub(crate) fn study_of(&self, image: &SopInstanceUid) -> Option<StudyInstanceUid> {
        let value = self.images.get(image.as_str()).ok()??;
        StudyInstanceUid::parse(&value).ok()
    }

    /// The studies that are done, latest first, at most `max`.
    pub(crate) fn finished_latest(&self, max: usize) -> Vec<StudyStatus> {
        self.finished_by_time
            .iter()
            .values()
            .rev()
            .take(max)
            .filter_map(Result::ok)
            .filter_map(|value| serde_json::from_slice(&value).ok())
            .collect()
    }

    /// The studies that are done and have an object whose receiver never showed that it keeps it.
    pub(crate) fn finished_unconfirmed(&self) -> Vec<Study> {
        let lines = self.finished_by_time.iter().values().filter_map(Result::ok);
        lines
            .filter_map(|line| serde_json::from_slice::<StudyStatus>(&line).ok())
            .filter(|line| line.deliveries.unconfirmed > 0)
            .filter_map(|line| self.finished(&line.study_instance_uid))
            .collect()
    }

    /// Forgets a study wherever it is.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn discard(&mut self, study: &StudyInstanceUid) -> Result<(), QueueError> {
        self.unfinish(study)?;
        self.drop_open(study)
    }

    fn drop_open(&mut self, study: &StudyInstanceUid) -> Result<(), QueueError> {
        self.studies.remove(study.as_str())?;
        for key in self.due_keys.remove(study).unwrap_or_default() {
            self.due.remove(key)?;
        }
        for key in self.marks.scan_prefix(study_prefix(study)).keys() {
            self.marks.remove(key?)?;
        }
        Ok(())
    }

    /// Everything durable.
    ///
    /// # Errors
    /// As sled gives them.
    pub(crate) fn flush(&self) -> Result<(), QueueError> {
        self.db.flush()?;
        Ok(())
    }
}

fn set_aside(folder: &Path) -> Result<PathBuf, QueueError> {
    let free = (1..=u32::MAX)
        .map(|n| folder.with_extension(format!("broken-{n}")))
        .find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| folder.with_extension("broken"));
    std::fs::rename(folder, &aside).map_err(|source| QueueError::SetAside {
        path: folder.to_owned(),
        source,
    })?;
    Ok(aside)
}

/// The record behind its time.
fn finished_record(value: &IVec) -> Option<Study> {
    serde_json::from_slice(value.get(8..)?).ok()
}

fn finished_key(time: &[u8], study: &str) -> Vec<u8> {
    [time, study.as_bytes()].concat()
}

fn study_prefix(study: &StudyInstanceUid) -> Vec<u8> {
    [study.as_str().as_bytes(), &[0]].concat()
}

fn mark_key(study: &StudyInstanceUid, sop: &SopInstanceUid) -> Vec<u8> {
    [study.as_str().as_bytes(), &[0], sop.as_str().as_bytes()].concat()
}

fn due_key(due: Timestamp, study: &StudyInstanceUid, peer: &str) -> Vec<u8> {
    let due = due.as_millis().to_be_bytes();
    [
        due.as_slice(),
        study.as_str().as_bytes(),
        &[0],
        peer.as_bytes(),
    ]
    .concat()
}

fn split_due(key: &[u8]) -> Option<(Timestamp, StudyInstanceUid, String)> {
    let (due, rest) = key.split_first_chunk::<8>()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (study, peer) = rest.split_at_checked(end)?;
    let peer = std::str::from_utf8(peer.get(1..)?).ok()?;
    Some((
        Timestamp::from_millis(u64::from_be_bytes(*due)),
        StudyInstanceUid::parse(study).ok()?,
        peer.to_owned(),
    ))
}

fn read_u32(value: &[u8]) -> u32 {
    value
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
