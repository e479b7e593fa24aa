//! The file system calls that the spool makes, as a trait: a double can lose what was not synced and can fail on demand.

mod file;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, RenameFlags};

use file::RealFile;

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A file and its length in bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A link, a socket, a device: nothing that the spool made.
    Other,
}

/// A file that is being written.
pub trait DiskFile: Send {
    /// Appends all of both parts, in this order. They may reach the file with [`DiskFile::write_out`] only.
    ///
    /// # Errors
    /// As the operating system gives them; the length of the file is unknown then.
    fn append(&mut self, parts: [&[u8]; 2]) -> io::Result<()>;

    /// Where the next bytes may be put instead of being appended, one at least; the same place until [`DiskFile::filled`].
    fn space(&mut self) -> &mut [u8];

    /// Appends the first `bytes` of [`DiskFile::space`].
    ///
    /// # Errors
    /// As [`DiskFile::append`].
    fn filled(&mut self, bytes: usize) -> io::Result<()>;

    /// Overwrites bytes that were appended before, at `offset` from the start of the file, within its first 4 KiB.
    ///
    /// # Errors
    /// `InvalidInput` for bytes that lie elsewhere.
    fn overwrite(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Writes what is not written yet. Nothing is appended or overwritten afterwards.
    ///
    /// # Errors
    /// As the operating system gives them, a full disk among them; the length of the file is unknown then.
    fn write_out(&mut self) -> io::Result<()>;

    /// Makes the contents that were written out durable (fdatasync).
    ///
    /// # Errors
    /// As the operating system gives them. A second call proves nothing after a failed one: Linux marks the pages clean.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// How full a file system is, as `df` counts: what is reserved for root is neither free nor used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an unprivileged process can still write.
    pub free: u64,
    /// Bytes that are taken, by whomever.
    pub used: u64,
}

impl Space {
    /// Bytes that may be taken before more than `percent` (0 to 100) of all is.
    pub fn until(self, percent: u8) -> u64 {
        let total = u128::from(self.free) + u128::from(self.used);
        let allowed = total * u128::from(percent.min(100)) / 100;
        u64::try_from(allowed.saturating_sub(u128::from(self.used))).unwrap_or(u64::MAX)
    }

    /// Whether more than `percent` (0 to 100) of all is taken.
    pub fn is_above(self, percent: u8) -> bool {
        let total = u128::from(self.free) + u128::from(self.used);
        u128::from(self.used) * 100 > total * u128::from(percent)
    }
}

/// The file system under the spool. Folders and files are named by absolute paths.
pub trait Disk: Send + Sync {
    /// Creates a file that did not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or as the operating system gives them.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The first `max` bytes of a file, or fewer where it is shorter.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>>;

    /// What stands under `path`; nothing is `None`. Links are not followed.
    ///
    /// # Errors
    /// As the operating system gives them, but for a name that is absent.
    fn entry(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// The names in a folder, in no order. A name that is not UTF-8 is left out: the spool makes none.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes one folder. Durable only after [`Disk::sync_folder`] of its parent.
    ///
    /// # Errors
    /// `AlreadyExists`, or as the operating system gives them.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Renames a file or a folder, and never replaces one. Durable only after [`Disk::sync_folder`] of the new parent.
    ///
    /// # Errors
    /// `AlreadyExists`, or as the operating system gives them.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file over another one, atomically.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable (fsync of the folder).
    ///
    /// # Errors
    /// As the operating system gives them; see [`DiskFile::sync_data`].
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// How full the file system of `path` is.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Locks a file for this process until the guard is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` when another one holds it, or as the operating system gives them.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        Ok(Box::new(RealFile::new(options.open(path)?)))
    }

    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(File::open(path)?, max), &mut bytes)?;
        Ok(bytes)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() => Ok(Some(Entry::File(found.len()))),
            Ok(found) if found.is_dir() => Ok(Some(Entry::Folder)),
            Ok(_) => Ok(Some(Entry::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o750).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system without RENAME_NOREPLACE (NFS, some FUSE). Only the committer makes names and LOCK keeps
            // other processes out, so looking first can't be overtaken.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match self.entry(to)? {
                Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                None => fs::rename(from, to),
            },
            other => other.map_err(io::Error::from),
        }
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let used = found.f_blocks.saturating_sub(found.f_bfree);
        Ok(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            used: used.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o640);
        let file = options.open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}
