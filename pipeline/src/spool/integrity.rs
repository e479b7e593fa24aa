//! Whether an instance's file is the one that was committed.

use std::path::{Path, PathBuf};

use sonode_conformance::StudyInstanceUid;

use super::disk::Entry;
use super::error::SpoolError;
use super::instance::StoredInstance;
use super::layout;
use super::part10::{self, Parsed};
use super::shared::Shared;

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
