//! Rules about TID 5200 that receivers rely on: they match a number by its whole tuple of codes.

use super::content::template;
use super::{Defect, Rule};
use crate::codes;
use crate::read::FoundItem;

pub(super) fn defects(root: &FoundItem) -> Vec<Defect> {
    let mut defects = Vec::new();
    let sections: Vec<&FoundItem> = root
        .named(codes::FINDINGS)
        .chain(root.named(codes::FINDINGS_LN))
        .collect();
    if sections.is_empty() {
        let detail = "there is no section of findings";
        defects.push(Defect::new(Rule::Section, &root.path, detail));
    }
    for section in sections {
        if template(section) != Some("5202") {
            let detail = "the section is not identified as TID 5202";
            defects.push(Defect::new(Rule::Template, &section.path, detail));
        }
        defects.extend(lacks(section, &[codes::FINDING_SITE]));
        let groups: Vec<&FoundItem> = section.named(codes::MEASUREMENT_GROUP).collect();
        if groups.is_empty() {
            let detail = "the section has no measurement group";
            defects.push(Defect::new(Rule::Section, &section.path, detail));
        }
        for group in groups {
            defects.extend(lacks(group, &[codes::IMAGE_MODE]));
            for number in &group.children {
                defects.extend(modifiers(number));
            }
        }
    }
    defects
}

/// The modifiers without which a volume or an ejection fraction matches nothing.
fn modifiers(number: &FoundItem) -> Vec<Defect> {
    if number.is(codes::LVEF) {
        lacks(number, &[codes::MEASUREMENT_METHOD, codes::IMAGE_VIEW])
    } else if number.is(codes::LV_EDV) || number.is(codes::LV_ESV) {
        let wanted = [
            codes::MEASUREMENT_METHOD,
            codes::IMAGE_VIEW,
            codes::CYCLE_POINT,
        ];
        lacks(number, &wanted)
    } else {
        Vec::new()
    }
}

fn lacks(item: &FoundItem, wanted: &[codes::Code]) -> Vec<Defect> {
    wanted
        .iter()
        .filter(|code| {
            let mut modifiers = item.named(**code);
            !modifiers.any(|modifier| modifier.relationship == "HAS CONCEPT MOD")
        })
        .map(|code| {
            let detail = format!("{} is missing as a modifier", code.meaning);
            Defect::new(Rule::Section, &item.path, detail)
        })
        .collect()
}
