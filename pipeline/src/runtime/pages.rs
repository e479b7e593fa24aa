//! Associations that wait for a page in place of a report.

use std::time::Instant;

use super::{Reply, Runtime, answer};
use crate::engine::{Event, Page};
use crate::ports::{CompanionFile, PageRequest};

/// One association; dropped, it waits no longer.
pub(super) struct Waiting {
    request: PageRequest,
    due: Instant,
    reply: Reply<CompanionFile>,
}

impl Runtime {
    pub(super) fn await_page(
        &mut self,
        request: PageRequest,
        due: Instant,
        reply: Reply<CompanionFile>,
    ) {
        self.event(Event::PageRequested(request.clone()));
        self.pages.push(Waiting {
            request,
            due,
            reply,
        });
    }

    /// Gives each association its page as soon as it is drawn, and lets those go that wait in vain.
    pub(super) fn give_pages(&mut self) {
        for waiting in std::mem::take(&mut self.pages) {
            match self.engine.page_for(&waiting.request) {
                Page::Drawn(mut file) => {
                    file.path = self.path_of(&file);
                    answer(&waiting.reply, file);
                }
                Page::Awaited if self.drain_by.is_none() && Instant::now() < waiting.due => {
                    self.pages.push(waiting);
                }
                Page::Awaited | Page::None => {}
            }
        }
    }

    /// When an association has waited long enough.
    pub(super) fn page_due(&self) -> Option<Instant> {
        self.pages.iter().map(|waiting| waiting.due).min()
    }
}
