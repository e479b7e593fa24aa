//! The content tree as attributes: SR Document Content module (PS3.3 C.17.3) and its macros (C.18).

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::element::Item;
use crate::tree::{Node, Relationship, Value};

/// Puts the root's own attributes and its children into the data set.
pub(super) fn put_root(root: &Node, dataset: &mut Item) {
    put(root, dataset);
}

fn child_item(relationship: Relationship, node: &Node) -> Item {
    let mut item = Item::new();
    item.text(tags::RELATIONSHIP_TYPE, VR::CS, relationship.as_str());
    put(node, &mut item);
    item
}

fn put(node: &Node, item: &mut Item) {
    item.text(tags::VALUE_TYPE, VR::CS, node.value().value_type().as_str());
    if let Some(name) = node.name() {
        item.code(tags::CONCEPT_NAME_CODE_SEQUENCE, name);
    }
    put_value(node.value(), item);
    if !node.children().is_empty() {
        let children = node
            .children()
            .iter()
            .map(|(relationship, child)| child_item(*relationship, child))
            .collect();
        item.sequence(tags::CONTENT_SEQUENCE, children);
    }
}

fn put_value(value: &Value, item: &mut Item) {
    match value {
        Value::Container(template) => {
            item.text(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
            if let Some(template) = template {
                let mut reference = Item::new();
                reference.text(tags::MAPPING_RESOURCE, VR::CS, "DCMR").text(
                    tags::TEMPLATE_IDENTIFIER,
                    VR::CS,
                    template,
                );
                item.sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![reference]);
            }
        }
        Value::Code(code) => {
            item.code(tags::CONCEPT_CODE_SEQUENCE, *code);
        }
        Value::Text(text) => {
            item.text(tags::TEXT_VALUE, VR::UT, text);
        }
        Value::Num(number, unit) => {
            let mut measured = Item::new();
            measured
                .text(tags::NUMERIC_VALUE, VR::DS, number.as_str())
                .code(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit.code());
            item.sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]);
        }
        Value::UidRef(uid) => {
            item.text(tags::UID, VR::UI, uid.as_str());
        }
        Value::Polyline(points) => {
            item.text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE")
                .floats(tags::GRAPHIC_DATA, points.iter().flatten().copied());
        }
        Value::Composite(object) => {
            let mut reference = Item::new();
            reference
                .text(
                    tags::REFERENCED_SOP_CLASS_UID,
                    VR::UI,
                    object.class.as_str(),
                )
                .text(
                    tags::REFERENCED_SOP_INSTANCE_UID,
                    VR::UI,
                    object.instance.as_str(),
                );
            item.sequence(tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
        }
        Value::Image(image, frames) => {
            let mut reference = Item::new();
            reference
                .text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, image.class.as_str())
                .text(
                    tags::REFERENCED_SOP_INSTANCE_UID,
                    VR::UI,
                    image.instance.as_str(),
                );
            if !frames.is_empty() {
                reference.integers(tags::REFERENCED_FRAME_NUMBER, frames);
            }
            item.sequence(tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
        }
    }
}
