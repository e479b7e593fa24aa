//! The words of a page and of a cine, in each language. Another language is another table here.

use super::Language;

/// The words of one language.
#[derive(Debug, Clone, Copy)]
pub struct PageTexts {
    /// The page's title.
    pub title: &'static str,
    /// Patient ID.
    pub patient_id: &'static str,
    /// Birth date.
    pub born: &'static str,
    /// Male, female, other.
    pub sexes: [&'static str; 3],
    /// Study date.
    pub study: &'static str,
    /// Accession number.
    pub accession: &'static str,
    /// The ejection fraction.
    pub ejection_fraction: &'static str,
    /// Its interval.
    pub interval: &'static str,
    /// End-diastolic volume.
    pub edv: &'static str,
    /// End-systolic volume.
    pub esv: &'static str,
    /// End-diastolic volume over body surface area.
    pub edv_index: &'static str,
    /// End-systolic volume over body surface area.
    pub esv_index: &'static str,
    /// The ejection fraction of the cart's own report.
    pub cart_lvef: &'static str,
    /// Heart rate.
    pub heart_rate: &'static str,
    /// Image quality.
    pub quality: &'static str,
    /// End diastole.
    pub end_diastole: &'static str,
    /// End systole.
    pub end_systole: &'static str,
    /// A frame, with a place for its number.
    pub frame: &'static str,
    /// Between two parts of a line.
    pub comma: &'static str,
    /// Before what is named.
    pub colon: &'static str,
    /// The volume curve.
    pub volume: &'static str,
    /// The unit of a curve without calibration.
    pub share_of_largest: &'static str,
    /// The checks.
    pub checks: &'static str,
    /// How many passed, warned, failed and could not be made.
    pub outcomes: [&'static str; 4],
    /// Revision of the report.
    pub revision: &'static str,
    /// That it replaces another one.
    pub replaces: &'static str,
    /// Not measured.
    pub not_measured: &'static str,
    /// The models.
    pub models: &'static str,
    /// That the Structured Report has everything.
    pub more: &'static str,
}

const ENGLISH: PageTexts = PageTexts {
    title: "Left ventricular function",
    patient_id: "ID",
    born: "born",
    sexes: ["male", "female", "sex: other"],
    study: "Study of",
    accession: "accession number",
    ejection_fraction: "LV ejection fraction",
    interval: "interval",
    edv: "End-diastolic volume",
    esv: "End-systolic volume",
    edv_index: "EDV index",
    esv_index: "ESV index",
    cart_lvef: "LVEF of the cart's report",
    heart_rate: "Heart rate",
    quality: "Image quality",
    end_diastole: "End diastole",
    end_systole: "End systole",
    frame: "frame {}",
    comma: ", ",
    colon: ": ",
    volume: "Volume",
    share_of_largest: "% of the largest",
    checks: "Checks",
    outcomes: ["passed", "warnings", "failed", "not possible"],
    revision: "Revision",
    replaces: "replaces the earlier page of this study",
    not_measured: "The left ventricle was not measured",
    models: "Models",
    more: "Every number and its source: Structured Report, if archived",
};

const CHINESE: PageTexts = PageTexts {
    title: "左心室功能",
    patient_id: "患者编号",
    born: "出生日期",
    sexes: ["男", "女", "性别：其他"],
    study: "检查日期",
    accession: "检查号",
    ejection_fraction: "左室射血分数",
    interval: "区间",
    edv: "舒张末期容积",
    esv: "收缩末期容积",
    edv_index: "EDV 指数",
    esv_index: "ESV 指数",
    cart_lvef: "超声设备报告的 LVEF",
    heart_rate: "心率",
    quality: "图像质量",
    end_diastole: "舒张末期",
    end_systole: "收缩末期",
    frame: "第 {} 帧",
    comma: "，",
    colon: "：",
    volume: "容积",
    share_of_largest: "占最大值的 %",
    checks: "检查项",
    outcomes: ["通过", "警告", "未通过", "无法进行"],
    revision: "版本",
    replaces: "取代该检查先前的页面",
    not_measured: "未测量左心室",
    models: "模型",
    more: "全部数值及其来源见结构化报告（若存档系统接收）",
};

impl Language {
    /// The words of a page in this language.
    pub const fn page(self) -> &'static PageTexts {
        match self {
            Self::En => &ENGLISH,
            Self::Zh => &CHINESE,
        }
    }
}
