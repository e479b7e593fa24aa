//! One file to its findings, in two halves: [`prepare`] reads and decides, and may run on any thread;
//! [`Prepared::measure`] needs the models, and runs on the thread that owns them. Frames are decoded beside the network,
//! so that a broken one may come to light in either half.

use std::fs::File;
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use sha2::{Digest, Sha256};
use sonode_conformance::SopInstanceUid;
use sonode_conformance::limits::FRAMES_MAX;
use sonode_conformance::sop_class::is_measurement_report;
use sonode_findings::grade::profile_of_sex;
use sonode_findings::{InstanceFindings, Region, Rejection, StudyContext, Value, View, phrases};

use crate::clip::{Clip, Pixels, spread};
use crate::dicom::pixels::{CLIP_PIXELS_MAX, Frames, PixelError};
use crate::dicom::regions::{Crop, Geometry, geometry};
use crate::dicom::{self, OpenError, Opened, cart, context, scope, timing};
use crate::measure;
use crate::models::Models;
use crate::parallel;

/// Most frames that are looked at in colour, at least half as many where there are such: flow shows in some part of every
/// beat. The second figure is for cines in which the first frames show some colour, but not enough of it.
const COLOUR_SAMPLES: [usize; 2] = [6, 12];
/// Share of the crop whose colour is worth a second look: less than that is compression's.
const COLOUR_TRACE: f64 = 0.0005;
/// Share of the crop that a colour box paints at least in its fullest frame; annotations paint less.
const DOPPLER_SHARE: f64 = 0.01;

/// An instance up to the point where a model is needed.
pub struct Prepared {
    /// The patient and study attributes; none where there is no readable data set.
    pub context: Option<StudyContext>,
    findings: InstanceFindings,
    clip: Option<Clip>,
}

/// What is known of one instance.
pub struct Analysis {
    /// What was found.
    pub findings: InstanceFindings,
    /// The patient and study attributes; none where there is no readable data set.
    pub context: Option<StudyContext>,
}

/// Reads the header, applies the gates, and finds the frames of a clip that passes them.
///
/// Every instance has an answer: what can't be parsed or decoded is rejected as `undecodable`.
///
/// # Errors
/// Where reading fails: that says nothing about the instance, and would be wrong as its answer.
pub fn prepare(path: &Path) -> io::Result<Prepared> {
    read(path, prepare_opened)
}

/// Reads only which study and instance a file is of.
///
/// # Errors
/// As [`prepare`].
pub fn identify(path: &Path) -> io::Result<Prepared> {
    read(path, |opened, findings| Prepared {
        context: context::study_context(opened),
        findings,
        clip: None,
    })
}

fn read(
    path: &Path,
    then: impl FnOnce(&Opened, InstanceFindings) -> Prepared,
) -> io::Result<Prepared> {
    thread::scope(|scope| {
        // Beside the rest: it takes a core through the whole file, which the header doesn't wait for.
        let digest = scope.spawn(|| sha256(path));
        let digest = || digest.join().unwrap_or_else(|panic| resume_unwind(panic));
        read_beside(path, digest, then)
    })
}

/// As [`read`], with the file's digest from somewhere else.
fn read_beside(
    path: &Path,
    digest: impl FnOnce() -> io::Result<String>,
    then: impl FnOnce(&Opened, InstanceFindings) -> Prepared,
) -> io::Result<Prepared> {
    Ok(match dicom::open(path) {
        Ok(opened) => {
            let Some(uid) = opened.sop_instance_uid() else {
                let sha256 = Some(digest()?);
                let uid = uid_without_header(path, sha256.as_deref());
                let mut findings = InstanceFindings::empty(uid);
                findings.sha256 = sha256;
                return Ok(then(&opened, findings));
            };
            let mut prepared = then(&opened, InstanceFindings::empty(uid));
            prepared.findings.sha256 = Some(digest()?);
            prepared
        }
        Err(OpenError::Io(error)) => return Err(error),
        Err(error) => {
            let sha256 = Some(digest()?);
            let uid = uid_without_header(path, sha256.as_deref());
            let mut findings = InstanceFindings::empty(uid);
            findings.sha256 = sha256;
            Prepared {
                context: None,
                findings: findings.reject(Rejection::Undecodable, error.sentence()),
                clip: None,
            }
        }
    })
}

/// Opens a file only to see whether it is DICOM at all.
///
/// # Errors
/// [`OpenError`], for a message to whoever named the file.
pub fn check(path: &Path) -> Result<(), OpenError> {
    dicom::open(path).map(|_| ())
}

impl Prepared {
    /// The answer for a file that a library gave up on.
    pub fn given_up(path: &Path) -> Self {
        let sha256 = sha256(path).ok();
        let mut findings = InstanceFindings::empty(uid_without_header(path, sha256.as_deref()));
        findings.sha256 = sha256;
        Self {
            context: None,
            findings: findings.reject(Rejection::Undecodable, phrases::UNPARSABLE),
            clip: None,
        }
    }

    /// Whether [`Self::measure`] will run a model.
    pub fn needs_models(&self) -> bool {
        self.clip.is_some()
    }

    /// The decoded cine; none where the instance was refused before.
    pub fn clip(&self) -> Option<&Clip> {
        self.clip.as_ref()
    }

    /// Why it will not be measured, as far as that is known before a model has seen it.
    pub fn rejection(&self) -> Option<Rejection> {
        self.findings.rejected
    }

    /// The instance's SOP Instance UID.
    pub fn sop_instance_uid(&self) -> &SopInstanceUid {
        &self.findings.sop_instance_uid
    }

    /// Runs the models on the clip, if there is one, and completes the findings.
    pub fn measure(self, models: &Models) -> Analysis {
        self.measure_and_keep(models).0
    }

    /// The same, and the clip, for whoever wants to look at it once more.
    pub fn measure_and_keep(self, models: &Models) -> (Analysis, Option<Clip>) {
        let Self {
            context,
            mut findings,
            clip,
        } = self;
        if let Some(clip) = &clip {
            let reading = measure::read_clip(clip, models);
            findings.view = reading.view.or(findings.view);
            findings.quality = reading.quality;
            findings.beats = reading.beats;
            findings.contours = reading.contours;
            findings.traces = reading.traces;
            findings.volume_curve = reading.volume_curve;
            if reading.calibration_is_wrong {
                findings.calibration = None;
            }
            findings.lv = reading.lv;
            findings.grades = reading.grades;
            findings.checks = reading.checks;
            for note in reading.notes {
                findings.note(note);
            }
            findings.models = reading.models;
            if let Some((reason, detail)) = reading.rejected {
                findings = findings.reject(reason, detail);
            }
        }
        (Analysis { findings, context }, clip)
    }
}

fn prepare_opened(opened: &Opened, mut findings: InstanceFindings) -> Prepared {
    let context = context::study_context(opened);
    let geometry = describe(opened, &mut findings);
    let class = findings.sop_class_uid.as_ref();
    if class.is_some_and(|class| is_measurement_report(class.as_str())) {
        findings.cart = cart::read(opened.attributes());
    }
    let outcome = match scope::refusal(opened) {
        Some(refusal) => Err(refusal),
        None => clip(opened, &geometry, &mut findings),
    };
    let (findings, clip) = match outcome {
        Ok(clip) => (findings, Some(clip)),
        Err((reason, detail)) => (findings.reject(reason, detail), None),
    };
    Prepared {
        context,
        findings,
        clip,
    }
}

/// Fills in what the header says.
fn describe(opened: &Opened, findings: &mut InstanceFindings) -> Geometry {
    let attributes = opened.attributes();
    let number = |tag| attributes.whole(tag).filter(|number| *number > 0);
    findings.sop_class_uid = opened.sop_class_uid();
    findings.series_instance_uid = opened.series_instance_uid();
    findings.rows = number(dicom_dictionary_std::tags::ROWS);
    findings.columns = number(dicom_dictionary_std::tags::COLUMNS);
    findings.frames =
        number(dicom_dictionary_std::tags::NUMBER_OF_FRAMES).or(opened.has_pixels().then_some(1));
    findings.frame_rate_hz = timing::frame_rate_hz(attributes);
    findings.heart_rate_bpm = timing::heart_rate_bpm(attributes);
    findings.body = cart::body_size(attributes);
    findings.view = scope::view(attributes).map(|label| View {
        label,
        probability: None,
    });
    let size = [findings.columns, findings.rows].map(|side| side.unwrap_or(0) as usize);
    let geometry = geometry(attributes, size);
    if opened.has_pixels() && findings.frames.is_some_and(|frames| frames > 1) {
        findings.calibration.clone_from(&geometry.calibration);
        findings.region = region(&geometry);
        for note in &geometry.notes {
            findings.note(note.clone());
        }
    }
    geometry
}

fn region(geometry: &Geometry) -> Option<Region> {
    let Crop {
        column,
        row,
        width,
        height,
    } = geometry.crop;
    let number = |side: usize| u32::try_from(side).ok();
    Some(Region {
        column: number(column)?,
        row: number(row)?,
        columns: number(width).filter(|columns| *columns > 0)?,
        rows: number(height).filter(|rows| *rows > 0)?,
        pixel_aspect: geometry.pixel_aspect,
    })
}

fn clip(
    opened: &Opened,
    geometry: &Geometry,
    findings: &mut InstanceFindings,
) -> Result<Clip, scope::Refusal> {
    let undecodable = |error: PixelError| (Rejection::Undecodable, error.sentence());
    let frames = Frames::of(opened).map_err(undecodable)?;
    let crop = geometry.crop;
    let size = crop.width * crop.height;
    let count = frames
        .count()
        .min(FRAMES_MAX as usize)
        .min(CLIP_PIXELS_MAX / size.max(1));
    let counts = || [count, frames.stated()].map(|count| Value::from(count.to_string()));
    if count < frames.stated() {
        findings.note(phrases::FRAMES_ANALYSED.say(counts()));
    }
    if count < 2 {
        return Err((Rejection::Undecodable, phrases::FRAMES_HELD.say(counts())));
    }
    let Sampled { decoded, flow } = samples(&frames, crop, count).map_err(undecodable)?;
    if flow >= DOPPLER_SHARE {
        return Err((
            Rejection::ColourDoppler,
            phrases::COLOURED.say([format!("{:.0}", flow * 100.0).into()]),
        ));
    }
    let attributes = opened.attributes();
    Ok(Clip {
        frames: count,
        height: crop.height,
        width: crop.width,
        origin: [crop.column, crop.row],
        image: frames.size(),
        pixels: Pixels::Coded {
            frames,
            crop,
            decoded,
        },
        cm_per_px: geometry
            .calibration
            .as_ref()
            .map(|calibration| calibration.cm_per_px),
        pixel_aspect: geometry.pixel_aspect,
        frame_rate_hz: findings.frame_rate_hz,
        heart_rate_bpm: findings.heart_rate_bpm,
        header_view: scope::view(attributes),
        norms: attributes
            .trimmed(dicom_dictionary_std::tags::PATIENT_SEX)
            .and_then(|sex| profile_of_sex(&sex)),
    })
}

/// Frames that were looked at in colour.
struct Sampled {
    /// Their luma, by number from 0.
    decoded: Vec<(usize, Vec<u8>)>,
    /// The largest share that a colour box paints of one of them, 0 to 1.
    flow: f64,
}

/// Looks for a colour box that is burned into the pixels; headers often don't say. A clip that is grey throughout isn't
/// decoded for that.
fn samples(frames: &Frames, crop: Crop, count: usize) -> Result<Sampled, PixelError> {
    let count = if frames.is_colour() { count } else { 0 };
    let mut sampled = Sampled {
        decoded: Vec::new(),
        flow: 0.0,
    };
    for most in COLOUR_SAMPLES {
        let is_new = |at: &usize| sampled.decoded.iter().all(|(known, _)| known != at);
        let numbers: Vec<usize> = spread(count, most).filter(is_new).collect();
        let found = parallel::try_map(numbers.len(), parallel::cores(), |sample| {
            frames.luma_and_flow(crop, numbers[sample])
        })?;
        for (number, (luma, flow)) in numbers.into_iter().zip(found) {
            sampled.decoded.push((number, luma));
            sampled.flow = sampled.flow.max(flow);
        }
        if !(COLOUR_TRACE..DOPPLER_SHARE).contains(&sampled.flow) {
            break;
        }
    }
    sampled.decoded.sort_unstable_by_key(|(number, _)| *number);
    Ok(sampled)
}

/// A file without a readable header still has an answer, under the UID that the spool named it by, or else under one
/// derived from its bytes, which nothing else can have.
fn uid_without_header(path: &Path, sha256: Option<&str>) -> SopInstanceUid {
    let name = path.file_name().and_then(|name| name.to_str());
    let from_name = name
        .and_then(|name| name.strip_suffix(".dcm"))
        .and_then(|name| name.rsplit_once('.'))
        .and_then(|(uid, _)| uid.parse().ok());
    let from_bytes = || {
        let number = u128::from_str_radix(sha256?.get(..32)?, 16).ok()?;
        format!("2.25.{number}").parse().ok()
    };
    from_name.or_else(from_bytes).unwrap_or_else(nil_uid)
}

/// The nil UUID as a UID (PS3.5 annex B.2), for a file that can't even be read.
#[expect(clippy::expect_used, reason = "a constant that is a UID")]
fn nil_uid() -> SopInstanceUid {
    "2.25.0".parse().expect("a UID")
}

/// SHA-256 of a file, 64 hexadecimal digits, read in pieces.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => digest.update(&piece[..count]),
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finalize() {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use sonode_phantom::anatomy::View;
    use sonode_phantom::cine::Study;
    use sonode_phantom::dicom::{Identity, write};
    use sonode_phantom::spec::{StudySpec, Subject};
    use sonode_phantom::style::Style;
    use tch::Device;

    use super::*;

    #[test]
    fn a_broken_frame_is_found_beside_the_network_and_refuses_the_clip() {
        let mut spec = StudySpec::of(7, Style::A, Subject::Apical(View::A4c));
        spec.frames = 40;
        let mut file = Vec::new();
        write(&Study::generate(&spec), &Identity::default(), &mut file).unwrap();
        let starts: Vec<usize> = file
            .windows(3)
            .enumerate()
            .filter_map(|(at, three)| (three == [0xFF, 0xD8, 0xFF]).then_some(at))
            .collect();
        // Frames 11 and 19 are read, and no sample is taken of them in colour.
        for frame in [18, 10] {
            file[starts[frame]..starts[frame] + 4].fill(0);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.dcm");
        std::fs::write(&path, file).unwrap();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let models = Models::load(&models, Device::Cpu, true).unwrap();
        let prepared = prepare(&path).unwrap();
        assert!(prepared.needs_models());
        let findings = prepared.measure(&models).findings;
        assert_eq!(findings.rejected, Some(Rejection::Undecodable));
        let detail = findings.rejected_detail.unwrap();
        assert!(detail.starts_with("Frame 11: "), "{detail}");
        assert!(findings.models.is_empty() && findings.volume_curve.is_empty());
    }
}
