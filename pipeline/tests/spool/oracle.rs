//! What was promised, kept naively in a map, and the check that it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sonode_conformance::{AeTitle, SopInstanceUid, StudyInstanceUid};
use sonode_pipeline::spool::{
    Committed, Digest, Disk, FileMeta, InstanceWriter, OpenError, PeerMark, ReceiveError, Spool,
    StoredInstance, StudyPlace,
};

use crate::crash_disk::CrashDisk;

pub(crate) const ROOT: &str = "/data";

pub(crate) fn open(disk: impl Disk + 'static) -> Result<Spool, OpenError> {
    Spool::open_on(Arc::new(disk), Path::new(ROOT))
}

pub(crate) fn study(number: u8) -> StudyInstanceUid {
    format!("1.2.826.9.{number}").parse().unwrap()
}

pub(crate) fn sop(number: u8) -> SopInstanceUid {
    // The first is a beginning of the second and so on, as a trap for comparing names.
    format!("1.2.826.8{}", ".1".repeat(usize::from(number)))
        .parse()
        .unwrap()
}

pub(crate) fn meta(instance: u8) -> FileMeta {
    FileMeta {
        sop_class: "1.2.840.10008.5.1.4.1.1.3.1".parse().unwrap(),
        sop_instance: sop(instance),
        transfer_syntax: "1.2.840.10008.1.2.1".parse().unwrap(),
        calling_ae: Some(AeTitle::parse(b"CART1").unwrap()),
    }
}

/// A data set: its kind decides the length, from nothing to one that goes around the writer's buffer.
pub(crate) fn contents(instance: u8, kind: u8) -> Vec<u8> {
    let length = [0, 10, 5_000, 300_000][usize::from(kind % 4)];
    let mark = instance.wrapping_mul(31).wrapping_add(kind);
    let mut bytes: Vec<u8> = (0..=250)
        .cycle()
        .map(|byte: u8| byte ^ mark)
        .take(length)
        .collect();
    bytes.push(mark);
    bytes
}

/// Receives one instance in portions and commits it.
pub(crate) fn store(
    spool: &Spool,
    study: Option<StudyInstanceUid>,
    instance: u8,
    data: &[u8],
) -> Result<Committed, ReceiveError> {
    let mut writer = spool.begin(u64::from(instance), &meta(instance))?;
    // As an association receives: what comes with the command, the middle of a long PDV, its last byte; then short ones.
    for portion in data.chunks(70_000) {
        let (came, rest) = portion.split_at(portion.len().min(700));
        writer.write(came)?;
        let (middle, last) = rest.split_at(rest.len().saturating_sub(1));
        fill(&mut writer, middle)?;
        writer.write(last)?;
    }
    spool.commit(writer.finish()?, study)
}

/// Puts bytes into the writer's space, as many at a time as it has room for.
pub(crate) fn fill(writer: &mut InstanceWriter, mut data: &[u8]) -> Result<(), ReceiveError> {
    writer.make_space()?;
    while !data.is_empty() {
        let space = writer.space(data.len());
        let (now, later) = data.split_at(space.len());
        space.copy_from_slice(now);
        writer.filled(now.len())?;
        data = later;
    }
    Ok(())
}

type Key = (Option<u8>, u8, u8);

/// Everything that was acknowledged.
#[derive(Default)]
pub(crate) struct Promises {
    pub(crate) instances: BTreeMap<Key, Digest>,
    /// The contents that may be there: the last acknowledged, and those of failed attempts since.
    pub(crate) findings: BTreeMap<Key, Vec<Vec<u8>>>,
    pub(crate) reports: BTreeMap<(u8, u32), Vec<u8>>,
    pub(crate) marks: BTreeSet<(u8, PeerMark, String, u8)>,
    /// Studies that were finished, and got nothing since.
    pub(crate) done: BTreeSet<u8>,
    /// Of `instances`, those whose images may have been pruned: their headers are promised still.
    pub(crate) prunable: BTreeSet<Key>,
}

impl Promises {
    pub(crate) fn forget(&mut self, study: u8) {
        self.instances.retain(|key, _| key.0 != Some(study));
        self.prunable.retain(|key| key.0 != Some(study));
        self.findings.retain(|key, _| key.0 != Some(study));
        self.reports.retain(|key, _| key.0 != study);
        self.marks.retain(|key| key.0 != study);
        self.done.remove(&study);
    }

    /// Whether each promise is kept, byte for byte.
    pub(crate) fn check(&self, spool: &Spool, disk: &CrashDisk) -> Result<(), String> {
        for (key, digest) in &self.instances {
            let (study_number, instance, kind) = key;
            let who = format!("instance {instance}/{kind} of study {study_number:?}");
            if self.prunable.contains(key) && is_pruned(spool, *key, digest) {
                continue;
            }
            let held = held(spool, *study_number).ok_or(format!("{who}: no study"))?;
            let found = held
                .iter()
                .find(|stored| stored.sop_instance == sop(*instance) && stored.digest == *digest)
                .ok_or(format!("{who}: not found"))?;
            let file = disk
                .contents(&found.path)
                .ok_or(format!("{who}: no file"))?;
            let data = contents(*instance, *kind);
            if found.bytes != data.len() as u64 || !file.ends_with(&data) {
                return Err(format!("{who}: other bytes"));
            }
        }
        for number in &self.done {
            let found = spool.find_study(&study(*number));
            let place = found
                .map_err(|error| error.to_string())?
                .map(|found| found.0);
            if !matches!(place, Some(StudyPlace::Done(_))) {
                return Err(format!("study {number} is no longer done: {place:?}"));
            }
        }
        self.check_own(spool, disk)?;
        one_place(disk)
    }

    fn check_own(&self, spool: &Spool, disk: &CrashDisk) -> Result<(), String> {
        for ((number, revision), bytes) in &self.reports {
            let found = spool
                .scan_study(&study(*number))
                .map_err(|error| error.to_string())?;
            let report = found.reports.iter().find(|report| report.0 == *revision);
            let path = &report
                .ok_or(format!("report {revision} of {number} not found"))?
                .2;
            if disk.contents(path).as_ref() != Some(bytes) {
                return Err(format!(
                    "report {revision} of study {number} has other bytes"
                ));
            }
        }
        for (number, mark, peer, instance) in &self.marks {
            let found = spool
                .scan_study(&study(*number))
                .map_err(|error| error.to_string())?;
            if !found.marks.contains(&(*mark, peer.clone(), sop(*instance))) {
                return Err(format!("the mark for {peer} in study {number} is gone"));
            }
        }
        for (key, allowed) in &self.findings {
            let Some((number, digest)) = key.0.zip(self.instances.get(key)) else {
                continue;
            };
            let found = spool
                .scan_study(&study(number))
                .map_err(|error| error.to_string())?;
            let path = found
                .findings
                .get(&digest.short())
                .ok_or("findings not found")?;
            if !disk
                .contents(path)
                .is_some_and(|found| allowed.contains(&found))
            {
                return Err(format!("other findings in study {number}"));
            }
        }
        Ok(())
    }

    /// A peer that sends everything again hears success and changes nothing.
    pub(crate) fn resend(&self, spool: &Spool) -> Result<(), String> {
        for ((number, instance, kind), digest) in &self.instances {
            let data = contents(*instance, *kind);
            match store(spool, number.map(study), *instance, &data) {
                Ok(Committed::Duplicate(stored)) if stored.digest == *digest => {}
                other => return Err(format!("{instance}/{kind} of {number:?}: {other:?}")),
            }
        }
        Ok(())
    }
}

fn held(spool: &Spool, number: Option<u8>) -> Option<Vec<StoredInstance>> {
    match number {
        Some(number) => Some(spool.scan_study(&study(number)).ok()?.instances),
        None => Some(spool.scan_unsorted().ok()?.instances),
    }
}

/// Whether all that pruning may leave of an instance is there.
fn is_pruned(spool: &Spool, (number, instance, kind): Key, digest: &Digest) -> bool {
    let found = number.and_then(|number| spool.scan_study(&study(number)).ok());
    let bytes = contents(instance, kind).len() as u64;
    let is_same = |left: &StoredInstance| {
        left.sop_instance == sop(instance) && left.digest == *digest && left.bytes == bytes
    };
    found.is_some_and(|found| found.pruned.iter().any(is_same))
}

/// No study lies in two places, and nothing is left of what was being received.
fn one_place(disk: &CrashDisk) -> Result<(), String> {
    let mut studies = BTreeSet::new();
    for path in disk.tree() {
        let below = path.strip_prefix(ROOT).map(|path| path.iter().count());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.starts_with("/data/incoming") && below != Ok(1) {
            return Err(format!("{} is left over", path.display()));
        }
        let in_study_place = path.starts_with("/data/open") || path.starts_with("/data/done");
        if in_study_place && below == Ok(3) && !studies.insert(name) {
            return Err(format!("{} lies in two places", path.display()));
        }
    }
    Ok(())
}
