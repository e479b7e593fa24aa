//! Other devices' looks: what a view network must not lean on is drawn anew at each presentation.
//!
//! Luma of an echo is compressed, so that a gain in decibels is an addition here, and a dynamic range a slope. What is
//! black stays black: no gain lights up what lies outside the sector.

use std::array;

use sonode_phantom::rng::Draw;

use super::data::{PIXELS, SIDE};
use super::distort::blur;

/// Luma up to which a pixel counts as outside the sector.
const BLACK: f32 = 1.5;

/// Share of presentations that keep the look of their image.
const KEPT: f32 = 0.15;

/// Another resolution, gain, dynamic range, grey curve, noise and haze, each at random.
pub(super) fn restyle(input: &mut [f32], draw: &mut Draw) {
    if draw.chance(KEPT) {
        return;
    }
    if draw.chance(0.25) {
        coarsen(input, draw);
    }
    if draw.chance(0.4) {
        // Beams are wider than they are long.
        blur(input, [draw.index(5), draw.index(3)]);
    }
    if draw.chance(0.2) {
        sharpen(input, draw.range(0.3, 1.5));
    }
    if draw.chance(0.3) {
        haze(input, draw);
    }
    if draw.chance(0.8) {
        amplify(input, draw);
    }
    if draw.chance(0.5) {
        speckle(input, draw);
    }
    if draw.chance(0.6) {
        let gamma = draw.log_range(0.6, 1.7);
        for value in input.iter_mut() {
            *value = 255.0 * (*value / 255.0).clamp(0.0, 1.0).powf(gamma);
        }
    }
}

/// Means of square cells, spread out again between the cells' centres.
fn coarsen(input: &mut [f32], draw: &mut Draw) {
    let across = 40 + draw.index(40);
    let cell = SIDE as f32 / across as f32;
    let mut sums = vec![[0.0f32; 2]; across * across];
    for (pixel, value) in input.iter().enumerate() {
        let [x, y] = [pixel % SIDE, pixel / SIDE].map(|at| ((at as f32 + 0.5) / cell) as usize);
        let [sum, count] = &mut sums[y.min(across - 1) * across + x.min(across - 1)];
        *sum += value;
        *count += 1.0;
    }
    let last = across as f32 - 1.001;
    for (pixel, value) in input.iter_mut().enumerate() {
        let [u, v] = [pixel % SIDE, pixel / SIDE]
            .map(|at| ((at as f32 + 0.5) / cell - 0.5).clamp(0.0, last));
        let (x, y) = (u as usize, v as usize);
        let (fx, fy) = (u - x as f32, v - y as f32);
        let at = |dx: usize, dy: usize| {
            let [sum, count] = sums[(y + dy) * across + x + dx];
            sum / count.max(1.0)
        };
        *value = (1.0 - fy) * ((1.0 - fx) * at(0, 0) + fx * at(1, 0))
            + fy * ((1.0 - fx) * at(0, 1) + fx * at(1, 1));
    }
}

/// Edges stand out as after a scanner's edge enhancement.
fn sharpen(input: &mut [f32], strength: f32) {
    let mut soft = input.to_vec();
    blur(&mut soft, [1, 1]);
    for (value, soft) in input.iter_mut().zip(soft) {
        *value = (*value + strength * (*value - soft)).clamp(0.0, 255.0);
    }
}

/// One to three clouds, as bright as the brighter of cloud and image.
fn haze(input: &mut [f32], draw: &mut Draw) {
    for _ in 0..=draw.index(3) {
        let centre = array::from_fn::<f32, 2, _>(|_| draw.range(0.05, 0.95) * SIDE as f32);
        let reach = array::from_fn::<f32, 2, _>(|_| draw.range(4.0, 26.0));
        let level = draw.range(20.0, 130.0);
        for (pixel, value) in input.iter_mut().enumerate().filter(|(_, v)| **v > BLACK) {
            let (x, y) = ((pixel % SIDE) as f32, (pixel / SIDE) as f32);
            let off = ((x - centre[0]) / reach[0]).powi(2) + ((y - centre[1]) / reach[1]).powi(2);
            *value = value.max(level * (-off).exp());
        }
    }
}

/// Gain overall, by depth, towards the sector's edges and in a shadow; then the display's dynamic range.
fn amplify(input: &mut [f32], draw: &mut Draw) {
    let overall = 22.0 * draw.normal();
    let by_depth: [f32; 5] = array::from_fn(|_| 14.0 * draw.normal());
    let edge_drop = if draw.chance(0.4) {
        draw.range(0.0, 110.0)
    } else {
        0.0
    };
    let shadow = draw.chance(0.25).then(|| {
        [
            draw.range(-0.9, 0.9),
            draw.range(0.05, 0.4),
            draw.range(20.0, 140.0),
        ]
    });
    let slope = draw.log_range(0.7, 1.6);
    let pivot = draw.range(90.0, 255.0);
    // The sector's apex lies about the middle of the upper edge, and it opens by about 40 degrees to either side.
    let half_angle = 40f32.to_radians();
    for (pixel, value) in input.iter_mut().enumerate().filter(|(_, v)| **v > BLACK) {
        let (x, y) = ((pixel % SIDE) as f32, (pixel / SIDE) as f32);
        let aside = (x - SIDE as f32 / 2.0).atan2(y + 1.0) / half_angle;
        let depth = y / SIDE as f32 * 4.0;
        let (knot, part) = ((depth as usize).min(3), depth.fract());
        let mut gain = overall + by_depth[knot] * (1.0 - part) + by_depth[knot + 1] * part
            - edge_drop * aside.abs().powi(3).min(1.0);
        if let Some([centre, half, loss]) = shadow {
            let off = (aside - centre).abs() / half;
            gain -= loss * (1.0 - off).clamp(0.0, 0.5) * 2.0;
        }
        *value = (pivot + slope * (*value + gain - pivot)).clamp(0.0, 255.0);
    }
}

/// Noise of some grain: over the image, or a floor that rises with depth as an amplified one does.
fn speckle(input: &mut [f32], draw: &mut Draw) {
    let mut grains: Vec<f32> = (0..PIXELS).map(|_| draw.normal()).collect();
    let passes = [draw.index(4), draw.index(3)];
    blur(&mut grains, passes);
    let spread = (grains.iter().map(|g| g * g).sum::<f32>() / PIXELS as f32).sqrt();
    let strength = draw.range(0.0, 28.0) / spread.max(1e-6);
    let floor = draw.chance(0.5).then(|| draw.range(-40.0, 70.0));
    for (pixel, value) in input.iter_mut().enumerate().filter(|(_, v)| **v > BLACK) {
        let noise = strength * grains[pixel];
        *value = match floor {
            Some(level) => value.max(level * (pixel / SIDE) as f32 / SIDE as f32 + noise),
            None => *value + noise,
        }
        .clamp(0.0, 255.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_differ_and_black_stays_black() {
        let image: Vec<f32> = (0..PIXELS)
            .map(|pixel| {
                if pixel % SIDE < 8 {
                    0.0
                } else {
                    (pixel / SIDE) as f32 + 60.0
                }
            })
            .collect();
        let mut draw = Draw::new(4, 4);
        let mut kept = 0;
        for _ in 0..60 {
            let mut input = image.clone();
            restyle(&mut input, &mut draw);
            assert!(input.iter().all(|value| (0.0..=255.0).contains(value)));
            // Blurs reach a few pixels beyond the edge, and no gain reaches further.
            assert!(input.chunks_exact(SIDE).all(|line| line[0] <= BLACK));
            kept += usize::from(input == image);
        }
        assert!((1..30).contains(&kept), "{kept}");
    }

    #[test]
    fn a_coarse_image_keeps_its_level_and_loses_its_grain() {
        let mut draw = Draw::new(9, 9);
        let image: Vec<f32> = (0..PIXELS).map(|_| draw.range(0.0, 200.0)).collect();
        let mut coarse = image.clone();
        coarsen(&mut coarse, &mut draw);
        let mean = |values: &[f32]| values.iter().sum::<f32>() / PIXELS as f32;
        let spread = |values: &[f32]| {
            let mean = mean(values);
            values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / PIXELS as f32
        };
        assert!((mean(&image) - mean(&coarse)).abs() < 3.0);
        assert!(spread(&coarse) < 0.7 * spread(&image));
    }
}
