//! A model that reads a number, a view or a grade from a clip: the clip prepared, run, and its answers averaged.

use tch::{Device, Kind, TchError, Tensor};

use super::ReadError;
use super::golden;
use super::manifest::{A2C, A4C, Activation, Input, Layout, Manifest, Output};
use super::module::{Module, Way};
use super::prepare::{self, UnknownRate};
use crate::clip::Clip;

/// What a view model says of a cine; the three sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewProbabilities {
    /// Apical four-chamber.
    pub a4c: f64,
    /// Apical two-chamber.
    pub a2c: f64,
    /// Every label that is neither.
    pub other: f64,
}

/// A cine to be read.
#[derive(Debug, Clone, Copy)]
pub struct Cine<'a> {
    /// The cine itself.
    pub clip: &'a Clip,
    /// Frames of it that another model was shown, resampled, in the order of [`prepare::sampling`] for that model's
    /// input: a model that takes the same ones need not decode them again.
    pub shown: Option<(&'a Input, &'a [Vec<f32>])>,
}

impl<'a> From<&'a Clip> for Cine<'a> {
    fn from(clip: &'a Clip) -> Self {
        Self { clip, shown: None }
    }
}

/// A loaded model for `view`, `quality` or `ef-regression`.
#[derive(Debug)]
pub struct Reader {
    manifest: Manifest,
    module: Module,
    /// Which of the outputs holds the answer.
    answer: usize,
}

impl Reader {
    /// Takes a loaded module and checks that it gives what its manifest says, in every bucket.
    ///
    /// # Errors
    /// What the manifest and the module disagree on, in words.
    pub fn new(manifest: Manifest, module: Module) -> Result<Self, String> {
        let answer = manifest.answer().ok_or("no output answers its task")?;
        let mut reader = Self {
            manifest,
            module,
            answer,
        };
        reader.choose_way().map_err(|error| error.to_string())?;
        for bucket in reader.module.buckets() {
            let zeros = Tensor::zeros(
                reader.module.input_shape(*bucket),
                (Kind::Float, Device::Cpu),
            );
            drop(reader.answers(&zeros).map_err(|error| error.to_string())?);
        }
        Ok(reader)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The file itself.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The file itself, for whoever wants no answer.
    pub fn into_module(self) -> Module {
        self.module
    }

    /// One value a label of the output that answers, its activation applied: the mean over the frames or clips that are
    /// shown of a cine. None where the model counts its frames in time, and the cine's frame rate is unknown.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read<'a>(&self, cine: impl Into<Cine<'a>>) -> Result<Option<Vec<f64>>, ReadError> {
        let cine = cine.into();
        let input = &self.manifest.input;
        let shown = match cine.shown {
            Some((other, grids)) if input.shares_frames_with(other) => {
                prepare::of_grids(input, grids.iter().cloned().map(Some))?
            }
            _ => match prepare::sampling(input, cine.clip.frames, cine.clip.frame_rate_hz) {
                Ok(sampling) => prepare::tensor(input, cine.clip, &sampling)?,
                Err(UnknownRate) => return Ok(None),
            },
        };
        let answers = self.answers(&shown)?;
        let mean = answers.f_mean_dim(Some([0_i64].as_slice()), false, Kind::Double)?;
        Ok(Some(Vec::<f64>::try_from(&mean)?))
    }

    /// What a view model says of a cine; none as in [`Self::read`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_view<'a>(
        &self,
        cine: impl Into<Cine<'a>>,
    ) -> Result<Option<ViewProbabilities>, ReadError> {
        let labels = &self.output().labels;
        Ok(self
            .read(cine)?
            .map(|values| ViewProbabilities::of(labels, &values)))
    }

    /// The one number that a model of quality or ejection fraction gives for a cine; none as in [`Self::read`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_number<'a>(&self, cine: impl Into<Cine<'a>>) -> Result<Option<f64>, ReadError> {
        Ok(self.read(cine)?.and_then(|values| values.first().copied()))
    }

    fn output(&self) -> &Output {
        &self.manifest.output[self.answer]
    }

    /// A model of frames runs in the fastest way that answers the same on the golden images.
    fn choose_way(&mut self) -> Result<(), TchError> {
        let input = &self.manifest.input;
        if input.layout != Layout::Nchw {
            return Ok(());
        }
        let images = golden::images(input.height as usize);
        let images = prepare::of_grids(input, images.into_iter().map(Some))?;
        let (manifest, answer) = (&self.manifest, self.answer);
        let ways = [Way::Bfloat16, Way::ChannelsLast];
        self.module.choose_way(&manifest.name, &ways, |module| {
            let answers = answers(manifest, module, answer, &images)?;
            Vec::<f32>::try_from(answers.contiguous().view([-1]))
        })
    }

    /// The answers to prepared inputs, `[n, labels]`, activated.
    fn answers(&self, input: &Tensor) -> Result<Tensor, TchError> {
        answers(&self.manifest, &self.module, self.answer, input)
    }
}

/// What the output of that number answers to prepared inputs, `[n, labels]`, activated.
fn answers(
    manifest: &Manifest,
    module: &Module,
    answer: usize,
    input: &Tensor,
) -> Result<Tensor, TchError> {
    let outputs = module.run(input)?;
    let count = input.size()[0];
    for (output, given) in manifest.output.iter().zip(&outputs) {
        let labels = output.labels.len() as i64;
        // One number a frame or clip may come without a dimension of its own.
        if given.numel() as i64 != count * labels {
            return Err(TchError::Convert(format!(
                "gives \"{}\" as {:?}, but its manifest says [{count}, {labels}]",
                output.name,
                given.size()
            )));
        }
    }
    let output = &manifest.output[answer];
    let raw = outputs[answer].f_reshape([count, output.labels.len() as i64])?;
    match output.activation {
        Activation::Identity => Ok(raw),
        Activation::Sigmoid => raw.f_sigmoid(),
        Activation::Softmax => raw.f_softmax(-1, Kind::Float),
        Activation::OneMinusSigmoid => raw.f_neg()?.f_sigmoid(),
    }
}

impl ViewProbabilities {
    fn of(labels: &[String], values: &[f64]) -> Self {
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            let named = labels.iter().zip(values);
            named
                .filter(|(label, _)| wanted(label))
                .map(|(_, p)| p)
                .sum()
        };
        Self {
            a4c: sum(&|label| label == A4C),
            a2c: sum(&|label| label == A2C),
            other: sum(&|label| label != A4C && label != A2C),
        }
    }
}
