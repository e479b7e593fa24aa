//! The Part 10 header of the spool's files (PS3.10 section 7.1), written and read back.
//!
//! Private Information (0002,0102) carries the digest and the length of the data set, so that a start-up scan knows
//! both without reading gigabytes again, and notices a file that was cut.

use sonode_conformance::{
    AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid, UidError, implementation,
};

use super::instance::{Digest, FileMeta};

/// No header that [`encode`] makes is longer.
pub(super) const HEADER_BYTES_MAX: u64 = 2048;

/// Private Information Creator UID (0002,0100): says that (0002,0102) holds a digest and a length. Part of the on-disk
/// layout, so it is not the implementation's UID, which may change with a version.
const SEAL_CREATOR: &str = "2.25.324538482691160449233475885739341764883";
const PREAMBLE_BYTES: usize = 128;
const SEAL_BYTES: usize = 40;

/// A header to which the seal (digest and length) is added when the data set has ended.
pub(super) struct Header {
    /// Preamble, prefix and file meta information; the seal is zero.
    pub(super) bytes: Vec<u8>,
    /// Where the seal stands.
    pub(super) seal_offset: usize,
}

/// The seal's value: the digest, then the length as a little-endian `u64`.
pub(super) fn seal(digest: &Digest, data_set_bytes: u64) -> [u8; SEAL_BYTES] {
    let mut value = [0; SEAL_BYTES];
    let bytes = digest.as_bytes().iter().copied();
    for (to, from) in value
        .iter_mut()
        .zip(bytes.chain(data_set_bytes.to_le_bytes()))
    {
        *to = from;
    }
    value
}

/// Writes preamble, prefix and file meta information in Explicit VR Little Endian (PS3.10 table 7.1-1).
pub(super) fn encode(meta: &FileMeta) -> Header {
    let mut group = Vec::with_capacity(512);
    element(&mut group, 0x0001, *b"OB", &[0, 1], 0);
    element(
        &mut group,
        0x0002,
        *b"UI",
        meta.sop_class.as_str().as_bytes(),
        0,
    );
    element(
        &mut group,
        0x0003,
        *b"UI",
        meta.sop_instance.as_str().as_bytes(),
        0,
    );
    element(
        &mut group,
        0x0010,
        *b"UI",
        meta.transfer_syntax.as_str().as_bytes(),
        0,
    );
    element(
        &mut group,
        0x0012,
        *b"UI",
        implementation::CLASS_UID.as_bytes(),
        0,
    );
    element(
        &mut group,
        0x0013,
        *b"SH",
        implementation::VERSION_NAME.as_bytes(),
        b' ',
    );
    if let Some(title) = &meta.calling_ae {
        element(&mut group, 0x0016, *b"AE", title.as_str().as_bytes(), b' ');
    }
    element(&mut group, 0x0100, *b"UI", SEAL_CREATOR.as_bytes(), 0);
    element(&mut group, 0x0102, *b"OB", &[0; SEAL_BYTES], 0);

    let mut bytes = vec![0; PREAMBLE_BYTES];
    bytes.extend(b"DICM");
    // Under 700 bytes: each value is at most 64 bytes long.
    let group_length = u32::try_from(group.len()).unwrap_or(u32::MAX);
    element(&mut bytes, 0x0000, *b"UL", &group_length.to_le_bytes(), 0);
    bytes.extend(group);
    Header {
        seal_offset: bytes.len() - SEAL_BYTES,
        bytes,
    }
}

/// One element of group 0002 (PS3.5 7.1.2); every value here is shorter than 2^16 bytes.
fn element(to: &mut Vec<u8>, number: u16, vr: [u8; 2], value: &[u8], padding: u8) {
    let length = u16::try_from(value.len().next_multiple_of(2)).unwrap_or(u16::MAX);
    to.extend(2_u16.to_le_bytes());
    to.extend(number.to_le_bytes());
    to.extend(vr);
    if vr == *b"OB" {
        to.extend([0, 0]);
        to.extend(u32::from(length).to_le_bytes());
    } else {
        to.extend(length.to_le_bytes());
    }
    to.extend(value);
    if value.len() % 2 == 1 {
        to.push(padding);
    }
}

/// Why a file's header is not one that the spool wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No `DICM` after the preamble.
    #[error("no DICOM file: the prefix DICM is missing")]
    NotPart10,
    /// The file meta information ends early or is not in Explicit VR Little Endian.
    #[error("the file meta information is cut or damaged")]
    Damaged,
    /// An attribute that every file of the spool has.
    #[error("the file meta information lacks (0002,{0:04X})")]
    Missing(u16),
    /// A UID of it is none.
    #[error("(0002,{0:04X}) is no UID: {1}")]
    BadUid(u16, #[source] UidError),
}

/// What a header of the spool says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) meta: FileMeta,
    pub(super) digest: Digest,
    /// Length of the data set that belongs to it.
    pub(super) data_set_bytes: u64,
    /// Where the data set begins.
    pub(super) header_bytes: u64,
}

/// Reads a header from the beginning of a file; [`HEADER_BYTES_MAX`] bytes are enough. Unknown elements are skipped.
pub(super) fn parse(file: &[u8]) -> Result<Parsed, HeaderError> {
    let mut rest = Cursor { bytes: file, at: 0 };
    rest.take(PREAMBLE_BYTES).ok_or(HeaderError::NotPart10)?;
    if rest.take(4) != Some(b"DICM") {
        return Err(HeaderError::NotPart10);
    }
    let (number, length) = rest.element().ok_or(HeaderError::Damaged)?;
    let length: [u8; 4] = length.try_into().map_err(|_| HeaderError::Damaged)?;
    if number != 0 {
        return Err(HeaderError::Missing(0));
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| HeaderError::Damaged)?;
    let mut group = Cursor {
        bytes: rest.take(length).ok_or(HeaderError::Damaged)?,
        at: 0,
    };
    let mut values = Values::default();
    while group.at < group.bytes.len() {
        let (number, value) = group.element().ok_or(HeaderError::Damaged)?;
        values.keep(number, value);
    }
    let (digest, data_set_bytes) = values.seal()?;
    Ok(Parsed {
        meta: FileMeta {
            sop_class: uid(0x0002, values.sop_class, SopClassUid::parse)?,
            sop_instance: uid(0x0003, values.sop_instance, SopInstanceUid::parse)?,
            transfer_syntax: uid(0x0010, values.transfer_syntax, TransferSyntaxUid::parse)?,
            calling_ae: values.calling_ae.and_then(|raw| AeTitle::parse(raw).ok()),
        },
        digest,
        data_set_bytes,
        header_bytes: u64::try_from(rest.at).unwrap_or(u64::MAX),
    })
}

fn uid<T>(
    number: u16,
    raw: Option<&[u8]>,
    parse: impl FnOnce(&[u8]) -> Result<T, UidError>,
) -> Result<T, HeaderError> {
    let raw = raw.ok_or(HeaderError::Missing(number))?;
    parse(raw).map_err(|error| HeaderError::BadUid(number, error))
}

#[derive(Default)]
struct Values<'a> {
    sop_class: Option<&'a [u8]>,
    sop_instance: Option<&'a [u8]>,
    transfer_syntax: Option<&'a [u8]>,
    calling_ae: Option<&'a [u8]>,
    creator: Option<&'a [u8]>,
    seal: Option<&'a [u8]>,
}

impl<'a> Values<'a> {
    fn keep(&mut self, number: u16, value: &'a [u8]) {
        let slot = match number {
            0x0002 => &mut self.sop_class,
            0x0003 => &mut self.sop_instance,
            0x0010 => &mut self.transfer_syntax,
            0x0016 => &mut self.calling_ae,
            0x0100 => &mut self.creator,
            0x0102 => &mut self.seal,
            _ => return,
        };
        *slot = Some(value);
    }

    fn seal(&self) -> Result<(Digest, u64), HeaderError> {
        let creator = self.creator.unwrap_or_default();
        if creator.strip_suffix(&[0]).unwrap_or(creator) != SEAL_CREATOR.as_bytes() {
            return Err(HeaderError::Missing(0x0100));
        }
        let value = self.seal.ok_or(HeaderError::Missing(0x0102))?;
        let split = value.split_first_chunk().ok_or(HeaderError::Damaged)?;
        let (digest, length): (&[u8; 32], &[u8]) = split;
        let length = length.try_into().map_err(|_| HeaderError::Damaged)?;
        Ok((Digest::from_bytes(*digest), u64::from_le_bytes(length)))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Element number and value; `None` when it isn't a whole element of group 0002.
    fn element(&mut self) -> Option<(u16, &'a [u8])> {
        let group = self.u16()?;
        let number = self.u16()?;
        let vr = self.take(2)?;
        let length = if matches!(vr, b"OB" | b"OW" | b"UN" | b"UT" | b"SQ") {
            self.take(2)?;
            u32::from_le_bytes(self.take(4)?.try_into().ok()?)
        } else {
            u32::from(self.u16()?)
        };
        let value = self.take(usize::try_from(length).ok()?)?;
        (group == 2).then_some((number, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(calling_ae: Option<&[u8]>) -> FileMeta {
        FileMeta {
            sop_class: SopClassUid::parse(b"1.2.840.10008.5.1.4.1.1.3.1").unwrap(),
            sop_instance: SopInstanceUid::parse(b"1.2.3.4").unwrap(),
            transfer_syntax: TransferSyntaxUid::parse(b"1.2.840.10008.1.2.4.50").unwrap(),
            calling_ae: calling_ae.map(|raw| AeTitle::parse(raw).unwrap()),
        }
    }

    fn sealed(meta: &FileMeta) -> Vec<u8> {
        let mut header = encode(meta);
        let seal = seal(&Digest::from_bytes([7; 32]), 1 << 33);
        header.bytes[header.seal_offset..].copy_from_slice(&seal);
        header.bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for title in [None, Some(&b"CART1"[..]), Some(b"SIXTEEN-CHARS-AE")] {
            let mut file = sealed(&meta(title));
            let header_bytes = u64::try_from(file.len()).unwrap();
            file.extend(b"\x08\x00\x05\x00CS\x00\x00");
            let parsed = parse(&file).unwrap();
            assert_eq!(parsed.meta, meta(title));
            assert_eq!(parsed.digest, Digest::from_bytes([7; 32]));
            assert_eq!(parsed.data_set_bytes, 1 << 33);
            assert_eq!(parsed.header_bytes, header_bytes);
        }
    }

    #[test]
    fn the_longest_header_fits() {
        let uid = [b'1'; 64];
        let longest = FileMeta {
            sop_class: SopClassUid::parse(&uid).unwrap(),
            sop_instance: SopInstanceUid::parse(&uid).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse(&uid).unwrap(),
            calling_ae: Some(AeTitle::parse(&[b'A'; 16]).unwrap()),
        };
        assert!(encode(&longest).bytes.len() < usize::try_from(HEADER_BYTES_MAX).unwrap());
    }

    #[test]
    fn a_cut_header_is_an_error_at_every_length() {
        let file = sealed(&meta(Some(b"CART1")));
        for length in 0..file.len() {
            assert!(parse(&file[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_file_that_others_wrote_has_no_seal() {
        let file = sealed(&meta(None));
        let start = PREAMBLE_BYTES + 4 + 12;
        let end = file.len() - SEAL_BYTES - 12 - 8 - SEAL_CREATOR.len().next_multiple_of(2);
        let group = &file[start..end];
        let mut other = vec![0; PREAMBLE_BYTES];
        other.extend(b"DICM");
        let length = u32::try_from(group.len()).unwrap().to_le_bytes();
        element(&mut other, 0, *b"UL", &length, 0);
        other.extend(group);
        assert_eq!(parse(&other), Err(HeaderError::Missing(0x0100)));
    }

    proptest::proptest! {
        #[test]
        fn no_damage_panics(at in 0_usize..400, byte: u8, cut in 0_usize..500) {
            let mut file = sealed(&meta(Some(b"CART1")));
            if let Some(target) = file.get_mut(at) {
                *target = byte;
            }
            file.truncate(cut);
            // Reading it is the test: any result is right, a panic is not.
            let parsed = parse(&file);
            proptest::prop_assert!(parsed.is_err() || cut > 132);
        }
    }
}
