//! One flat pass over a data set, before dicom-object sees any of it.
//!
//! dicom-object recurses into sequences (a stack overflow can't be caught) and fails on CP-246's UN of undefined length.
//! So this pass walks the data set with its own counted stack, in any encoding, and copies what a reader needs into a
//! clean one: standard attributes only, Implicit VR Little Endian, sequences of undefined length, no pixel data. That
//! copy is what dicom-object parses. Private and bulk values are stepped over unread, and Pixel Data is left in the file:
//! only where it lies is noted.

use std::io;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use sonode_conformance::limits::PARSE_DEPTH_MAX;

use super::element::{
    ElementHeader, Encoding, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Window, kept_vr,
    number_width, reads_as,
};
use super::source::Source;

/// Longest single value that is copied: a 16-bit palette of 65,536 entries is 128 KiB.
const VALUE_BYTES_MAX: u32 = 1 << 20;
/// Longest copy.
const HEADER_BYTES_MAX: usize = 32 << 20;
/// Most fragments of Pixel Data.
const FRAGMENTS_MAX: usize = 1 << 20;

/// What the pass found.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The standard attributes, Implicit VR Little Endian, without Specific Character Set.
    pub(crate) header: Vec<u8>,
    /// Specific Character Set (0008,0005) of the data set, as written. It is kept apart so that dicom-object reads
    /// every text byte for byte, and [`sonode_conformance::charset`] decodes them.
    pub(crate) character_set: String,
    /// Where Pixel Data lies.
    pub(crate) pixel_data: Option<PixelData>,
    /// Whether the data set ends before one of its values does.
    pub(crate) truncated: bool,
}

/// Where Pixel Data (7FE0,0010) lies in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PixelData {
    /// Native.
    Native {
        /// The value.
        span: Span,
        /// Whether its VR is OW: in big endian, bytes are swapped in pairs, 8-bit samples too (PS3.5 section 8.1.1).
        words: bool,
    },
    /// Encapsulated (PS3.5 section A.4).
    Encapsulated {
        /// The Basic Offset Table's value, often empty.
        offset_table: Span,
        /// The fragments, without the Basic Offset Table.
        fragments: Vec<Span>,
    },
}

/// A run of bytes of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First byte.
    pub(crate) offset: u64,
    /// Number of bytes, all of them inside the source.
    pub(crate) len: u64,
}

/// Why a data set can't be walked.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Reading failed.
    #[error("the file can't be read: {0}")]
    Io(#[from] io::Error),
    /// Sequences nested deeper than [`PARSE_DEPTH_MAX`].
    #[error("sequences are nested more than {PARSE_DEPTH_MAX} deep")]
    TooDeep,
    /// Something that is no item stands in a sequence.
    #[error("the data set is broken at byte {0}")]
    Broken(u64),
    /// More than a million fragments.
    #[error("Pixel Data has too many fragments")]
    TooManyFragments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    DataSet,
    Sequence,
    Item,
}

/// One open container. An undefined length ends with the container around it at the latest.
#[derive(Debug, Clone, Copy)]
struct Level {
    container: Container,
    end: u64,
    /// Whether only a delimiter ends it in good order.
    undefined: bool,
    encoding: Encoding,
    keep: bool,
}

/// Walks the data set that begins at `start`.
///
/// # Errors
/// Each variant of [`ScanError`]. A data set that merely ends too early is no error.
pub(crate) fn scan(source: &Source, start: u64, encoding: Encoding) -> Result<Layout, ScanError> {
    let mut walker = Walker {
        window: Window::new(source),
        source,
        at: start,
        levels: Vec::new(),
        layout: Layout {
            header: Vec::new(),
            character_set: String::new(),
            pixel_data: None,
            truncated: false,
        },
    };
    let encoding = walker.encoding_in_fact(encoding)?;
    walker.levels.push(Level {
        container: Container::DataSet,
        end: source.len(),
        undefined: false,
        encoding,
        keep: true,
    });
    while let Some(level) = walker.levels.last().copied() {
        if walker.at >= level.end {
            walker.layout.truncated |= level.undefined;
            walker.close();
        } else if level.container == Container::Sequence {
            walker.step_in_sequence(level)?;
        } else {
            walker.step_in_data_set(level)?;
        }
    }
    Ok(walker.layout)
}

struct Walker<'a> {
    window: Window<'a>,
    source: &'a Source,
    at: u64,
    levels: Vec<Level>,
    layout: Layout,
}

impl Walker<'_> {
    /// Explicit VR labelled as implicit is seen in the field; the first element tells.
    fn encoding_in_fact(&mut self, declared: Encoding) -> io::Result<Encoding> {
        let Some([g0, g1, _, _, v0, v1, ..]) = self.window.array::<8>(self.at)? else {
            return Ok(declared);
        };
        let looks_explicit = u16::from_le_bytes([g0, g1]) <= 0x0010
            && VR::from_binary([v0, v1]).is_some_and(|vr| vr != VR::UN);
        Ok(Encoding {
            explicit: declared.explicit || looks_explicit,
            ..declared
        })
    }

    fn step_in_sequence(&mut self, level: Level) -> Result<(), ScanError> {
        let Some(header) = self.window.header(self.at, level.encoding)? else {
            self.end_of_source();
            return Ok(());
        };
        match header.tag {
            ITEM => {
                self.at = header.value_at;
                let end = self.end_of(&header, level.end);
                let keep = level.keep && self.has_room();
                if keep {
                    self.write_header(ITEM, UNDEFINED);
                } else if header.len != UNDEFINED {
                    self.at = end;
                    return Ok(());
                }
                self.levels.push(Level {
                    container: Container::Item,
                    end,
                    undefined: header.len == UNDEFINED,
                    keep,
                    ..level
                });
                Ok(())
            }
            SEQUENCE_END => {
                self.at = header.value_at;
                self.close();
                Ok(())
            }
            _ => Err(ScanError::Broken(self.at)),
        }
    }

    fn step_in_data_set(&mut self, level: Level) -> Result<(), ScanError> {
        let Some(header) = self.window.header(self.at, level.encoding)? else {
            self.end_of_source();
            return Ok(());
        };
        if header.tag.group() == ITEM.group() {
            self.at = header.value_at;
            if header.tag == ITEM_END && level.container == Container::Item {
                self.close();
            }
            // Any other delimiter here has lost its partner, and says nothing.
            return Ok(());
        }
        let at_root = level.container == Container::DataSet;
        if at_root && header.tag == tags::PIXEL_DATA && self.layout.pixel_data.is_none() {
            return self.note_pixel_data(&header, level);
        }
        let wanted = kept_vr(header.tag).filter(|_| level.keep);
        if header.len == UNDEFINED || opens_sequence(&header, wanted) {
            return self.open_sequence(&header, level, wanted);
        }
        let end = self.end_of(&header, level.end);
        let whole = end.saturating_sub(header.value_at) == u64::from(header.len);
        if let Some(vr) = wanted
            && whole
        {
            self.copy_value(&header, level.encoding, vr)?;
        }
        self.at = end;
        Ok(())
    }

    fn open_sequence(
        &mut self,
        header: &ElementHeader,
        level: Level,
        wanted: Option<VR>,
    ) -> Result<(), ScanError> {
        let depth = self
            .levels
            .iter()
            .filter(|level| level.container == Container::Sequence)
            .count();
        if depth >= PARSE_DEPTH_MAX as usize {
            return Err(ScanError::TooDeep);
        }
        let end = self.end_of(header, level.end);
        let keep = level.keep && opens_sequence(header, wanted) && self.has_room();
        self.at = header.value_at;
        if keep {
            self.write_header(header.tag, UNDEFINED);
        }
        let encoding = match header.vr {
            // CP-246: whatever the transfer syntax, the inside of such a value is Implicit VR Little Endian.
            Some(VR::UN) => Encoding::IMPLICIT,
            _ => level.encoding,
        };
        self.levels.push(Level {
            container: Container::Sequence,
            end,
            undefined: header.len == UNDEFINED,
            encoding,
            keep,
        });
        Ok(())
    }

    fn copy_value(
        &mut self,
        header: &ElementHeader,
        encoding: Encoding,
        vr: VR,
    ) -> Result<(), ScanError> {
        let width = number_width(vr);
        let fits = header.len <= VALUE_BYTES_MAX
            && self.layout.header.len() + header.len as usize <= HEADER_BYTES_MAX
            && (header.len as usize).is_multiple_of(width);
        let readable = header.vr.is_none_or(|written| reads_as(written, vr));
        if !fits || !readable || vr == VR::SQ {
            return Ok(());
        }
        let mut value = self.source.bytes(header.value_at, u64::from(header.len))?;
        if encoding.big && width > 1 {
            value.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if header.tag == tags::SPECIFIC_CHARACTER_SET {
            if self.levels.len() == 1 {
                String::from_utf8_lossy(&value)
                    .trim_matches([' ', '\0'])
                    .clone_into(&mut self.layout.character_set);
            }
            return Ok(());
        }
        self.write_header(header.tag, header.len);
        self.layout.header.extend_from_slice(&value);
        Ok(())
    }

    fn note_pixel_data(&mut self, header: &ElementHeader, level: Level) -> Result<(), ScanError> {
        if header.len != UNDEFINED {
            let end = self.end_of(header, level.end);
            self.layout.pixel_data = Some(PixelData::Native {
                span: Span {
                    offset: header.value_at,
                    len: end.saturating_sub(header.value_at),
                },
                words: header.vr != Some(VR::OB),
            });
            self.at = end;
            return Ok(());
        }
        self.at = header.value_at;
        let mut spans = Vec::new();
        while let Some(item) = self.window.header(self.at, level.encoding)? {
            self.at = item.value_at;
            if item.tag != ITEM || item.len == UNDEFINED {
                if item.tag != SEQUENCE_END {
                    self.layout.truncated = true;
                    self.at = level.end;
                }
                break;
            }
            if spans.len() > FRAGMENTS_MAX {
                return Err(ScanError::TooManyFragments);
            }
            let end = self.end_of(&item, level.end);
            spans.push(Span {
                offset: item.value_at,
                len: end.saturating_sub(item.value_at),
            });
            self.at = end;
        }
        let mut spans = spans.into_iter();
        let offset_table = spans.next().unwrap_or(Span {
            offset: header.value_at,
            len: 0,
        });
        self.layout.pixel_data = Some(PixelData::Encapsulated {
            offset_table,
            fragments: spans.collect(),
        });
        Ok(())
    }

    /// Where a value ends: never after the container around it.
    fn end_of(&mut self, header: &ElementHeader, limit: u64) -> u64 {
        if header.len == UNDEFINED {
            return limit;
        }
        let end = header.value_at + u64::from(header.len);
        if end > self.source.len() {
            self.layout.truncated = true;
        }
        end.min(limit)
    }

    fn end_of_source(&mut self) {
        self.layout.truncated = true;
        self.at = self.source.len();
    }

    fn has_room(&self) -> bool {
        self.layout.header.len() < HEADER_BYTES_MAX
    }

    fn close(&mut self) {
        let Some(level) = self.levels.pop() else {
            return;
        };
        match level.container {
            Container::Item if level.keep => self.write_header(ITEM_END, 0),
            Container::Sequence if level.keep => self.write_header(SEQUENCE_END, 0),
            _ => {}
        }
    }

    fn write_header(&mut self, tag: Tag, len: u32) {
        let header = &mut self.layout.header;
        header.extend_from_slice(&tag.group().to_le_bytes());
        header.extend_from_slice(&tag.element().to_le_bytes());
        header.extend_from_slice(&len.to_le_bytes());
    }
}

/// Whether the element's value is items: by its VR, or by the dictionary where the VR doesn't say.
fn opens_sequence(header: &ElementHeader, wanted: Option<VR>) -> bool {
    match header.vr {
        Some(VR::SQ | VR::UN) | None => wanted == Some(VR::SQ),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
