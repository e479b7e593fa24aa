//! One data element's header in each of DICOM's encodings (PS3.5 section 7.1), and which elements the header keeps.

use std::io;

use dicom_core::dictionary::{DataDictionary, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::source::Source;

/// The length that says "until the delimiter" (PS3.5 section 7.1.1).
pub(crate) const UNDEFINED: u32 = u32::MAX;
/// Item (PS3.5 section 7.5).
pub(crate) const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// Item Delimitation Item.
pub(crate) const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
/// Sequence Delimitation Item.
pub(crate) const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// With a VR in each header.
    pub(crate) explicit: bool,
    /// Big endian.
    pub(crate) big: bool,
}

impl Encoding {
    /// Implicit VR Little Endian, which is also how CP-246 writes inside a UN of undefined length.
    pub(crate) const IMPLICIT: Self = Self {
        explicit: false,
        big: false,
    };
}

/// A data element's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElementHeader {
    /// The tag.
    pub(crate) tag: Tag,
    /// The VR as written; none in implicit VR.
    pub(crate) vr: Option<VR>,
    /// The length as written.
    pub(crate) len: u32,
    /// Where the value begins.
    pub(crate) value_at: u64,
}

/// Small reads at rising offsets, through one buffer.
pub(crate) struct Window<'a> {
    source: &'a Source,
    buffer: Vec<u8>,
    at: u64,
}

impl<'a> Window<'a> {
    const BYTES: u64 = 64 * 1024;

    /// An empty window.
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// `N` bytes at `offset`; none past the end.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let inside = offset >= self.at && offset + N as u64 <= self.at + self.buffer.len() as u64;
        if !inside {
            self.buffer = self.source.bytes(offset, Self::BYTES)?;
            self.at = offset;
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        Ok(self
            .buffer
            .get(from..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied())
    }

    /// The header of the element at `offset`; none at the end of the source.
    pub(crate) fn header(
        &mut self,
        offset: u64,
        encoding: Encoding,
    ) -> io::Result<Option<ElementHeader>> {
        let Some([g0, g1, e0, e1, b4, b5, b6, b7]) = self.array(offset)? else {
            return Ok(None);
        };
        let u16_of = |bytes| {
            if encoding.big {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            }
        };
        let u32_of = |bytes| {
            if encoding.big {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        let tag = Tag(u16_of([g0, g1]), u16_of([e0, e1]));
        let written_as_vr = b4.is_ascii_uppercase() && b5.is_ascii_uppercase();
        // Some writers mix implicit elements into explicit data sets; a VR is two capitals and nothing else is.
        if !encoding.explicit || tag.group() == ITEM.group() || !written_as_vr {
            return Ok(Some(ElementHeader {
                tag,
                vr: None,
                len: u32_of([b4, b5, b6, b7]),
                value_at: offset + 8,
            }));
        }
        let vr = VR::from_binary([b4, b5]).unwrap_or(VR::UN);
        if has_short_length(vr) {
            return Ok(Some(ElementHeader {
                tag,
                vr: Some(vr),
                len: u32::from(u16_of([b6, b7])),
                value_at: offset + 8,
            }));
        }
        let length = self.array(offset + 8)?;
        Ok(length.map(|length| ElementHeader {
            tag,
            vr: Some(vr),
            len: u32_of(length),
            value_at: offset + 12,
        }))
    }
}

/// VRs whose explicit header has 16 bits of length (PS3.5 table 7.1-2); VRs still to be invented have 32.
fn has_short_length(vr: VR) -> bool {
    use VR::{AE, AS, AT, CS, DA, DS, DT, FD, FL, IS, LO, LT, PN, SH, SL, SS, ST, TM, UI, UL, US};
    matches!(
        vr,
        AE | AS
            | AT
            | CS
            | DA
            | DS
            | DT
            | FD
            | FL
            | IS
            | LO
            | LT
            | PN
            | SH
            | SL
            | SS
            | ST
            | TM
            | UI
            | UL
            | US
    )
}

/// The VR that the data dictionary (PS3.6) gives a standard attribute that the header keeps; none for private ones, for
/// bulk data, and for what is unknown.
pub(crate) fn kept_vr(tag: Tag) -> Option<VR> {
    let bulk = matches!(tag.group(), 0x5000..=0x50FF | 0x6000..=0x60FF | 0x7FE0 | 0xFFFC..);
    let private = tag.group() % 2 == 1;
    if private || bulk || tag.element() == 0 || tag == tags::ICON_IMAGE_SEQUENCE {
        return None;
    }
    let entry = StandardDataDictionary.by_tag(tag)?;
    Some(match entry.vr {
        VirtualVr::Exact(vr) => vr,
        other => other.relaxed(),
    })
}

/// Bytes of one number of a binary VR; 1 for text and bytes.
pub(crate) fn number_width(vr: VR) -> usize {
    match vr {
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OL | VR::OF => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Whether a value written under one VR can be read under another: text as text, numbers of one width as such.
pub(crate) fn reads_as(written: VR, wanted: VR) -> bool {
    written == wanted
        || written == VR::UN
        || (number_width(written) == number_width(wanted)
            && matches!(written, VR::FL | VR::FD) == matches!(wanted, VR::FL | VR::FD))
}
