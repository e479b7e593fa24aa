//! What another report of the study says, as a rule that of the ultrasound machine: its own measurements, and the
//! patient's size.

use serde::{Deserialize, Serialize};
use sonode_conformance::SopInstanceUid;

use crate::instance::{Check, CheckOutcome, InstanceFindings, LvMeasurement};
use crate::phrase::Value;
use crate::phrases::{self, rule};
use crate::plausibility::{SONODE, whole, whole_beside};

/// Largest difference of its ejection fraction and ours that isn't remarked on, in points.
const EF_POINTS_MAX: f64 = 10.0;

/// What one report says of the left ventricle and of the patient's size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CartReport {
    /// Content Date and Time (0008,0023 and 0008,0033), `YYYYMMDDHHMMSS`; empty where it doesn't say.
    pub content: String,
    /// Manufacturer and model of what made it.
    pub maker: String,
    /// One value for each quantity that it states, in the order of [`Quantity`].
    pub values: Vec<CartValue>,
}

/// A value of a report, in the unit of its quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CartValue {
    /// What was measured.
    pub quantity: Quantity,
    /// In the quantity's unit.
    pub value: f64,
    /// The concept's code, as the report has it.
    pub code: String,
    /// The concept's Coding Scheme Designator, as the report has it.
    pub scheme: String,
    /// Measurement method in words, where the report says one.
    pub method: Option<String>,
}

/// What is read of a report, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Left-ventricular ejection fraction, percent.
    Lvef,
    /// End-diastolic volume, millilitres.
    Edv,
    /// End-systolic volume, millilitres.
    Esv,
    /// Heart rate, beats a minute.
    HeartRate,
    /// Body height, metres.
    Height,
    /// Body weight, kilograms.
    Weight,
    /// Body surface area, square metres.
    BodySurfaceArea,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: [Self; 7] = [
        Self::Lvef,
        Self::Edv,
        Self::Esv,
        Self::HeartRate,
        Self::Height,
        Self::Weight,
        Self::BodySurfaceArea,
    ];

    /// What an adult can have; anything else is a slip of the unit or of the keyboard.
    pub fn plausible(self) -> std::ops::RangeInclusive<f64> {
        match self {
            Self::Lvef => 3.0..=95.0,
            Self::Edv => 15.0..=800.0,
            Self::Esv => 3.0..=750.0,
            Self::HeartRate => 20.0..=300.0,
            Self::Height => 1.0..=2.5,
            Self::Weight => 20.0..=400.0,
            Self::BodySurfaceArea => 0.8..=4.0,
        }
    }
}

impl CartReport {
    /// A quantity's value.
    pub fn value(&self, quantity: Quantity) -> Option<&CartValue> {
        self.values.iter().find(|value| value.quantity == quantity)
    }
}

/// The patient's size as an image's header states it: Patient's Size (0010,1020) and Patient's Weight (0010,1030).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BodySize {
    /// Metres.
    pub height_m: f64,
    /// Kilograms.
    pub weight_kg: f64,
}

/// Volumes over the body surface area.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeIndex {
    /// Body surface area, square metres.
    pub bsa_m2: f64,
    /// Where it comes from.
    pub origin: BsaOrigin,
    /// End-diastolic volume over it, millilitres a square metre.
    pub edv_ml_m2: f64,
    /// End-systolic volume over it, millilitres a square metre.
    pub esv_ml_m2: f64,
}

/// Where a body surface area comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BsaOrigin {
    /// A report states it.
    Report,
    /// Du Bois' formula over height and weight of a report.
    ReportDuBois,
    /// Du Bois' formula over height and weight of an image's header.
    HeaderDuBois,
}

/// 0.007184 W^0.425 H^0.725 with kilograms and centimetres (Du Bois and Du Bois 1916, Arch Intern Med 17:863).
pub fn du_bois(size: BodySize) -> f64 {
    0.007_184 * size.weight_kg.powf(0.425) * (size.height_m * 100.0).powf(0.725)
}

/// The report that counts, of several the latest; with equal times the one with the larger UID.
pub(crate) fn report(instances: &[InstanceFindings]) -> Option<(&SopInstanceUid, &CartReport)> {
    instances
        .iter()
        .filter_map(|instance| Some((&instance.sop_instance_uid, instance.cart.as_ref()?)))
        .max_by(|(uid, a), (other, b)| a.content.cmp(&b.content).then(uid.cmp(other)))
}

/// The volumes over the body surface area, where volumes and area are known.
pub(crate) fn index(
    lv: &LvMeasurement,
    report: Option<&CartReport>,
    instances: &[InstanceFindings],
) -> Option<VolumeIndex> {
    let (edv, esv) = (lv.edv_ml?, lv.esv_ml?);
    let (bsa_m2, origin) = surface(report, instances)?;
    Some(VolumeIndex {
        bsa_m2,
        origin,
        edv_ml_m2: edv / bsa_m2,
        esv_ml_m2: esv / bsa_m2,
    })
}

fn surface(
    report: Option<&CartReport>,
    instances: &[InstanceFindings],
) -> Option<(f64, BsaOrigin)> {
    let of = |quantity| {
        report
            .and_then(|report| report.value(quantity))
            .map(|value| value.value)
    };
    let stated = of(Quantity::BodySurfaceArea).map(|bsa| (bsa, BsaOrigin::Report));
    let of_report = of(Quantity::Height)
        .zip(of(Quantity::Weight))
        .map(|(height_m, weight_kg)| {
            (
                du_bois(BodySize {
                    height_m,
                    weight_kg,
                }),
                BsaOrigin::ReportDuBois,
            )
        });
    let of_header = instances
        .iter()
        .find_map(|instance| instance.body)
        .map(|size| (du_bois(size), BsaOrigin::HeaderDuBois));
    let plausible = Quantity::BodySurfaceArea.plausible();
    [stated, of_report, of_header]
        .into_iter()
        .flatten()
        .find(|(bsa, _)| plausible.contains(bsa))
}

/// Whether its ejection fraction and ours agree; none where it states none.
pub(crate) fn agreement(lvef_percent: f64, report: &CartReport) -> Option<Check> {
    let of_report = report.value(Quantity::Lvef)?;
    let apart = (of_report.value - lvef_percent).abs();
    let outcome = if apart <= EF_POINTS_MAX {
        CheckOutcome::Pass
    } else {
        CheckOutcome::Warn
    };
    let maker = if report.maker.is_empty() {
        phrases::THE_CART.into()
    } else {
        Value::from(report.maker.as_str())
    };
    let (here, there) = (whole(lvef_percent), whole(of_report.value));
    let (apart, most) = (whole_beside(apart, EF_POINTS_MAX), whole(EF_POINTS_MAX));
    let detail = match &of_report.method {
        Some(method) => {
            phrases::CART_EF_BY.say([here, there, maker, apart, most, method.as_str().into()])
        }
        None => phrases::CART_EF.say([here, there, maker, apart, most]),
    };
    Some(Check::new(rule::CART_EF_AGREEMENT, outcome, detail, SONODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(quantity: Quantity, value: f64) -> CartValue {
        CartValue {
            quantity,
            value,
            code: "1".to_owned(),
            scheme: "LN".to_owned(),
            method: None,
        }
    }

    fn report(values: &[(Quantity, f64)]) -> CartReport {
        CartReport {
            content: "20261121120000".to_owned(),
            maker: "Cart".to_owned(),
            values: values
                .iter()
                .map(|(quantity, number)| value(*quantity, *number))
                .collect(),
        }
    }

    fn lv() -> LvMeasurement {
        LvMeasurement {
            edv_ml: Some(120.0),
            esv_ml: Some(50.0),
            lvef_percent: 58.3,
            lvef_interval: None,
            method: crate::Method::ModA4c,
        }
    }

    #[test]
    fn du_bois_is_du_bois() {
        // 170 cm and 70 kg are 1.81 square metres in every table of it.
        let bsa = du_bois(BodySize {
            height_m: 1.70,
            weight_kg: 70.0,
        });
        assert!((bsa - 1.81).abs() < 0.005, "{bsa}");
    }

    #[test]
    fn a_stated_area_comes_before_a_formula_and_an_impossible_one_is_none() {
        let size = [(Quantity::Height, 1.70), (Quantity::Weight, 70.0)];
        let mut stated = report(&size);
        let found = index(&lv(), Some(&stated), &[]).unwrap();
        assert_eq!(found.origin, BsaOrigin::ReportDuBois);
        stated.values.push(value(Quantity::BodySurfaceArea, 2.0));
        let found = index(&lv(), Some(&stated), &[]).unwrap();
        assert_eq!(
            (found.origin, found.edv_ml_m2, found.esv_ml_m2),
            (BsaOrigin::Report, 60.0, 25.0)
        );
        stated.values[2].value = 20.0;
        let found = index(&lv(), Some(&stated), &[]).unwrap();
        assert_eq!(found.origin, BsaOrigin::ReportDuBois);
        assert_eq!(index(&lv(), None, &[]), None);
        let uncalibrated = LvMeasurement {
            edv_ml: None,
            ..lv()
        };
        assert_eq!(index(&uncalibrated, Some(&stated), &[]), None);
    }

    #[test]
    fn an_image_that_states_the_patients_size_will_do() {
        let mut image = InstanceFindings::empty("1.2.3".parse().unwrap());
        image.body = Some(BodySize {
            height_m: 1.70,
            weight_kg: 70.0,
        });
        let found = index(&lv(), None, &[image]).unwrap();
        assert_eq!(found.origin, BsaOrigin::HeaderDuBois);
    }

    #[test]
    fn disagreement_is_remarked_on_and_silence_is_not() {
        let outcome = |ef: f64| {
            agreement(58.3, &report(&[(Quantity::Lvef, ef)]))
                .unwrap()
                .outcome
        };
        assert_eq!(outcome(60.0), CheckOutcome::Pass);
        assert_eq!(outcome(45.0), CheckOutcome::Warn);
        assert_eq!(outcome(69.0), CheckOutcome::Warn);
        assert_eq!(agreement(58.3, &report(&[(Quantity::Edv, 100.0)])), None);
    }
}
