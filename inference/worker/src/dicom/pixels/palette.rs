//! PALETTE COLOR (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::super::header::Attributes;
use super::Words;

/// The three tables, reduced to 8 bits.
#[derive(Debug)]
pub(super) struct Palette {
    first: i32,
    entries: Vec<[u8; 3]>,
}

impl Palette {
    /// Reads descriptors and data; none where one is missing. Segmented tables are not supported.
    pub(super) fn read(attributes: Attributes<'_>) -> Option<Self> {
        let descriptor = attributes.numbers(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR);
        let [count, first, bits] = *descriptor.first_chunk()?;
        // 0 stands for 65,536, which 16 bits can't say.
        let count = if count == 0.0 { 65_536 } else { count as usize };
        let table = |tag| table(attributes, tag, count, bits > 8.0);
        let red = table(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA)?;
        let green = table(tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA)?;
        let blue = table(tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA)?;
        let entries = red
            .into_iter()
            .zip(green)
            .zip(blue)
            .map(|((r, g), b)| [r, g, b])
            .collect();
        Some(Self {
            first: first as i32,
            entries,
        })
    }

    /// The colours of the indices. Those outside the table take its nearest end, as the standard says.
    pub(super) fn apply(&self, indices: &Words) -> Vec<u8> {
        let last = self.entries.len() - 1;
        let colour = |index: u16| {
            let at = (i32::from(index) - self.first).max(0) as usize;
            self.entries[at.min(last)]
        };
        match indices {
            Words::Bytes(bytes) => bytes.iter().flat_map(|i| colour(u16::from(*i))).collect(),
            Words::Wide(words) => words.iter().flat_map(|i| colour(*i)).collect(),
        }
    }
}

/// Entries are 16 bits, of which the upper 8 are kept; some writers pack 8-bit entries, which the length gives away, and
/// some put 8 significant bits into the lower half of 16.
fn table(attributes: Attributes<'_>, tag: Tag, count: usize, wide: bool) -> Option<Vec<u8>> {
    let bytes = attributes.bytes(tag)?;
    if bytes.is_empty() {
        return None;
    }
    if bytes.len() < count * 2 {
        return Some(bytes);
    }
    let words: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take(count)
        .collect();
    let shift = if wide && words.iter().any(|word| *word > 255) {
        8
    } else {
        0
    };
    Some(words.iter().map(|word| (word >> shift) as u8).collect())
}
