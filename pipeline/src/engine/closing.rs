//! When a study closes, and what is reported then.

use std::collections::BTreeMap;
use std::time::Duration;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid, limits};
use sonode_findings::Findings;
use sonode_sr_writer::{Document, Form, Style};

use super::record::{Drawing, Evidence, ObjectKey, Rendered, Report, Study};
use super::{Action, Assembly, Engine};
use crate::ports::ReportKey;
use crate::report::ReportPlan;
use crate::settings::{ReportUnmeasured, Route, Routing};
use crate::states::{DrawingState, StudyEvent, StudyState};
use crate::time::Timestamp;

/// What is owed to whom, and in which style.
type OwedTo = BTreeMap<(String, Document), Style>;

impl Engine {
    /// Keeps the index of closing times in step with one study.
    pub(super) fn schedule_closing(&mut self, uid: &StudyInstanceUid) {
        let Some(study) = self.studies.get(uid) else {
            return;
        };
        let due = (study.state == StudyState::Receiving).then(|| self.closes_at(study));
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        if study.timeline.closes_at == due {
            return;
        }
        if let Some(old) = study.timeline.closes_at.take() {
            self.closings.remove(&(old, uid.clone()));
        }
        study.timeline.closes_at = due;
        self.closings.extend(due.map(|due| (due, uid.clone())));
    }

    /// After the quiet period in which no open association carried it, or at the longest open time.
    fn closes_at(&self, study: &Study) -> Timestamp {
        let latest = study.opened_at.plus(self.settings.max_open);
        if study.carried_by.is_empty() {
            latest.min(study.quiet_from.plus(self.quiet_period(study)))
        } else {
            latest
        }
    }

    fn quiet_period(&self, study: &Study) -> Duration {
        let longest = self.quiet_period_of_peers(study);
        if self.is_complete(study) {
            longest.min(limits::QUIET_PERIOD_COMPLETE)
        } else {
            longest
        }
    }

    fn quiet_period_of_peers(&self, study: &Study) -> Duration {
        let of_peers = study
            .from
            .iter()
            .map(|peer| {
                let own = self.settings.routing.per_peer_quiet.get(peer);
                own.copied().unwrap_or(self.settings.quiet_period)
            })
            .max();
        of_peers.unwrap_or(self.settings.quiet_period)
    }

    pub(super) fn close_due(&mut self, now: Timestamp) {
        while let Some((_, uid)) = self
            .closings
            .first()
            .filter(|(due, _)| *due <= now)
            .cloned()
        {
            self.close_study(&uid, now);
        }
    }

    pub(super) fn close_study(&mut self, uid: &StudyInstanceUid, now: Timestamp) {
        if let Some(study) = self.studies.get_mut(uid) {
            study.timeline.closed = Some(now);
            for instance in study.instances.values_mut() {
                instance.late = false;
            }
        }
        self.step(uid, StudyEvent::Close);
        self.counters.studies_closed += 1;
        self.settle(uid, now);
    }

    pub(super) fn on_reload(&mut self, routing: Routing, now: Timestamp) {
        self.settings.routing = routing;
        let receiving: Vec<StudyInstanceUid> =
            self.closings.iter().map(|(_, uid)| uid.clone()).collect();
        for uid in receiving {
            self.settle(&uid, now);
        }
    }

    /// The findings of a closed study are here: decides what is reported, and to whom.
    pub(super) fn on_assembled(
        &mut self,
        uid: &StudyInstanceUid,
        assembly: &Assembly,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        study.assembling = false;
        if study.state != StudyState::Closed || study.is_analysing() {
            // Something came or happened meanwhile; the study is assembled again when it is ready again.
            self.settle(uid, now);
            return;
        }
        let members = study.members();
        let evidence = Evidence::of(&assembly.findings, &members);
        let owed_to = self.owed_to(uid, &assembly.findings);
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let is_news = study.is_behind()
            || study
                .report()
                .is_none_or(|report| evidence.extends(&report.evidence));
        study.unreported = None;
        // Those of an earlier revision stay: they say under which UID it was delivered.
        for report in &assembly.same_as {
            if !study.recognised.contains(report) {
                study.recognised.push(report.clone());
            }
        }
        if owed_to.is_empty() && study.reports.is_empty() {
            study.unreported = Some(why_not(&assembly.findings).to_owned());
        } else if is_news && !owed_to.is_empty() {
            let last = study.newest_made();
            // A report on disk with these findings' identity is this very report, known from before the queue was lost.
            let known = study.report().map_or(0, |report| report.revision);
            let revision = assembly
                .same_as
                .iter()
                .map(|(revision, _, _)| *revision)
                .filter(|revision| *revision > known)
                .max()
                .unwrap_or(last + 1);
            study.reports.push(Report {
                revision,
                content: assembly.wall,
                evidence,
                members,
                rendered: Vec::new(),
            });
            study.timeline.reported = Some(now);
            self.counters.reports += 1;
            tracing::info!(study = %uid, revision, "report decided");
            self.supersede(uid, revision);
            self.owe_documents(uid, revision, owed_to, now);
            self.owe_companions(uid, revision, &assembly.findings, now);
        } else if let Some(revision) = study.report().map(|report| report.revision) {
            // A route that takes a later sender's studies: the report that stands is owed to it too.
            self.owe_documents(uid, revision, owed_to, now);
            self.owe_companions(uid, revision, &assembly.findings, now);
        }
        self.step(uid, StudyEvent::Complete);
        self.settle(uid, now);
    }

    fn owe_documents(
        &mut self,
        uid: &StudyInstanceUid,
        revision: u32,
        owed_to: OwedTo,
        now: Timestamp,
    ) {
        for ((peer, document), style) in owed_to {
            let object = ObjectKey::Report(revision, document);
            self.owe(uid, &peer, object, style, now);
        }
    }

    /// To whom which documents of these findings are owed. Where two routes to one peer ask for the same document, the
    /// first one's style counts.
    fn owed_to(&self, uid: &StudyInstanceUid, findings: &Findings) -> OwedTo {
        let mut owed = OwedTo::new();
        let Some(study) = self.studies.get(uid) else {
            return owed;
        };
        for route in self.reporting_routes(uid, findings) {
            for document in &route.documents {
                if may_write(*document, findings, study) {
                    owed.entry((route.to.clone(), *document))
                        .or_insert(route.style);
                }
            }
        }
        owed
    }

    /// The routes by which these findings are reported.
    pub(super) fn reporting_routes<'a>(
        &'a self,
        uid: &StudyInstanceUid,
        findings: &'a Findings,
    ) -> impl Iterator<Item = &'a Route> {
        let study = self.studies.get(uid);
        let is_from = move |route: &&Route| {
            study.is_some_and(|study| {
                route.from.is_none() || study.from.iter().any(|peer| route.takes(peer))
            })
        };
        self.settings
            .routing
            .routes
            .iter()
            .filter(is_from)
            .filter(|route| {
                findings.lv.is_some()
                    || match route.report_unmeasured {
                        ReportUnmeasured::Never => false,
                        ReportUnmeasured::EchoOnly => findings.is_echo(),
                        ReportUnmeasured::Always => true,
                    }
            })
    }

    /// Earlier revisions that nobody has yet are not sent any more.
    pub(super) fn supersede(&mut self, uid: &StudyInstanceUid, revision: u32) {
        if let Some(study) = self.studies.get_mut(uid) {
            study.deliveries.retain(|delivery| {
                let is_old = delivery.object.revision().is_some_and(|old| old < revision);
                !is_old || delivery.state.is_taken() || delivery.in_flight
            });
            let drawn = |drawing: &Drawing| matches!(drawing.state, DrawingState::Drawn(_));
            study
                .companions
                .retain(|drawing| drawing.key.revision >= revision || drawn(drawing));
        }
    }

    /// What a report is made of, while it is owed to the peer.
    pub(crate) fn plan(&self, key: &ReportKey) -> Option<ReportPlan> {
        let study = self
            .studies
            .get(&key.study)
            .filter(|study| study.may_report())?;
        let object = ObjectKey::Report(key.revision, key.document);
        let delivery = study
            .deliveries
            .iter()
            .find(|delivery| delivery.peer == key.peer && delivery.object == object)?;
        let at = study
            .reports
            .iter()
            .position(|report| report.revision == key.revision)?;
        let report = study.reports.get(at)?;
        // A later revision is about to replace it: sending it now would leave two in the PACS for a while.
        if study.reports.len() > at + 1 && delivery.rendered.is_none() {
            return None;
        }
        let before = made_before(study, study.reports.get(..at)?, key);
        Some(ReportPlan {
            study: key.study.clone(),
            revision: key.revision,
            document: key.document,
            style: delivery.style,
            form: delivery.rendered.as_ref().map(|made| made.form),
            context: study.context.clone(),
            members: report.members.clone(),
            content: report.content,
            before,
        })
    }

    pub(super) fn on_rendered(&mut self, key: &ReportKey, form: Form, sop: SopInstanceUid) {
        let Some(study) = self.studies.get_mut(&key.study) else {
            return;
        };
        let made = Rendered {
            form,
            sop: sop.clone(),
        };
        let object = ObjectKey::Report(key.revision, key.document);
        if let Some(delivery) = study.delivery_mut(&key.peer, &object) {
            delivery.rendered = Some(made.clone());
        }
        if let Some(report) = study
            .reports
            .iter_mut()
            .find(|report| report.revision == key.revision)
            && report.rendered.iter().all(|(_, known)| known.sop != sop)
        {
            report.rendered.push((key.document, made));
        }
        self.actions.push(Action::Issued(sop));
        self.save(&key.study);
    }
}

/// Whether there is something to write: a document of numbers has nothing to say where none was measured, and TID 5300
/// requires a time zone (its module Timezone is mandatory), which is never invented.
fn may_write(document: Document, findings: &Findings, study: &Study) -> bool {
    if document.needs_measurement() && findings.lv.is_none() {
        return false;
    }
    let lacks_zone = document == Document::SimplifiedEchoReport
        && study.context.timezone_offset_from_utc.is_empty();
    if lacks_zone {
        tracing::warn!(study = %study.uid, "no TID 5300: its class requires Timezone Offset From UTC, which the images don't state");
    }
    !lacks_zone
}

/// The documents that this one replaces, latest first: back to the one that the peer surely has. Of what was made since,
/// and broke off on its way or waited for another peer, nobody knows whether it has arrived.
fn made_before(study: &Study, earlier: &[Report], key: &ReportKey) -> Vec<Rendered> {
    let is_marked = |made: &Rendered| {
        let mut marks = study.found_marks.iter();
        marks.any(|mark| mark.peer == key.peer && mark.sop == made.sop)
    };
    // Revision, document, and whether the peer has it.
    let mut made: Vec<(u32, Rendered, bool)> = Vec::new();
    for report in earlier {
        let object = ObjectKey::Report(report.revision, key.document);
        let mut deliveries = study.deliveries.iter();
        let own = deliveries
            .find(|delivery| delivery.peer == key.peer && delivery.object == object)
            .and_then(|delivery| Some((delivery.rendered.clone()?, delivery.state.is_taken())));
        if let Some((document, is_taken)) = own {
            let is_there = is_taken || is_marked(&document);
            made.push((report.revision, document, is_there));
        } else {
            let of_it = report.rendered.iter();
            let of_it = of_it.filter(|(document, _)| *document == key.document);
            made.extend(of_it.map(|(_, made)| (report.revision, made.clone(), is_marked(made))));
        }
    }
    // What the record doesn't know, since the queue or the last of it was lost: the files tell.
    for (revision, document, found) in &study.found_documents {
        let is_known = made.iter().any(|(_, known, _)| known.sop == found.sop);
        if *document == key.document && *revision < key.revision && !is_known {
            made.push((*revision, found.clone(), is_marked(found)));
        }
    }
    made.sort_by_key(|(revision, ..)| std::cmp::Reverse(*revision));
    let last = made.iter().position(|(_, _, is_there)| *is_there);
    made.truncate(last.map_or(made.len(), |at| at + 1));
    made.into_iter().map(|(_, made, _)| made).collect()
}

fn why_not(findings: &Findings) -> &'static str {
    if findings.lv.is_some() {
        "no route sends reports of this study"
    } else if findings.is_echo() {
        "nothing could be measured, and no route sends a report that says so"
    } else {
        "no echo study: nothing to measure"
    }
}
