//! Where UIDs come from: UUIDs of version 5 over what they identify, so that the same thing has the same UID after a
//! restart, on another disk, and in a re-analysis.

use sonode_conformance::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, Uid};
use sonode_findings::{CardiacPhase, ModelRef};
use uuid::Uuid;

use crate::companion::Companion;
use crate::form::{CharacterSet, Coding, Document, FindingsCode, Form, Style, Syntax};
use crate::texts::Language;

/// The name space of every UID made here; a UUID of version 4 that is fixed for this product.
const NAMESPACE: Uuid = Uuid::from_u128(0x697b_9a7e_71b2_4c15_bafa_73ed_b9d2_8e95);

/// Everything that makes a report this report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportIdentity {
    /// The node's own UID.
    pub node_uid: Uid,
    /// What is made.
    pub document: Document,
    /// In which SOP class and transfer syntax: one UID never has two contents.
    pub form: Form,
    /// As its receiver has chosen.
    pub style: Style,
    /// Of which study.
    pub study: StudyInstanceUid,
    /// From which instances: SOP Instance UID and digest in hexadecimal; in any order.
    pub sources: Vec<(SopInstanceUid, String)>,
    /// By which models: their SHA-256 in hexadecimal; in any order.
    pub models: Vec<String>,
    /// Under which configuration: its hash.
    pub config_hash: String,
}

/// The SOP Instance UID of a report: the same for the same identity, whatever the order of arrival.
pub fn report_uid(identity: &ReportIdentity) -> SopInstanceUid {
    let codes = match identity.style.codes {
        Coding::Sct => "sct",
        Coding::Srt => "srt",
    };
    let findings = match identity.style.findings_code {
        FindingsCode::Dcm121070 => "121070",
        FindingsCode::Ln59776 => "59776-5",
    };
    let mut sources: Vec<String> = identity
        .sources
        .iter()
        .map(|(uid, digest)| format!("{uid}={digest}"))
        .collect();
    sources.sort();
    let mut models = identity.models.clone();
    models.sort();
    let mut parts = vec![
        "report",
        identity.node_uid.as_str(),
        identity.document.name(),
        identity.form.class.sop_class(),
        identity.form.syntax.uid(),
        identity.style.language.tag(),
        codes,
        findings,
        identity.style.charset.name(),
        identity.study.as_str(),
        identity.config_hash.as_str(),
        "sources",
    ];
    parts.extend(sources.iter().map(String::as_str));
    parts.push("models");
    parts.extend(models.iter().map(String::as_str));
    derive(&parts).into()
}

/// The Series Instance UID of the documents of one kind that a node makes in a study: a series has one modality, and
/// its instances are numbered by their revision.
pub fn series_uid(
    node_uid: &Uid,
    study: &StudyInstanceUid,
    document: Document,
) -> SeriesInstanceUid {
    derive(&["series", node_uid.as_str(), study.as_str(), document.name()]).into()
}

/// Everything that makes a companion this companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionIdentity {
    /// The node's own UID.
    pub node_uid: Uid,
    /// What is made.
    pub companion: Companion,
    /// Of which plane.
    pub plane: u8,
    /// In which transfer syntax.
    pub syntax: Syntax,
    /// In which language.
    pub language: Language,
    /// In which character set.
    pub charset: CharacterSet,
    /// Of which study.
    pub study: StudyInstanceUid,
    /// From which findings: the SHA-256 of their JSON in hexadecimal.
    pub findings: String,
    /// Under which configuration: its hash.
    pub config_hash: String,
}

/// The SOP Instance UID of a companion: the same for the same identity.
pub fn companion_uid(identity: &CompanionIdentity) -> SopInstanceUid {
    derive(&[
        "companion",
        identity.node_uid.as_str(),
        identity.companion.name(),
        &identity.plane.to_string(),
        identity.companion.transfer_syntax(identity.syntax),
        identity.language.tag(),
        identity.charset.name(),
        identity.study.as_str(),
        &identity.findings,
        &identity.config_hash,
    ])
    .into()
}

/// The Series Instance UID of the companions of one kind that a node makes in a study.
pub fn companion_series_uid(
    node_uid: &Uid,
    study: &StudyInstanceUid,
    companion: Companion,
) -> SeriesInstanceUid {
    let parts = [
        "companions",
        node_uid.as_str(),
        study.as_str(),
        companion.name(),
    ];
    derive(&parts).into()
}

/// The UID of the node as an observer (Device Observer UID, TID 1004).
pub fn device_uid(node_uid: &Uid) -> Uid {
    derive(&["device", node_uid.as_str()])
}

/// The UID of a model as a device (Device UID (0018,1002) of Contributing Equipment): it changes with the model.
pub fn model_uid(model: &ModelRef) -> Uid {
    derive(&["model", &model.name, &model.version, &model.sha256])
}

/// The Tracking Unique Identifier of a contour: from the source, the phase and its ordinal among the phase's contours,
/// so that a re-analysis that finds another frame still tracks the same thing.
pub(crate) fn contour_tracking_uid(
    source: &SopInstanceUid,
    phase: CardiacPhase,
    ordinal: usize,
) -> Uid {
    let phase = match phase {
        CardiacPhase::EndDiastole => "ED",
        CardiacPhase::EndSystole => "ES",
    };
    derive(&[
        "track",
        source.as_str(),
        "lv-endocardium",
        phase,
        &ordinal.to_string(),
    ])
}

/// The Tracking Unique Identifier of a clip's left-ventricular function.
pub(crate) fn function_tracking_uid(source: &SopInstanceUid) -> Uid {
    derive(&["track", source.as_str(), "lv-function"])
}

/// The Tracking Unique Identifier of the volumes over the body surface area.
pub(crate) fn index_tracking_uid(source: &SopInstanceUid) -> Uid {
    derive(&["track", source.as_str(), "lv-volume-index"])
}

/// The Tracking Unique Identifier of one beat of a clip, by its ordinal in time.
pub(crate) fn beat_tracking_uid(source: &SopInstanceUid, ordinal: usize) -> Uid {
    let ordinal = ordinal.to_string();
    derive(&["track", source.as_str(), "lv-function-beat", &ordinal])
}

/// A UID over the parts. Each is preceded by its length, so that no two lists of parts run together.
fn derive(parts: &[&str]) -> Uid {
    let mut name = String::new();
    for part in parts {
        name.push_str(&part.len().to_string());
        name.push(':');
        name.push_str(part);
    }
    Uid::from_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{ReportForm, Syntax};
    use crate::texts::Language;

    fn identity() -> ReportIdentity {
        ReportIdentity {
            node_uid: "2.25.1".parse().unwrap(),
            document: Document::MeasurementReport,
            form: Form {
                class: ReportForm::Comprehensive3d,
                syntax: Syntax::ExplicitLittle,
            },
            style: Style::default(),
            study: "1.2".parse().unwrap(),
            sources: vec![
                ("1.2.1".parse().unwrap(), "aa".to_owned()),
                ("1.2.2".parse().unwrap(), "bb".to_owned()),
            ],
            models: vec!["cc".to_owned()],
            config_hash: "dd".to_owned(),
        }
    }

    #[test]
    fn a_reports_uid_does_not_depend_on_the_order_of_arrival() {
        let mut other = identity();
        other.sources.reverse();
        assert_eq!(report_uid(&identity()), report_uid(&other));
    }

    #[test]
    fn a_reports_uid_changes_with_every_part_of_its_identity() {
        let first = report_uid(&identity());
        let changed: [fn(&mut ReportIdentity); 13] = [
            |i| i.node_uid = "2.25.2".parse().unwrap(),
            |i| i.document = Document::EchoReport,
            |i| i.form.class = ReportForm::Comprehensive,
            |i| i.form.syntax = Syntax::ImplicitLittle,
            |i| i.style.language = Language::Zh,
            |i| i.style.codes = Coding::Srt,
            |i| i.style.findings_code = FindingsCode::Ln59776,
            |i| i.style.charset = CharacterSet::Utf8,
            |i| i.study = "1.3".parse().unwrap(),
            |i| i.sources[0].1 = "ab".to_owned(),
            |i| i.sources.truncate(1),
            |i| i.models.push("ee".to_owned()),
            |i| i.config_hash.clear(),
        ];
        let mut seen = vec![first];
        for change in changed {
            let mut other = identity();
            change(&mut other);
            let uid = report_uid(&other);
            assert!(!seen.contains(&uid));
            seen.push(uid);
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(derive(&["ab", "c"]), derive(&["a", "bc"]));
    }

    #[test]
    fn end_diastole_and_end_systole_are_tracked_apart() {
        let source = "1.2.1".parse().unwrap();
        let ed = contour_tracking_uid(&source, CardiacPhase::EndDiastole, 1);
        let es = contour_tracking_uid(&source, CardiacPhase::EndSystole, 1);
        assert_ne!(ed, es);
        assert_ne!(function_tracking_uid(&source), ed);
    }
}
