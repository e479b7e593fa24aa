//! Training images: one random frame of one random case, small, with the classes of its pixels.

use crate::acquire::{Acquisition, Scene};
use crate::anatomy::{Heart, Pose, SizeLaw, View};
use crate::degrade;
use crate::motion::Cycle;
use crate::overlay::{Canvas, scatter_overlays};
use crate::ranges::{self, Split};
use crate::rng::Draw;
use crate::scan_convert::{Converter, Raster, shrink, tone};
use crate::scanner::Scanner;
use crate::shape::{Slice, Tissue};
use crate::style::Style;

/// The side that the built-in networks read, pixels.
pub const SIZE: usize = 112;

/// What a pixel shows: the values of [`TrainingImage::labels`].
pub mod label {
    /// Anything else.
    pub const BACKGROUND: u8 = 0;
    /// Left ventricular cavity, papillary muscles and leaflets included, up to the annulus.
    pub const LV: u8 = 1;
    /// Left ventricular wall.
    pub const MYOCARDIUM: u8 = 2;
    /// Left atrium.
    pub const LA: u8 = 3;
    /// Right ventricle and right atrium.
    pub const RIGHT: u8 = 4;
}

/// One training image. `pixels` and `labels` are `[size, size]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingImage {
    /// Side in pixels.
    pub size: usize,
    /// Grey, 0 to 255.
    pub pixels: Vec<u8>,
    /// Class of each pixel, see [`label`].
    pub labels: Vec<u8>,
    /// The view.
    pub view: View,
    /// Whether the image is mirrored left to right.
    pub mirrored: bool,
}

/// The parameters behind a training image.
#[derive(Clone, Debug)]
pub struct Case {
    /// The heart.
    pub heart: Heart,
    /// Its place.
    pub pose: Pose,
    /// The scanner.
    pub scanner: Scanner,
    /// The cycle.
    pub cycle: Cycle,
    /// The view.
    pub view: View,
    /// The device style.
    pub style: Style,
    /// True ejection fraction, percent.
    pub lvef_percent: f32,
    /// Heart rate per minute.
    pub heart_rate: f32,
    /// The frame's place in the cycle, a fraction of RR.
    pub time: f32,
}

impl Case {
    /// Draws the case of `seed`; `attempt` counts redraws.
    pub fn draw(seed: u64, split: Split, attempt: u64) -> Self {
        let mut rng = Draw::new(seed, split.tag() ^ (attempt << 8));
        let view = if rng.chance(0.85) {
            View::A4c
        } else {
            View::A2c
        };
        // Small cavities and end systole are where a network over-segments, so they come more often.
        let small = rng.chance(0.40);
        let lvef_percent = {
            let drawn = ranges::LVEF_PERCENT.draw(&mut rng, split);
            let high = rng.range(50.0, ranges::LVEF_PERCENT.train.hi);
            if small && rng.chance(0.6) {
                high
            } else {
                drawn
            }
        };
        let law = SizeLaw {
            edv_ml: if small { (45.0, 95.0) } else { (60.0, 250.0) },
            lvef_percent,
        };
        let heart = Heart::draw(&mut rng, law, view);
        let pose = Pose::draw(&mut rng, split);
        let cycle = Cycle::draw(&mut rng);
        let depth = draw_depth(&mut rng, split, &heart, &pose);
        let scanner = Scanner::draw(&mut rng, split, depth);
        let pick = rng.range(0.0, 1.0);
        let time = if pick < 0.42 {
            (cycle.systole + rng.normal() * 0.05).clamp(0.1, 0.6)
        } else if pick < 0.58 {
            (rng.normal() * 0.03).rem_euclid(1.0)
        } else {
            rng.range(0.0, 1.0)
        };
        Self {
            heart,
            pose,
            scanner,
            cycle,
            view,
            style: Style::draw(&mut rng, split),
            lvef_percent,
            heart_rate: ranges::HEART_RATE.draw(&mut rng, split),
            time,
        }
    }

    /// The heart at the case's time, cut by the plane.
    pub(crate) fn slice(&self) -> Slice {
        let phase = self.cycle.at(self.time);
        Slice::new(
            &self.heart,
            self.pose,
            self.view,
            phase,
            &self.scanner.dropouts,
        )
    }
}

/// A depth that shows the ventricle and some atrium below it.
fn draw_depth(rng: &mut Draw, split: Split, heart: &Heart, pose: &Pose) -> f32 {
    let axis = &ranges::DEPTH_CM;
    let least = pose.apex[1] + heart.length * pose.rotation.cos();
    let any = axis.draw(rng, split);
    let fitted = (least + rng.range(0.6, 5.8)).clamp(axis.train.lo, axis.train.hi);
    if axis.train.contains(any) {
        fitted
    } else {
        any
    }
}

/// How the crop lies over the fan, and how finely the source was sampled.
pub(crate) fn frame(rng: &mut Draw, scanner: &Scanner) -> Raster {
    let fan_w = 2.0 * scanner.depth * scanner.half_angle.sin();
    let fan_h = scanner.depth;
    // A crop may cut a little off the fan, or leave up to two fifths of its side empty.
    let (w, h) = (fan_w * rng.range(0.92, 1.45), fan_h * rng.range(0.95, 1.35));
    let (w, h) = if rng.chance(0.3) {
        (w.max(h), w.max(h))
    } else {
        (w, h)
    };
    let rows = rng.log_range(130.0, 380.0);
    let px = h / rows;
    let aspect = if rng.chance(0.15) {
        rng.range(0.85, 1.18)
    } else {
        1.0
    };
    let columns = (w / (px * aspect)).clamp(90.0, 420.0);
    let slack = |have: f32, need: f32, rng: &mut Draw| (have - need) * rng.range(0.1, 0.9);
    let left = slack(w, fan_w, rng) + 0.5 * fan_w;
    let top = slack(h, fan_h, rng);
    let (width, height) = (columns as usize, rows as usize);
    let across = w / columns;
    Raster {
        width,
        height,
        cm_per_px: [across, px],
        origin: [left / across, top / px],
        mirrored: rng.chance(0.3),
    }
}

/// Draws and renders the training image of `seed`, [`SIZE`] pixels to a side.
pub fn sample(seed: u64, split: Split) -> TrainingImage {
    sample_sized(seed, split, SIZE)
}

/// As [`sample`], with another side. The same seed and side give the same bytes.
pub fn sample_sized(seed: u64, split: Split, size: usize) -> TrainingImage {
    let mut attempt = 0;
    loop {
        let (image, seen) = render(seed, split, attempt, size);
        // A washed-out image teaches nothing, nor does a ventricle that the sector cuts off; after some redraws even
        // that is taken, so that the loop ends.
        if attempt >= 30 || (seen >= 0.8 && acceptable(&image)) {
            return image;
        }
        attempt += 1;
    }
}

/// Whether wall and cavity differ by at least 5 of 255, the cavity's mean is at most 150, and enough of it is seen.
fn acceptable(image: &TrainingImage) -> bool {
    let mean = |class: u8| {
        let (sum, n) = image
            .pixels
            .iter()
            .zip(&image.labels)
            .filter(|(_, l)| **l == class)
            .fold((0.0f32, 0.0f32), |(s, n), (p, _)| {
                (s + f32::from(*p), n + 1.0)
            });
        (n > 0.004 * (image.size * image.size) as f32).then(|| sum / n)
    };
    match (mean(label::LV), mean(label::MYOCARDIUM)) {
        (Some(cavity), Some(wall)) => cavity <= 150.0 && wall - cavity >= 5.0,
        _ => false,
    }
}

/// The image and the part of the cavity that lies within the sector and the crop.
fn render(seed: u64, split: Split, attempt: u64, size: usize) -> (TrainingImage, f32) {
    let case = Case::draw(seed, split, attempt);
    let mut rng = Draw::new(seed, split.tag() ^ (attempt << 8) ^ 0x80);
    let raster = frame(&mut rng, &case.scanner);
    let slice = case.slice();
    let pixels = picture(
        &mut rng,
        &case.scanner,
        &raster,
        &Scene::Apical(&slice),
        size,
    );
    let labels = labels(&case, &slice, &raster, size);
    let lv: u32 = labels.iter().map(|l| u32::from(*l == label::LV)).sum();
    let shown = lv as f32
        * (raster.cm_per_px[0] * raster.width as f32 / size as f32)
        * (raster.cm_per_px[1] * raster.height as f32 / size as f32);
    let seen = shown / slice.cavity_area().max(0.1);
    let image = TrainingImage {
        size,
        pixels,
        labels,
        view: case.view,
        mirrored: raster.mirrored,
    };
    (image, seen)
}

/// What a preprocessed crop of the scene looks like: `[size, size]`, row-major.
pub(crate) fn picture(
    rng: &mut Draw,
    scanner: &Scanner,
    raster: &Raster,
    scene: &Scene<'_>,
    size: usize,
) -> Vec<u8> {
    // About two beams and two samples to a source pixel at mid depth would be wasted at this size; one is enough.
    let beams = (0.55 * raster.width as f32).clamp(72.0, 160.0) as usize;
    let samples = (0.9 * raster.height as f32).clamp(150.0, 300.0) as usize;
    let polar = Acquisition::new(scanner, beams, samples).render(scanner, scene, 0);
    let mut grey = Vec::new();
    let outside = if rng.chance(0.2) {
        rng.range(0.0, 18.0)
    } else {
        0.0
    };
    let converter = Converter::new(raster, scanner, beams, samples);
    converter.convert(&polar, &tone(scanner), outside, &mut grey);
    finish(rng, grey, raster, size)
}

/// Overlays, blur, JPEG and the shrinking to the network's size.
pub(crate) fn finish(rng: &mut Draw, mut grey: Vec<f32>, raster: &Raster, size: usize) -> Vec<u8> {
    let (width, height) = (raster.width, raster.height);
    if rng.chance(0.55) {
        scatter_overlays(
            rng,
            &mut Canvas {
                pixels: &mut grey,
                width,
                height,
            },
        );
    }
    if rng.chance(0.5) {
        let sigma = rng.range(0.2, 1.4) * height as f32 / 240.0;
        degrade::blur(&mut grey, width, height, sigma);
    }
    if rng.chance(0.75) {
        degrade::jpeg_loss(&mut grey, width, height, rng.range(35.0, 96.0));
    }
    let small = shrink(&grey, width, height, size);
    small
        .iter()
        .map(|v| v.round().clamp(0.0, 255.0) as u8)
        .collect()
}

/// The class of every pixel of the small image, looked up at its centre; nothing outside the sector.
fn labels(case: &Case, slice: &Slice, raster: &Raster, size: usize) -> Vec<u8> {
    let scale = [
        raster.width as f32 / size as f32,
        raster.height as f32 / size as f32,
    ];
    let mut out = Vec::with_capacity(size * size);
    for row in 0..size {
        for column in 0..size {
            let [x, y] = raster.to_plane(
                (column as f32 + 0.5) * scale[0] - 0.5,
                (row as f32 + 0.5) * scale[1] - 0.5,
            );
            let r = x.hypot(y);
            let seen = y > 0.0
                && x.atan2(y).abs() < case.scanner.half_angle
                && r > case.scanner.near
                && r < case.scanner.depth;
            out.push(if seen {
                class(slice.locate(slice.to_heart(x, y)).tissue)
            } else {
                0
            });
        }
    }
    out
}

fn class(tissue: Tissue) -> u8 {
    match tissue {
        Tissue::Cavity => label::LV,
        Tissue::Wall => label::MYOCARDIUM,
        Tissue::La => label::LA,
        Tissue::Rv | Tissue::Ra => label::RIGHT,
        Tissue::Outside | Tissue::Thin | Tissue::Pericardium => label::BACKGROUND,
    }
}
