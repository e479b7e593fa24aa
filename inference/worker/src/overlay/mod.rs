//! The picture of a measurement: end diastole and end systole with their contours, and the volume over time.

mod canvas;
mod curve;
mod panel;

use sonode_findings::{
    Beat, CardiacPhase, Contour, InstanceFindings, LvMeasurement, LvSummary, Method,
};
use tiny_skia::Rect;

use crate::dicom::Opened;
use crate::dicom::pixels::{Frames, PixelError};
use crate::dicom::regions::geometry;
use canvas::{Anchor, Canvas, Rgba, Style};
use panel::Panel;

const WIDTH: f32 = 1600.0;
const MARGIN: f32 = 36.0;
const GAP: f32 = 20.0;
const HEADER: f32 = 132.0;
const CURVE: f32 = 280.0;
const FOOTER: f32 = 84.0;
/// A panel's image is no taller than this.
const IMAGE_MAX: f32 = 680.0;

const BACKGROUND: Rgba = [13, 17, 23, 255];
const PANEL: Rgba = [22, 27, 36, 255];
const GRID: Rgba = [48, 56, 70, 255];
const INK: Rgba = [236, 240, 246, 255];
const FAINT: Rgba = [143, 153, 170, 255];
const WARNING: Rgba = [255, 190, 92, 255];
const DIASTOLE: Rgba = [84, 214, 233, 255];
const SYSTOLE: Rgba = [255, 158, 94, 255];

/// What every picture says.
const DISCLAIMER: &str = "AI result, not verified by a physician";
const RESEARCH: &str = "Research model, not validated, not for diagnosis";

/// Why a picture can't be drawn.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The clip has no pair of contours.
    #[error("the findings have no contours at end diastole and end systole")]
    NoContours,
    /// A frame can't be decoded.
    #[error("a frame can't be decoded: {0}")]
    Pixels(#[from] PixelError),
    /// A picture of no size.
    #[error("the picture would have no size")]
    Size,
    /// The font doesn't load.
    #[error("the font is broken")]
    Font,
    /// PNG can't be written.
    #[error("the PNG can't be written: {0}")]
    Png(String),
}

/// Draws the measured clip as a PNG. `summary` is the study's, where it stands on this clip; otherwise the clip's own
/// numbers are shown.
///
/// # Errors
/// Each variant of [`OverlayError`].
pub fn draw(
    opened: &Opened,
    clip: &InstanceFindings,
    summary: Option<&LvSummary>,
) -> Result<Vec<u8>, OverlayError> {
    let (beat, diastole, systole) = shown_beat(clip).ok_or(OverlayError::NoContours)?;
    let frames = Frames::of(opened)?;
    let geometry = geometry(opened.attributes(), frames.size());
    let panel_width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
    let panel_height = panel::height(
        geometry.crop,
        geometry.pixel_aspect,
        panel_width - 16.0,
        IMAGE_MAX,
    ) + panel::CAPTION
        + 8.0;
    let height = HEADER + panel_height + GAP + CURVE + FOOTER;
    let mut canvas = Canvas::new(WIDTH as u32, height as u32, BACKGROUND)?;
    let lv = summary
        .filter(|summary| summary.source == clip.sop_instance_uid)
        .map(|summary| &summary.measurement)
        .or(clip.lv.as_ref());
    header(&mut canvas, clip, lv);
    let sides = [
        (MARGIN, diastole, beat.edv_ml, DIASTOLE),
        (MARGIN + panel_width + GAP, systole, beat.esv_ml, SYSTOLE),
    ];
    for (left, contour, volume, colour) in sides {
        let frame = frames.rgb((contour.frame as usize).saturating_sub(1))?;
        let panel = Panel {
            frame: &frame,
            crop: geometry.crop,
            pixel_aspect: geometry.pixel_aspect,
            contour,
            volume: volume.map_or_else(String::new, |ml| format!("{ml:.0} ml")),
            colour,
        };
        if let Some(bounds) = Rect::from_xywh(left, HEADER, panel_width, panel_height) {
            panel.draw(&mut canvas, bounds);
        }
    }
    let top = HEADER + panel_height + GAP;
    if let Some(bounds) = Rect::from_xywh(MARGIN, top, WIDTH - 2.0 * MARGIN, CURVE) {
        curve::draw(&mut canvas, bounds, clip);
    }
    footer(&mut canvas, height, clip);
    canvas.png()
}

/// The beat that is drawn: the one whose ejection fraction is nearest to the clip's, and its two contours.
fn shown_beat(clip: &InstanceFindings) -> Option<(&Beat, &Contour, &Contour)> {
    let contour = |frame: u32, phase: CardiacPhase| {
        clip.contours
            .iter()
            .find(|contour| contour.frame == frame && contour.phase == phase)
    };
    let target = clip.lv.as_ref().map_or(0.0, |lv| lv.lvef_percent);
    clip.beats
        .iter()
        .filter_map(|beat| {
            let diastole = contour(beat.ed_frame, CardiacPhase::EndDiastole)?;
            let systole = contour(beat.es_frame, CardiacPhase::EndSystole)?;
            Some((beat, diastole, systole))
        })
        .min_by(|a, b| {
            let distance = |beat: &Beat| (beat.lvef_percent - target).abs();
            distance(a.0).total_cmp(&distance(b.0))
        })
}

fn header(canvas: &mut Canvas, clip: &InstanceFindings, lv: Option<&LvMeasurement>) {
    let style = |size, bold, colour| Style {
        size,
        bold,
        colour,
        anchor: Anchor::Left,
    };
    let mut x = MARGIN;
    canvas.text("LV ejection fraction", [x, 48.0], style(20.0, false, FAINT));
    let Some(lv) = lv else {
        return;
    };
    let ef = format!("{:.0} %", lv.lvef_percent);
    x += canvas.text(&ef, [x, 106.0], style(62.0, true, INK)) + 18.0;
    if let Some([low, high]) = lv.lvef_interval {
        let interval = format!("{low:.0} \u{2013} {high:.0} %");
        canvas.text(&interval, [x, 106.0], style(26.0, false, FAINT));
    }
    let right = |size, bold, colour| Style {
        anchor: Anchor::Right,
        ..style(size, bold, colour)
    };
    let edge = WIDTH - MARGIN;
    let method = match lv.method {
        Method::ModA4c => "Method of disks, apical four-chamber",
        Method::ModA2c => "Method of disks, apical two-chamber",
        Method::ModBiplane => "Method of disks, biplane",
    };
    canvas.text(method, [edge, 48.0], right(20.0, false, FAINT));
    let volumes = match (lv.edv_ml, lv.esv_ml) {
        (Some(edv), Some(esv)) => format!("EDV {edv:.0} ml   ESV {esv:.0} ml"),
        _ => "no calibration: volumes in ml unknown".to_owned(),
    };
    canvas.text(&volumes, [edge, 84.0], right(26.0, true, INK));
    let beats = match clip.beats.len() {
        1 => "1 beat".to_owned(),
        count => format!("{count} beats"),
    };
    let rate = clip
        .heart_rate_bpm
        .map(|rate| format!(", heart rate {rate:.0}/min"))
        .unwrap_or_default();
    let measured = format!("{beats} measured{rate}");
    canvas.text(&measured, [edge, 112.0], right(17.0, false, FAINT));
}

fn footer(canvas: &mut Canvas, height: f32, clip: &InstanceFindings) {
    let style = |size, bold, colour, anchor| Style {
        size,
        bold,
        colour,
        anchor,
    };
    let baseline = height - 34.0;
    let width = canvas.text(
        DISCLAIMER,
        [MARGIN, baseline],
        style(19.0, true, WARNING, Anchor::Left),
    );
    if clip.models.iter().any(|model| model.research) {
        canvas.text(
            RESEARCH,
            [MARGIN + width + 22.0, baseline],
            style(19.0, false, WARNING, Anchor::Left),
        );
    }
    let models: Vec<String> = clip
        .models
        .iter()
        .map(|model| {
            let hash = model.sha256.get(..8).unwrap_or_default();
            format!("{} {} ({hash})", model.name, model.version)
        })
        .collect();
    canvas.text(
        &models.join(", "),
        [WIDTH - MARGIN, baseline],
        style(15.0, false, FAINT, Anchor::Right),
    );
}
