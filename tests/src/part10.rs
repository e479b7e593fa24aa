//! Part 10 files, as far as the harness has to look into them: the file meta information and the data set's bytes.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Implicit VR Little Endian.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// JPEG Baseline.
pub const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// Preamble and prefix (PS3.10 section 7.1).
const HEADER: usize = 132;

/// One object: what C-STORE names, and the bytes that it carries.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// SOP Class UID.
    pub sop_class: String,
    /// SOP Instance UID.
    pub sop_instance: String,
    /// Transfer Syntax UID.
    pub transfer_syntax: String,
    /// The data set, byte for byte as in the file.
    pub data_set: Vec<u8>,
}

impl fmt::Debug for Object {
    /// Without the pixels: a failed comparison says how two data sets differ, by their digests and lengths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digest = std::hash::DefaultHasher::new();
        self.data_set.hash(&mut digest);
        let (length, digest) = (self.data_set.len(), digest.finish());
        let Self {
            sop_class,
            sop_instance,
            transfer_syntax,
            ..
        } = self;
        write!(
            f,
            "{sop_instance} ({sop_class}, {transfer_syntax}): {length} bytes, {digest:016x}"
        )
    }
}

impl Object {
    /// Reads a Part 10 file (PS3.10 section 7).
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("{} is no Part 10 file", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.get(128..HEADER) == Some(b"DICM"), "no DICM prefix");
        let mut rest = bytes.get(HEADER..).unwrap_or_default();
        let mut meta: HashMap<u16, String> = HashMap::new();
        // The group is read by its number, and not by its length, which some writers get wrong.
        while rest.get(..2) == Some(&[0x02, 0x00]) {
            let (element, value, after) = explicit_element(rest).context("cut file meta")?;
            meta.insert(element, trimmed(value));
            rest = after;
        }
        let mut take = |element, name| {
            let found = meta.remove(&element);
            found.with_context(|| format!("no {name} in the file meta information"))
        };
        Ok(Self {
            sop_class: take(0x0002, "Media Storage SOP Class UID")?,
            sop_instance: take(0x0003, "Media Storage SOP Instance UID")?,
            transfer_syntax: take(0x0010, "Transfer Syntax UID")?,
            data_set: rest.to_vec(),
        })
    }

    /// The object as a Part 10 file (PS3.10 section 7.1).
    pub fn to_part10(&self) -> Result<Vec<u8>> {
        let mut group = Vec::new();
        meta(&mut group, 0x0002, &self.sop_class)?;
        meta(&mut group, 0x0003, &self.sop_instance)?;
        meta(&mut group, 0x0010, &self.transfer_syntax)?;
        meta(&mut group, 0x0012, "2.25.262144444733741023423482837461")?;
        let mut file = vec![0; 128];
        // Group length, in bytes of what follows it; File Meta Information Version is 00 01.
        file.extend(b"DICM\x02\0\0\0UL\x04\0");
        file.extend(u32::try_from(group.len() + VERSION.len())?.to_le_bytes());
        file.extend(VERSION);
        file.extend(group);
        file.extend(&self.data_set);
        Ok(file)
    }

    /// The same object with another last pixel: the same UID, other bytes, still readable where the pixels are native.
    #[must_use]
    pub fn with_another_pixel(mut self) -> Self {
        // The very last byte may be padding.
        let pixel = self.data_set.len().saturating_sub(2);
        if let Some(byte) = self.data_set.get_mut(pixel) {
            *byte ^= 0xFF;
        }
        self
    }
}

/// File Meta Information Version.
const VERSION: &[u8] = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01";

/// A UI of the file meta information.
fn meta(group: &mut Vec<u8>, element: u16, uid: &str) -> Result<()> {
    let padded = uid.len().next_multiple_of(2);
    group.extend([0x02, 0x00]);
    group.extend(element.to_le_bytes());
    group.extend(b"UI");
    group.extend(u16::try_from(padded)?.to_le_bytes());
    group.extend(uid.as_bytes());
    group.resize(group.len() + padded - uid.len(), 0);
    Ok(())
}

/// One element in Explicit VR Little Endian: its element number, its value, and what follows.
fn explicit_element(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let element = u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?);
    let long = matches!(bytes.get(4..6)?, b"OB" | b"OW" | b"UN" | b"SQ" | b"UT");
    let (length, start) = if long {
        (u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?), 12)
    } else {
        let length = u16::from_le_bytes(bytes.get(6..8)?.try_into().ok()?);
        (u32::from(length), 8)
    };
    let end = start + usize::try_from(length).ok()?;
    Some((element, bytes.get(start..end)?, bytes.get(end..)?))
}

/// A UID without its padding.
pub(crate) fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.trim_end_matches(['\0', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_real_file_gives_its_names_and_its_data_set() {
        let object = Object::read(&samples::pydicom("examples_ybr_color.dcm").unwrap()).unwrap();
        assert_eq!(object.sop_class, "1.2.840.10008.5.1.4.1.1.3.1");
        assert_eq!(object.transfer_syntax, JPEG_BASELINE);
        // The data set begins with group 0008.
        assert_eq!(object.data_set.get(..2), Some([0x08, 0x00].as_slice()));
        let other = object.clone().with_another_pixel();
        assert_ne!(other.data_set, object.data_set);
        assert_eq!(other.data_set.len(), object.data_set.len());
    }
}
