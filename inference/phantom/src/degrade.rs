//! What happens to a grey raster on its way to a file: blur and JPEG's blocks.

use std::sync::OnceLock;

/// JPEG's luminance table (ITU-T T.81, Table K.1), row-major.
const LUMINANCE: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// `[frequency][sample]` of the 8-point DCT, orthonormal.
fn basis() -> &'static [[f32; 8]; 8] {
    static TABLE: OnceLock<[[f32; 8]; 8]> = OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|u| {
            let scale = if u == 0 { 0.125f32.sqrt() } else { 0.5 };
            std::array::from_fn(|x| {
                let turn = (2 * x + 1) as f32 * u as f32 * std::f32::consts::PI / 16.0;
                scale * turn.cos()
            })
        })
    })
}

/// The loss of one JPEG round trip at `quality` 1 to 100, in place; the entropy coder loses nothing and is left out.
pub(crate) fn jpeg_loss(image: &mut [f32], width: usize, height: usize, quality: f32) {
    let scale = if quality < 50.0 {
        50.0 / quality.max(1.0)
    } else {
        2.0 - quality / 50.0
    };
    let table: [f32; 64] =
        std::array::from_fn(|k| (f32::from(LUMINANCE[k]) * scale).round().clamp(1.0, 255.0));
    let basis = basis();
    for by in (0..height).step_by(8) {
        for bx in (0..width).step_by(8) {
            let mut block = [[0.0f32; 8]; 8];
            for (y, line) in block.iter_mut().enumerate() {
                let row = (by + y).min(height - 1) * width;
                for (x, v) in line.iter_mut().enumerate() {
                    *v = image[row + (bx + x).min(width - 1)] - 128.0;
                }
            }
            let mut freq = both_ways(&block, basis, true);
            for (line, steps) in freq.iter_mut().zip(table.chunks_exact(8)) {
                for (v, q) in line.iter_mut().zip(steps) {
                    *v = (*v / q).round() * q;
                }
            }
            let back = both_ways(&freq, basis, false);
            for (y, line) in back.iter().enumerate().take(height - by) {
                for (x, v) in line.iter().enumerate().take(width - bx) {
                    image[(by + y) * width + bx + x] = (v + 128.0).clamp(0.0, 255.0);
                }
            }
        }
    }
}

fn both_ways(block: &[[f32; 8]; 8], basis: &[[f32; 8]; 8], forward: bool) -> [[f32; 8]; 8] {
    let weight = |u: usize, x: usize| if forward { basis[u][x] } else { basis[x][u] };
    let mut half = [[0.0f32; 8]; 8];
    for (out, line) in half.iter_mut().zip(block) {
        for (u, o) in out.iter_mut().enumerate() {
            *o = (0..8).map(|x| line[x] * weight(u, x)).sum();
        }
    }
    let mut full = [[0.0f32; 8]; 8];
    for (v, out) in full.iter_mut().enumerate() {
        for (y, line) in half.iter().enumerate() {
            let w = weight(v, y);
            for (o, h) in out.iter_mut().zip(line) {
                *o += h * w;
            }
        }
    }
    full
}

/// A Gaussian blur of `sigma` pixels, in place.
pub(crate) fn blur(image: &mut [f32], width: usize, height: usize, sigma: f32) {
    if sigma < 0.2 {
        return;
    }
    let half = (2.5 * sigma).ceil() as usize;
    let mut kernel: Vec<f32> = (0..=half)
        .map(|k| (-0.5 * (k as f32 / sigma).powi(2)).exp())
        .collect();
    let sum = 2.0 * kernel.iter().sum::<f32>() - 1.0;
    for w in &mut kernel {
        *w /= sum;
    }
    let mut other = vec![0.0f32; image.len()];
    for y in 0..height {
        let line = &image[y * width..(y + 1) * width];
        for x in 0..width {
            let mut v = line[x] * kernel[0];
            for (k, w) in kernel.iter().enumerate().skip(1) {
                v += w * (line[x.saturating_sub(k)] + line[(x + k).min(width - 1)]);
            }
            other[y * width + x] = v;
        }
    }
    for y in 0..height {
        for x in 0..width {
            let at = |r: usize| other[r * width + x];
            let mut v = at(y) * kernel[0];
            for (k, w) in kernel.iter().enumerate().skip(1) {
                v += w * (at(y.saturating_sub(k)) + at((y + k).min(height - 1)));
            }
            image[y * width + x] = v;
        }
    }
}
