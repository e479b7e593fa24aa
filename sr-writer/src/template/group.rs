//! TID 1410 (a tracked contour and its area) and TID 1501 (left-ventricular function).

use sonode_findings::{CardiacPhase, Contour, Grade, InstanceFindings, ModelRef};

use super::quantity::{QUANTITIES, Quantity, Reading, check_frame, cycle_point, heart_rate};
use super::rows::{Modifier, Row, fill};
use super::{Source, decimal, qualitative, view_code};
use crate::codes::{self, Code, Unit};
use crate::identity::{beat_tracking_uid, contour_tracking_uid, function_tracking_uid};
use crate::request::WriteError;
use crate::texts::Language;
use crate::tree::{Coded, Container, Image, Num, Region, Text};
use sonode_conformance::{Uid, implementation};

/// The contours of a clip, one TID 1410 group each, so that each has a tracking identifier of its own: viewers merge
/// groups that share one.
pub(super) fn contours(
    source: &Source<'_>,
    clip: &InstanceFindings,
) -> Result<Vec<Container>, WriteError> {
    let mut ordered: Vec<&Contour> = clip.contours.iter().collect();
    ordered.sort_by_key(|contour| (contour.phase == CardiacPhase::EndSystole, contour.frame));
    let mut ordinal = [0_usize; 2];
    let mut groups = Vec::new();
    for contour in ordered {
        let [diastoles, systoles] = &mut ordinal;
        let count = match contour.phase {
            CardiacPhase::EndDiastole => diastoles,
            CardiacPhase::EndSystole => systoles,
        };
        *count += 1;
        groups.push(contour_group(source, clip, contour, *count)?);
    }
    Ok(groups)
}

fn contour_group(
    source: &Source<'_>,
    clip: &InstanceFindings,
    contour: &Contour,
    ordinal: usize,
) -> Result<Container, WriteError> {
    let image = source.measured_image(clip)?;
    let view = clip.view.as_ref().map(|view| view.label);
    let area = match contour.phase {
        CardiacPhase::EndDiastole => codes::LV_DIASTOLIC_AREA,
        CardiacPhase::EndSystole => codes::LV_SYSTOLIC_AREA,
    };
    let malformed = || WriteError::Contour {
        instance: clip.sop_instance_uid.clone(),
        frame: contour.frame,
    };
    check_frame(clip, contour.frame)?;
    let outline = inside(clip, contour);
    let region = Region::closed(codes::IMAGE_REGION, &outline, image, contour.frame)
        .ok_or_else(malformed)?;
    let label = Language::contour_label(view, contour.phase, ordinal);
    let tracking = contour_tracking_uid(&clip.sop_instance_uid, contour.phase, ordinal);
    let mut group = header("1410", &label, tracking, models_of(source, clip)).contains(region);
    if let Some(cm2) = contour.area_cm2 {
        let value = decimal(cm2, 2, "the area of a contour")?;
        group = group.contains(
            Num::new(area, value, Unit::SquareCentimetre)
                .modifier(Coded::new(codes::MEASUREMENT_METHOD, codes::PLANIMETRY)),
        );
    }
    if let Some(view) = view.and_then(view_code) {
        group = group.contains(Coded::new(codes::IMAGE_VIEW, view));
    }
    Ok(group.contains(Coded::new(codes::CYCLE_POINT, cycle_point(contour.phase))))
}

/// The contour's points, drawn back to the image's edge where smoothing took them less than one pixel over it. A point
/// further out is a defect, which the linter refuses.
fn inside(clip: &InstanceFindings, contour: &Contour) -> Vec<[f64; 2]> {
    let snap = |value: f64, size: Option<u32>| match size.map(f64::from) {
        Some(size) if (-1.0..0.0).contains(&value) => 0.0_f64.min(size),
        Some(size) if value > size && value < size + 1.0 => size,
        _ => value,
    };
    contour
        .points
        .iter()
        .map(|[x, y]| [snap(*x, clip.columns), snap(*y, clip.rows)])
        .collect()
}

/// TID 1501: ejection fraction, volumes and heart rate of the study, with method, view, derivation, interval and the
/// frames that they stand on. `None` where nothing was measured.
pub(super) fn function(source: &Source<'_>) -> Result<Option<Container>, WriteError> {
    let (Some(summary), Some(lv)) = (Reading::summary(source)?, &source.findings.lv) else {
        return Ok(None);
    };
    let clips = source.measured()?;
    let Some(first) = clips.first() else {
        return Ok(None);
    };
    let mut group = header(
        "1501",
        Language::function_label(summary.method),
        function_tracking_uid(&lv.source),
        &source.findings.models,
    );
    let in_words = qualitative::interval(source)?;
    let interval = lv.measurement.lvef_interval.zip(in_words);
    let qualified = Qualified {
        marks: qualitative::marks(source),
        interval: interval.map(|(ends, in_words)| Interval {
            value: lv.measurement.lvef_percent,
            ends,
            in_words,
        }),
    };
    for quantity in &QUANTITIES {
        let qualified = Some(&qualified).filter(|_| quantity.name == codes::LVEF);
        group = group.contains_all(number(&summary, quantity, qualified)?);
    }
    if let Some(rate) = heart_rate(&clips)? {
        let image = source.measured_image(first)?;
        let image = Image::whole(Some(codes::SOURCE_OF_MEASUREMENT), image);
        group = group.contains(rate.inferred_from(image));
    }
    let qualities = clips.iter().filter_map(|clip| clip.quality.as_ref());
    // The result is as good as the poorer of its clips.
    if let Some(poorest) = qualities.min_by(|a, b| a.grade.cmp(&b.grade)) {
        let quality = Coded::new(codes::IMAGE_QUALITY, quality_code(poorest.grade));
        group = group.contains(quality);
    }
    Ok(Some(group))
}

/// TID 1501 for each beat of a clip that has several: what the summary is the median of.
pub(super) fn beats(
    source: &Source<'_>,
    clip: &InstanceFindings,
) -> Result<Vec<Container>, WriteError> {
    let readings = Reading::beats(source, clip)?;
    if readings.len() < 2 && source.measured()?.len() < 2 {
        return Ok(Vec::new());
    }
    let models = models_of(source, clip);
    let beat = |(ordinal, reading): (usize, &Reading<'_>)| {
        let mut group = header(
            "1501",
            &Language::beat_label(reading.method, ordinal),
            beat_tracking_uid(&clip.sop_instance_uid, ordinal),
            models,
        );
        for quantity in &QUANTITIES {
            group = group.contains_all(number(reading, quantity, None)?);
        }
        Ok(group)
    };
    (1..).zip(&readings).map(beat).collect()
}

/// What the study's ejection fraction is never without, wherever a viewer shows it.
struct Qualified {
    /// Whose work it is.
    marks: Vec<Text>,
    interval: Option<Interval>,
}

/// The interval of the ejection fraction: both ends in percent.
struct Interval {
    value: f64,
    ends: [f64; 2],
    in_words: Text,
}

/// One number (TID 300). The interval is written as the distances of its ends (TID 310), since PS3.16 has no item for
/// an interval itself, and in words, since it has none for the level of those either.
fn number(
    reading: &Reading<'_>,
    quantity: &Quantity,
    qualified: Option<&Qualified>,
) -> Result<Option<Num>, WriteError> {
    let Some(mut num) = reading.modified(quantity)? else {
        return Ok(None);
    };
    for image in reading.sources(quantity)? {
        num = num.inferred_from(image);
    }
    let marks = qualified.iter().flat_map(|qualified| &qualified.marks);
    num = marks.cloned().fold(num, Num::property);
    if let Some(Interval {
        value,
        ends: [low, high],
        in_words,
    }) = qualified.and_then(|qualified| qualified.interval.as_ref())
    {
        let what = "the LVEF interval";
        num = num.property(in_words.clone());
        for (name, distance) in [
            (codes::UPPER_UNCERTAINTY, high - value),
            (codes::LOWER_UNCERTAINTY, value - low),
        ] {
            let distance = decimal(distance, 1, what)?;
            num = num.property(Num::new(name, distance, quantity.unit));
        }
    }
    Ok(Some(num))
}

/// The models that looked at a clip; the study's where findings of an older version don't say.
fn models_of<'a>(source: &Source<'a>, clip: &'a InstanceFindings) -> &'a [ModelRef] {
    if clip.models.is_empty() {
        &source.findings.models
    } else {
        &clip.models
    }
}

/// What the head of a group is filled from.
struct Group {
    label: String,
    tracking: Uid,
    models: Vec<ModelRef>,
}

/// The rows that TID 1410 and TID 1501 share: tracking, finding, site, algorithm (TID 4019). One algorithm, which is the
/// product; the models that it ran are its parameters, since TID 4019 has one name.
const HEAD: &[Row<Group>] = &[
    Row::ContextText(codes::TRACKING_IDENTIFIER, |group| {
        Some(group.label.clone())
    }),
    Row::ContextUid(codes::TRACKING_UID, |group| group.tracking.clone()),
    Row::Code(codes::FINDING, |_| codes::LEFT_VENTRICLE),
    Row::Modifier(Modifier::Code(
        codes::FINDING_SITE,
        |_| codes::LEFT_VENTRICLE,
        &[],
    )),
    Row::Modifier(Modifier::Texts(codes::ALGORITHM_NAME, |_| {
        vec![implementation::MODEL_NAME.to_owned()]
    })),
    Row::Modifier(Modifier::Texts(codes::ALGORITHM_VERSION, |_| {
        vec![implementation::SOFTWARE_VERSION.to_owned()]
    })),
    Row::Modifier(Modifier::Texts(codes::ALGORITHM_PARAMETERS, |group| {
        group.models.iter().map(parameter).collect()
    })),
    Row::Modifier(Modifier::Code(
        codes::ALGORITHM_FAMILY,
        |_| codes::ARTIFICIAL_INTELLIGENCE,
        &[],
    )),
];

fn parameter(model: &ModelRef) -> String {
    let ModelRef {
        name,
        version,
        sha256,
        ..
    } = model;
    format!("model={name} version={version} sha256={sha256}")
}

/// A group's head.
pub(super) fn header(
    template: &'static str,
    label: &str,
    tracking: Uid,
    models: &[ModelRef],
) -> Container {
    let group = Group {
        label: label.to_owned(),
        tracking,
        models: models.to_vec(),
    };
    let container = Container::templated(codes::MEASUREMENT_GROUP, template);
    fill(container, HEAD, &group)
}

/// CID 3114 has no grade between good and poor. What is measured with a caution is called poor, so that no reader
/// takes it for better than it is; the quality text says the grade itself.
fn quality_code(grade: Grade) -> Code {
    match grade {
        Grade::Good => codes::QUALITY_GOOD,
        Grade::Fair => codes::QUALITY_POOR,
        Grade::Poor => codes::QUALITY_UNUSABLE,
    }
}
