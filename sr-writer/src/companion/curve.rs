//! The volume of every frame as a curve.

use sonode_findings::{CardiacPhase, InstanceFindings};

use super::page::view_name;
use super::panel::phase_colour;
use super::svg::{Anchor, Palette, Rect, Stroke, Style, Svg};
use crate::texts::page::PageTexts;

/// Draws the curve into a box: time across, volume up, a mark at each end diastole and end systole.
pub(super) fn draw(
    svg: &mut Svg,
    bounds: Rect,
    clip: &InstanceFindings,
    palette: &Palette,
    texts: &PageTexts,
) {
    svg.rect(bounds, 12.0, palette.panel);
    let unit = if clip.calibration.is_some() {
        "ml"
    } else {
        texts.share_of_largest
    };
    let caption = format!("{} {} ({unit})", view_name(clip), texts.volume);
    let style = Style::new(17.0, palette.ink).bold();
    svg.text(
        [bounds.x + 16.0, bounds.y + 26.0],
        style,
        caption.trim_start(),
    );
    let plot = Rect::new(
        bounds.x + 62.0,
        bounds.y + 44.0,
        bounds.width - 86.0,
        bounds.height - 80.0,
    );
    let Some(scale) = Scale::of(&clip.volume_curve, plot) else {
        return;
    };
    for line in &scale.lines {
        let [_, y] = scale.at(1.0, *line);
        svg.polyline(
            &[[plot.x, y], [plot.right(), y]],
            Stroke::new(palette.grid, 1.0),
            "none",
        );
        let style = Style::new(15.0, palette.faint).at(Anchor::End);
        svg.text([plot.x - 8.0, y + 5.0], style, &format!("{line:.0}"));
    }
    let style = Style::new(15.0, palette.faint).at(Anchor::Middle);
    for (frame, label) in ticks(clip, scale.last, texts) {
        let [x, _] = scale.at(frame, 0.0);
        svg.text([x, plot.bottom() + 24.0], style, &label);
    }
    let points: Vec<[f64; 2]> = (1_u32..)
        .zip(&clip.volume_curve)
        .map(|(frame, volume)| scale.at(f64::from(frame), *volume))
        .collect();
    svg.polyline(&points, Stroke::new(palette.ink, 2.4), "none");
    for beat in &clip.beats {
        for (frame, phase) in [
            (beat.ed_frame, CardiacPhase::EndDiastole),
            (beat.es_frame, CardiacPhase::EndSystole),
        ] {
            let at = usize::try_from(frame).unwrap_or(0).saturating_sub(1);
            if let Some(point) = points.get(at) {
                svg.circle(*point, 6.0, phase_colour(phase, palette));
            }
        }
    }
}

struct Scale {
    plot: Rect,
    top: f64,
    lines: Vec<f64>,
    /// The last frame, from 1.
    last: f64,
}

impl Scale {
    /// From zero, because a curve that doesn't start there exaggerates; to the next round number.
    fn of(curve: &[f64], plot: Rect) -> Option<Self> {
        let last = u32::try_from(curve.len()).ok().filter(|last| *last > 1)?;
        if !curve.iter().all(|volume| volume.is_finite()) {
            return None;
        }
        let largest = curve.iter().copied().fold(1.0, f64::max);
        let rough = largest / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(power);
        let top = (largest * 1.06 / step).ceil() * step;
        let lines = std::iter::successors(Some(0.0), |line| Some(line + step));
        Some(Self {
            plot,
            top,
            lines: lines.take_while(|line| *line <= top + step / 2.0).collect(),
            last: f64::from(last),
        })
    }

    fn at(&self, frame: f64, volume: f64) -> [f64; 2] {
        let across = (frame - 1.0) / (self.last - 1.0);
        [
            self.plot.x + across * self.plot.width,
            self.plot.bottom() - volume / self.top * self.plot.height,
        ]
    }
}

/// Seconds where the frame rate is known, frames otherwise.
fn ticks(clip: &InstanceFindings, last: f64, texts: &PageTexts) -> Vec<(f64, String)> {
    match clip
        .frame_rate_hz
        .filter(|rate| rate.is_finite() && *rate > 0.0)
    {
        Some(rate) => {
            let seconds = (last - 1.0) / rate;
            let step = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
                .into_iter()
                .find(|step| seconds / step < 8.0)
                .unwrap_or(seconds);
            std::iter::successors(Some(0.0), |time| Some(time + step))
                .take_while(|time| *time <= seconds)
                .map(|time| (1.0 + time * rate, format!("{time:.1} s")))
                .collect()
        }
        None => [0.0, 0.5, 1.0]
            .map(|share: f64| 1.0 + (share * (last - 1.0)).round())
            .into_iter()
            .map(|frame| (frame, texts.frame.replace("{}", &format!("{frame:.0}"))))
            .collect(),
    }
}
