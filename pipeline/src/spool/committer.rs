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
//! 4. fsync of the folder, in the thread of whoever waits for the name (`durability`). *A rename alone can be lost.*
//! 5. Only now the answer. A duplicate waits for step 4 too, since what it duplicates may not be durable yet.
//!
//! There is no timer. Alone, an instance waits for nobody; under load a folder's fsync is shared by all who came while
//! another one of it ran, and those of different folders run side by side.
//!
//! A failed fsync is never retried: Linux reports it once and marks the pages clean. The spool is poisoned, and whoever
//! waits fails; what they named is removed again as far as possible (so that a restart doesn't take it for durable).
//! What a *killed* process left named but not fsynced is visible after the restart: a folder is fsynced, and
//! its parent, when this thread first touches it, before anything is compared with what it holds.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::durability::{Durability, Named};
use super::error::SpoolError;
use super::instance::{Committed, Digest, StoredInstance};
use super::integrity::{Unreadable, read_instance, stored_instance};
use super::layout::{self, Name};
use super::moves::Move;
use super::shared::{Shared, StudyPlace, undo};
use super::writer::{Pending, TempFile};

/// Most studies whose file names are remembered; beyond it they are read again when needed.
const FOLDERS_MAX: usize = 512;

pub(super) type Reply<T> = SyncSender<Result<T, SpoolError>>;

/// What the callers ask for. Each waits for its reply.
pub(super) enum Request {
    Commit(
        Box<Pending>,
        Option<StudyInstanceUid>,
        Reply<Named<Committed>>,
    ),
    Publish(Publication, Reply<Named<PathBuf>>),
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
    /// How far they are durable.
    pub(super) durability: Arc<Durability>,
}

impl Folder {
    /// All that stands under `names` is durable.
    fn new(place: StudyPlace, path: PathBuf, names: BTreeSet<String>) -> Self {
        Self {
            place,
            path,
            names,
            durability: Arc::default(),
        }
    }

    /// Returns when every name that was made is durable: nobody waits for one any more.
    pub(super) fn settle(&self, shared: &Shared) -> Result<(), SpoolError> {
        let made = self.durability.made();
        self.durability.sync(made, shared, &self.path)
    }

    /// For whoever waits until it is durable.
    fn named<T>(&self, done: T, new: Option<PathBuf>) -> Named<T> {
        Named {
            done,
            folder: self.path.clone(),
            durability: Arc::clone(&self.durability),
            made: self.durability.made(),
            new,
        }
    }

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

impl Committer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            folders: HashMap::new(),
        }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        for request in requests {
            match request {
                Request::Commit(pending, study, reply) => {
                    answer(&reply, self.commit(*pending, study));
                }
                Request::Publish(publication, reply) => answer(&reply, self.publish(publication)),
                Request::Move(change, reply) => answer(&reply, self.change(&change)),
            }
            if self.folders.len() > FOLDERS_MAX {
                self.forget();
            }
        }
    }

    /// Forgets what the folders hold. Nobody waits for their names any more: the paths that they have may change unseen.
    pub(super) fn forget(&mut self) {
        for (_, folder) in self.folders.drain() {
            if let Err(error) = folder.settle(&self.shared) {
                tracing::debug!(%error, "a folder that isn't settled is forgotten");
            }
        }
    }

    /// Step 3 for an instance, after step 0 where its study is new.
    fn commit(
        &mut self,
        mut pending: Pending,
        study: Option<StudyInstanceUid>,
    ) -> Result<Named<Committed>, SpoolError> {
        self.shared.check()?;
        let sop = &pending.meta.sop_instance;
        let name = layout::instance_name(sop, pending.digest.short());
        self.ensure_folder(study.as_ref())?;
        if let Some(stored) = self.look_up(study.as_ref(), &name, pending.digest)? {
            let folder = self.folder_mut(study.as_ref())?;
            return Ok(folder.named(Committed::Duplicate(stored), None));
        }
        let pruned = layout::pruned_name(sop, pending.digest.short());
        let was_pruned = self.folder_mut(study.as_ref())?.names.contains(&pruned);
        if !was_pruned {
            self.ensure_open(study.as_ref())?;
        }
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(study.as_ref())?;
        let new_version = folder.has_other_version(sop);
        let path = folder.path.join(&name);
        let renamed = shared.disk.rename(pending.temp.path(), &path);
        renamed.map_err(SpoolError::io("rename a part file to", &path))?;
        pending.temp.moved();
        folder.names.insert(name);
        folder.durability.count();
        let stored = StoredInstance {
            study,
            sop_class: pending.meta.sop_class.clone(),
            sop_instance: pending.meta.sop_instance.clone(),
            transfer_syntax: pending.meta.transfer_syntax.clone(),
            digest: pending.digest,
            path: path.clone(),
            bytes: pending.bytes,
            calling_ae: pending.meta.calling_ae.clone(),
        };
        let committed = if was_pruned {
            shared.note_regrown(&folder.place);
            // Its bytes are back where they were; the study has had it all the time.
            Committed::Duplicate(stored)
        } else if new_version {
            Committed::NewVersion(stored)
        } else {
            Committed::Stored(stored)
        };
        Ok(folder.named(committed, Some(path)))
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
    fn publish(&mut self, mut publication: Publication) -> Result<Named<PathBuf>, SpoolError> {
        self.shared.check()?;
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(publication.study.as_ref())?;
        let path = folder.path.join(&publication.name);
        let taken = folder.names.contains(&publication.name);
        let mut new = None;
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
                new = Some(path.clone());
            }
        }
        folder.durability.count();
        Ok(folder.named(path, new))
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
        self.folders.insert(key, Folder::new(place, path, names));
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
            let removed = self.shared.disk.remove_folder(&path);
            undo("a new study's folder", removed);
            return Err(error);
        }
        let folder = Folder::new(StudyPlace::Open, path, BTreeSet::new());
        self.folders.insert(Some(study.clone()), folder);
        Ok(())
    }

    /// A study that is done and gets something new lies in `open/` before that is acknowledged: a start-up scan reads
    /// `open/` only, and would never analyse it elsewhere.
    fn ensure_open(&mut self, study: Option<&StudyInstanceUid>) -> Result<(), SpoolError> {
        let Some(study) = study else { return Ok(()) };
        if self.folder_mut(Some(study))?.place == StudyPlace::Open {
            return Ok(());
        }
        self.reopen(study).map(drop)
    }
}
