//! When a study closes, and what is reported then.

use std::collections::BTreeSet;
use std::time::Duration;

use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::Findings;

use super::record::{Drawing, Evidence, ObjectKey, Report, Study};
use super::{Action, Assembly, Engine};
use crate::ports::{ReportForm, ReportKey};
use crate::report::ReportPlan;
use crate::settings::{ReportUnmeasured, Route, Routing};
use crate::states::{DrawingState, StudyEvent, StudyState};
use crate::time::Timestamp;

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
        let is_news = study
            .report()
            .is_none_or(|report| evidence.extends(&report.evidence));
        study.unreported = None;
        if owed_to.is_empty() && study.reports.is_empty() {
            study.unreported = Some(why_not(&assembly.findings).to_owned());
        } else if is_news && !owed_to.is_empty() {
            let found = study.found_reports.iter().map(|(revision, _)| *revision);
            let last = study
                .reports
                .iter()
                .map(|report| report.revision)
                .chain(found)
                .max();
            // A report on disk with these findings' identity is this very report, known from before the queue was lost.
            let known = study.report().map_or(0, |report| report.revision);
            let revision = assembly
                .same_as
                .filter(|revision| *revision > known)
                .unwrap_or(last.unwrap_or(0) + 1);
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
            for peer in owed_to {
                self.owe(uid, &peer, ObjectKey::Report(revision), now);
            }
            self.owe_companions(uid, revision, &assembly.findings, now);
        } else if let Some(revision) = study.report().map(|report| report.revision) {
            // A route that takes a later sender's studies: the report that stands is owed to it too.
            for peer in owed_to {
                self.owe(uid, &peer, ObjectKey::Report(revision), now);
            }
            self.owe_companions(uid, revision, &assembly.findings, now);
        }
        self.step(uid, StudyEvent::Complete);
        self.settle(uid, now);
    }

    /// The peers to which a report of these findings is owed.
    fn owed_to(&self, uid: &StudyInstanceUid, findings: &Findings) -> BTreeSet<String> {
        self.reporting_routes(uid, findings)
            .map(|route| route.to.clone())
            .collect()
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
            .filter(|route| route.send_sr)
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
    fn supersede(&mut self, uid: &StudyInstanceUid, revision: u32) {
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
        let object = ObjectKey::Report(key.revision);
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
        if study.reports.len() > at + 1 && delivery.form.is_none() {
            return None;
        }
        let earlier = study.reports.get(..at)?.iter().rev();
        let before = earlier
            .map(|report| &report.rendered)
            .find(|rendered| !rendered.is_empty());
        Some(ReportPlan {
            study: key.study.clone(),
            revision: key.revision,
            form: delivery.form,
            context: study.context.clone(),
            members: report.members.clone(),
            content: report.content,
            before: before.cloned().unwrap_or_default(),
        })
    }

    pub(super) fn on_rendered(&mut self, key: &ReportKey, form: ReportForm, sop: SopInstanceUid) {
        let Some(study) = self.studies.get_mut(&key.study) else {
            return;
        };
        if let Some(delivery) = study.delivery_mut(&key.peer, &ObjectKey::Report(key.revision)) {
            delivery.form.get_or_insert(form);
        }
        if let Some(report) = study
            .reports
            .iter_mut()
            .find(|report| report.revision == key.revision)
            && report.rendered.iter().all(|(_, known)| *known != sop)
        {
            report.rendered.push((form, sop.clone()));
        }
        self.actions.push(Action::Issued(key.study.clone(), sop));
        self.save(&key.study);
    }
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
