//! Training of the networks that answer for a whole image: which view it shows, and whether it can be read.

use std::fmt;
use std::io::Write;

use sonode_phantom::gates::{self, ViewClass};
use sonode_phantom::ranges::Split;
use sonode_phantom::rng::Draw;
use tch::nn::{self, OptimizerConfig as _};
use tch::{Device, Kind, Reduction, Tensor};

use super::data::{self, SIDE};
use super::distort::{Warp, bilinear, cut_out, noise, recolour, shuffled, soften};
use super::restyle::restyle;
use super::{BATCH, Schedule, TrainArgs, TrainError};
use crate::models::manifest::Task;
use crate::models::scale_to_brightest;
use crate::net::{Classifier, Network as _};

/// Answers of the view network, in the order of its logits.
pub(super) const VIEWS: [&str; 3] = ["A4C", "A2C", "other"];

/// The answer that stands for no apical view.
const OTHER: usize = 2;

/// Share of presentations of the view network that show tiles or noise.
const NONSENSE_SHARE: f32 = 0.06;

/// What a sure answer is trained towards: leaves doubt for what was never seen.
const SMOOTHING: f64 = 0.05;

/// An image and its answer: the index of a view; or 1 for an image that can be read, 0 for one that can't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GateImage {
    pixels: Vec<u8>,
    answer: usize,
}

/// Draws the images of consecutive seeds for a task.
pub(super) fn draw_images(
    task: Task,
    first_seed: u64,
    count: usize,
    split: Split,
    threads: usize,
) -> Vec<GateImage> {
    let image = if task == Task::View {
        view_image
    } else {
        fitness_image
    };
    data::draw(first_seed, count, threads, |seed| image(seed, split))
}

fn view_image(seed: u64, split: Split) -> GateImage {
    let image = gates::view_sample(seed, split, SIDE);
    let answer = match image.class {
        ViewClass::A4c => 0,
        ViewClass::A2c => 1,
        ViewClass::Other => OTHER,
    };
    GateImage {
        pixels: image.pixels,
        answer,
    }
}

fn fitness_image(seed: u64, split: Split) -> GateImage {
    let image = gates::fitness_sample(seed, split, SIDE);
    GateImage {
        pixels: image.pixels,
        answer: usize::from(image.fit),
    }
}

/// The network's logits for a task.
pub(super) fn answers(task: Task) -> i64 {
    if task == Task::View {
        VIEWS.len() as i64
    } else {
        1
    }
}

/// Shows the images and adapts the weights.
pub(super) fn fit(
    net: &Classifier,
    store: &nn::VarStore,
    images: &[GateImage],
    (task, args): (Task, &TrainArgs),
    report: &mut dyn Write,
) -> Result<(), TrainError> {
    let mut optimizer = nn::AdamW::default().build(store, Schedule::TOP)?;
    let schedule = Schedule::new(args.presentations, report);
    let mut draw = Draw::new(args.seed, 0x6761_7465);
    schedule.run(|rate| {
        optimizer.set_lr(rate);
        let batch: Vec<GateImage> = (0..BATCH)
            .map(|_| images[draw.index(images.len())].clone())
            .collect();
        let shown: Vec<(Vec<f32>, usize)> = batch
            .iter()
            .map(|image| presented(task, image, &mut draw))
            .collect();
        let loss = loss(task, net, &shown, store.device());
        optimizer.backward_step(&loss);
        loss.double_value(&[])
    })
}

/// An image as it is shown, and its answer.
fn presented(task: Task, image: &GateImage, draw: &mut Draw) -> (Vec<f32>, usize) {
    let nonsense = task == Task::View && draw.chance(NONSENSE_SHARE);
    let mut input = match nonsense {
        true if draw.chance(0.7) => shuffled(&image.pixels, draw),
        true => noise(draw),
        false => Warp::draw(draw).apply(&image.pixels, bilinear),
    };
    if draw.chance(0.25) {
        soften(&mut input);
    }
    // A restyled image is easily one that can't be read, so only the view is learnt from it.
    if task == Task::View {
        restyle(&mut input, draw);
    }
    recolour(&mut input, draw);
    // What is cut out of an image to be judged is not its fault.
    if task == Task::View && draw.chance(0.35) {
        cut_out(&mut input, draw);
    }
    scale_to_brightest(&mut input, data::BRIGHTEST_PERCENTILE);
    (input, if nonsense { OTHER } else { image.answer })
}

fn loss(task: Task, net: &Classifier, shown: &[(Vec<f32>, usize)], device: Device) -> Tensor {
    let logits = net.logits(
        &input(shown.iter().map(|(input, _)| &input[..]), device),
        true,
    );
    let answers: Vec<i64> = shown.iter().map(|(_, answer)| *answer as i64).collect();
    let answers = Tensor::from_slice(&answers).to_device(device);
    if task == Task::View {
        logits.cross_entropy_loss(&answers, None::<&Tensor>, Reduction::Mean, -100, SMOOTHING)
    } else {
        let sure = answers.to_kind(Kind::Float).view([-1, 1]);
        logits.binary_cross_entropy_with_logits(
            &(sure * (1.0 - SMOOTHING) + SMOOTHING / 2.0),
            None::<&Tensor>,
            None::<&Tensor>,
            Reduction::Mean,
        )
    }
}

/// `[n, 1, side, side]`.
fn input<'a>(images: impl Iterator<Item = &'a [f32]>, device: Device) -> Tensor {
    let values: Vec<f32> = images.flatten().copied().collect();
    let side = SIDE as i64;
    Tensor::from_slice(&values)
        .view([-1, 1, side, side])
        .to_device(device)
}

/// How well a network answers.
#[derive(Debug, Clone, PartialEq)]
pub enum GateScores {
    /// Rows: the view that is shown; columns: the view that is answered.
    Views([[usize; VIEWS.len()]; VIEWS.len()]),
    /// Area under the curve of images that can be read against those that can't, 0.5 to 1.
    Fitness(f64),
}

/// Scores a network on images as they are.
pub(super) fn score(task: Task, net: &Classifier, images: &[GateImage]) -> GateScores {
    let mut confusion = [[0; VIEWS.len()]; VIEWS.len()];
    let mut scored: Vec<(f64, bool)> = Vec::new();
    for chunk in images.chunks(BATCH) {
        let shown: Vec<Vec<f32>> = chunk
            .iter()
            .map(|image| {
                let mut luma: Vec<f32> = image.pixels.iter().map(|p| f32::from(*p)).collect();
                scale_to_brightest(&mut luma, data::BRIGHTEST_PERCENTILE);
                luma
            })
            .collect();
        let logits =
            tch::no_grad(|| net.logits(&input(shown.iter().map(|i| &i[..]), Device::Cpu), false));
        for (at, image) in chunk.iter().enumerate() {
            let row = logits.get(at as i64);
            if task == Task::View {
                confusion[image.answer][row.argmax(0, false).int64_value(&[]) as usize] += 1;
            } else {
                scored.push((row.double_value(&[0]), image.answer == 1));
            }
        }
    }
    if task == Task::View {
        GateScores::Views(confusion)
    } else {
        GateScores::Fitness(super::score::area_under_curve(&scored))
    }
}

impl fmt::Display for GateScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Views(confusion) => {
                for (shown, answered) in VIEWS.iter().zip(confusion) {
                    write!(f, "{shown} answered as {VIEWS:?} {answered:?}; ")?;
                }
                Ok(())
            }
            Self::Fitness(area) => write!(f, "area under the curve {area:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_of_each_task_are_drawn() {
        for (task, count) in [(Task::View, 3), (Task::Quality, 2)] {
            let images = draw_images(task, 1, 12, Split::Train, 1);
            for answer in 0..count {
                assert!(images.iter().any(|image| image.answer == answer), "{task}");
            }
            assert_eq!(images, draw_images(task, 1, 12, Split::Train, 2));
        }
    }

    #[test]
    fn nonsense_is_another_view_and_never_a_matter_of_quality() {
        let image = GateImage {
            pixels: vec![40; SIDE * SIDE],
            answer: 0,
        };
        let mut draw = Draw::new(1, 1);
        let mut answers = |task| -> Vec<usize> {
            (0..200)
                .map(|_| presented(task, &image, &mut draw).1)
                .collect()
        };
        let views = answers(Task::View);
        assert!(views.contains(&0) && views.contains(&OTHER));
        assert!(answers(Task::Quality).iter().all(|answer| *answer == 0));
    }
}
