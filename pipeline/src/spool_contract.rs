//! The spool's public types.
use sonode_conformance::*;
use std::path::PathBuf;
/// Spool.
#[derive(Clone)]
pub struct Spool;
/// Digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);
/// What the spool did with an object.
#[derive(Debug, Clone)]
pub enum Committed {
    /// New.
    Stored(StoredInstance),
    /// Same bytes.
    Duplicate(StoredInstance),
    /// Other bytes.
    NewVersion(StoredInstance),
}
/// One stored instance.
#[derive(Debug, Clone)]
pub struct StoredInstance {
    /// Study.
    pub study: Option<StudyInstanceUid>,
    /// Class.
    pub sop_class: SopClassUid,
    /// Instance.
    pub sop_instance: SopInstanceUid,
    /// Syntax.
    pub transfer_syntax: TransferSyntaxUid,
    /// SHA-256.
    pub digest: Digest,
    /// File.
    pub path: PathBuf,
    /// Size.
    pub bytes: u64,
    /// AE.
    pub calling_ae: Option<AeTitle>,
}
