//! Small promises that belong to no study's folder: requests for commitment that carts made, and performed procedure
//! steps. Each is one file in `kept/`, fsynced before its request is answered.
//!
//! The committer never looks there, and nothing else does but this module, under a lock of its own: a request is made once
//! an examination, and may not wait behind a batch of instances.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use sonode_conformance::{SopInstanceUid, Uid};

use super::error::SpoolError;
use super::writer::write_temp;
use super::{Spool, shared::Shared};

/// Longest file that is read back: a request for [`sonode_conformance::limits::DATA_SET_BYTES_MAX`] in JSON.
const BYTES_MAX: u64 = 64 << 20;

/// What is kept, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptName {
    /// A cart's request for commitment: the peer's name and the Transaction UID.
    Commitment(String, Uid),
    /// A performed procedure step: its SOP Instance UID.
    ProcedureStep(SopInstanceUid),
}

impl KeptName {
    /// A cart chooses its Transaction UIDs itself, and the peer's name may be long: the name is a digest of both.
    fn file_name(&self) -> String {
        match self {
            Self::Commitment(peer, transaction) => {
                let hash = Sha256::new()
                    .chain_update(peer)
                    .chain_update([0])
                    .chain_update(transaction.as_str())
                    .finalize();
                let hash = hash.first_chunk::<16>().copied().unwrap_or_default();
                format!("commitment-{:032x}.json", u128::from_be_bytes(hash))
            }
            Self::ProcedureStep(sop) => format!("procedure-step-{sop}.json"),
        }
    }
}

/// Guards `kept/`.
#[derive(Default)]
pub(super) struct KeptLock(Mutex<()>);

impl Spool {
    /// Keeps a promise, in the place of what was kept under its name. Durable when it returns:
    ///
    /// 1. the file is written in `incoming/` and fdatasynced, *so that the name never stands for half of it*;
    /// 2. it is renamed to its name, over an older one;
    /// 3. the folder is fsynced, *since a rename alone can be lost*.
    ///
    /// # Errors
    /// [`SpoolError::OutOfSpace`], [`SpoolError::Poisoned`], [`SpoolError::Io`]. Then the older promise or none stands.
    pub fn keep(&self, name: &KeptName, json: &[u8]) -> Result<(), SpoolError> {
        let shared = self.shared();
        let mut temp = write_temp(shared, json)?;
        let _alone = self.lock_kept();
        let path = shared.layout.kept().join(name.file_name());
        let is_new = shared.entry(&path)?.is_none();
        let moved = if is_new {
            shared.disk.rename(temp.path(), &path)
        } else {
            shared.disk.replace(temp.path(), &path)
        };
        moved.map_err(SpoolError::io("rename a part file to", &path))?;
        temp.moved();
        let synced = sync(shared);
        if synced.is_err() && is_new {
            // A restarted node would find a promise that nobody was given.
            shared.remove_tree(&path).unwrap_or_default();
        }
        synced
    }

    /// Ends a promise. Durable when it returns; doing it again changes nothing.
    ///
    /// # Errors
    /// As [`Spool::keep`].
    pub fn release(&self, name: &KeptName) -> Result<(), SpoolError> {
        let shared = self.shared();
        shared.check()?;
        let _alone = self.lock_kept();
        let path = shared.layout.kept().join(name.file_name());
        if shared.entry(&path)?.is_none() {
            return Ok(());
        }
        let removed = shared.disk.remove_file(&path);
        removed.map_err(SpoolError::io("remove", &path))?;
        sync(shared)
    }

    /// Every promise that stands, as it was kept. One that can't be read is passed over with an error in the log.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the folder can't be read.
    pub fn kept(&self) -> Result<Vec<Vec<u8>>, SpoolError> {
        let shared = self.shared();
        let folder = shared.layout.kept();
        let mut names = shared.list(&folder)?;
        names.sort();
        let mut kept = Vec::new();
        for name in names {
            match shared.disk.read(&folder.join(&name), BYTES_MAX) {
                Ok(json) => kept.push(json),
                Err(error) => tracing::error!(name, %error, "a promise can't be read"),
            }
        }
        Ok(kept)
    }

    fn lock_kept(&self) -> std::sync::MutexGuard<'_, ()> {
        let lock = &self.inner.kept.0;
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sync(shared: &Shared) -> Result<(), SpoolError> {
    shared.sync_folder(&shared.layout.kept())
}
