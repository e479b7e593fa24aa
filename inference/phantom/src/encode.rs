//! Frames to stored pixel data: JPEG Baseline fragments or native samples.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use crate::cine::{Frame, Photometric};

/// One frame as a JPEG Baseline bit stream of even length (PS3.5 A.4); colour as YCbCr with chroma halved across.
pub(crate) fn jpeg(frame: &Frame, quality: u8) -> Result<Vec<u8>, EncodingError> {
    let width = u16::try_from(frame.width).unwrap_or(u16::MAX);
    let height = u16::try_from(frame.height).unwrap_or(u16::MAX);
    let mut stream = Vec::new();
    let mut encoder = Encoder::new(&mut stream, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    let colour = if frame.samples == 1 {
        ColorType::Luma
    } else {
        ColorType::Rgb
    };
    encoder.encode(&frame.pixels, width, height, colour)?;
    if stream.len() % 2 == 1 {
        stream.push(0);
    }
    Ok(stream)
}

/// One frame as native samples: as they are, or `Y1 Y2 Cb Cr` for pairs of pixels (PS3.3 C.7.6.3.1.2).
pub(crate) fn native(frame: Frame, photometric: Photometric) -> Vec<u8> {
    match photometric {
        Photometric::Rgb | Photometric::Monochrome2 => frame.pixels,
        Photometric::YbrFull422 => ybr_422(&frame),
    }
}

fn ybr_422(frame: &Frame) -> Vec<u8> {
    let row = frame.width as usize * 3;
    let mut out = Vec::with_capacity(frame.pixels.len() / 3 * 2);
    for line in frame.pixels.chunks_exact(row.max(3)) {
        for pair in line.chunks(6) {
            let first = ybr(pair);
            let second = if pair.len() == 6 {
                ybr(&pair[3..])
            } else {
                first
            };
            let mean = |k: usize| f32::midpoint(first[k], second[k]);
            out.extend(
                [first[0], second[0], mean(1), mean(2)].map(|v| v.round().clamp(0.0, 255.0) as u8),
            );
        }
    }
    out
}

/// The full-range YCbCr of PS3.3 C.7.6.3.1.2.
fn ybr(rgb: &[u8]) -> [f32; 3] {
    let [r, g, b] = [0, 1, 2].map(|k| f32::from(rgb[k]));
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.168_736 * r - 0.331_264 * g + 0.5 * b + 128.0,
        0.5 * r - 0.418_688 * g - 0.081_312 * b + 128.0,
    ]
}
