//! The last rung of the ladder: a peer that accepts no class of Structured Reports is owed the page as a picture.
//!
//! The page is drawn by the worker, so it leaves on the next association. The report's own delivery goes: what stands in
//! the listing is the page, with the reason. A later revision is offered as a report again.

use sonode_conformance::StudyInstanceUid;
use sonode_sr_writer::{Companion, Syntax};

use super::Engine;
use super::outcome::{note_answer, object_name};
use super::record::ObjectKey;
use crate::companions::CompanionKey;
use crate::ports::ObjectResult;
use crate::time::Timestamp;

impl Engine {
    /// Owes the page in place of a document of a report.
    pub(super) fn owe_page_instead(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        document: &ObjectKey,
        syntax: Syntax,
        answer: ObjectResult,
        now: Timestamp,
    ) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        let current = study.report().map_or(0, |report| report.revision);
        let owed = study.deliveries.iter();
        let mut owed = owed.filter(|d| d.peer == peer && d.object == *document);
        let Some(style) = owed.next().map(|delivery| delivery.style) else {
            return;
        };
        let is_it = |d: &super::record::Delivery| d.peer == peer && d.object == *document;
        study.deliveries.retain(|delivery| !is_it(delivery));
        let revision = document.revision().unwrap_or(current);
        // Of a report that is being replaced nobody needs a picture any more.
        if revision < current {
            return self.save(uid);
        }
        let key = CompanionKey {
            revision,
            companion: Companion::SecondaryCapture,
            plane: 0,
            syntax,
            language: style.language,
            charset: style.charset,
        };
        self.owe_companion(uid, peer, key, now);
        let page = ObjectKey::Companion(key);
        tracing::info!(study = %uid, peer, document = %object_name(document), page = %object_name(&page), "the page is owed in place of the report, of which the peer accepts no form");
        let study = self.studies.get_mut(uid);
        if let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, &page)) {
            note_answer(delivery, answer, now);
        }
        self.queue_drawings(uid);
        self.save(uid);
    }
}
