//! Training images in memory, and what is done to them before each presentation.

use std::thread;

use sonode_phantom::ranges::Split;
use sonode_phantom::rng::Draw;
use sonode_phantom::training::{self, TrainingImage, label};

use crate::models::scale_to_brightest;
use crate::net::LABELS;

/// Side of an image.
pub(super) const SIDE: usize = training::SIZE;

/// Pixels of an image.
const PIXELS: usize = SIDE * SIDE;

/// Percentile of the luma that counts as the brightest, in training and ever after.
pub(super) const BRIGHTEST_PERCENTILE: f64 = 99.0;

/// The phantom's class of each of the network's labels.
const CLASSES: [u8; LABELS.len()] = [label::LV, label::MYOCARDIUM, label::LA, label::RIGHT];

/// The images of consecutive seeds, drawn on `threads` threads; the result doesn't depend on their number.
pub(super) fn draw_images(
    first_seed: u64,
    count: usize,
    split: Split,
    threads: usize,
) -> Vec<TrainingImage> {
    let share = count.div_ceil(threads.max(1)).max(1);
    let seeds: Vec<u64> = (0..count as u64).map(|i| first_seed + i).collect();
    thread::scope(|scope| {
        let draws: Vec<_> = seeds
            .chunks(share)
            .map(|seeds| {
                scope.spawn(move || {
                    seeds
                        .iter()
                        .map(|seed| training::sample(*seed, split))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        // A panic of the generator is a defect, not a result: it goes on in the caller.
        draws
            .into_iter()
            .flat_map(|draw| {
                draw.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// One presentation: input `[side, side]` and masks `[labels, side, side]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Scaled luma.
    pub(super) input: Vec<f32>,
    /// 0 or 1.
    pub(super) masks: Vec<f32>,
}

/// An image as it is, for scoring.
pub(super) fn plain(image: &TrainingImage) -> Sample {
    let mut input: Vec<f32> = image.pixels.iter().map(|pixel| f32::from(*pixel)).collect();
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: masks(&image.labels),
    }
}

/// An image mirrored, turned, scaled, shifted, with another gamma, noise and part of it cut out, each at random.
pub(super) fn augmented(image: &TrainingImage, draw: &mut Draw) -> Sample {
    let warp = Warp::draw(draw);
    let mut input = Vec::with_capacity(PIXELS);
    let mut labels = Vec::with_capacity(PIXELS);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let [u, v] = warp.source(x as f32, y as f32);
            input.push(bilinear(&image.pixels, u, v));
            labels.push(nearest(&image.labels, u, v));
        }
    }
    recolour(&mut input, draw);
    if draw.chance(0.35) {
        cut_out(&mut input, draw);
    }
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: masks(&labels),
    }
}

/// An image that shows no heart: an image of one cut into tiles that are put together wrongly, or noise. The network
/// learns from them that a ventricle is a whole with its neighbours, and not a texture.
pub(super) fn negative(image: &TrainingImage, draw: &mut Draw) -> Sample {
    let mut input = if draw.chance(0.75) {
        shuffled(image, draw)
    } else {
        noise(draw)
    };
    recolour(&mut input, draw);
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: vec![0.0; LABELS.len() * PIXELS],
    }
}

/// Square tiles of an image in another order, each mirrored or turned upside down at random.
fn shuffled(image: &TrainingImage, draw: &mut Draw) -> Vec<f32> {
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
            f32::from(image.pixels[row * SIDE + column])
        })
        .collect()
}

/// Noise of some coarseness, level and contrast.
fn noise(draw: &mut Draw) -> Vec<f32> {
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

fn masks(labels: &[u8]) -> Vec<f32> {
    CLASSES
        .iter()
        .flat_map(|class| {
            labels
                .iter()
                .map(move |label| f32::from(u8::from(label == class)))
        })
        .collect()
}

/// An affine map from the presented image back to the source.
#[derive(Debug, Clone, Copy)]
struct Warp {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Warp {
    fn draw(draw: &mut Draw) -> Self {
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

    fn source(&self, x: f32, y: f32) -> [f32; 2] {
        let centre = (SIDE as f32 - 1.0) / 2.0;
        let (dx, dy) = (x - centre - self.shift[0], y - centre - self.shift[1]);
        self.matrix.map(|row| row[0] * dx + row[1] * dy + centre)
    }
}

fn nearest(values: &[u8], u: f32, v: f32) -> u8 {
    let (x, y) = (u.round(), v.round());
    let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
    if inside {
        values[y as usize * SIDE + x as usize]
    } else {
        0
    }
}

fn bilinear(values: &[u8], u: f32, v: f32) -> f32 {
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
fn recolour(input: &mut [f32], draw: &mut Draw) {
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

/// One to three rectangles of one grey: what lies behind must be inferred from around them.
fn cut_out(input: &mut [f32], draw: &mut Draw) {
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
    use super::*;

    #[test]
    fn images_depend_on_the_seed_and_not_on_the_threads() {
        let one = draw_images(5, 3, Split::Train, 1);
        let two = draw_images(5, 3, Split::Train, 2);
        assert_eq!(one, two);
        assert_ne!(one[0].pixels, one[1].pixels);
    }

    #[test]
    fn a_negative_shows_nothing_of_the_heart() {
        let image = training::sample(12, Split::Train);
        let mut draw = Draw::new(3, 4);
        for _ in 0..8 {
            let sample = negative(&image, &mut draw);
            assert_eq!(sample.input.len(), PIXELS);
            assert!(sample.masks.iter().all(|mask| *mask == 0.0));
            assert_ne!(sample.input, plain(&image).input);
        }
    }

    #[test]
    fn a_presentation_depends_on_its_draw_and_keeps_masks_apart() {
        let image = training::sample(11, Split::Train);
        let one = augmented(&image, &mut Draw::new(1, 2));
        assert_eq!(one, augmented(&image, &mut Draw::new(1, 2)));
        assert_ne!(one.input, augmented(&image, &mut Draw::new(2, 2)).input);
        for pixel in 0..PIXELS {
            let sum: f32 = (0..LABELS.len())
                .map(|l| one.masks[l * PIXELS + pixel])
                .sum();
            assert!(sum <= 1.0);
        }
        assert!(one.input.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(plain(&image).masks[..PIXELS].iter().sum::<f32>() > 50.0);
    }
}
