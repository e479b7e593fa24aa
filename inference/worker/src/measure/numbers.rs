//! From beats to numbers: volumes, ejection fraction and its interval, contours, checks.

use sonode_findings::grade::{Profile, grades};
use sonode_findings::phrases::{self, rule};
use sonode_findings::plausibility;
use sonode_findings::{
    Beat, CardiacPhase, Check, CheckOutcome, Contour, Disks, LvMeasurement, Method, Rejection,
    Trace, ViewLabel,
};

use super::ClipReading;
use super::checks::{self, Figures, Verdict};
use super::curve::{Curve, CurveBeat};
use super::frames::ClipFrames;
use super::ventricle::Ventricle;
use super::view;
use crate::clip::Clip;

/// Points of a reported contour.
const CONTOUR_POINTS: usize = 48;

/// Half-width of a 90 % interval in standard deviations of a normal error.
pub(crate) const INTERVAL_DEVIATIONS: f64 = 1.645;

/// How much wider the interval of a clip without a complete beat is.
const PARTIAL_WIDENING: f64 = 1.5;

/// The profiles that apply whatever the patient's sex.
const SEXLESS_PROFILES: [Profile; 2] = [Profile::Bse2020, Profile::EscHf];

/// How far from an extremum of the curve a frame with a ventricle may lie.
const NEAR_FRAMES: usize = 2;

/// How far from an end diastole or end systole a frame that was seen in the mirror belongs to it.
const MIRRORED_REACH: usize = 2;

/// One measured beat.
#[derive(Debug, Clone, PartialEq)]
struct Measured<'a> {
    beat: CurveBeat,
    /// Volumes at end diastole and end systole, in cubes of the unit of length.
    volumes: [f64; 2],
    lvef_percent: f64,
    /// The frame of each phase in which the ventricle was found, from 0.
    frames: [usize; 2],
    ventricles: [&'a Ventricle; 2],
}

/// The clip's numbers: those of the beat with the median EF, or the means over the two beats in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Median {
    /// Volumes at end diastole and end systole, in cubes of the unit of length.
    volumes: [f64; 2],
    lvef_percent: f64,
    /// The beat in the middle, or the earlier one of the two: its contours and disks stand for the clip.
    beat: usize,
}

/// What was measured in a clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers<'a> {
    beats: Vec<Measured<'a>>,
    median: Median,
    interval: [f64; 2],
    verdict: Verdict,
}

/// The curve as it is published: millilitres, or percent of the largest volume where they aren't known.
pub(super) fn published(curve: &Curve, calibrated: bool) -> Vec<f64> {
    let (_, high) = curve.range();
    let scale = if calibrated || high <= 0.0 {
        1.0
    } else {
        100.0 / high
    };
    curve.volumes.iter().map(|volume| volume * scale).collect()
}

impl<'a> Numbers<'a> {
    /// Measures the beats; none where no ventricle was found near any of them. `model_error` is that of EF, in points.
    pub(super) fn new(
        clip: &Clip,
        model_error: f64,
        frames: &'a ClipFrames,
        curve: &Curve,
        beats: &[CurveBeat],
    ) -> Option<Self> {
        let beats: Vec<Measured<'a>> = beats
            .iter()
            .filter_map(|beat| Measured::new(*beat, curve, frames))
            .collect();
        let calibrated = clip.cm_per_px.is_some();
        let beats = without_artefacts(beats, calibrated);
        let numbers = |measured: &Measured<'_>| (measured.volumes, measured.lvef_percent);
        let median = Median::of(&beats.iter().map(numbers).collect::<Vec<_>>())?;
        let middle = &beats[median.beat];
        let mut order = std::iter::once(middle).chain(&beats);
        let seen = order.find_map(|measured| seen_twice(frames, measured.beat));
        let seen = seen.map_or_else(Vec::new, Vec::from);
        let interval = interval(model_error, &beats, &median, &seen);
        let verdict = checks::check(&Figures {
            volumes: median.volumes,
            lvef_percent: median.lvef_percent,
            ..middle.figures(clip, frames)
        });
        Some(Self {
            beats,
            median,
            interval,
            verdict,
        })
    }

    /// Writes the numbers into a reading, or the reason why a hard bound forbids them.
    pub(super) fn fill(
        self,
        clip: &Clip,
        frames: &ClipFrames,
        curve: &Curve,
        view: ViewLabel,
        mut reading: ClipReading,
    ) -> ClipReading {
        let edv_fails =
            |check: &Check| check.id == rule::EDV_RANGE.id() && check.outcome == CheckOutcome::Fail;
        let implausible_volume = self.verdict.checks.iter().any(edv_fails);
        let others = Verdict {
            checks: self
                .verdict
                .checks
                .iter()
                .filter(|check| !edv_fails(check))
                .cloned()
                .collect(),
        };
        reading.checks = self.verdict.checks;
        if let Some(refusal) = others.refusal() {
            return reading.reject(Rejection::Quality, refusal);
        }
        if implausible_volume {
            // EF is a ratio: a wrong calibration spoils volumes, areas and the curve, and leaves it as it is.
            reading.notes.push(phrases::VOLUMES_WITHHELD.into());
            reading.calibration_is_wrong = true;
            reading.volume_curve = published(curve, false);
        }
        let calibrated = clip.cm_per_px.is_some() && !implausible_volume;
        let ml = |volume: f64| calibrated.then_some(volume);
        reading.beats = self
            .beats
            .iter()
            .map(|measured| Beat {
                ed_frame: frame_number(measured.frames[0]),
                es_frame: frame_number(measured.frames[1]),
                edv_ml: ml(measured.volumes[0]),
                esv_ml: ml(measured.volumes[1]),
                lvef_percent: measured.lvef_percent,
                complete: measured.beat.complete,
                ed_disks: calibrated.then(|| measured.disks(0)),
                es_disks: calibrated.then(|| measured.disks(1)),
            })
            .collect();
        reading.contours = self
            .beats
            .iter()
            .flat_map(|measured| measured.contours(clip, calibrated))
            .collect();
        reading.traces = traces(clip, frames);
        if !reading.beats.iter().any(|beat| beat.complete) {
            reading.notes.push(phrases::NO_COMPLETE_BEAT.into());
        }
        let is_short = |check: &Check| {
            check.id == checks::FORESHORTENING.id() && check.outcome == CheckOutcome::Warn
        };
        if let Some(quality) = &mut reading.quality
            && reading.checks.iter().any(is_short)
        {
            quality
                .reasons
                .push(phrases::LOOKS_FORESHORTENED.english.to_owned());
        }
        let median = self.median;
        let profiles = clip.norms.into_iter().chain(SEXLESS_PROFILES);
        reading.grades = grades(median.lvef_percent, profiles);
        reading.lv = Some(LvMeasurement {
            edv_ml: ml(median.volumes[0]),
            esv_ml: ml(median.volumes[1]),
            lvef_percent: median.lvef_percent,
            lvef_interval: Some(self.interval),
            method: if view == ViewLabel::A2C {
                Method::ModA2c
            } else {
                Method::ModA4c
            },
        });
        reading
    }
}

/// A beat outside the hard bounds is an artefact's: it is no beat of the clip's, unless all are like it.
fn without_artefacts(beats: Vec<Measured<'_>>, calibrated: bool) -> Vec<Measured<'_>> {
    let passes = |check: Check| check.outcome == CheckOutcome::Pass;
    let is_sound = |measured: &Measured<'_>| {
        passes(plausibility::ef(measured.lvef_percent))
            && (!calibrated || passes(plausibility::edv(measured.volumes[0])))
    };
    if beats.iter().any(is_sound) {
        beats.into_iter().filter(is_sound).collect()
    } else {
        beats
    }
}

impl Median {
    /// Of the volumes and ejection fractions of beats; none without a beat.
    fn of(beats: &[([f64; 2], f64)]) -> Option<Self> {
        let mut order: Vec<usize> = (0..beats.len()).collect();
        order.sort_by(|a, b| beats[*a].1.total_cmp(&beats[*b].1));
        let low = *order.get(order.len().checked_sub(1)? / 2)?;
        let high = order[order.len() / 2];
        let ([edv, esv], lvef_percent) = beats[low];
        let other = beats[high];
        Some(Self {
            volumes: [
                f64::midpoint(edv, other.0[0]),
                f64::midpoint(esv, other.0[1]),
            ],
            lvef_percent: f64::midpoint(lvef_percent, other.1),
            beat: low.min(high),
        })
    }
}

/// A ventricle's contour in image pixels.
fn in_image(ventricle: &Ventricle, clip: &Clip) -> Vec<[f64; 2]> {
    let unit = clip.cm_per_px.unwrap_or([1.0, clip.pixel_aspect]);
    let points = ventricle.contour(CONTOUR_POINTS).into_iter();
    let placed = points.map(|[x, y]| {
        [
            x / unit[0] + clip.origin[0] as f64,
            y / unit[1] + clip.origin[1] as f64,
        ]
    });
    placed.collect()
}

/// The contour of every frame in which the ventricle was found, to a tenth of a pixel. In a frame that wasn't read it lies
/// between those of the frames read before and after it.
fn traces(clip: &Clip, frames: &ClipFrames) -> Vec<Trace> {
    let count = frames.frames.len();
    let read: Vec<usize> = (0..count)
        .filter(|at| frames.frames[*at].is_some())
        .collect();
    let contours: Vec<Option<Vec<[f64; 2]>>> = read
        .iter()
        .map(|at| Some(in_image(frames.ventricle(*at)?, clip)))
        .collect();
    let contour = |at: usize| match read.binary_search(&at) {
        Ok(found) => contours[found].clone(),
        Err(next) => {
            let before = next.checked_sub(1)?;
            let way = (at - read[before]) as f64 / (read.get(next)? - read[before]) as f64;
            let (from, to) = (contours[before].as_ref()?, contours[next].as_ref()?);
            let points = from.iter().zip(to);
            Some(points.map(|(from, to)| between(*from, *to, way)).collect())
        }
    };
    let tenths = |point: [f64; 2]| point.map(|value| (value * 10.0).round() / 10.0);
    let traced = (0..count).filter_map(|at| {
        Some(Trace {
            frame: frame_number(at),
            points: contour(at)?.into_iter().map(tenths).collect(),
        })
    });
    traced.collect()
}

/// The point that far on the way between two, 0 to 1.
fn between(from: [f64; 2], to: [f64; 2], way: f64) -> [f64; 2] {
    [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * way)
}

impl<'a> Measured<'a> {
    fn new(beat: CurveBeat, curve: &Curve, frames: &'a ClipFrames) -> Option<Self> {
        let volumes = [*curve.volumes.get(beat.ed)?, *curve.volumes.get(beat.es)?];
        let (ed, es) = (nearest(frames, beat.ed)?, nearest(frames, beat.es)?);
        (volumes[0] > 0.0).then(|| Self {
            beat,
            volumes,
            lvef_percent: ef(volumes),
            frames: [ed.0, es.0],
            ventricles: [ed.1, es.1],
        })
    }

    /// The disks of one phase: those of its frame, scaled to the smoothed volume that is reported.
    fn disks(&self, phase: usize) -> Disks {
        let (ventricle, volume) = (self.ventricles[phase], self.volumes[phase]);
        let scale = (volume / ventricle.volume()).sqrt();
        Disks {
            length_cm: ventricle.length(),
            diameters_cm: ventricle.diameters().iter().map(|d| d * scale).collect(),
        }
    }

    fn figures(&self, clip: &Clip, frames: &ClipFrames) -> Figures {
        let [ed, es] = self.ventricles;
        let travel = (ed.apex[0] - es.apex[0]).hypot(ed.apex[1] - es.apex[1]);
        let forward = self.beat.ed < self.beat.es;
        let widest = ed.diameters().into_iter().fold(f64::EPSILON, f64::max);
        let atria = self
            .frames
            .iter()
            .zip(self.ventricles)
            .map(|(at, ventricle)| {
                let frame = frames.frames.get(*at)?.as_ref()?;
                frame.atrium_centre?;
                Some(view::atrium_is_below(frame, ventricle))
            });
        Figures {
            volumes: self.volumes,
            calibrated: clip.cm_per_px.is_some(),
            lvef_percent: self.lvef_percent,
            beat_lvef_percent: self.lvef_percent,
            lengths: [ed.length(), es.length()],
            area_length: [ed.area_length_volume(), es.area_length_volume()],
            heart_rate_bpm: clip.heart_rate_bpm,
            frame_rate_hz: clip.frame_rate_hz,
            systole_s: match clip.frame_rate_hz {
                None => Err(phrases::FRAME_RATE_UNKNOWN),
                Some(_) if !forward => Err(phrases::SYSTOLE_FIRST),
                Some(rate) => Ok((self.beat.es - self.beat.ed) as f64 / rate),
            },
            inside_sector: frames.share_inside(ed).min(frames.share_inside(es)),
            annulus_seen: ed.annulus_seen && es.annulus_seen,
            apex_travel: travel / ed.length().max(f64::EPSILON),
            depth_order: ed.apex[1] < ed.base[1] && es.apex[1] < es.base[1],
            atrium_below: atria
                .collect::<Option<Vec<bool>>>()
                .map(|below| below.into_iter().all(|below| below)),
            elongation: ed.length() / widest,
            region_share: ed.region_share.min(es.region_share),
        }
    }

    fn contours(&self, clip: &Clip, calibrated: bool) -> Vec<Contour> {
        [CardiacPhase::EndDiastole, CardiacPhase::EndSystole]
            .into_iter()
            .zip(self.frames)
            .zip(self.ventricles)
            .map(|((phase, frame), ventricle)| Contour {
                frame: frame_number(frame),
                phase,
                points: in_image(ventricle, clip),
                area_cm2: calibrated.then(|| ventricle.area()),
            })
            .collect()
    }
}

/// A 90 % interval for EF: the `model`'s own error, the spread of the beats and that of what was `seen` twice, taken as
/// independent; wider without a complete beat.
fn interval(model: f64, beats: &[Measured<'_>], median: &Median, seen: &[f64]) -> [f64; 2] {
    let efs: Vec<f64> = beats.iter().map(|measured| measured.lvef_percent).collect();
    let beat_error = variance(&efs) / efs.len().max(1) as f64;
    let widening = if beats[median.beat].beat.complete {
        1.0
    } else {
        PARTIAL_WIDENING
    };
    let deviation = (model * model + beat_error + variance(seen)).sqrt() * widening;
    let half = INTERVAL_DEVIATIONS * deviation;
    [
        (median.lvef_percent - half).max(0.0),
        (median.lvef_percent + half).min(100.0),
    ]
}

/// EF of one beat as the network sees its end diastole and its end systole directly, and as it sees them in the mirror;
/// none where there is a phase of which it doesn't see a frame in both.
fn seen_twice(frames: &ClipFrames, beat: CurveBeat) -> Option<[f64; 2]> {
    let direct = frames.volumes();
    let mut volumes = [[0.0; 2]; 2];
    for (phase, at) in [beat.ed, beat.es].into_iter().enumerate() {
        for near in at.saturating_sub(MIRRORED_REACH)..=at + MIRRORED_REACH {
            let known = |volumes: &[Option<f64>]| volumes.get(near).copied().flatten();
            if let Some((direct, mirrored)) = known(&direct).zip(known(&frames.mirrored)) {
                volumes[0][phase] += direct;
                volumes[1][phase] += mirrored;
            }
        }
    }
    // Both sums of a phase have as many frames.
    let is_seen = volumes.as_flattened().iter().all(|volume| *volume > 0.0);
    is_seen.then(|| volumes.map(ef))
}

fn ef([edv, esv]: [f64; 2]) -> f64 {
    100.0 * (edv - esv) / edv
}

/// Variance of a sample; 0 of fewer than two values.
fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (values.len() - 1) as f64
}

/// The frame nearest to `at` in which a ventricle was found.
fn nearest(frames: &ClipFrames, at: usize) -> Option<(usize, &Ventricle)> {
    let ventricle = |at: usize| Some((at, frames.ventricle(at)?));
    (0..=NEAR_FRAMES)
        .find_map(|off| ventricle(at + off).or_else(|| at.checked_sub(off).and_then(ventricle)))
}

/// Frames count from 1, as DICOM's do.
fn frame_number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_two_beats_lies_between_them() {
        let beat = |edv: f64, esv: f64| ([edv, esv], ef([edv, esv]));
        let (weak, strong, mean) = (beat(100.0, 60.0), beat(120.0, 48.0), beat(110.0, 55.0));
        let median = |beats: &[_]| {
            let found = Median::of(beats).unwrap();
            (found.volumes, found.lvef_percent, found.beat)
        };
        assert_eq!(median(&[strong, weak]), ([110.0, 54.0], 50.0, 0));
        assert_eq!(median(&[strong, mean, weak]), ([110.0, 55.0], 50.0, 1));
        assert_eq!(median(&[weak]), ([100.0, 60.0], 40.0, 0));
        assert_eq!(Median::of(&[]), None);
    }

    #[test]
    fn ejection_fraction_and_spread() {
        assert!((ef([120.0, 48.0]) - 60.0).abs() < 1e-9);
        assert!(variance(&[55.0]).abs() < 1e-9);
        assert!((variance(&[50.0, 60.0]) - 50.0).abs() < 1e-9);
    }
}
