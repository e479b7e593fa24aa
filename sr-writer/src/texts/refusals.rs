//! Why instances are not measured, in each language. Another language is another function here.

use sonode_findings::Rejection;

use super::Language;

impl Language {
    /// Why an instance is not measured.
    pub const fn rejection(self, reason: Rejection) -> &'static str {
        match self {
            Self::En => english_rejection(reason),
            Self::Zh => chinese_rejection(reason),
        }
    }
}

const fn english_rejection(reason: Rejection) -> &'static str {
    match reason {
        Rejection::NotAnImage => "not an image",
        Rejection::Undecodable => "the pixels can't be decoded",
        Rejection::NotACine => "a single frame, not a cine",
        Rejection::NotAnEcho => "not an echocardiogram",
        Rejection::View => "neither an apical four-chamber nor an apical two-chamber view",
        Rejection::Quality => "image quality too poor",
        Rejection::NoBeat => "no end diastole or no end systole inside the clip",
        Rejection::ColourDoppler => "a colour Doppler box lies over the tissue",
        Rejection::MMode => "M-mode",
        Rejection::SpectralDoppler => "spectral Doppler",
        Rejection::Multiple2dRegions => "several 2D regions on the screen",
        Rejection::StressStage => "a stage of a stress echo other than rest",
        Rejection::Contrast => "a contrast agent opacifies the cavity",
        Rejection::Tee => "transoesophageal",
        Rejection::Paediatric => "the patient is under 18 years old",
        Rejection::Fetal => "a fetal heart",
        Rejection::TestPatient => "a test patient",
    }
}

const fn chinese_rejection(reason: Rejection) -> &'static str {
    match reason {
        Rejection::NotAnImage => "不是图像",
        Rejection::Undecodable => "像素数据无法解码",
        Rejection::NotACine => "单帧图像，不是动态图像",
        Rejection::NotAnEcho => "不是超声心动图",
        Rejection::View => "既非心尖四腔切面，也非心尖两腔切面",
        Rejection::Quality => "图像质量过差",
        Rejection::NoBeat => "片段内没有舒张末期或收缩末期",
        Rejection::ColourDoppler => "组织上叠加了彩色多普勒取样框",
        Rejection::MMode => "M 型",
        Rejection::SpectralDoppler => "频谱多普勒",
        Rejection::Multiple2dRegions => "屏幕上有多个二维区域",
        Rejection::StressStage => "负荷超声的非静息阶段",
        Rejection::Contrast => "心腔内有造影剂",
        Rejection::Tee => "经食管超声",
        Rejection::Paediatric => "患者未满 18 岁",
        Rejection::Fetal => "胎儿心脏",
        Rejection::TestPatient => "测试患者",
    }
}
