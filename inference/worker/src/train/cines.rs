//! The cines of an evaluation, and their reading.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::{Quality, Study, StudySpec, Subject};
use sonode_phantom::ranges::Split;
use sonode_phantom::style::Style;

use super::case::Case;
use crate::models::{Models, hex};

/// Seeds of one style lie so far from another's.
const STYLE_SEEDS: u64 = 10_000;

/// What is shown beside apical views of good and fair quality.
const OTHER_SUBJECTS: [Subject; 4] = [
    Subject::Plax,
    Subject::ShortAxis,
    Subject::Noise,
    Subject::Blank,
];

/// A way of acquiring a four-chamber cine that differs from that of the other tables: its name, and what is different.
pub(super) type Acquired = (&'static str, fn(&mut StudySpec));

/// The range of frame rates that carts have, rhythms, and the ends of the range of heart rates.
pub(super) const ACQUIRED: [Acquired; 6] = [
    ("30 frames at 15 a second", |spec| {
        (spec.frames, spec.fps) = (30, 15.0);
    }),
    ("100 frames at 50 a second", |spec| {
        (spec.frames, spec.fps) = (100, 50.0);
    }),
    ("160 frames at 80 a second", |spec| {
        (spec.frames, spec.fps) = (160, 80.0);
    }),
    ("beats that differ by up to 20 %", |spec| {
        spec.irregular = true;
    }),
    ("one beat, at 50 a minute", |spec| {
        (spec.beats, spec.heart_rate) = (1, Some(50.0));
    }),
    ("110 beats a minute", |spec| {
        spec.heart_rate = Some(110.0);
    }),
];

/// A fifth of `count` four-chamber cines of each held-out style, acquired in this way.
pub(super) fn acquired(way: Acquired, count: usize, first_seed: u64) -> Vec<StudySpec> {
    let held = |(number, style)| {
        let first = first_seed + STYLE_SEEDS * number as u64;
        let specs = (first..).map(move |seed| four_chamber(seed, style));
        specs.take(count.div_ceil(5))
    };
    let styles = Style::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, style)| StudySpec::new(0, *style).split == Split::HeldOut);
    let mut specs: Vec<StudySpec> = styles.flat_map(held).collect();
    specs.iter_mut().for_each(way.1);
    specs
}

/// The cines of an evaluation: `count` four-chamber ones of each held-out style and half as many of each style of the
/// training, half of them of good and half of fair quality; then a tenth of `count` of everything else in each style.
pub(super) fn evaluation(count: usize, first_seed: u64) -> Vec<StudySpec> {
    let mut specs = Vec::new();
    let others = count.div_ceil(10) as u64;
    for (number, style) in Style::ALL.into_iter().enumerate() {
        let first = first_seed + STYLE_SEEDS * number as u64;
        let held = StudySpec::new(first, style).split == Split::HeldOut;
        let four = if held { count } else { count.div_ceil(2) };
        specs.extend((0..four as u64).map(|i| four_chamber(first + i, style)));
        for seed in (0..others).map(|i| first + 5_000 + i) {
            specs.push(StudySpec::of(seed, style, Subject::Apical(View::A2c)));
            specs.push(StudySpec {
                quality: Quality::Poor,
                ..StudySpec::new(seed + 1_000, style)
            });
            specs.extend(OTHER_SUBJECTS.map(|subject| StudySpec::of(seed + 2_000, style, subject)));
        }
    }
    specs
}

/// Cines for the calibration of intervals: four-chamber ones of the styles of the training, of its validation split.
pub(super) fn calibration(count: usize, first_seed: u64) -> Vec<StudySpec> {
    [Style::A, Style::B]
        .into_iter()
        .zip([0, STYLE_SEEDS])
        .flat_map(|(style, offset)| {
            (0..count as u64).map(move |i| StudySpec {
                split: Split::Validation,
                ..four_chamber(first_seed + offset + i, style)
            })
        })
        .collect()
}

fn four_chamber(seed: u64, style: Style) -> StudySpec {
    let quality = if seed.is_multiple_of(2) {
        Quality::Good
    } else {
        Quality::Fair
    };
    StudySpec {
        quality,
        ..StudySpec::new(seed, style)
    }
}

/// Renders and reads every cine; the result doesn't depend on the number of threads.
pub(super) fn read(
    specs: &[StudySpec],
    models: &Models,
    threads: usize,
    report: &mut (dyn Write + Send),
) -> Vec<Case> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, spec)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            specs.get(at).map(|spec| (at, spec))
        } {
            done.push((at, Case::read(&Study::generate(spec), models)));
        }
        done
    };
    let mut cases: Vec<(usize, Case)> = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut cases = work();
        for worker in workers {
            cases.extend(
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        cases
    });
    cases.sort_by_key(|(at, _)| *at);
    let cases: Vec<Case> = cases.into_iter().map(|(_, case)| case).collect();
    for case in &cases {
        // A report that nobody reads any more must not end the evaluation.
        if writeln!(report, "{case}").is_err() {
            break;
        }
    }
    cases
}

/// SHA-256 of what they are drawn from, so that a reader can see which cines a table stands on.
pub(super) fn digest<'a>(specs: impl IntoIterator<Item = &'a StudySpec>) -> String {
    let mut digest = Sha256::new();
    for spec in specs {
        digest.update(format!("{spec:?}\n"));
    }
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_styles_are_evaluated_and_never_calibrated_on() {
        let specs = evaluation(10, 900_000);
        let count = |style| {
            let is_of = |spec: &&StudySpec| {
                spec.style == style
                    && spec.subject == Subject::Apical(View::A4c)
                    && spec.quality != Quality::Poor
            };
            specs.iter().filter(is_of).count()
        };
        assert_eq!(Style::ALL.map(count), [5, 5, 10, 10]);
        for spec in &specs {
            let held = matches!(spec.style, Style::C | Style::D);
            assert_eq!(spec.split == Split::HeldOut, held);
        }
        for way in ACQUIRED {
            let specs = acquired(way, 10, 900_000);
            assert_eq!(specs.len(), 4);
            assert!(specs.iter().all(|spec| spec.split == Split::HeldOut));
        }
        for spec in calibration(4, 700_000) {
            assert!(matches!(spec.style, Style::A | Style::B));
            assert_eq!(spec.split, Split::Validation);
        }
    }
}
