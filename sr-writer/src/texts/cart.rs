//! What is said of another report of the study, in each language. Another language is another arm here.

use sonode_findings::{BsaOrigin, Quantity, VolumeIndex};

use super::Language;

impl Language {
    /// The values that another report of the study states.
    pub fn cart_report(self, maker: &str, values: &[String]) -> String {
        match self {
            Self::En if maker.is_empty() => {
                format!(
                    "The ultrasound system's own report says: {}",
                    values.join(", ")
                )
            }
            Self::En => format!(
                "The ultrasound system's own report ({maker}) says: {}",
                values.join(", ")
            ),
            Self::Zh if maker.is_empty() => format!("超声设备自身的报告：{}", values.join("，")),
            Self::Zh => format!("超声设备自身的报告（{maker}）：{}", values.join("，")),
        }
    }

    /// A quantity of such a report.
    pub const fn quantity(self, quantity: Quantity) -> &'static str {
        match (self, quantity) {
            (_, Quantity::Lvef) => "LVEF",
            (_, Quantity::Edv) => "EDV",
            (_, Quantity::Esv) => "ESV",
            (Self::En, Quantity::HeartRate) => "heart rate",
            (Self::En, Quantity::Height) => "height",
            (Self::En, Quantity::Weight) => "weight",
            (Self::En, Quantity::BodySurfaceArea) => "body surface area",
            (Self::Zh, Quantity::HeartRate) => "心率",
            (Self::Zh, Quantity::Height) => "身高",
            (Self::Zh, Quantity::Weight) => "体重",
            (Self::Zh, Quantity::BodySurfaceArea) => "体表面积",
        }
    }

    /// Volumes over the body surface area, and where that comes from.
    pub fn volume_index(self, index: &VolumeIndex) -> String {
        let VolumeIndex {
            bsa_m2,
            edv_ml_m2,
            esv_ml_m2,
            ..
        } = index;
        let origin = self.bsa_origin(index.origin);
        match self {
            Self::En => format!(
                "Volumes over body surface area: EDV {edv_ml_m2:.1} ml/m2, ESV {esv_ml_m2:.1} ml/m2; body surface area \
                 {bsa_m2:.2} m2, {origin}"
            ),
            Self::Zh => format!(
                "容积指数：EDV {edv_ml_m2:.1} ml/m2，ESV {esv_ml_m2:.1} ml/m2；体表面积 {bsa_m2:.2} m2，{origin}"
            ),
        }
    }

    /// Where a body surface area comes from.
    pub const fn bsa_origin(self, origin: BsaOrigin) -> &'static str {
        match (self, origin) {
            (Self::En, BsaOrigin::Report) => "from the ultrasound system's report",
            (Self::En, BsaOrigin::ReportDuBois) => {
                "by Du Bois' formula from height and weight of the ultrasound system's report"
            }
            (Self::En, BsaOrigin::HeaderDuBois) => {
                "by Du Bois' formula from height and weight of the images' headers"
            }
            (Self::Zh, BsaOrigin::Report) => "取自超声设备报告",
            (Self::Zh, BsaOrigin::ReportDuBois) => "按 Du Bois 公式，身高和体重取自超声设备报告",
            (Self::Zh, BsaOrigin::HeaderDuBois) => "按 Du Bois 公式，身高和体重取自图像头信息",
        }
    }
}
