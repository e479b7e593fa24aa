//! Native frames, and RLE, which is native samples by byte planes (PS3.5 annex G).

use sonode_findings::phrases;

use super::format::Format;
use super::raster::Model;
use super::{PixelError, Words, codec::Coded};

/// Reads a native frame.
pub(super) fn native(bytes: Vec<u8>, format: &Format) -> Result<Coded, PixelError> {
    if format.is_packed_422() {
        return Ok(Coded {
            words: Words::Bytes(unpack_422(&bytes)),
            samples: 3,
            model: Some(Model::Ybr),
        });
    }
    let words = match format.bits_allocated {
        8 => Words::Bytes(bytes),
        16 => Words::Wide(
            bytes
                .chunks_exact(2)
                .map(|pair| {
                    let pair = [pair[0], pair[1]];
                    if format.big_endian {
                        u16::from_be_bytes(pair)
                    } else {
                        u16::from_le_bytes(pair)
                    }
                })
                .collect(),
        ),
        _ => return Err(PixelError::Unsupported(phrases::BITS_A_SAMPLE)),
    };
    let planar = format.samples == 3 && format.planar;
    Ok(Coded {
        words: if planar { words.interleaved(3) } else { words },
        samples: format.samples,
        model: None,
    })
}

/// Two pixels of `YBR_FULL_422` are Y1, Y2, Cb, Cr (PS3.3 C.7.6.3.1.2).
fn unpack_422(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks_exact(4)
        .flat_map(|four| [four[0], four[2], four[3], four[1], four[2], four[3]])
        .collect()
}

/// Decodes an RLE frame. Its header's counts must agree with the image's.
pub(super) fn rle(bytes: &[u8], format: &Format) -> Result<Coded, PixelError> {
    let width = usize::from(format.bits_allocated / 8);
    if !matches!(width, 1 | 2) {
        return Err(PixelError::Unsupported(phrases::RLE_BITS));
    }
    let pixels = format.rows * format.columns;
    let planes = format.samples * width;
    let word = |index: usize| {
        let four = bytes.get(index * 4..)?.first_chunk()?;
        Some(u32::from_le_bytes(*four) as usize)
    };
    if word(0) != Some(planes) || planes > 15 {
        return Err(PixelError::Codestream(phrases::RLE_SEGMENTS));
    }
    let mut samples = vec![0_u16; pixels * format.samples];
    for plane in 0..planes {
        let from = word(1 + plane).unwrap_or(usize::MAX);
        let to = if plane + 1 < planes {
            word(2 + plane).unwrap_or(usize::MAX)
        } else {
            bytes.len()
        };
        let segment = bytes
            .get(from..to)
            .ok_or(PixelError::Codestream(phrases::RLE_OUTSIDE))?;
        let decoded = unpack_bits(segment, pixels);
        // Planes come sample by sample, the most significant byte first.
        let shift = 8 * (width - 1 - plane % width);
        let places = samples
            .iter_mut()
            .skip(plane / width)
            .step_by(format.samples);
        for (place, byte) in places.zip(decoded) {
            *place |= u16::from(byte) << shift;
        }
    }
    let words = if width == 1 {
        Words::Bytes(samples.into_iter().map(|value| value as u8).collect())
    } else {
        Words::Wide(samples)
    };
    Ok(Coded {
        words,
        samples: format.samples,
        model: None,
    })
}

/// `PackBits` (PS3.5 section G.3.1), at most `limit` bytes of it.
fn unpack_bits(mut segment: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(limit);
    while let [control, rest @ ..] = segment
        && out.len() < limit
    {
        segment = rest;
        match *control {
            0..=127 => {
                let count = (usize::from(*control) + 1).min(segment.len());
                out.extend_from_slice(&segment[..count]);
                segment = &segment[count..];
            }
            129..=255 => {
                let Some((byte, rest)) = segment.split_first() else {
                    break;
                };
                out.extend(std::iter::repeat_n(*byte, 257 - usize::from(*control)));
                segment = rest;
            }
            128 => {}
        }
    }
    out.truncate(limit);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packbits_of_literals_and_runs() {
        assert_eq!(
            unpack_bits(&[2, 1, 2, 3, 254, 9, 128, 0, 7], 100),
            [1, 2, 3, 9, 9, 9, 7]
        );
        assert_eq!(unpack_bits(&[129, 5], 3), [5, 5, 5]);
        assert_eq!(unpack_bits(&[100, 1], 10), [1]);
    }

    #[test]
    fn half_width_chroma_is_shared_by_two_pixels() {
        assert_eq!(
            unpack_422(&[10, 20, 100, 200]),
            [10, 100, 200, 20, 100, 200]
        );
    }
}
