//! From the polar grid to the raster, and the tone curve on the way.

use crate::acquire::Polar;
use crate::scanner::Scanner;

/// How a raster lies over the scan plane: pixel centres to centimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raster {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Centimetres per pixel, across and down.
    pub cm_per_px: [f32; 2],
    /// Column and row (in pixels, from the upper left corner) of the sector's apex.
    pub origin: [f32; 2],
    /// Whether the raster shows the plane left-right mirrored.
    pub mirrored: bool,
}

impl Raster {
    /// The place of a pixel's centre in the scan plane, cm.
    pub fn to_plane(&self, column: f32, row: f32) -> [f32; 2] {
        let x = (column + 0.5 - self.origin[0]) * self.cm_per_px[0];
        let y = (row + 0.5 - self.origin[1]) * self.cm_per_px[1];
        [if self.mirrored { -x } else { x }, y]
    }

    /// The pixel coordinates of a place in the scan plane; whole numbers are pixel centres.
    pub fn to_pixel(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let x = if self.mirrored { -x } else { x };
        [
            x / self.cm_per_px[0] + self.origin[0] - 0.5,
            y / self.cm_per_px[1] + self.origin[1] - 0.5,
        ]
    }
}

/// The tone curve as a table over grey 0 to 1: gamma, then an S of some strength.
pub(crate) fn tone(scanner: &Scanner) -> [f32; 257] {
    std::array::from_fn(|k| {
        let g = (k as f32 / 256.0).powf(scanner.gamma);
        let s = g * g * (3.0 - 2.0 * g);
        255.0 * (g + (s - g) * scanner.s_curve)
    })
}

/// Where each pixel of a raster lies in the polar grid; made once for a cine.
pub(crate) struct Converter {
    /// Index of the upper left of four samples, or `u32::MAX` outside the sector; weights by beam and by range.
    taps: Vec<(u32, f32, f32)>,
    beams: usize,
}

impl Converter {
    pub(crate) fn new(raster: &Raster, scanner: &Scanner, beams: usize, samples: usize) -> Self {
        let step = (scanner.depth - scanner.near) / samples as f32;
        let mut taps = Vec::with_capacity(raster.width * raster.height);
        for row in 0..raster.height {
            for column in 0..raster.width {
                let [x, y] = raster.to_plane(column as f32, row as f32);
                taps.push(tap(x, y, scanner, step, beams, samples));
            }
        }
        Self { taps, beams }
    }

    /// Fills `out` with grey 0 to 255; `outside` where there is no sector.
    pub(crate) fn convert(
        &self,
        polar: &Polar,
        tone: &[f32; 257],
        outside: f32,
        out: &mut Vec<f32>,
    ) {
        debug_assert_eq!(polar.beams, self.beams);
        out.clear();
        out.extend(self.taps.iter().map(|&(at, fb, fr)| {
            if at == u32::MAX {
                return outside;
            }
            let at = at as usize;
            let g = &polar.grey;
            let upper = g[at] * (1.0 - fb) + g[at + 1] * fb;
            let lower = g[at + self.beams] * (1.0 - fb) + g[at + self.beams + 1] * fb;
            let v = (upper * (1.0 - fr) + lower * fr) * 256.0;
            let k = (v as usize).min(255);
            let f = v - k as f32;
            tone[k] * (1.0 - f) + tone[k + 1] * f
        }));
    }
}

fn tap(
    x: f32,
    y: f32,
    scanner: &Scanner,
    step: f32,
    beams: usize,
    samples: usize,
) -> (u32, f32, f32) {
    let none = (u32::MAX, 0.0, 0.0);
    if y <= 0.0 {
        return none;
    }
    let r = x.hypot(y);
    let u = x.atan2(y) / scanner.half_angle;
    if u.abs() >= 1.0 || r <= scanner.near || r >= scanner.depth {
        return none;
    }
    let b = ((u + 1.0) * 0.5 * beams as f32 - 0.5).clamp(0.0, (beams - 2) as f32 + 0.999);
    let i = ((r - scanner.near) / step - 0.5).clamp(0.0, (samples - 2) as f32 + 0.999);
    let (bi, ii) = (b as usize, i as usize);
    ((ii * beams + bi) as u32, b - bi as f32, i - ii as f32)
}

/// Shrinks a grey raster to `size` x `size` by area averaging, as the preprocessing of a cine does.
pub(crate) fn shrink(from: &[f32], width: usize, height: usize, size: usize) -> Vec<f32> {
    let across = spans(width, size);
    let down = spans(height, size);
    let mut narrow = vec![0.0f32; size * height];
    for y in 0..height {
        let line = &from[y * width..(y + 1) * width];
        for (x, span) in across.iter().enumerate() {
            narrow[y * size + x] = span.iter().map(|&(k, w)| line[k] * w).sum();
        }
    }
    let mut out = vec![0.0f32; size * size];
    for (y, span) in down.iter().enumerate() {
        let line = &mut out[y * size..(y + 1) * size];
        for &(k, w) in span {
            for (o, v) in line.iter_mut().zip(&narrow[k * size..(k + 1) * size]) {
                *o += v * w;
            }
        }
    }
    out
}

fn spans(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let ratio = from as f32 / to as f32;
    (0..to)
        .map(|k| {
            let (lo, hi) = (k as f32 * ratio, (k + 1) as f32 * ratio);
            let last = (hi.ceil() as usize).min(from);
            (lo as usize..last)
                .map(|i| (i, (hi.min((i + 1) as f32) - lo.max(i as f32)) / ratio))
                .filter(|(_, w)| *w > 0.0)
                .collect()
        })
        .collect()
}
