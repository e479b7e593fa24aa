//! The device's screen: where the sector lies, the colour map, what is drawn around it.

use crate::cine::{Frame, Photometric, Study, StudySpec, Subject};
use crate::overlay::Canvas;
use crate::scan_convert::Raster;
use crate::scanner::Scanner;
use crate::style::Style;

/// Where the sector lies on the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) raster: Raster,
    /// Left, top, right, bottom of the two-dimensional region, ends included.
    pub(crate) region: [u32; 4],
}

impl Layout {
    pub(crate) fn of(spec: &StudySpec, scanner: &Scanner) -> Self {
        let (w, h) = (spec.width as f32, spec.height as f32);
        // The box that a style leaves to the echo: left, top, right, bottom, in parts of the screen.
        let [left, top, right, bottom] = match spec.style {
            Style::A => [0.06, 0.05, 0.90, 0.88],
            Style::B => [0.10, 0.12, 0.92, 0.97],
            Style::C => [0.05, 0.04, 0.84, 0.93],
            Style::D => [0.03, 0.04, 0.97, 0.97],
        };
        let fan_w = 2.0 * scanner.depth * scanner.half_angle.sin();
        let px = (fan_w / ((right - left) * w)).max(scanner.depth / ((bottom - top) * h));
        let centre = f32::midpoint(left, right) * w;
        let raster = Raster {
            width: spec.width as usize,
            height: spec.height as usize,
            cm_per_px: [px, px],
            origin: [centre, top * h],
            mirrored: spec.style == Style::C,
        };
        let half = 0.5 * fan_w / px;
        let region = [
            (centre - half).max(0.0) as u32,
            (top * h) as u32,
            ((centre + half) as u32).min(spec.width.saturating_sub(1)),
            ((top * h + scanner.depth / px) as u32).min(spec.height.saturating_sub(1)),
        ];
        Self { raster, region }
    }

    /// What stays on the screen over all frames.
    pub(crate) fn backdrop(&self, study: &Study) -> Backdrop {
        let (width, height) = (self.raster.width, self.raster.height);
        let mut overlay = vec![0.0f32; width * height];
        let mut canvas = Canvas {
            pixels: &mut overlay,
            width,
            height,
        };
        draw(study, &self.raster, &mut canvas);
        let overlay = overlay.iter().map(|v| *v as u8).collect();
        Backdrop {
            overlay,
            map: colour_map(study.spec().style),
            flow: self.flow(study),
        }
    }

    /// The colour box's places: pixel, centimetres; empty without Doppler.
    fn flow(&self, study: &Study) -> Vec<(u32, [f32; 2])> {
        if study.spec().subject != Subject::ColourDoppler {
            return Vec::new();
        }
        let depth = study.scanner().depth;
        let mut box_ = Vec::new();
        for row in 0..self.raster.height {
            for column in 0..self.raster.width {
                let [x, y] = self.raster.to_plane(column as f32, row as f32);
                let (r, a) = (x.hypot(y), x.atan2(y).abs());
                if y > 0.0 && a < 0.32 && r > 0.3 * depth && r < 0.85 * depth {
                    box_.push(((row * self.raster.width + column) as u32, [x, y]));
                }
            }
        }
        box_
    }
}

/// The text and furniture of a style.
fn draw(study: &Study, raster: &Raster, canvas: &mut Canvas<'_>) {
    let (w, h) = (raster.width as i32, raster.height as i32);
    let spec = study.spec();
    let scale = if w >= 700 { 2 } else { 1 };
    let rate = format!("HR {:.0}", study.heart_rate());
    let depth = format!("{:.1} CM", study.scanner().depth);
    let frames = format!("{:.0} HZ", spec.fps);
    let tick = 1.0 / raster.cm_per_px[1];
    let line = 9 * scale;
    match spec.style {
        Style::A => {
            for (k, text) in (0..).zip(["PHANTOM", &frames, &depth, &rate]) {
                canvas.text(8, 10 + k * line, scale, 190.0, text);
            }
            canvas.wedge(w - 26, h / 8, 12, h / 3);
            ecg(study, canvas, h as f32 * 0.96, h as f32 * 0.05);
            canvas.ticks(w - 44, raster.origin[1], tick, 160.0);
        }
        Style::B => {
            let text = format!("SONODE PHANTOM  {rate}  {frames}");
            canvas.text(10, 8, scale, 220.0, &text);
            canvas.text(10, 8 + line, scale, 160.0, &depth);
            canvas.ticks(w - 24, raster.origin[1], tick, 220.0);
            canvas.text(w / 2 - 40, h / 12, scale, 220.0, "V");
        }
        Style::C => {
            for (k, text) in (0..).zip(["C", &depth, &frames, &rate]) {
                canvas.text(w - 100 * scale / 2, h / 3 + k * line, scale, 200.0, text);
            }
            canvas.ticks(w - 14, raster.origin[1], tick, 140.0);
            ecg(study, canvas, h as f32 * 0.985, h as f32 * 0.04);
        }
        Style::D => {
            canvas.text(4, 4, scale, 255.0, "PHANTOM");
            canvas.text(4, h - 10, scale, 255.0, &depth);
            canvas.ticks(w - 8, raster.origin[1], tick, 255.0);
        }
    }
}

fn ecg(study: &Study, canvas: &mut Canvas<'_>, y: f32, tall: f32) {
    let spec = study.spec();
    let seconds = spec.frames as f32 / spec.fps / canvas.width as f32;
    canvas.ecg(y, tall, 150.0, |x| study.beat_fraction_at(x * seconds));
}

fn colour_map(style: Style) -> [[u8; 3]; 256] {
    std::array::from_fn(|k| {
        let v = k as f32;
        let lift = v * (255.0 - v) / 255.0;
        let rgb = match style {
            Style::A => [v - 0.10 * lift, v - 0.02 * lift, v + 0.16 * lift],
            Style::B => [v + 0.16 * lift, v, v - 0.22 * lift],
            Style::C | Style::D => [v; 3],
        };
        rgb.map(|c| c.round().clamp(0.0, 255.0) as u8)
    })
}

/// What stays the same from frame to frame.
pub(crate) struct Backdrop {
    overlay: Vec<u8>,
    map: [[u8; 3]; 256],
    flow: Vec<(u32, [f32; 2])>,
}

impl Backdrop {
    /// Puts the sector and the overlays together.
    pub(crate) fn compose(&self, study: &Study, index: u32, grey: &[f32]) -> Frame {
        let spec = study.spec();
        let mono = spec.photometric == Photometric::Monochrome2;
        let samples = if mono { 1 } else { 3 };
        let mut pixels = Vec::with_capacity(grey.len() * samples);
        for (value, over) in grey.iter().zip(&self.overlay) {
            let level = (*value + 0.5) as u8;
            match (mono, *over) {
                (true, 0) => pixels.push(level),
                (true, over) => pixels.push(over),
                (false, 0) => pixels.extend_from_slice(&self.map[usize::from(level)]),
                (false, over) => pixels.extend_from_slice(&[over, over, over]),
            }
        }
        if !mono {
            self.paint_flow(study, index, grey, &mut pixels);
        }
        Frame {
            width: spec.width,
            height: spec.height,
            samples: samples as u16,
            pixels,
        }
    }

    /// Colours blood within the Doppler box by a velocity that turns with the beat.
    fn paint_flow(&self, study: &Study, index: u32, grey: &[f32], pixels: &mut [u8]) {
        let t = study.beat_fraction(index);
        let towards = if t < 0.38 { -1.0 } else { 1.0 };
        let field = study.scanner().field.shifted(index as f32 * 0.1);
        for (at, [x, y]) in &self.flow {
            let at = *at as usize;
            if grey[at] > 110.0 {
                continue;
            }
            let speed = towards * (0.8 + 0.5 * field.cloud(*x, *y, 4.0));
            let level = (120.0 + 100.0 * speed.abs()).min(255.0) as u8;
            let rgb = if speed.abs() < 0.25 {
                continue;
            } else if speed > 0.0 {
                [level, level / 5, 10]
            } else {
                [10, level / 4, level]
            };
            pixels[at * 3..at * 3 + 3].copy_from_slice(&rgb);
        }
    }
}

/// An M-mode strip over the whole screen: depth down, time across, walls that move with the beat.
pub(crate) fn m_mode(study: &Study) -> Vec<f32> {
    let raster = study.raster();
    let (w, h) = (raster.width, raster.height);
    let field = study.scanner().field;
    let seconds = study.spec().frames as f32 / study.spec().fps;
    let mut grey = vec![0.0f32; w * h];
    // Walls: resting depth, excursion in systole and thickness, in parts of the height.
    let walls = [
        (0.16, 0.00, 0.03, 170.0),
        (0.36, 0.05, 0.06, 130.0),
        (0.74, -0.08, 0.06, 150.0),
        (0.84, -0.05, 0.02, 230.0),
    ];
    for x in 0..w {
        let t = study.beat_fraction_at(seconds * x as f32 / w as f32);
        let squeeze = (std::f32::consts::PI * (t / 0.6).min(1.0)).sin();
        for y in h / 20..h {
            let v = y as f32 / h as f32;
            let mut level = 12.0f32;
            for (rest, moved, thick, bright) in walls {
                let u = ((v - rest - moved * squeeze) / thick).abs();
                level = level.max(bright * (1.0 - smooth_step(u)));
            }
            let [re, im] = field.at(x as f32 * 0.05, y as f32 * 0.12);
            grey[y * w + x] = (level * (0.35 + 0.6 * (re * re + im * im).sqrt())).min(255.0);
        }
    }
    grey
}

fn smooth_step(u: f32) -> f32 {
    let u = ((u - 0.7) / 0.5).clamp(0.0, 1.0);
    u * u * (3.0 - 2.0 * u)
}
