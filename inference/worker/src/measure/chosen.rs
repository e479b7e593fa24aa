//! Which frames of a clip are read: a grid of them, and every one around the end diastoles and end systoles that are seen
//! on that grid.
//!
//! Between these a heart moves steadily, and a cart takes far more frames than it needs to be followed. They are what
//! is measured, so they alone are worth every frame.

use std::ops::Range;

use super::curve::Curve;

/// Frames a second that are enough to see where the turns are: 10 in the beat of a heart at 84 a minute. A
/// cine of 29 or 30 has two of them in each step.
const RATE_MIN_HZ: f64 = 14.0;

/// Steps of the grid. Each is a multiple of those before it, as those of the frames are that others look at
/// ([`spread`](crate::clip::spread)).
const STEPS: [usize; 3] = [4, 2, 1];

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

    /// The frames that are missing around what is measured, rising. `volumes` are those of the stretch's frames, in cubes of
    /// any unit, of the first ones alone.
    pub(super) fn around_landmarks(&self, volumes: &[Option<f64>]) -> Vec<usize> {
        if self.step == 1 {
            return Vec::new();
        }
        let Some(curve) = Curve::smooth(volumes, self.rate_hz) else {
            return Vec::new();
        };
        let volume = |at: usize| curve.volumes[at - self.stretch.start];
        // Of the frames that were looked at, the one beside a landmark that comes nearest to it.
        let nearest = |mark: usize| {
            let mark = self.stretch.start + mark;
            let beside = self.first.iter().filter(|at| at.abs_diff(mark) < self.step);
            let short = |at: &usize| (volume(*at) - volume(mark)).abs();
            beside.copied().min_by(|a, b| short(a).total_cmp(&short(b)))
        };
        let landmarks: Vec<usize> = curve.landmarks().into_iter().filter_map(nearest).collect();
        let is_missing = |at: &usize| {
            let is_near = |mark: &usize| mark.abs_diff(*at) < self.step;
            self.first.binary_search(at).is_err() && landmarks.iter().any(is_near)
        };
        self.stretch.clone().filter(is_missing).collect()
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
        let around = chosen.around_landmarks(&volumes);
        assert_eq!(around, [9, 11, 19, 21, 29, 31, 39, 41]);
        // No beat: the ends are as good as any turn. The last frames are read anyway.
        let falling: Vec<Option<f64>> = (0..50).map(|at| Some(f64::from(150 - at))).collect();
        assert_eq!(chosen.around_landmarks(&falling), [7]);
        assert!(chosen.around_landmarks(&[None; 50]).is_empty());
        let all = Chosen::new(0..9, None, &[]);
        assert!(all.around_landmarks(&[Some(1.0); 9]).is_empty());
    }
}
