//! What the spool's callers and its committer thread share.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sonode_conformance::StudyInstanceUid;

use super::disk::{Disk, Entry};
use super::error::SpoolError;
use super::layout::{Day, Layout};

/// After a failed fsync the spool is poisoned already: a second failure is only told.
pub(super) fn undo(what: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot take back {what}");
    }
}

/// Where a study's folder lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StudyPlace {
    /// In `open/`: something is or may be owed.
    Open,
    /// In `done/<day>/`.
    Done(Day),
}

pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) layout: Layout,
    /// Set once, never cleared: after a failed fsync nobody knows what the disk holds.
    poisoned: AtomicBool,
    /// Names of this start's part files begin with it, so that they can't meet an older start's.
    boot: String,
    parts: AtomicU64,
    /// Days of `done/` to which pruned images came back.
    regrown: Mutex<BTreeSet<Day>>,
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, layout: Layout) -> Self {
        Self {
            disk,
            layout,
            poisoned: AtomicBool::new(false),
            boot: uuid::Uuid::new_v4().simple().to_string(),
            parts: AtomicU64::new(0),
            regrown: Mutex::default(),
        }
    }

    /// A pruned image came back to where it lay.
    pub(super) fn note_regrown(&self, place: &StudyPlace) {
        if let StudyPlace::Done(day) = place {
            self.regrown().insert(day.clone());
        }
    }

    /// The days to which pruned images came back since this was asked last.
    pub(super) fn take_regrown(&self) -> BTreeSet<Day> {
        std::mem::take(&mut *self.regrown())
    }

    fn regrown(&self) -> MutexGuard<'_, BTreeSet<Day>> {
        self.regrown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }

    /// Refuses when poisoned.
    pub(super) fn check(&self) -> Result<(), SpoolError> {
        if self.is_poisoned() {
            Err(SpoolError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Records a failed fsync.
    pub(super) fn poison(&self, path: &Path, error: &io::Error) -> SpoolError {
        self.poisoned.store(true, Ordering::SeqCst);
        tracing::error!(
            path = %path.display(),
            %error,
            "an fsync failed: nothing is taken until the node is restarted"
        );
        SpoolError::Poisoned
    }

    /// fsync of a folder; a failure poisons.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<(), SpoolError> {
        self.check()?;
        self.disk
            .sync_folder(path)
            .map_err(|error| self.poison(path, &error))
    }

    pub(super) fn fresh_number(&self) -> u64 {
        self.parts.fetch_add(1, Ordering::Relaxed)
    }

    /// A new name in `incoming/`.
    pub(super) fn part_path(&self, who: &str) -> PathBuf {
        let name = format!("{}-{who}-{}.part", self.boot, self.fresh_number());
        self.layout.incoming().join(name)
    }

    pub(super) fn entry(&self, path: &Path) -> Result<Option<Entry>, SpoolError> {
        self.disk
            .entry(path)
            .map_err(SpoolError::io("look at", path))
    }

    pub(super) fn list(&self, folder: &Path) -> Result<Vec<String>, SpoolError> {
        self.disk
            .list(folder)
            .map_err(SpoolError::io("list", folder))
    }

    /// The days of `done/`, oldest first.
    pub(super) fn done_days(&self) -> Result<Vec<Day>, SpoolError> {
        let names = self.list(&self.layout.done())?;
        let mut days: Vec<_> = names
            .iter()
            .filter_map(|name| Day::parse(name).ok())
            .collect();
        days.sort();
        Ok(days)
    }

    /// Looks for a study's folder: one look at `open/`, then one for each day of `done/`, newest first. The committer
    /// asks once a study and remembers, so the days of history cost nothing for the instances that follow.
    pub(super) fn find(
        &self,
        study: &StudyInstanceUid,
    ) -> Result<Option<(StudyPlace, PathBuf)>, SpoolError> {
        let open = self.layout.open_study(study);
        if self.entry(&open)? == Some(Entry::Folder) {
            return Ok(Some((StudyPlace::Open, open)));
        }
        for day in self.done_days()?.into_iter().rev() {
            let path = self.layout.done_study(&day, study);
            if self.entry(&path)? == Some(Entry::Folder) {
                return Ok(Some((StudyPlace::Done(day), path)));
            }
        }
        Ok(None)
    }

    /// Removes a folder with everything in it; what can't be removed goes at the next start.
    pub(super) fn remove_tree(&self, path: &Path) -> io::Result<()> {
        match self.disk.entry(path)? {
            None => Ok(()),
            Some(Entry::Folder) => {
                for name in self.disk.list(path)? {
                    self.remove_tree(&path.join(name))?;
                }
                self.disk.remove_folder(path)
            }
            Some(_) => self.disk.remove_file(path),
        }
    }
}
