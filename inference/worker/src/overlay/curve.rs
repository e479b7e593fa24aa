//! The volume of every frame as a curve.

use sonode_findings::InstanceFindings;
use tiny_skia::{PathBuilder, Rect};

use super::canvas::{Anchor, Canvas, Line, Rgba, Style, smooth};
use super::{DIASTOLE, FAINT, GRID, INK, PANEL, SYSTOLE};

const CURVE: Rgba = [229, 234, 242, 255];

/// Draws the curve into a box: time across, volume up, a mark at each end diastole and end systole.
pub(super) fn draw(canvas: &mut Canvas, bounds: Rect, clip: &InstanceFindings) {
    canvas.rounded(bounds, 14.0, PANEL);
    let in_ml = clip.calibration.is_some();
    let unit = if in_ml { "ml" } else { "% of the largest" };
    let caption = style(16.0, true, INK, Anchor::Left);
    let corner = [bounds.left() + 20.0, bounds.top() + 30.0];
    let width = canvas.text("Volume", corner, caption);
    canvas.text(
        unit,
        [corner[0] + width + 8.0, corner[1]],
        style(15.0, false, FAINT, Anchor::Left),
    );
    let plot = Rect::from_ltrb(
        bounds.left() + 72.0,
        bounds.top() + 52.0,
        bounds.right() - 32.0,
        bounds.bottom() - 44.0,
    );
    let (Some(plot), true) = (plot, clip.volume_curve.len() > 1) else {
        return;
    };
    let scale = Scale::of(&clip.volume_curve, plot);
    volume_axis(canvas, &scale);
    time_axis(canvas, &scale, clip);
    let points: Vec<[f32; 2]> = clip
        .volume_curve
        .iter()
        .enumerate()
        .map(|(frame, volume)| scale.at(frame, *volume))
        .collect();
    area(canvas, &points, plot);
    if let Some(path) = smooth(&points).finish() {
        canvas.stroke(&path, solid(2.6, CURVE));
    }
    marks(canvas, &scale, clip);
}

struct Scale {
    plot: Rect,
    top: f64,
    step: f64,
    frames: usize,
}

impl Scale {
    /// From zero, because a curve that doesn't start there exaggerates; to the next round number.
    fn of(curve: &[f64], plot: Rect) -> Self {
        let largest = curve.iter().copied().fold(1.0, f64::max);
        let rough = largest / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(power);
        Self {
            plot,
            top: (largest * 1.06 / step).ceil() * step,
            step,
            frames: curve.len(),
        }
    }

    fn at(&self, frame: usize, volume: f64) -> [f32; 2] {
        let across = frame as f32 / (self.frames - 1).max(1) as f32;
        let up = (volume / self.top) as f32;
        [
            self.plot.left() + across * self.plot.width(),
            self.plot.bottom() - up * self.plot.height(),
        ]
    }
}

fn volume_axis(canvas: &mut Canvas, scale: &Scale) {
    let lines = (scale.top / scale.step).round() as usize;
    for line in 0..=lines {
        let volume = line as f64 * scale.step;
        let [_, y] = scale.at(0, volume);
        let mut path = PathBuilder::new();
        path.move_to(scale.plot.left(), y);
        path.line_to(scale.plot.right(), y);
        if let Some(path) = path.finish() {
            canvas.stroke(&path, solid(1.0, GRID));
        }
        canvas.text(
            &format!("{volume:.0}"),
            [scale.plot.left() - 12.0, y + 5.0],
            style(14.0, false, FAINT, Anchor::Right),
        );
    }
}

/// Seconds where the frame rate is known, frames otherwise.
fn time_axis(canvas: &mut Canvas, scale: &Scale, clip: &InstanceFindings) {
    let last = scale.frames - 1;
    let y = scale.plot.bottom() + 26.0;
    let labels: Vec<(f64, String)> = match clip.frame_rate_hz {
        Some(rate) => {
            let seconds = last as f64 / rate;
            let step = match seconds {
                ..1.3 => 0.2,
                1.3..4.0 => 0.5,
                _ => 1.0,
            };
            (0..=(seconds / step) as usize)
                .map(|tick| tick as f64 * step)
                .map(|time| (time * rate, format!("{time:.1} s")))
                .collect()
        }
        None => (0..=4)
            .map(|tick| (tick * last / 4) as f64)
            .map(|frame| (frame, format!("frame {:.0}", frame + 1.0)))
            .collect(),
    };
    for (frame, label) in labels {
        let across = frame as f32 / last.max(1) as f32;
        let x = scale.plot.left() + across * scale.plot.width();
        canvas.text(&label, [x, y], style(14.0, false, FAINT, Anchor::Middle));
    }
}

fn area(canvas: &mut Canvas, points: &[[f32; 2]], plot: Rect) {
    let mut path = smooth(points);
    path.line_to(plot.right(), plot.bottom());
    path.line_to(plot.left(), plot.bottom());
    path.close();
    if let Some(path) = path.finish() {
        canvas.fill(&path, [120, 150, 200, 26]);
    }
}

/// End diastole and end systole of each beat, with their volumes.
fn marks(canvas: &mut Canvas, scale: &Scale, clip: &InstanceFindings) {
    let mut seen = Vec::new();
    for beat in &clip.beats {
        for (frame, colour) in [(beat.ed_frame, DIASTOLE), (beat.es_frame, SYSTOLE)] {
            let index = (frame as usize).saturating_sub(1);
            let Some(volume) = clip.volume_curve.get(index).copied() else {
                continue;
            };
            if seen.contains(&frame) {
                continue;
            }
            seen.push(frame);
            let [x, y] = scale.at(index, volume);
            let mut line = PathBuilder::new();
            line.move_to(x, scale.plot.bottom());
            line.line_to(x, y);
            if let Some(path) = line.finish() {
                let [r, g, b, _] = colour;
                canvas.stroke(
                    &path,
                    Line {
                        width: 1.5,
                        colour: [r, g, b, 150],
                        dash: Some(4.0),
                    },
                );
            }
            canvas.dot([x, y], 6.5, [13, 17, 23, 255]);
            canvas.dot([x, y], 4.8, colour);
            // Above the point in a valley too: below it runs the dashed line.
            canvas.text(
                &format!("{volume:.0}"),
                [x.min(scale.plot.right() - 8.0), y - 13.0],
                style(15.0, true, colour, Anchor::Middle),
            );
        }
    }
}

fn style(size: f32, bold: bool, colour: Rgba, anchor: Anchor) -> Style {
    Style {
        size,
        bold,
        colour,
        anchor,
    }
}

fn solid(width: f32, colour: Rgba) -> Line {
    Line {
        width,
        colour,
        dash: None,
    }
}
