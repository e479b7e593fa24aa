//! Which bytes belong to which frame.

use std::io;

use super::super::scan::{PixelData, Span};
use super::super::source::Source;

/// Longest Basic Offset Table that is read.
const OFFSET_TABLE_BYTES_MAX: u64 = 1 << 20;
/// Start of Image (JPEG, JPEG-LS), and Start of Codestream with its SIZ (JPEG 2000).
const STARTS: [&[u8]; 2] = [&[0xFF, 0xD8], &[0xFF, 0x4F, 0xFF, 0x51]];

/// The spans of each frame, in order; nothing is read but tables and first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameTable {
    /// Native: frames of one size, one after another.
    Native {
        /// Where the first one begins.
        offset: u64,
        /// Bytes of one frame.
        size: u64,
        /// Whole frames that there are.
        count: usize,
        /// Whether the bytes of each pair are swapped: 8-bit samples in big-endian words.
        swapped: bool,
    },
    /// Encapsulated: the fragments of each frame.
    Encapsulated(Vec<Vec<Span>>),
}

impl FrameTable {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Native { count, .. } => *count,
            Self::Encapsulated(frames) => frames.len(),
        }
    }

    /// The frame's bytes, its fragments joined.
    pub(super) fn read(&self, source: &Source, frame: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Native {
                offset,
                size,
                swapped,
                ..
            } => {
                let from = size * frame as u64;
                if !swapped {
                    return source.bytes(offset + from, *size);
                }
                // A frame of odd size begins or ends inside a pair.
                let odd = from % 2;
                let mut bytes =
                    source.bytes(offset + from - odd, (odd + size).next_multiple_of(2))?;
                bytes.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
                bytes.drain(..usize::from(odd == 1).min(bytes.len()));
                bytes.truncate(usize::try_from(*size).unwrap_or(usize::MAX));
                Ok(bytes)
            }
            Self::Encapsulated(frames) => {
                let mut bytes = Vec::new();
                for span in frames.get(frame).into_iter().flatten() {
                    let part = source.bytes(span.offset, span.len)?;
                    if bytes.is_empty() {
                        bytes = part;
                    } else {
                        bytes.extend_from_slice(&part);
                    }
                }
                Ok(bytes)
            }
        }
    }
}

/// Groups fragments into `declared` frames (PS3.5 section A.4): one each where the numbers agree; by the Basic Offset Table
/// where there is a sound one; otherwise a frame begins where a codestream does. A file that breaks off has fewer.
pub(super) fn encapsulated(
    source: &Source,
    pixel_data: &PixelData,
    declared: usize,
) -> io::Result<Option<FrameTable>> {
    let PixelData::Encapsulated {
        offset_table,
        fragments,
    } = pixel_data
    else {
        return Ok(None);
    };
    if fragments.is_empty() {
        return Ok(None);
    }
    if fragments.len() == declared {
        return Ok(Some(one_each(fragments)));
    }
    if declared == 1 {
        return Ok(Some(FrameTable::Encapsulated(vec![fragments.clone()])));
    }
    if let Some(starts) = offsets(source, *offset_table, fragments, declared)? {
        return Ok(Some(group(fragments, &starts)));
    }
    let starts = codestream_starts(source, fragments)?;
    Ok(if starts.is_empty() {
        // RLE has no marker; its frames are one fragment each (PS3.5 section G.3).
        (fragments.len() < declared).then(|| one_each(fragments))
    } else {
        Some(group(fragments, &starts))
    })
}

fn one_each(fragments: &[Span]) -> FrameTable {
    FrameTable::Encapsulated(fragments.iter().map(|span| vec![*span]).collect())
}

/// The first fragment of each frame, by the Basic Offset Table; none where it is empty or points into a fragment.
fn offsets(
    source: &Source,
    table: Span,
    fragments: &[Span],
    declared: usize,
) -> io::Result<Option<Vec<usize>>> {
    let Some(first) = fragments.first() else {
        return Ok(None);
    };
    if table.len == 0 || table.len > OFFSET_TABLE_BYTES_MAX {
        return Ok(None);
    }
    let bytes = source.bytes(table.offset, table.len)?;
    // An offset counts from the first fragment's item tag, 8 bytes before its value.
    let starts: Option<Vec<usize>> = bytes
        .chunks_exact(4)
        .map(|four| {
            let offset = u64::from(u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            fragments
                .binary_search_by_key(&(first.offset + offset), |span| span.offset)
                .ok()
        })
        .collect();
    Ok(starts.filter(|starts| {
        starts.len() == declared && starts.first() == Some(&0) && starts.is_sorted()
    }))
}

fn codestream_starts(source: &Source, fragments: &[Span]) -> io::Result<Vec<usize>> {
    let mut starts = Vec::new();
    for (index, span) in fragments.iter().enumerate() {
        let head = source.bytes(span.offset, span.len.min(4))?;
        if STARTS.iter().any(|start| head.starts_with(start)) {
            starts.push(index);
        }
    }
    Ok(starts)
}

fn group(fragments: &[Span], starts: &[usize]) -> FrameTable {
    let ends = starts.iter().skip(1).copied().chain([fragments.len()]);
    let frames = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| fragments.get(*start..end).unwrap_or_default().to_vec());
    FrameTable::Encapsulated(frames.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of these values, as they lie in a file after a Basic Offset Table of `table`.
    fn laid_out(table: &[u32], values: &[&[u8]]) -> (Source, PixelData) {
        let mut bytes: Vec<u8> = table.iter().flat_map(|n| n.to_le_bytes()).collect();
        let offset_table = Span {
            offset: 0,
            len: bytes.len() as u64,
        };
        let mut fragments = Vec::new();
        for value in values {
            bytes.extend_from_slice(&[0; 8]);
            fragments.push(Span {
                offset: bytes.len() as u64,
                len: value.len() as u64,
            });
            bytes.extend_from_slice(value);
        }
        let pixel_data = PixelData::Encapsulated {
            offset_table,
            fragments,
        };
        (Source::Memory(bytes), pixel_data)
    }

    fn frames_of(table: &[u32], values: &[&[u8]], declared: usize) -> Vec<Vec<u8>> {
        let (source, pixel_data) = laid_out(table, values);
        let frames = encapsulated(&source, &pixel_data, declared)
            .unwrap()
            .unwrap();
        (0..frames.len())
            .map(|frame| frames.read(&source, frame).unwrap())
            .collect()
    }

    #[test]
    fn frames_in_several_fragments_are_joined_with_and_without_an_offset_table() {
        let values: [&[u8]; 4] = [b"\xFF\xD8ab", b"cd", b"\xFF\xD8ef", b"gh"];
        let want = vec![b"\xFF\xD8abcd".to_vec(), b"\xFF\xD8efgh".to_vec()];
        assert_eq!(frames_of(&[0, 22], &values, 2), want);
        assert_eq!(frames_of(&[], &values, 2), want);
        assert_eq!(
            frames_of(&[0, 5], &values, 2),
            want,
            "a table that points nowhere"
        );
    }

    #[test]
    fn one_fragment_a_frame_needs_no_table_and_a_cut_file_has_fewer() {
        let values: [&[u8]; 2] = [b"ab", b"cd"];
        assert_eq!(frames_of(&[], &values, 2).len(), 2);
        assert_eq!(frames_of(&[], &values, 5).len(), 2);
    }
}
