//! What each task asks of a model: its layout, and an output that holds the answer under a known label.

use super::{Activation, Layout, Manifest, ManifestError, Output, Padding, Task, require};

/// The label of an apical four-chamber view.
pub const A4C: &str = "A4C";
/// The label of an apical two-chamber view. Every label but these two stands for another view.
pub const A2C: &str = "A2C";

impl Task {
    /// The label by which the output that answers is known.
    fn label(self) -> &'static str {
        match self {
            Self::LvSegmentation => "lv",
            Self::EfRegression => "lvef",
            Self::View => A4C,
            Self::Quality => "quality",
        }
    }
}

impl Manifest {
    /// Which of the outputs holds what the task asks for; a checked manifest has one.
    pub fn answer(&self) -> Option<usize> {
        let label = self.task.label();
        let holds = |output: &Output| output.labels.iter().any(|name| name == label);
        self.output.iter().position(holds)
    }

    pub(super) fn check_task(&self) -> Result<(), ManifestError> {
        let square = self.input.height == self.input.width;
        require(square, "input.width", "must equal input.height")?;
        let never_short = self.input.frames == 1;
        require(
            never_short || self.input.padding != Padding::None,
            "input.padding",
            "must be zero or repeat-last where frames is over 1",
        )?;
        let label = self.task.label();
        let Some(output) = self.answer().and_then(|at| self.output.get(at)) else {
            let problem = format!("must hold \"{label}\" for the task {}", self.task);
            return require(false, "output.labels", &problem);
        };
        match self.task {
            Task::LvSegmentation => self.check_segmentation(output),
            Task::EfRegression => {
                alone(output)?;
                activation(output, &[Activation::Identity])?;
                let is_percent = output.unit.as_deref() == Some("%");
                require(is_percent, "output.unit", "must be \"%\" for lvef")
            }
            Task::View => {
                let several = output.labels.len() > 1;
                require(
                    several,
                    "output.labels",
                    "must name what is no A4C too, such as \"other\"",
                )?;
                activation(output, &[Activation::Softmax])
            }
            Task::Quality => {
                alone(output)?;
                activation(output, &[Activation::Sigmoid, Activation::OneMinusSigmoid])
            }
        }
    }

    fn check_segmentation(&self, output: &Output) -> Result<(), ManifestError> {
        let frames = self.input.layout == Layout::Nchw;
        require(frames, "input.layout", "must be NCHW for lv-segmentation")?;
        let one = self.output.len() == 1;
        require(one, "output", "must be one for lv-segmentation")?;
        activation(output, &[Activation::Sigmoid])
    }
}

fn alone(output: &Output) -> Result<(), ManifestError> {
    let problem = "must be alone in its output for this task";
    require(output.labels.len() == 1, "output.labels", problem)
}

fn activation(output: &Output, allowed: &[Activation]) -> Result<(), ManifestError> {
    let problem = format!("must be {} for this task", names(allowed).join(" or "));
    require(
        allowed.contains(&output.activation),
        "output.activation",
        &problem,
    )
}

fn names(activations: &[Activation]) -> Vec<&'static str> {
    let name = |activation: &Activation| match activation {
        Activation::Identity => "identity",
        Activation::Sigmoid => "sigmoid",
        Activation::Softmax => "softmax",
        Activation::OneMinusSigmoid => "one-minus-sigmoid",
    };
    activations.iter().map(name).collect()
}
