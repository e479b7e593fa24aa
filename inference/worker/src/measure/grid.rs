//! Maps on the network's grid, and how that grid lies over the crop.

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
        let labels = self.regions(level);
        let mut sizes = vec![0_usize; labels.iter().copied().max().unwrap_or(0) as usize + 1];
        for label in labels.iter().filter(|label| **label > 0) {
            sizes[*label as usize] += 1;
        }
        let largest = (1..sizes.len()).max_by_key(|label| (sizes[*label], usize::MAX - label));
        let mut kept = self.clone();
        let Some(largest) = largest else {
            return kept;
        };
        for (value, label) in kept.values.iter_mut().zip(&labels) {
            if *label != 0 && *label as usize != largest {
                *value = 0.0;
            }
        }
        kept
    }

    /// The region's number for every pixel over `level`, from 1; 0 elsewhere.
    fn regions(&self, level: f32) -> Vec<u32> {
        let mut labels = vec![0_u32; self.values.len()];
        let mut next = 0;
        let mut stack = Vec::new();
        for start in 0..self.values.len() {
            if self.values[start] <= level || labels[start] != 0 {
                continue;
            }
            next += 1;
            labels[start] = next;
            stack.push(start);
            while let Some(at) = stack.pop() {
                for neighbour in self.neighbours(at).into_iter().flatten() {
                    if self.values[neighbour] > level && labels[neighbour] == 0 {
                        labels[neighbour] = next;
                        stack.push(neighbour);
                    }
                }
            }
        }
        labels
    }

    fn neighbours(&self, at: usize) -> [Option<usize>; 4] {
        let (x, y) = (at % self.width, at / self.width);
        [
            (x > 0).then(|| at - 1),
            (x + 1 < self.width).then(|| at + 1),
            (y > 0).then(|| at - self.width),
            (y + 1 < self.height).then(|| at + self.width),
        ]
    }
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
        // Down first: whole lines are added up several pixels at a time, and few are left to go across.
        let mut squeezed = vec![0.0_f32; self.width];
        for (out, row) in grid.chunks_exact_mut(self.side).zip(&self.rows) {
            squeezed.fill(0.0);
            let lines = frame.chunks_exact(self.width).skip(row.first);
            for (line, weight) in lines.zip(&row.weights) {
                for (sum, pixel) in squeezed.iter_mut().zip(line) {
                    *sum += weight * f32::from(*pixel);
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
    fn only_the_largest_region_stays() {
        let mut grid = Grid::filled(8, 4, 0.0);
        for (x, y) in [(0, 0), (4, 1), (5, 1), (5, 2)] {
            grid.values[y * 8 + x] = 0.9;
        }
        let kept = grid.largest_region(0.5);
        assert_eq!(kept.count_over(0.5), 3);
        assert!(kept.at(0, 0) < 0.5 && kept.at(4, 1) > 0.5);
    }
}
