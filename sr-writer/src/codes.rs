//! The one table of coded concepts and the one table of units.
//!
//! Every row's meaning is PS3.16's (or that of the scheme's owner) letter for letter; a gate compares the table with
//! pydicom's dictionaries, which are generated from the standard. The linter refuses a code that isn't in here.

use crate::form::Coding;

/// A coded concept (PS3.3 section 8.8): what Code Value, Coding Scheme Designator and Code Meaning carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// Code Value (0008,0100).
    pub value: &'static str,
    /// Coding Scheme Designator (0008,0102).
    pub scheme: &'static str,
    /// Code Meaning (0008,0104).
    pub meaning: &'static str,
    /// The context group or template that names it for this use.
    pub source: &'static str,
}

macro_rules! codes {
    ($($name:ident = $value:literal, $scheme:literal, $meaning:literal, $source:literal;)+) => {
        $(
            #[doc = concat!("(", $value, ", ", $scheme, ", \"", $meaning, "\"); ", $source, ".")]
            pub const $name: Code = Code { value: $value, scheme: $scheme, meaning: $meaning, source: $source };
        )+
        /// Every coded concept that a report of ours may contain.
        pub const ALL: &[Code] = &[$($name),+];
    };
}

codes! {
    // Document and observer.
    IMAGING_MEASUREMENT_REPORT = "126000", "DCM", "Imaging Measurement Report", "CID 7021";
    LANGUAGE = "121049", "DCM", "Language of Content Item and Descendants", "TID 1204";
    COUNTRY = "121046", "DCM", "Country of Language", "TID 1204";
    ENGLISH = "en", "RFC5646", "English", "CID 5000";
    CHINESE = "zh", "RFC5646", "Chinese", "CID 5000";
    UNITED_STATES = "US", "ISO3166_1", "United States", "CID 5001";
    CHINA = "CN", "ISO3166_1", "China", "CID 5001";
    OBSERVER_TYPE = "121005", "DCM", "Observer Type", "TID 1002";
    DEVICE = "121007", "DCM", "Device", "CID 270";
    DEVICE_OBSERVER_UID = "121012", "DCM", "Device Observer UID", "TID 1004";
    DEVICE_OBSERVER_NAME = "121013", "DCM", "Device Observer Name", "TID 1004";
    DEVICE_OBSERVER_MANUFACTURER = "121014", "DCM", "Device Observer Manufacturer", "TID 1004";
    DEVICE_OBSERVER_MODEL = "121015", "DCM", "Device Observer Model Name", "TID 1004";
    DEVICE_OBSERVER_SERIAL = "121016", "DCM", "Device Observer Serial Number", "TID 1004";
    PROCEDURE_REPORTED = "121058", "DCM", "Procedure reported", "TID 1500";
    TRANSTHORACIC_ECHO = "433236007", "SCT", "Transthoracic echocardiography", "CID 12001";
    // Image library.
    IMAGE_LIBRARY = "111028", "DCM", "Image Library", "TID 1600";
    IMAGE_LIBRARY_GROUP = "126200", "DCM", "Image Library Group", "TID 1600";
    MODALITY = "121139", "DCM", "Modality", "TID 1602";
    ULTRASOUND = "US", "DCM", "Ultrasound", "CID 29";
    PIXEL_DATA_ROWS = "110910", "DCM", "Pixel Data Rows", "TID 1602";
    PIXEL_DATA_COLUMNS = "110911", "DCM", "Pixel Data Columns", "TID 1602";
    // Measurement groups.
    IMAGING_MEASUREMENTS = "126010", "DCM", "Imaging Measurements", "TID 1500";
    MEASUREMENT_GROUP = "125007", "DCM", "Measurement Group", "TID 1501";
    TRACKING_IDENTIFIER = "112039", "DCM", "Tracking Identifier", "TID 1501";
    TRACKING_UID = "112040", "DCM", "Tracking Unique Identifier", "TID 1501";
    FINDING = "121071", "DCM", "Finding", "TID 1501";
    FINDING_SITE = "363698007", "SCT", "Finding Site", "TID 1501";
    LEFT_VENTRICLE = "87878005", "SCT", "Left ventricle", "CID 12223";
    ALGORITHM_FAMILY = "111000", "DCM", "Algorithm Family", "TID 4019";
    ALGORITHM_NAME = "111001", "DCM", "Algorithm Name", "TID 4019";
    ALGORITHM_PARAMETERS = "111002", "DCM", "Algorithm Parameters", "TID 4019";
    ALGORITHM_VERSION = "111003", "DCM", "Algorithm Version", "TID 4019";
    ARTIFICIAL_INTELLIGENCE = "123110", "DCM", "Artificial Intelligence", "CID 7162";
    IMAGE_REGION = "111030", "DCM", "Image Region", "TID 1410";
    SOURCE_OF_MEASUREMENT = "121112", "DCM", "Source of Measurement", "TID 320";
    MEASUREMENT_METHOD = "370129005", "SCT", "Measurement Method", "TID 300";
    DERIVATION = "121401", "DCM", "Derivation", "TID 300";
    MEDIAN = "373099004", "SCT", "Median", "CID 7464";
    IMAGE_VIEW = "111031", "DCM", "Image View", "TID 5203";
    CYCLE_POINT = "272518008", "SCT", "Cardiac Cycle Point", "TID 5203";
    IMAGE_QUALITY = "111101", "DCM", "Image Quality", "TID 1501";
    // Measurements.
    LV_DIASTOLIC_AREA = "399109006", "SCT", "Left Ventricular Diastolic Area", "CID 12200";
    LV_SYSTOLIC_AREA = "399030000", "SCT", "Left Ventricular Systolic Area", "CID 12200";
    LVEF = "18043-0", "LN", "Left Ventricular Ejection Fraction by US", "CID 12202";
    LV_EDV = "18026-5", "LN", "Left Ventricular End Diastolic Volume", "CID 12202";
    LV_ESV = "18148-7", "LN", "Left Ventricular End Systolic Volume", "CID 12202";
    HEART_RATE = "8867-4", "LN", "Heart rate", "CID 12200";
    // Methods, views, phases.
    MOD_BIPLANE = "125207", "DCM", "Method of Disks, Biplane", "CID 12228";
    MOD_SINGLE_PLANE = "125208", "DCM", "Method of Disks, Single Plane", "CID 12228";
    PLANIMETRY = "125220", "DCM", "Planimetry", "CID 12229";
    APICAL_FOUR_CHAMBER = "399214001", "SCT", "Apical four chamber", "CID 12226";
    APICAL_TWO_CHAMBER = "399232001", "SCT", "Apical two chamber", "CID 12226";
    END_DIASTOLE = "416190007", "SCT", "End diastole", "CID 12233";
    END_SYSTOLE = "416430001", "SCT", "End Systole", "CID 12233";
    // Quality.
    QUALITY_GOOD = "122741", "DCM", "Good image quality", "CID 3114";
    QUALITY_POOR = "122742", "DCM", "Poor image quality", "CID 3114";
    QUALITY_UNUSABLE = "111235", "DCM", "Unusable - Quality renders image unusable", "CID 3114";
    QUALITY_ASSESSMENT = "111050", "DCM", "Quality Assessment", "PS3.16 annex D";
    // Qualitative evaluations.
    QUALITATIVE_EVALUATIONS = "C0034375", "UMLS", "Qualitative Evaluations", "TID 1500";
    COMMENT = "121106", "DCM", "Comment", "PS3.16 annex D";
    NOT_ATTEMPTED = "114007", "DCM", "Measurement not attempted", "CID 42";
    // Echo reports.
    ADULT_ECHO_REPORT = "125200", "DCM", "Adult Echocardiography Procedure Report", "CID 7000";
    FINDINGS = "121070", "DCM", "Findings", "TID 5202";
    FINDINGS_LN = "59776-5", "LN", "Findings", "CID 7001";
    IMAGE_MODE = "399264008", "SCT", "Image Mode", "TID 5202";
    TWO_D_MODE = "399064001", "SCT", "2D mode", "CID 12224";
    SELECTION_STATUS = "121404", "DCM", "Selection Status", "TID 310";
    MOST_RECENT_CHOSEN = "121411", "DCM", "Most recent value chosen", "CID 12301";
    PRECOORDINATED = "125301", "DCM", "Pre-coordinated Measurements", "TID 5301";
    SHORT_LABEL = "125309", "DCM", "Short Label", "TID 5301";
    LVEF_BIPLANE = "79991-6", "LN", "Left ventricular ejection fraction biplane (MOD)", "CID 12300";
    LVEF_A4C = "79993-2", "LN", "Left ventricular ejection fraction single plane 4C (MOD)", "CID 12300";
    LVEF_A2C = "79992-4", "LN", "Left ventricular ejection fraction single plane 2C (MOD)", "CID 12300";
    LV_EDV_BIPLANE = "79996-5", "LN", "Left ventricular end diastolic volume biplane (MOD)", "CID 12300";
    LV_EDV_A4C = "79999-9", "LN", "Left ventricular end diastolic volume single plane 4C (MOD)", "CID 12300";
    LV_EDV_A2C = "79998-1", "LN", "Left ventricular end diastolic volume single plane 2C (MOD)", "CID 12300";
    LV_ESV_BIPLANE = "80001-1", "LN", "Left ventricular end systolic volume biplane (MOD)", "CID 12300";
    LV_ESV_A4C = "80004-5", "LN", "Left ventricular end systolic volume single plane 4C (MOD)", "CID 12300";
    LV_ESV_A2C = "80003-7", "LN", "Left ventricular end systolic volume single plane 2C (MOD)", "CID 12300";
    LV_EDV_BIPLANE_BSA = "79997-3", "LN", "Left ventricular end diastolic volume biplane (MOD) / BSA", "CID 12300";
    LV_ESV_BIPLANE_BSA = "80002-9", "LN", "Left ventricular end systolic volume biplane (MOD) / BSA", "CID 12300";
    MEASUREMENT_TYPE = "125306", "DCM", "Measurement Type", "TID 5302";
    INDEXED = "125313", "DCM", "Indexed", "CID 12303";
    MEASUREMENT_DIVISOR = "125308", "DCM", "Measurement Divisor", "TID 5302";
    BSA = "8277-6", "LN", "BSA", "CID 3455";
    DU_BOIS = "122241", "DCM", "BSA = 0.007184*WT^0.425*HT^0.725", "CID 3663";
    // Properties of a measurement.
    UPPER_UNCERTAINTY = "371886008", "SCT", "+, range of upper measurement uncertainty", "CID 225";
    LOWER_UNCERTAINTY = "371885007", "SCT", "-, range of lower measurement uncertainty", "CID 225";
    NORMALITY = "121402", "DCM", "Normality", "TID 310";
    NORMAL = "17621005", "SCT", "Normal", "CID 222";
    ABNORMALLY_HIGH = "371879000", "SCT", "Abnormally High", "CID 222";
    ABNORMALLY_LOW = "371880002", "SCT", "Abnormally Low", "CID 222";
    SEVERITY = "246112005", "SCT", "Severity", "PS3.16 annex on SNOMED concept identifiers";
    SEVERE = "24484000", "SCT", "Severe", "CID 3716";
    MILD = "255604002", "SCT", "Mild", "CID 3716";
    NORMAL_RANGE_AUTHORITY = "121408", "DCM", "Normal Range Authority", "TID 310";
    // Key objects.
    OF_INTEREST = "113000", "DCM", "Of Interest", "CID 7010";
    KEY_OBJECT_DESCRIPTION = "113012", "DCM", "Key Object Description", "TID 2010";
    // Companions.
    SOURCE_IMAGE = "121322", "DCM", "Source image for image processing operation", "CID 7202";
    // Equipment.
    PROCESSING_EQUIPMENT = "109102", "DCM", "Processing Equipment", "CID 7005";
}

/// SNOMED CT's concepts of the table as SNOMED RT named them (PS3.16 annex on SNOMED concept identifiers).
const SNOMED_RT: &[(&str, &str)] = &[
    ("433236007", "P5-B3012"),
    ("363698007", "G-C0E3"),
    ("87878005", "T-32600"),
    ("370129005", "G-C036"),
    ("373099004", "R-00319"),
    ("272518008", "R-4089A"),
    ("399109006", "G-0375"),
    ("399030000", "G-0374"),
    ("399214001", "G-A19C"),
    ("399232001", "G-A19B"),
    ("416190007", "R-FAB5C"),
    ("416430001", "R-FAB5B"),
    ("399264008", "G-0373"),
    ("399064001", "G-03A2"),
    ("17621005", "G-A460"),
    ("371879000", "R-002C4"),
    ("371880002", "R-002C5"),
    ("371886008", "R-00364"),
    ("371885007", "R-00362"),
    ("246112005", "G-C197"),
    ("24484000", "G-A003"),
    ("255604002", "R-404FA"),
];

impl Code {
    /// The same concept in a generation of SNOMED; another scheme's stays what it is.
    #[must_use]
    pub fn in_generation(self, coding: Coding) -> Self {
        let older = SNOMED_RT
            .iter()
            .find(|(sct, _)| self.scheme == "SCT" && *sct == self.value);
        match (coding, older) {
            (Coding::Srt, Some((_, srt))) => Self {
                value: srt,
                scheme: "SRT",
                ..self
            },
            _ => self,
        }
    }

    /// The names of the concept: one, or one for each generation.
    pub fn generations(self) -> impl Iterator<Item = Self> {
        let older = self.in_generation(Coding::Srt);
        std::iter::once(self).chain((older != self).then_some(older))
    }
}

/// A unit of measurement (UCUM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// `%`.
    Percent,
    /// `ml`.
    Millilitre,
    /// `cm2`.
    SquareCentimetre,
    /// `ml/m2`.
    MillilitrePerSquareMetre,
    /// `m2`.
    SquareMetre,
    /// `/min`.
    PerMinute,
    /// `{pixels}`.
    Pixels,
}

impl Unit {
    /// Every unit.
    pub const ALL: &[Self] = &[
        Self::Percent,
        Self::Millilitre,
        Self::SquareCentimetre,
        Self::MillilitrePerSquareMetre,
        Self::SquareMetre,
        Self::PerMinute,
        Self::Pixels,
    ];

    /// The unit as Measurement Units Code Sequence (0040,08EA) names it.
    pub const fn code(self) -> Code {
        let (value, meaning) = match self {
            Self::Percent => ("%", "Percent"),
            Self::Millilitre => ("ml", "milliliter"),
            Self::SquareCentimetre => ("cm2", "square centimeter"),
            Self::MillilitrePerSquareMetre => ("ml/m2", "milliliter per square meter"),
            Self::SquareMetre => ("m2", "square meter"),
            Self::PerMinute => ("/min", "per minute"),
            Self::Pixels => ("{pixels}", "pixels"),
        };
        Code {
            value,
            scheme: "UCUM",
            meaning,
            source: "CID 82",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snomed_concept_has_its_older_name() {
        for code in ALL.iter().filter(|code| code.scheme == "SCT") {
            assert_eq!(code.in_generation(Coding::Srt).scheme, "SRT", "{code:?}");
            assert_eq!(code.in_generation(Coding::Sct), *code);
        }
    }

    #[test]
    fn values_are_unique_within_a_scheme_and_fit_their_vr() {
        let all: Vec<Code> = ALL
            .iter()
            .copied()
            .chain(Unit::ALL.iter().map(|unit| unit.code()))
            .collect();
        for (i, code) in all.iter().enumerate() {
            // PS3.5 table 6.2-1: SH holds 16 characters, LO 64.
            assert!(code.value.len() <= 16, "{code:?}");
            assert!(code.scheme.len() <= 16, "{code:?}");
            assert!(code.meaning.len() <= 64, "{code:?}");
            assert!(
                all[..i]
                    .iter()
                    .all(|other| (other.value, other.scheme) != (code.value, code.scheme)),
                "{code:?}"
            );
        }
    }
}
