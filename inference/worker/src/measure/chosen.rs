//! Which frames of a clip are read: a grid of them, and every one around the end diastoles and end systoles that are seen
//! on that grid. Those of one beat are seen in the mirror too.
//!
//! Between these a heart moves steadily, and a cart takes far more frames than it needs to be followed. They are what
//! is measured, so they alone are worth every frame.

use std::ops::Range;

use super::chunks::{Look, Mapped};
use super::curve::{Curve, CurveBeat};

/// Frames a second that are enough to see where the turns are: 10 in the beat of a heart at 84 a minute. A
/// cine of 29 or 30 has two of them in each step.
const RATE_MIN_HZ: f64 = 14.0;

/// Steps of the grid. Each is a multiple of those before it, as those of the frames are that others look at
/// ([`spread`](crate::clip::spread)).
const STEPS: [usize; 3] = [4, 2, 1];

/// Frames on either side of an end diastole and an end systole that are looked at in the mirror too.
const MIRRORED_REACH: usize = 1;

/// The frames of a clip that are read, or of a stretch of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    stretch: Range<usize>,
    step: usize,
    rate_hz: Option<f64>,
    /// Rising.
    first: Vec<usize>,
}

impl Chosen {
    /// Every frame where the rate isn't known. Those that are `wanted` anyway, which rise, are always among them.
    pub(super) fn new(stretch: Range<usize>, rate_hz: Option<f64>, wanted: &[usize]) -> Self {
        let is_enough =
            |step: &usize| rate_hz.is_some_and(|rate| rate >= RATE_MIN_HZ * *step as f64);
        let step = STEPS.into_iter().find(is_enough).unwrap_or(1);
        let is_first = |at: &usize| {
            (at - stretch.start).is_multiple_of(step)
                || at + 1 == stretch.end
                || wanted.binary_search(at).is_ok()
        };
        Self {
            step,
            rate_hz,
            first: stretch.clone().filter(is_first).collect(),
            stretch,
        }
    }

    /// The frames from whose volumes the beats are seen.
    pub(super) fn first(&self) -> &[usize] {
        &self.first
    }

    /// What is missing around what is measured. `volumes` are those of the stretch's frames, in cubes of any unit, of the
    /// first ones alone.
    pub(super) fn missing(&self, volumes: &[Option<f64>]) -> Missing {
        let Some(curve) = Curve::smooth(volumes, self.rate_hz) else {
            return Missing::default();
        };
        let mut beats = curve.beats();
        let landmarks = if beats.is_empty() {
            curve.turns()
        } else {
            beats.iter().flat_map(|beat| [beat.ed, beat.es]).collect()
        };
        let ef = |beat: &CurveBeat| 1.0 - curve.volumes[beat.es] / curve.volumes[beat.ed];
        beats.sort_by(|a, b| ef(a).total_cmp(&ef(b)));
        let middle = beats.get(beats.len() / 2).into_iter();
        let middle: Vec<usize> = middle.flat_map(|beat| [beat.ed, beat.es]).collect();
        let is_first = |at: &usize| self.first.binary_search(at).is_ok();
        let mut frames = self.beside(&curve, &landmarks, self.step - 1);
        frames.retain(|at| !is_first(at));
        Missing {
            mirrored: self.beside(&curve, &middle, MIRRORED_REACH),
            frames,
        }
    }

    /// The frames at most so far from each landmark of a curve, rising; or from the frame beside it that was looked at and
    /// comes nearest to it.
    fn beside(&self, curve: &Curve, landmarks: &[usize], reach: usize) -> Vec<usize> {
        let volume = |at: usize| curve.volumes[at - self.stretch.start];
        let seen = |mark: &usize| {
            let mark = self.stretch.start + mark;
            let beside = self.first.iter().filter(|at| at.abs_diff(mark) < self.step);
            let short = |at: &usize| (volume(*at) - volume(mark)).abs();
            beside.copied().min_by(|a, b| short(a).total_cmp(&short(b)))
        };
        let seen: Vec<usize> = landmarks.iter().filter_map(seen).collect();
        let is_near = |at: &usize| seen.iter().any(|mark| mark.abs_diff(*at) <= reach);
        self.stretch.clone().filter(is_near).collect()
    }
}

/// What is still to be looked at once the first frames are mapped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Missing {
    /// Frames that weren't mapped, rising.
    frames: Vec<usize>,
    /// Frames around end diastole and end systole of one beat, rising.
    mirrored: Vec<usize>,
}

impl Missing {
    /// Every second one first, so that both halves cost the same.
    pub(super) fn looks<'a>(&self, mapped: &'a [Mapped]) -> Vec<Look<'a>> {
        let is_mirrored = |at: usize| self.mirrored.binary_search(&at).is_ok();
        let known = mapped.iter().filter(|frame| is_mirrored(frame.index));
        let known = known.map(|frame| Look {
            index: frame.index,
            known: Some(&frame.luma),
            mirrored: true,
        });
        let new = self.frames.iter().map(|at| Look {
            index: *at,
            known: None,
            mirrored: is_mirrored(*at),
        });
        let mut looks: Vec<Look<'a>> = known.chain(new).collect();
        looks.sort_unstable_by_key(|look| look.index);
        let halves = [0, 1].map(|from| looks.iter().skip(from).step_by(2).cloned());
        halves.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_as_wide_as_the_frame_rate_allows() {
        let step = |rate_hz| Chosen::new(0..60, rate_hz, &[]).step;
        assert_eq!(step(None), 1);
        let rates = [10.0, 25.0, 29.97, 50.0, 60.0, 90.0];
        assert_eq!(rates.map(|rate| step(Some(rate))), [1, 1, 2, 2, 4, 4]);
    }

    #[test]
    fn first_come_the_grid_the_last_frame_and_what_others_want() {
        let chosen = Chosen::new(8..14, Some(30.0), &[3, 11]);
        assert_eq!(chosen.first(), [8, 10, 11, 12, 13]);
        assert_eq!(Chosen::new(0..4, None, &[]).first(), [0, 1, 2, 3]);
    }

    #[test]
    fn then_come_the_frames_around_end_diastole_and_end_systole() {
        // End diastoles at frames 10, 30 and 50 of the clip, end systoles at 20 and 40; and a rise until it ends.
        let volume = |at: usize| 50.0 + 5.0 * at.abs_diff(at.div_ceil(20) * 20 - 10) as f64;
        let volume = |at: usize| 150.0 - volume(at);
        let chosen = Chosen::new(6..56, Some(30.0), &[]);
        let volumes: Vec<Option<f64>> = (6..56)
            .map(|at| chosen.first().contains(&at).then(|| volume(at)))
            .collect();
        let missing = chosen.missing(&volumes);
        assert_eq!(missing.frames, [9, 11, 19, 21, 29, 31, 39, 41]);
        assert_eq!(missing.mirrored.len(), 6);
        let [ed, es] = [missing.mirrored[1], missing.mirrored[4]];
        assert_eq!(missing.mirrored, [ed - 1, ed, ed + 1, es - 1, es, es + 1]);
        assert!([[10, 20], [30, 40]].contains(&[ed, es]), "one beat");
        // No beat: the ends are as good as any turn. The last frames are read anyway.
        let falling: Vec<Option<f64>> = (0..50).map(|at| Some(f64::from(150 - at))).collect();
        let missing = chosen.missing(&falling);
        assert_eq!(
            (missing.frames, missing.mirrored),
            (vec![7], Vec::<usize>::new())
        );
        assert_eq!(chosen.missing(&[None; 50]), Missing::default());
    }

    #[test]
    fn a_cine_that_is_read_whole_has_only_its_mirror_missing() {
        let volume = |at: usize| 100.0 + 5.0 * at.abs_diff(12).min(12) as f64;
        let chosen = Chosen::new(0..40, None, &[]);
        let volumes: Vec<Option<f64>> = (0..40)
            .map(|at| Some(volume(at) - volume(at.abs_diff(24) + 12) + 100.0))
            .collect();
        let missing = chosen.missing(&volumes);
        assert!(missing.frames.is_empty());
        assert_eq!(missing.mirrored.len(), 6, "{missing:?}");
    }
}
