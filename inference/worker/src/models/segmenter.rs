//! The network that maps the ventricle: crops in, probabilities out.

use tch::{CModule, Device, Kind, TchError, Tensor};

use super::golden;
use super::manifest::Manifest;
use super::module::{BUCKETS, Module, Way};
use super::prepare;
use crate::clip::Clip;
use crate::measure::{Grid, Placement, Resampler};

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

/// Which of the structures that a view is told by a network maps; every network maps the cavity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structures {
    /// The ventricle's wall.
    pub myocardium: bool,
    /// The left atrium.
    pub la: bool,
    /// The right ventricle and the right atrium.
    pub right: bool,
}

/// A loaded segmentation network.
#[derive(Debug)]
pub struct Segmenter {
    manifest: Manifest,
    module: Module,
    channels: Channels,
}

impl Segmenter {
    /// Takes a loaded module and checks that it gives what its manifest says, in every bucket.
    ///
    /// # Errors
    /// What the manifest and the module disagree on, in words.
    pub fn new(manifest: Manifest, module: CModule, device: Device) -> Result<Self, String> {
        let answer = manifest.answer().ok_or("no output is labelled lv")?;
        let labels = &manifest.output[answer].labels;
        let label = |name: &str| labels.iter().position(|label| label == name);
        let channels = Channels {
            lv: label("lv").ok_or("no output is labelled lv")?,
            myocardium: label("myocardium"),
            la: label("la"),
            right: label("right-heart"),
        };
        let module = Module::new(&manifest, module, device);
        let mut segmenter = Self {
            manifest,
            module,
            channels,
        };
        segmenter.choose_way().map_err(|error| error.to_string())?;
        segmenter.try_buckets()?;
        Ok(segmenter)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.module.device()
    }

    /// The file itself.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The file itself, for whoever wants no maps.
    pub fn into_module(self) -> Module {
        self.module
    }

    /// What it maps beside the cavity.
    pub fn structures(&self) -> Structures {
        let Channels {
            myocardium,
            la,
            right,
            ..
        } = self.channels;
        Structures {
            myocardium: myocardium.is_some(),
            la: la.is_some(),
            right: right.is_some(),
        }
    }

    /// Side of the grid, pixels.
    pub fn side(&self) -> usize {
        self.manifest.input.height as usize
    }

    /// How the grid lies over a clip's crop.
    pub fn placement(&self, clip: &Clip) -> Placement {
        Placement::new(&self.manifest.input, clip)
    }

    /// The network's input for one frame of a clip, `[side, side]`: resampled and scaled.
    pub fn prepare(&self, resampler: &Resampler, frame: &[u8]) -> Vec<f32> {
        let mut grid = resampler.sample(frame);
        self.normalise(&mut grid);
        grid
    }

    /// Scales luma in place to the range that the manifest says. Mean and std, which differ by channel, come in
    /// [`Self::run`].
    pub fn normalise(&self, luma: &mut [f32]) {
        prepare::scale(&self.manifest.input, luma);
    }

    /// Maps any number of prepared frames, and again from their mirror images: for each frame, what the network sees
    /// directly and what it sees in the mirror, turned back.
    ///
    /// # Errors
    /// As libtorch reports them.
    pub fn run(&self, frames: &[Vec<f32>]) -> Result<Vec<[FrameMaps; 2]>, TchError> {
        let mut maps = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BUCKETS[BUCKETS.len() - 1]));
            maps.extend(self.run_batch(batch)?);
            rest = after;
        }
        Ok(maps)
    }

    fn run_batch(&self, frames: &[Vec<f32>]) -> Result<Vec<[FrameMaps; 2]>, TchError> {
        let side = self.side();
        let bucket = self.module.batch(frames.len());
        let mut pixels = frames.concat();
        pixels.resize(bucket * side * side, 0.0);
        let luma = Tensor::from_slice(&pixels).view([bucket as i64, 1, side as i64, side as i64]);
        let input = prepare::normalise(&self.manifest.input, &luma)?;
        let direct = probabilities(&self.module, &input)?;
        let mirrored = probabilities(&self.module, &input.flip([3]))?.flip([3]);
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

    /// Takes the fastest way that agrees with the plain one on the golden images.
    fn choose_way(&mut self) -> Result<(), TchError> {
        let side = self.side();
        let mut images = golden::images(side);
        for image in &mut images {
            prepare::scale(&self.manifest.input, image);
        }
        let side = side as i64;
        let luma = Tensor::from_slice(&images.concat()).view([-1, 1, side, side]);
        let input = prepare::normalise(&self.manifest.input, &luma)?;
        let ways = Way::faster(self.device());
        self.module.choose_way(&self.manifest.name, ways, |module| {
            Vec::<f32>::try_from(probabilities(module, &input)?.contiguous().view([-1]))
        })
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
        let side = self.side() as i64;
        let labels = self.manifest.output[0].labels.len() as i64;
        for bucket in BUCKETS {
            let zeros = Tensor::zeros(self.module.input_shape(bucket), (Kind::Float, Device::Cpu));
            let maps = probabilities(&self.module, &zeros).map_err(|error| error.to_string())?;
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

/// Probabilities `[batch, labels, side, side]` on the CPU.
fn probabilities(module: &Module, input: &Tensor) -> Result<Tensor, TchError> {
    let logits = module.forward(input)?.pop();
    let logits = logits.ok_or_else(|| TchError::Convert("gives no output".to_owned()))?;
    logits.f_sigmoid()
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
                .map(|(a, b)| 0.5 * (a + b))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::Models;

    #[test]
    fn the_golden_images_show_the_built_in_network_a_heart() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let models = Models::load(&dir, Device::Cpu, true).unwrap();
        let segmenter = models.segmentation();
        let mut images = golden::images(segmenter.side());
        for image in &mut images {
            prepare::scale(&segmenter.manifest().input, image);
        }
        for [direct, _] in segmenter.run(&images).unwrap() {
            assert!(
                direct.lv.count_over(0.5) > 200,
                "an outline that could move"
            );
        }
        assert_ne!(segmenter.module().way(), Way::PLAIN);
    }
}
