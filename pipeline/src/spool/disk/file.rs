//! A file of the operating system's, written in pieces of whole blocks.
//!
//! Where few write at once, a sender waits for the disk: pieces go into the page cache, and the disk is set to work on each
//! at once, while the next one comes. Where several do, the processor is what all wait for, and the copy into fresh
//! pages of the cache was nearly half of its time: pieces go past it (`O_DIRECT`), and who reads the instance afterwards,
//! once, reads it from the disk. The first block is kept until the end, since what is overwritten lies in it, and is
//! written with the last piece of a block through the page cache, which takes what is no whole block. So is a file
//! that is short, and everything where a file system has no `O_DIRECT`.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_setfl};
use rustix::io::Errno;

use super::DiskFile;

/// What offset, length and place in memory must be whole multiples of; no disk's logical blocks are longer.
const BLOCK: usize = 4096;

/// How much is gathered at most.
const STAGE: usize = 512 * 1024;

/// How much is gathered by those that come when [`LARGE_STAGES`] are there, for the memory's sake, and for the page cache.
const SMALL_STAGE: usize = 256 * 1024;

/// As many as an ordinary day has senders at once; more of them keep the disk busy together with less.
const LARGE_STAGES: usize = 8;

/// From so many files on that are written at once, they go past the page cache.
const SEVERAL: usize = 3;

/// Up to here a file is written through the page cache in any case.
const SHORT: usize = 64 * 1024;

/// Stages that there are, in use or not.
static STAGES: AtomicUsize = AtomicUsize::new(0);

/// Files that are being written.
static FILES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The stage of the thread's last file. Its next one need not ask the kernel for memory.
    static SPARE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Room for [`STAGE`] or [`SMALL_STAGE`] bytes that begins where a block may.
#[derive(Default)]
struct Stage {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
    _counted: Option<Counted>,
}

/// One of [`STAGES`].
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        STAGES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stage {
    /// The thread's last one, or a new one.
    fn take() -> Self {
        SPARE.take().unwrap_or_else(|| {
            let large = STAGES.fetch_add(1, Ordering::Relaxed) < LARGE_STAGES;
            Self::of(if large { STAGE } else { SMALL_STAGE }, Some(Counted))
        })
    }

    fn of(length: usize, counted: Option<Counted>) -> Self {
        let bytes = vec![0; length + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self {
            bytes,
            start,
            length,
            _counted: counted,
        }
    }

    fn slice(&self) -> &[u8] {
        let place = self.start..self.start + self.length;
        self.bytes.get(place).unwrap_or_default()
    }

    fn slice_mut(&mut self) -> &mut [u8] {
        let place = self.start..self.start + self.length;
        self.bytes.get_mut(place).unwrap_or_default()
    }
}

/// See the module.
pub(super) struct RealFile {
    file: File,
    /// Whether the file is open for `O_DIRECT`.
    direct: bool,
    stage: Stage,
    /// Bytes in the stage.
    staged: usize,
    /// Bytes before those in the stage.
    written: u64,
    /// The first block, if bytes behind it were written; it was not.
    first: Option<Box<[u8]>>,
}

impl RealFile {
    pub(super) fn new(file: File) -> Self {
        let others = FILES.fetch_add(1, Ordering::Relaxed);
        // Past the page cache, if several write now and the file system can.
        let direct = others + 1 >= SEVERAL && fcntl_setfl(&file, OFlags::DIRECT).is_ok();
        Self {
            file,
            direct,
            stage: Stage::take(),
            staged: 0,
            written: 0,
            first: None,
        }
    }

    /// Writes the whole blocks of the stage, but not the file's first one where more may come.
    fn write_blocks(&mut self, last: bool) -> io::Result<()> {
        let whole = self.staged / BLOCK * BLOCK;
        if whole == 0 {
            return Ok(());
        }
        let mut from = 0;
        if self.written == 0 && !last {
            let (first, _) = self
                .stage
                .slice()
                .split_at_checked(BLOCK)
                .ok_or_else(short)?;
            self.first = Some(first.into());
            from = BLOCK;
        }
        self.write_staged(from, whole)?;
        if !self.direct {
            self.start_writeback(from, whole);
        }
        self.stage.slice_mut().copy_within(whole..self.staged, 0);
        self.staged -= whole;
        self.written += to_u64(whole);
        Ok(())
    }

    /// Writes that part of the stage to its place.
    fn write_staged(&mut self, mut from: usize, to: usize) -> io::Result<()> {
        while from < to {
            let bytes = self.stage.slice().get(from..to).ok_or_else(short)?;
            match self.file.write_at(bytes, self.written + to_u64(from)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => from += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system takes other blocks than these, or wrote some that are no whole ones.
                Err(error) if is_invalid(&error) && self.direct => {
                    self.through_the_cache()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// From here on it is written through the page cache.
    fn through_the_cache(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.direct) {
            fcntl_setfl(&self.file, OFlags::empty())?;
        }
        Ok(())
    }

    /// Asks the kernel to begin writing that part of the stage back, which was written into the page cache, without waiting.
    fn start_writeback(&self, from: usize, to: usize) {
        // On Linux POSIX_FADV_DONTNEED begins write-back of the range's dirty pages and returns; it drops clean pages
        // only, and these are dirty. sync_file_range would say it more plainly; rustix doesn't wrap it.
        let length = NonZeroU64::new(to_u64(to - from));
        let offset = self.written + to_u64(from);
        if let Err(error) = fadvise(&self.file, offset, length, Advice::DontNeed) {
            tracing::debug!(%error, "write-back hint refused");
        }
    }

    /// How many bytes are gathered before they are written.
    fn piece(&self) -> usize {
        if self.direct {
            self.stage.length
        } else {
            SMALL_STAGE
        }
    }
}

impl DiskFile for RealFile {
    fn append(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        for mut part in parts {
            while !part.is_empty() {
                let space = self.space();
                let (now, later) = part.split_at(part.len().min(space.len()));
                space
                    .get_mut(..now.len())
                    .ok_or_else(short)?
                    .copy_from_slice(now);
                self.filled(now.len())?;
                part = later;
            }
        }
        Ok(())
    }

    fn space(&mut self) -> &mut [u8] {
        let place = self.staged..self.piece();
        self.stage.slice_mut().get_mut(place).unwrap_or_default()
    }

    fn filled(&mut self, bytes: usize) -> io::Result<()> {
        let piece = self.piece();
        self.staged = self.staged.saturating_add(bytes).min(piece);
        if self.staged == piece {
            self.write_blocks(false)?;
        }
        Ok(())
    }

    fn overwrite(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = begin..begin.saturating_add(data.len());
        let held = if let Some(first) = &mut self.first {
            first.get_mut(place)
        } else {
            let staged = self.stage.slice_mut().get_mut(..self.staged);
            staged.unwrap_or_default().get_mut(place)
        };
        let held = held.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        held.copy_from_slice(data);
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.first.is_some() || self.staged > SHORT {
            self.write_blocks(true)?;
        }
        self.through_the_cache()?;
        if let Some(first) = self.first.take() {
            self.file.write_all_at(&first, 0)?;
        }
        self.write_staged(0, self.staged)?;
        self.written += to_u64(std::mem::take(&mut self.staged));
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Drop for RealFile {
    fn drop(&mut self) {
        FILES.fetch_sub(1, Ordering::Relaxed);
        let stage = std::mem::take(&mut self.stage);
        // A thread that ends has no place for it any more.
        drop(SPARE.try_with(|spare| spare.replace(Some(stage))));
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn is_invalid(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

/// The stage is shorter than it was made.
fn short() -> io::Error {
    io::Error::other("the stage is too short")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Bytes of which no two blocks are alike.
    fn bytes(length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| ((at ^ (at >> 9) ^ (at >> 17)) % 251).to_le_bytes()[0])
            .collect()
    }

    /// A new file past the page cache, and its path.
    fn open(folder: &tempfile::TempDir, name: &str, stage: usize) -> (PathBuf, RealFile) {
        let path = folder.path().join(name);
        let mut file = RealFile::new(File::create_new(&path).unwrap());
        file.stage = Stage::of(stage, None);
        file.direct = fcntl_setfl(&file.file, OFlags::DIRECT).is_ok();
        (path, file)
    }

    #[test]
    fn a_file_of_any_length_holds_what_was_appended_in_any_portions() {
        let folder = tempfile::tempdir().unwrap();
        let lengths = |stage| {
            let whole = [BLOCK, SHORT, SHORT + BLOCK, stage, stage + BLOCK, 3 * stage];
            whole
                .into_iter()
                .flat_map(|whole| [whole - 1, whole, whole + 1])
        };
        for (stage, cached) in [(SMALL_STAGE, false), (STAGE, false), (STAGE, true)] {
            for length in lengths(stage).chain([0, 101]) {
                let mut sent = bytes(length);
                let name = format!("{stage}-{cached}-{length}");
                let (path, mut file) = open(&folder, &name, stage);
                if cached {
                    file.through_the_cache().unwrap();
                }
                let (one, rest) = sent.split_at(length.min(200_001));
                let (head, tail) = one.split_at(one.len() / 3);
                file.append([head, tail]).unwrap();
                for portion in rest.chunks(131_060) {
                    file.append([portion, &[]]).unwrap();
                }
                if length > 100 {
                    file.overwrite(60, &[7; 40]).unwrap();
                    sent[60..100].fill(7);
                }
                file.write_out().unwrap();
                assert!(std::fs::read(&path).unwrap() == sent, "{name}");
            }
        }
    }

    #[test]
    fn what_is_behind_the_first_block_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut file) = open(&folder, "file", STAGE);
        file.append([&bytes(2 * STAGE), &[]]).unwrap();
        assert!(file.overwrite(to_u64(BLOCK) - 40, &[7; 40]).is_ok());
        assert!(file.overwrite(to_u64(BLOCK) - 39, &[7; 40]).is_err());
        assert!(file.overwrite(u64::MAX, &[7; 40]).is_err());
    }

    #[test]
    fn a_block_that_the_file_system_refuses_goes_through_the_page_cache() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut file) = open(&folder, "file", STAGE);
        let sent = bytes(3 * STAGE);
        // As if the disk's blocks were longer: no place in memory fits.
        file.stage.start ^= 1;
        file.append([&sent, &[]]).unwrap();
        file.write_out().unwrap();
        assert!(std::fs::read(&path).unwrap() == sent);
    }
}
