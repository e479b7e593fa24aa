//! A scan of a Part 10 file that counts how deep its sequences are nested, with a stack of its own in place of
//! recursion. It walks as dicom-object walks, element by element, so that no length reaches the parser that this file
//! can't hold: the parser makes room for a value before it reads it.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use sonode_conformance::limits::PARSE_DEPTH_MAX;

use super::ReadError;

const UNDEFINED: u32 = u32::MAX;
/// The group of items and delimiters.
const DELIMITERS: u16 = 0xFFFE;
const ITEM: u16 = 0xE000;
const ITEM_END: u16 = 0xE00D;
const SEQUENCE_END: u16 = 0xE0DD;

/// How a data set is laid out.
#[derive(Debug, Clone, Copy)]
struct Layout {
    explicit: bool,
    big_endian: bool,
}

/// One open sequence or item.
struct Open {
    /// Where it ends; `None` where a delimiter ends it.
    end: Option<usize>,
    level: Level,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Elements: of the file's data set, or of an item.
    DataSet,
    /// Items of a sequence.
    Items,
}

/// Refuses what dicom-object can't parse without a deep stack.
///
/// # Errors
/// [`ReadError::Malformed`], [`ReadError::TooDeep`] or [`ReadError::TransferSyntax`].
pub(super) fn check(bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.get(128..132) != Some(b"DICM") {
        return Err(ReadError::Malformed("no DICM prefix"));
    }
    let mut scanner = Scanner {
        bytes,
        at: 132,
        stack: Vec::new(),
    };
    let meta = Layout {
        explicit: true,
        big_endian: false,
    };
    let mut transfer_syntax = "";
    // The file meta information is always Explicit VR Little Endian (PS3.10 section 7.1).
    while scanner.peek_group(meta) == Some(0x0002) {
        let (tag, value) = scanner.flat_element(meta)?;
        if tag == Tag(0x0002, 0x0010) {
            let text = std::str::from_utf8(value).unwrap_or_default();
            transfer_syntax = text.trim_end_matches(['\0', ' ']);
        }
    }
    let layout = layout_of(transfer_syntax)?;
    scanner.dataset(layout)
}

fn layout_of(transfer_syntax: &str) -> Result<Layout, ReadError> {
    let (explicit, big_endian) = match transfer_syntax {
        "1.2.840.10008.1.2" => (false, false),
        "1.2.840.10008.1.2.1" => (true, false),
        "1.2.840.10008.1.2.2" => (true, true),
        other => return Err(ReadError::TransferSyntax(other.to_owned())),
    };
    Ok(Layout {
        explicit,
        big_endian,
    })
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Open>,
}

struct Header {
    tag: Tag,
    holds: Holds,
    length: u32,
}

/// What an element's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Bytes,
    Items,
    /// Encapsulated pixels (PS3.5 section A.4).
    Fragments,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let end = self.at.checked_add(count);
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or(ReadError::Malformed("the file is cut off"))?;
        self.at += count;
        Ok(slice)
    }

    fn u16(&mut self, layout: Layout) -> Result<u16, ReadError> {
        let raw: [u8; 2] = self.take(2)?.try_into().unwrap_or_default();
        Ok(if layout.big_endian {
            u16::from_be_bytes(raw)
        } else {
            u16::from_le_bytes(raw)
        })
    }

    fn u32(&mut self, layout: Layout) -> Result<u32, ReadError> {
        let raw: [u8; 4] = self.take(4)?.try_into().unwrap_or_default();
        Ok(if layout.big_endian {
            u32::from_be_bytes(raw)
        } else {
            u32::from_le_bytes(raw)
        })
    }

    fn peek_group(&self, layout: Layout) -> Option<u16> {
        let mut ahead = Scanner {
            bytes: self.bytes,
            at: self.at,
            stack: Vec::new(),
        };
        ahead.u16(layout).ok()
    }

    fn header(&mut self, layout: Layout) -> Result<Header, ReadError> {
        let tag = Tag(self.u16(layout)?, self.u16(layout)?);
        if tag.group() == DELIMITERS {
            let length = self.u32(layout)?;
            let holds = Holds::Bytes;
            return Ok(Header { tag, holds, length });
        }
        if !layout.explicit {
            let length = self.u32(layout)?;
            let holds = match length {
                UNDEFINED if tag == tags::PIXEL_DATA => Holds::Fragments,
                UNDEFINED => Holds::Items,
                _ => match vr_by_dictionary(tag) {
                    VR::SQ => Holds::Items,
                    vr => whole_values(vr, length)?,
                },
            };
            return Ok(Header { tag, holds, length });
        }
        let vr: [u8; 2] = self.take(2)?.try_into().unwrap_or_default();
        let length = if has_short_length(vr) {
            u32::from(self.u16(layout)?)
        } else {
            self.u16(layout)?;
            self.u32(layout)?
        };
        let holds = match (&vr, length) {
            (b"SQ", _) => Holds::Items,
            (_, UNDEFINED) if tag == tags::PIXEL_DATA => Holds::Fragments,
            // CP-246: items in Implicit VR, which dicom-object would read as Explicit VR.
            (b"UN", UNDEFINED) => {
                return Err(ReadError::Malformed(
                    "an element of unknown kind and undefined length is not read here",
                ));
            }
            (_, UNDEFINED) => Holds::Items,
            _ => whole_values(VR::from_binary(vr).unwrap_or(VR::UN), length)?,
        };
        Ok(Header { tag, holds, length })
    }

    /// One element of the file meta information.
    fn flat_element(&mut self, layout: Layout) -> Result<(Tag, &'a [u8]), ReadError> {
        let header = self.header(layout)?;
        let value = self.take(header.length as usize)?;
        Ok((header.tag, value))
    }

    fn dataset(&mut self, layout: Layout) -> Result<(), ReadError> {
        loop {
            self.close_what_ended()?;
            if self.at >= self.bytes.len() {
                return Ok(());
            }
            let level = self.stack.last().map_or(Level::DataSet, |open| open.level);
            let header = self.header(layout)?;
            match (level, header.tag) {
                (Level::Items, Tag(DELIMITERS, ITEM)) => {
                    self.open(header.length, Level::DataSet)?;
                }
                (Level::Items, Tag(DELIMITERS, SEQUENCE_END))
                | (Level::DataSet, Tag(DELIMITERS, ITEM_END))
                    if !self.stack.is_empty() =>
                {
                    self.stack.pop();
                }
                (Level::Items, _) | (Level::DataSet, Tag(DELIMITERS, _)) => {
                    return Err(ReadError::Malformed("items and elements are mixed up"));
                }
                (Level::DataSet, _) => match header.holds {
                    Holds::Items => self.open(header.length, Level::Items)?,
                    Holds::Fragments => self.fragments(layout)?,
                    Holds::Bytes => {
                        self.take(header.length as usize)?;
                    }
                },
            }
        }
    }

    /// Items of bytes, up to their delimiter.
    fn fragments(&mut self, layout: Layout) -> Result<(), ReadError> {
        loop {
            let header = self.header(layout)?;
            match header.tag {
                Tag(DELIMITERS, ITEM) => drop(self.take(header.length as usize)?),
                Tag(DELIMITERS, SEQUENCE_END) => return Ok(()),
                _ => return Err(ReadError::Malformed("encapsulated pixels without an end")),
            }
        }
    }

    fn open(&mut self, length: u32, level: Level) -> Result<(), ReadError> {
        let end = match length {
            UNDEFINED => None,
            length => {
                let end = self.at.checked_add(length as usize);
                let end = end.filter(|end| *end <= self.bytes.len());
                Some(end.ok_or(ReadError::Malformed("a length is absurd"))?)
            }
        };
        self.stack.push(Open { end, level });
        // A sequence and its item are one level of nesting.
        if self.stack.len() > 2 * PARSE_DEPTH_MAX as usize {
            return Err(ReadError::TooDeep(PARSE_DEPTH_MAX));
        }
        Ok(())
    }

    fn close_what_ended(&mut self) -> Result<(), ReadError> {
        while let Some(Open { end: Some(end), .. }) = self.stack.last() {
            if self.at < *end {
                break;
            }
            if self.at > *end {
                return Err(ReadError::Malformed("a value is longer than its item"));
            }
            self.stack.pop();
        }
        Ok(())
    }
}

/// PS3.5 section 7.1.2: these have a length of two bytes; every other one, known or not, two reserved bytes and a length
/// of four.
fn has_short_length(vr: [u8; 2]) -> bool {
    const SHORT: [&[u8; 2]; 21] = [
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
        b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    ];
    SHORT.contains(&&vr)
}

fn vr_by_dictionary(tag: Tag) -> VR {
    StandardDataDictionary
        .by_tag(tag)
        .map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Binary numbers come whole: dicom-object reads as many as fit, and takes what is left over for the next element.
fn whole_values(vr: VR, length: u32) -> Result<Holds, ReadError> {
    let bytes = match vr {
        VR::SS | VR::US | VR::OW => 2,
        VR::AT | VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    };
    if length.is_multiple_of(bytes) {
        Ok(Holds::Bytes)
    } else {
        Err(ReadError::Malformed("a number is cut off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose data set holds Content Sequence (0040,A730) in itself, `depth` times.
    fn nested(depth: usize, transfer_syntax: &str, defined: bool) -> Vec<u8> {
        let explicit = transfer_syntax != "1.2.840.10008.1.2";
        let mut body = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x40, 0x00, 0x30, 0xA7];
            if explicit {
                outer.extend(b"SQ\0\0");
            }
            let length = |bytes: usize| {
                if defined {
                    u32::try_from(bytes).unwrap()
                } else {
                    UNDEFINED
                }
            };
            outer.extend(length(body.len() + 8).to_le_bytes());
            outer.extend([0xFE, 0xFF, 0x00, 0xE0]);
            outer.extend(length(body.len()).to_le_bytes());
            outer.append(&mut body);
            if !defined {
                outer.extend([0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
                outer.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
            }
            body = outer;
        }
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        file.extend([0x02, 0x00, 0x10, 0x00]);
        file.extend(b"UI");
        let mut uid = transfer_syntax.as_bytes().to_vec();
        if uid.len() % 2 == 1 {
            uid.push(0);
        }
        file.extend(u16::try_from(uid.len()).unwrap().to_le_bytes());
        file.extend(uid);
        file.extend(body);
        file
    }

    #[test]
    fn nesting_is_counted_in_every_layout() {
        let most = PARSE_DEPTH_MAX as usize;
        for syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"] {
            for defined in [true, false] {
                assert!(check(&nested(most, syntax, defined)).is_ok());
                for depth in [most + 1, 5000] {
                    let got = check(&nested(depth, syntax, defined));
                    assert!(
                        matches!(got, Err(ReadError::TooDeep(_))),
                        "{syntax} {depth}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_unknown_kind_of_value_has_a_long_length_and_no_undefined_one() {
        for vr in [b"UN", b"ZZ"] {
            let mut file = nested(0, "1.2.840.10008.1.2.1", false);
            file.extend([0x09, 0x00, 0x01, 0x10]);
            file.extend(vr);
            // As a length of two bytes it would be none, and the parser would make room for 4 GB.
            file.extend([0, 0]);
            file.extend(0xFFFF_FF00_u32.to_le_bytes());
            assert!(matches!(check(&file), Err(ReadError::Malformed(_))));
        }
        let mut file = nested(0, "1.2.840.10008.1.2.1", false);
        file.extend(b"\x09\x00\x01\x10UN\0\0\xFF\xFF\xFF\xFF");
        assert!(matches!(check(&file), Err(ReadError::Malformed(_))));
    }

    #[test]
    fn numbers_come_whole() {
        for (length, is_whole) in [(8, true), (10, false)] {
            let mut file = nested(0, "1.2.840.10008.1.2.1", false);
            file.extend([0x09, 0x00, 0x01, 0x10]);
            file.extend(b"SL");
            file.extend([length, 0]);
            file.extend(vec![0; length.into()]);
            assert_eq!(check(&file).is_ok(), is_whole);
        }
    }

    #[test]
    fn fragments_are_no_data_set() {
        let mut file = nested(0, "1.2.840.10008.1.2.1", false);
        file.extend(b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF");
        file.extend(b"\xFE\xFF\x00\xE0\x04\0\0\0\xFF\xD8\xFF\xFF");
        assert!(matches!(check(&file), Err(ReadError::Malformed(_))));
        file.extend(b"\xFE\xFF\xDD\xE0\0\0\0\0");
        assert!(check(&file).is_ok());
    }

    #[test]
    fn what_is_no_data_set_of_ours_is_refused_by_name() {
        assert!(matches!(check(b"GIF89a"), Err(ReadError::Malformed(_))));
        let deflated = nested(1, "1.2.840.10008.1.2.1.99", true);
        assert!(matches!(
            check(&deflated),
            Err(ReadError::TransferSyntax(_))
        ));
        let whole = nested(3, "1.2.840.10008.1.2.1", true);
        assert!(check(&whole[..whole.len() - 3]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(body: Vec<u8>, big: bool) {
            let syntax = if big { "1.2.840.10008.1.2.2" } else { "1.2.840.10008.1.2.1" };
            let mut file = nested(0, syntax, true);
            file.extend(body);
            // Refused or not: what counts is that it returns.
            drop(check(&file));
        }
    }
}
