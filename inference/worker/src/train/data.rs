//! Training images in memory, and what is done to them before each presentation.

use std::thread;

use sonode_phantom::gates::{self, ViewClass};
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
    draw(first_seed, count, threads, |seed| {
        Some(training::sample(seed, split))
    })
}

/// About a third of `count` images of anything but an apical view, from consecutive seeds.
pub(super) fn draw_other_views(
    first_seed: u64,
    count: usize,
    split: Split,
    threads: usize,
) -> Vec<Vec<u8>> {
    draw(first_seed, count, threads, |seed| {
        let image = gates::view_sample(seed, split, SIDE);
        (image.class == ViewClass::Other).then_some(image.pixels)
    })
}

fn draw<T: Send>(
    first_seed: u64,
    count: usize,
    threads: usize,
    image: impl Fn(u64) -> Option<T> + Copy + Send,
) -> Vec<T> {
    let share = count.div_ceil(threads.max(1)).max(1);
    let seeds: Vec<u64> = (0..count as u64).map(|i| first_seed + i).collect();
    thread::scope(|scope| {
        let draws: Vec<_> = seeds
            .chunks(share)
            .map(|seeds| {
                scope.spawn(move || {
                    seeds
                        .iter()
                        .filter_map(|seed| image(*seed))
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
    let mut input = warp.apply(&image.pixels, bilinear);
    let labels = warp.apply(&image.labels, nearest);
    if draw.chance(0.25) {
        open_valve(&mut input, &labels, draw);
    }
    if draw.chance(0.25) {
        soften(&mut input);
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

/// An image without an apical view: another view, an apical one cut into tiles that are put together wrongly, or noise.
/// The network learns from them that a ventricle is a whole with its neighbours, and not a texture.
pub(super) fn negative(image: &TrainingImage, other_views: &[Vec<u8>], draw: &mut Draw) -> Sample {
    let mut input = match draw.range(0.0, 1.0) {
        kind if kind < 0.6 && !other_views.is_empty() => {
            let warp = Warp::draw(draw);
            warp.apply(&other_views[draw.index(other_views.len())], bilinear)
        }
        kind if kind < 0.85 => shuffled(image, draw),
        _ => noise(draw),
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

    /// The presented image, each pixel looked up in the source.
    fn apply<T>(&self, source: &[u8], look_up: fn(&[u8], f32, f32) -> T) -> Vec<T> {
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

/// Paints out the leaflets: what lies around the line between ventricle and atrium becomes as dark and as speckled as
/// the cavity is. Wide open leaflets often can't be seen, and the annulus must then be told from the walls alone.
fn open_valve(input: &mut [f32], labels: &[u8], draw: &mut Draw) {
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
fn soften(input: &mut [f32]) {
    let blur = |values: &mut [f32], step: usize, starts: &mut dyn Iterator<Item = usize>| {
        for start in starts {
            let mut before = values[start];
            for i in 1..SIDE - 1 {
                let at = start + i * step;
                let own = values[at];
                values[at] = 0.25 * before + 0.5 * own + 0.25 * values[at + step];
                before = own;
            }
        }
    };
    blur(input, 1, &mut (0..SIDE).map(|row| row * SIDE));
    blur(input, SIDE, &mut (0..SIDE));
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

    #[test]
    fn a_negative_shows_nothing_of_the_heart() {
        let image = training::sample(12, Split::Train);
        let mut draw = Draw::new(3, 4);
        let others = draw_other_views(1, 9, Split::Train, 1);
        assert!(!others.is_empty());
        for _ in 0..8 {
            let sample = negative(&image, &others, &mut draw);
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
