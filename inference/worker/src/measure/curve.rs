//! The volume curve: smoothing, and the beats in it.

/// Length of the smoothing window in seconds: short against a systole of about 300 ms.
const WINDOW_S: f64 = 0.14;

/// Frames of the window where the frame rate is unknown, and of the one that shows noise where the rate is low.
const WINDOW_FRAMES: usize = 5;

/// A turn of the curve counts when the curve goes at least this share of its range the other way, so that an atrial
/// kick or a plateau is no beat.
const TURN_SHARE: f64 = 0.4;

/// The range of a curve that has a beat in it, as a share of its largest volume: below it EF could not be told from 0.
const RANGE_SHARE_MIN: f64 = 0.06;

/// Residual of the smoothing over the range, above which the curve is noise: white noise has about 0.2, a beat that is
/// read frame by frame 0.02 to 0.08.
const NOISE_SHARE_MAX: f64 = 0.14;

/// An extremum in the first or last frame is taken for one when the curve's slope there is below this share of the
/// steepest slope on its way to the next extremum.
const EDGE_SLOPE_SHARE: f64 = 0.3;

/// ... and when it comes this close to the clip's own extremum, as a share of the range.
const EDGE_VOLUME_SHARE: f64 = 0.15;

/// A volume curve, smoothed.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Smoothed volumes, one a frame.
    pub volumes: Vec<f64>,
    /// Root mean square of what smoothing takes away, over five frames at least, in the volumes' unit.
    pub residual: f64,
    /// Frames on either side that a volume was smoothed over: an extremum so close to an end may be the end's own.
    reach: usize,
}

/// An end diastole and the end systole that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurveBeat {
    /// Frame of the largest volume, from 0.
    pub ed: usize,
    /// Frame of the smallest volume, from 0.
    pub es: usize,
    /// Whether the next end diastole is in the clip too.
    pub complete: bool,
}

impl Curve {
    /// Smooths raw volumes: a Savitzky-Golay filter of second order over about 140 ms, which keeps the depth of an end
    /// systole where a median or a mean flattens it. Gaps (none) are bridged linearly. Below 25 frames a second that is
    /// three frames, through which the parabola goes: nothing is smoothed there.
    ///
    /// None if no volume is known.
    pub fn smooth(raw: &[Option<f64>], frame_rate_hz: Option<f64>) -> Option<Self> {
        let filled = bridge(raw)?;
        let smoothed = |reach: usize| -> Vec<f64> {
            (0..filled.len())
                .map(|at| local_parabola(&filled, at, reach).max(0.0))
                .collect()
        };
        let reach = window(frame_rate_hz) / 2;
        Some(Self {
            volumes: smoothed(reach),
            residual: residual(raw, &smoothed(reach.max(WINDOW_FRAMES / 2))),
            reach,
        })
    }

    /// Lowest and highest volume.
    pub fn range(&self) -> (f64, f64) {
        self.volumes
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(*v), high.max(*v))
            })
    }

    /// The frames of all turns, those at the clip's ends too.
    pub(super) fn turns(&self) -> Vec<usize> {
        let (low, high) = self.range();
        let found = turns(&self.volumes, TURN_SHARE * (high - low));
        found.into_iter().map(|turn| turn.at).collect()
    }

    /// The beats that can be measured: all complete ones, or where there is none, one end diastole and one end systole
    /// inside the clip, in either order.
    pub fn beats(&self) -> Vec<CurveBeat> {
        let (low, high) = self.range();
        let range = high - low;
        if self.volumes.len() < 3
            || range < RANGE_SHARE_MIN * high
            || self.residual > NOISE_SHARE_MAX * range
        {
            return Vec::new();
        }
        let turns: Vec<Turn> = turns(&self.volumes, TURN_SHARE * range)
            .into_iter()
            .filter(|t| self.is_turn(t))
            .collect();
        let complete: Vec<CurveBeat> = turns
            .windows(3)
            .filter(|t| t[0].is_peak && !t[1].is_peak && t[2].is_peak)
            .map(|t| CurveBeat {
                ed: t[0].at,
                es: t[1].at,
                complete: true,
            })
            .collect();
        if !complete.is_empty() {
            return complete;
        }
        // Two extrema inside the clip are surer than one at its edge; then comes the end systole after its end diastole.
        let at_edge = |turn: &Turn| usize::from(self.is_at_edge(turn));
        turns
            .windows(2)
            .min_by_key(|t| (at_edge(&t[0]) + at_edge(&t[1]), !t[0].is_peak))
            .map(|t| {
                let (ed, es) = if t[0].is_peak {
                    (t[0].at, t[1].at)
                } else {
                    (t[1].at, t[0].at)
                };
                CurveBeat {
                    ed,
                    es,
                    complete: false,
                }
            })
            .into_iter()
            .collect()
    }

    /// Whether a turn lies so close to an end of the clip that smoothing there, or a little noise, can make one.
    fn is_at_edge(&self, turn: &Turn) -> bool {
        turn.at < self.reach || turn.at + self.reach >= self.volumes.len()
    }

    /// Whether a turn is an extremum of the heart's and not only of the clip: one inside, or one at the edge where the
    /// curve has already (or still) the flatness of an end diastole or end systole, and its volume.
    fn is_turn(&self, turn: &Turn) -> bool {
        if !self.is_at_edge(turn) {
            return true;
        }
        let (low, high) = self.range();
        let volume = self.volumes[turn.at];
        let short = if turn.is_peak {
            high - volume
        } else {
            volume - low
        };
        if short > EDGE_VOLUME_SHARE * (high - low) {
            return false;
        }
        let inward: Vec<f64> = if turn.at < self.reach {
            self.volumes[turn.at..].to_vec()
        } else {
            self.volumes[..=turn.at].iter().rev().copied().collect()
        };
        let slope = |pair: &[f64]| {
            if turn.is_peak {
                pair[0] - pair[1]
            } else {
                pair[1] - pair[0]
            }
        };
        let until = turn.next.abs_diff(turn.at).max(1);
        let steepest = inward.windows(2).take(until).map(slope).fold(0.0, f64::max);
        inward
            .windows(2)
            .next()
            .is_some_and(|pair| slope(pair) < EDGE_SLOPE_SHARE * steepest)
    }
}

/// A maximum or minimum of the curve, between (or at the ends of) legs of at least the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    at: usize,
    is_peak: bool,
    /// The turn after it, or the one before where there is none.
    next: usize,
}

/// The alternating extrema of a curve: each leg between two of them spans at least `threshold`.
fn turns(volumes: &[f64], threshold: f64) -> Vec<Turn> {
    let mut found: Vec<(usize, bool)> = Vec::new();
    let (mut high, mut low) = (0, 0);
    // Unknown until the curve has gone a threshold's way from either extremum so far.
    let mut rising: Option<bool> = None;
    for (at, volume) in volumes.iter().enumerate() {
        if *volume > volumes[high] {
            high = at;
        }
        if *volume < volumes[low] {
            low = at;
        }
        let fell = volumes[high] - volume >= threshold;
        let rose = volume - volumes[low] >= threshold;
        if rising != Some(false) && fell {
            found.push((high, true));
            (rising, low) = (Some(false), at);
        } else if rising != Some(true) && rose {
            found.push((low, false));
            (rising, high) = (Some(true), at);
        }
    }
    match rising {
        Some(true) => found.push((high, true)),
        Some(false) => found.push((low, false)),
        None => {}
    }
    let positions: Vec<usize> = found.iter().map(|(at, _)| *at).collect();
    found
        .iter()
        .enumerate()
        .map(|(i, (at, is_peak))| {
            let next = positions
                .get(i + 1)
                .or_else(|| positions.get(i.checked_sub(1)?));
            Turn {
                at: *at,
                is_peak: *is_peak,
                next: next.copied().unwrap_or(*at),
            }
        })
        .collect()
}

/// Odd number of frames in the smoothing window.
fn window(frame_rate_hz: Option<f64>) -> usize {
    let frames = frame_rate_hz.map_or(WINDOW_FRAMES, |rate| (WINDOW_S * rate).round() as usize);
    frames.clamp(3, 25) | 1
}

/// Root mean square of what smoothing took away, over time: what was bridged isn't noise, and a volume stands for the time
/// from half-way to the one known before it to half-way to the one after it.
fn residual(raw: &[Option<f64>], smooth: &[f64]) -> f64 {
    let known: Vec<usize> = (0..raw.len()).filter(|at| raw[*at].is_some()).collect();
    let (mut sum, mut time) = (0.0, 0.0);
    for (place, at) in known.iter().enumerate() {
        let before = place
            .checked_sub(1)
            .map_or(-1.0, |place| known[place] as f64);
        let after = known
            .get(place + 1)
            .map_or(raw.len() as f64, |at| *at as f64);
        let weight = (after - before) / 2.0;
        let off = raw[*at].map_or(0.0, |raw| raw - smooth[*at]);
        sum += weight * off.powi(2);
        time += weight;
    }
    (sum / time).sqrt()
}

/// Fills gaps linearly between their neighbours and evenly at the ends.
fn bridge(raw: &[Option<f64>]) -> Option<Vec<f64>> {
    let known: Vec<(usize, f64)> = raw
        .iter()
        .enumerate()
        .filter_map(|(at, value)| value.map(|v| (at, v)))
        .collect();
    let (first, last) = (*known.first()?, *known.last()?);
    let value = |at: usize| {
        let after = known.partition_point(|(k, _)| *k < at);
        match (after.checked_sub(1).map(|i| known[i]), known.get(after)) {
            (_, Some((k, v))) if *k == at => *v,
            (Some((k0, v0)), Some((k1, v1))) => {
                v0 + (v1 - v0) * (at - k0) as f64 / (k1 - k0) as f64
            }
            (None, _) => first.1,
            (_, None) => last.1,
        }
    };
    Some((0..raw.len()).map(value).collect())
}

/// The value at `at` of the parabola that fits `reach` values on each side best; at the clip's ends the window is cut.
fn local_parabola(values: &[f64], at: usize, reach: usize) -> f64 {
    let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(values.len()));
    // A window that is cut at an end is fitted by a line of the same length: a parabola there follows noise.
    let order = if to - from > reach + 1 { 2 } else { 1 };
    let (mut s, mut t) = ([0.0; 5], [0.0; 3]);
    for (i, value) in values.iter().enumerate().take(to).skip(from) {
        let x = i as f64 - at as f64;
        for (power, sum) in s.iter_mut().enumerate() {
            *sum += x.powi(power as i32);
        }
        for (power, sum) in t.iter_mut().enumerate() {
            *sum += value * x.powi(power as i32);
        }
    }
    let line = || {
        let det = s[0] * s[2] - s[1] * s[1];
        if det.abs() < 1e-12 {
            values[at]
        } else {
            (t[0] * s[2] - t[1] * s[1]) / det
        }
    };
    if order == 1 {
        return line();
    }
    // Cramer's rule for the constant term of the normal equations.
    let det = s[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (s[1] * s[4] - s[3] * s[2])
        + s[2] * (s[1] * s[3] - s[2] * s[2]);
    let top = t[0] * (s[2] * s[4] - s[3] * s[3]) - s[1] * (t[1] * s[4] - s[3] * t[2])
        + s[2] * (t[1] * s[3] - s[2] * t[2]);
    if det.abs() < 1e-12 { line() } else { top / det }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A beat of `period` frames from end diastole at 0: fast ejection over 35 %, filling with a plateau, a late rise.
    fn volume(phase: f64) -> f64 {
        let smooth = |x: f64| x * x * (3.0 - 2.0 * x);
        let part = match phase {
            p if p < 0.35 => 1.0 - smooth(p / 0.35),
            p if p < 0.6 => 0.75 * smooth((p - 0.35) / 0.25),
            p if p < 0.8 => 0.75,
            p => 0.75 + 0.25 * smooth((p - 0.8) / 0.2),
        };
        50.0 + 70.0 * part
    }

    fn beats(frames: usize, period: f64, start: f64, noise: f64) -> Vec<CurveBeat> {
        let mut state = 7_u32;
        let raw: Vec<Option<f64>> = (0..frames)
            .map(|f| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let jitter = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
                Some(volume((f as f64 / period + start).rem_euclid(1.0)) + noise * jitter)
            })
            .collect();
        Curve::smooth(&raw, Some(30.0)).unwrap().beats()
    }

    #[test]
    fn all_complete_beats_are_found() {
        let found = beats(80, 26.0, 0.9, 4.0);
        assert_eq!(found.len(), 2, "{found:?}");
        for (i, beat) in found.iter().enumerate() {
            let ed = 2.6 + 26.0 * i as f64;
            assert!(beat.complete);
            assert!((beat.ed as f64 - ed).abs() <= 2.0, "{beat:?}");
            assert!((beat.es as f64 - ed - 9.1).abs() <= 2.0, "{beat:?}");
        }
    }

    #[test]
    fn a_partial_beat_is_found_in_either_order() {
        // End diastole, then end systole, then part of the filling.
        let forward = beats(20, 26.0, 0.85, 2.0);
        assert_eq!(forward.len(), 1, "{forward:?}");
        assert!(!forward[0].complete && forward[0].ed < forward[0].es);
        // Mid-systole, end systole, filling, end diastole, and the first frames of the next ejection.
        let backward = beats(24, 26.0, 0.2, 2.0);
        assert_eq!(backward.len(), 1, "{backward:?}");
        assert!(!backward[0].complete && backward[0].es < backward[0].ed);
    }

    #[test]
    fn a_clip_that_is_triggered_on_the_r_wave_begins_with_its_end_diastole() {
        let found = beats(27, 26.0, 0.0, 0.0);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].complete && found[0].ed == 0, "{found:?}");
    }

    #[test]
    fn a_clip_that_ends_within_ejection_or_never_turns_has_no_beat() {
        assert!(beats(7, 26.0, 0.05, 0.0).is_empty());
        assert!(beats(5, 26.0, 0.65, 0.0).is_empty());
        let flat: Vec<Option<f64>> = vec![Some(80.0); 40];
        assert!(Curve::smooth(&flat, None).unwrap().beats().is_empty());
        assert!(Curve::smooth(&[None, None], None).is_none());
    }

    #[test]
    fn a_dip_in_the_last_frames_is_no_end_systole() {
        // From late systole through filling to end diastole, and into an ejection that the clip cuts off: noise in the
        // last frame makes the frame before it a minimum.
        let raw: Vec<Option<f64>> = (0..27)
            .map(|f| {
                let noise = if f == 26 { 16.0 } else { 0.0 };
                Some(volume((f64::from(f) / 26.0 + 0.25).rem_euclid(1.0)) + noise)
            })
            .collect();
        let found = Curve::smooth(&raw, Some(30.0)).unwrap().beats();
        assert_eq!(found.len(), 1);
        assert!(
            (2..=4).contains(&found[0].es) && (18..=20).contains(&found[0].ed),
            "{found:?}"
        );
        assert!(!found[0].complete);
    }

    #[test]
    fn a_low_frame_rate_keeps_what_depth_its_frames_have() {
        // 15 frames a second, 90 beats a minute.
        let raw: Vec<Option<f64>> = (0..30)
            .map(|f| Some(volume((f64::from(f) / 10.0 + 0.95).rem_euclid(1.0))))
            .collect();
        let seen = raw.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let curve = Curve::smooth(&raw, Some(15.0)).unwrap();
        for beat in curve.beats() {
            assert!(curve.volumes[beat.es] - seen < 2.0, "{beat:?}");
        }
        assert_eq!(curve.beats().len(), 2);
    }

    #[test]
    fn noise_is_no_beat() {
        for seed in 1..20_u32 {
            let mut state = seed;
            let raw: Vec<Option<f64>> = (0..60)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    Some(60.0 + 40.0 * f64::from(state >> 8) / f64::from(1 << 24))
                })
                .collect();
            for rate in [15.0, 30.0] {
                assert!(Curve::smooth(&raw, Some(rate)).unwrap().beats().is_empty());
            }
        }
    }

    #[test]
    fn noise_counts_by_the_time_that_it_stands_for() {
        let smooth = [10.0; 6];
        let all = [12.0, 10.0, 10.0, 8.0, 10.0, 10.0].map(Some);
        assert!((residual(&all, &smooth) - (8.0_f64 / 6.0).sqrt()).abs() < 1e-9);
        // The same noise, looked at closely.
        let some = [Some(12.0), Some(10.0), None, None, Some(10.0), None];
        let expected = (4.0_f64 / (1.0 + 2.0 + 2.5)).sqrt();
        assert!((residual(&some, &smooth) - expected).abs() < 1e-9);
    }

    #[test]
    fn gaps_are_bridged_and_a_parabola_is_kept() {
        let raw: Vec<Option<f64>> = (0..20)
            .map(|f| (f != 7 && f != 0).then(|| f64::from(f * f) / 10.0 + 3.0))
            .collect();
        let curve = Curve::smooth(&raw, None).unwrap();
        assert!((curve.volumes[12] - 17.4).abs() < 1e-9);
        assert!((curve.volumes[7] - 7.9).abs() < 0.3);
    }

    proptest! {
        #[test]
        fn smoothing_and_beats_take_any_curve(raw in proptest::collection::vec(proptest::option::of(0.0..500.0_f64), 0..80)) {
            if let Some(curve) = Curve::smooth(&raw, Some(50.0)) {
                prop_assert_eq!(curve.volumes.len(), raw.len());
                for beat in curve.beats() {
                    prop_assert!(beat.ed < raw.len() && beat.es < raw.len() && beat.ed != beat.es);
                }
            }
        }
    }
}
