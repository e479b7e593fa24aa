//! Carts that send study after study and send again what they got no answer for, as real ones do.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::dcmtk;
use crate::part10::Object;
use crate::process::Run;
use crate::samples::phantom;

/// Between two attempts of a cart whose node is away.
const AGAIN: Duration = Duration::from_millis(100);
/// The part of a UID that is counted up: its last eight digits.
const COUNTED: usize = 8;

/// The files of one study, from which others with other UIDs are made.
pub struct Template {
    files: Vec<Vec<u8>>,
    /// Every UID of the study, its series and its instances.
    uids: Vec<String>,
}

/// A study of a [`Template`] as files.
pub struct Study {
    /// Study Instance UID.
    pub uid: String,
    /// The files.
    pub files: Vec<PathBuf>,
}

impl Template {
    /// A phantom study.
    pub fn new(seed: u64, folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut uids = Vec::new();
        for path in phantom(seed, folder)?.files {
            // DCMTK encodes sequences anew when it sends; after this it sends the bytes that are there.
            Run::of(Command::new("dcmconv").args([&path, &path]))?.success()?;
            let bytes = fs::read(&path)?;
            for uid in uids_in(&bytes) {
                if !uids.contains(&uid) {
                    uids.push(uid);
                }
            }
            files.push(bytes);
        }
        Ok(Self { files, uids })
    }

    /// The `n`th study, written into a folder.
    pub fn study(&self, n: u32, folder: &Path) -> Result<Study> {
        fs::create_dir_all(folder)?;
        let mut paths = Vec::new();
        let mut study = None;
        for (index, template) in self.files.iter().enumerate() {
            let mut bytes = template.clone();
            for uid in &self.uids {
                replace(&mut bytes, uid, &numbered(uid, n)?);
            }
            let path = folder.join(format!("{n}-{index}.dcm"));
            fs::write(&path, &bytes)?;
            study = study.or(element(&bytes, [0x20, 0x00, 0x0D, 0x00]));
            paths.push(path);
        }
        Ok(Study {
            uid: study.context("no Study Instance UID")?,
            files: paths,
        })
    }
}

/// The value of a UI in Explicit VR Little Endian, by its tag's bytes.
fn element(bytes: &[u8], tag: [u8; 4]) -> Option<String> {
    let head = [&tag[..], b"UI"].concat();
    let at = bytes
        .windows(head.len())
        .position(|window| window == head)?;
    let length = u16::from_le_bytes(bytes.get(at + 6..at + 8)?.try_into().ok()?);
    let value = bytes.get(at + 8..at + 8 + usize::from(length))?;
    Some(crate::part10::trimmed(value))
}

/// The UIDs that make a study another one: instance, study, series.
fn uids_in(bytes: &[u8]) -> Vec<String> {
    let tags = [[8, 0, 0x18, 0], [0x20, 0, 0x0D, 0], [0x20, 0, 0x0E, 0]];
    tags.into_iter()
        .filter_map(|tag| element(bytes, tag))
        .collect()
}

/// Of the same length, so that no other byte of the file changes.
fn numbered(uid: &str, n: u32) -> Result<String> {
    ensure!(uid.len() > COUNTED + 8, "{uid} is too short to be numbered");
    let (head, _) = uid.split_at(uid.len() - COUNTED);
    Ok(format!("{head}{n:08}"))
}

fn replace(bytes: &mut [u8], old: &str, new: &str) {
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.windows(old.len()).position(|w| w == old.as_bytes()))
    {
        at += found;
        if let Some(place) = bytes.get_mut(at..at + new.len()) {
            place.copy_from_slice(new.as_bytes());
        }
        at += new.len();
    }
}

/// What a cart was told is stored, by file.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Studies whose files all are.
    pub studies: Vec<String>,
    /// Files.
    pub files: Vec<PathBuf>,
    /// Associations that it took.
    pub associations: u32,
}

/// One of `carts` DCMTK carts: sends the studies `cart`, `cart + carts`, and so on until it is told to stop, each until
/// all of it is acknowledged.
pub fn send_until(
    stop: &AtomicBool,
    at: SocketAddr,
    template: &Template,
    folder: &Path,
    [cart, carts]: [u32; 2],
) -> Result<Acknowledged> {
    let mut told = Acknowledged::default();
    let mut number = cart;
    while !stop.load(Ordering::Relaxed) {
        let study = template.study(number, folder)?;
        let mut waiting = study.files.clone();
        while !waiting.is_empty() {
            let run = dcmtk::storescu(at, &["-xy"], &waiting)?;
            told.associations += 1;
            let stored = acknowledged(&run.text());
            waiting.retain(|file| !stored.contains(file));
            told.files.extend(stored);
            if !waiting.is_empty() {
                thread::sleep(AGAIN);
            }
        }
        told.studies.push(study.uid);
        number += carts;
    }
    Ok(told)
}

/// The files to which `storescu -v` saw a success.
fn acknowledged(log: &str) -> BTreeSet<PathBuf> {
    let mut sending = None;
    let mut stored = BTreeSet::new();
    for line in log.lines() {
        if let Some(file) = line.strip_prefix("I: Sending file: ") {
            sending = Some(PathBuf::from(file));
        } else if line.starts_with("I: Received Store Response (Success)") {
            stored.extend(sending.take());
        }
    }
    stored
}

/// Study Instance UID of a file in Explicit VR Little Endian, or with encapsulated pixels.
pub fn study_of(file: &Path) -> Result<String> {
    let study = element(&fs::read(file)?, [0x20, 0x00, 0x0D, 0x00]);
    study.with_context(|| format!("{} has no Study Instance UID", file.display()))
}

/// Whether the node's file of an instance holds what was sent.
pub fn same(sent: &Path, stored: &Path) -> Result<bool> {
    Ok(Object::read(sent)? == Object::read(stored)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_belongs_to_the_file_before_it() {
        let log = "I: Sending file: /a.dcm\nI: Received Store Response (Success)\n\
                   I: Sending file: /b.dcm\nE: Store Failed";
        let stored: Vec<PathBuf> = acknowledged(log).into_iter().collect();
        assert_eq!(stored, [PathBuf::from("/a.dcm")]);
    }

    #[test]
    fn a_numbered_uid_keeps_its_length() {
        let uid = "2.25.147257613457284154486210893375461555457";
        let other = numbered(uid, 7).unwrap();
        assert_eq!(other.len(), uid.len());
        assert!(other.ends_with("00000007"));
        let mut bytes = format!("x{uid}y{uid}").into_bytes();
        replace(&mut bytes, uid, &other);
        assert_eq!(bytes, format!("x{other}y{other}").into_bytes());
    }
}
