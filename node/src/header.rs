//! What the header scanner saw, in the pipeline's terms.

use std::io::Read;
use std::path::Path;

use sonode_conformance::transfer_syntax;
use sonode_dimse::{HeaderFacts, HeaderScanner, Tag};
use sonode_pipeline::{HeaderSummary, Headers};

use crate::part10::Part10;
use crate::rejection;

/// The attributes that the pipeline keeps, still as the peer wrote them.
pub(crate) fn summary(facts: &HeaderFacts) -> HeaderSummary {
    let raw = |tag| facts.raw(tag).unwrap_or_default().to_vec();
    HeaderSummary {
        specific_character_set: raw(Tag::SPECIFIC_CHARACTER_SET),
        study_instance_uid: facts.study().ok().flatten(),
        sop_instance_uid: facts.sop_instance().ok().flatten(),
        series_instance_uid: facts.series().ok().flatten(),
        sop_class_uid: facts.sop_class().ok().flatten(),
        device_uid: raw(Tag::DEVICE_UID),
        modality: raw(Tag::MODALITY),
        patient_name: raw(Tag::PATIENT_NAME),
        patient_id: raw(Tag::PATIENT_ID),
        issuer_of_patient_id: raw(Tag::ISSUER_OF_PATIENT_ID),
        patient_birth_date: raw(Tag::PATIENT_BIRTH_DATE),
        patient_sex: raw(Tag::PATIENT_SEX),
        study_date: raw(Tag::STUDY_DATE),
        study_time: raw(Tag::STUDY_TIME),
        accession_number: raw(Tag::ACCESSION_NUMBER),
        referring_physician_name: raw(Tag::REFERRING_PHYSICIAN),
        study_id: raw(Tag::STUDY_ID),
        study_description: raw(Tag::STUDY_DESCRIPTION),
        timezone_offset_from_utc: raw(Tag::TIMEZONE_OFFSET),
        rejection: None,
        requests: Vec::new(),
    }
}

/// Reads a file's header.
pub(crate) fn scan(part10: &mut Part10, encoding: transfer_syntax::Encoding) -> HeaderFacts {
    let mut scanner = HeaderScanner::new(encoding);
    let mut chunk = vec![0; 64 * 1024];
    while !scanner.is_done() {
        match part10.file.read(&mut chunk) {
            Ok(read) if read > 0 => scanner.push(chunk.get(..read).unwrap_or_default()),
            _ => break,
        }
    }
    scanner.finish()
}

/// Reads the headers of files that were stored before a restart.
pub(crate) struct FileHeaders;

impl Headers for FileHeaders {
    fn read(&self, path: &Path) -> HeaderSummary {
        let Ok(mut part10) = Part10::open(path) else {
            return HeaderSummary::default();
        };
        let encoding = transfer_syntax::find(part10.transfer_syntax.as_str())
            .map_or(transfer_syntax::Encoding::ExplicitLittle, |row| {
                row.encoding
            });
        let mut header = summary(&scan(&mut part10, encoding));
        if rejection::may_reject(&part10.sop_class) {
            header.rejection = rejection::note(path);
        }
        header
    }
}
