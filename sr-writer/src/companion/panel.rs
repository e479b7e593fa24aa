//! One frame with its contour.

use sonode_findings::{CardiacPhase, Contour, InstanceFindings, Region};

use super::svg::{Anchor, Palette, Rect, Stroke, Style, Svg};
use crate::texts::page::PageTexts;

/// Room for the panel's caption.
const CAPTION: f64 = 38.0;

/// What a panel shows.
pub(super) struct Panel<'a> {
    pub(super) clip: &'a InstanceFindings,
    pub(super) contour: &'a Contour,
    pub(super) volume: Option<f64>,
    /// The frame's index among those of the page.
    pub(super) frame: usize,
    /// The view; empty where it is none of those that are measured.
    pub(super) view: &'static str,
}

/// From image pixels to the page.
#[derive(Debug, Clone, Copy)]
struct Place {
    origin: [f64; 2],
    scale: [f64; 2],
}

impl Place {
    fn of(&self, [column, row]: [f64; 2]) -> [f64; 2] {
        [
            self.origin[0] + column * self.scale[0],
            self.origin[1] + row * self.scale[1],
        ]
    }
}

impl Panel<'_> {
    /// Draws the panel into a box; the caption is above the image.
    pub(super) fn draw(&self, svg: &mut Svg, bounds: Rect, palette: &Palette, texts: &PageTexts) {
        svg.rect(bounds, 12.0, palette.panel);
        let colour = phase_colour(self.contour.phase, palette);
        let baseline = bounds.y + 27.0;
        svg.circle([bounds.x + 20.0, baseline - 7.0], 6.0, colour);
        let phase = match self.contour.phase {
            CardiacPhase::EndDiastole => texts.end_diastole,
            CardiacPhase::EndSystole => texts.end_systole,
        };
        let frame = texts.frame.replace("{}", &self.contour.frame.to_string());
        let caption = format!("{} {phase}{}{frame}", self.view, texts.comma);
        svg.text(
            [bounds.x + 34.0, baseline],
            Style::new(17.0, palette.ink).bold(),
            caption.trim_start(),
        );
        if let Some(volume) = self.volume {
            let style = Style::new(20.0, colour).bold().at(Anchor::End);
            svg.text(
                [bounds.right() - 14.0, baseline],
                style,
                &format!("{volume:.0} ml"),
            );
        }
        let room = Rect::new(
            bounds.x + 8.0,
            bounds.y + CAPTION,
            bounds.width - 16.0,
            bounds.height - CAPTION - 8.0,
        );
        if let Some((image, place)) = self.fit(room) {
            let [x, y] = place.of([0.0, 0.0]);
            let size = [self.clip.columns, self.clip.rows].map(|side| f64::from(side.unwrap_or(0)));
            let whole = Rect::new(x, y, size[0] * place.scale[0], size[1] * place.scale[1]);
            svg.frame(self.frame, whole, image);
            let points: Vec<[f64; 2]> = self.contour.points.iter().map(|p| place.of(*p)).collect();
            draw_contour(svg, &points, colour_on_image(self.contour.phase));
        }
    }

    /// The image's place: the analysed part as large as the room allows, in the middle.
    fn fit(&self, room: Rect) -> Option<(Rect, Place)> {
        let part = self.part()?;
        let width = f64::from(part.columns);
        let height = f64::from(part.rows) * part.pixel_aspect;
        let scale = (room.width / width).min(room.height / height);
        if !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        let shown = Rect::new(
            room.x + (room.width - width * scale) / 2.0,
            room.y + (room.height - height * scale) / 2.0,
            width * scale,
            height * scale,
        );
        let scale = [scale, scale * part.pixel_aspect];
        let origin = [
            shown.x - f64::from(part.column) * scale[0],
            shown.y - f64::from(part.row) * scale[1],
        ];
        Some((shown, Place { origin, scale }))
    }

    /// The analysed part; the whole image where that isn't known.
    fn part(&self) -> Option<Region> {
        let whole = || {
            Some(Region {
                column: 0,
                row: 0,
                columns: self.clip.columns?,
                rows: self.clip.rows?,
                pixel_aspect: 1.0,
            })
        };
        self.clip.region.clone().or_else(whole)
    }
}

pub(super) fn phase_colour(phase: CardiacPhase, palette: &Palette) -> &'static str {
    match phase {
        CardiacPhase::EndDiastole => palette.diastole,
        CardiacPhase::EndSystole => palette.systole,
    }
}

/// An image is dark whatever the page is.
pub(super) fn colour_on_image(phase: CardiacPhase) -> &'static str {
    phase_colour(phase, &super::svg::DARK)
}

/// A contour with its hinges, the line between them and the long axis.
pub(super) fn draw_contour(svg: &mut Svg, points: &[[f64; 2]], colour: &'static str) {
    let [first, .., last] = points else {
        return;
    };
    let base = [
        f64::midpoint(first[0], last[0]),
        f64::midpoint(first[1], last[1]),
    ];
    let away = |point: &[f64; 2]| (point[0] - base[0]).hypot(point[1] - base[1]);
    let apex = points
        .iter()
        .max_by(|a, b| away(a).total_cmp(&away(b)))
        .unwrap_or(first);
    // A dark edge keeps the line visible over bright walls.
    let edge = Stroke {
        opacity: 0.5,
        ..Stroke::new("#000000", 5.0)
    };
    svg.polyline(points, edge, "none");
    svg.polyline(points, Stroke::new(colour, 2.4), "none");
    let dashed = |colour, opacity| Stroke {
        dashed: true,
        opacity,
        ..Stroke::new(colour, 1.6)
    };
    svg.polyline(&[*first, *last], dashed(colour, 0.9), "none");
    svg.polyline(&[base, *apex], dashed("#ffffff", 0.65), "none");
    for hinge in [first, last] {
        svg.circle(*hinge, 3.6, "#ffffff");
    }
}
