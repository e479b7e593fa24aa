//! What can go wrong in the spool, by operation.

use std::io;
use std::path::{Path, PathBuf};

use sonode_conformance::{StudyInstanceUid, UidError, limits};

/// Why the spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another spool of this one) has the folder.
    #[error("{} is in use by another sonode: it holds the lock {}", data_dir.display(), lock.display())]
    Locked {
        /// The data folder.
        data_dir: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// The folder was written by a version with another layout.
    #[error(
        "{} has on-disk layout {found:?}, this sonode reads layout {expected}: \
         use the version that wrote it, or another data_dir",
        data_dir.display()
    )]
    Version {
        /// The data folder.
        data_dir: PathBuf,
        /// What VERSION says, at most 64 characters of it.
        found: String,
        /// What this build writes.
        expected: u32,
    },
    /// The node's own UID is gone or damaged. A new one would give every report a new identity, so none is made up.
    #[error("{} does not hold the node's UID ({source}): restore the file from a backup", path.display())]
    NodeUid {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: UidError,
    },
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why an instance was not taken. None of it was kept, and nothing of it may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The disk or the quota is full.
    #[error("the spool's disk is full")]
    OutOfSpace,
    /// More than [`limits::INSTANCE_BYTES_MAX`] or than the file system can hold in a file.
    #[error("the data set is longer than {} bytes", limits::INSTANCE_BYTES_MAX)]
    TooLarge,
    /// An fsync failed, now or earlier: nothing is taken any more until a restart.
    #[error("an fsync of the spool failed: nothing is taken until the node is restarted")]
    Poisoned,
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why an operation on the spool failed. Nothing of it may be relied upon.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk or the quota is full.
    #[error("the spool's disk is full")]
    OutOfSpace,
    /// An fsync failed, now or earlier: nothing is written any more until a restart.
    #[error("an fsync of the spool failed: nothing is written until the node is restarted")]
    Poisoned,
    /// The study is neither in `open/` nor in `done/`.
    #[error("study {0} is not in the spool")]
    NoSuchStudy(StudyInstanceUid),
    /// The study was not moved, because it holds another number of instances than the caller knows of.
    #[error("the study holds {held} instances, another number than expected")]
    StudyChanged {
        /// How many it holds.
        held: usize,
    },
    /// A report of this name was committed with other bytes: a report never changes.
    #[error("{} exists with other contents", path.display())]
    ReportDiffers {
        /// The report that stands.
        path: PathBuf,
    },
    /// A day that isn't `YYYYMMDD`, or a peer's name that doesn't fit into a file name.
    #[error("{0:?} cannot be part of a file name of the spool")]
    BadName(String),
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl SpoolError {
    /// Sorts a system error; for `map_err` at the call.
    pub(super) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::OutOfSpace,
            _ => Self::Io {
                what,
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl From<SpoolError> for ReceiveError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::OutOfSpace => Self::OutOfSpace,
            SpoolError::Poisoned => Self::Poisoned,
            SpoolError::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
                Self::TooLarge
            }
            SpoolError::Io { what, path, source } => Self::Io { what, path, source },
            // The remaining ones belong to operations that receive nothing.
            other => Self::Io {
                what: "commit into",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}

impl From<SpoolError> for OpenError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Io { what, path, source } => Self::Io { what, path, source },
            other => Self::Io {
                what: "prepare",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}
