//! Data sets for tests, written byte by byte: Explicit VR Little Endian.

use std::io::Write;

use dicom_core::Tag;
use tempfile::NamedTempFile;

use super::{EXPLICIT, Opened, open};

/// A data set in the making. Elements stand in the order in which they are added.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataSet(pub(crate) Vec<u8>);

impl DataSet {
    /// An element of a VR with 16 bits of length.
    pub(crate) fn short(mut self, tag: Tag, vr: &str, value: &[u8]) -> Self {
        self.tag(tag);
        self.0.extend_from_slice(vr.as_bytes());
        self.0
            .extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// An element of a VR with 32 bits of length.
    pub(crate) fn long(mut self, tag: Tag, vr: &str, len: u32, value: &[u8]) -> Self {
        self.tag(tag);
        self.0.extend_from_slice(vr.as_bytes());
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Text, padded.
    pub(crate) fn text(self, tag: Tag, vr: &str, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        self.short(tag, vr, &value)
    }

    /// A US.
    pub(crate) fn number(self, tag: Tag, number: u16) -> Self {
        self.short(tag, "US", &number.to_le_bytes())
    }

    /// A sequence of undefined length, its items too.
    pub(crate) fn sequence(self, tag: Tag, items: &[DataSet]) -> Self {
        let mut value = Vec::new();
        for item in items {
            value.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
            value.extend_from_slice(&item.0);
            value.extend_from_slice(&[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
        }
        value.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        self.long(tag, "SQ", u32::MAX, &value)
    }

    /// Encapsulated Pixel Data: an empty Basic Offset Table and one fragment each.
    pub(crate) fn fragments(self, fragments: &[&[u8]]) -> Self {
        let mut value = vec![0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
        for fragment in fragments {
            value.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            value.extend_from_slice(&(fragment.len() as u32).to_le_bytes());
            value.extend_from_slice(fragment);
        }
        value.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        self.long(Tag(0x7FE0, 0x0010), "OB", u32::MAX, &value)
    }

    /// The data set as an opened Part 10 file of this transfer syntax.
    pub(crate) fn open_as(&self, transfer_syntax: &str) -> Opened {
        let meta = DataSet::default()
            .text(Tag(0x0002, 0x0003), "UI", "1.2.3")
            .text(Tag(0x0002, 0x0010), "UI", transfer_syntax);
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&[0; 128]).unwrap();
        file.write_all(b"DICM").unwrap();
        file.write_all(&meta.0).unwrap();
        file.write_all(&self.0).unwrap();
        open(file.path()).unwrap()
    }

    /// The same, Explicit VR Little Endian.
    pub(crate) fn open(&self) -> Opened {
        self.open_as(EXPLICIT)
    }

    fn tag(&mut self, tag: Tag) {
        self.0.extend_from_slice(&tag.group().to_le_bytes());
        self.0.extend_from_slice(&tag.element().to_le_bytes());
    }
}
