//! One decoded frame, in the colour model that it came in.

use super::super::regions::Crop;

/// Colour differences up to this leave red and blue, which they part most, at most (1.402 + 1.772) x 17 + 1 = 55 apart,
/// and what is painted has 56 between them at least.
const GREY_CHROMA: u8 = 17;

/// Of so many lines one is looked through for the colours of flow, and of so many pixels of it: what is flow is many lines
/// high and many pixels wide, and colour is mostly coded at half the resolution anyway.
const FLOW_STEP: usize = 2;

/// How samples of a pixel are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// One sample, brighter for more.
    Grey,
    /// Red, green, blue.
    Rgb,
    /// Luma and two colour differences, full range (PS3.3 C.7.6.3.1.2, `YBR_FULL`).
    Ybr,
}

/// One decoded frame: `samples` is `[rows, columns, samples per pixel]`, interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raster {
    pub(crate) model: Model,
    pub(crate) columns: usize,
    pub(crate) samples: Vec<u8>,
}

/// One frame in colour, `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbFrame {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue of each pixel, row by row.
    pub pixels: Vec<u8>,
}

impl Model {
    pub(crate) fn samples(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb | Self::Ybr => 3,
        }
    }
}

impl Raster {
    /// Writes the crop's luma into `out`, `[crop.height, crop.width]`. What lies outside the raster stays as it is.
    pub(crate) fn luma(&self, crop: Crop, out: &mut [u8]) {
        let per_pixel = self.model.samples();
        let rows = self
            .samples
            .chunks_exact((self.columns * per_pixel).max(1))
            .skip(crop.row);
        for (row, line) in rows.zip(out.chunks_exact_mut(crop.width.max(1))) {
            let from = crop.column * per_pixel;
            let row = row
                .get(from..from + line.len() * per_pixel)
                .unwrap_or_default();
            match self.model {
                Model::Grey => {
                    let count = row.len().min(line.len());
                    line[..count].copy_from_slice(&row[..count]);
                }
                Model::Ybr => {
                    for (pixel, luma) in row.chunks_exact(3).zip(line) {
                        *luma = pixel[0];
                    }
                }
                Model::Rgb => {
                    for (pixel, luma) in row.chunks_exact(3).zip(line) {
                        *luma = luma_of(pixel);
                    }
                }
            }
        }
    }

    /// The share of the crop's pixels that only a colour map of velocities paints: strongly saturated red to yellow, or
    /// cyan to blue. Tinted grey maps (sepia, blue-grey) are less saturated, ECG traces and annotations are mostly green
    /// or few.
    pub(crate) fn doppler_share(&self, crop: Crop) -> f64 {
        let per_pixel = self.model.samples();
        let painted: fn(&[u8]) -> bool = match self.model {
            Model::Grey => return 0.0,
            Model::Rgb => is_doppler,
            Model::Ybr => is_doppler_ybr,
        };
        let lines = self
            .samples
            .chunks_exact((self.columns * per_pixel).max(1))
            .skip(crop.row)
            .take(crop.height)
            .step_by(FLOW_STEP);
        let (mut count, mut all) = (0, 0);
        for line in lines {
            let line = line.get(crop.column * per_pixel..(crop.column + crop.width) * per_pixel);
            let pixels = line.unwrap_or_default().chunks_exact(per_pixel);
            let pixels = pixels.step_by(FLOW_STEP);
            count += pixels.filter(|pixel| painted(pixel)).count();
            all += crop.width.div_ceil(FLOW_STEP);
        }
        count as f64 / all.max(1) as f64
    }

    /// The frame in red, green and blue.
    pub(crate) fn into_rgb(self) -> RgbFrame {
        let columns = self.columns.max(1);
        let pixels = match self.model {
            Model::Rgb => self.samples,
            Model::Grey => self.samples.iter().flat_map(|grey| [*grey; 3]).collect(),
            Model::Ybr => self.samples.chunks_exact(3).flat_map(rgb_of_ybr).collect(),
        };
        RgbFrame {
            width: columns,
            height: pixels.len() / (3 * columns),
            pixels,
        }
    }
}

/// ITU-R BT.601, in sixteenths of 1/4096.
fn luma_of(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((r * 19_595 + g * 38_470 + b * 7_471 + 32_768) >> 16) as u8
}

/// PS3.3 C.7.6.3.1.2's equations for `YBR_FULL`, inverted.
fn rgb_of_ybr(ybr: &[u8]) -> [u8; 3] {
    let y = f32::from(ybr[0]);
    let blue = f32::from(ybr[1]) - 128.0;
    let red = f32::from(ybr[2]) - 128.0;
    [
        y + 1.402 * red,
        y - 0.344_136 * blue - 0.714_136 * red,
        y + 1.772 * blue,
    ]
    // The conversion cuts off what is over or under, and what follows the point.
    .map(|value| (value + 0.5) as u8)
}

/// Most of an image is grey or nearly so, which needs no conversion to be seen.
fn is_doppler_ybr(ybr: &[u8]) -> bool {
    let off_grey = ybr[1].abs_diff(128).max(ybr[2].abs_diff(128));
    off_grey > GREY_CHROMA && is_doppler(&rgb_of_ybr(ybr))
}

fn is_doppler(rgb: &[u8]) -> bool {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(i32::from);
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let saturated = max >= 80 && (max - min) * 10 >= max * 7;
    let warm = r == max && b == min;
    let cold = b == max && r == min;
    saturated && (warm || cold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROP: Crop = Crop {
        column: 1,
        row: 1,
        width: 2,
        height: 1,
    };

    #[test]
    fn each_model_gives_the_crops_luma() {
        let grey = Raster {
            model: Model::Grey,
            columns: 3,
            samples: vec![1, 2, 3, 4, 5, 6],
        };
        let mut out = [0; 2];
        grey.luma(CROP, &mut out);
        assert_eq!(out, [5, 6]);
        let rgb = Raster {
            model: Model::Rgb,
            columns: 3,
            samples: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 255, 0, 0, 255, 255, 255],
        };
        rgb.luma(CROP, &mut out);
        assert_eq!(out, [76, 255]);
    }

    #[test]
    fn ybr_comes_back_as_the_colour_it_was_made_of() {
        // Red of PS3.3 C.7.6.3.1.2: Y 76, Cb 85, Cr 255.
        let [r, g, b] = rgb_of_ybr(&[76, 85, 255]);
        assert!(r >= 253 && g <= 2 && b <= 2, "{r} {g} {b}");
    }

    #[test]
    fn colours_too_grey_to_be_converted_are_no_velocities() {
        for y in 0..=255 {
            let greyish = 128 - GREY_CHROMA..=128 + GREY_CHROMA;
            for blue in greyish.clone() {
                for red in greyish.clone() {
                    assert!(!is_doppler(&rgb_of_ybr(&[y, blue, red])));
                }
            }
        }
        // Blue and red of PS3.3 C.7.6.3.1.2.
        assert!(is_doppler_ybr(&[29, 255, 107]) && is_doppler_ybr(&[76, 85, 255]));
        let frame = Raster {
            model: Model::Ybr,
            columns: 5,
            samples: [[76, 85, 255]; 3]
                .into_iter()
                .chain([[90, 128, 128]; 2])
                .collect::<Vec<_>>()
                .repeat(2)
                .concat(),
        };
        let crop = Crop { width: 4, ..CROP };
        assert!((frame.doppler_share(crop) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn velocity_colours_are_told_from_tints() {
        assert!(
            is_doppler(&[220, 30, 10]) && is_doppler(&[10, 60, 230]) && is_doppler(&[250, 200, 20])
        );
        assert!(!is_doppler(&[250, 205, 140]), "sepia");
        assert!(!is_doppler(&[150, 170, 200]), "blue-grey");
        assert!(!is_doppler(&[40, 230, 60]), "a green ECG");
        assert!(!is_doppler(&[200, 200, 200]));
    }
}
