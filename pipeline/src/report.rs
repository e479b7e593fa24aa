//! Reports: a study's findings put together, the report's identity, and its bytes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sonode_conformance::{AeTitle, SopInstanceUid, StudyInstanceUid, Uid, UidError};
use sonode_findings::{
    Findings, InstanceFindings, Phrase, Rejection, Sentence, StudyContext, phrases,
};
use sonode_sr_writer::{
    ContentDateTime, Document, Form, Predecessor, ReportIdentity, ReportRequest, Style, report_uid,
    series_uid, write,
};

use crate::engine::Rendered;
use crate::pipeline::RenderError;
use crate::ports::RenderedReport;
use crate::settings::Routing;
use crate::spool::{Digest, Spool, SpoolError};
use crate::time::Timestamp;

/// Series Number of the documents of one kind: far from those of carts, which count from 1.
pub const fn series_number(document: Document) -> u32 {
    match document {
        Document::MeasurementReport => 9901,
        Document::EchoReport => 9902,
        Document::SimplifiedEchoReport => 9903,
        Document::KeyObject => 9904,
    }
}

/// Everything that one document of one revision of a report is made of.
pub(crate) struct ReportPlan {
    pub(crate) study: StudyInstanceUid,
    pub(crate) revision: u32,
    pub(crate) document: Document,
    pub(crate) style: Style,
    /// The form in which it was made for this peer before, if any.
    pub(crate) form: Option<Form>,
    pub(crate) context: StudyContext,
    pub(crate) members: Vec<Member>,
    pub(crate) content: Timestamp,
    /// The documents that this one replaces, latest first.
    pub(crate) before: Vec<Rendered>,
}

/// One instance that findings speak of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) sop: SopInstanceUid,
    pub(crate) digest: Digest,
    /// Rejected without an analysis: there is no findings file.
    pub(crate) document: Option<String>,
}

/// What of the configuration stands in a report.
#[derive(Debug, Clone)]
pub(crate) struct Station {
    pub(crate) ae_title: AeTitle,
    pub(crate) device_serial: String,
}

impl Station {
    pub(crate) fn hash(&self) -> String {
        let parts = format!("1\n{}\n{}", self.ae_title, self.device_serial);
        Digest::from_bytes(Sha256::digest(parts.as_bytes()).into()).to_string()
    }
}

/// Why a study's findings could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    #[error("the study is not in the spool")]
    NoSuchStudy,
    #[error("the study can't be looked for: {0}")]
    Spool(#[from] SpoolError),
    #[error("the findings of instance {sop} can't be read: {source}")]
    Unreadable {
        sop: SopInstanceUid,
        source: std::io::Error,
    },
    #[error("the findings of instance {sop} are damaged: {source}")]
    Damaged {
        sop: SopInstanceUid,
        source: serde_json::Error,
    },
}

/// Reads the findings of these instances from the spool and merges them.
///
/// # Errors
/// Each [`AssembleError`] variant.
pub(crate) fn assemble(
    spool: &Spool,
    study: &StudyInstanceUid,
    members: &[Member],
) -> Result<Findings, AssembleError> {
    let found = spool.find_study(study)?;
    let (_, folder) = found.ok_or(AssembleError::NoSuchStudy)?;
    let instances: Result<Vec<InstanceFindings>, AssembleError> = members
        .iter()
        .map(|member| read(spool, &folder, member))
        .collect();
    Ok(Findings::merge(study.clone(), instances?))
}

fn read(spool: &Spool, folder: &Path, member: &Member) -> Result<InstanceFindings, AssembleError> {
    if let Some(detail) = &member.document {
        let findings = InstanceFindings::empty(member.sop.clone());
        return Ok(findings.reject(Rejection::NotAnImage, kept(detail)));
    }
    let path = findings_path(folder, member.digest);
    let json = spool
        .read(&path)
        .map_err(|source| AssembleError::Unreadable {
            sop: member.sop.clone(),
            source,
        })?;
    serde_json::from_slice(&json).map_err(|source| AssembleError::Damaged {
        sop: member.sop.clone(),
        source,
    })
}

/// Why a document was kept and not analysed; the record has it in English.
fn kept(detail: &str) -> Sentence {
    let not_analysed = phrases::NOT_ANALYSED.value_in(detail);
    let phrases: Vec<Phrase> = not_analysed
        .and_then(|class| phrases::NOT_ANALYSED.say([class.into()]).into_parts().1)
        .into_iter()
        .collect();
    Sentence::known(detail, &phrases)
}

/// The name of a findings file, as the spool's on-disk layout says.
pub(crate) fn findings_path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(format!("{}.findings.json", digest.short()))
}

/// Which document of a report, in which form and style.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) document: Document,
    pub(crate) form: Form,
    pub(crate) style: Style,
}

/// Every variant that these routes may ask for.
pub(crate) fn variants(routing: &Routing) -> Vec<Variant> {
    let mut all = Vec::new();
    for route in &routing.routes {
        for document in &route.documents {
            all.extend(document.forms().map(|form| Variant {
                document: *document,
                form,
                style: route.style,
            }));
        }
    }
    all
}

/// What makes a document of a report this document.
pub(crate) fn identity(
    node_uid: &Uid,
    station: &Station,
    findings: &Findings,
    members: &[Member],
    variant: Variant,
) -> SopInstanceUid {
    let is_measured = |sop: &SopInstanceUid| {
        findings
            .instances
            .iter()
            .any(|instance| instance.sop_instance_uid == *sop && instance.is_evidence())
    };
    // A report that says that nothing was measured stands on every instance, any other on the measured ones.
    let is_source = |sop: &SopInstanceUid| findings.lv.is_none() || is_measured(sop);
    report_uid(&ReportIdentity {
        node_uid: node_uid.clone(),
        document: variant.document,
        form: variant.form,
        style: variant.style,
        study: findings.study_instance_uid.clone(),
        sources: members
            .iter()
            .filter(|member| is_source(&member.sop))
            .map(|member| (member.sop.clone(), member.digest.to_string()))
            .collect(),
        models: findings
            .models
            .iter()
            .map(|model| model.sha256.clone())
            .collect(),
        config_hash: station.hash(),
    })
}

/// Renders reports, one at a time.
pub(crate) struct Renderer {
    spool: Spool,
    station: Station,
    one_at_a_time: Mutex<()>,
}

impl Renderer {
    pub(crate) fn new(spool: Spool, station: Station) -> Self {
        Self {
            spool,
            station,
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Everything that was found in these instances of a study.
    ///
    /// # Errors
    /// Each [`AssembleError`] variant.
    pub(crate) fn findings(
        &self,
        study: &StudyInstanceUid,
        members: &[Member],
    ) -> Result<Findings, AssembleError> {
        assemble(&self.spool, study, members)
    }

    /// Renders and commits, or finds what was rendered before.
    ///
    /// # Errors
    /// [`RenderError::Write`] and [`RenderError::Spool`].
    pub(crate) fn render(
        &self,
        plan: &ReportPlan,
        form: Form,
    ) -> Result<RenderedReport, RenderError> {
        let _one = self
            .one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let findings = assemble(&self.spool, &plan.study, &plan.members)
            .map_err(|error| RenderError::Spool(error.to_string()))?;
        let node_uid = self.spool.node_uid();
        let variant = Variant {
            document: plan.document,
            form,
            style: plan.style,
        };
        let sop = identity(node_uid, &self.station, &findings, &plan.members, variant);
        // What was committed once is sent ever after, byte for byte, whatever has changed since.
        let (path, bytes) = if let Some(path) = self.spool.report(&plan.study, plan.revision, &sop)
        {
            (path, None)
        } else {
            let (path, bytes) = self.write(plan, &findings, form, &sop)?;
            (path, Some(bytes))
        };
        let uid = |text: &str| {
            Uid::parse(text.as_bytes())
                .map_err(|error: UidError| RenderError::Write(error.to_string()))
        };
        Ok(RenderedReport {
            path,
            bytes,
            sop_class: uid(form.class.sop_class())?.into(),
            sop_instance: sop,
            transfer_syntax: uid(form.syntax.uid())?.into(),
        })
    }

    fn write(
        &self,
        plan: &ReportPlan,
        findings: &Findings,
        form: Form,
        sop: &SopInstanceUid,
    ) -> Result<(PathBuf, Vec<u8>), RenderError> {
        let node_uid = self.spool.node_uid();
        let series = series_uid(node_uid, &plan.study, plan.document);
        let predecessor = |before: &Rendered| {
            let class = Uid::parse(before.form.class.sop_class().as_bytes());
            Ok(Predecessor {
                sop_class: class
                    .map_err(|error| RenderError::Write(error.to_string()))?
                    .into(),
                sop_instance: before.sop.clone(),
                series: series.clone(),
                study: plan.study.clone(),
            })
        };
        let predecessors: Result<Vec<Predecessor>, RenderError> =
            plan.before.iter().map(predecessor).collect();
        let device_serial = if self.station.device_serial.is_empty() {
            node_uid.to_string()
        } else {
            self.station.device_serial.clone()
        };
        let request = ReportRequest {
            document: plan.document,
            form,
            style: plan.style,
            node_uid: node_uid.clone(),
            sop_instance_uid: sop.clone(),
            series_instance_uid: series.clone(),
            series_number: series_number(plan.document),
            instance_number: plan.revision,
            revision: plan.revision,
            content: content_date_time(plan.content, &plan.context.timezone_offset_from_utc),
            device_serial,
            station_ae: self.station.ae_title.clone(),
            predecessors: predecessors?,
        };
        let written = write(findings, &plan.context, &request)
            .map_err(|error| RenderError::Write(error.to_string()))?;
        let path = self
            .spool
            .commit_report(&plan.study, plan.revision, sop, &written.bytes)
            .map_err(|error| RenderError::Spool(error.to_string()))?;
        Ok((path, written.bytes))
    }
}

/// Content Date and Time in the zone that the study names (Timezone Offset From UTC, `&ZZXX`, PS3.3 C.12.1.1.8), since
/// the report copies it; elsewhere in the node's local time.
pub fn content_date_time(time: Timestamp, offset: &str) -> ContentDateTime {
    let zone = fixed_zone(offset).unwrap_or_else(TimeZone::system);
    let local = time.calendar().to_zoned(zone);
    ContentDateTime {
        date: local.strftime("%Y%m%d").to_string(),
        time: local.strftime("%H%M%S").to_string(),
    }
}

/// The day on which a study is done, in the node's local time: `YYYYMMDD`.
pub(crate) fn day(time: Timestamp) -> String {
    content_date_time(time, "").date
}

fn fixed_zone(offset: &str) -> Option<TimeZone> {
    let (sign, digits) = match offset.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.len() == 4)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Some(TimeZone::fixed(Offset::from_seconds(sign * seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_time_is_in_the_studys_own_zone() {
        let time = Timestamp::from_millis(1_795_176_000_000);
        let at = |offset| {
            let content = content_date_time(time, offset);
            (content.date, content.time)
        };
        assert_eq!(at("+0000"), ("20261120".to_owned(), "120000".to_owned()));
        assert_eq!(at("-0930"), ("20261120".to_owned(), "023000".to_owned()));
        assert_eq!(at("+1245"), ("20261121".to_owned(), "004500".to_owned()));
    }

    #[test]
    fn an_offset_that_is_none_is_not_guessed_at() {
        for offset in ["", "0100", "+1", "+99999", "+ab00", "+é0", "+9900"] {
            assert!(fixed_zone(offset).is_none(), "{offset}");
        }
    }
}
