//! An instance on its way in: a `.part` file, hashed as it comes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sonode_conformance::limits::INSTANCE_BYTES_MAX;

use super::disk::DiskFile;
use super::error::{ReceiveError, SpoolError};
use super::instance::{Digest, DigestHasher, FileMeta};
use super::part10::{self, Header};
use super::shared::Shared;

/// Small PDVs are gathered to this many bytes, so that they don't cost one call of the disk's each.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file in `incoming/` that goes when it is dropped before it was moved to its place.
pub(super) struct TempFile {
    shared: Arc<Shared>,
    path: PathBuf,
    moved: bool,
}

impl TempFile {
    pub(super) fn create(
        shared: &Arc<Shared>,
        association: u64,
    ) -> Result<(Self, Box<dyn DiskFile>), SpoolError> {
        shared.check()?;
        let path = shared.part_path(&association.to_string());
        let file = shared
            .disk
            .create(&path)
            .map_err(SpoolError::io("create", &path))?;
        let temp = Self {
            shared: Arc::clone(shared),
            path,
            moved: false,
        };
        Ok((temp, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It has another name now.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        if let Err(error) = self.shared.disk.remove_file(&self.path) {
            // It goes at the next start.
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a part file");
        }
    }
}

/// Receives one data set. Memory is O(buffer), whatever its length. Dropped before the commit, it leaves nothing.
pub struct InstanceWriter {
    temp: TempFile,
    file: Box<dyn DiskFile>,
    meta: FileMeta,
    hash: DigestHasher,
    /// What is not written yet; begins with the header.
    buffer: Vec<u8>,
    seal_offset: usize,
    /// Bytes of the file on the disk's side.
    written: u64,
    data_set_bytes: u64,
    broken: bool,
}

impl InstanceWriter {
    pub(super) fn create(
        shared: &Arc<Shared>,
        association: u64,
        meta: &FileMeta,
    ) -> Result<Self, ReceiveError> {
        let (temp, file) = TempFile::create(shared, association)?;
        let Header { bytes, seal_offset } = part10::encode(meta);
        Ok(Self {
            temp,
            file,
            meta: meta.clone(),
            hash: DigestHasher::new(&meta.transfer_syntax),
            buffer: bytes,
            seal_offset,
            written: 0,
            data_set_bytes: 0,
            broken: false,
        })
    }

    /// Bytes of data set so far.
    pub fn len(&self) -> u64 {
        self.data_set_bytes
    }

    /// Whether no data set has come yet.
    pub fn is_empty(&self) -> bool {
        self.data_set_bytes == 0
    }

    /// Takes the next bytes of the data set, in whatever portions they come.
    ///
    /// # Errors
    /// [`ReceiveError::TooLarge`] over [`INSTANCE_BYTES_MAX`]; [`ReceiveError::OutOfSpace`], [`ReceiveError::Io`]. After
    /// an error the instance is lost: [`InstanceWriter::finish`] fails, and dropping the writer removes the file.
    pub fn write(&mut self, data: &[u8]) -> Result<(), ReceiveError> {
        self.check_whole()?;
        self.count(data.len())?;
        self.hash.update(data);
        if self.buffer.len() + data.len() > BUFFER_BYTES {
            self.append(data)?;
        } else {
            self.buffer.extend_from_slice(data);
        }
        Ok(())
    }

    /// Prepares [`Self::space`].
    ///
    /// # Errors
    /// As [`InstanceWriter::write`].
    pub fn make_space(&mut self) -> Result<(), ReceiveError> {
        self.check_whole()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.append(&[])
    }

    /// Where the next bytes of the data set may be put by whoever has them, instead of [`InstanceWriter::write`]: `most` or
    /// fewer, none without [`Self::make_space`]. The same place until [`Self::filled`].
    pub fn space(&mut self, most: usize) -> &mut [u8] {
        if !self.buffer.is_empty() || self.broken {
            return &mut [];
        }
        let space = self.file.space();
        let length = space.len().min(most);
        space.get_mut(..length).unwrap_or_default()
    }

    /// Takes the first `bytes` of [`Self::space`] as the next ones of the data set.
    ///
    /// # Errors
    /// As [`InstanceWriter::write`]; [`ReceiveError::Io`] for more than there is space.
    pub fn filled(&mut self, bytes: usize) -> Result<(), ReceiveError> {
        self.check_whole()?;
        let is_space = self.buffer.is_empty();
        let Some(data) = self.file.space().get(..bytes).filter(|_| is_space) else {
            self.broken = true;
            return self.check_whole();
        };
        self.hash.update(data);
        self.count(bytes)?;
        let result = self.file.filled(bytes);
        self.wrote(result, bytes)
    }

    /// Notes that so many more bytes of the data set came.
    fn count(&mut self, bytes: usize) -> Result<(), ReceiveError> {
        let length = u64::try_from(bytes).unwrap_or(u64::MAX);
        if length > INSTANCE_BYTES_MAX.saturating_sub(self.data_set_bytes) {
            self.broken = true;
            return Err(ReceiveError::TooLarge);
        }
        self.data_set_bytes += length;
        Ok(())
    }

    /// Ends the data set and makes the file's contents durable, in the caller's thread: step 2 of the order in
    /// `committer`. What comes back is not promised to anyone before it is committed.
    ///
    /// # Errors
    /// [`ReceiveError::Poisoned`] when this or an earlier fdatasync failed; otherwise as [`InstanceWriter::write`].
    pub fn finish(mut self) -> Result<Pending, ReceiveError> {
        self.check_whole()?;
        let digest = self.hash.finish();
        let seal = part10::seal(&digest, self.data_set_bytes);
        if self.written == 0 {
            // The header is still in the buffer: a small instance is one write.
            let end = self.seal_offset + seal.len();
            if let Some(place) = self.buffer.get_mut(self.seal_offset..end) {
                place.copy_from_slice(&seal);
            }
            self.append(&[])?;
        } else {
            self.append(&[])?;
            let offset = u64::try_from(self.seal_offset).unwrap_or(u64::MAX);
            self.file
                .overwrite(offset, &seal)
                .map_err(SpoolError::io("write", &self.temp.path))?;
        }
        // A disk that is full is told here, and is no failed flush.
        self.file
            .write_out()
            .map_err(SpoolError::io("write", &self.temp.path))?;
        let shared = &self.temp.shared;
        shared.check()?;
        if let Err(error) = self.file.sync_data() {
            return Err(shared.poison(&self.temp.path, &error).into());
        }
        Ok(Pending {
            temp: self.temp,
            meta: self.meta,
            digest,
            bytes: self.data_set_bytes,
        })
    }

    /// A write that failed half-way left a hole: nothing may be appended behind it.
    fn check_whole(&self) -> Result<(), ReceiveError> {
        if !self.broken {
            return Ok(());
        }
        Err(ReceiveError::Io {
            what: "go on writing",
            path: self.temp.path.clone(),
            source: std::io::Error::other("an earlier write of this instance failed"),
        })
    }

    /// Writes what the buffer holds, and then `data`.
    fn append(&mut self, data: &[u8]) -> Result<(), ReceiveError> {
        let result = self.file.append([&self.buffer, data]);
        let length = self.buffer.len() + data.len();
        self.buffer.clear();
        self.wrote(result, length)
    }

    fn wrote(&mut self, result: io::Result<()>, bytes: usize) -> Result<(), ReceiveError> {
        if let Err(error) = result {
            self.broken = true;
            return Err(SpoolError::io("write", &self.temp.path)(error).into());
        }
        self.written += u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// An instance whose bytes are durable and whose name is not: to be committed. Dropped, it is removed.
pub struct Pending {
    pub(super) temp: TempFile,
    pub(super) meta: FileMeta,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

impl Pending {
    /// Identifies its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Length of the data set in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file under its provisional name, for reading it before it is committed.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }
}

/// A small file of the node's own, durable under a provisional name.
pub(super) fn write_temp(shared: &Arc<Shared>, bytes: &[u8]) -> Result<TempFile, SpoolError> {
    let (temp, mut file) = TempFile::create(shared, 0)?;
    if !bytes.is_empty() {
        file.append([bytes, &[]])
            .and_then(|()| file.write_out())
            .map_err(SpoolError::io("write", &temp.path))?;
        // An empty file has nothing that an fdatasync could save; its name comes with the folder's fsync.
        file.sync_data()
            .map_err(|error| shared.poison(&temp.path, &error))?;
    }
    Ok(temp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::disk::RealDisk;
    use crate::spool::layout::Layout;

    fn writer() -> (tempfile::TempDir, InstanceWriter) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("incoming")).unwrap();
        let layout = Layout::new(folder.path().to_owned());
        let shared = Arc::new(Shared::new(Arc::new(RealDisk), layout));
        let meta = FileMeta {
            sop_class: "1.2".parse().unwrap(),
            sop_instance: "1.3".parse().unwrap(),
            transfer_syntax: "1.2.840.10008.1.2".parse().unwrap(),
            calling_ae: None,
        };
        let writer = InstanceWriter::create(&shared, 1, &meta).unwrap();
        (folder, writer)
    }

    #[test]
    fn the_longest_data_set_is_taken_and_one_byte_more_is_not() {
        let (_folder, mut writer) = writer();
        // As if all but four bytes had come.
        writer.data_set_bytes = INSTANCE_BYTES_MAX - 4;
        writer.write(&[0; 4]).unwrap();
        assert!(matches!(writer.write(&[0]), Err(ReceiveError::TooLarge)));
        assert!(writer.finish().is_err());
    }

    #[test]
    fn portions_of_any_length_become_one_data_set() {
        let (_folder, mut writer) = writer();
        let mut sent = Vec::new();
        for (number, length) in [131_060, 5, 65_536, 200_000, 4, 131_060]
            .into_iter()
            .enumerate()
        {
            let portion = vec![u8::try_from(number).unwrap(); length];
            let (put, written) = portion.split_at(length / 3);
            let mut put = put;
            writer.make_space().unwrap();
            while !put.is_empty() {
                let space = writer.space(put.len());
                let (now, later) = put.split_at(space.len());
                space.copy_from_slice(now);
                writer.filled(now.len()).unwrap();
                put = later;
            }
            writer.write(written).unwrap();
            sent.extend(portion);
            assert!(writer.buffer.len() <= BUFFER_BYTES);
        }
        let pending = writer.finish().unwrap();
        let file = std::fs::read(pending.path()).unwrap();
        assert_eq!(file.get(file.len() - sent.len()..), Some(&*sent));
        let mut hash = DigestHasher::new(&"1.2.840.10008.1.2".parse().unwrap());
        hash.update(&sent);
        assert_eq!(pending.digest(), hash.finish());
        assert_eq!(pending.bytes(), u64::try_from(sent.len()).unwrap());
    }

    #[test]
    fn what_was_put_into_the_space_counts_for_the_longest_data_set() {
        let (_folder, mut writer) = writer();
        assert!(writer.space(8).is_empty(), "before it was made");
        writer.make_space().unwrap();
        assert_eq!(writer.space(8).len(), 8);
        writer.data_set_bytes = INSTANCE_BYTES_MAX - 4;
        assert!(matches!(writer.filled(5), Err(ReceiveError::TooLarge)));
        assert!(writer.space(8).is_empty());
        assert!(writer.make_space().is_err());
        assert!(writer.finish().is_err());
    }

    #[test]
    fn nothing_counts_as_put_where_there_was_no_space() {
        let (_folder, mut early) = writer();
        assert!(
            early.filled(1).is_err(),
            "the header is still to be written"
        );
        assert!(early.finish().is_err());
        let (_folder, mut long) = writer();
        long.make_space().unwrap();
        let more = long.space(usize::MAX).len() + 1;
        assert!(long.filled(more).is_err());
        assert!(long.finish().is_err());
    }

    #[test]
    fn memory_does_not_grow_with_the_data_set() {
        let (_folder, mut writer) = writer();
        let portion = vec![7; 30_000];
        for _ in 0..400 {
            writer.write(&portion).unwrap();
            assert!(writer.buffer.capacity() <= 2 * BUFFER_BYTES);
        }
        assert_eq!(writer.finish().unwrap().bytes(), 400 * 30_000);
    }
}
