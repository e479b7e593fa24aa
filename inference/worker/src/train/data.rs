//! Training images in memory, and what is done to them before each presentation.

use std::thread;

use sonode_phantom::ranges::Split;
use sonode_phantom::rng::Draw;
use sonode_phantom::training::{self, TrainingImage, label};

use super::distort::{
    Warp, bilinear, cut_out, nearest, noise, open_valve, recolour, shuffled, soften,
};
use crate::models::scale_to_brightest;
use crate::net::LABELS;

/// Side of an image.
pub(super) const SIDE: usize = training::SIZE;

/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// Percentile of the luma that counts as the brightest, in training and ever after.
pub(super) const BRIGHTEST_PERCENTILE: f64 = 99.0;

/// The phantom's class of each of the network's labels.
const CLASSES: [u8; LABELS.len()] = [label::LV, label::MYOCARDIUM, label::LA, label::RIGHT];

/// The images of consecutive seeds, drawn on `threads` threads; the result doesn't depend on their number.
pub(super) fn draw_images(
    first_seed: u64,
    count: usize,
    split: Split,
    threads: usize,
) -> Vec<TrainingImage> {
    draw(first_seed, count, threads, |seed| {
        training::sample(seed, split)
    })
}

/// One image for each of consecutive seeds, in their order.
pub(super) fn draw<T: Send>(
    first_seed: u64,
    count: usize,
    threads: usize,
    image: impl Fn(u64) -> T + Copy + Send,
) -> Vec<T> {
    let share = count.div_ceil(threads.max(1)).max(1);
    let seeds: Vec<u64> = (0..count as u64).map(|i| first_seed + i).collect();
    thread::scope(|scope| {
        let draws: Vec<_> = seeds
            .chunks(share)
            .map(|seeds| {
                scope.spawn(move || seeds.iter().map(|seed| image(*seed)).collect::<Vec<_>>())
            })
            .collect();
        // A panic of the generator is a defect, not a result: it goes on in the caller.
        draws
            .into_iter()
            .flat_map(|draw| {
                draw.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// One presentation: input `[side, side]` and masks `[labels, side, side]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Scaled luma.
    pub(super) input: Vec<f32>,
    /// 0 or 1.
    pub(super) masks: Vec<f32>,
}

/// An image as it is, for scoring.
pub(super) fn plain(image: &TrainingImage) -> Sample {
    let mut input: Vec<f32> = image.pixels.iter().map(|pixel| f32::from(*pixel)).collect();
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: masks(&image.labels),
    }
}

/// An image mirrored, turned, scaled, shifted, with another gamma, noise and part of it cut out, each at random.
pub(super) fn augmented(image: &TrainingImage, draw: &mut Draw) -> Sample {
    let warp = Warp::draw(draw);
    let mut input = warp.apply(&image.pixels, bilinear);
    let labels = warp.apply(&image.labels, nearest);
    if draw.chance(0.25) {
        open_valve(&mut input, &labels, draw);
    }
    if draw.chance(0.25) {
        soften(&mut input);
    }
    recolour(&mut input, draw);
    if draw.chance(0.35) {
        cut_out(&mut input, draw);
    }
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: masks(&labels),
    }
}

/// An image without a heart: one cut into tiles that are put together wrongly, or noise. The network learns from them that
/// a ventricle is a whole with its neighbours, and not a texture. Other views are left to the view network: shown here,
/// they teach to see nothing in a plane that only grazes the outflow tract.
pub(super) fn negative(image: &TrainingImage, draw: &mut Draw) -> Sample {
    let mut input = if draw.chance(0.6) {
        shuffled(&image.pixels, draw)
    } else {
        noise(draw)
    };
    recolour(&mut input, draw);
    scale_to_brightest(&mut input, BRIGHTEST_PERCENTILE);
    Sample {
        input,
        masks: vec![0.0; LABELS.len() * PIXELS],
    }
}

fn masks(labels: &[u8]) -> Vec<f32> {
    CLASSES
        .iter()
        .flat_map(|class| {
            labels
                .iter()
                .map(move |label| f32::from(u8::from(label == class)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_depend_on_the_seed_and_not_on_the_threads() {
        let one = draw_images(5, 3, Split::Train, 1);
        let two = draw_images(5, 3, Split::Train, 2);
        assert_eq!(one, two);
        assert_ne!(one[0].pixels, one[1].pixels);
    }

    #[test]
    fn a_negative_shows_nothing_of_the_heart() {
        let image = training::sample(12, Split::Train);
        let mut draw = Draw::new(3, 4);
        for _ in 0..8 {
            let sample = negative(&image, &mut draw);
            assert_eq!(sample.input.len(), PIXELS);
            assert!(sample.masks.iter().all(|mask| *mask == 0.0));
            assert_ne!(sample.input, plain(&image).input);
        }
    }

    #[test]
    fn a_presentation_depends_on_its_draw_and_keeps_masks_apart() {
        let image = training::sample(11, Split::Train);
        let one = augmented(&image, &mut Draw::new(1, 2));
        assert_eq!(one, augmented(&image, &mut Draw::new(1, 2)));
        assert_ne!(one.input, augmented(&image, &mut Draw::new(2, 2)).input);
        for pixel in 0..PIXELS {
            let sum: f32 = (0..LABELS.len())
                .map(|l| one.masks[l * PIXELS + pixel])
                .sum();
            assert!(sum <= 1.0);
        }
        assert!(one.input.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(plain(&image).masks[..PIXELS].iter().sum::<f32>() > 50.0);
    }
}
