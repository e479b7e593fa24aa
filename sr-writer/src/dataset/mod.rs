//! From content tree to data set to Part 10 bytes.

mod companion;
mod content;
mod element;
mod modules;
mod repertoire;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::meta::FileMetaTableBuilder;
use sonode_conformance::{SopInstanceUid, implementation};
use sonode_findings::{Findings, StudyContext};

use crate::request::{ReportRequest, WriteError};
use crate::tree::Node;
pub(crate) use companion::encode_companion;
use element::Item;
pub(crate) use repertoire::is_written;

/// The whole report as a Part 10 file.
///
/// # Errors
/// [`WriteError::Encode`].
pub(crate) fn encode(
    tree: &Node,
    findings: &Findings,
    context: &StudyContext,
    request: &ReportRequest,
) -> Result<Vec<u8>, WriteError> {
    let mut item = Item::new();
    modules::patient(&mut item, context);
    modules::study(&mut item, context);
    modules::series(&mut item, request);
    modules::equipment(&mut item, request);
    modules::document(&mut item, context, request, &tree.images());
    modules::sop_common(&mut item, findings, context, request);
    content::put_root(tree, &mut item);
    if let Some(set) = repertoire::of(&item, &context.source_character_set, request.style.charset) {
        item.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, set);
    }
    serialize(
        item.into_inner(),
        request.form.class.sop_class(),
        &request.sop_instance_uid,
        request.form.syntax.uid(),
    )
}

fn serialize(
    dataset: InMemDicomObject,
    sop_class: &str,
    sop_instance: &SopInstanceUid,
    transfer_syntax: &str,
) -> Result<Vec<u8>, WriteError> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(sop_class)
        .media_storage_sop_instance_uid(sop_instance.as_str())
        .implementation_class_uid(implementation::CLASS_UID)
        .implementation_version_name(implementation::VERSION_NAME);
    let object = dataset
        .with_meta(meta)
        .map_err(|source| WriteError::Encode(Box::new(source)))?;
    let mut bytes = Vec::new();
    object
        .write_all(&mut bytes)
        .map_err(|source| WriteError::Encode(Box::new(source)))?;
    Ok(bytes)
}
