//! One cine loop, decoded and cropped: what the networks and the measurement read.

use sonode_findings::ViewLabel;
use sonode_findings::grade::Profile;

/// One cine loop.
///
/// `pixels` is `[frames, height, width]`, row-major `u8` luma of the crop alone: the 2D tissue region, without the text
/// and the ECG around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Number of frames, at least 2.
    pub frames: usize,
    /// Rows of the crop.
    pub height: usize,
    /// Columns of the crop.
    pub width: usize,
    /// Luma, `[frames, height, width]`.
    pub pixels: Vec<u8>,
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

impl Clip {
    /// The luma of one frame, `[height, width]`, counted from 0; none past the end.
    pub fn frame(&self, index: usize) -> Option<&[u8]> {
        let size = self.height.checked_mul(self.width)?;
        let from = index.checked_mul(size)?;
        self.pixels.get(from..from.checked_add(size)?)
    }
}
