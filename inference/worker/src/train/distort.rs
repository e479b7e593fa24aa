//! What is done to an image before each presentation: nothing here knows what the image is for.

use sonode_phantom::rng::Draw;
use sonode_phantom::training::label;

use super::data::{PIXELS, SIDE};

/// Square tiles of an image in another order, each mirrored or turned upside down at random.
pub(super) fn shuffled(pixels: &[u8], draw: &mut Draw) -> Vec<f32> {
    // Each divides the side without a rest.
    let across = [4, 7, 8][draw.index(3)];
    let tile = SIDE / across;
    let mut order: Vec<usize> = (0..across * across).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, draw.index(i + 1));
    }
    let flips: Vec<[bool; 2]> = order
        .iter()
        .map(|_| [draw.chance(0.5), draw.chance(0.5)])
        .collect();
    let within = |at: usize, flip: bool| if flip { tile - 1 - at } else { at };
    (0..PIXELS)
        .map(|pixel| {
            let (x, y) = (pixel % SIDE, pixel / SIDE);
            let place = y / tile * across + x / tile;
            let (from, [mirror, invert]) = (order[place], flips[place]);
            let column = from % across * tile + within(x % tile, mirror);
            let row = from / across * tile + within(y % tile, invert);
            f32::from(pixels[row * SIDE + column])
        })
        .collect()
}

/// Noise of some coarseness, level and contrast.
pub(super) fn noise(draw: &mut Draw) -> Vec<f32> {
    let grain = [1, 2, 4, 7, 14][draw.index(5)];
    let (level, contrast) = (draw.range(0.0, 120.0), draw.range(0.0, 70.0));
    let across = SIDE / grain;
    let grains: Vec<f32> = (0..across * across)
        .map(|_| (level + contrast * draw.normal()).clamp(0.0, 255.0))
        .collect();
    (0..PIXELS)
        .map(|pixel| grains[pixel / SIDE / grain * across + pixel % SIDE / grain])
        .collect()
}

/// An affine map from the presented image back to the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warp {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Warp {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let mirror = if draw.chance(0.5) { -1.0 } else { 1.0 };
        let (sin, cos) = (draw.normal() * 7.0)
            .clamp(-20.0, 20.0)
            .to_radians()
            .sin_cos();
        let zoom = draw.log_range(0.85, 1.2);
        let aspect = draw.log_range(0.92, 1.09);
        let (across, down) = (mirror / (zoom * aspect), aspect / zoom);
        let shift = [draw.normal() * 4.0, draw.normal() * 4.0];
        Self {
            matrix: [[cos * across, sin * across], [-sin * down, cos * down]],
            shift,
        }
    }

    /// The presented image, each pixel looked up in the source.
    pub(super) fn apply<T>(&self, source: &[u8], look_up: fn(&[u8], f32, f32) -> T) -> Vec<T> {
        (0..PIXELS)
            .map(|pixel| {
                let [u, v] = self.source((pixel % SIDE) as f32, (pixel / SIDE) as f32);
                look_up(source, u, v)
            })
            .collect()
    }

    fn source(&self, x: f32, y: f32) -> [f32; 2] {
        let centre = (SIDE as f32 - 1.0) / 2.0;
        let (dx, dy) = (x - centre - self.shift[0], y - centre - self.shift[1]);
        self.matrix.map(|row| row[0] * dx + row[1] * dy + centre)
    }
}

pub(super) fn nearest(values: &[u8], u: f32, v: f32) -> u8 {
    let (x, y) = (u.round(), v.round());
    let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
    if inside {
        values[y as usize * SIDE + x as usize]
    } else {
        0
    }
}

pub(super) fn bilinear(values: &[u8], u: f32, v: f32) -> f32 {
    let last = SIDE as f32 - 1.0;
    if !(0.0..last).contains(&u) || !(0.0..last).contains(&v) {
        return f32::from(nearest(values, u, v));
    }
    let (x, y) = (u as usize, v as usize);
    let (fx, fy) = (u - x as f32, v - y as f32);
    let at = |dx: usize, dy: usize| f32::from(values[(y + dy) * SIDE + x + dx]);
    (1.0 - fy) * ((1.0 - fx) * at(0, 0) + fx * at(1, 0))
        + fy * ((1.0 - fx) * at(0, 1) + fx * at(1, 1))
}

/// Gamma, a pedestal, an S-shaped curve and noise: none of them moves an edge.
pub(super) fn recolour(input: &mut [f32], draw: &mut Draw) {
    let gamma = draw.log_range(0.65, 1.5);
    let bend = if draw.chance(0.3) {
        draw.range(0.0, 0.6)
    } else {
        0.0
    };
    let lift = if draw.chance(0.25) {
        draw.range(0.0, 18.0)
    } else {
        0.0
    };
    let noise = if draw.chance(0.3) {
        draw.range(0.0, 7.0)
    } else {
        0.0
    };
    for value in input {
        let share = (*value / 255.0).clamp(0.0, 1.0).powf(gamma);
        let curved = share * share * (3.0 - 2.0 * share);
        let mut luma = 255.0 * (share + bend * (curved - share));
        if luma > 0.5 {
            luma += lift;
        }
        if noise > 0.0 {
            luma += noise * draw.normal();
        }
        *value = luma.clamp(0.0, 255.0);
    }
}

/// Paints out the leaflets: what lies around the line between ventricle and atrium becomes as dark and as speckled as
/// the cavity is. Wide open leaflets often can't be seen, and the annulus must then be told from the walls alone.
pub(super) fn open_valve(input: &mut [f32], labels: &[u8], draw: &mut Draw) {
    let at = |x: usize, y: usize| labels[y * SIDE + x];
    let mut line: Vec<[f32; 2]> = Vec::new();
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let borders = [at(x - 1, y), at(x + 1, y), at(x, y - 1), at(x, y + 1)];
            if at(x, y) == label::LV && borders.contains(&label::LA) {
                line.push([x as f32, y as f32]);
            }
        }
    }
    let mut cavity: Vec<f32> = input
        .iter()
        .zip(labels)
        .filter(|(_, class)| **class == label::LV)
        .map(|(luma, _)| *luma)
        .collect();
    if line.is_empty() || cavity.len() < 30 {
        return;
    }
    cavity.sort_by(f32::total_cmp);
    // The darker part of the cavity is blood; the brighter one is what stands in it.
    let blood = &cavity[cavity.len() / 8..cavity.len() / 2];
    let reach = draw.range(4.0, 14.0);
    for (pixel, luma) in input.iter_mut().enumerate() {
        if !matches!(labels[pixel], label::LV | label::LA) {
            continue;
        }
        let (x, y) = ((pixel % SIDE) as f32, (pixel / SIDE) as f32);
        if line.iter().any(|p| (p[0] - x).hypot(p[1] - y) < reach) {
            *luma = luma.min(blood[draw.index(blood.len())]);
        }
    }
}

/// A binomial blur of three pixels each way.
pub(super) fn soften(input: &mut [f32]) {
    blur(input, [1, 1]);
}

/// Binomial blurs of three pixels: so many across, and so many down.
pub(super) fn blur(input: &mut [f32], [across, down]: [usize; 2]) {
    let once = |values: &mut [f32], step: usize, start: usize| {
        let mut before = values[start];
        for i in 1..SIDE - 1 {
            let at = start + i * step;
            let own = values[at];
            values[at] = 0.25 * before + 0.5 * own + 0.25 * values[at + step];
            before = own;
        }
    };
    for _ in 0..across {
        (0..SIDE).for_each(|row| once(input, 1, row * SIDE));
    }
    for _ in 0..down {
        (0..SIDE).for_each(|column| once(input, SIDE, column));
    }
}

/// One to three rectangles of one grey: what lies behind must be inferred from around them.
pub(super) fn cut_out(input: &mut [f32], draw: &mut Draw) {
    for _ in 0..=draw.index(3) {
        let (width, height) = (6 + draw.index(20), 6 + draw.index(20));
        let (left, top) = (draw.index(SIDE - width), draw.index(SIDE - height));
        let grey = if draw.chance(0.7) {
            draw.range(0.0, 40.0)
        } else {
            draw.range(40.0, 200.0)
        };
        for line in input.chunks_exact_mut(SIDE).skip(top).take(height) {
            line[left..left + width].fill(grey);
        }
    }
}

#[cfg(test)]
mod tests {
    use sonode_phantom::ranges::Split;
    use sonode_phantom::training;

    use super::*;

    #[test]
    fn an_open_valve_only_darkens_what_lies_around_the_annulus() {
        let image = training::sample(13, Split::Train);
        let before: Vec<f32> = image.pixels.iter().map(|pixel| f32::from(*pixel)).collect();
        let mut after = before.clone();
        open_valve(&mut after, &image.labels, &mut Draw::new(1, 1));
        assert_ne!(before, after);
        for (pixel, (before, after)) in before.iter().zip(&after).enumerate() {
            let inside = matches!(image.labels[pixel], label::LV | label::LA);
            assert!(after <= before && (inside || (before - after).abs() < f32::EPSILON));
        }
    }

    #[test]
    fn softening_keeps_a_constant() {
        let mut grey = vec![7.0; PIXELS];
        soften(&mut grey);
        assert!(grey.iter().all(|value| (value - 7.0).abs() < 1e-5));
    }
}
