//! Bytes at an offset: a file, or an inflated data set in memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::DeflateDecoder;

/// Longest data set after inflation. A deflate stream can claim a thousand times its size.
pub(crate) const INFLATED_BYTES_MAX: u64 = 512 << 20;

/// Where a data set's bytes are. Reading needs no position, so that threads can share it.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file of a known length.
    File { file: File, len: u64 },
    /// An inflated data set.
    Memory(Vec<u8>),
}

impl Source {
    /// The file as a source.
    pub(crate) fn file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::File { file, len })
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `buffer` from `offset`, and tells how much of it there was.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => read_file_at(file, offset, buffer),
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }

    /// The bytes from `offset`, at most `len` of them and as many as there are. Nothing is allocated for bytes that
    /// the source doesn't have.
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = len.min(self.len().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let got = self.read_at(offset, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// The deflated data set that begins at `offset`, inflated up to [`INFLATED_BYTES_MAX`]; none if it is longer.
    ///
    /// A stream that breaks off is kept as far as it goes, as a file that breaks off is.
    pub(crate) fn inflate(&self, offset: u64) -> io::Result<Option<Self>> {
        let reader = SourceReader {
            source: self,
            at: offset,
        };
        let mut inflater = DeflateDecoder::new(reader).take(INFLATED_BYTES_MAX + 1);
        let mut bytes = Vec::new();
        if let Err(error) = inflater.read_to_end(&mut bytes)
            && bytes.is_empty()
        {
            return Err(error);
        }
        Ok((bytes.len() as u64 <= INFLATED_BYTES_MAX).then_some(Self::Memory(bytes)))
    }
}

/// A source read from front to back.
struct SourceReader<'a> {
    source: &'a Source,
    at: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn read_file_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
