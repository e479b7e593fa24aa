//! Every frame of a clip with a sheet drawn over it, as JPEG Baseline.

use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::Tree;
use sonode_findings::protocol::{JpegFrame, Picture};

use super::{IllustrateError, fonts, rgb, size};
use crate::dicom;
use crate::dicom::pixels::{Frames, RgbFrame};
use crate::parallel;

/// JPEG qualities, the finest first: a long clip is compressed more, so that it still fits into one answer.
const QUALITIES: [u8; 4] = [88, 75, 60, 45];
/// All frames together. As base64 they grow by a third, which stays below `WORKER_FRAME_BYTES_MAX`.
const BYTES_MAX: usize = 11 << 20;

/// Draws a sheet over each frame, in order.
pub(super) fn draw(path: &Path, sheets: &[String]) -> Result<Picture, IllustrateError> {
    let frames = Frames::of(&dicom::open(path)?)?;
    if sheets.is_empty() || sheets.len() > frames.count() {
        return Err(IllustrateError::Sheets {
            sheets: sheets.len(),
            frames: frames.count(),
        });
    }
    let middle = sheets.len() / 2;
    let sample = one(&frames, middle, &sheets[middle])?;
    let mut total = 0;
    for quality in QUALITIES {
        // A frame may need more than the sample did, so this only spares what certainly won't fit.
        total = encode(&sample, quality)?.len() * sheets.len();
        if total > BYTES_MAX * 5 / 4 {
            continue;
        }
        let files = parallel::try_map(sheets.len(), parallel::cores(), |index| {
            encode(&one(&frames, index, &sheets[index])?, quality)
        })?;
        total = files.iter().map(Vec::len).sum();
        if total <= BYTES_MAX {
            return Ok(Picture::Cine {
                columns: sample.width() as u16,
                rows: sample.height() as u16,
                frames: files.into_iter().map(JpegFrame).collect(),
            });
        }
    }
    Err(IllustrateError::TooLarge(total >> 20))
}

fn one(frames: &Frames, index: usize, sheet: &str) -> Result<Pixmap, IllustrateError> {
    let tree = Tree::from_str(sheet, &fonts::options(&[]))?;
    let [columns, rows] = size(&tree)?;
    let mut pixmap = Pixmap::new(columns.into(), rows.into()).ok_or(IllustrateError::Size)?;
    pixmap.fill(Color::BLACK);
    lay(&frames.rgb(index)?, &mut pixmap);
    resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
    Ok(pixmap)
}

/// Lays a frame into the upper left corner, pixel for pixel.
fn lay(frame: &RgbFrame, pixmap: &mut Pixmap) {
    let columns = pixmap.width() as usize;
    let lines = pixmap.data_mut().chunks_exact_mut(columns * 4);
    let of_frame = frame.pixels.chunks_exact((frame.width * 3).max(1));
    for (line, from) in lines.zip(of_frame) {
        for (to, from) in line.chunks_exact_mut(4).zip(from.chunks_exact(3)) {
            to.copy_from_slice(&[from[0], from[1], from[2], 255]);
        }
    }
}

fn encode(pixmap: &Pixmap, quality: u8) -> Result<Vec<u8>, IllustrateError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_2);
    let (width, height) = (pixmap.width() as u16, pixmap.height() as u16);
    encoder.encode(&rgb(pixmap), width, height, ColorType::Rgb)?;
    Ok(file)
}
