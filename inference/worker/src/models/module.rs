//! A TorchScript file as its manifest describes it: one input tensor in; the outputs out, in the manifest's order.

use std::fmt;

use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use super::golden;
use super::manifest::{Layout, Manifest};

/// Batch sizes in which frames are run on a GPU: libtorch tunes itself to each size that it meets, so it meets few.
pub const BUCKETS: [usize; 4] = [1, 4, 8, 16];

/// Batch sizes in which clips are run on a GPU.
const CLIP_BUCKETS: [usize; 2] = [1, 4];

/// On a CPU a batch of clips is no faster than one after the other, and takes more memory.
const CLIP_BUCKETS_CPU: [usize; 1] = [1];

/// How a network is run. All but the first are for frames alone, with the channels of a pixel side by side in memory, which
/// convolutions are faster on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What a module is made for and every other way is compared with.
    Plain,
    /// In single precision.
    ChannelsLast,
    /// On a GPU, libtorch's choice of operations in half precision.
    Autocast,
    /// The model's own form in bfloat16.
    Bfloat16,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "single precision",
            Self::ChannelsLast => "single precision, channels last",
            Self::Autocast => "half precision",
            Self::Bfloat16 => "bfloat16",
        })
    }
}

/// A loaded TorchScript file.
pub struct Module {
    script: CModule,
    /// The same in bfloat16, where there is such a form and the device computes in it.
    bfloat16: Option<CModule>,
    device: Device,
    /// The outputs' names, in the manifest's order.
    names: Vec<String>,
    buckets: &'static [usize],
    /// Dimensions of an input without the batch.
    shape: Vec<i64>,
    way: Way,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("device", &self.device)
            .field("shape", &self.shape)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Takes a loaded file.
    pub fn new(manifest: &Manifest, script: CModule, device: Device) -> Self {
        let input = &manifest.input;
        let [channels, frames, rows, columns] =
            [input.channels, input.frames, input.height, input.width].map(i64::from);
        let (shape, buckets): (_, &'static [usize]) = match input.layout {
            Layout::Nchw => (vec![channels, rows, columns], &BUCKETS),
            Layout::Ncthw if device.is_cuda() => {
                (vec![channels, frames, rows, columns], &CLIP_BUCKETS)
            }
            Layout::Ncthw => (vec![channels, frames, rows, columns], &CLIP_BUCKETS_CPU),
        };
        Self {
            script,
            bfloat16: None,
            device,
            names: manifest.output.iter().map(|o| o.name.clone()).collect(),
            buckets,
            shape,
            way: Way::Plain,
        }
    }

    /// Has a form in bfloat16 to choose from.
    pub fn offer_bfloat16(&mut self, script: CModule) {
        self.bfloat16 = Some(script);
    }

    /// How it is run.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How many frames or clips are run where there are so many, at most [`BUCKETS`]' largest: on a GPU the smallest bucket
    /// that holds them, the rest of it filled up; on a CPU, where that would cost time, themselves.
    pub(super) fn batch(&self, count: usize) -> usize {
        if self.device.is_cuda() {
            bucket(self.buckets, count)
        } else {
            count
        }
    }

    /// Takes the first of some ways that the device and the model offer, that runs at all, and that gives the
    /// probabilities that the plain one gives.
    ///
    /// # Errors
    /// As `probabilities` reports them of the plain way.
    pub(super) fn choose_way(
        &mut self,
        name: &str,
        ways: &[Way],
        probabilities: impl Fn(&Self) -> Result<Vec<f32>, TchError>,
    ) -> Result<(), TchError> {
        self.way = Way::Plain;
        let reference = probabilities(self)?;
        for way in ways {
            if !self.offers(*way) {
                continue;
            }
            self.way = *way;
            match probabilities(self) {
                Ok(found) if golden::agrees(&reference, &found) => {
                    tracing::debug!("{name} runs in {way}");
                    return Ok(());
                }
                Ok(_) => tracing::warn!("{name}: {way} differs and is not used"),
                Err(error) => tracing::warn!("{name}: {way} fails: {error}"),
            }
        }
        self.way = Way::Plain;
        Ok(())
    }

    fn offers(&self, way: Way) -> bool {
        match way {
            Way::Plain | Way::ChannelsLast => true,
            Way::Autocast => self.device.is_cuda(),
            Way::Bfloat16 => self.bfloat16.is_some(),
        }
    }

    /// The batch sizes that it is tried and timed in, rising; on a GPU it runs in no others.
    pub fn buckets(&self) -> &'static [usize] {
        self.buckets
    }

    /// Shape of an input of `batch` frames or clips.
    pub fn input_shape(&self, batch: usize) -> Vec<i64> {
        [&[batch as i64], self.shape.as_slice()].concat()
    }

    /// Runs any number of frames or clips, `[n, …]` as [`Self::input_shape`], in buckets. Each output is `[n, …]`, on
    /// the CPU, without its activation.
    ///
    /// # Errors
    /// As libtorch reports them, or [`TchError::Convert`] where the file gives something else than its manifest says.
    pub fn run(&self, input: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let count = input.size().first().copied().unwrap_or(0);
        let largest = self.buckets.last().copied().unwrap_or(1) as i64;
        let mut outputs: Vec<Vec<Tensor>> = self.names.iter().map(|_| Vec::new()).collect();
        let mut from = 0;
        while from < count {
            let taken = (count - from).min(largest);
            let bucket = self.batch(taken as usize) as i64;
            let mut batch = input.f_narrow(0, from, taken)?;
            if bucket > taken {
                let shape = self.input_shape((bucket - taken) as usize);
                let filler = Tensor::f_zeros(&shape, (batch.kind(), batch.device()))?;
                batch = Tensor::f_cat(&[batch, filler], 0)?;
            }
            for (all, part) in outputs.iter_mut().zip(self.forward(&batch)?) {
                all.push(part.f_narrow(0, 0, taken)?);
            }
            from += taken;
        }
        outputs
            .iter()
            .map(|parts| Tensor::f_cat(parts, 0))
            .collect()
    }

    /// Runs one batch as it is. Each output is on the CPU, in float32, without its activation.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn forward(&self, input: &Tensor) -> Result<Vec<Tensor>, TchError> {
        // Both are settings of the calling thread; optimised graphs would be recompiled for every new batch size.
        tch::jit::f_set_graph_executor_optimize(false)?;
        let script = match (&self.bfloat16, self.way) {
            (Some(bfloat16), Way::Bfloat16) => bfloat16,
            _ => &self.script,
        };
        let given = tch::no_grad(|| {
            let input = input.to_device(self.device);
            let input = match self.way {
                Way::Plain => input.contiguous(),
                Way::ChannelsLast | Way::Autocast | Way::Bfloat16 => channels_last(&input)?,
            };
            tch::autocast(self.way == Way::Autocast, || {
                script.forward_is(&[IValue::Tensor(input)])
            })
        })?;
        let outputs = self.in_order(given)?;
        let on_cpu = |output: &Tensor| output.to_kind(Kind::Float).to_device(Device::Cpu);
        Ok(outputs.iter().map(on_cpu).collect())
    }

    /// A lone tensor, a tuple or list in the manifest's order, or a dictionary with the manifest's names, which may hold
    /// more than those.
    fn in_order(&self, given: IValue) -> Result<Vec<Tensor>, TchError> {
        let outputs = match given {
            IValue::Tensor(output) => vec![output],
            IValue::TensorList(outputs) => outputs,
            IValue::Tuple(values) | IValue::GenericList(values) => values
                .into_iter()
                .map(Tensor::try_from)
                .collect::<Result<_, _>>()?,
            IValue::GenericDict(entries) => return self.by_name(entries),
            _ => {
                let what = "gives no tensor, and no tuple, list or dictionary of tensors";
                return Err(TchError::Convert(what.to_owned()));
            }
        };
        if outputs.len() == self.names.len() {
            return Ok(outputs);
        }
        Err(TchError::Convert(format!(
            "gives {} outputs, but its manifest lists {}",
            outputs.len(),
            self.names.len()
        )))
    }

    fn by_name(&self, entries: Vec<(IValue, IValue)>) -> Result<Vec<Tensor>, TchError> {
        let mut tensors: Vec<(String, Tensor)> = entries
            .into_iter()
            .map(|(name, value)| Ok((String::try_from(name)?, Tensor::try_from(value)?)))
            .collect::<Result<_, TchError>>()?;
        self.names
            .iter()
            .map(|name| {
                let at = tensors.iter().position(|(key, _)| key == name);
                at.map(|at| tensors.swap_remove(at).1).ok_or_else(|| {
                    let keys: Vec<&str> = tensors.iter().map(|(key, _)| key.as_str()).collect();
                    TchError::Convert(format!(
                        "gives a dictionary of {}, without the output \"{name}\" of its manifest",
                        keys.join(", ")
                    ))
                })
            })
            .collect()
    }
}

/// The same values with the channels of a pixel side by side in memory.
fn channels_last(input: &Tensor) -> Result<Tensor, TchError> {
    let (n, c, h, w) = input.size4()?;
    let pixels = input.permute([0, 2, 3, 1]).contiguous();
    // Strides that say so of a single channel too, where both layouts are the same.
    pixels.f_as_strided([n, c, h, w], [c * h * w, 1, c * w, c], None::<i64>)
}

/// The smallest bucket that holds `count`, or the largest.
pub(super) fn bucket(buckets: &[usize], count: usize) -> usize {
    let fits = buckets.iter().find(|bucket| **bucket >= count);
    fits.or(buckets.last()).copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_batch_takes_the_smallest_bucket_that_holds_it() {
        let of: Vec<usize> = [1, 2, 4, 5, 8, 9, 16]
            .into_iter()
            .map(|count| bucket(&BUCKETS, count))
            .collect();
        assert_eq!(of, [1, 4, 4, 8, 8, 16, 16]);
    }
}
