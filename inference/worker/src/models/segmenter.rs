//! The network that maps the ventricle: crops in, probabilities out.

use std::fmt;

use tch::{CModule, Device, Kind, Tensor};

use super::golden::{self, Way};
use super::manifest::{Activation, Fit, Layout, Manifest};
use crate::clip::Clip;
use crate::measure::{Grid, Placement, Resampler};

/// Batch sizes that are run: libtorch tunes itself to each size that it meets, so it meets few.
pub const BUCKETS: [usize; 4] = [1, 4, 8, 16];

/// The brightest luma that a frame is scaled by is at least this, so that a dark frame's noise doesn't become an image.
const BRIGHTEST_MIN: f32 = 24.0;

/// Probabilities of one frame on the network's grid. A structure that the network doesn't know is 0 everywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameMaps {
    /// Cavity of the left ventricle.
    pub lv: Grid,
    /// Its wall.
    pub myocardium: Grid,
    /// Left atrium.
    pub la: Grid,
    /// Right ventricle and right atrium.
    pub right: Grid,
}

/// Which channel of the output holds which structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Channels {
    lv: usize,
    myocardium: Option<usize>,
    la: Option<usize>,
    right: Option<usize>,
}

/// A loaded segmentation network.
pub struct Segmenter {
    manifest: Manifest,
    module: CModule,
    device: Device,
    channels: Channels,
    way: Way,
}

impl fmt::Debug for Segmenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segmenter")
            .field("name", &self.manifest.name)
            .field("device", &self.device)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Segmenter {
    /// Takes a loaded module and checks that it gives what its manifest says, in every bucket.
    ///
    /// # Errors
    /// What the manifest and the module disagree on, in words.
    pub fn new(manifest: Manifest, module: CModule, device: Device) -> Result<Self, String> {
        let input = &manifest.input;
        if input.layout != Layout::Nchw || input.height != input.width {
            return Err("lv-segmentation takes square frames in the layout NCHW".to_owned());
        }
        if input.fit == Fit::CentreSquare || input.zoom != 0.0 {
            return Err(
                "lv-segmentation must see the whole crop: fit stretch or letterbox".to_owned(),
            );
        }
        let [output] = &manifest.output[..] else {
            return Err("lv-segmentation has one output".to_owned());
        };
        if output.activation != Activation::Sigmoid {
            return Err("lv-segmentation gives logits: activation sigmoid".to_owned());
        }
        let label = |name: &str| output.labels.iter().position(|label| label == name);
        let channels = Channels {
            lv: label("lv").ok_or("no output is labelled lv")?,
            myocardium: label("myocardium"),
            la: label("la"),
            right: label("right-heart"),
        };
        let mut segmenter = Self {
            manifest,
            module,
            device,
            channels,
            way: Way::PLAIN,
        };
        segmenter.way = segmenter.fastest_that_agrees()?;
        segmenter.try_buckets()?;
        Ok(segmenter)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How it is run, in words.
    pub fn way(&self) -> &'static str {
        self.way.name()
    }

    /// Side of the grid, pixels.
    pub fn side(&self) -> usize {
        self.manifest.input.height as usize
    }

    /// How the grid lies over a clip's crop.
    pub fn placement(&self, clip: &Clip) -> Placement {
        match self.manifest.input.fit {
            Fit::Letterbox => Placement::letterbox(clip, self.side()),
            Fit::Stretch | Fit::CentreSquare => Placement::stretch(clip, self.side()),
        }
    }

    /// The network's input for one frame of a clip, `[side, side]`: resampled, scaled and normalised.
    pub fn prepare(&self, resampler: &Resampler, frame: &[u8]) -> Vec<f32> {
        let mut grid = resampler.sample(frame);
        self.normalise(&mut grid);
        grid
    }

    /// Scales and normalises luma in place, as the manifest says.
    pub fn normalise(&self, luma: &mut [f32]) {
        let input = &self.manifest.input;
        match input.brightest_percentile {
            Some(percentile) => scale_to_brightest(luma, percentile),
            None => luma.iter_mut().for_each(|value| *value /= 255.0),
        }
        let [low, high] = input.value_range.map(|bound| bound as f32);
        let (mean, std) = (input.mean[0] as f32, input.std[0] as f32);
        for value in luma {
            *value = (low + (high - low) * *value - mean) / std;
        }
    }

    /// Maps any number of prepared frames, and again from their mirror images: for each frame, what the network sees
    /// directly and what it sees in the mirror, turned back.
    ///
    /// # Errors
    /// As libtorch reports them.
    pub fn run(&self, frames: &[Vec<f32>]) -> Result<Vec<[FrameMaps; 2]>, tch::TchError> {
        let mut maps = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BUCKETS[BUCKETS.len() - 1]));
            maps.extend(self.run_batch(batch)?);
            rest = after;
        }
        Ok(maps)
    }

    fn run_batch(&self, frames: &[Vec<f32>]) -> Result<Vec<[FrameMaps; 2]>, tch::TchError> {
        let side = self.side();
        let bucket = bucket(frames.len());
        let mut pixels = frames.concat();
        pixels.resize(bucket * side * side, 0.0);
        let input = Tensor::from_slice(&pixels).view([bucket as i64, 1, side as i64, side as i64]);
        let input = input.expand([-1, i64::from(self.manifest.input.channels), -1, -1], false);
        let direct = self.forward(&input, self.way)?;
        let mirrored = self.forward(&input.flip([3]), self.way)?.flip([3]);
        let labels = direct.size()[1] as usize;
        let size = labels * side * side;
        let [direct, mirrored] =
            [direct, mirrored].map(|maps| Vec::<f32>::try_from(maps.contiguous().view([-1])));
        let (direct, mirrored) = (direct?, mirrored?);
        let of = |maps: &[f32]| self.frame_maps(maps);
        Ok(direct
            .chunks_exact(size)
            .zip(mirrored.chunks_exact(size))
            .take(frames.len())
            .map(|(direct, mirrored)| [of(direct), of(mirrored)])
            .collect())
    }

    /// Probabilities `[batch, labels, side, side]` on the CPU.
    fn forward(&self, input: &Tensor, way: Way) -> Result<Tensor, tch::TchError> {
        // Both are settings of the calling thread; optimised graphs would be recompiled for every new batch size.
        tch::jit::f_set_graph_executor_optimize(false)?;
        tch::no_grad(|| {
            let input = input.to_device(self.device);
            let input = if way.channels_last {
                channels_last(&input)?
            } else {
                input.contiguous()
            };
            let logits = tch::autocast(way.half, || self.module.forward_ts(&[input]))?;
            Ok(logits.to_kind(Kind::Float).sigmoid().to_device(Device::Cpu))
        })
    }

    /// The first way that runs at all and agrees with the plain one on the golden images.
    fn fastest_that_agrees(&self) -> Result<Way, String> {
        let mut images = golden::images(self.side());
        for image in &mut images {
            self.normalise(image);
        }
        let side = self.side() as i64;
        let input = Tensor::from_slice(&images.concat()).view([-1, 1, side, side]);
        let input = input.expand([-1, i64::from(self.manifest.input.channels), -1, -1], false);
        let maps = |way: Way| {
            let maps = self.forward(&input, way)?;
            Vec::<f32>::try_from(maps.contiguous().view([-1]))
        };
        let reference = maps(Way::PLAIN).map_err(|error| error.to_string())?;
        let name = &self.manifest.name;
        for way in Way::faster(self.device) {
            match maps(*way) {
                Ok(maps) if golden::agrees(&reference, &maps) => return Ok(*way),
                Ok(_) => tracing::warn!("{name}: {} differs and is not used", way.name()),
                Err(error) => tracing::warn!("{name}: {} fails: {error}", way.name()),
            }
        }
        Ok(Way::PLAIN)
    }

    fn frame_maps(&self, maps: &[f32]) -> FrameMaps {
        let side = self.side();
        let grid = |channel: Option<usize>| match channel {
            Some(channel) => {
                let values = maps[channel * side * side..(channel + 1) * side * side].to_vec();
                Grid {
                    width: side,
                    height: side,
                    values,
                }
            }
            None => Grid::filled(side, side, 0.0),
        };
        let Channels {
            lv,
            myocardium,
            la,
            right,
        } = self.channels;
        FrameMaps {
            lv: grid(Some(lv)),
            myocardium: grid(myocardium),
            la: grid(la),
            right: grid(right),
        }
    }

    fn try_buckets(&self) -> Result<(), String> {
        let (side, labels) = (
            self.side() as i64,
            self.manifest.output[0].labels.len() as i64,
        );
        for bucket in BUCKETS {
            let shape = [
                bucket as i64,
                i64::from(self.manifest.input.channels),
                side,
                side,
            ];
            let maps = self
                .forward(&Tensor::zeros(shape, (Kind::Float, Device::Cpu)), self.way)
                .map_err(|error| error.to_string())?;
            let expected = [bucket as i64, labels, side, side];
            if maps.size() != expected {
                return Err(format!(
                    "gives {:?}, but its manifest says {expected:?}",
                    maps.size()
                ));
            }
        }
        Ok(())
    }
}

impl FrameMaps {
    /// The mean of two readings of one frame.
    pub fn mean(pair: &[Self; 2]) -> Self {
        let [a, b] = pair;
        let mean = |a: &Grid, b: &Grid| Grid {
            values: a
                .values
                .iter()
                .zip(&b.values)
                .map(|(a, b)| f32::midpoint(*a, *b))
                .collect(),
            ..*a
        };
        Self {
            lv: mean(&a.lv, &b.lv),
            myocardium: mean(&a.myocardium, &b.myocardium),
            la: mean(&a.la, &b.la),
            right: mean(&a.right, &b.right),
        }
    }
}

/// The same values with the channels of a pixel side by side in memory.
fn channels_last(input: &Tensor) -> Result<Tensor, tch::TchError> {
    let (n, c, h, w) = input.size4()?;
    let pixels = input.permute([0, 2, 3, 1]).contiguous();
    // Strides that say so of a single channel too, where both layouts are the same.
    pixels.f_as_strided([n, c, h, w], [c * h * w, 1, c * w, c], None::<i64>)
}

/// The smallest bucket that holds `count` frames.
fn bucket(count: usize) -> usize {
    BUCKETS
        .into_iter()
        .find(|bucket| *bucket >= count)
        .unwrap_or(BUCKETS[BUCKETS.len() - 1])
}

/// Scales luma so that a percentile of it, 0 to 100, becomes 1, and cuts what is brighter.
pub fn scale_to_brightest(luma: &mut [f32], percentile: f64) {
    let brightest = percentile_of(luma, percentile).max(BRIGHTEST_MIN);
    for value in luma {
        *value = (*value / brightest).min(1.0);
    }
}

/// A percentile, 0 to 100, by rank.
fn percentile_of(values: &[f32], percentile: f64) -> f32 {
    let mut sorted = values.to_vec();
    let rank = ((sorted.len().saturating_sub(1)) as f64 * percentile / 100.0).round() as usize;
    if rank >= sorted.len() {
        return 0.0;
    }
    *sorted.select_nth_unstable_by(rank, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_the_smallest_bucket_that_holds_it() {
        let of: Vec<usize> = [1, 2, 4, 5, 8, 9, 16].into_iter().map(bucket).collect();
        assert_eq!(of, [1, 4, 4, 8, 8, 16, 16]);
    }

    #[test]
    fn channels_last_moves_values_and_changes_none() {
        for channels in [1, 3] {
            let input = Tensor::arange(2 * channels * 4 * 5, (Kind::Float, Device::Cpu))
                .view([2, channels, 4, 5]);
            let moved = channels_last(&input).unwrap();
            assert_eq!(moved.stride(), [channels * 20, 1, channels * 5, channels]);
            assert_eq!(moved, input);
        }
    }

    #[test]
    fn a_percentile_is_a_rank() {
        let values: Vec<f32> = (0..=100).rev().map(|v| v as f32).collect();
        assert!((percentile_of(&values, 99.0) - 99.0).abs() < f32::EPSILON);
        assert!((percentile_of(&values, 0.0)).abs() < f32::EPSILON);
        assert!((percentile_of(&[], 50.0)).abs() < f32::EPSILON);
    }
}
