//! Maps on the network's grid, and how that grid lies over the crop.

use std::ops::Range;

use crate::clip::Clip;
use crate::models::manifest::{Fit, Input};

/// A map of `height` x `width` values, row-major; the value at (x, y) belongs to the pixel's centre (x + 0.5, y + 0.5).
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The values, `[height, width]`.
    pub values: Vec<f32>,
}

impl Grid {
    /// A map of one value.
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        Self {
            width,
            height,
            values: vec![value; width * height],
        }
    }

    /// The value of one pixel; 0 outside, so that a structure cut by the border is closed there.
    pub fn at(&self, x: isize, y: isize) -> f32 {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return 0.0;
        };
        if x >= self.width || y >= self.height {
            return 0.0;
        }
        self.values[y * self.width + x]
    }

    /// The value at a point, bilinear between pixel centres.
    pub fn sample(&self, point: [f64; 2]) -> f64 {
        let (x, y) = (point[0] - 0.5, point[1] - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (x0, y0) = (x0 as isize, y0 as isize);
        let value = |dx, dy| f64::from(self.at(x0 + dx, y0 + dy));
        (1.0 - fy) * ((1.0 - fx) * value(0, 0) + fx * value(1, 0))
            + fy * ((1.0 - fx) * value(0, 1) + fx * value(1, 1))
    }

    /// Number of pixels over `level`.
    pub fn count_over(&self, level: f32) -> usize {
        count(self.values.iter().map(|value| *value > level))
    }

    /// Number of pixels over `level` in this map and in another one of the same size.
    pub fn count_over_in_both(&self, other: &Self, level: f32) -> usize {
        let pairs = self.values.iter().zip(&other.values);
        count(pairs.map(|(a, b)| a.min(*b) > level))
    }

    /// The pixels over `level`, by their place in [`Self::values`].
    pub fn over(&self, level: f32) -> impl Iterator<Item = usize> + '_ {
        let width = self.width.max(1);
        let rows = self.values.chunks_exact(width).enumerate();
        // Most rows of most maps hold nothing, which is seen of several pixels at a time.
        let rows = rows.filter(move |(_, row)| count(row.iter().map(|value| *value > level)) > 0);
        rows.flat_map(move |(y, row)| {
            let pixels = row.iter().enumerate();
            let over = pixels.filter(move |(_, value)| **value > level);
            over.map(move |(x, _)| y * width + x)
        })
    }

    /// The part of a map that holds everything over a level and the pixels around that, and its upper left corner: most of
    /// a map is far from any outline. None where nothing is over the level.
    pub fn around(&self, level: f32) -> Option<(Self, [usize; 2])> {
        let mut found = self
            .values
            .chunks_exact(self.width)
            .enumerate()
            .filter_map(|(y, row)| {
                let first = row.iter().position(|value| *value > level)?;
                let last = row.iter().rposition(|value| *value > level)?;
                Some((y, first, last))
            });
        let (top, mut left, mut right) = found.next()?;
        let mut bottom = top;
        for (y, first, last) in found {
            (left, right, bottom) = (left.min(first), right.max(last), y);
        }
        let (left, right) = (left.saturating_sub(1), (right + 2).min(self.width));
        let (top, bottom) = (top.saturating_sub(1), (bottom + 2).min(self.height));
        let lines = self.values.chunks_exact(self.width).take(bottom).skip(top);
        let part = Self {
            width: right - left,
            height: bottom - top,
            values: lines.flat_map(|line| &line[left..right]).copied().collect(),
        };
        Some((part, [left, top]))
    }

    /// The map with only the largest 4-connected region over `level` left; pixels of the other regions, and the
    /// slopes down from them, become 0. The slope of the region itself stays, since the contour lies on it.
    #[must_use]
    pub fn largest_region(&self, level: f32) -> Self {
        let runs = self.runs(level);
        let mut sizes = vec![0_usize; runs.len()];
        for run in &runs {
            sizes[run.region] += run.columns.len();
        }
        let largest = (0..runs.len()).max_by_key(|region| (sizes[*region], usize::MAX - region));
        let mut kept = self.clone();
        for run in runs.iter().filter(|run| Some(run.region) != largest) {
            kept.values[run.row * self.width..][run.columns.clone()].fill(0.0);
        }
        kept
    }

    /// Every stretch of a row over `level`, row by row. The region is the number of its first stretch.
    fn runs(&self, level: f32) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        // Where the stretches of the row above begin.
        let mut above = 0;
        for (row, line) in self.values.chunks_exact(self.width.max(1)).enumerate() {
            let first = runs.len();
            let mut from = 0;
            while let Some(begin) = line[from..].iter().position(|value| *value > level) {
                let begin = from + begin;
                let length = line[begin..].iter().position(|value| *value <= level);
                from = length.map_or(line.len(), |length| begin + length);
                let region = runs.len();
                runs.push(Run {
                    row,
                    columns: begin..from,
                    region,
                });
                for other in above..first {
                    let (a, b) = (&runs[region].columns, &runs[other].columns);
                    if runs[other].row + 1 == row && a.start < b.end && b.start < a.end {
                        join(&mut runs, region, other);
                    }
                }
            }
            above = first;
        }
        for at in 0..runs.len() {
            runs[at].region = first_of(&runs, at);
        }
        runs
    }
}

/// A stretch of a row.
struct Run {
    row: usize,
    columns: Range<usize>,
    /// A stretch of the same region that comes before, or itself if there is none.
    region: usize,
}

/// Makes one region of those of two stretches.
fn join(runs: &mut [Run], a: usize, b: usize) {
    let (a, b) = (first_of(runs, a), first_of(runs, b));
    runs[a.max(b)].region = a.min(b);
}

/// The first stretch of a stretch's region.
fn first_of(runs: &[Run], mut at: usize) -> usize {
    while runs[at].region != at {
        at = runs[at].region;
    }
    at
}

/// How many are true. There are fewer than 2^32, and without a check of that they are added up several at a time.
fn count(flags: impl Iterator<Item = bool>) -> usize {
    flags.fold(0_u32, |sum, flag| sum.wrapping_add(u32::from(flag))) as usize
}

/// How the network's grid lies over a crop: a point of the grid times `scale` plus `offset` is a point of the crop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Crop pixels per grid pixel, along x and along y.
    pub scale: [f64; 2],
    /// The crop's coordinates of the grid's upper left corner; negative where the grid is padded.
    pub offset: [f64; 2],
    /// Length of a crop pixel along x and along y: centimetres if calibrated, else in units of a pixel's width.
    pub unit: [f64; 2],
}

impl Placement {
    /// The grid of a model's input, which is square, over a clip's crop: stretched over it in both directions, or centred
    /// with square pixels as the tissue has them, so that the crop's longer side fills it and the shorter one is padded
    /// (letterbox), or its shorter side fills it and the longer one is cut (centre square).
    pub fn new(input: &Input, clip: &Clip) -> Self {
        let unit = clip.cm_per_px.unwrap_or([1.0, clip.pixel_aspect]);
        let size = [clip.width as f64, clip.height as f64];
        let side = f64::from(input.height);
        let seen = size.map(|size| size * (1.0 - 2.0 * input.zoom));
        let lengths = [seen[0] * unit[0], seen[1] * unit[1]];
        let centred = |length: f64| {
            let scale = unit.map(|unit| length / side / unit);
            let offset = [0, 1].map(|axis| (size[axis] - scale[axis] * side) / 2.0);
            (scale, offset)
        };
        let (scale, offset) = match input.fit {
            // Not by way of the centre: rounding must not shift a grid that begins where the crop does.
            Fit::Stretch => (
                seen.map(|seen| seen / side),
                size.map(|size| size * input.zoom),
            ),
            Fit::Letterbox => centred(lengths[0].max(lengths[1])),
            Fit::CentreSquare => centred(lengths[0].min(lengths[1])),
        };
        Self {
            scale,
            offset,
            unit,
        }
    }

    /// A point of the grid in crop pixels.
    pub fn to_crop(&self, point: [f64; 2]) -> [f64; 2] {
        [
            point[0] * self.scale[0] + self.offset[0],
            point[1] * self.scale[1] + self.offset[1],
        ]
    }

    /// A point of the grid in the unit of length.
    pub fn to_length(&self, point: [f64; 2]) -> [f64; 2] {
        let crop = self.to_crop(point);
        [crop[0] * self.unit[0], crop[1] * self.unit[1]]
    }

    /// A point of the crop on the grid.
    pub fn crop_to_grid(&self, point: [f64; 2]) -> [f64; 2] {
        [
            (point[0] - self.offset[0]) / self.scale[0],
            (point[1] - self.offset[1]) / self.scale[1],
        ]
    }

    /// A point in the unit of length, in crop pixels.
    pub fn length_to_crop(&self, point: [f64; 2]) -> [f64; 2] {
        [point[0] / self.unit[0], point[1] / self.unit[1]]
    }
}

/// Lines of bytes whose sum fits into 16 bits.
const LINES_MAX: usize = 257;

/// Samples one frame on the grid by area averaging.
#[derive(Debug, Clone)]
pub struct Resampler {
    side: usize,
    width: usize,
    columns: Vec<Taps>,
    rows: Vec<Taps>,
}

#[derive(Debug, Clone)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Resampler {
    /// Prepares the filters of one crop size.
    pub fn new(placement: &Placement, width: usize, height: usize, side: usize) -> Self {
        let taps = |axis: usize, size: usize| {
            let (scale, offset) = (placement.scale[axis], placement.offset[axis]);
            (0..side)
                .map(|i| self::taps((i as f64 + 0.5) * scale + offset, scale, size))
                .collect::<Vec<_>>()
        };
        Self {
            side,
            width,
            columns: taps(0, width),
            rows: taps(1, height),
        }
    }

    /// The grid's values, `[side, side]`, on the frame's own scale.
    pub fn sample(&self, frame: &[u8]) -> Vec<f32> {
        let mut grid = vec![0.0; self.side * self.side];
        // Down first: whole lines are added up several pixels at a time, and few are left to go across. Lines that weigh
        // the same are added up as whole numbers.
        let mut squeezed = vec![0.0_f32; self.width];
        let mut whole = vec![0_u16; self.width];
        for (out, row) in grid.chunks_exact_mut(self.side).zip(&self.rows) {
            squeezed.fill(0.0);
            let mut lines = frame.chunks_exact(self.width).skip(row.first);
            for equal in row.weights.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
                for part in equal.chunks(LINES_MAX) {
                    whole.fill(0);
                    for line in lines.by_ref().take(part.len()) {
                        for (sum, pixel) in whole.iter_mut().zip(line) {
                            *sum = sum.wrapping_add(u16::from(*pixel));
                        }
                    }
                    for (sum, whole) in squeezed.iter_mut().zip(&whole) {
                        *sum += part[0] * f32::from(*whole);
                    }
                }
            }
            for (value, column) in out.iter_mut().zip(&self.columns) {
                let pixels = squeezed.get(column.first..).unwrap_or_default();
                *value = column.weights.iter().zip(pixels).map(|(w, p)| w * p).sum();
            }
        }
        grid
    }
}

/// The filter of one grid pixel around `centre`: the mean over its extent where it covers several pixels, linear
/// interpolation where it covers less than one. What lies outside the image counts as 0.
fn taps(centre: f64, scale: f64, size: usize) -> Taps {
    let weight = |i: f64| {
        if scale >= 1.0 {
            let (low, high) = (centre - scale / 2.0, centre + scale / 2.0);
            ((i + 1.0).min(high) - i.max(low)).max(0.0) / scale
        } else {
            (1.0 - (i + 0.5 - centre).abs()).max(0.0)
        }
    };
    let reach = scale.max(2.0) / 2.0;
    let from = ((centre - reach).floor() as i64).clamp(0, size as i64);
    let to = ((centre + reach).ceil() as i64).clamp(from, size as i64);
    let weights = (from..to).map(|i| weight(i as f64) as f32).collect();
    Taps {
        first: from as usize,
        weights,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(width: usize, height: usize, cm_per_px: Option<[f64; 2]>) -> Clip {
        Clip {
            frames: 2,
            height,
            width,
            pixels: vec![100; 2 * width * height].into(),
            origin: [0, 0],
            image: [width, height],
            cm_per_px,
            pixel_aspect: 1.0,
            frame_rate_hz: None,
            heart_rate_bpm: None,
            header_view: None,
            norms: None,
        }
    }

    fn input(fit: &str, side: u32, zoom: f64) -> Input {
        let text = format!(
            "layout = \"NCHW\"\nchannels = 1\nframes = 1\nstride = 1\nheight = {side}\nwidth = {side}\nfit = \"{fit}\"\n\
             zoom = {zoom:?}\npadding = \"none\"\nvalue_range = [0.0, 1.0]\nmean = [0.0]\nstd = [1.0]"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_around_a_structure_is_the_structure_and_one_pixel_more() {
        let mut map = Grid::filled(9, 7, 0.1);
        for (x, y) in [(4, 2), (5, 3), (3, 4)] {
            map.values[y * 9 + x] = 0.8;
        }
        let (part, corner) = map.around(0.5).unwrap();
        assert_eq!((corner, part.width, part.height), ([2, 1], 5, 5));
        for (y, x) in (0..5).flat_map(|y| (0..5).map(move |x| (y, x))) {
            assert!((part.at(x, y) - map.at(x + 2, y + 1)).abs() < f32::EPSILON);
        }
        // At the border there is nothing more to take.
        map.values[0] = 0.8;
        map.values[62] = 0.8;
        assert_eq!(map.around(0.5), Some((map.clone(), [0, 0])));
        assert_eq!(Grid::filled(9, 7, 0.5).around(0.5), None);
        assert_eq!(
            (map.count_over(0.5), map.count_over_in_both(&map, 0.5)),
            (5, 5)
        );
        assert_eq!(map.count_over_in_both(&Grid::filled(9, 7, 0.5), 0.5), 0);
        assert_eq!(map.over(0.5).collect::<Vec<_>>(), [0, 22, 32, 39, 62]);
    }

    #[test]
    fn a_letterbox_is_square_in_centimetres() {
        let clip = clip(400, 300, Some([0.05, 0.1]));
        let placement = Placement::new(&input("letterbox", 112, 0.0), &clip);
        let origin = placement.to_length([0.0, 0.0]);
        let corner = placement.to_length([112.0, 112.0]);
        assert!((corner[0] - origin[0] - 30.0).abs() < 1e-9);
        assert!((corner[1] - origin[1] - 30.0).abs() < 1e-9);
        let centre = placement.to_crop([56.0, 56.0]);
        assert!((centre[0] - 200.0).abs() < 1e-9 && (centre[1] - 150.0).abs() < 1e-9);
    }

    #[test]
    fn a_stretched_grid_covers_the_crop_and_a_centre_square_its_middle() {
        let clip = clip(400, 200, None);
        let corners = |placement: Placement| [[0.0; 2], [64.0; 2]].map(|p| placement.to_crop(p));
        let stretched = Placement::new(&input("stretch", 64, 0.0), &clip);
        assert_eq!(corners(stretched), [[0.0, 0.0], [400.0, 200.0]]);
        let square = Placement::new(&input("centre-square", 64, 0.0), &clip);
        assert_eq!(corners(square), [[100.0, 0.0], [300.0, 200.0]]);
        // A tenth is cut off on each side.
        let zoomed = Placement::new(&input("centre-square", 64, 0.1), &clip);
        assert_eq!(corners(zoomed), [[120.0, 20.0], [280.0, 180.0]]);
        let zoomed = Placement::new(&input("stretch", 64, 0.25), &clip);
        assert_eq!(corners(zoomed), [[100.0, 50.0], [300.0, 150.0]]);
    }

    #[test]
    fn resampling_keeps_a_constant_and_pads_with_black() {
        let clip = clip(400, 200, None);
        let placement = Placement::new(&input("letterbox", 64, 0.0), &clip);
        let grid = Resampler::new(&placement, 400, 200, 64).sample(&clip.frame(0).unwrap());
        assert!((grid[32 * 64 + 32] - 100.0).abs() < 1e-3);
        assert!(grid[5 * 64 + 32].abs() < 1e-6);
    }

    #[test]
    fn resampling_weighs_every_line_that_a_pixel_covers() {
        let (width, height, side) = (90, 700, 2);
        let clip = clip(width, height, None);
        let placement = Placement::new(&input("stretch", 2, 0.0007), &clip);
        let resampler = Resampler::new(&placement, width, height, side);
        let frame: Vec<u8> = (0..width * height).map(|i| (200 + i % 56) as u8).collect();
        let found = resampler.sample(&frame);
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (&resampler.rows[at / side], &resampler.columns[at % side]);
            assert!(row.weights.len() > LINES_MAX);
            let mut sum = 0.0;
            for (y, down) in row.weights.iter().enumerate() {
                for (x, across) in column.weights.iter().enumerate() {
                    let pixel = frame[(row.first + y) * width + column.first + x];
                    sum += f64::from(down * across) * f64::from(pixel);
                }
            }
            assert!((f64::from(*found) - sum).abs() < 0.01, "{found} {sum}");
        }
    }

    #[test]
    fn only_the_largest_region_stays() {
        let mut grid = Grid::filled(8, 4, 0.0);
        for (x, y) in [(0, 0), (4, 1), (5, 1), (5, 2)] {
            grid.values[y * 8 + x] = 0.9;
        }
        let kept = grid.largest_region(0.5);
        assert_eq!(kept.count_over(0.5), 3);
        assert!(kept.at(0, 0) < 0.5 && kept.at(4, 1) > 0.5);
        // Two arms that meet below, beside a block that is smaller than both together; corners alone don't join.
        let mut grid = Grid::filled(7, 4, 0.2);
        let arms = [(0, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)];
        let block = [(4, 0), (5, 0), (4, 1), (5, 1), (3, 3), (4, 2), (5, 2)];
        for (x, y) in arms.into_iter().chain(block) {
            grid.values[y * 7 + x] = 0.9;
        }
        let kept = grid.largest_region(0.5);
        assert!(arms.iter().all(|(x, y)| kept.values[y * 7 + x] > 0.5));
        assert_eq!(kept.count_over(0.5), 7);
        assert!((kept.at(6, 3) - 0.2).abs() < f32::EPSILON, "slopes stay");
    }
}
