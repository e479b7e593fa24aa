//! What the worker and the node say about a study, in languages other than English, by the ids of
//! [`sonode_findings::phrases`]; and what a check is called. Another language is another table here.

use sonode_findings::{Sentence, Wording};

use super::Language;

impl Language {
    /// A sentence of the worker's or the node's. What this language has no wording for stays English.
    pub fn say(self, sentence: &Sentence) -> String {
        match self {
            Self::En => sentence.text().to_owned(),
            Self::Zh => sentence.render(&CHINESE),
        }
    }

    /// What a check is called, with its id, by which it is found in the findings. In English the id says it.
    pub fn check_name(self, id: &str) -> String {
        match (self, self.check_title(id)) {
            (Self::Zh, title) if title != id => format!("{title}（{id}）"),
            _ => id.to_owned(),
        }
    }

    /// What a check is called.
    pub(crate) fn check_title(self, id: &str) -> &str {
        let name = match self {
            Self::En => find(CHECKS_IN_ENGLISH, id),
            Self::Zh => find(CHECKS_IN_CHINESE, id),
        };
        name.unwrap_or(id)
    }
}

/// Chinese.
const CHINESE: Wording = Wording {
    of: |id| find(IN_CHINESE, id),
    separator: "；",
};

type Table = &'static [(&'static str, &'static str)];

fn find(table: Table, id: &str) -> Option<&'static str> {
    let mut rows = table.iter();
    rows.find(|(known, _)| *known == id).map(|(_, text)| *text)
}

const IN_CHINESE: Table = &[
    // Checks of a clip.
    ("esv-below-edv", "{0} {2} 小于 {1} {2}"),
    ("esv-not-below-edv", "{0} {2} 不小于 {1} {2}"),
    ("units", "单位"),
    ("within-range", "{0} {1} {2}，在 {3} 至 {4} {2} 范围内"),
    ("outside-range", "{0} {1} {2}，超出 {3} 至 {4} {2} 范围"),
    ("ef", "EF"),
    ("edv", "EDV"),
    ("esv", "ESV"),
    ("lv-length-ed", "舒张末期左心室长径"),
    ("axis-shortening", "长轴缩短率"),
    ("cardiac-output", "每搏量 × 心率"),
    ("ed-to-es", "舒张末期至收缩末期"),
    ("points-in-sector", "扇区内的轮廓点"),
    ("cavity-in-one-region", "分割心腔位于同一区域的比例"),
    ("apex-movement", "心尖移动与长径之比"),
    ("heart-rate-unknown", "心率未知"),
    ("no-calibration", "图像没有标定"),
    ("frame-rate-unknown", "帧频未知"),
    ("systole-first", "片段中收缩末期先于舒张末期"),
    ("no-atrium", "未见左心房"),
    ("apex-towards-probe", "二尖瓣环位置深于心尖"),
    ("apex-away-from-probe", "二尖瓣环位置不深于心尖"),
    ("annulus-seen", "在左心室与左心房之间找到二尖瓣环"),
    (
        "annulus-from-outline",
        "左心室旁未见相邻心房：二尖瓣环仅由轮廓推定",
    ),
    ("atrium-beyond", "左心房位于二尖瓣环之外侧"),
    (
        "atrium-not-beyond",
        "被识别为左心房的结构不在二尖瓣环之外侧",
    ),
    ("elongated", "长轴为最大内径的 {0} 倍（至少 {1} 倍）"),
    (
        "foreshortened",
        "长轴仅为最大内径的 {0} 倍（至少 {1} 倍）：左心室可能短缩，容积偏小而 EF 偏高",
    ),
    ("frames-a-second", "每秒 {0} 帧（至少 {1} 帧）"),
    (
        "few-frames-a-second",
        "每秒仅 {0} 帧（至少 {1} 帧）：舒张末期和收缩末期可能落在两帧之间，EF 可能偏低",
    ),
    (
        "area-length",
        "面积长度法 EF {0} %，圆盘法 EF {1} %：相差 {2} 个百分点（至多 {3}）",
    ),
    (
        "regression",
        "回归模型 EF {0} %，圆盘法 EF {1} %：相差 {2} 个百分点（至多 {3}）",
    ),
    ("regression-untimed", "EF 回归模型按时间取帧，而帧频未知"),
    // Checks of two clips, and of another report.
    ("of-biplane", "双平面：{0}"),
    ("of-four-chamber-clip", "四腔切面片段：{0}"),
    ("of-two-chamber-clip", "两腔切面片段：{0}"),
    ("one-rate-unknown", "两个片段中有一个心率未知"),
    ("one-uncalibrated", "两个片段中有一个没有标定"),
    (
        "rates",
        "心率 {0} 次/分与 {1} 次/分相差 {2} %（至多 {3} %）",
    ),
    (
        "axes",
        "长轴 {0} cm 与 {1} cm 相差 {2} %（至多 {3} %）：超出则其中之一短缩",
    ),
    (
        "planes",
        "四腔切面 EF {0} %，两腔切面 EF {1} %：相差 {2} 个百分点（至多 {3}）",
    ),
    (
        "cart-ef",
        "本结果 EF {0} %，{2}的报告 EF {1} %：相差 {3} 个百分点（至多 {4}）",
    ),
    (
        "cart-ef-by",
        "本结果 EF {0} %，{2}的报告 EF {1} %（{5}）：相差 {3} 个百分点（至多 {4}）",
    ),
    ("the-cart", "超声设备"),
    // The second reader.
    (
        "read-ef",
        "测量值 {0} %，判读值 {1} %，相差至多 {2} 个百分点",
    ),
    ("no-ef-read", "未判读出 LVEF"),
    ("no-ef-measured", "未测得 LVEF"),
    ("found-and-read", "识别为 {0}，判读为 {1}"),
    ("no-view-named", "两者之一未给出切面"),
    ("no-quality-named", "两者之一未给出图像质量"),
    ("good", "好"),
    ("fair", "一般"),
    ("poor", "差"),
    ("other", "其他"),
    ("all-supported", "每条陈述均有依据"),
    ("struck", "已删除 {0} 条：{1}"),
    ("number-not-measured", "数值 {0} 并非测量所得"),
    ("no-observation", "“{0}”不是所见"),
    ("other-side", "部位“{0}”未经测量"),
    ("other-structure", "结构“{0}”未经测量"),
    ("no-measurements-finding", "“{0}”不是测量所能得出的结论"),
    ("names-another-view", "所述切面与识别出的不同"),
    ("says-another-function", "关于功能的描述与测量结果不符"),
    ("reader-overloaded", "第二判读模型待读任务过多"),
    ("reader-no-answer", "第二判读模型未给出答复：{0}"),
    (
        "reader-failed",
        "第二判读模型出错，重新启动分析进程之前停用",
    ),
    ("reader-late", "第二判读模型未及时完成"),
    // Reasons of quality.
    ("unclear-borders", "心腔边界不清（回声失落或雾状伪像）"),
    ("outline-jumps", "轮廓在相邻帧之间跳动"),
    ("ventricle-lost", "部分帧中未能找到左心室"),
    ("irregular-outline", "轮廓不规则"),
    ("noisy-curve", "容积曲线噪声大"),
    ("little-contrast", "室壁与心腔对比度低（增益）"),
    ("unfit", "质量模型认为图像不适合测量"),
    ("looks-foreshortened", "左心室疑似短缩"),
    // Notes.
    ("views-contradict", "图像头信息标明为{0}，图像看似{1}。"),
    ("apical-four-chamber", "心尖四腔切面"),
    ("apical-two-chamber", "心尖两腔切面"),
    ("another-view", "其他切面"),
    (
        "model-not-asked",
        "未使用模型 {0}：该模型按时间取帧，而帧频未知。",
    ),
    (
        "frames-left-out",
        "{1} 帧中有 {0} 帧因轮廓跳动而未计入容积曲线。",
    ),
    ("frames-analysed", "标明的 {1} 帧中分析了 {0} 帧。"),
    (
        "no-complete-beat",
        "片段内没有完整的心动周期：由一个舒张末期和一个收缩末期测得，二者可能属于不同的心动周期。",
    ),
    ("volumes-withheld", "未报告容积：数值超出心脏可能的范围。"),
    (
        "region-scaled",
        "图像头信息中的标定对应于 {0} 倍大小的图像，已换算至本图像。若此换算有误，容积和面积亦有误；射血分数为比值，不受影响。",
    ),
    (
        "region-unexplained",
        "超声区域超出图像，且没有常见的像素矩阵可以解释；未采用这些区域，因此没有标定。",
    ),
    (
        "no-usable-calibration",
        "图像没有以厘米为单位的可用标定，因此不给出毫升容积。",
    ),
    // Refusals by the pixels.
    ("implausible", "结果不合理：{0}。"),
    ("too-poor", "无法测量：{0}。"),
    ("blank", "图像为空白。"),
    ("no-beat", "片段中没有同一心动周期的舒张末期和收缩末期。"),
    (
        "no-ventricle-at-phase",
        "在舒张末期或收缩末期附近未找到左心室。",
    ),
    ("no-ventricle", "未找到心尖切面的左心室。"),
    ("no-walls", "所找到的心腔周围没有室壁。"),
    ("no-atrium-below", "在左心室下方未找到左心房。"),
    (
        "not-apical",
        "切面模型认为不是心尖切面（其他切面的概率 {0}）。",
    ),
    (
        "view-untold",
        "无法判断切面：图像头信息未标明，分割模型识别的心腔过少，且没有切面模型。",
    ),
    ("header-not-apical", "图像头信息标明为非心尖切面。"),
    ("coloured", "图像区域的 {0} % 为血流速度彩色编码。"),
    ("frames-held", "文件只含 {1} 帧中的 {0} 帧。"),
    // Refusals by the header.
    ("breaks-off", "文件在像素数据之前中断。"),
    ("no-pixels", "该对象没有像素数据。"),
    (
        "volume-of-planes",
        "该对象为三维容积：其各帧是平面，而非时刻。",
    ),
    ("modality", "其设备类型为“{0}”，不是超声。"),
    ("attribute-says", "{0} 中写有“{1}”。"),
    ("linear-transducer", "探头为线阵探头（“{0}”）。"),
    ("transducer-type", "探头类型为“{0}”。"),
    ("test-patient", "患者标识为测试患者。"),
    ("under-age", "患者未满 {0} 岁。"),
    ("stress-stage", "为负荷超声 {1} 个阶段中的第 {0} 阶段。"),
    ("contrast-agent", "图像头信息标明使用了造影剂。"),
    ("spectral-region", "屏幕上有频谱多普勒区域。"),
    ("m-mode-region", "屏幕上有 M 型区域。"),
    ("colour-flow", "图像头信息标明含彩色血流数据。"),
    ("several-images", "屏幕上有 {0} 幅二维图像。"),
    ("single-frame", "为单帧图像。"),
    ("own-object", "本节点自身生成的对象。"),
    ("not-analysed", "{0} 类对象仅保存，不作分析。"),
    ("not-survived", "分析进程 {0} 次均因该对象中断。"),
    // What can't be read or decoded.
    ("unparsable", "数据集无法解析。"),
    ("unreadable", "文件无法读取：{0}。"),
    ("no-dicom", "不是 DICOM 文件：第 128 字节处没有 DICM。"),
    ("nested-too-deep", "序列嵌套超过 {0} 层。"),
    ("broken-at", "数据集在第 {0} 字节处损坏。"),
    ("too-many-fragments", "像素数据的分段过多。"),
    ("inflates-too-long", "压缩的数据集展开后超过 512 MiB。"),
    ("header-refused", "数据集无法解析：{0}。"),
    ("header-lacks", "图像头信息缺少{0}。"),
    ("frame-too-large", "帧尺寸过大，不予处理。"),
    ("syntax-not-decoded", "传输语法 {0} 的像素数据无法解码。"),
    ("not-supported", "不支持：{0}。"),
    (
        "codestream-size",
        "码流为 {0}x{1}，而图像头信息标明 {2}x{3}。",
    ),
    ("codestream", "码流损坏：{0}。"),
    ("decoder-says", "解码器报告：{0}。"),
    ("decoder-gave-up", "解码器中止。"),
    ("no-whole-frame", "像素数据中没有完整的帧。"),
    ("in-frame", "第 {0} 帧：{1}"),
    ("rows-or-columns", "行数或列数"),
    ("a-palette", "调色板"),
    ("samples-a-pixel", "每像素样本数不是 1 或 3"),
    ("bits-a-sample", "每样本位数不是 8 或 16"),
    ("rle-bits", "每样本位数不是 8 或 16 的 RLE"),
    ("rle-segments", "RLE 段与图像头信息不符"),
    ("rle-outside", "有 RLE 段超出所在帧"),
    ("no-jpeg-header", "没有 JPEG 帧头"),
    ("jpeg-12-bits", "每样本 12 位的 JPEG"),
    ("jpeg-kind", "这种 JPEG"),
    ("jpeg-components", "两个或四个分量的 JPEG"),
    ("no-jpeg-ls-header", "没有 JPEG-LS 帧头"),
    ("jpeg-ls-kind", "这种 JPEG-LS"),
    ("no-siz", "没有 JPEG 2000 的 SIZ 标记"),
    ("j2k-components", "两个或四个分量的 JPEG 2000"),
    ("j2k-subsampled", "分量经亚采样的 JPEG 2000"),
    ("another-size", "帧的大小与标明的不符"),
];

const CHECKS_IN_ENGLISH: Table = &[
    ("esv-below-edv", "ESV below EDV"),
    ("ef-range", "Range of EF"),
    ("edv-range", "Range of EDV"),
    ("edv-typical", "Normal range of EDV"),
    ("esv-typical", "Normal range of ESV"),
    ("lv-length", "Length of the ventricle"),
    ("length-change", "Shortening of the long axis"),
    ("cardiac-output", "Cardiac output"),
    ("es-ed-interval", "Duration of systole"),
    ("contour-in-sector", "Contour inside the sector"),
    ("one-region", "Contour is one region"),
    ("apex-towards-probe", "Apex towards the probe"),
    ("annulus-seen", "Mitral annulus seen"),
    ("atrium-beyond-annulus", "Atrium beyond the annulus"),
    ("apex-travel", "Movement of the apex"),
    ("area-length-agreement", "Agreement with area-length"),
    ("foreshortening", "Foreshortening"),
    ("frame-rate", "Frame rate"),
    (
        "ef-regression-agreement",
        "Agreement with the EF regression",
    ),
    ("biplane-heart-rates", "Heart rates of the two planes"),
    ("biplane-lengths", "Lengths of the two planes"),
    ("planes-agree", "EF of the two planes"),
    ("cart-ef-agreement", "Agreement with the cart's report"),
    ("second-reader", "Second reader"),
    ("second-reader-lvef", "Second reader's LVEF"),
    ("second-reader-view", "Second reader's view"),
    ("second-reader-quality", "Second reader's image quality"),
    ("second-reader-narrative", "Second reader's words"),
];

const CHECKS_IN_CHINESE: Table = &[
    ("esv-below-edv", "ESV 小于 EDV"),
    ("ef-range", "EF 范围"),
    ("edv-range", "EDV 范围"),
    ("edv-typical", "EDV 正常范围"),
    ("esv-typical", "ESV 正常范围"),
    ("lv-length", "左心室长径"),
    ("length-change", "长轴变化"),
    ("cardiac-output", "心输出量"),
    ("es-ed-interval", "收缩期时长"),
    ("contour-in-sector", "轮廓位于扇区内"),
    ("one-region", "分割区域完整"),
    ("apex-towards-probe", "心尖朝向探头"),
    ("annulus-seen", "二尖瓣环可见"),
    ("atrium-beyond-annulus", "左心房位置"),
    ("apex-travel", "心尖移动"),
    ("area-length-agreement", "与面积长度法一致"),
    ("foreshortening", "左心室短缩"),
    ("frame-rate", "帧频"),
    ("ef-regression-agreement", "与 EF 回归模型一致"),
    ("biplane-heart-rates", "两切面心率"),
    ("biplane-lengths", "两切面长轴"),
    ("planes-agree", "两切面 EF 一致"),
    ("cart-ef-agreement", "与超声设备报告一致"),
    ("second-reader", "第二判读"),
    ("second-reader-lvef", "第二判读的 LVEF"),
    ("second-reader-view", "第二判读的切面"),
    ("second-reader-quality", "第二判读的图像质量"),
    ("second-reader-narrative", "第二判读的描述"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sonode_findings::phrases;

    use super::*;

    /// The places of a wording.
    fn places(wording: &str) -> BTreeSet<&str> {
        let parts = wording.split('{').skip(1);
        parts.map(|part| part.split_once('}').unwrap().0).collect()
    }

    #[test]
    fn every_sentence_of_the_worker_has_a_chinese_wording_with_the_same_values() {
        for (id, english) in phrases::ALL {
            let chinese = find(IN_CHINESE, id).unwrap_or_else(|| panic!("no wording for {id}"));
            assert_eq!(places(chinese), places(english), "{id}");
        }
        // Nothing is left of what is said no more.
        assert_eq!(IN_CHINESE.len(), phrases::ALL.len());
    }

    #[test]
    fn every_check_has_a_chinese_name() {
        for rule in phrases::rule::ALL {
            assert!(find(CHECKS_IN_CHINESE, rule.id()).is_some(), "{rule:?}");
        }
        assert_eq!(CHECKS_IN_CHINESE.len(), phrases::rule::ALL.len());
        let ids = |table: Table| table.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids(CHECKS_IN_ENGLISH), ids(CHECKS_IN_CHINESE));
    }

    #[test]
    fn a_sentence_inside_another_is_said_in_the_same_language() {
        let what = phrases::LV_LENGTH_ED.into();
        let values = ["4.0", "cm", "5", "12"].map(sonode_findings::Value::from);
        let [value, unit, low, high] = values;
        let outside = phrases::OUTSIDE_RANGE.say([what, value, unit, low, high]);
        let refusal = phrases::IMPLAUSIBLE.say([[outside].into_iter().collect()]);
        assert_eq!(
            Language::Zh.say(&refusal),
            "结果不合理：舒张末期左心室长径 4.0 cm，超出 5 至 12 cm 范围。"
        );
        let foreign = Sentence::verbatim("of another version");
        assert_eq!(Language::Zh.say(&foreign), "of another version");
        assert_eq!(Language::Zh.check_name("of-tomorrow"), "of-tomorrow");
    }
}
