//! Small images for the networks that decide whether a cine is measured: which view, and how much can be seen.

use crate::acquire::{Ring, Scene};
use crate::anatomy::View;
use crate::ranges::Split;
use crate::rng::Draw;
use crate::scan_convert::Raster;
use crate::spec::Quality;
use crate::training::{self, Case, TrainingImage, label};

/// What a view network tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewClass {
    /// Apical four-chamber.
    A4c,
    /// Apical two-chamber.
    A2c,
    /// Anything else: parasternal long and short axis, a sector without a heart, an M-mode strip.
    Other,
}

/// One image for a view network. `pixels` is `[size, size]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewImage {
    /// Side in pixels.
    pub size: usize,
    /// Grey, 0 to 255.
    pub pixels: Vec<u8>,
    /// What it shows.
    pub class: ViewClass,
}

/// Draws the view image of `seed`; the three classes are equally frequent. The same seed and size give the same bytes.
pub fn view_sample(seed: u64, split: Split, size: usize) -> ViewImage {
    let mut rng = Draw::keyed([seed, split.tag(), 0x7669_6577, 0]);
    let class = [ViewClass::A4c, ViewClass::A2c, ViewClass::Other][rng.index(3)];
    let mut case = Case::draw(seed, split, 0x1000);
    case.view = if class == ViewClass::A2c {
        View::A2c
    } else {
        View::A4c
    };
    if class == ViewClass::A2c {
        case.heart.rv_width = 0.0;
        case.heart.moderator = None;
    } else if case.heart.rv_width <= 0.0 {
        case.heart.rv_width = rng.range(2.0, 4.6);
    }
    let pixels = match class {
        ViewClass::Other => other(&mut rng, &mut case, size),
        ViewClass::A4c | ViewClass::A2c => apical(&mut rng, &case, size),
    };
    ViewImage {
        size,
        pixels,
        class,
    }
}

fn apical(rng: &mut Draw, case: &Case, size: usize) -> Vec<u8> {
    let raster = training::frame(rng, &case.scanner);
    training::picture(
        rng,
        &case.scanner,
        &raster,
        &Scene::Apical(&case.slice()),
        size,
    )
}

fn other(rng: &mut Draw, case: &mut Case, size: usize) -> Vec<u8> {
    let raster = training::frame(rng, &case.scanner);
    match rng.index(8) {
        0..=2 => long_axis(rng, case, &raster, size),
        3..=5 => short_axis(rng, case, &raster, size),
        6 => training::picture(rng, &case.scanner, &raster, &Scene::Empty, size),
        _ => training::finish(rng, strip(case, raster.width, raster.height), &raster, size),
    }
}

/// The heart as from beside the breast bone, along its axis.
fn long_axis(rng: &mut Draw, case: &mut Case, raster: &Raster, size: usize) -> Vec<u8> {
    case.pose.rotation = rng.sign() * rng.range(70.0f32, 110.0).to_radians();
    // The axis lies across: the apex starts on the side that the axis points away from.
    let side = case.pose.rotation.signum() * rng.range(0.4, 0.75) * case.heart.length;
    case.pose.apex = [side, rng.range(4.5, 9.0)];
    let slice = case.slice();
    training::picture(rng, &case.scanner, raster, &Scene::Apical(&slice), size)
}

/// The ventricle cut across.
fn short_axis(rng: &mut Draw, case: &Case, raster: &Raster, size: usize) -> Vec<u8> {
    let lv = case.heart.at(case.cycle.at(case.time).contraction);
    let ring = Ring {
        centre: [
            rng.range(-1.5, 1.5),
            rng.range(0.3, 0.65) * case.scanner.depth,
        ],
        radius: lv.radius,
        wall: lv.wall,
        radius_ed: lv.radius_ed,
    };
    training::picture(rng, &case.scanner, raster, &Scene::ShortAxis(ring), size)
}

/// One image for a quality network. `pixels` is `[size, size]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitnessImage {
    /// Side in pixels.
    pub size: usize,
    /// Grey, 0 to 255.
    pub pixels: Vec<u8>,
    /// Whether a ventricle, in whatever view, can be read: false where the image was spoilt.
    pub fit: bool,
}

/// Draws the quality image of `seed`: every second one is spoilt, two in three are apical. The same seed and size give
/// the same bytes.
pub fn fitness_sample(seed: u64, split: Split, size: usize) -> FitnessImage {
    let mut rng = Draw::keyed([seed, split.tag(), 0x6669_746e, 0]);
    let mut case = Case::draw(seed, split, 0x2000);
    let quality = match rng.index(4) {
        0 => Quality::Good,
        1 => Quality::Fair,
        _ => Quality::Poor,
    };
    case.scanner.set_quality(&mut rng, quality);
    let pixels = if quality == Quality::Poor && rng.chance(0.08) {
        let raster = training::frame(&mut rng, &case.scanner);
        training::picture(&mut rng, &case.scanner, &raster, &Scene::Empty, size)
    } else if rng.chance(0.67) {
        apical(&mut rng, &case, size)
    } else {
        let raster = training::frame(&mut rng, &case.scanner);
        if rng.chance(0.5) {
            long_axis(&mut rng, &mut case, &raster, size)
        } else {
            short_axis(&mut rng, &case, &raster, size)
        }
    };
    FitnessImage {
        size,
        pixels,
        fit: quality != Quality::Poor,
    }
}

/// A time-motion strip: walls as bands that move with the beat.
fn strip(case: &Case, width: usize, height: usize) -> Vec<f32> {
    let beats = 1.0 + case.time * 3.0;
    let mut grey = vec![0.0f32; width * height];
    for x in 0..width {
        let contraction = case.cycle.at(beats * x as f32 / width as f32).contraction;
        let ventricle = case.heart.at(contraction);
        let middle = 0.5 * case.scanner.depth;
        for y in 0..height {
            let depth = y as f32 / height as f32 * case.scanner.depth;
            let off = (depth - middle).abs() - ventricle.radius;
            let [re, im] = case.scanner.field.at(x as f32 * 0.05, depth * 2.0);
            let level = if (0.0..ventricle.wall).contains(&off) {
                150.0
            } else {
                25.0
            };
            grey[y * width + x] = (level * (re * re + im * im).sqrt()).min(255.0);
        }
    }
    grey
}

/// Segments of the wall that visibility is counted over.
const SEGMENTS: usize = 12;

/// The part of the ventricle's wall, 0 to 1, that can be told from its cavity: of twelve segments around the cavity's
/// centre, those whose mean is above the cavity's by at least 5 of 255 and a quarter of the cavity's spread. A segment
/// that the sector or the crop cuts off counts as unseen; the mitral valve's segments have no wall and don't count.
pub fn visibility(image: &TrainingImage) -> f32 {
    let cavity = places(image, label::LV);
    let wall = places(image, label::MYOCARDIUM);
    let n = cavity.len().max(1) as f32;
    let centre = cavity
        .iter()
        .fold([0.0; 2], |c, p| [c[0] + p.0 / n, c[1] + p.1 / n]);
    let mean = cavity.iter().map(|p| p.2).sum::<f32>() / n;
    let spread = (cavity.iter().map(|p| (p.2 - mean).powi(2)).sum::<f32>() / n).sqrt();
    let mut sums = [(0.0f32, 0.0f32); SEGMENTS];
    for (x, y, value) in wall {
        let turn = (y - centre[1]).atan2(x - centre[0]) / std::f32::consts::TAU + 0.5;
        let (sum, count) = &mut sums[((turn * SEGMENTS as f32) as usize).min(SEGMENTS - 1)];
        *sum += value;
        *count += 1.0;
    }
    let seen = sums
        .iter()
        .filter(|(sum, count)| *count > 3.0 && sum / count - mean >= 5.0f32.max(0.25 * spread))
        .count();
    // Two segments of twelve look at the valve.
    (seen as f32 / (SEGMENTS - 2) as f32).min(1.0)
}

/// Column, row and grey of a class's pixels.
fn places(image: &TrainingImage, class: u8) -> Vec<(f32, f32, f32)> {
    image
        .labels
        .iter()
        .zip(&image.pixels)
        .enumerate()
        .filter(|(_, (l, _))| **l == class)
        .map(|(k, (_, p))| {
            (
                (k % image.size) as f32,
                (k / image.size) as f32,
                f32::from(*p),
            )
        })
        .collect()
}
