//! One cine loop, cropped: what the networks and the measurement read.

use std::borrow::Cow;

use sonode_findings::ViewLabel;
use sonode_findings::grade::Profile;

use crate::dicom::pixels::{Frames, PixelError};
use crate::dicom::regions::Crop;

/// One cine loop.
///
/// Its frames are luma of the crop alone: the 2D tissue region, without the text and the ECG around it.
#[derive(Debug)]
pub struct Clip {
    /// Number of frames, at least 2.
    pub frames: usize,
    /// Rows of the crop.
    pub height: usize,
    /// Columns of the crop.
    pub width: usize,
    /// The frames.
    pub pixels: Pixels,
    /// Column and row of the crop's upper left pixel in the image.
    pub origin: [usize; 2],
    /// Columns and rows of the image.
    pub image: [usize; 2],
    /// Centimetres per pixel along a row (x) and along a column (y); none: no volumes in millilitres.
    pub cm_per_px: Option<[f64; 2]>,
    /// Height of a pixel over its width; 1 where nothing says otherwise.
    pub pixel_aspect: f64,
    /// Frames a second, as the file says.
    pub frame_rate_hz: Option<f64>,
    /// Beats a minute, as the file says.
    pub heart_rate_bpm: Option<f64>,
    /// The view that View Code Sequence or View Name states; none where they say nothing.
    pub header_view: Option<ViewLabel>,
    /// The reference profile of the patient's sex; none where the header doesn't tell one.
    pub norms: Option<Profile>,
}

/// Where a clip's pixels are.
#[derive(Debug)]
pub enum Pixels {
    /// In memory: row-major luma, `[frames, height, width]`.
    Decoded(Vec<u8>),
    /// In the file. A frame is decoded whenever it is asked for, so that no more of them are in memory than are looked
    /// at, and a few that were decoded anyway.
    Coded {
        /// The file's frames, at least as many as the clip has.
        frames: Frames,
        /// The clip's part of them.
        crop: Crop,
        /// Luma of the frames that were decoded before, by number from 0, rising.
        decoded: Vec<(usize, Vec<u8>)>,
    },
}

impl From<Vec<u8>> for Pixels {
    fn from(luma: Vec<u8>) -> Self {
        Self::Decoded(luma)
    }
}

impl Clip {
    /// The luma of one frame, `[height, width]`, counted from 0. Any number of threads may ask at once.
    ///
    /// # Errors
    /// [`PixelError`] where it can't be decoded, [`PixelError::NoFrame`] past the end.
    pub fn frame(&self, index: usize) -> Result<Cow<'_, [u8]>, PixelError> {
        if index >= self.frames {
            return Err(PixelError::NoFrame);
        }
        match &self.pixels {
            Pixels::Decoded(luma) => {
                let size = self.height * self.width;
                luma.get(index * size..(index + 1) * size)
                    .map(Cow::Borrowed)
                    .ok_or(PixelError::NoFrame)
            }
            Pixels::Coded {
                frames,
                crop,
                decoded,
            } => match decoded.binary_search_by_key(&index, |(number, _)| *number) {
                Ok(at) => Ok(Cow::Borrowed(&decoded[at].1)),
                Err(_) => frames.luma(*crop, index).map(Cow::Owned),
            },
        }
    }
}

/// At most so `many` frames of a cine, evenly spaced and rising, from 0 on: every one, or every second, fourth, eighth …
/// Whatever looks at a part of the frames looks at the same ones by this, so that few are decoded for one look alone.
pub fn spread(frames: usize, many: usize) -> impl Iterator<Item = usize> {
    let step = frames.div_ceil(many.max(1)).next_power_of_two();
    (0..frames).step_by(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_one_look_are_among_those_of_another() {
        assert_eq!(
            spread(60, 9).collect::<Vec<_>>(),
            [0, 8, 16, 24, 32, 40, 48, 56]
        );
        for frames in [1, 2, 9, 16, 17, 60, 97, 500] {
            let many: Vec<usize> = spread(frames, 16).collect();
            assert!(
                many.len() <= 16 && 2 * many.len() >= frames.min(16),
                "{frames}"
            );
            assert!(spread(frames, 9).all(|at| many.contains(&at)));
        }
        assert_eq!(spread(0, 9).count(), 0);
    }
}
