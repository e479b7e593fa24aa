//! A disk that says that something is synced, and it isn't: a check of durability proves something only if it fails on this.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sonode_pipeline::spool::{Disk, DiskFile, Entry, Space};

use crate::crash_disk::CrashDisk;

/// The kinds of syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// fdatasync of files.
    Contents,
    /// fsync of a study's folder.
    StudyFolder,
    /// fsync of `open/<hh>`: a new study's folder.
    NewStudy,
    /// fsync of `done/<day>`.
    Day,
    /// The first fsync of each folder that an earlier process left.
    Inherited,
}

/// A disk that says "synced" and isn't.
pub(crate) struct Lying {
    disk: CrashDisk,
    /// The spool's data folder.
    root: PathBuf,
    skip: Skip,
    inherited: Mutex<BTreeSet<PathBuf>>,
}

impl Lying {
    pub(crate) fn new(disk: CrashDisk, root: &Path, skip: Skip) -> Self {
        let inherited = Mutex::new(disk.tree().into_iter().collect());
        Self {
            disk,
            root: root.to_owned(),
            skip,
            inherited,
        }
    }
}

struct LyingFile(Box<dyn DiskFile>);

impl DiskFile for LyingFile {
    fn append(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        self.0.append(parts)
    }
    fn space(&mut self) -> &mut [u8] {
        self.0.space()
    }
    fn filled(&mut self, bytes: usize) -> io::Result<()> {
        self.0.filled(bytes)
    }
    fn overwrite(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.overwrite(offset, data)
    }
    fn write_out(&mut self) -> io::Result<()> {
        self.0.write_out()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for Lying {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        let honest = self.skip != Skip::Contents;
        Ok(if honest {
            file
        } else {
            Box::new(LyingFile(file))
        })
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let below = path.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let depth = below.iter().count();
        let skipped = match self.skip {
            Skip::StudyFolder => depth == 3,
            Skip::NewStudy => depth == 2 && below.starts_with("open"),
            Skip::Day => depth == 2 && below.starts_with("done"),
            Skip::Inherited => depth == 3 && self.inherited.lock().unwrap().remove(path),
            Skip::Contents => false,
        };
        if skipped {
            Ok(())
        } else {
            self.disk.sync_folder(path)
        }
    }
    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        self.disk.read(path, max)
    }
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.disk.entry(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.replace(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_folder(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }
}
