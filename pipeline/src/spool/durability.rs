//! Making the names in a folder durable: step 4 of the order in `committer`.
//!
//! Whoever waits for a name does the fsync itself, so that those of different studies run side by side. While one does
//! it, the others who wait for names in the same folder wait too, and one of them does the next for all. There is no
//! timer: alone, a name waits for nobody.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::SpoolError;
use super::shared::{Shared, undo};

/// How many names the committer has made in one folder, and how many of them are durable.
#[derive(Default)]
pub(super) struct Durability {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Default)]
struct Counts {
    made: u64,
    durable: u64,
    /// Whether somebody is in the fsync.
    syncing: bool,
}

impl Durability {
    /// Another one was made.
    pub(super) fn count(&self) {
        self.counts().made += 1;
    }

    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        self.counts().made
    }

    /// Returns when so many are durable. The folder doesn't move meanwhile: before it does, the committer waits here for
    /// all of them.
    pub(super) fn sync(
        &self,
        wanted: u64,
        shared: &Shared,
        folder: &Path,
    ) -> Result<(), SpoolError> {
        let mut counts = self.counts();
        loop {
            // Whichever folder's fsync it was that failed.
            shared.check()?;
            if counts.durable >= wanted {
                return Ok(());
            }
            if counts.syncing {
                let woken = self.changed.wait(counts);
                counts = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            counts.syncing = true;
            let made = counts.made;
            drop(counts);
            let synced = shared.sync_folder(folder);
            counts = self.counts();
            counts.syncing = false;
            if synced.is_ok() {
                counts.durable = made;
            }
            self.changed.notify_all();
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the committer did, under a name that isn't durable yet.
pub(super) struct Named<T> {
    pub(super) done: T,
    pub(super) folder: PathBuf,
    pub(super) durability: Arc<Durability>,
    /// The folder's names when it was done: what a duplicate duplicates may be among them.
    pub(super) made: u64,
    /// The name, where there was none before.
    pub(super) new: Option<PathBuf>,
}

impl<T> Named<T> {
    /// Step 4. A name that can't be made durable is taken back: a restarted node would take it for durable, and answer
    /// "duplicate" to the peer's second try.
    pub(super) fn sync(self, shared: &Shared) -> Result<T, SpoolError> {
        let synced = self.durability.sync(self.made, shared, &self.folder);
        if let (Err(_), Some(path)) = (&synced, &self.new) {
            undo("an unacknowledged file", shared.disk.remove_file(path));
        }
        synced.map(|()| self.done)
    }
}
