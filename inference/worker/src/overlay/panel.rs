//! One frame with its contour.

use sonode_findings::{CardiacPhase, Contour};
use tiny_skia::{PathBuilder, Rect};

use super::canvas::{Anchor, Canvas, Line, Rgba, Style, smooth};
use super::{FAINT, INK, PANEL};
use crate::dicom::pixels::RgbFrame;
use crate::dicom::regions::Crop;

const RADIUS: f32 = 10.0;
/// Room for the panel's caption.
pub(super) const CAPTION: f32 = 46.0;

/// What a panel shows.
pub(super) struct Panel<'a> {
    /// The frame, whole.
    pub(super) frame: &'a RgbFrame,
    /// The part of it that was analysed.
    pub(super) crop: Crop,
    /// Height of a pixel over its width.
    pub(super) pixel_aspect: f64,
    /// The contour on this frame.
    pub(super) contour: &'a Contour,
    /// The volume, as text.
    pub(super) volume: String,
    /// The phase's colour.
    pub(super) colour: Rgba,
}

/// The height that a panel of this width needs, at most `max`.
pub(super) fn height(crop: Crop, pixel_aspect: f64, width: f32, max: f32) -> f32 {
    (width * crop.height as f32 * pixel_aspect as f32 / crop.width.max(1) as f32).min(max)
}

impl Panel<'_> {
    /// Draws the panel into a box; the caption is above the image.
    pub(super) fn draw(&self, canvas: &mut Canvas, bounds: Rect) {
        canvas.rounded(bounds, RADIUS + 4.0, PANEL);
        self.caption(canvas, bounds);
        let room = Rect::from_ltrb(
            bounds.left() + 8.0,
            bounds.top() + CAPTION,
            bounds.right() - 8.0,
            bounds.bottom() - 8.0,
        );
        let Some(image) = room.and_then(|room| self.fit(room)) else {
            return;
        };
        canvas.image(&cut(self.frame, self.crop), image, RADIUS);
        self.contour(canvas, image);
    }

    fn caption(&self, canvas: &mut Canvas, bounds: Rect) {
        let phase = match self.contour.phase {
            CardiacPhase::EndDiastole => "End diastole",
            CardiacPhase::EndSystole => "End systole",
        };
        let baseline = bounds.top() + 30.0;
        canvas.dot([bounds.left() + 22.0, baseline - 7.0], 6.0, self.colour);
        let style = |colour, bold, anchor| Style {
            size: 22.0,
            bold,
            colour,
            anchor,
        };
        let from = bounds.left() + 38.0;
        let width = canvas.text(phase, [from, baseline], style(INK, true, Anchor::Left));
        canvas.text(
            &format!("frame {}", self.contour.frame),
            [from + width + 14.0, baseline],
            style(FAINT, false, Anchor::Left),
        );
        canvas.text(
            &self.volume,
            [bounds.right() - 18.0, baseline],
            style(self.colour, true, Anchor::Right),
        );
    }

    /// The image's place: as large as the room allows, in the middle.
    fn fit(&self, room: Rect) -> Option<Rect> {
        let width = self.crop.width as f32;
        let height = self.crop.height as f32 * self.pixel_aspect as f32;
        let scale = (room.width() / width).min(room.height() / height);
        Rect::from_xywh(
            room.left() + (room.width() - width * scale) / 2.0,
            room.top() + (room.height() - height * scale) / 2.0,
            width * scale,
            height * scale,
        )
    }

    fn contour(&self, canvas: &mut Canvas, image: Rect) {
        let points: Vec<[f32; 2]> = self
            .contour
            .points
            .iter()
            .map(|point| self.place(*point, image))
            .collect();
        let [first, .., last] = points[..] else {
            return;
        };
        let [r, g, b, _] = self.colour;
        let mut area = smooth(&points);
        area.close();
        if let Some(area) = area.finish() {
            canvas.fill(&area, [r, g, b, 34]);
        }
        if let Some(outline) = smooth(&points).finish() {
            let line = |width, colour| Line {
                width,
                colour,
                dash: None,
            };
            // A dark edge keeps the line visible over bright walls.
            canvas.stroke(&outline, line(5.5, [0, 0, 0, 130]));
            canvas.stroke(&outline, line(2.8, self.colour));
        }
        let middle = [
            f32::midpoint(first[0], last[0]),
            f32::midpoint(first[1], last[1]),
        ];
        let dashed = |colour| Line {
            width: 1.8,
            colour,
            dash: Some(7.0),
        };
        segment(canvas, first, last, dashed([r, g, b, 230]));
        segment(
            canvas,
            middle,
            apex(&points, middle),
            dashed([255, 255, 255, 170]),
        );
        for hinge in [first, last] {
            canvas.dot(hinge, 6.0, [0, 0, 0, 150]);
            canvas.dot(hinge, 4.2, [255, 255, 255, 255]);
        }
    }

    /// Image pixels to the picture's.
    fn place(&self, [column, row]: [f64; 2], image: Rect) -> [f32; 2] {
        let x = (column - self.crop.column as f64) / self.crop.width as f64;
        let y = (row - self.crop.row as f64) / self.crop.height as f64;
        [
            image.left() + x as f32 * image.width(),
            image.top() + y as f32 * image.height(),
        ]
    }
}

/// The contour's point that is farthest from the middle of the annulus.
fn apex(points: &[[f32; 2]], middle: [f32; 2]) -> [f32; 2] {
    let distance = |point: &[f32; 2]| (point[0] - middle[0]).hypot(point[1] - middle[1]);
    points
        .iter()
        .copied()
        .max_by(|a, b| distance(a).total_cmp(&distance(b)))
        .unwrap_or(middle)
}

fn segment(canvas: &mut Canvas, from: [f32; 2], to: [f32; 2], line: Line) {
    let mut path = PathBuilder::new();
    path.move_to(from[0], from[1]);
    path.line_to(to[0], to[1]);
    if let Some(path) = path.finish() {
        canvas.stroke(&path, line);
    }
}

fn cut(frame: &RgbFrame, crop: Crop) -> RgbFrame {
    let pixels = frame
        .pixels
        .chunks_exact((frame.width * 3).max(1))
        .skip(crop.row)
        .take(crop.height)
        .filter_map(|row| row.get(crop.column * 3..(crop.column + crop.width) * 3))
        .flatten()
        .copied()
        .collect();
    RgbFrame {
        width: crop.width,
        height: crop.height,
        pixels,
    }
}
