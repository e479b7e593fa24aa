//! What reference profiles call an ejection fraction, in each language. Another language is another arm here.

use sonode_findings::grade::{EfGrade, EfLabel, Profile};

use super::Language;

impl Language {
    /// What a reference profile calls the ejection fraction, and from where to where it does.
    pub fn ef_grade(self, grade: &EfGrade) -> String {
        let [least, most] = match self {
            Self::En => ["at least", "at most"],
            Self::Zh => ["至少", "至多"],
        };
        let range = match grade.range_percent {
            [Some(low), Some(high)] => format!("{low:.0}-{high:.0} %"),
            [None, Some(high)] => format!("{most} {high:.0} %"),
            [Some(low), None] => format!("{least} {low:.0} %"),
            [None, None] => String::new(),
        };
        let (profile, label) = (self.profile(grade.profile), self.ef_label(grade.label));
        match self {
            Self::En => format!("LVEF by {profile}: {label} ({range})"),
            Self::Zh => format!("LVEF 分级（{profile}）：{label}（{range}）"),
        }
    }

    /// The name of a reference profile.
    pub(crate) const fn profile(self, profile: Profile) -> &'static str {
        match (self, profile) {
            (Self::En, Profile::AseEacvi2015Men) => "ASE/EACVI 2015, men",
            (Self::En, Profile::AseEacvi2015Women) => "ASE/EACVI 2015, women",
            (Self::Zh, Profile::AseEacvi2015Men) => "ASE/EACVI 2015，男性",
            (Self::Zh, Profile::AseEacvi2015Women) => "ASE/EACVI 2015，女性",
            (_, Profile::Bse2020) => "BSE 2020",
            (_, Profile::EscHf) => "ESC HF",
        }
    }

    const fn ef_label(self, label: EfLabel) -> &'static str {
        match (self, label) {
            (Self::En, EfLabel::BelowNormal) => "below the normal range",
            (Self::En, EfLabel::Normal) => "normal",
            (Self::En, EfLabel::AboveNormal) => "above the normal range",
            (Self::En, EfLabel::SeverelyImpaired) => "severely impaired",
            (Self::En, EfLabel::Impaired) => "impaired",
            (Self::En, EfLabel::BorderlineLow) => "borderline low",
            (Self::En, EfLabel::Reduced) => "reduced",
            (Self::En, EfLabel::MildlyReduced) => "mildly reduced",
            (Self::En, EfLabel::Preserved) => "preserved",
            (Self::Zh, EfLabel::BelowNormal) => "低于正常范围",
            (Self::Zh, EfLabel::Normal) => "正常",
            (Self::Zh, EfLabel::AboveNormal) => "高于正常范围",
            (Self::Zh, EfLabel::SeverelyImpaired) => "重度受损",
            (Self::Zh, EfLabel::Impaired) => "受损",
            (Self::Zh, EfLabel::BorderlineLow) => "临界偏低",
            (Self::Zh, EfLabel::Reduced) => "降低",
            (Self::Zh, EfLabel::MildlyReduced) => "轻度降低",
            (Self::Zh, EfLabel::Preserved) => "保留",
        }
    }
}
