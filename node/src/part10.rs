//! The file meta information of a Part 10 file (PS3.10 section 7.1), as far as a sender needs it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sonode_conformance::{SopClassUid, SopInstanceUid, TransferSyntaxUid, UidError};

/// Longest file meta information that is read.
const META_BYTES_MAX: u32 = 64 * 1024;

/// Why a file can't be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Part10Error {
    /// It can't be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No DICOM file.
    #[error("{0} is no DICOM Part 10 file: it lacks the preamble and DICM")]
    NotPart10(PathBuf),
    /// Its meta information can't be read.
    #[error("{path}: the file meta information {what}")]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A UID in its meta information is invalid.
    #[error("{path}: {source}")]
    Uid {
        /// The file.
        path: PathBuf,
        /// Why.
        source: UidError,
    },
}

/// An open Part 10 file that stands at the first byte of its data set.
#[derive(Debug)]
pub(crate) struct Part10<R = File> {
    /// Media Storage SOP Class UID (0002,0002).
    pub(crate) sop_class: SopClassUid,
    /// Media Storage SOP Instance UID (0002,0003).
    pub(crate) sop_instance: SopInstanceUid,
    /// Transfer Syntax UID (0002,0010).
    pub(crate) transfer_syntax: TransferSyntaxUid,
    /// Length of the data set in bytes.
    pub(crate) data_set_bytes: u64,
    /// Stands at the data set.
    pub(crate) file: R,
}

impl Part10 {
    /// Opens a file and reads its meta information.
    ///
    /// # Errors
    /// Each [`Part10Error`] variant.
    pub(crate) fn open(path: &Path) -> Result<Self, Part10Error> {
        let file = File::open(path).map_err(|source| Part10Error::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::of(file, path)
    }
}

impl<R: Read + Seek> Part10<R> {
    /// Reads the meta information of a file that is open or in memory; `path` is what errors name.
    ///
    /// # Errors
    /// Each [`Part10Error`] variant.
    pub(crate) fn of(mut file: R, path: &Path) -> Result<Self, Part10Error> {
        let io = |source| Part10Error::Io {
            path: path.to_owned(),
            source,
        };
        let meta = |what| Part10Error::Meta {
            path: path.to_owned(),
            what,
        };
        let uid = |source| Part10Error::Uid {
            path: path.to_owned(),
            source,
        };
        let mut head = [0; 144];
        file.read_exact(&mut head)
            .map_err(|_| Part10Error::NotPart10(path.to_owned()))?;
        if head.get(128..132) != Some(b"DICM") {
            return Err(Part10Error::NotPart10(path.to_owned()));
        }
        // (0002,0000) UL 4 is always the first element (PS3.10 table 7.1-1).
        if head.get(132..140) != Some(&[2, 0, 0, 0, b'U', b'L', 4, 0]) {
            return Err(meta("does not begin with its group length"));
        }
        let length: [u8; 4] = head.last_chunk().copied().unwrap_or_default();
        let length = u32::from_le_bytes(length);
        if length > META_BYTES_MAX {
            return Err(meta("is longer than 64 KiB"));
        }
        let mut group = Vec::new();
        (&mut file)
            .take(u64::from(length))
            .read_to_end(&mut group)
            .map_err(io)?;
        let value = |element| find(&group, element).ok_or_else(|| meta("lacks a UID"));
        let sop_class = SopClassUid::parse(value(0x02)?).map_err(uid)?;
        let sop_instance = SopInstanceUid::parse(value(0x03)?).map_err(uid)?;
        let transfer_syntax = TransferSyntaxUid::parse(value(0x10)?).map_err(uid)?;
        let start = 144 + u64::from(length);
        let end = file.seek(SeekFrom::End(0)).map_err(io)?;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let data_set_bytes = end.saturating_sub(start);
        Ok(Self {
            sop_class,
            sop_instance,
            transfer_syntax,
            data_set_bytes,
            file,
        })
    }
}

/// The value of an element of group 2, explicit VR little endian.
fn find(mut group: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (tag, rest) = group.split_first_chunk::<4>()?;
        let (vr, rest) = rest.split_first_chunk::<2>()?;
        let element = u16::from_le_bytes([tag[2], tag[3]]);
        let (length, rest) = if matches!(vr, b"OB" | b"UN" | b"SQ" | b"UT") {
            let (header, rest) = rest.split_first_chunk::<6>()?;
            (
                u32::from_le_bytes([header[2], header[3], header[4], header[5]]),
                rest,
            )
        } else {
            let (header, rest) = rest.split_first_chunk::<2>()?;
            (u32::from(u16::from_le_bytes(*header)), rest)
        };
        let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        if element == wanted {
            return Some(value);
        }
        group = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(meta: &[u8], data: &[u8]) -> tempfile::NamedTempFile {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM\x02\0\0\0UL\x04\0");
        bytes.extend(u32::try_from(meta.len()).unwrap().to_le_bytes());
        bytes.extend(meta);
        bytes.extend(data);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn the_meta_information_is_read_and_the_file_stands_at_its_data_set() {
        let mut meta = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01".to_vec();
        meta.extend(
            b"\x02\0\x02\0UI\x04\x001.2\0\x02\0\x03\0UI\x04\x001.3\0\x02\0\x10\0UI\x04\x001.4\0",
        );
        let file = file(&meta, b"data");
        let mut part10 = Part10::open(file.path()).unwrap();
        assert_eq!(part10.sop_class.as_str(), "1.2");
        assert_eq!(part10.sop_instance.as_str(), "1.3");
        assert_eq!(part10.transfer_syntax.as_str(), "1.4");
        assert_eq!(part10.data_set_bytes, 4);
        let mut rest = String::new();
        part10.file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "data");
    }

    #[test]
    fn a_cut_file_is_an_error_at_every_length() {
        let meta =
            b"\x02\0\x02\0UI\x04\x001.2\0\x02\0\x03\0UI\x04\x001.3\0\x02\0\x10\0UI\x04\x001.4\0";
        let whole = file(meta, b"");
        let bytes = std::fs::read(whole.path()).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(whole.path(), &bytes[..cut]).unwrap();
            assert!(Part10::open(whole.path()).is_err(), "{cut}");
        }
    }
}
