//! The last rung of the ladder: a peer that accepts no class of Structured Reports is owed the page as a picture.
//!
//! The association waits while the worker draws it, for a while ([`sonode_conformance::limits::PAGE_WAIT`]); what is
//! drawn later leaves on the next one. The report's own delivery goes: what stands in the listing is the page, with the
//! reason. A later revision is offered as a report again.

use std::path::PathBuf;

use sonode_sr_writer::Companion;

use super::Engine;
use super::outcome::{note, object_name};
use super::record::{Delivery, ObjectKey, Study};
use crate::companions::CompanionKey;
use crate::ports::{CompanionFile, PageRequest, ReportKey};
use crate::time::Timestamp;

/// How far the page is that stands in for a report.
pub(crate) enum Page {
    /// It goes with the job that is on its way to the peer; its path is to be filled in.
    Drawn(CompanionFile),
    Awaited,
    /// Not owed, or it can't be drawn.
    None,
}

impl Engine {
    /// Owes the page in place of a document of a report.
    pub(super) fn on_page_requested(&mut self, request: &PageRequest, now: Timestamp) {
        let PageRequest {
            report: ReportKey {
                study: uid, peer, ..
            },
            offered,
            syntax,
        } = request;
        let document = ObjectKey::Report(request.report.revision, request.report.document);
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let current = study.report().map_or(0, |report| report.revision);
        let Some(style) = study.delivery(peer, &document).map(|owed| owed.style) else {
            return;
        };
        let is_it = |owed: &Delivery| owed.peer == *peer && owed.object == document;
        study.deliveries.retain(|delivery| !is_it(delivery));
        // Of a report that is being replaced nobody needs a picture any more.
        if request.report.revision < current {
            return self.save(uid);
        }
        let key = CompanionKey {
            revision: request.report.revision,
            companion: Companion::SecondaryCapture,
            plane: 0,
            syntax: *syntax,
            language: style.language,
            charset: style.charset,
        };
        self.owe_companion(uid, peer, key, now);
        let page = ObjectKey::Companion(key);
        tracing::info!(study = %uid, peer, document = %object_name(&document), page = %object_name(&page), "the page is owed in place of the report, of which the peer accepts no form");
        let study = self.studies.get_mut(uid);
        if let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, &page)) {
            let why = format!(
                "in place of the report, of which the peer accepts no form; offered were {offered}"
            );
            note(delivery, None, Some(why), now);
        }
        self.queue_drawings(uid);
        self.save(uid);
    }

    /// The page that was requested. One that is drawn joins the job that waits for it.
    pub(crate) fn page_for(&mut self, request: &PageRequest) -> Page {
        let ReportKey {
            study: uid, peer, ..
        } = &request.report;
        let Some(study) = self.studies.get(uid) else {
            return Page::None;
        };
        let Some(key) = study.owed_page(request) else {
            return Page::None;
        };
        let Some(sop) = study.drawn(key).cloned() else {
            return Page::Awaited;
        };
        self.join_job(uid, peer, ObjectKey::Companion(key));
        Page::Drawn(CompanionFile {
            study: uid.clone(),
            key,
            sop_instance: sop,
            path: PathBuf::new(),
        })
    }
}

impl Study {
    fn owed_page(&self, request: &PageRequest) -> Option<CompanionKey> {
        let mut owed = self.deliveries.iter().filter(|delivery| {
            delivery.peer == request.report.peer && delivery.state.is_owed() && !delivery.in_flight
        });
        owed.find_map(|delivery| match delivery.object {
            ObjectKey::Companion(key)
                if key.companion == Companion::SecondaryCapture
                    && key.revision == request.report.revision
                    && key.syntax == request.syntax =>
            {
                Some(key)
            }
            _ => None,
        })
    }
}
