//! One page: frames put into their places, then pixels, PNG or PDF.

use std::path::PathBuf;
use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use krilla::geom::Size;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt as _, SvgSettings};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::Tree;
use sonode_findings::protocol::{FrameOf, Picture};

use super::{IllustrateError, fonts, rgb, size};
use crate::dicom;
use crate::dicom::pixels::Frames;

/// A frame is compressed on its way into a page; at this quality nothing of it shows.
const QUALITY: u8 = 95;

/// Points a pixel: a page of 1280 by 960 pixels becomes 11.1 by 8.3 inches, which prints on A4 and on Letter.
const POINTS_PER_PIXEL: f32 = 0.625;

/// A frame as a JPEG file.
pub type Frame = Arc<Vec<u8>>;

/// Decodes the frames that a page names.
pub(super) fn read(wanted: &[FrameOf]) -> Result<Vec<Frame>, IllustrateError> {
    let mut opened: Vec<(&PathBuf, Frames)> = Vec::new();
    let mut read = Vec::with_capacity(wanted.len());
    for FrameOf { path, frame } in wanted {
        if !opened.iter().any(|(known, _)| *known == path) {
            opened.push((path, Frames::of(&dicom::open(path)?)?));
        }
        for (_, frames) in opened.iter().filter(|(known, _)| *known == path) {
            let image = frames.rgb((*frame as usize).saturating_sub(1))?;
            let side = |side: usize| u16::try_from(side).map_err(|_| IllustrateError::Size);
            let mut file = Vec::new();
            let mut encoder = Encoder::new(&mut file, QUALITY);
            encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
            let (width, height) = (side(image.width)?, side(image.height)?);
            encoder.encode(&image.pixels, width, height, ColorType::Rgb)?;
            read.push(Arc::new(file));
        }
    }
    Ok(read)
}

/// The page as pixels.
pub(super) fn raster(svg: &str, frames: &[Frame]) -> Result<Picture, IllustrateError> {
    let pixmap = render(svg, frames)?;
    Ok(Picture::Raster {
        columns: pixmap.width() as u16,
        rows: pixmap.height() as u16,
        rgb: rgb(&pixmap),
    })
}

/// The page as a PNG file.
///
/// # Errors
/// [`IllustrateError`] as drawing has it.
pub fn png(svg: &str, frames: &[FrameOf]) -> Result<Vec<u8>, IllustrateError> {
    let png = render(svg, &read(frames)?)?.encode_png();
    png.map_err(|error| IllustrateError::Png(error.to_string()))
}

fn render(svg: &str, frames: &[Frame]) -> Result<Pixmap, IllustrateError> {
    let tree = Tree::from_str(svg, &fonts::options(frames))?;
    let [columns, rows] = size(&tree)?;
    let mut pixmap = Pixmap::new(columns.into(), rows.into()).ok_or(IllustrateError::Size)?;
    pixmap.fill(resvg::tiny_skia::Color::BLACK);
    resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
    Ok(pixmap)
}

/// The page as a PDF file, its text as text.
pub(super) fn pdf(svg: &str, frames: &[Frame]) -> Result<Picture, IllustrateError> {
    let tree = Tree::from_str(svg, &fonts::options(frames))?;
    size(&tree)?;
    let [width, height] =
        [tree.size().width(), tree.size().height()].map(|side| side * POINTS_PER_PIXEL);
    let settings = PageSettings::from_wh(width, height).ok_or(IllustrateError::Size)?;
    let mut document = krilla::Document::new();
    let mut page = document.start_page_with(settings);
    let mut surface = page.surface();
    let of_page = Size::from_wh(width, height).ok_or(IllustrateError::Size)?;
    let drawn = surface.draw_svg(&tree, of_page, SvgSettings::default());
    surface.finish();
    page.finish();
    drawn.ok_or_else(|| IllustrateError::Pdf("the page holds what a PDF can't".to_owned()))?;
    let file = document.finish();
    Ok(Picture::Pdf {
        file: file.map_err(|error| IllustrateError::Pdf(format!("{error:?}")))?,
    })
}
