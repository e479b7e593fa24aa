//! The shipped network and the whole measurement on synthetic cines: a known heart is read, and what is none is refused.

use std::path::Path;

use sonode_findings::{CardiacPhase, Rejection, ViewLabel};
use sonode_phantom::cine::{Frame, Study};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style;
use sonode_worker::clip::{Clip, Pixels};
use sonode_worker::measure::{ClipReading, read_clip};
use sonode_worker::models::{Models, ModelsError};
use tch::Device;

fn models() -> Result<Models, ModelsError> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    Models::load(&dir, Device::Cpu, true)
}

fn cine(subject: Subject, seed: u64) -> Study {
    let mut spec = StudySpec::of(seed, Style::D, subject);
    spec.frames = 45;
    spec.heart_rate = Some(72.0);
    Study::generate(&spec)
}

/// The region of a cine of style D, whose frames are grey.
fn clip(study: &Study, calibrated: bool) -> Clip {
    let [left, top, right, bottom] = study.region().map(|edge| edge as usize);
    let (width, height) = (right - left + 1, bottom - top + 1);
    let frames: Vec<Frame> = study.frames().collect();
    let pixels = frames
        .iter()
        .flat_map(|frame| {
            let lines = frame
                .pixels
                .chunks_exact(frame.width as usize)
                .skip(top)
                .take(height);
            lines.flat_map(move |line| line[left..=right].iter().copied())
        })
        .collect();
    Clip {
        frames: frames.len(),
        height,
        width,
        pixels: Pixels::Decoded(pixels),
        origin: [left, top],
        image: [study.spec().width as usize, study.spec().height as usize],
        cm_per_px: calibrated.then(|| study.raster().cm_per_px.map(f64::from)),
        pixel_aspect: 1.0,
        frame_rate_hz: Some(f64::from(study.spec().fps)),
        heart_rate_bpm: None,
        header_view: None,
        norms: None,
    }
}

#[test]
fn a_synthetic_heart_is_read_as_it_is() {
    let study = cine(Subject::Apical(sonode_phantom::anatomy::View::A4c), 41);
    let truth = study.truth().unwrap();
    let models = models().unwrap();
    let reading = read_clip(&clip(&study, true), &models);
    assert_eq!(reading.rejected, None);
    assert_eq!(reading.view.as_ref().unwrap().label, ViewLabel::A4C);
    let lv = reading.lv.as_ref().unwrap();
    assert!(
        (lv.lvef_percent - f64::from(truth.lvef_percent)).abs() < 12.0,
        "{lv:?}"
    );
    let edv = lv.edv_ml.unwrap() / f64::from(truth.edv_ml);
    assert!((0.6..1.3).contains(&edv), "{edv}");
    let [low, high] = lv.lvef_interval.unwrap();
    assert!(low < lv.lvef_percent && lv.lvef_percent < high);
    assert_eq!(reading.volume_curve.len(), 45);
    assert!(
        reading
            .contours
            .iter()
            .any(|contour| contour.phase == CardiacPhase::EndSystole)
    );
    assert!(!reading.checks.is_empty() && !reading.models.is_empty());
    near_the_truth(&reading, truth);

    // Without a calibration there is the same EF, and no millilitre.
    let bare = read_clip(&clip(&study, false), &models);
    let bare_lv = bare.lv.unwrap();
    assert_eq!((bare_lv.edv_ml, bare_lv.esv_ml), (None, None));
    assert!((bare_lv.lvef_percent - lv.lvef_percent).abs() < 0.5);
    let largest = bare.volume_curve.iter().copied().fold(0.0, f64::max);
    assert!((largest - 100.0).abs() < 1e-6);
}

/// Every contour point lies within a tenth of the ventricle's size of the true outline.
fn near_the_truth(reading: &ClipReading, truth: &sonode_phantom::truth::Truth) {
    for contour in &reading.contours {
        let outline = &truth.contours[contour.frame as usize - 1];
        let rows = outline.iter().map(|p| f64::from(p[1]));
        let size = rows.clone().fold(f64::MIN, f64::max) - rows.fold(f64::MAX, f64::min);
        let mut distances: Vec<f64> = contour
            .points
            .iter()
            .map(|p| {
                outline
                    .iter()
                    .map(|q| (p[0] - f64::from(q[0])).hypot(p[1] - f64::from(q[1])))
                    .fold(f64::MAX, f64::min)
            })
            .collect();
        distances.sort_by(f64::total_cmp);
        // The truth has no points along the annulus, so the farthest few are left out.
        let ninth_tenth = distances[distances.len() * 9 / 10];
        assert!(ninth_tenth < 0.1 * size, "{ninth_tenth} of {size}");
    }
}

#[test]
fn what_shows_no_ventricle_is_refused() {
    let models = models().unwrap();
    for subject in [Subject::Noise, Subject::Blank] {
        let reading = read_clip(&clip(&cine(subject, 42), true), &models);
        let (reason, detail) = reading.rejected.unwrap();
        assert!(
            matches!(reason, Rejection::View | Rejection::Quality),
            "{subject:?} {detail}"
        );
        assert!(reading.lv.is_none() && reading.beats.is_empty() && reading.contours.is_empty());
    }
}

#[test]
fn a_frozen_heart_has_no_beat() {
    let study = cine(Subject::Apical(sonode_phantom::anatomy::View::A4c), 41);
    let mut frozen = clip(&study, true);
    let first = frozen.frame(0).unwrap().into_owned();
    frozen.pixels = Pixels::Decoded(first.repeat(frozen.frames));
    let reading = read_clip(&frozen, &models().unwrap());
    assert_eq!(
        reading.rejected.map(|(reason, _)| reason),
        Some(Rejection::NoBeat)
    );
}
