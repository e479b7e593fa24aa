//! Whether an instance's file is the one that was committed.

use std::path::{Path, PathBuf};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::disk::Entry;
use super::error::SpoolError;
use super::instance::{ShortDigest, StoredInstance};
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
    check_length(found, expected)?;
    check_name(path, &parsed, layout::instance_name)?;
    Ok(parsed)
}

/// Reads what is left of an instance whose image was pruned: its header alone.
pub(super) fn read_pruned(
    shared: &Shared,
    path: &Path,
) -> Result<Result<Parsed, Unreadable>, SpoolError> {
    let head = shared.disk.read(path, part10::HEADER_BYTES_MAX);
    let head = head.map_err(SpoolError::io("read", path))?;
    Ok(check_pruned(&head, path))
}

fn check_pruned(head: &[u8], path: &Path) -> Result<Parsed, Unreadable> {
    let parsed = part10::parse(head)?;
    check_length(
        u64::try_from(head.len()).unwrap_or(u64::MAX),
        parsed.header_bytes,
    )?;
    check_name(path, &parsed, layout::pruned_name)?;
    Ok(parsed)
}

fn check_length(found: u64, expected: u64) -> Result<(), Unreadable> {
    if expected == found {
        Ok(())
    } else {
        Err(Unreadable::Length { expected, found })
    }
}

fn check_name(
    path: &Path,
    parsed: &Parsed,
    name_of: fn(&SopInstanceUid, ShortDigest) -> String,
) -> Result<(), Unreadable> {
    let name = path.file_name().and_then(|name| name.to_str());
    if name == Some(name_of(&parsed.meta.sop_instance, parsed.digest.short()).as_str()) {
        Ok(())
    } else {
        Err(Unreadable::OtherInstance)
    }
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
