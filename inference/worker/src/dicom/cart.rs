//! Reads the left ventricle's numbers and the patient's size out of a Structured Report: TID 5200, 5300, 1500 and
//! whatever else uses their codes, SCT's or the old SRT's.
//!
//! The tree's shape is not relied on: a value is known by its concept, and by what stands around it where that leaves
//! it open. Depth is bounded by the scan before it ([`sonode_conformance::limits::PARSE_DEPTH_MAX`]), the number of items
//! here.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use sonode_findings::{BodySize, CartReport, CartValue, Quantity};

use super::header::Attributes;

/// Content items that are looked at.
const ITEMS_MAX: usize = 20_000;

/// Concepts that say by themselves what was measured: code, Coding Scheme Designator, quantity.
/// PS3.16 CID 12202 and 12300 (LOINC), TID 5201 (height, weight, area), SNOMED CT for the last three.
const CONCEPTS: [(&str, &str, Quantity); 22] = [
    ("18043-0", "LN", Quantity::Lvef),
    ("79991-6", "LN", Quantity::Lvef),
    ("79993-2", "LN", Quantity::Lvef),
    ("79992-4", "LN", Quantity::Lvef),
    ("79990-8", "LN", Quantity::Lvef),
    ("18026-5", "LN", Quantity::Edv),
    ("79996-5", "LN", Quantity::Edv),
    ("79999-9", "LN", Quantity::Edv),
    ("79998-1", "LN", Quantity::Edv),
    ("18148-7", "LN", Quantity::Esv),
    ("80001-1", "LN", Quantity::Esv),
    ("80004-5", "LN", Quantity::Esv),
    ("80003-7", "LN", Quantity::Esv),
    ("8867-4", "LN", Quantity::HeartRate),
    ("8302-2", "LN", Quantity::Height),
    ("29463-7", "LN", Quantity::Weight),
    ("3141-9", "LN", Quantity::Weight),
    ("8277-6", "LN", Quantity::BodySurfaceArea),
    ("364075005", "SCT", Quantity::HeartRate),
    ("50373000", "SCT", Quantity::Height),
    ("27113001", "SCT", Quantity::Weight),
    ("301898006", "SCT", Quantity::BodySurfaceArea),
];

/// An ejection fraction of any chamber: ours only where the finding site is the left ventricle.
const EJECTION_FRACTION: [(&str, &str); 2] = [("70822001", "SCT"), ("F-32070", "SRT")];
const FINDING_SITE: [(&str, &str); 2] = [("363698007", "SCT"), ("G-C0E3", "SRT")];
const LEFT_VENTRICLE: [(&str, &str); 2] = [("87878005", "SCT"), ("T-32600", "SRT")];
const METHOD: [(&str, &str); 2] = [("370129005", "SCT"), ("G-C036", "SRT")];
const MEASURED_PROPERTY: [(&str, &str); 1] = [("125307", "DCM")];
const SELECTION_STATUS: [(&str, &str); 1] = [("121404", "DCM")];
const DERIVATION: [(&str, &str); 1] = [("121401", "DCM")];
/// Stage of a stress echo (TID 5202 row 7).
const STAGE: [(&str, &str); 1] = [("18139-6", "LN")];
/// Mean (CID 3627), in both schemes.
const MEAN: [(&str, &str); 2] = [("373098007", "SCT"), ("R-00317", "SRT")];
/// Method of disks, biplane: the method that a study's summary stands on, where it is there.
const BIPLANE: [(&str, &str); 2] = [("125207", "DCM"), ("79991-6", "LN")];

/// A code, with its meaning.
#[derive(Debug, Clone, PartialEq)]
struct Code {
    value: String,
    scheme: String,
    meaning: String,
}

impl Code {
    fn of(item: Attributes<'_>, sequence: Tag) -> Option<Self> {
        let code = item.items(sequence).next()?;
        let value = [
            tags::CODE_VALUE,
            tags::LONG_CODE_VALUE,
            tags::URN_CODE_VALUE,
        ]
        .into_iter()
        .find_map(|tag| code.trimmed(tag))?;
        let scheme = code
            .trimmed(tags::CODING_SCHEME_DESIGNATOR)
            .unwrap_or_default();
        Some(Self {
            value: value.to_uppercase(),
            // SNOMED's names before SRT, which old carts still write (PS3.16 section 8.2).
            scheme: match scheme.to_uppercase().as_str() {
                "SNM3" | "99SDM" | "SRT" => "SRT".to_owned(),
                scheme => scheme.to_owned(),
            },
            meaning: code.trimmed(tags::CODE_MEANING).unwrap_or_default(),
        })
    }

    fn is(&self, codes: &[(&str, &str)]) -> bool {
        codes
            .iter()
            .any(|(value, scheme)| self.value == *value && self.scheme == *scheme)
    }
}

/// What holds for a part of the tree.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Whether the finding site is the left ventricle.
    left_ventricle: bool,
    /// A stage of a stress echo other than rest.
    stressed: bool,
}

/// A value, and how much it says for itself.
struct Candidate {
    value: CartValue,
    /// Selected by user or machine, a mean, biplane.
    rank: [bool; 3],
}

/// What a report says; none where it says nothing of the left ventricle or of the patient's size.
pub fn read(attributes: Attributes<'_>) -> Option<CartReport> {
    let mut candidates = Vec::new();
    let mut left = ITEMS_MAX;
    walk(attributes, Place::default(), &mut left, &mut candidates);
    let values: Vec<CartValue> = Quantity::ALL
        .into_iter()
        .filter_map(|quantity| best(&candidates, quantity))
        .collect();
    let text = |tag| attributes.trimmed(tag).unwrap_or_default();
    // Without the separators of old dates and times, and without fractions of a second.
    let digits = |tag, most| {
        let value = text(tag);
        let digits = value.chars().filter(char::is_ascii_digit);
        digits.take(most).collect::<String>()
    };
    let maker = format!(
        "{} {}",
        text(tags::MANUFACTURER),
        text(tags::MANUFACTURER_MODEL_NAME)
    );
    (!values.is_empty()).then(|| CartReport {
        content: digits(tags::CONTENT_DATE, 8) + &digits(tags::CONTENT_TIME, 6),
        maker: maker.trim().to_owned(),
        values,
    })
}

/// The patient's size as a header states it, where it can be a grown-up's.
pub fn body_size(attributes: Attributes<'_>) -> Option<BodySize> {
    let size = BodySize {
        height_m: attributes.number(tags::PATIENT_SIZE)?,
        weight_kg: attributes.number(tags::PATIENT_WEIGHT)?,
    };
    let plausible = Quantity::Height.plausible().contains(&size.height_m)
        && Quantity::Weight.plausible().contains(&size.weight_kg);
    plausible.then_some(size)
}

/// It recurses as deep as the scan let sequences nest.
fn walk(of: Attributes<'_>, place: Place, left: &mut usize, found: &mut Vec<Candidate>) {
    let place = place_of(of, place);
    for item in of.items(tags::CONTENT_SEQUENCE) {
        let Some(rest) = left.checked_sub(1) else {
            return;
        };
        *left = rest;
        if item.trimmed(tags::VALUE_TYPE).as_deref() == Some("NUM") {
            found.extend(candidate(item, place_of(item, place)));
        }
        walk(item, place, left, found);
    }
}

/// A finding site or a stage holds for everything below the item that has it.
fn place_of(of: Attributes<'_>, around: Place) -> Place {
    let mut place = around;
    for (name, value) in modifiers(of) {
        if name.is(&FINDING_SITE) {
            place.left_ventricle = value.is(&LEFT_VENTRICLE);
        } else if name.is(&STAGE) {
            let stage = value.meaning.to_lowercase();
            place.stressed = !(stage.contains("rest") || stage.contains("base"));
        }
    }
    place
}

/// The coded children of an item: name and value.
fn modifiers(of: Attributes<'_>) -> impl Iterator<Item = (Code, Code)> {
    of.items(tags::CONTENT_SEQUENCE).filter_map(|child| {
        Some((
            Code::of(child, tags::CONCEPT_NAME_CODE_SEQUENCE)?,
            Code::of(child, tags::CONCEPT_CODE_SEQUENCE)?,
        ))
    })
}

fn candidate(item: Attributes<'_>, place: Place) -> Option<Candidate> {
    let name = Code::of(item, tags::CONCEPT_NAME_CODE_SEQUENCE)?;
    let known = CONCEPTS
        .iter()
        .find(|(value, scheme, _)| name.value == *value && name.scheme == *scheme)
        .map(|(_, _, quantity)| *quantity);
    let children: Vec<(Code, Code)> = modifiers(item).collect();
    let child = |names: &[(&str, &str)]| {
        let found = children.iter().find(|(name, _)| name.is(names));
        found.map(|(_, value)| value)
    };
    let is_fraction = name.is(&EJECTION_FRACTION)
        || child(&MEASURED_PROPERTY).is_some_and(|property| property.is(&EJECTION_FRACTION));
    let by_site = (is_fraction && place.left_ventricle).then_some(Quantity::Lvef);
    let quantity = known.or(by_site)?;
    let is_of_heart = !matches!(
        quantity,
        Quantity::Height | Quantity::Weight | Quantity::BodySurfaceArea
    );
    if is_of_heart && place.stressed {
        return None;
    }
    let value = number(item, quantity)?;
    let method = child(&METHOD);
    let is_biplane = method.is_some_and(|method| method.is(&BIPLANE)) || name.is(&BIPLANE);
    Some(Candidate {
        rank: [
            child(&SELECTION_STATUS).is_some(),
            child(&DERIVATION).is_some_and(|derivation| derivation.is(&MEAN)),
            is_biplane,
        ],
        value: CartValue {
            quantity,
            value,
            method: method
                .map(|method| method.meaning.clone())
                .filter(|text| !text.is_empty()),
            code: name.value,
            scheme: name.scheme,
        },
    })
}

/// The highest rank; of equals the first, as the report has them.
fn best(candidates: &[Candidate], quantity: Quantity) -> Option<CartValue> {
    candidates
        .iter()
        .filter(|candidate| candidate.value.quantity == quantity)
        .reduce(|best, other| if other.rank > best.rank { other } else { best })
        .map(|candidate| candidate.value.clone())
}

/// The number in the quantity's unit; none without one, in a unit that isn't one of it, or beyond what can be.
fn number(item: Attributes<'_>, quantity: Quantity) -> Option<f64> {
    let measured = item.items(tags::MEASURED_VALUE_SEQUENCE).next()?;
    let number = measured
        .number(tags::NUMERIC_VALUE)
        .or_else(|| measured.number(tags::FLOATING_POINT_VALUE))?;
    let unit = measured
        .items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE)
        .next()
        .and_then(|code| code.trimmed(tags::CODE_VALUE))?;
    let value = number * factor(quantity, &unit.to_lowercase())?;
    quantity.plausible().contains(&value).then_some(value)
}

/// What a unit is of the quantity's own: UCUM's, in any case, and what carts write instead.
fn factor(quantity: Quantity, unit: &str) -> Option<f64> {
    Some(match (quantity, unit) {
        (Quantity::Lvef, "%")
        | (Quantity::Edv | Quantity::Esv, "ml" | "cm3" | "cc")
        | (
            Quantity::HeartRate,
            "/min" | "1/min" | "{h.b.}/min" | "{beats}/min" | "{beat}/min" | "bpm",
        )
        | (Quantity::Height, "m")
        | (Quantity::Weight, "kg")
        | (Quantity::BodySurfaceArea, "m2") => 1.0,
        (Quantity::Lvef, "1" | "{ratio}") => 100.0,
        (Quantity::Edv | Quantity::Esv, "l") => 1000.0,
        (Quantity::Height, "cm") => 0.01,
        (Quantity::Height, "[in_i]") => 0.0254,
        (Quantity::Edv | Quantity::Esv, "mm3")
        | (Quantity::Height, "mm")
        | (Quantity::Weight, "g") => 0.001,
        (Quantity::Weight, "[lb_av]") => 0.453_592_37,
        (Quantity::BodySurfaceArea, "cm2") => 0.0001,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
