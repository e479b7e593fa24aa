//! The flat scan over data elements.
//!
//! Levels: 0 is the data set, an odd level is inside a sequence (items come), an even one inside an item (elements
//! come). Only what has an undefined length makes a level; the rest is stepped over by its length.

use std::ops::Range;

use sonode_conformance::limits;
use sonode_conformance::transfer_syntax::Encoding;

use super::{HeaderFacts, ScanEnd, Tag, WANTED};

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
/// The longest element header: tag, VR, reserved bytes, 32-bit length.
const HEADER_MAX: usize = 12;

/// VRs with a 16-bit length (PS3.5 section 7.1.2). VRs of the future have 32 bits.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
];

/// What the next bytes are.
enum Phase {
    /// An element header, of which `carried` holds the beginning.
    Header,
    /// Bytes of no interest.
    Skip(u64),
    /// The value of a wanted element.
    Keep(Tag, u32),
}

/// An element header that was read.
struct Head {
    tag: Tag,
    is_unknown_vr: bool,
    length: u32,
}

pub(super) struct Elements {
    /// Of the plain data set: deflation is behind it.
    encoding: Encoding,
    phase: Phase,
    carried: [u8; HEADER_MAX],
    carried_len: usize,
    level: u32,
    /// The level of a UN sequence of undefined length: Implicit VR Little Endian inside (PS3.5 section 6.2.2, CP-246).
    implicit_from: Option<u32>,
    /// The last top-level tag.
    previous: Option<Tag>,
    scanned: u64,
    values: Vec<(Tag, Range<usize>)>,
    bytes: Vec<u8>,
    end: Option<ScanEnd>,
}

impl Elements {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            phase: Phase::Header,
            carried: [0; HEADER_MAX],
            carried_len: 0,
            level: 0,
            implicit_from: None,
            previous: None,
            scanned: 0,
            values: Vec::new(),
            bytes: Vec::new(),
            end: None,
        }
    }

    pub(super) fn end(&self) -> Option<ScanEnd> {
        self.end
    }

    pub(super) fn set_end(&mut self, end: ScanEnd) {
        self.end.get_or_insert(end);
    }

    pub(super) fn finish(mut self) -> HeaderFacts {
        let at_boundary =
            self.level == 0 && self.carried_len == 0 && matches!(self.phase, Phase::Header);
        self.set_end(if at_boundary {
            ScanEnd::EndOfDataSet
        } else {
            ScanEnd::Truncated
        });
        HeaderFacts {
            values: self.values,
            bytes: self.bytes,
            end: self.end.unwrap_or(ScanEnd::Truncated),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let left = limits::HEADER_SCANNED_BYTES_MAX.saturating_sub(self.scanned);
        let mut input = bytes.get(..usize_of(left)).unwrap_or(bytes);
        while self.end.is_none() && !input.is_empty() {
            let taken = match self.phase {
                Phase::Header => self.take_header(input),
                Phase::Skip(length) => self.take_skipped(input, length),
                Phase::Keep(tag, length) => self.take_kept(input, tag, length),
            };
            self.scanned += taken as u64;
            input = input.get(taken..).unwrap_or_default();
        }
        if self.scanned >= limits::HEADER_SCANNED_BYTES_MAX {
            self.set_end(ScanEnd::ScannedTooMuch);
        }
    }

    fn take_skipped(&mut self, input: &[u8], length: u64) -> usize {
        let taken = input.len().min(usize_of(length));
        self.phase = match length - taken as u64 {
            0 => Phase::Header,
            left => Phase::Skip(left),
        };
        taken
    }

    fn take_kept(&mut self, input: &[u8], tag: Tag, length: u32) -> usize {
        let start = self.values.last().map_or(0, |(_, range)| range.end);
        let end = start + usize_of(length.into());
        let taken = input.len().min(end - self.bytes.len());
        self.bytes
            .extend_from_slice(input.get(..taken).unwrap_or_default());
        // Noted once it is whole: half a UID would be another UID.
        if self.bytes.len() == end {
            self.values.push((tag, start..end));
            self.phase = Phase::Header;
        }
        taken
    }

    fn take_header(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        while self.carried_len < self.header_len() {
            let Some(byte) = input.get(taken) else {
                return taken;
            };
            if let Some(slot) = self.carried.get_mut(self.carried_len) {
                *slot = *byte;
            }
            self.carried_len += 1;
            taken += 1;
            if self.carried_len == 8 {
                self.settle_encoding();
            }
        }
        match self.head() {
            Some(head) => self.begin(&head),
            None => self.set_end(ScanEnd::BadVr),
        }
        self.carried_len = 0;
        taken
    }

    /// Some senders write Implicit VR under an explicit syntax, or the other way round. The first element behind any file
    /// meta information tells: two letters in place of its length would make it longer than 16 KiB.
    fn settle_encoding(&mut self) {
        let is_first = self.level == 0 && self.previous.is_none_or(|previous| previous.0 <= 2);
        if !is_first || self.tag().0 <= 2 {
            return;
        }
        self.encoding = match (self.encoding, self.vr_is_plausible()) {
            (Encoding::ImplicitLittle, true) => Encoding::ExplicitLittle,
            (Encoding::ExplicitLittle | Encoding::Deflated, false) => Encoding::ImplicitLittle,
            (encoding, _) => encoding,
        };
    }

    /// How long the header in `carried` is, as far as is known.
    fn header_len(&self) -> usize {
        let has_long_vr = self.carried_len >= 8
            && self.is_explicit()
            && self.vr_is_plausible()
            && !SHORT.contains(&&self.vr());
        if has_long_vr { HEADER_MAX } else { 8 }
    }

    fn vr(&self) -> [u8; 2] {
        [self.carried[4], self.carried[5]]
    }

    fn vr_is_plausible(&self) -> bool {
        self.vr().iter().all(u8::is_ascii_uppercase)
    }

    fn is_big_endian(&self) -> bool {
        self.encoding == Encoding::ExplicitBig && self.implicit_from.is_none()
    }

    fn tag(&self) -> Tag {
        let [a, b, c, d, ..] = self.carried;
        Tag(self.u16([a, b]), self.u16([c, d]))
    }

    /// Whether the header in `carried` has a VR.
    fn is_explicit(&self) -> bool {
        let tag = self.tag();
        // Items and delimiters never have a VR.
        if tag.0 == 0xFFFE || self.level % 2 == 1 || self.implicit_from.is_some() {
            return false;
        }
        // File meta information that strayed into the data set is Explicit VR whatever the syntax; no implicit element
        // of group 0002 is as long as two letters in its length would make it.
        self.encoding != Encoding::ImplicitLittle || (tag.0 == 0x0002 && self.vr_is_plausible())
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian() {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian() {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// The whole header in `carried`; `None` if there should be a VR and there is none.
    fn head(&self) -> Option<Head> {
        let (_, lengths) = self.carried.split_first_chunk::<4>()?;
        let (first, second) = lengths.split_first_chunk::<4>()?;
        let is_explicit = self.is_explicit();
        let length = if !is_explicit {
            self.u32(*first)
        } else if SHORT.contains(&&self.vr()) {
            self.u16([first[2], first[3]]).into()
        } else if self.vr_is_plausible() {
            self.u32(second.try_into().ok()?)
        } else {
            return None;
        };
        Some(Head {
            tag: self.tag(),
            is_unknown_vr: is_explicit && self.vr() == *b"UN",
            length,
        })
    }

    fn begin(&mut self, head: &Head) {
        if self.level % 2 == 1 {
            match head.tag {
                ITEM => self.begin_value(head),
                SEQUENCE_END => self.leave(),
                _ => self.set_end(ScanEnd::BadNesting),
            }
        } else if head.tag.0 == 0xFFFE {
            if head.tag == ITEM_END && self.level > 0 {
                self.leave();
            } else {
                self.set_end(ScanEnd::BadNesting);
            }
        } else if self.level == 0 {
            self.begin_top_level(head);
        } else {
            self.begin_value(head);
        }
    }

    fn begin_top_level(&mut self, head: &Head) {
        if self.previous.is_some_and(|previous| head.tag <= previous) {
            return self.set_end(ScanEnd::OutOfOrder);
        }
        self.previous = Some(head.tag);
        if WANTED.last().is_some_and(|last| head.tag > *last) {
            return self.set_end(ScanEnd::Complete);
        }
        if head.length == UNDEFINED || WANTED.binary_search(&head.tag).is_err() {
            return self.begin_value(head);
        }
        let kept = self.bytes.len();
        if usize_of(head.length.into()) > limits::HEADER_KEPT_BYTES_MAX.saturating_sub(kept) {
            return self.set_end(ScanEnd::KeptTooMuch);
        }
        if head.length == 0 {
            self.values.push((head.tag, kept..kept));
        } else {
            self.phase = Phase::Keep(head.tag, head.length);
        }
    }

    /// Steps over a value, or into it if its length is undefined.
    fn begin_value(&mut self, head: &Head) {
        if head.length != UNDEFINED {
            if head.length > 0 {
                self.phase = Phase::Skip(head.length.into());
            }
            return;
        }
        self.level += 1;
        if head.is_unknown_vr {
            self.implicit_from.get_or_insert(self.level);
        }
        // Two levels make one nesting.
        if self.level > 2 * limits::HEADER_DEPTH_MAX {
            self.set_end(ScanEnd::TooDeep);
        }
    }

    fn leave(&mut self) {
        if self.implicit_from == Some(self.level) {
            self.implicit_from = None;
        }
        self.level -= 1;
    }
}

/// Saturating: only compared with, or bounded by, lengths of slices.
fn usize_of(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
