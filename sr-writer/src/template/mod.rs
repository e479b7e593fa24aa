//! Templates of PS3.16: from findings to content trees.

mod cart;
mod group;
mod head;
mod index;
mod key_object;
mod qualitative;
mod quantity;
mod rows;
mod tid1500;
mod tid5200;
mod tid5300;

use std::collections::BTreeMap;

use sonode_conformance::{SopInstanceUid, charset};
use sonode_findings::{Findings, InstanceFindings, Rejection, StudyContext, ViewLabel};

use crate::codes::{self, Code};
use crate::form::Document;
use crate::request::{ReportRequest, WriteError};
use crate::tree::{Decimal, ImageRef, Node};

/// The content tree of the requested document, in SNOMED CT; see [`Node::in_generation`].
///
/// # Errors
/// [`WriteError::NothingMeasured`], [`WriteError::SourceUnknown`], [`WriteError::NotFinite`], [`WriteError::Frame`] or
/// [`WriteError::Contour`].
pub(crate) fn document(source: &Source<'_>) -> Result<Node, WriteError> {
    let document = source.request.document;
    if document.needs_measurement() && source.findings.lv.is_none() {
        return Err(WriteError::NothingMeasured(document));
    }
    match document {
        Document::MeasurementReport => tid1500::measurement_report(source),
        Document::EchoReport => tid5200::echo_report(source),
        Document::SimplifiedEchoReport => tid5300::simplified_echo_report(source),
        Document::KeyObject => key_object::key_object(source),
    }
}

/// What every template needs: findings, request, and which instances can be referenced.
pub(crate) struct Source<'a> {
    pub(crate) findings: &'a Findings,
    pub(crate) request: &'a ReportRequest,
    /// Whether text of the images could not be decoded and is copied byte for byte.
    pub(crate) has_undecoded: bool,
    images: BTreeMap<&'a SopInstanceUid, ImageRef>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        findings: &'a Findings,
        context: &StudyContext,
        request: &'a ReportRequest,
    ) -> Self {
        let images = findings
            .instances
            .iter()
            // Value type IMAGE is for images; a document or waveform is spoken of in words.
            .filter(|instance| instance.rejected != Some(Rejection::NotAnImage))
            .filter_map(|instance| {
                let image = ImageRef {
                    series: instance.series_instance_uid.clone()?,
                    instance: instance.sop_instance_uid.clone(),
                    class: instance.sop_class_uid.clone()?,
                };
                Some((&instance.sop_instance_uid, image))
            })
            .collect();
        Self {
            findings,
            request,
            has_undecoded: has_undecoded(context),
            images,
        }
    }

    /// The reference to an instance, where its class and series are known and it is an image.
    pub(crate) fn image(&self, instance: &InstanceFindings) -> Option<ImageRef> {
        self.images.get(&instance.sop_instance_uid).cloned()
    }

    /// The reference to an instance whose numbers are reported.
    fn measured_image(&self, instance: &InstanceFindings) -> Result<ImageRef, WriteError> {
        self.image(instance)
            .ok_or_else(|| WriteError::SourceUnknown(instance.sop_instance_uid.clone()))
    }

    /// The clips that the summary stands on: one, or the two of a biplane measurement.
    fn measured(&self) -> Result<Vec<&'a InstanceFindings>, WriteError> {
        let Some(lv) = &self.findings.lv else {
            return Ok(Vec::new());
        };
        let sources = self.findings.sources();
        if sources.len() == 1 + usize::from(lv.second_source.is_some()) {
            Ok(sources)
        } else {
            Err(WriteError::SourceUnknown(lv.source.clone()))
        }
    }
}

/// Whether any text that is copied from the images could not be decoded.
fn has_undecoded(context: &StudyContext) -> bool {
    let own = [
        &context.patient_name,
        &context.patient_id,
        &context.issuer_of_patient_id,
        &context.accession_number,
        &context.referring_physician_name,
        &context.study_id,
        &context.study_description,
    ];
    let of_requests = context.requests.iter().flat_map(|request| {
        [
            &request.accession_number,
            &request.requested_procedure_id,
            &request.requested_procedure_description,
            &request.placer_order_number,
            &request.filler_order_number,
        ]
    });
    own.into_iter()
        .chain(of_requests)
        .any(|text| charset::has_undecoded(text.expose()))
}

fn decimal(value: f64, places: usize, what: &'static str) -> Result<Decimal, WriteError> {
    Decimal::rounded(value, places).ok_or(WriteError::NotFinite(what))
}

/// The view's code, for the two views that are measured.
fn view_code(view: ViewLabel) -> Option<Code> {
    match view {
        ViewLabel::A4C => Some(codes::APICAL_FOUR_CHAMBER),
        ViewLabel::A2C => Some(codes::APICAL_TWO_CHAMBER),
        ViewLabel::Other => None,
    }
}
