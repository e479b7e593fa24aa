//! The network that maps the ventricle: crops in, probabilities out.

use tch::{Device, Kind, TchError, Tensor};

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
    pub fn new(manifest: Manifest, module: Module) -> Result<Self, String> {
        let answer = manifest.answer().ok_or("no output is labelled lv")?;
        let labels = &manifest.output[answer].labels;
        let label = |name: &str| labels.iter().position(|label| label == name);
        let channels = Channels {
            lv: label("lv").ok_or("no output is labelled lv")?,
            myocardium: label("myocardium"),
            la: label("la"),
            right: label("right-heart"),
        };
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

    /// Maps any number of prepared frames.
    ///
    /// # Errors
    /// As libtorch reports them.
    pub fn run(&self, frames: &[Vec<f32>]) -> Result<Vec<FrameMaps>, TchError> {
        let mut maps = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BUCKETS[BUCKETS.len() - 1]));
            maps.extend(self.run_batch(batch)?);
            rest = after;
        }
        Ok(maps)
    }

    fn run_batch(&self, frames: &[Vec<f32>]) -> Result<Vec<FrameMaps>, TchError> {
        let side = self.side();
        let bucket = self.module.batch(frames.len());
        let mut pixels = frames.concat();
        pixels.resize(bucket * side * side, 0.0);
        let luma = Tensor::from_slice(&pixels).view([bucket as i64, 1, side as i64, side as i64]);
        let input = prepare::normalise(&self.manifest.input, &luma)?;
        let maps = probabilities(&self.module, &input)?;
        let labels = maps.size()[1] as usize;
        let maps = Vec::<f32>::try_from(maps.contiguous().view([-1]))?;
        Ok(maps
            .chunks_exact(labels * side * side)
            .take(frames.len())
            .map(|maps| self.frame_maps(maps))
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
        let ways = [Way::Bfloat16, Way::Autocast, Way::ChannelsLast];
        let name = &self.manifest.name;
        self.module.choose_way(name, &ways, |module| {
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
    let mut logits = logits.ok_or_else(|| TchError::Convert("gives no output".to_owned()))?;
    // In place: nobody else has them.
    logits.f_sigmoid_()
}

impl FrameMaps {
    /// The weighted sum of several frames' maps; none of no frame.
    pub fn blend(weighted: &[(f32, &Self)]) -> Option<Self> {
        let blend = |of: fn(&Self) -> &Grid| -> Option<Grid> {
            let (weight, first) = weighted.first()?;
            let mut sum = of(first).clone();
            sum.values.iter_mut().for_each(|value| *value *= weight);
            for (weight, maps) in &weighted[1..] {
                for (value, other) in sum.values.iter_mut().zip(&of(maps).values) {
                    *value += weight * other;
                }
            }
            Some(sum)
        };
        Some(Self {
            lv: blend(|maps| &maps.lv)?,
            myocardium: blend(|maps| &maps.myocardium)?,
            la: blend(|maps| &maps.la)?,
            right: blend(|maps| &maps.right)?,
        })
    }

    /// The maps of the mirror image.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        for map in [
            &mut self.lv,
            &mut self.myocardium,
            &mut self.la,
            &mut self.right,
        ] {
            mirror(&mut map.values, map.width);
        }
        self
    }
}

/// Turns an image or a map of that many columns left to right.
pub fn mirror(values: &mut [f32], width: usize) {
    values
        .chunks_exact_mut(width.max(1))
        .for_each(<[f32]>::reverse);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{CModule, nn};

    use super::*;
    use crate::device;
    use crate::draws::seeded;
    use crate::models::{self, Models};
    use crate::net::{UNet, export};

    #[test]
    fn the_golden_images_show_the_built_in_network_a_heart() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let models = Models::load(&dir, Device::Cpu, true).unwrap();
        let segmenter = models.segmentation();
        let mut images = golden::images(segmenter.side());
        for image in &mut images {
            prepare::scale(&segmenter.manifest().input, image);
        }
        for maps in segmenter.run(&images).unwrap() {
            assert!(maps.lv.count_over(0.5) > 200, "an outline that could move");
        }
        let fastest = if device::has_bfloat16(Device::Cpu) {
            Way::Bfloat16
        } else {
            Way::ChannelsLast
        };
        assert_eq!(segmenter.module().way(), fastest);
    }

    #[test]
    fn a_form_in_bfloat16_that_maps_something_else_is_not_used() {
        let _turn = seeded(1);
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let model = models::find(&dir, "lv-segmentation").unwrap();
        let store = nn::VarStore::new(Device::Cpu);
        let other = tempfile::tempdir().unwrap();
        let untrained = UNet::new(&store.root(), &[2, 3, 4, 5]);
        let other = export(&untrained, model.manifest.clone(), other.path())
            .map(|manifest| other.path().join(manifest.bfloat16.unwrap().file))
            .unwrap();
        let mut module = models::load_module(&model, Device::Cpu).unwrap();
        module.offer_bfloat16(CModule::load_on_device(other, Device::Cpu).unwrap());
        let segmenter = Segmenter::new(model.manifest, module).unwrap();
        assert_eq!(segmenter.module().way(), Way::ChannelsLast);
    }

    #[test]
    fn maps_are_blended_by_weight_and_turned_by_line() {
        let maps = |values: [f32; 4]| {
            let grid = |scale: f32| Grid {
                width: 2,
                height: 2,
                values: values.map(|value| value * scale).to_vec(),
            };
            FrameMaps {
                lv: grid(1.0),
                myocardium: grid(2.0),
                la: grid(3.0),
                right: grid(4.0),
            }
        };
        let (a, b) = (maps([1.0, 0.0, 0.0, 2.0]), maps([0.0, 4.0, 0.0, 2.0]));
        let blended = FrameMaps::blend(&[(0.75, &a), (0.25, &b)]);
        assert_eq!(blended, Some(maps([0.75, 1.0, 0.0, 2.0])));
        assert_eq!(FrameMaps::blend(&[]), None);
        assert_eq!(a.clone().mirrored(), maps([0.0, 1.0, 2.0, 0.0]));
        assert_eq!(a.clone().mirrored().mirrored(), a);
    }
}
