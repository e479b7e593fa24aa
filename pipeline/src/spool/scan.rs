//! Reading what lies in the spool: at start, and when a study is taken up again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};

use super::error::SpoolError;
use super::instance::{ShortDigest, StoredInstance};
use super::integrity::{read_instance, read_pruned, stored_instance};
use super::layout::{Name, PeerMark};
use super::shared::Shared;

/// Everything that one folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStudy {
    /// The study.
    pub uid: StudyInstanceUid,
    /// Its folder.
    pub folder: PathBuf,
    /// Every version of every instance whose file is whole, by file name.
    pub instances: Vec<StoredInstance>,
    /// The same of those whose images were pruned; `path` is what was kept of them, the header.
    pub pruned: Vec<StoredInstance>,
    /// The findings files, by the digest of their instance (`instance.digest.short()`), pruned or not.
    pub findings: BTreeMap<ShortDigest, PathBuf>,
    /// The committed reports: revision, SOP Instance UID, file; by revision.
    pub reports: Vec<(u32, SopInstanceUid, PathBuf)>,
    /// The committed companions of reports: revision and SOP Instance UID.
    pub companions: Vec<(u32, SopInstanceUid)>,
    /// What was marked of which peer.
    pub marks: Vec<(PeerMark, String, SopInstanceUid)>,
    /// What could not be used. It stays where it is.
    pub skipped: Vec<Skipped>,
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, for people.
    pub reason: String,
}

/// Instances without a readable Study Instance UID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsorted {
    /// The whole ones; their `study` is `None`.
    pub instances: Vec<StoredInstance>,
    /// Findings of them, by digest.
    pub findings: BTreeMap<ShortDigest, PathBuf>,
    /// What could not be used.
    pub skipped: Vec<Skipped>,
}

impl OpenStudy {
    /// Whether its folder was made and nothing came into it.
    fn is_empty(&self) -> bool {
        let files = [self.instances.len(), self.pruned.len(), self.skipped.len()];
        let own = [
            self.findings.len(),
            self.reports.len(),
            self.companions.len(),
        ];
        files.iter().chain(&own).sum::<usize>() + self.marks.len() == 0
    }
}

/// The studies of `open/`, in no order. A folder that can't be read is skipped with a warning; one that a process made and
/// did not live to fill is no study, and goes.
pub(super) fn open_studies(shared: &Shared) -> Result<Vec<OpenStudy>, SpoolError> {
    let mut studies = Vec::new();
    for group in shared.layout.open_groups() {
        for name in shared.list(&group)? {
            let folder = group.join(&name);
            let Ok(uid) = name.parse::<StudyInstanceUid>() else {
                tracing::warn!(path = %folder.display(), "no study's folder: left alone");
                continue;
            };
            match study(shared, uid, folder.clone()) {
                Ok(study) if study.is_empty() => remove_empty(shared, &folder),
                Ok(study) => studies.push(study),
                Err(error) => {
                    tracing::error!(path = %folder.display(), %error, "a study can't be read: left alone");
                }
            }
        }
    }
    Ok(studies)
}

fn remove_empty(shared: &Shared, folder: &Path) {
    match shared.disk.remove_folder(folder) {
        Ok(()) => tracing::warn!(path = %folder.display(), "an empty study folder is removed"),
        Err(error) => {
            tracing::warn!(path = %folder.display(), %error, "an empty study folder can't be removed");
        }
    }
}

/// Everything in one study's folder.
pub(super) fn study(
    shared: &Shared,
    uid: StudyInstanceUid,
    folder: PathBuf,
) -> Result<OpenStudy, SpoolError> {
    let mut names = shared.list(&folder)?;
    names.sort();
    let mut study = OpenStudy {
        uid,
        folder,
        instances: Vec::new(),
        pruned: Vec::new(),
        findings: BTreeMap::new(),
        reports: Vec::new(),
        companions: Vec::new(),
        marks: Vec::new(),
        skipped: Vec::new(),
    };
    for name in names {
        let path = study.folder.join(&name);
        match Name::parse(&name) {
            Name::Instance(..) => match instance(shared, Some(&study.uid), &path) {
                Ok(instance) => study.instances.push(instance),
                Err(skipped) => study.skipped.push(skipped),
            },
            Name::Pruned(..) => match pruned(shared, &study.uid, &path) {
                Ok(instance) => study.pruned.push(instance),
                Err(skipped) => study.skipped.push(skipped),
            },
            Name::Findings(digest) => {
                study.findings.insert(digest, path);
            }
            Name::Report(revision, sop) => study.reports.push((revision, sop, path)),
            Name::Companion(revision, sop) => study.companions.push((revision, sop)),
            Name::Mark(mark, peer, sop) => study.marks.push((mark, peer, sop)),
            Name::Damaged => study.skipped.push(skip(path, "set aside as damaged")),
            Name::Unknown => study
                .skipped
                .push(skip(path, "not a name that the spool makes")),
        }
    }
    study.reports.sort_by_key(|(revision, ..)| *revision);
    let is_here = |pruned: &StoredInstance| {
        let is_same = |held: &StoredInstance| {
            held.digest == pruned.digest && held.sop_instance == pruned.sop_instance
        };
        study.instances.iter().any(is_same)
    };
    study.pruned.retain(|pruned| !is_here(pruned));
    Ok(study)
}

/// Everything in `unsorted/`.
pub(super) fn unsorted(shared: &Shared) -> Result<Unsorted, SpoolError> {
    let folder = shared.layout.unsorted();
    let mut names = shared.list(&folder)?;
    names.sort();
    let mut found = Unsorted::default();
    for name in names {
        let path = folder.join(&name);
        match Name::parse(&name) {
            Name::Instance(..) => match instance(shared, None, &path) {
                Ok(instance) => found.instances.push(instance),
                Err(skipped) => found.skipped.push(skipped),
            },
            Name::Findings(digest) => {
                found.findings.insert(digest, path);
            }
            _ => found
                .skipped
                .push(skip(path, "not a name that the spool makes")),
        }
    }
    Ok(found)
}

fn instance(
    shared: &Shared,
    study: Option<&StudyInstanceUid>,
    path: &Path,
) -> Result<StoredInstance, Skipped> {
    match read_instance(shared, path) {
        Ok(Ok(parsed)) => Ok(stored_instance(parsed, study.cloned(), path.to_owned())),
        Ok(Err(reason)) => Err(skip(path.to_owned(), &reason)),
        Err(error) => Err(skip(path.to_owned(), &error)),
    }
}

fn pruned(
    shared: &Shared,
    study: &StudyInstanceUid,
    path: &Path,
) -> Result<StoredInstance, Skipped> {
    match read_pruned(shared, path) {
        Ok(Ok(parsed)) => Ok(stored_instance(
            parsed,
            Some(study.clone()),
            path.to_owned(),
        )),
        Ok(Err(reason)) => Err(skip(path.to_owned(), &reason)),
        Err(error) => Err(skip(path.to_owned(), &error)),
    }
}

fn skip(path: PathBuf, reason: &(impl ToString + ?Sized)) -> Skipped {
    let reason = reason.to_string();
    tracing::warn!(path = %path.display(), %reason, "passed over in the spool");
    Skipped { path, reason }
}
