//! What reference profiles call an ejection fraction, in each language. Another language is another arm here.

use sonode_findings::grade::{EfGrade, EfLabel, Profile};

use super::Language;

impl Language {
    /// What a reference profile calls the ejection fraction, from where to where it does, and what else the interval around
    /// the ejection fraction, in percent, would be called.
    pub fn ef_grade(self, grade: &EfGrade, interval: Option<[f64; 2]>) -> String {
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
        let doubt = self.doubt(grade, interval);
        match self {
            Self::En => format!("LVEF by {profile}: {label} ({range}){doubt}"),
            Self::Zh => format!("LVEF 分级（{profile}）：{label}（{range}）{doubt}"),
        }
    }

    /// The same for a page, where the interval stands beside it: without the range.
    pub(crate) fn ef_grade_line(self, grade: &EfGrade, interval: Option<[f64; 2]>) -> String {
        let (profile, label) = (self.profile(grade.profile), self.ef_label(grade.label));
        let others = self.others(grade, interval);
        match self {
            Self::En if others.is_empty() => format!("{profile}: {label}"),
            Self::Zh if others.is_empty() => format!("{profile}：{label}"),
            Self::En => format!("{profile}: {label}; interval: also {}", others.join(", ")),
            Self::Zh => format!("{profile}：{label}；区间另含{}", others.join("、")),
        }
    }

    /// That the grade is provisional; empty where all of the interval has it.
    fn doubt(self, grade: &EfGrade, interval: Option<[f64; 2]>) -> String {
        let others = self.others(grade, interval);
        match self {
            _ if others.is_empty() => String::new(),
            Self::En => format!(
                "; provisional: the 90 % interval reaches into \"{}\"",
                others.join("\", \"")
            ),
            Self::Zh => format!("；暂定：90 % 区间还涉及“{}”", others.join("”、“")),
        }
    }

    fn others(self, grade: &EfGrade, interval: Option<[f64; 2]>) -> Vec<&'static str> {
        let others = interval.map(|interval| grade.others(interval));
        let others = others.into_iter().flatten();
        others.map(|label| self.ef_label(label)).collect()
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
