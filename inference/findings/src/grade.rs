//! Ejection fraction against named reference profiles. The societies disagree, so each grade names whose it is.
//!
//! Left out on purpose: the partition values of ASE/EACVI 2015 beyond its normal range, which could not be confirmed.

use serde::{Deserialize, Serialize};

/// A reference profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Profile {
    /// Normal range of men, ASE/EACVI 2015.
    #[serde(rename = "ase-eacvi-2015-men")]
    AseEacvi2015Men,
    /// Normal range of women, ASE/EACVI 2015.
    #[serde(rename = "ase-eacvi-2015-women")]
    AseEacvi2015Women,
    /// British Society of Echocardiography 2020.
    #[serde(rename = "bse-2020")]
    Bse2020,
    /// Heart failure phenotypes of the European Society of Cardiology.
    #[serde(rename = "esc-hf")]
    EscHf,
}

/// What a profile calls an ejection fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EfLabel {
    /// Under the normal range.
    BelowNormal,
    /// Within the normal range.
    Normal,
    /// Over the normal range.
    AboveNormal,
    /// Severely impaired (BSE).
    SeverelyImpaired,
    /// Impaired (BSE).
    Impaired,
    /// Borderline low (BSE).
    BorderlineLow,
    /// Reduced (ESC).
    Reduced,
    /// Mildly reduced (ESC).
    MildlyReduced,
    /// Preserved (ESC).
    Preserved,
}

/// A code of SNOMED CT that stands in the DICOM tables (PS3.16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnomedCode {
    /// Concept identifier.
    pub value: String,
    /// Meaning.
    pub meaning: String,
}

/// One profile's word on an ejection fraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EfGrade {
    /// Whose word it is.
    pub profile: Profile,
    /// The word.
    pub label: EfLabel,
    /// Lowest and highest ejection fraction in percent that the profile calls so; null: no bound on that side.
    pub range_percent: [Option<f64>; 2],
    /// The code of the label; null where the DICOM tables have none.
    pub code: Option<SnomedCode>,
    /// The publication.
    pub source: String,
}

/// The profile of ASE/EACVI that applies to Patient's Sex (0010,0040); none where it is neither `M` nor `F`.
pub fn profile_of_sex(patient_sex: &str) -> Option<Profile> {
    match patient_sex.trim() {
        "M" => Some(Profile::AseEacvi2015Men),
        "F" => Some(Profile::AseEacvi2015Women),
        _ => None,
    }
}

/// Grades an ejection fraction, 0 to 100, by each of the profiles. It is rounded to whole points first, as the
/// profiles' own bounds are.
pub fn grades(lvef_percent: f64, profiles: impl IntoIterator<Item = Profile>) -> Vec<EfGrade> {
    let whole = lvef_percent.round();
    profiles
        .into_iter()
        .filter_map(|profile| {
            let (label, [low, high]) = profile
                .bands()
                .iter()
                .find(|(_, [low, high])| (*low..=*high).contains(&whole))?;
            Some(EfGrade {
                profile,
                label: *label,
                range_percent: [
                    (*low > 0.0).then_some(*low),
                    (*high < 100.0).then_some(*high),
                ],
                code: label.code(),
                source: profile.source().to_owned(),
            })
        })
        .collect()
}

impl EfGrade {
    /// What the profile calls the rest of an interval around the ejection fraction, both ends in percent and rounded as it
    /// is, from the lowest on; empty where all of it has this grade.
    pub fn others(&self, [low, high]: [f64; 2]) -> Vec<EfLabel> {
        let bands = self.profile.bands().iter();
        bands
            .filter(|(label, [least, most])| {
                *label != self.label && *least <= high.round() && *most >= low.round()
            })
            .map(|(label, _)| *label)
            .collect()
    }
}

impl Profile {
    /// Every band from the lowest: what it is called, its lowest and its highest whole percent.
    fn bands(self) -> &'static [(EfLabel, [f64; 2])] {
        use EfLabel::{
            AboveNormal, BelowNormal, BorderlineLow, Impaired, MildlyReduced, Normal, Preserved,
            Reduced, SeverelyImpaired,
        };
        match self {
            Self::AseEacvi2015Men => &[
                (BelowNormal, [0.0, 51.0]),
                (Normal, [52.0, 72.0]),
                (AboveNormal, [73.0, 100.0]),
            ],
            Self::AseEacvi2015Women => &[
                (BelowNormal, [0.0, 53.0]),
                (Normal, [54.0, 74.0]),
                (AboveNormal, [75.0, 100.0]),
            ],
            Self::Bse2020 => &[
                (SeverelyImpaired, [0.0, 35.0]),
                (Impaired, [36.0, 49.0]),
                (BorderlineLow, [50.0, 54.0]),
                (Normal, [55.0, 100.0]),
            ],
            Self::EscHf => &[
                (Reduced, [0.0, 40.0]),
                (MildlyReduced, [41.0, 49.0]),
                (Preserved, [50.0, 100.0]),
            ],
        }
    }

    /// Normal ranges of end-diastolic and end-systolic volume in millilitres (Lang 2015, table 2); none where the profile has
    /// none.
    pub(crate) fn volumes_ml(self) -> Option<[[f64; 2]; 2]> {
        match self {
            Self::AseEacvi2015Men => Some([[62.0, 150.0], [21.0, 61.0]]),
            Self::AseEacvi2015Women => Some([[46.0, 106.0], [14.0, 42.0]]),
            Self::Bse2020 | Self::EscHf => None,
        }
    }

    /// The same over the body surface area, in millilitres a square metre.
    pub(crate) fn indexed_volumes(self) -> Option<[[f64; 2]; 2]> {
        match self {
            Self::AseEacvi2015Men => Some([[34.0, 74.0], [11.0, 31.0]]),
            Self::AseEacvi2015Women => Some([[29.0, 61.0], [8.0, 24.0]]),
            Self::Bse2020 | Self::EscHf => None,
        }
    }

    /// The publication.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::AseEacvi2015Men | Self::AseEacvi2015Women => "ASE/EACVI 2015 (Lang, JASE 28:1)",
            Self::Bse2020 => "BSE 2020 (Harkness, Echo Res Pract 7:G1)",
            Self::EscHf => "ESC heart failure guideline 2021",
        }
    }
}

impl EfLabel {
    fn code(self) -> Option<SnomedCode> {
        (self == Self::Normal).then(|| SnomedCode {
            value: "17621005".to_owned(),
            meaning: "Normal".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Profile; 4] = [
        Profile::AseEacvi2015Men,
        Profile::AseEacvi2015Women,
        Profile::Bse2020,
        Profile::EscHf,
    ];

    #[test]
    fn every_whole_percent_has_one_grade_a_profile() {
        for percent in 0..=100 {
            let found = grades(f64::from(percent), ALL);
            assert_eq!(found.len(), ALL.len(), "{percent}");
            for profile in ALL {
                let bands = profile
                    .bands()
                    .iter()
                    .filter(|(_, [low, high])| (*low..=*high).contains(&f64::from(percent)));
                assert_eq!(bands.count(), 1, "{profile:?} {percent}");
            }
        }
    }

    #[test]
    fn the_societies_disagree_and_each_is_named() {
        let labels: Vec<EfLabel> = grades(53.4, ALL).iter().map(|grade| grade.label).collect();
        assert_eq!(
            labels,
            [
                EfLabel::Normal,
                EfLabel::BelowNormal,
                EfLabel::BorderlineLow,
                EfLabel::Preserved
            ]
        );
        let bse = grades(36.0, [Profile::Bse2020]);
        assert_eq!(bse[0].range_percent, [Some(36.0), Some(49.0)]);
        assert_eq!(
            grades(12.0, [Profile::EscHf])[0].range_percent,
            [None, Some(40.0)]
        );
        assert!(grades(60.0, [Profile::AseEacvi2015Men])[0].code.is_some());
    }

    #[test]
    fn an_interval_over_a_bound_names_what_lies_beyond() {
        let [grade] = grades(45.2, [Profile::EscHf]).try_into().unwrap();
        assert_eq!(grade.label, EfLabel::MildlyReduced);
        assert_eq!(grade.others([40.6, 49.4]), []);
        assert_eq!(grade.others([40.4, 49.4]), [EfLabel::Reduced]);
        let both = [EfLabel::Reduced, EfLabel::Preserved];
        assert_eq!(grade.others([34.1, 56.3]), both);
    }

    #[test]
    fn an_unknown_sex_has_no_profile_of_its_own() {
        assert_eq!(profile_of_sex("F "), Some(Profile::AseEacvi2015Women));
        assert_eq!(profile_of_sex("M"), Some(Profile::AseEacvi2015Men));
        assert!(profile_of_sex("O").is_none() && profile_of_sex("").is_none());
    }
}
