//! The one way to a report.

use sonode_conformance::{SopClassUid, TransferSyntaxUid};
use sonode_findings::{Findings, StudyContext};

use crate::request::{ContentDateTime, ReportRequest, WriteError, WrittenReport};
use crate::template::{self, Source};
use crate::{dataset, lint, tree};

/// Writes a document of a study in the requested form.
///
/// The same arguments give the same bytes. What was written has passed the content tree's constraints and the linter.
/// A study of which nothing was measured gives a TID 1500 that says why, and no other document.
///
/// # Errors
/// Each [`WriteError`] variant.
pub fn write(
    findings: &Findings,
    context: &StudyContext,
    request: &ReportRequest,
) -> Result<WrittenReport, WriteError> {
    if findings.study_instance_uid != context.study_instance_uid {
        return Err(WriteError::StudyMismatch {
            findings: findings.study_instance_uid.clone(),
            context: context.study_instance_uid.clone(),
        });
    }
    if !is_date_and_time(&request.content) {
        return Err(WriteError::ContentDateTime(request.content.clone()));
    }
    if !request.document.ladder().contains(&request.form.class) {
        return Err(WriteError::Form {
            document: request.document,
            form: request.form,
        });
    }
    let root = template::document(&Source::new(findings, request))?;
    let root = root.in_generation(request.style.codes);
    tree::validate(&root, request.form.class)?;
    let bytes = dataset::encode(&root, findings, context, request)?;
    let defects = lint::lint_against(&bytes, &lint::known_images(findings));
    if !defects.is_empty() {
        return Err(WriteError::Lint(defects));
    }
    Ok(WrittenReport {
        bytes,
        sop_class: known_uid(request.form.class.sop_class()).map(SopClassUid::from)?,
        sop_instance: request.sop_instance_uid.clone(),
        transfer_syntax: known_uid(request.form.syntax.uid()).map(TransferSyntaxUid::from)?,
    })
}

pub(crate) fn known_uid(text: &str) -> Result<sonode_conformance::Uid, WriteError> {
    text.parse()
        .map_err(|source: sonode_conformance::UidError| WriteError::Encode(Box::new(source)))
}

fn is_date_and_time(content: &ContentDateTime) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    digits(&content.date, 8) && digits(&content.time, 6)
}
