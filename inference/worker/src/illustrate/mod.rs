//! Pictures for people: the node composes them as SVG, and here they get their frames and become pixels, a PDF or JPEG
//! frames.
//!
//! The SVG is the node's own; the frames are strangers' pixels, which is why this is the worker's matter.

mod cine;
mod fonts;
mod page;

use resvg::tiny_skia::Pixmap;
use resvg::usvg::{self, Tree};
use sonode_findings::protocol::{Drawing, PageForm, Picture};

use crate::dicom::OpenError;
use crate::dicom::pixels::PixelError;

pub use page::{Frame, png};

/// Longest side of a picture in pixels.
const SIDE_MAX: f32 = 8192.0;

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
pub enum IllustrateError {
    /// A frame's file can't be opened.
    #[error("a frame's file can't be opened: {0}")]
    Open(#[from] OpenError),
    /// A frame can't be decoded.
    #[error("a frame can't be decoded: {0}")]
    Pixels(#[from] PixelError),
    /// No SVG.
    #[error("the drawing is no SVG: {0}")]
    Svg(#[from] usvg::Error),
    /// A size that no picture has.
    #[error("the drawing has no size that a picture can have")]
    Size,
    /// The encoder of JPEG failed.
    #[error("a frame can't be written as JPEG: {0}")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
    /// The encoder of PNG failed.
    #[error("the picture can't be written as PNG: {0}")]
    Png(String),
    /// The PDF writer failed.
    #[error("the PDF can't be written: {0}")]
    Pdf(String),
    /// Sheets without frames, or frames without sheets.
    #[error("{sheets} sheets were given for a clip of {frames} frames")]
    Sheets {
        /// The sheets.
        sheets: usize,
        /// The frames that the file holds.
        frames: usize,
    },
    /// Even the coarsest JPEG of so many frames is more than an answer holds.
    #[error("the cine is too long to be sent as a picture: {0} MiB")]
    TooLarge(usize),
}

/// Draws.
///
/// # Errors
/// Each variant of [`IllustrateError`].
pub fn illustrate(drawing: &Drawing) -> Result<Picture, IllustrateError> {
    match drawing {
        Drawing::Page { svg, frames, form } => {
            let frames = page::read(frames)?;
            match form {
                PageForm::Raster => page::raster(svg, &frames),
                PageForm::Pdf => page::pdf(svg, &frames),
            }
        }
        Drawing::Cine { path, sheets } => cine::draw(path, sheets),
    }
}

/// Columns and rows of a drawing.
fn size(tree: &Tree) -> Result<[u16; 2], IllustrateError> {
    let size = tree.size();
    if size.width() > SIDE_MAX || size.height() > SIDE_MAX {
        return Err(IllustrateError::Size);
    }
    Ok([size.width().ceil() as u16, size.height().ceil() as u16])
}

/// Red, green and blue of an opaque picture.
fn rgb(pixmap: &Pixmap) -> Vec<u8> {
    let pixels = pixmap.data().chunks_exact(4);
    pixels
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect()
}

#[cfg(test)]
mod tests;
