//! The one thread that gives files their names.
//!
//! # Success means durable: the order of an instance's steps
//!
//! 0. A new study's folder is made and its parent is fsynced, once. *Otherwise a power loss takes the folder with all
//!    that was fsynced in it.*
//! 1. The `.part` file is written in `incoming/`, hashed as it comes. *A name in `open/` is never half a file.*
//! 2. fdatasync of the file, in the association's own thread. *Before the rename: a name must not come back from a power
//!    loss without the contents. In that thread: the big waits run side by side.*
//! 3. Rename to its name, without replacing. *Here, in this thread: compare and commit of one SOP Instance UID can't
//!    interleave with another's, which is the lock that each UID needs.*
//! 4. fsync of the batch's distinct folders. *A rename alone can be lost.*
//! 5. Only now the answers, all of them. A duplicate is answered here too, since what it duplicates may be in this batch.
//!
//! A batch is whatever waits when the thread is ready; there is no timer. Alone, an instance waits for nobody; under
//! load the folders' fsyncs are shared by all who came meanwhile.
//!
//! A failed fsync is never retried: Linux reports it once and marks the pages clean. The whole batch fails, what it
//! named is removed again as far as possible (so that a restart doesn't take it for durable), and the spool is
//! poisoned. What a *killed* process left named but not fsynced is made durable by `syncfs` at the next start, before
//! anything is compared with it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::disk::Entry;
use super::error::SpoolError;
use super::instance::{Committed, Digest, StoredInstance};
use super::layout::{self, Day, Name};
use super::part10::{self, Parsed};
use super::shared::{Shared, StudyPlace};
use super::writer::{Pending, TempFile};

/// Most requests in one batch; each has a waiting thread, so there are rarely more than associations.
const BATCH_MAX: usize = 1024;
/// Most studies whose file names are remembered; beyond it they are read again when needed.
const FOLDERS_MAX: usize = 512;

pub(super) type Reply<T> = SyncSender<Result<T, SpoolError>>;

/// What the callers ask for. Each waits for its reply.
pub(super) enum Request {
    Commit(Box<Pending>, Option<StudyInstanceUid>, Reply<Committed>),
    Publish(Publication, Reply<PathBuf>),
    Move(Move, Reply<PathBuf>),
}

/// A file of the node's own, for a study's folder.
pub(super) struct Publication {
    pub(super) study: Option<StudyInstanceUid>,
    pub(super) name: String,
    pub(super) temp: TempFile,
    pub(super) existing: Existing,
}

/// What to do when the name is taken.
pub(super) enum Existing {
    /// Put the new file in its place.
    Replace,
    /// Leave it: it says the same.
    Keep,
    /// It must hold these bytes.
    MustEqual(Vec<u8>),
}

/// A change to a whole study's folder.
pub(super) enum Move {
    /// To `done/`; where a number of instances is given, only if the folder holds exactly so many.
    Finish(StudyInstanceUid, Day, Option<usize>),
    /// Back to `open/`.
    Reopen(StudyInstanceUid),
    /// To `incoming/`, for deletion; with a day, only if it lies there.
    Discard(StudyInstanceUid, Option<Day>),
    /// Removes a day's folder when it is empty.
    DropDay(Day),
    /// An instance of `unsorted/` to its study.
    File(SopInstanceUid, Digest, StudyInstanceUid),
}

/// A study's folder as this thread knows it. Nobody else changes it.
struct Folder {
    place: StudyPlace,
    path: PathBuf,
    names: BTreeSet<String>,
}

impl Folder {
    fn has_other_version(&self, sop: &SopInstanceUid) -> bool {
        let prefix = layout::instance_prefix(sop);
        self.names
            .range(prefix.clone()..)
            .take_while(|name| name.starts_with(&prefix))
            .any(|name| layout::is_version_of(name, sop))
    }
}

/// What waits for step 4.
#[derive(Default)]
struct Batch {
    dirty: BTreeSet<PathBuf>,
    /// Names made by this batch, to be removed if it fails.
    named: Vec<PathBuf>,
    answers: Vec<Answer>,
}

enum Answer {
    Commit(Reply<Committed>, Committed),
    Publish(Reply<PathBuf>, PathBuf),
}

pub(super) struct Committer {
    shared: Arc<Shared>,
    /// By study; `None` is `unsorted/`.
    folders: HashMap<Option<StudyInstanceUid>, Folder>,
}

/// A caller that has gone away needs no answer.
fn answer<T>(reply: &Reply<T>, result: Result<T, SpoolError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for an answer of the committer");
    }
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            folders: HashMap::new(),
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let more = requests.try_iter().take(BATCH_MAX - 1);
            let batch = std::iter::once(first).chain(more).collect();
            self.run_batch(batch);
        }
    }

    pub(super) fn run_batch(&mut self, requests: Vec<Request>) {
        let mut batch = Batch::default();
        for request in requests {
            match request {
                Request::Commit(pending, study, reply) => {
                    match self.commit(*pending, study, &mut batch) {
                        Ok(committed) => batch.answers.push(Answer::Commit(reply, committed)),
                        Err(error) => answer(&reply, Err(error)),
                    }
                }
                Request::Publish(publication, reply) => match self.publish(publication, &mut batch)
                {
                    Ok(path) => batch.answers.push(Answer::Publish(reply, path)),
                    Err(error) => answer(&reply, Err(error)),
                },
                Request::Move(change, reply) => {
                    // Paths change: what was named under the old ones is finished first.
                    self.flush(&mut batch);
                    answer(&reply, self.change(&change));
                }
            }
        }
        self.flush(&mut batch);
        if self.folders.len() > FOLDERS_MAX {
            self.folders.clear();
        }
    }

    /// Steps 4 and 5.
    fn flush(&mut self, batch: &mut Batch) {
        let batch = std::mem::take(batch);
        let synced = batch
            .dirty
            .iter()
            .try_for_each(|folder| self.shared.sync_folder(folder))
            .and_then(|()| self.shared.check());
        if synced.is_err() {
            self.take_back(&batch.named);
        }
        for waiting in batch.answers {
            let poisoned = || SpoolError::Poisoned;
            match waiting {
                Answer::Commit(reply, done) => {
                    answer(
                        &reply,
                        synced.as_ref().map(|()| done).map_err(|_| poisoned()),
                    );
                }
                Answer::Publish(reply, done) => {
                    answer(
                        &reply,
                        synced.as_ref().map(|()| done).map_err(|_| poisoned()),
                    );
                }
            }
        }
    }

    /// Removes what a failed batch named: a restarted node would take it for durable and answer "duplicate" to the
    /// peer's second try.
    fn take_back(&mut self, named: &[PathBuf]) {
        for path in named {
            if let Err(error) = self.shared.disk.remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove an unacknowledged file");
            }
        }
        self.folders.clear();
    }

    /// Step 3 for an instance, after step 0 where its study is new.
    fn commit(
        &mut self,
        mut pending: Pending,
        study: Option<StudyInstanceUid>,
        batch: &mut Batch,
    ) -> Result<Committed, SpoolError> {
        self.shared.check()?;
        let sop = &pending.meta.sop_instance;
        let name = layout::instance_name(sop, pending.digest.short());
        self.ensure_folder(study.as_ref())?;
        if let Some(stored) = self.look_up(study.as_ref(), &name, &pending)? {
            return Ok(Committed::Duplicate(stored));
        }
        self.ensure_open(study.as_ref(), batch)?;
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(study.as_ref())?;
        let new_version = folder.has_other_version(sop);
        let path = folder.path.join(&name);
        let renamed = shared.disk.rename(pending.temp.path(), &path);
        renamed.map_err(SpoolError::io("rename a part file to", &path))?;
        pending.temp.moved();
        folder.names.insert(name);
        batch.dirty.insert(folder.path.clone());
        batch.named.push(path.clone());
        let stored = StoredInstance {
            study,
            sop_class: pending.meta.sop_class.clone(),
            sop_instance: pending.meta.sop_instance.clone(),
            transfer_syntax: pending.meta.transfer_syntax.clone(),
            digest: pending.digest,
            path,
            bytes: pending.bytes,
            calling_ae: pending.meta.calling_ae.clone(),
        };
        Ok(if new_version {
            Committed::NewVersion(stored)
        } else {
            Committed::Stored(stored)
        })
    }

    /// The instance that has this name already, if its file is whole. A damaged one is set aside: what comes now is
    /// better.
    fn look_up(
        &mut self,
        study: Option<&StudyInstanceUid>,
        name: &str,
        pending: &Pending,
    ) -> Result<Option<StoredInstance>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(study)?;
        if !folder.names.contains(name) {
            return Ok(None);
        }
        let path = folder.path.join(name);
        match read_instance(&shared, &path)? {
            Ok(found) if found.digest == pending.digest => {
                Ok(Some(stored_instance(found, study.cloned(), path)))
            }
            // Two data sets of one SOP Instance UID whose digests agree in 64 bits: made on purpose, or never.
            Ok(_) => Err(SpoolError::Io {
                what: "name an instance",
                source: io::ErrorKind::AlreadyExists.into(),
                path,
            }),
            Err(Unreadable::Gone) => {
                folder.names.remove(name);
                Ok(None)
            }
            Err(reason) => {
                let aside = format!("{name}.{}.damaged", uuid::Uuid::new_v4().simple());
                tracing::error!(path = %path.display(), %reason, "a stored instance is damaged: received again");
                let to = folder.path.join(&aside);
                shared
                    .disk
                    .rename(&path, &to)
                    .map_err(SpoolError::io("set aside", &path))?;
                folder.names.remove(name);
                folder.names.insert(aside);
                Ok(None)
            }
        }
    }

    /// Step 3 for a file of the node's own.
    fn publish(
        &mut self,
        mut publication: Publication,
        batch: &mut Batch,
    ) -> Result<PathBuf, SpoolError> {
        self.shared.check()?;
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(publication.study.as_ref())?;
        let path = folder.path.join(&publication.name);
        let taken = folder.names.contains(&publication.name);
        match &publication.existing {
            Existing::MustEqual(bytes) if taken => {
                let limit = u64::try_from(bytes.len())
                    .unwrap_or(u64::MAX)
                    .saturating_add(1);
                let found = shared.disk.read(&path, limit);
                if found.map_err(SpoolError::io("read", &path))? != *bytes {
                    return Err(SpoolError::ReportDiffers { path });
                }
            }
            Existing::Keep if taken => {}
            Existing::Replace if taken => {
                let replaced = shared.disk.replace(publication.temp.path(), &path);
                replaced.map_err(SpoolError::io("replace", &path))?;
                publication.temp.moved();
            }
            _ => {
                let renamed = shared.disk.rename(publication.temp.path(), &path);
                renamed.map_err(SpoolError::io("rename a part file to", &path))?;
                publication.temp.moved();
                folder.names.insert(publication.name);
                batch.named.push(path.clone());
            }
        }
        batch.dirty.insert(folder.path.clone());
        Ok(path)
    }

    /// Reads a folder's names where they aren't known yet; `false` where there is no such folder.
    fn load(&mut self, study: Option<&StudyInstanceUid>) -> Result<bool, SpoolError> {
        let key = study.cloned();
        if self.folders.contains_key(&key) {
            return Ok(true);
        }
        let found = match study {
            None => Some((StudyPlace::Open, self.shared.layout.unsorted())),
            Some(study) => self.shared.find(study)?,
        };
        let Some((place, path)) = found else {
            return Ok(false);
        };
        let names = self.shared.list(&path)?.into_iter().collect();
        self.folders.insert(key, Folder { place, path, names });
        Ok(true)
    }

    fn folder_mut(&mut self, study: Option<&StudyInstanceUid>) -> Result<&mut Folder, SpoolError> {
        self.load(study)?;
        match (self.folders.get_mut(&study.cloned()), study) {
            (Some(folder), _) => Ok(folder),
            (None, Some(study)) => Err(SpoolError::NoSuchStudy(study.clone())),
            (None, None) => Err(SpoolError::Io {
                what: "list",
                path: self.shared.layout.unsorted(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Step 0.
    fn ensure_folder(&mut self, study: Option<&StudyInstanceUid>) -> Result<(), SpoolError> {
        let Some(study) = study else { return Ok(()) };
        if self.load(Some(study))? {
            return Ok(());
        }
        let path = self.shared.layout.open_study(study);
        let made = self.shared.disk.make_folder(&path);
        made.map_err(SpoolError::io("make", &path))?;
        self.shared
            .sync_folder(&self.shared.layout.open_group(study))?;
        let folder = Folder {
            place: StudyPlace::Open,
            path,
            names: BTreeSet::new(),
        };
        self.folders.insert(Some(study.clone()), folder);
        Ok(())
    }

    /// A study that is done and gets something new lies in `open/` before that is acknowledged: a start-up scan reads
    /// `open/` only, and would never analyse it elsewhere.
    fn ensure_open(
        &mut self,
        study: Option<&StudyInstanceUid>,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let Some(study) = study else { return Ok(()) };
        if self.folder_mut(Some(study))?.place == StudyPlace::Open {
            return Ok(());
        }
        self.flush(batch);
        self.reopen(study).map(drop)
    }

    fn change(&mut self, change: &Move) -> Result<PathBuf, SpoolError> {
        self.shared.check()?;
        match change {
            Move::Finish(study, day, instances) => self.finish(study, day, *instances),
            Move::Reopen(study) => self.reopen(study),
            Move::Discard(study, day) => self.discard(study, day.as_ref()),
            Move::DropDay(day) => self.drop_day(day),
            Move::File(sop, digest, study) => self.file(sop, *digest, study),
        }
    }

    fn finish(
        &mut self,
        study: &StudyInstanceUid,
        day: &Day,
        instances: Option<usize>,
    ) -> Result<PathBuf, SpoolError> {
        let folder = self.folder_mut(Some(study))?;
        if folder.place != StudyPlace::Open {
            return Ok(folder.path.clone());
        }
        let is_instance = |name: &&String| matches!(Name::parse(name), Name::Instance(..));
        let held = folder.names.iter().filter(is_instance).count();
        if instances.is_some_and(|known| known != held) {
            return Err(SpoolError::StudyChanged { held });
        }
        let layout = &self.shared.layout;
        let (day_folder, to) = (layout.done_day(day), layout.done_study(day, study));
        match self.shared.disk.make_folder(&day_folder) {
            Ok(()) => self.shared.sync_folder(&layout.done())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SpoolError::io("make", &day_folder)(error)),
        }
        self.relocate(study, StudyPlace::Done(day.clone()), to)
    }

    fn reopen(&mut self, study: &StudyInstanceUid) -> Result<PathBuf, SpoolError> {
        let folder = self.folder_mut(Some(study))?;
        if folder.place == StudyPlace::Open {
            return Ok(folder.path.clone());
        }
        let to = self.shared.layout.open_study(study);
        self.relocate(study, StudyPlace::Open, to)
    }

    /// Moves a study's folder. The new parent's fsync comes first: a power loss between the two may leave the study
    /// where it was, or where it goes, and never nowhere.
    fn relocate(
        &mut self,
        study: &StudyInstanceUid,
        place: StudyPlace,
        to: PathBuf,
    ) -> Result<PathBuf, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(Some(study))?;
        let from = std::mem::replace(&mut folder.path, to.clone());
        if let Err(error) = shared.disk.rename(&from, &to) {
            folder.path.clone_from(&from);
            return Err(SpoolError::io("move a study to", &to)(error));
        }
        folder.place = place;
        for parent in [to.parent(), from.parent()].into_iter().flatten() {
            shared.sync_folder(parent)?;
        }
        Ok(to)
    }

    /// Takes the folder out of sight in one step, durably; the caller deletes what is in it.
    fn discard(
        &mut self,
        study: &StudyInstanceUid,
        day: Option<&Day>,
    ) -> Result<PathBuf, SpoolError> {
        let folder = self.folder_mut(Some(study))?;
        if day.is_some_and(|day| folder.place != StudyPlace::Done(day.clone())) {
            return Err(SpoolError::NoSuchStudy(study.clone()));
        }
        let to = self.shared.part_path("discarded");
        let moved = self.relocate(study, StudyPlace::Open, to);
        self.folders.remove(&Some(study.clone()));
        moved
    }

    fn drop_day(&mut self, day: &Day) -> Result<PathBuf, SpoolError> {
        let path = self.shared.layout.done_day(day);
        if self.shared.entry(&path)? == Some(Entry::Folder) && self.shared.list(&path)?.is_empty() {
            let removed = self.shared.disk.remove_folder(&path);
            removed.map_err(SpoolError::io("remove", &path))?;
            self.shared.sync_folder(&self.shared.layout.done())?;
        }
        Ok(path)
    }

    /// Moves an instance, and its findings where there are some, from `unsorted/` to its study.
    fn file(
        &mut self,
        sop: &SopInstanceUid,
        digest: Digest,
        study: &StudyInstanceUid,
    ) -> Result<PathBuf, SpoolError> {
        self.ensure_folder(Some(study))?;
        self.reopen(study)?;
        let shared = Arc::clone(&self.shared);
        let instance = layout::instance_name(sop, digest.short());
        let findings = layout::findings_name(digest.short());
        let unsorted = self.folder_mut(None)?;
        let from = unsorted.path.clone();
        let mut moving = Vec::new();
        // The findings first: an instance without them is analysed again, findings without an instance are of no use.
        for name in [findings, instance.clone()] {
            if unsorted.names.remove(&name) {
                moving.push(name);
            }
        }
        let folder = self.folder_mut(Some(study))?;
        for name in moving {
            let to = folder.path.join(&name);
            if folder.names.contains(&name) {
                // The study has it already, under a name that tells the same bytes.
                let dropped = shared.disk.remove_file(&from.join(&name));
                dropped.map_err(SpoolError::io("remove", &from))?;
            } else {
                let moved = shared.disk.rename(&from.join(&name), &to);
                moved.map_err(SpoolError::io("move to", &to))?;
                folder.names.insert(name);
            }
        }
        let path = folder.path.clone();
        shared.sync_folder(&path)?;
        shared.sync_folder(&from)?;
        Ok(path.join(instance))
    }
}

/// Why a file that is named like an instance can't be used as one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// No file has this name.
    #[error("the file is gone")]
    Gone,
    /// Not the spool's header.
    #[error(transparent)]
    Header(#[from] part10::HeaderError),
    /// The file is shorter or longer than its header says.
    #[error("the file has {found} bytes where {expected} were written")]
    Length {
        /// By the header.
        expected: u64,
        /// On the disk.
        found: u64,
    },
    /// The header is of another instance than the name.
    #[error("the file's header is that of another instance")]
    OtherInstance,
}

/// Reads the header of an instance's file and compares it with the file's name and length. The data set isn't read.
pub(super) fn read_instance(
    shared: &Shared,
    path: &Path,
) -> Result<Result<Parsed, Unreadable>, SpoolError> {
    let Some(Entry::File(found)) = shared.entry(path)? else {
        return Ok(Err(Unreadable::Gone));
    };
    let head = shared.disk.read(path, part10::HEADER_BYTES_MAX);
    let head = head.map_err(SpoolError::io("read", path))?;
    Ok(check_instance(&head, found, path))
}

fn check_instance(head: &[u8], found: u64, path: &Path) -> Result<Parsed, Unreadable> {
    let parsed = part10::parse(head)?;
    let expected = parsed.header_bytes.saturating_add(parsed.data_set_bytes);
    if expected != found {
        return Err(Unreadable::Length { expected, found });
    }
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if name != layout::instance_name(&parsed.meta.sop_instance, parsed.digest.short()) {
        return Err(Unreadable::OtherInstance);
    }
    Ok(parsed)
}

pub(super) fn stored_instance(
    parsed: Parsed,
    study: Option<StudyInstanceUid>,
    path: PathBuf,
) -> StoredInstance {
    StoredInstance {
        study,
        sop_class: parsed.meta.sop_class,
        sop_instance: parsed.meta.sop_instance,
        transfer_syntax: parsed.meta.transfer_syntax,
        digest: parsed.digest,
        path,
        bytes: parsed.data_set_bytes,
        calling_ae: parsed.meta.calling_ae,
    }
}
