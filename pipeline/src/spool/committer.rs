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
//! poisoned. What a *killed* process left named but not fsynced is visible after the restart: a folder is fsynced, and
//! its parent, when this thread first touches it, before anything is compared with what it holds.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::error::SpoolError;
use super::instance::{Committed, Digest, StoredInstance};
use super::integrity::{Unreadable, read_instance, stored_instance};
use super::layout::{self, Name};
use super::moves::Move;
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

/// A study's folder as this thread knows it. Nobody else changes it.
pub(super) struct Folder {
    pub(super) place: StudyPlace,
    pub(super) path: PathBuf,
    pub(super) names: BTreeSet<String>,
}

impl Folder {
    fn has_other_version(&self, sop: &SopInstanceUid) -> bool {
        let prefix = layout::instance_prefix(sop);
        self.names
            .range(prefix.clone()..)
            .take_while(|name| name.starts_with(&prefix))
            .any(|name| layout::is_version_of(name, sop))
    }

    /// How many instances it holds, versions and pruned ones counted.
    pub(super) fn versions(&self) -> usize {
        let mut held = BTreeSet::new();
        for name in &self.names {
            if let Name::Instance(sop, digest) | Name::Pruned(sop, digest) = Name::parse(name) {
                held.insert(layout::instance_name(&sop, digest));
            }
        }
        held.len()
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
    pub(super) shared: Arc<Shared>,
    /// By study; `None` is `unsorted/`.
    pub(super) folders: HashMap<Option<StudyInstanceUid>, Folder>,
}

/// A caller that has gone away needs no answer.
fn answer<T>(reply: &Reply<T>, result: Result<T, SpoolError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for an answer of the committer");
    }
}

/// After a failed fsync the spool is poisoned already: a second failure is only told.
pub(super) fn undo(what: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot take back {what}");
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
            undo("an unacknowledged file", self.shared.disk.remove_file(path));
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
        if let Some(stored) = self.look_up(study.as_ref(), &name, pending.digest)? {
            return Ok(Committed::Duplicate(stored));
        }
        let pruned = layout::pruned_name(sop, pending.digest.short());
        let was_pruned = self.folder_mut(study.as_ref())?.names.contains(&pruned);
        if !was_pruned {
            self.ensure_open(study.as_ref(), batch)?;
        }
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
        Ok(if was_pruned {
            shared.note_regrown(&folder.place);
            // Its bytes are back where they were; the study has had it all the time.
            Committed::Duplicate(stored)
        } else if new_version {
            Committed::NewVersion(stored)
        } else {
            Committed::Stored(stored)
        })
    }

    /// The instance that has this name already, if its file is whole. A damaged one is set aside: what comes now is
    /// better.
    pub(super) fn look_up(
        &mut self,
        study: Option<&StudyInstanceUid>,
        name: &str,
        digest: Digest,
    ) -> Result<Option<StoredInstance>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(study)?;
        if !folder.names.contains(name) {
            return Ok(None);
        }
        let path = folder.path.join(name);
        match read_instance(&shared, &path)? {
            Ok(found) if found.digest == digest => {
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
                self.set_aside(study, name, &reason)?;
                Ok(None)
            }
        }
    }

    /// Gives a damaged file a name that nothing looks for: it is kept as evidence, and holds up nothing.
    pub(super) fn set_aside(
        &mut self,
        study: Option<&StudyInstanceUid>,
        name: &str,
        reason: &Unreadable,
    ) -> Result<(), SpoolError> {
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(study)?;
        let path = folder.path.join(name);
        let aside = format!("{name}.{}.damaged", uuid::Uuid::new_v4().simple());
        tracing::error!(
            path = %path.display(), %reason, kept_as = %aside,
            "a stored instance is damaged: its file is kept under another name, and it can be sent again"
        );
        let renamed = shared.disk.rename(&path, &folder.path.join(&aside));
        renamed.map_err(SpoolError::io("set aside", &path))?;
        folder.names.remove(name);
        folder.names.insert(aside);
        Ok(())
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

    /// Reads a folder's names where they aren't known yet, and makes them durable; `false` where there is no such folder.
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
        // A killed process may have left names that were never synced: a duplicate of them must not be acknowledged.
        self.shared.sync_folder(&path)?;
        if let Some(parent) = path.parent() {
            self.shared.sync_folder(parent)?;
        }
        let names = self.shared.list(&path)?.into_iter().collect();
        self.folders.insert(key, Folder { place, path, names });
        Ok(true)
    }

    pub(super) fn folder_mut(
        &mut self,
        study: Option<&StudyInstanceUid>,
    ) -> Result<&mut Folder, SpoolError> {
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
    pub(super) fn ensure_folder(
        &mut self,
        study: Option<&StudyInstanceUid>,
    ) -> Result<(), SpoolError> {
        let Some(study) = study else { return Ok(()) };
        if self.load(Some(study))? {
            return Ok(());
        }
        let path = self.shared.layout.open_study(study);
        let made = self.shared.disk.make_folder(&path);
        made.map_err(SpoolError::io("make", &path))?;
        let group = self.shared.layout.open_group(study);
        if let Err(error) = self.shared.sync_folder(&group) {
            // A restarted node would find the folder and take it for durable.
            undo(
                "a new study's folder",
                self.shared.disk.remove_folder(&path),
            );
            return Err(error);
        }
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
}
