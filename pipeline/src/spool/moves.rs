//! The committer's changes to whole folders: a study's way between `open/` and `done/`, and out.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::committer::Committer;
use super::error::SpoolError;
use super::instance::Digest;
use super::integrity::{Unreadable, read_instance, read_pruned};
use super::layout::{self, Day, Name};
use super::shared::{Shared, StudyPlace, undo};

/// A change to a whole study's folder.
pub(super) enum Move {
    /// To `done/`; where a number of instances is given, only if the folder holds exactly so many.
    Finish(StudyInstanceUid, Day, Option<usize>),
    /// Back to `open/`.
    Reopen(StudyInstanceUid),
    /// To `incoming/`, for deletion.
    Discard(StudyInstanceUid),
    /// Its images whose headers are kept, to `incoming/`, for deletion; only if it was finished on this day.
    DropImages(StudyInstanceUid, Day),
    /// An instance of `unsorted/` to its study.
    File(SopInstanceUid, Digest, StudyInstanceUid),
}

/// Files that are out of sight already and are deleted when this is dropped, in the thread that drops it: gigabytes take
/// their time to go, and neither the committer nor the engine should wait for it. What stays goes at the next start.
pub struct Discarded {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl Discarded {
    pub(super) fn new(shared: Arc<Shared>, path: PathBuf) -> Self {
        Self { shared, path }
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        if let Err(error) = self.shared.remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot delete: tried again at the next start");
        }
    }
}

impl Committer {
    /// Makes one change.
    pub(super) fn change(&mut self, change: &Move) -> Result<PathBuf, SpoolError> {
        self.shared.check()?;
        match change {
            Move::Finish(study, day, instances) => self.finish(study, day, *instances),
            Move::Reopen(study) => self.reopen(study),
            Move::Discard(study) => self.discard(study),
            Move::DropImages(study, day) => self.drop_images(study, day),
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
        if let Some(known) = instances
            && known != folder.versions()
        {
            self.set_damaged_aside(study)?;
            let held = self.folder_mut(Some(study))?.versions();
            if known != held {
                return Err(SpoolError::StudyChanged { held });
            }
        }
        let layout = &self.shared.layout;
        let (day_folder, to) = (layout.done_day(day), layout.done_study(day, study));
        match self.shared.disk.make_folder(&day_folder) {
            Ok(()) => {
                if let Err(error) = self.shared.sync_folder(&layout.done()) {
                    // The name goes again: after a restart it would pass for durable, and it isn't.
                    undo("a new day", self.shared.disk.remove_folder(&day_folder));
                    return Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SpoolError::io("make", &day_folder)(error)),
        }
        self.relocate(study, StudyPlace::Done(day.clone()), to)
    }

    /// Sets aside what a look into the files shows not to be what their names say: nobody was ever told of them, and the
    /// study would wait for them for ever.
    fn set_damaged_aside(&mut self, study: &StudyInstanceUid) -> Result<(), SpoolError> {
        let folder = self.folder_mut(Some(study))?;
        let (path, names) = (folder.path.clone(), folder.names.clone());
        for name in names {
            let read = match Name::parse(&name) {
                Name::Instance(..) => read_instance(&self.shared, &path.join(&name))?,
                Name::Pruned(..) => read_pruned(&self.shared, &path.join(&name))?,
                _ => continue,
            };
            match read {
                Ok(_) => {}
                Err(Unreadable::Gone) => {
                    self.folder_mut(Some(study))?.names.remove(&name);
                }
                Err(reason) => self.set_aside(Some(study), &name, &reason)?,
            }
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self, study: &StudyInstanceUid) -> Result<PathBuf, SpoolError> {
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
        // Who waits for a name in it makes it durable where it was made.
        folder.settle(&shared)?;
        let from = std::mem::replace(&mut folder.path, to.clone());
        if let Err(error) = shared.disk.rename(&from, &to) {
            folder.path.clone_from(&from);
            return Err(SpoolError::io("move a study to", &to)(error));
        }
        folder.place = place;
        let parents = [to.parent(), from.parent()];
        let synced = parents
            .iter()
            .flatten()
            .try_for_each(|parent| shared.sync_folder(parent));
        if let Err(error) = synced {
            undo("a study's move", shared.disk.rename(&to, &from));
            self.forget();
            return Err(error);
        }
        Ok(to)
    }

    /// Takes the folder out of sight in one step, durably; the caller deletes what is in it.
    fn discard(&mut self, study: &StudyInstanceUid) -> Result<PathBuf, SpoolError> {
        let to = self.shared.part_path("discarded");
        let moved = self.relocate(study, StudyPlace::Open, to);
        self.folders.remove(&Some(study.clone()));
        moved
    }

    /// Takes a done study's images out of sight, durably; the caller deletes the folder that they are in. An image whose
    /// header wasn't kept stays: it came after the caller looked.
    fn drop_images(&mut self, study: &StudyInstanceUid, day: &Day) -> Result<PathBuf, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let folder = self.folder_mut(Some(study))?;
        if folder.place != StudyPlace::Done(day.clone()) {
            return Err(SpoolError::NoSuchStudy(study.clone()));
        }
        folder.settle(&shared)?;
        let to = shared.part_path("pruned");
        let made = shared.disk.make_folder(&to);
        made.map_err(SpoolError::io("make", &to))?;
        let images = folder.names.iter().filter(|name| match Name::parse(name) {
            Name::Instance(sop, digest) => {
                folder.names.contains(&layout::pruned_name(&sop, digest))
            }
            _ => false,
        });
        let moved = images.clone().try_for_each(|name| {
            let from = folder.path.join(name);
            let moved = shared.disk.rename(&from, &to.join(name));
            moved.map_err(SpoolError::io("move out of its study", &from))
        });
        let path = folder.path.clone();
        // The names are read again when the study is asked for next: few that are done ever are.
        self.folders.remove(&Some(study.clone()));
        moved?;
        shared.sync_folder(&path)?;
        Ok(to)
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
        let instance = layout::instance_name(sop, digest.short());
        let findings = layout::findings_name(digest.short());
        // A copy that the study has already must be whole before the one in unsorted/ goes.
        self.look_up(Some(study), &instance, digest)?;
        // The findings first: an instance without them is analysed again, findings without an instance are of no use.
        let moved = [&findings, &instance]
            .into_iter()
            .try_for_each(|name| self.move_from_unsorted(name, study));
        if let Err(error) = moved {
            // What was moved and what wasn't: the folders know.
            self.forget();
            return Err(error);
        }
        let to = self.folder_mut(Some(study))?.path.clone();
        let from = self.folder_mut(None)?.path.clone();
        // As for a study's move: where it goes is durable before the place it came from forgets it.
        self.shared.sync_folder(&to)?;
        self.shared.sync_folder(&from)?;
        Ok(to.join(instance))
    }

    fn move_from_unsorted(
        &mut self,
        name: &str,
        study: &StudyInstanceUid,
    ) -> Result<(), SpoolError> {
        let shared = Arc::clone(&self.shared);
        let unsorted = self.folder_mut(None)?;
        let from = unsorted.path.join(name);
        if !unsorted.names.remove(name) {
            return Ok(());
        }
        let folder = self.folder_mut(Some(study))?;
        let to = folder.path.join(name);
        if folder.names.contains(name) {
            // The study has it already, under a name that tells the same bytes.
            let dropped = shared.disk.remove_file(&from);
            return dropped.map_err(SpoolError::io("remove", &from));
        }
        let moved = shared.disk.rename(&from, &to);
        moved.map_err(SpoolError::io("move to", &to))?;
        folder.names.insert(name.to_owned());
        Ok(())
    }
}
