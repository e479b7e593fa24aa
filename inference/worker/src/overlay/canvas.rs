//! A picture to draw on: shapes by tiny-skia, text by `ab_glyph` with a font of the repository.

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use tiny_skia::{
    Color, FillRule, FilterQuality, LineCap, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap,
    PixmapPaint, Rect, Stroke, StrokeDash, Transform,
};

use super::OverlayError;
use crate::dicom::pixels::RgbFrame;

/// Red, green, blue and opacity.
pub(super) type Rgba = [u8; 4];

/// Where a text stands in relation to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) bold: bool,
    pub(super) colour: Rgba,
    pub(super) anchor: Anchor,
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) width: f32,
    pub(super) colour: Rgba,
    /// Length of dash and gap.
    pub(super) dash: Option<f32>,
}

/// The picture.
pub(super) struct Canvas {
    pixmap: Pixmap,
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

impl Canvas {
    /// An opaque picture of one colour.
    pub(super) fn new(width: u32, height: u32, background: Rgba) -> Result<Self, OverlayError> {
        let mut pixmap = Pixmap::new(width, height).ok_or(OverlayError::Size)?;
        pixmap.fill(colour(background));
        let font = |bytes| FontRef::try_from_slice(bytes).map_err(|_| OverlayError::Font);
        Ok(Self {
            pixmap,
            regular: font(include_bytes!("../../assets/DejaVuSans.ttf"))?,
            bold: font(include_bytes!("../../assets/DejaVuSans-Bold.ttf"))?,
        })
    }

    /// The picture as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>, OverlayError> {
        self.pixmap
            .encode_png()
            .map_err(|error| OverlayError::Png(error.to_string()))
    }

    /// Fills a rectangle with round corners.
    pub(super) fn rounded(&mut self, rect: Rect, radius: f32, fill: Rgba) {
        if let Some(path) = rounded(rect, radius) {
            self.fill(&path, fill);
        }
    }

    /// Fills a path.
    pub(super) fn fill(&mut self, path: &Path, fill: Rgba) {
        let paint = paint(fill);
        self.pixmap
            .fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// Draws along a path.
    pub(super) fn stroke(&mut self, path: &Path, line: Line) {
        let stroke = Stroke {
            width: line.width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            dash: line
                .dash
                .and_then(|length| StrokeDash::new(vec![length, length], 0.0)),
            ..Stroke::default()
        };
        let paint = paint(line.colour);
        self.pixmap
            .stroke_path(path, &paint, &stroke, Transform::identity(), None);
    }

    /// A filled circle.
    pub(super) fn dot(&mut self, [x, y]: [f32; 2], radius: f32, fill: Rgba) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            self.fill(&path, fill);
        }
    }

    /// An image, scaled into a rectangle with round corners.
    pub(super) fn image(&mut self, image: &RgbFrame, rect: Rect, radius: f32) {
        let size = (image.width as u32, image.height as u32);
        let Some(mut source) = Pixmap::new(size.0, size.1) else {
            return;
        };
        for (to, from) in source
            .data_mut()
            .chunks_exact_mut(4)
            .zip(image.pixels.chunks_exact(3))
        {
            to.copy_from_slice(&[from[0], from[1], from[2], 255]);
        }
        let mask = Mask::new(self.pixmap.width(), self.pixmap.height())
            .zip(rounded(rect, radius))
            .map(|(mut mask, path)| {
                mask.fill_path(&path, FillRule::Winding, true, Transform::identity());
                mask
            });
        let paint = PixmapPaint {
            quality: FilterQuality::Bicubic,
            ..PixmapPaint::default()
        };
        let transform = Transform::from_row(
            rect.width() / size.0 as f32,
            0.0,
            0.0,
            rect.height() / size.1 as f32,
            rect.x(),
            rect.y(),
        );
        self.pixmap
            .draw_pixmap(0, 0, source.as_ref(), &paint, transform, mask.as_ref());
    }

    /// Writes a line of text whose baseline is at `y`, and tells its width.
    pub(super) fn text(&mut self, text: &str, [x, y]: [f32; 2], style: Style) -> f32 {
        let font = if style.bold {
            &self.bold
        } else {
            &self.regular
        };
        let scale = PxScale::from(style.size);
        let (glyphs, width) = laid_out(font, scale, text);
        let left = match style.anchor {
            Anchor::Left => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::Right => x - width,
        };
        let size = (self.pixmap.width(), self.pixmap.height());
        let data = self.pixmap.data_mut();
        for (glyph, at) in glyphs {
            let glyph = glyph.with_scale_and_position(scale, point(left + at, y));
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|column, row, coverage| {
                let column = corner.x as i64 + i64::from(column);
                let row = corner.y as i64 + i64::from(row);
                let inside = (0..i64::from(size.0)).contains(&column)
                    && (0..i64::from(size.1)).contains(&row);
                if inside {
                    let at = (row as usize * size.0 as usize + column as usize) * 4;
                    blend(&mut data[at..at + 3], style.colour, coverage);
                }
            });
        }
        width
    }
}

/// Where each glyph begins, with kerning, and the width of all.
fn laid_out(font: &FontRef<'_>, scale: PxScale, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
    let scaled = font.as_scaled(scale);
    let mut glyphs: Vec<(GlyphId, f32)> = Vec::new();
    let mut at = 0.0;
    for letter in text.chars() {
        let id = scaled.glyph_id(letter);
        if let Some((previous, _)) = glyphs.last() {
            at += scaled.kern(*previous, id);
        }
        glyphs.push((id, at));
        at += scaled.h_advance(id);
    }
    (glyphs, at)
}

/// The picture is opaque everywhere, so blending needs no alpha of its own.
fn blend(pixel: &mut [u8], [r, g, b, alpha]: Rgba, coverage: f32) {
    let share = coverage.clamp(0.0, 1.0) * f32::from(alpha) / 255.0;
    for (to, from) in pixel.iter_mut().zip([r, g, b]) {
        *to = (f32::from(*to) * (1.0 - share) + f32::from(from) * share).round() as u8;
    }
}

fn colour([r, g, b, a]: Rgba) -> Color {
    Color::from_rgba8(r, g, b, a)
}

fn paint(fill: Rgba) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(colour(fill));
    paint.anti_alias = true;
    paint
}

fn rounded(rect: Rect, radius: f32) -> Option<Path> {
    // A circle's quarter as a cubic curve.
    const BOW: f32 = 0.552_284_8;
    let (l, t, r, b) = (rect.left(), rect.top(), rect.right(), rect.bottom());
    let k = radius * (1.0 - BOW);
    let mut path = PathBuilder::new();
    path.move_to(l + radius, t);
    path.line_to(r - radius, t);
    path.cubic_to(r - k, t, r, t + k, r, t + radius);
    path.line_to(r, b - radius);
    path.cubic_to(r, b - k, r - k, b, r - radius, b);
    path.line_to(l + radius, b);
    path.cubic_to(l + k, b, l, b - k, l, b - radius);
    path.line_to(l, t + radius);
    path.cubic_to(l, t + k, l + k, t, l + radius, t);
    path.close();
    path.finish()
}

/// A smooth curve through points (centripetal enough for evenly spaced ones: Catmull-Rom).
pub(super) fn smooth(points: &[[f32; 2]]) -> PathBuilder {
    let mut path = PathBuilder::new();
    let Some([x, y]) = points.first() else {
        return path;
    };
    path.move_to(*x, *y);
    let at = |index: usize| points[index.min(points.len() - 1)];
    for index in 0..points.len() - 1 {
        let (before, from) = (at(index.saturating_sub(1)), at(index));
        let (to, after) = (at(index + 1), at(index + 2));
        path.cubic_to(
            from[0] + (to[0] - before[0]) / 6.0,
            from[1] + (to[1] - before[1]) / 6.0,
            to[0] - (after[0] - from[0]) / 6.0,
            to[1] - (after[1] - from[1]) / 6.0,
            to[0],
            to[1],
        );
    }
    path
}
