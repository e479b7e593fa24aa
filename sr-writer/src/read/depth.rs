//! A scan of a Part 10 file that counts how deep its sequences are nested, with a stack of its own in place of
//! recursion.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use sonode_conformance::limits::PARSE_DEPTH_MAX;

use super::ReadError;

const UNDEFINED: u32 = u32::MAX;
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
    layout: Layout,
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
    sequence: bool,
    unknown: bool,
    length: u32,
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
        if tag.group() == 0xFFFE {
            let length = self.u32(layout)?;
            return Ok(Header {
                tag,
                sequence: false,
                unknown: false,
                length,
            });
        }
        if !layout.explicit {
            let length = self.u32(layout)?;
            let sequence = length == UNDEFINED || is_sequence_by_dictionary(tag);
            return Ok(Header {
                tag,
                sequence,
                unknown: false,
                length,
            });
        }
        let vr: [u8; 2] = self.take(2)?.try_into().unwrap_or_default();
        // PS3.5 section 7.1.2: these have two reserved bytes and a length of four.
        let long = matches!(
            &vr,
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        );
        let length = if long {
            self.u16(layout)?;
            self.u32(layout)?
        } else {
            u32::from(self.u16(layout)?)
        };
        let undefined = length == UNDEFINED;
        Ok(Header {
            tag,
            sequence: &vr == b"SQ" || undefined,
            unknown: &vr == b"UN",
            length,
        })
    }

    /// One element of the file meta information.
    fn flat_element(&mut self, layout: Layout) -> Result<(Tag, &'a [u8]), ReadError> {
        let header = self.header(layout)?;
        let value = self.take(header.length as usize)?;
        Ok((header.tag, value))
    }

    fn dataset(&mut self, layout: Layout) -> Result<(), ReadError> {
        while self.at < self.bytes.len() {
            self.close_what_ended();
            if self.at >= self.bytes.len() {
                break;
            }
            let layout = self.stack.last().map_or(layout, |open| open.layout);
            let header = self.header(layout)?;
            match (header.tag.group(), header.tag.element()) {
                (0xFFFE, ITEM) => self.open(header.length, layout)?,
                (0xFFFE, ITEM_END | SEQUENCE_END) => {
                    self.stack.pop();
                }
                _ if header.sequence => {
                    // CP-246: UN of undefined length holds items in Implicit VR Little Endian.
                    let inner = if header.unknown {
                        Layout {
                            explicit: false,
                            big_endian: false,
                        }
                    } else {
                        layout
                    };
                    self.open(header.length, inner)?;
                }
                _ => {
                    self.take(header.length as usize)?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, length: u32, layout: Layout) -> Result<(), ReadError> {
        let end = match length {
            UNDEFINED => None,
            length => Some(
                self.at
                    .checked_add(length as usize)
                    .ok_or(ReadError::Malformed("a length is absurd"))?,
            ),
        };
        self.stack.push(Open { end, layout });
        // A sequence and its item are one level of nesting.
        if self.stack.len() > 2 * PARSE_DEPTH_MAX as usize {
            return Err(ReadError::TooDeep(PARSE_DEPTH_MAX));
        }
        Ok(())
    }

    fn close_what_ended(&mut self) {
        while let Some(Open { end: Some(end), .. }) = self.stack.last() {
            if self.at < *end {
                break;
            }
            self.stack.pop();
        }
    }
}

fn is_sequence_by_dictionary(tag: Tag) -> bool {
    StandardDataDictionary
        .by_tag(tag)
        .is_some_and(|entry| entry.vr().exact() == Some(VR::SQ))
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
    fn items_in_an_unknown_element_count_too() {
        // CP-246: VR UN of undefined length.
        let mut file = nested(5000, "1.2.840.10008.1.2", false);
        let body = file.split_off(128 + 4 + 8 + 18);
        let mut file = nested(0, "1.2.840.10008.1.2.1", false);
        file.extend([0x09, 0x00, 0x01, 0x10]);
        file.extend(b"UN\0\0");
        file.extend(UNDEFINED.to_le_bytes());
        file.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        file.extend(body);
        assert!(matches!(check(&file), Err(ReadError::TooDeep(_))));
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
