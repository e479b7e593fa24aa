//! Answers that wait for the second reader. Measurement comes first: a reading begins only while no clip waits, stops when
//! one comes, and is begun again afterwards. At its deadline an answer leaves as it is.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use sonode_findings::phrases;

use super::Opened;
use crate::analysis::Analysis;
use crate::clip::Clip;
use crate::second_reader::cross::{absent, put_beside};
use crate::second_reader::generate::AnswerError;
use crate::second_reader::review::{ReviewError, Reviewer};

/// Most answers that are held at once.
pub(super) const HELD_MAX: u32 = 6;

/// A job that is done.
type Done = (u64, Analysis);

/// What is to be done, into which can be looked without taking.
pub(super) struct Inbox<'a> {
    clips: &'a Receiver<Opened>,
    next: RefCell<Option<Opened>>,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(clips: &'a Receiver<Opened>) -> Self {
        Self {
            clips,
            next: RefCell::new(None),
        }
    }

    /// The next one, waiting for it; none at the end.
    pub(super) fn wait(&self) -> Option<Opened> {
        self.next.take().or_else(|| self.clips.recv().ok())
    }

    /// The next one, if there is one now.
    pub(super) fn take(&self) -> Option<Opened> {
        self.next.take().or_else(|| self.clips.try_recv().ok())
    }

    /// Whether one waits.
    pub(super) fn is_waiting(&self) -> bool {
        let mut next = self.next.borrow_mut();
        if next.is_none() {
            *next = self.clips.try_recv().ok();
        }
        next.is_some()
    }
}

/// The answers that are held.
pub(super) struct Held<'a> {
    reviewer: Option<&'a Reviewer>,
    queue: VecDeque<Waiting>,
}

struct Waiting {
    id: u64,
    analysis: Analysis,
    clip: Clip,
    until: Instant,
}

impl<'a> Held<'a> {
    pub(super) fn new(reviewer: Option<&'a Reviewer>) -> Self {
        Self {
            reviewer,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Holds an answer for its reading, or gives it back where there will be none.
    pub(super) fn put(
        &mut self,
        id: u64,
        mut analysis: Analysis,
        clip: Option<Clip>,
    ) -> Option<Done> {
        let (Some(reviewer), Some(clip)) = (self.reviewer, clip) else {
            return Some((id, analysis));
        };
        if self.queue.len() >= HELD_MAX as usize {
            absent(&mut analysis.findings, phrases::READER_OVERLOADED);
            return Some((id, analysis));
        }
        self.queue.push_back(Waiting {
            id,
            analysis,
            clip,
            until: Instant::now() + reviewer.deadline(),
        });
        None
    }

    /// Reads the clip that has waited longest. None where `stop` said that something else comes first: it waits on.
    pub(super) fn read_one(&mut self, stop: &dyn Fn() -> bool) -> Option<Done> {
        let reviewer = self.reviewer?;
        let mut first = self.queue.pop_front()?;
        let until = first.until;
        let go_on = || Instant::now() < until && !stop();
        let findings = &mut first.analysis.findings;
        // A model that gives up, as where a GPU has no memory left, must not take the measurement with it.
        let read = catch_unwind(AssertUnwindSafe(|| {
            reviewer.read(&first.clip, findings, &go_on)
        }));
        match read {
            Ok(Ok(reading)) => put_beside(findings, &reading, reviewer.model().clone()),
            Ok(Err(ReviewError::Answer(AnswerError::Stopped))) => {
                self.queue.push_front(first);
                return None;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "no second reading");
                let why = phrases::READER_NO_ANSWER.say([error.to_string().into()]);
                absent(findings, why);
            }
            Err(_) => {
                self.reviewer = None;
                absent(findings, phrases::READER_FAILED);
            }
        }
        Some((first.id, first.analysis))
    }

    /// The answers whose deadline has passed; all of them where nobody reads any more.
    pub(super) fn late(&mut self) -> Vec<Done> {
        let now = Instant::now();
        let mut late = Vec::new();
        while let Some(first) = self.queue.front() {
            if self.reviewer.is_some() && now < first.until {
                break;
            }
            if let Some(mut first) = self.queue.pop_front() {
                absent(&mut first.analysis.findings, phrases::READER_LATE);
                late.push((first.id, first.analysis));
            }
        }
        late
    }
}
