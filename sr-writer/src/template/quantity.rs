//! The numbers of a left ventricle as rows of a table, and the readings that fill them. Each template writes the same
//! rows in its own words.

use std::collections::BTreeSet;

use sonode_findings::{Beat, CardiacPhase, InstanceFindings, LvMeasurement, LvSummary, Method};

use super::{Source, decimal};
use crate::codes::{self, Code, Unit};
use crate::request::WriteError;
use crate::tree::{Coded, Image, ImageRef, Num};

use CardiacPhase::{EndDiastole, EndSystole};

/// One number: what it is called, and where it is found.
pub(super) struct Quantity {
    /// Its name where modifiers say how it was measured (CID 12202).
    pub(super) name: Code,
    pub(super) unit: Unit,
    /// The phases whose frames it stands on.
    pub(super) phases: &'static [CardiacPhase],
    of_summary: fn(&LvMeasurement) -> Option<f64>,
    of_beat: fn(&Beat) -> Option<f64>,
    /// Its names where one code says it all (CID 12300), with the Short Label, by method.
    precoordinated: [(Method, Code, &'static str); 3],
}

/// Ejection fraction and volumes, in the order in which they are written.
pub(super) const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: codes::LVEF,
        unit: Unit::Percent,
        phases: &[EndDiastole, EndSystole],
        of_summary: |measurement| Some(measurement.lvef_percent),
        of_beat: |beat| Some(beat.lvef_percent),
        precoordinated: [
            (Method::ModBiplane, codes::LVEF_BIPLANE, "LVEF (MOD bp)"),
            (Method::ModA4c, codes::LVEF_A4C, "LVEF (MOD A4C)"),
            (Method::ModA2c, codes::LVEF_A2C, "LVEF (MOD A2C)"),
        ],
    },
    Quantity {
        name: codes::LV_EDV,
        unit: Unit::Millilitre,
        phases: &[EndDiastole],
        of_summary: |measurement| measurement.edv_ml,
        of_beat: |beat| beat.edv_ml,
        precoordinated: [
            (Method::ModBiplane, codes::LV_EDV_BIPLANE, "LVEDV (MOD bp)"),
            (Method::ModA4c, codes::LV_EDV_A4C, "LVEDV (MOD A4C)"),
            (Method::ModA2c, codes::LV_EDV_A2C, "LVEDV (MOD A2C)"),
        ],
    },
    Quantity {
        name: codes::LV_ESV,
        unit: Unit::Millilitre,
        phases: &[EndSystole],
        of_summary: |measurement| measurement.esv_ml,
        of_beat: |beat| beat.esv_ml,
        precoordinated: [
            (Method::ModBiplane, codes::LV_ESV_BIPLANE, "LVESV (MOD bp)"),
            (Method::ModA4c, codes::LV_ESV_A4C, "LVESV (MOD A4C)"),
            (Method::ModA2c, codes::LV_ESV_A2C, "LVESV (MOD A2C)"),
        ],
    },
];

impl Quantity {
    /// The one code that names quantity, method and view, and its Short Label.
    pub(super) fn precoordinated(&self, method: Method) -> Option<(Code, &'static str)> {
        let mut all = self.precoordinated.iter();
        all.find(|(of, _, _)| *of == method)
            .map(|(_, code, label)| (*code, *label))
    }
}

/// How a method is coded, and the views that it takes.
fn coded(method: Method) -> (Code, &'static [Code]) {
    match method {
        Method::ModA4c => (codes::MOD_SINGLE_PLANE, &[codes::APICAL_FOUR_CHAMBER]),
        Method::ModA2c => (codes::MOD_SINGLE_PLANE, &[codes::APICAL_TWO_CHAMBER]),
        Method::ModBiplane => (
            codes::MOD_BIPLANE,
            &[codes::APICAL_FOUR_CHAMBER, codes::APICAL_TWO_CHAMBER],
        ),
    }
}

/// One measurement of the ventricle: the study's summary, or one beat of one clip.
pub(super) struct Reading<'a> {
    pub(super) method: Method,
    clips: Vec<(&'a InstanceFindings, ImageRef)>,
    values: Values<'a>,
    /// Whether it is the median of several beats.
    pub(super) is_median: bool,
}

enum Values<'a> {
    Summary(&'a LvSummary),
    Beat(&'a Beat),
}

impl<'a> Reading<'a> {
    /// The study's summary; `None` where nothing was measured.
    pub(super) fn summary(source: &Source<'a>) -> Result<Option<Self>, WriteError> {
        let Some(lv) = &source.findings.lv else {
            return Ok(None);
        };
        let clips = source.measured()?;
        Ok(Some(Self {
            method: lv.measurement.method,
            is_median: clips.iter().any(|clip| clip.beats.len() > 1),
            clips: referenced(source, &clips)?,
            values: Values::Summary(lv),
        }))
    }

    /// The beats of a clip, in the clip's own single-plane method.
    pub(super) fn beats(
        source: &Source<'a>,
        clip: &'a InstanceFindings,
    ) -> Result<Vec<Self>, WriteError> {
        let Some(lv) = &clip.lv else {
            return Ok(Vec::new());
        };
        clip.beats
            .iter()
            .map(|beat| {
                Ok(Self {
                    method: lv.method,
                    clips: referenced(source, &[clip])?,
                    values: Values::Beat(beat),
                    is_median: false,
                })
            })
            .collect()
    }

    /// The number, where this reading has it; the caller says under which name.
    pub(super) fn num(&self, quantity: &Quantity, name: Code) -> Result<Option<Num>, WriteError> {
        let value = match self.values {
            Values::Summary(lv) => (quantity.of_summary)(&lv.measurement),
            Values::Beat(beat) => (quantity.of_beat)(beat),
        };
        // What is not known is left out, not written empty.
        let Some(value) = value else {
            return Ok(None);
        };
        let value = decimal(value, 1, name.meaning)?;
        Ok(Some(Num::new(name, value, quantity.unit)))
    }

    /// The number with its modifiers: view, cycle point, method, derivation, in the order of TID 300's rows.
    pub(super) fn modified(&self, quantity: &Quantity) -> Result<Option<Num>, WriteError> {
        let num = self.num(quantity, quantity.name)?;
        Ok(num.map(|num| self.modify(num, quantity)))
    }

    /// How this reading came to a number.
    pub(super) fn modify(&self, mut num: Num, quantity: &Quantity) -> Num {
        let (method, views) = coded(self.method);
        for view in views {
            num = num.modifier(Coded::new(codes::IMAGE_VIEW, *view));
        }
        if let [phase] = quantity.phases {
            num = num.modifier(Coded::new(codes::CYCLE_POINT, cycle_point(*phase)));
        }
        num = num.modifier(Coded::new(codes::MEASUREMENT_METHOD, method));
        if self.is_median {
            num = num.modifier(Coded::new(codes::DERIVATION, codes::MEDIAN));
        }
        num
    }

    /// The frames that the number stands on, as the sources of its measurement (TID 320).
    pub(super) fn sources(&self, quantity: &Quantity) -> Result<Vec<Image>, WriteError> {
        self.clips
            .iter()
            .map(|(clip, image)| {
                let frames = self.frames(clip, quantity.phases)?;
                let name = Some(codes::SOURCE_OF_MEASUREMENT);
                Ok(Image::frames(name, image.clone(), frames))
            })
            .collect()
    }

    /// The frames in these phases, in order, each once.
    fn frames(
        &self,
        clip: &InstanceFindings,
        phases: &[CardiacPhase],
    ) -> Result<Vec<u32>, WriteError> {
        let beats = match self.values {
            Values::Summary(_) => clip.beats.as_slice(),
            Values::Beat(beat) => std::slice::from_ref(beat),
        };
        let mut frames = BTreeSet::new();
        for beat in beats {
            for phase in phases {
                let frame = match phase {
                    EndDiastole => beat.ed_frame,
                    EndSystole => beat.es_frame,
                };
                check_frame(clip, frame)?;
                frames.insert(frame);
            }
        }
        Ok(frames.into_iter().collect())
    }
}

fn referenced<'a>(
    source: &Source<'_>,
    clips: &[&'a InstanceFindings],
) -> Result<Vec<(&'a InstanceFindings, ImageRef)>, WriteError> {
    clips
        .iter()
        .map(|clip| Ok((*clip, source.measured_image(clip)?)))
        .collect()
}

/// The phase's code (CID 12233).
pub(super) fn cycle_point(phase: CardiacPhase) -> Code {
    match phase {
        EndDiastole => codes::END_DIASTOLE,
        EndSystole => codes::END_SYSTOLE,
    }
}

/// Heart rate of the first clip that states one.
pub(super) fn heart_rate(clips: &[&InstanceFindings]) -> Result<Option<Num>, WriteError> {
    let Some(bpm) = clips.iter().find_map(|clip| clip.heart_rate_bpm) else {
        return Ok(None);
    };
    let value = decimal(bpm, 0, "the heart rate")?;
    Ok(Some(Num::new(codes::HEART_RATE, value, Unit::PerMinute)))
}

/// Frames count from 1, and the clip has them: viewers silently show another frame where it doesn't.
pub(super) fn check_frame(clip: &InstanceFindings, frame: u32) -> Result<(), WriteError> {
    if (1..=clip.frames.unwrap_or(u32::MAX)).contains(&frame) {
        return Ok(());
    }
    Err(WriteError::Frame {
        instance: clip.sop_instance_uid.clone(),
        frame,
    })
}
