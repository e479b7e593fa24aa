//! TID 1410 (a tracked contour and its area) and TID 1501 (left-ventricular function).

use std::collections::BTreeSet;

use sonode_findings::{
    CardiacPhase, Contour, Findings, Grade, InstanceFindings, LvSummary, Method, ModelRef,
};

use super::{Source, decimal, view_code};
use crate::codes::{self, Code, Unit};
use crate::identity::{contour_tracking_uid, function_tracking_uid};
use crate::request::WriteError;
use crate::texts::Language;
use crate::tree::{Coded, Container, Image, ImageRef, Num, Region, Text, UidRef};
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
    let (area, cycle_point) = match contour.phase {
        CardiacPhase::EndDiastole => (codes::LV_DIASTOLIC_AREA, codes::END_DIASTOLE),
        CardiacPhase::EndSystole => (codes::LV_SYSTOLIC_AREA, codes::END_SYSTOLE),
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
    let models = if clip.models.is_empty() {
        &source.findings.models
    } else {
        &clip.models
    };
    let mut group = header("1410", &label, tracking, models).contains(region);
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
    Ok(group.contains(Coded::new(codes::CYCLE_POINT, cycle_point)))
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

/// TID 1501: ejection fraction, volumes and heart rate, with method, view, derivation and the frames that they stand on.
/// `None` where nothing was measured.
pub(super) fn function(source: &Source<'_>) -> Result<Option<Container>, WriteError> {
    let Findings {
        lv: Some(lv),
        models,
        ..
    } = source.findings
    else {
        return Ok(None);
    };
    let clips = source.measured()?;
    let Some(first) = clips.first() else {
        return Ok(None);
    };
    let mut group = header(
        "1501",
        Language::function_label(lv.measurement.method),
        function_tracking_uid(&lv.source),
        models,
    );
    for num in numbers(source, lv, &clips)? {
        group = group.contains(num);
    }
    if let Some(bpm) = clips.iter().find_map(|clip| clip.heart_rate_bpm) {
        let value = decimal(bpm, 0, "the heart rate")?;
        let image = source.measured_image(first)?;
        group = group.contains(
            Num::new(codes::HEART_RATE, value, Unit::PerMinute)
                .inferred_from(Image::whole(Some(codes::SOURCE_OF_MEASUREMENT), image)),
        );
    }
    if let Some(quality) = clips
        .iter()
        .filter_map(|clip| clip.quality.as_ref())
        .min_by(
            // The result is as good as the poorer of its clips.
            |a, b| a.grade.cmp(&b.grade),
        )
    {
        group = group.contains(Coded::new(
            codes::IMAGE_QUALITY,
            quality_code(quality.grade),
        ));
    }
    Ok(Some(group))
}

/// The rows that TID 1410 and TID 1501 share: tracking, finding, site, algorithm (TID 4019).
fn header(template: &'static str, label: &str, tracking: Uid, models: &[ModelRef]) -> Container {
    let group = Container::templated(codes::MEASUREMENT_GROUP, template)
        .observed(Text::new(codes::TRACKING_IDENTIFIER, label))
        .observed(UidRef::new(codes::TRACKING_UID, tracking))
        .contains(Coded::new(codes::FINDING, codes::LEFT_VENTRICLE))
        .modifier(Coded::new(codes::FINDING_SITE, codes::LEFT_VENTRICLE))
        // One algorithm, which is the product; the models that it ran are its parameters, since TID 4019 has one name.
        .modifier(Text::new(codes::ALGORITHM_NAME, implementation::MODEL_NAME))
        .modifier(Text::new(
            codes::ALGORITHM_VERSION,
            implementation::SOFTWARE_VERSION,
        ));
    let group = models.iter().fold(group, |group, model| {
        let ModelRef {
            name,
            version,
            sha256,
            ..
        } = model;
        let parameter = format!("model={name} version={version} sha256={sha256}");
        group.modifier(Text::new(codes::ALGORITHM_PARAMETERS, &parameter))
    });
    group.modifier(Coded::new(
        codes::ALGORITHM_FAMILY,
        codes::ARTIFICIAL_INTELLIGENCE,
    ))
}

/// Ejection fraction and volumes (TID 300). A volume that is not known is left out, not written empty.
fn numbers(
    source: &Source<'_>,
    lv: &LvSummary,
    clips: &[&InstanceFindings],
) -> Result<Vec<Num>, WriteError> {
    let measurement = &lv.measurement;
    let common = Common::new(source, measurement.method, clips)?;
    let mut nums = vec![common.num(
        codes::LVEF,
        measurement.lvef_percent,
        Unit::Percent,
        &[CardiacPhase::EndDiastole, CardiacPhase::EndSystole],
    )?];
    if let Some(edv) = measurement.edv_ml {
        let phases = &[CardiacPhase::EndDiastole];
        nums.push(common.num(codes::LV_EDV, edv, Unit::Millilitre, phases)?);
    }
    if let Some(esv) = measurement.esv_ml {
        let phases = &[CardiacPhase::EndSystole];
        nums.push(common.num(codes::LV_ESV, esv, Unit::Millilitre, phases)?);
    }
    Ok(nums)
}

/// What the numbers of one group have in common.
struct Common<'a> {
    method: Code,
    views: Vec<Code>,
    median: bool,
    clips: Vec<(&'a InstanceFindings, ImageRef)>,
}

impl<'a> Common<'a> {
    fn new(
        source: &Source<'_>,
        method: Method,
        clips: &[&'a InstanceFindings],
    ) -> Result<Self, WriteError> {
        let (method, views) = match method {
            Method::ModA4c => (codes::MOD_SINGLE_PLANE, vec![codes::APICAL_FOUR_CHAMBER]),
            Method::ModA2c => (codes::MOD_SINGLE_PLANE, vec![codes::APICAL_TWO_CHAMBER]),
            Method::ModBiplane => (
                codes::MOD_BIPLANE,
                vec![codes::APICAL_FOUR_CHAMBER, codes::APICAL_TWO_CHAMBER],
            ),
        };
        let clips = clips
            .iter()
            .map(|clip| Ok((*clip, source.measured_image(clip)?)))
            .collect::<Result<Vec<_>, WriteError>>()?;
        Ok(Self {
            method,
            views,
            median: clips.iter().any(|(clip, _)| clip.beats.len() > 1),
            clips,
        })
    }

    fn num(
        &self,
        name: Code,
        value: f64,
        unit: Unit,
        phases: &[CardiacPhase],
    ) -> Result<Num, WriteError> {
        // In the order of TID 300's rows: any modifier, then the method, then the derivation.
        let mut num = Num::new(name, decimal(value, 1, name.meaning)?, unit);
        for view in &self.views {
            num = num.modifier(Coded::new(codes::IMAGE_VIEW, *view));
        }
        if let [phase] = phases {
            let point = match phase {
                CardiacPhase::EndDiastole => codes::END_DIASTOLE,
                CardiacPhase::EndSystole => codes::END_SYSTOLE,
            };
            num = num.modifier(Coded::new(codes::CYCLE_POINT, point));
        }
        num = num.modifier(Coded::new(codes::MEASUREMENT_METHOD, self.method));
        if self.median {
            num = num.modifier(Coded::new(codes::DERIVATION, codes::MEDIAN));
        }
        for (clip, image) in &self.clips {
            let frames = frames(clip, phases)?;
            num = num.inferred_from(Image::frames(
                Some(codes::SOURCE_OF_MEASUREMENT),
                image.clone(),
                frames,
            ));
        }
        Ok(num)
    }
}

/// The frames of a clip's beats in these phases, in order, each once.
fn frames(clip: &InstanceFindings, phases: &[CardiacPhase]) -> Result<Vec<u32>, WriteError> {
    let mut frames = BTreeSet::new();
    for beat in &clip.beats {
        for phase in phases {
            let frame = match phase {
                CardiacPhase::EndDiastole => beat.ed_frame,
                CardiacPhase::EndSystole => beat.es_frame,
            };
            check_frame(clip, frame)?;
            frames.insert(frame);
        }
    }
    Ok(frames.into_iter().collect())
}

/// Frames count from 1, and the clip has them: viewers silently show another frame where it doesn't.
fn check_frame(clip: &InstanceFindings, frame: u32) -> Result<(), WriteError> {
    if (1..=clip.frames.unwrap_or(u32::MAX)).contains(&frame) {
        return Ok(());
    }
    Err(WriteError::Frame {
        instance: clip.sop_instance_uid.clone(),
        frame,
    })
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
