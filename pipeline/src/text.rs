//! The header's text, decoded to Unicode.

use sonode_conformance::StudyInstanceUid;
use sonode_conformance::charset::Charset;
use sonode_findings::{Phi, RequestAttributes, StudyContext};

use crate::header::{HeaderSummary, RawRequest};

impl HeaderSummary {
    /// The patient and study attributes, decoded. `if_missing` is the Specific Character Set of an object that names
    /// none: its sender's (`charset_if_missing`), or empty.
    pub fn context(&self, study: StudyInstanceUid, if_missing: &str) -> StudyContext {
        let declared = plain(&self.specific_character_set);
        let character_set = if declared.is_empty() {
            if_missing.to_owned()
        } else {
            declared
        };
        let text = Charset::parse(&character_set);
        let phi = |raw: &[u8]| phi(&text, raw);
        StudyContext {
            study_instance_uid: study,
            source_character_set: character_set,
            patient_name: phi(&self.patient_name),
            patient_id: phi(&self.patient_id),
            issuer_of_patient_id: phi(&self.issuer_of_patient_id),
            patient_birth_date: phi(&self.patient_birth_date),
            patient_sex: phi(&self.patient_sex),
            study_date: plain(&self.study_date),
            study_time: plain(&self.study_time),
            accession_number: phi(&self.accession_number),
            referring_physician_name: phi(&self.referring_physician_name),
            study_id: phi(&self.study_id),
            study_description: phi(&self.study_description),
            timezone_offset_from_utc: plain(&self.timezone_offset_from_utc),
            requests: self
                .requests
                .iter()
                .map(|raw| request(&text, raw))
                .collect(),
        }
    }
}

/// A value without the padding around it.
fn phi(charset: &Charset, raw: &[u8]) -> Phi {
    Phi::new(charset.decode(raw).trim_matches([' ', '\0']))
}

fn request(text: &Charset, raw: &RawRequest) -> RequestAttributes {
    let phi = |raw: &[u8]| phi(text, raw);
    RequestAttributes {
        accession_number: phi(&raw.accession_number),
        requested_procedure_id: phi(&raw.requested_procedure_id),
        requested_procedure_description: phi(&raw.requested_procedure_description),
        placer_order_number: phi(&raw.placer_order_number),
        filler_order_number: phi(&raw.filler_order_number),
    }
}

/// Values of the default repertoire alone (CS, DA, TM, SH of digits).
fn plain(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw)
        .trim_matches([' ', '\0'])
        .to_owned()
}

/// Takes over what `more` knows and `context` doesn't: an object of the study may lack what another one has.
pub(crate) fn complete(context: &mut StudyContext, more: &StudyContext) {
    let fill = |to: &mut Phi, from: &Phi| {
        if to.is_empty() {
            to.clone_from(from);
        }
    };
    let fill_plain = |to: &mut String, from: &String| {
        if to.is_empty() {
            to.clone_from(from);
        }
    };
    fill_plain(
        &mut context.source_character_set,
        &more.source_character_set,
    );
    fill(&mut context.patient_name, &more.patient_name);
    fill(&mut context.patient_id, &more.patient_id);
    fill(
        &mut context.issuer_of_patient_id,
        &more.issuer_of_patient_id,
    );
    fill(&mut context.patient_birth_date, &more.patient_birth_date);
    fill(&mut context.patient_sex, &more.patient_sex);
    fill_plain(&mut context.study_date, &more.study_date);
    fill_plain(&mut context.study_time, &more.study_time);
    fill(&mut context.accession_number, &more.accession_number);
    fill(
        &mut context.referring_physician_name,
        &more.referring_physician_name,
    );
    fill(&mut context.study_id, &more.study_id);
    fill(&mut context.study_description, &more.study_description);
    fill_plain(
        &mut context.timezone_offset_from_utc,
        &more.timezone_offset_from_utc,
    );
    if context.requests.is_empty() {
        context.requests.clone_from(&more.requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(set: &[u8], if_missing: &str, raw: &[u8]) -> String {
        let header = HeaderSummary {
            specific_character_set: set.to_vec(),
            patient_name: raw.to_vec(),
            ..HeaderSummary::default()
        };
        let context = header.context("1.2".parse().unwrap(), if_missing);
        context.patient_name.expose().to_owned()
    }

    #[test]
    fn the_senders_set_counts_where_the_object_names_none() {
        let cyrillic = b"\xbb\xee\xda ";
        assert_eq!(name(b"", "ISO_IR 144", cyrillic), "Люк");
        assert_eq!(name(b"ISO_IR 144", "ISO_IR 100", cyrillic), "Люк");
        assert_eq!(name(b"", "ISO_IR 144", b"Doe^Jane"), "Doe^Jane");
        assert_eq!(name(b"", "", "Müller".as_bytes()), "Müller");
    }

    #[test]
    fn what_nobody_can_decode_is_kept() {
        let text = name(b"", "", b"M\xfcller\0");
        assert!(sonode_conformance::charset::has_undecoded(&text));
        assert_eq!(Charset::parse("").encode(&text).unwrap(), b"M\xfcller");
    }
}
