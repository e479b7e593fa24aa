//! What is measured at all: the gates that the header alone decides.
//!
//! A wrong refusal costs a measurement and says why; a wrong acceptance puts a number about the wrong organ into a report.
//! But a refusal as `not-an-echo` also silences the report, so it needs a plain statement.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use sonode_conformance::sop_class;
use sonode_findings::{Rejection, Sentence, ViewLabel, phrases};

use super::Opened;
use super::header::Attributes;
use super::regions::{DATA_COLOUR_FLOW, FORMAT_M_MODE, FORMAT_SPECTRAL, Region, count_2d, regions};

/// Age of consent of this node's models: adults.
const ADULT_YEARS: u32 = 18;

/// Schemes of view codes that PS3.16 CID 12226 draws on, today's and the older ones.
const PUBLIC_SCHEMES: [&str; 4] = ["SCT", "SRT", "SNM3", "99SDM"];

/// A refusal: the reason, and its sentence.
pub type Refusal = (Rejection, Sentence);

/// Whether the header rules a measurement out, by the first gate that does.
pub fn refusal(opened: &Opened) -> Option<Refusal> {
    let attributes = opened.attributes();
    if !opened.has_pixels() && lost_its_pixels(opened) {
        return refuse(Rejection::Undecodable, phrases::BREAKS_OFF);
    }
    if !opened.has_pixels() {
        return refuse(Rejection::NotAnImage, phrases::NO_PIXELS);
    }
    let said = Said::of(attributes);
    let regions = regions(attributes);
    test_patient(attributes)
        .or_else(|| modality(attributes))
        .or_else(|| volume(opened))
        // Before the organ: oesophageal probes are endocavitary ones, which else look at no heart.
        .or_else(|| approach(attributes, &said))
        .or_else(|| organ(attributes, &said))
        .or_else(|| age(attributes, &said))
        .or_else(|| stress::refusal(attributes, &said))
        .or_else(|| contrast(attributes, &said))
        .or_else(|| modes(attributes, &regions))
        .or_else(|| single_frame(attributes))
}

/// The view that the header states: View Code Sequence (0054,0220) by CID 12226, or else View Name (0008,2127).
pub fn view(attributes: Attributes<'_>) -> Option<ViewLabel> {
    let codes = attributes.codes(tags::VIEW_CODE_SEQUENCE);
    let coded = |(value, scheme): &(String, String)| match value.as_str() {
        "399214001" | "G-A19C" => Some(ViewLabel::A4C),
        "399232001" | "G-A19B" => Some(ViewLabel::A2C),
        // What a maker's own code means isn't known; the name beside it may say it.
        _ => PUBLIC_SCHEMES
            .contains(&scheme.as_str())
            .then_some(ViewLabel::Other),
    };
    if let Some(view) = codes.iter().find_map(coded) {
        return Some(view);
    }
    let name = attributes.trimmed(tags::VIEW_NAME)?.to_uppercase();
    let words = words(&name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(word));
    let apical = any(&["APICAL", "AP", "API"]);
    if any(&["A4C", "AP4", "AP4C", "AP4CH", "A4CH"]) || apical && any(&["4", "4C", "4CH", "FOUR"]) {
        Some(ViewLabel::A4C)
    } else if any(&["A2C", "AP2", "AP2C", "AP2CH", "A2CH"])
        || apical && any(&["2", "2C", "2CH", "TWO"])
    {
        Some(ViewLabel::A2C)
    } else if any(&[
        "PLAX",
        "PSAX",
        "SAX",
        "LAX",
        "PARASTERNAL",
        "SUBCOSTAL",
        "SUPRASTERNAL",
        "A3C",
        "A5C",
        "APLAX",
        "RVOT",
        "RVIT",
        "SC4C",
    ]) {
        Some(ViewLabel::Other)
    } else {
        None
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every gate answers with an option"
)]
fn refuse(reason: Rejection, sentence: impl Into<Sentence>) -> Option<Refusal> {
    Some((reason, sentence.into()))
}

/// What an attribute's text gives away.
fn says(attribute: &str, word: &str) -> Sentence {
    phrases::ATTRIBUTE_SAYS.say([attribute.into(), word.into()])
}

/// Whether an object without pixels is an image all the same: it states Rows, or breaks off before it could.
fn lost_its_pixels(opened: &Opened) -> bool {
    let attributes = opened.attributes();
    let is_ultrasound = attributes.trimmed(tags::MODALITY).as_deref() == Some("US");
    attributes.has(tags::ROWS) || opened.is_truncated() && is_ultrasound
}

/// What texts say, as words in capitals, each with the attribute that it stands in.
struct Said {
    texts: Vec<(&'static str, String)>,
}

impl Said {
    fn of(attributes: Attributes<'_>) -> Self {
        const TEXTS: [(&str, Tag); 8] = [
            ("Study Description", tags::STUDY_DESCRIPTION),
            ("Series Description", tags::SERIES_DESCRIPTION),
            ("Protocol Name", tags::PROTOCOL_NAME),
            ("Body Part Examined", tags::BODY_PART_EXAMINED),
            (
                "Performed Procedure Step Description",
                tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION,
            ),
            (
                "Requested Procedure Description",
                tags::REQUESTED_PROCEDURE_DESCRIPTION,
            ),
            ("Acquisition Protocol Name", tags::ACQUISITION_PROTOCOL_NAME),
            ("View Name", tags::VIEW_NAME),
        ];
        const CODES: [(&str, Tag); 3] = [
            ("Procedure Code Sequence", tags::PROCEDURE_CODE_SEQUENCE),
            ("Anatomic Region Sequence", tags::ANATOMIC_REGION_SEQUENCE),
            (
                "Performed Protocol Code Sequence",
                tags::PERFORMED_PROTOCOL_CODE_SEQUENCE,
            ),
        ];
        let texts = TEXTS
            .iter()
            .filter_map(|(name, tag)| Some((*name, attributes.text(*tag)?)));
        let meanings = CODES.iter().flat_map(|(name, tag)| {
            attributes
                .items(*tag)
                .filter_map(|item| Some((*name, item.text(tags::CODE_MEANING)?)))
        });
        // Image Type's third value is the kind of examination (PS3.3 C.8.5.6.1.1).
        let kind = attributes
            .values(tags::IMAGE_TYPE)
            .get(2)
            .map(|kind| ("Image Type", kind.clone()));
        Self {
            texts: texts
                .chain(meanings)
                .chain(kind)
                .map(|(name, text)| (name, text.to_uppercase()))
                .collect(),
        }
    }

    /// The first attribute that holds one of the words.
    fn any(&self, wanted: &[&str]) -> Option<(&'static str, &str)> {
        self.texts.iter().find_map(|(name, text)| {
            let word = words(text).into_iter().find(|word| wanted.contains(word))?;
            Some((*name, word))
        })
    }

    fn in_attribute(&self, wanted: &str) -> Option<&str> {
        self.texts
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, text)| text.as_str())
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Ultrasound, or a secondary capture that doesn't say; a CT's or an MR's pixels are no echo.
fn modality(attributes: Attributes<'_>) -> Option<Refusal> {
    let modality = attributes.trimmed(tags::MODALITY)?.to_uppercase();
    if ["US", "OT", "SC"].contains(&modality.as_str()) {
        return None;
    }
    refuse(
        Rejection::NotAnEcho,
        phrases::MODALITY.say([modality.into()]),
    )
}

/// A three-dimensional volume: its frames are planes, and what changes from one to the next is no beat.
fn volume(opened: &Opened) -> Option<Refusal> {
    let class = opened.sop_class_uid()?;
    if class.as_str() == sop_class::ENHANCED_US_VOLUME {
        return refuse(Rejection::NotACine, phrases::VOLUME_OF_PLANES);
    }
    None
}

const CARDIAC: [&str; 14] = [
    "ECHO",
    "ECHOCARDIOGRAM",
    "ECHOCARDIOGRAPHY",
    "ECHOKARDIOGRAPHIE",
    "CARDIAC",
    "CARDIO",
    "CARDIOLOGY",
    "HEART",
    "HERZ",
    "COEUR",
    "TTE",
    "EPICARDIAL",
    "VENTRICLE",
    "TRANSTHORACIC",
];

const OTHER_ORGAN: [&str; 53] = [
    "CAROTID",
    "CAROTIDS",
    "CAROTIS",
    "VASCULAR",
    "VENOUS",
    "VEIN",
    "VEINS",
    "DVT",
    "ARTERIAL",
    "RENAL",
    "KIDNEY",
    "KIDNEYS",
    "LIVER",
    "ABDOMEN",
    "ABDOMINAL",
    "ABD",
    "OB",
    "OBSTETRIC",
    "OBSTETRICS",
    "OBSTETRICAL",
    "GYN",
    "GYNECOLOGY",
    "GYNAECOLOGY",
    "PREGNANCY",
    "THYROID",
    "BREAST",
    "SCROTUM",
    "SCROTAL",
    "TESTIS",
    "TESTICULAR",
    "PROSTATE",
    "PELVIS",
    "PELVIC",
    "MSK",
    "MUSCULOSKELETAL",
    "GALLBLADDER",
    "SPLEEN",
    "PANCREAS",
    "BLADDER",
    "TRANSCRANIAL",
    "TCD",
    "NECK",
    "SHOULDER",
    "KNEE",
    "OPHTHALMIC",
    "ENDOVAGINAL",
    "ENDORECTAL",
    "RETROPERITONEAL",
    "UTERUS",
    "OVARY",
    "FAST",
    "AAA",
    "HIP",
];

/// Another organ, by the examination's words or the transducer.
fn organ(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    if let Some((name, word)) = said.any(&["FETAL", "FOETAL", "FETUS", "FOETUS"]) {
        return refuse(Rejection::Fetal, says(name, word));
    }
    if let Some(kind) = said.in_attribute("Image Type") {
        if kind == "INTRACARDIAC" {
            return refuse(Rejection::View, says("Image Type", kind));
        }
        let other = [
            "SMALL PARTS",
            "NEONATAL HEAD",
            "INTRAVASCULAR",
            "CHEST",
            "OPHTHALMIC",
        ];
        if other.contains(&kind) {
            return refuse(Rejection::NotAnEcho, says("Image Type", kind));
        }
    }
    if let Some((name, word)) = said.any(&OTHER_ORGAN)
        && said.any(&CARDIAC).is_none()
    {
        return refuse(Rejection::NotAnEcho, says(name, word));
    }
    transducer(attributes, said)
}

/// No adult heart is imaged from the chest with a linear or an endocavitary probe. Curved ones are left to the view
/// classifier: hand-held machines have no other.
fn transducer(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    let kind = attributes
        .trimmed(tags::TRANSDUCER_TYPE)
        .unwrap_or_default()
        .to_uppercase();
    let model = attributes
        .values(tags::TRANSDUCER_DATA)
        .first()
        .cloned()
        .unwrap_or_default()
        .to_uppercase();
    let linear_model = match model.as_bytes() {
        [b'L', digit, ..] | [digit, b'L'] | [_, digit, b'L'] | [digit, b'L', b'-', ..] => {
            digit.is_ascii_digit()
        }
        _ => false,
    };
    let elsewhere = ["LINEAR", "ENDOV", "ENDOCAV", "ENDOREC", "IV_", "NEEDLE"];
    if linear_model {
        refuse(
            Rejection::NotAnEcho,
            phrases::LINEAR_TRANSDUCER.say([model.into()]),
        )
    } else if elsewhere.iter().any(|prefix| kind.starts_with(prefix)) {
        // The heart, from inside: PS3.3 C.8.5.6.1.4 has no term of its own for a probe in the oesophagus.
        let is_tee = kind.starts_with("ENDOCAV") && said.any(&CARDIAC).is_some();
        let reason = if is_tee {
            Rejection::Tee
        } else {
            Rejection::NotAnEcho
        };
        refuse(reason, phrases::TRANSDUCER_TYPE.say([kind.into()]))
    } else {
        None
    }
}

fn approach(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    let kind = attributes
        .trimmed(tags::TRANSDUCER_TYPE)
        .unwrap_or_default()
        .to_uppercase();
    if kind.contains("TRANSESOPH") || kind.starts_with("ESOPH") || kind.starts_with("TEE") {
        return refuse(Rejection::Tee, phrases::TRANSDUCER_TYPE.say([kind.into()]));
    }
    let words = ["TEE", "TOE", "TRANSESOPHAGEAL", "TRANSOESOPHAGEAL"];
    let (name, word) = said.any(&words)?;
    refuse(Rejection::Tee, says(name, word))
}

/// Identifiers that sites give to nobody.
fn test_patient(attributes: Attributes<'_>) -> Option<Refusal> {
    let id = attributes
        .trimmed(tags::PATIENT_ID)
        .unwrap_or_default()
        .to_uppercase();
    let name = attributes
        .trimmed(tags::PATIENT_NAME)
        .unwrap_or_default()
        .to_uppercase();
    let stem: String = id
        .trim_start_matches("ZZ")
        .trim_matches(|c: char| c.is_ascii_digit() || !c.is_alphanumeric())
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect();
    let by_id = ["TEST", "TESTPATIENT", "TESTPAT", "TESTPT"].contains(&stem.as_str());
    let by_name = [
        "TEST^TEST",
        "TEST^PATIENT",
        "PATIENT^TEST",
        "ZZTEST^PATIENT",
    ]
    .contains(&name.trim_end_matches('^'));
    if by_id || by_name {
        // The identifiers themselves stay out of the sentence: it goes to logs and pages.
        return refuse(Rejection::TestPatient, phrases::TEST_PATIENT);
    }
    None
}

const CHILD: [&str; 6] = [
    "PEDIATRIC",
    "PAEDIATRIC",
    "NEONATAL",
    "NEONATE",
    "INFANT",
    "CHILD",
];

/// Patient's Age (0010,1010), or the years from birth to study; where neither is known, what the examination is called.
fn age(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    let Some(years) = years(attributes) else {
        let (name, word) = said.any(&CHILD)?;
        return refuse(Rejection::Paediatric, says(name, word));
    };
    if years < ADULT_YEARS {
        return refuse(
            Rejection::Paediatric,
            phrases::UNDER_AGE.say([ADULT_YEARS.to_string().into()]),
        );
    }
    None
}

fn years(attributes: Attributes<'_>) -> Option<u32> {
    attributes
        .trimmed(tags::PATIENT_AGE)
        .and_then(|age| stated_years(&age))
        .or_else(|| {
            let born = date(&attributes.trimmed(tags::PATIENT_BIRTH_DATE)?)?;
            let studied = [tags::STUDY_DATE, tags::SERIES_DATE, tags::CONTENT_DATE]
                .iter()
                .find_map(|tag| date(&attributes.trimmed(*tag)?))?;
            let had_birthday = (studied.1, studied.2) >= (born.1, born.2);
            studied.0.checked_sub(born.0 + u32::from(!had_birthday))
        })
}

/// An AS value: three digits and a unit (PS3.5 table 6.2-1).
fn stated_years(age: &str) -> Option<u32> {
    let (digits, unit) = age.split_at_checked(age.len().checked_sub(1)?)?;
    let number: u32 = digits.trim().parse().ok()?;
    match unit {
        // 000Y is what some machines write when the age is unknown.
        "Y" if number > 0 => Some(number),
        "M" => Some(number / 12),
        "W" => Some(number / 52),
        "D" => Some(number / 365),
        _ => None,
    }
}

fn date(text: &str) -> Option<(u32, u32, u32)> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let year = digits.get(0..4)?.parse().ok()?;
    let month = digits.get(4..6)?.parse().ok()?;
    let day = digits.get(6..8)?.parse().ok()?;
    // Placeholders such as 19000101 and 00010101 are no birthdays.
    (year > 1900 && (1..=12).contains(&month)).then_some((year, month, day))
}

/// A contrast agent. The study's description is not asked: it speaks of all clips, those before the injection too.
fn contrast(attributes: Attributes<'_>, said: &Said) -> Option<Refusal> {
    let agent = attributes.trimmed(tags::CONTRAST_BOLUS_AGENT);
    let none = ["NONE", "NO", "N", "WITHOUT", "UNKNOWN"];
    if agent.is_some_and(|agent| !none.contains(&agent.to_uppercase().as_str()))
        || attributes
            .items(tags::CONTRAST_BOLUS_AGENT_SEQUENCE)
            .next()
            .is_some()
    {
        return refuse(Rejection::Contrast, phrases::CONTRAST_AGENT);
    }
    let agents = [
        "CONTRAST", "DEFINITY", "OPTISON", "LUMASON", "SONOVUE", "LVO",
    ];
    for name in ["Series Description", "Protocol Name", "View Name"] {
        let words = said.in_attribute(name).map(words).unwrap_or_default();
        let Some(at) = words.iter().position(|word| agents.contains(word)) else {
            continue;
        };
        let negated = words[..at]
            .last()
            .is_some_and(|word| ["NO", "NON", "WITHOUT", "WO", "O"].contains(word));
        if !negated {
            return refuse(Rejection::Contrast, says(name, words[at]));
        }
    }
    None
}

/// What else than one 2D tissue image is on the screen.
fn modes(attributes: Attributes<'_>, regions: &[Region]) -> Option<Refusal> {
    let has = |format| regions.iter().any(|region| region.format == format);
    if has(FORMAT_SPECTRAL) {
        return refuse(Rejection::SpectralDoppler, phrases::SPECTRAL_REGION);
    }
    if has(FORMAT_M_MODE) {
        return refuse(Rejection::MMode, phrases::M_MODE_REGION);
    }
    let colour_region = regions
        .iter()
        .any(|region| region.is_2d() && region.data == DATA_COLOUR_FLOW);
    let colour_flag = attributes.whole(tags::ULTRASOUND_COLOR_DATA_PRESENT) == Some(1);
    if colour_region || colour_flag {
        return refuse(Rejection::ColourDoppler, phrases::COLOUR_FLOW);
    }
    let images = count_2d(regions);
    if images > 1 {
        return refuse(
            Rejection::Multiple2dRegions,
            phrases::SEVERAL_IMAGES.say([images.to_string().into()]),
        );
    }
    None
}

fn single_frame(attributes: Attributes<'_>) -> Option<Refusal> {
    let frames = attributes.whole(tags::NUMBER_OF_FRAMES).unwrap_or(1);
    if frames < 2 {
        return refuse(Rejection::NotACine, phrases::SINGLE_FRAME);
    }
    None
}

mod stress;
#[cfg(test)]
mod tests;
