//! Answers that wait for the second reader. Measurement comes first: a reading begins only while no clip waits, stops when
//! one comes, and is begun again afterwards. At its deadline an answer leaves as it is; where readings may revise a report, its
//! reading goes on when nothing else is to be done, and follows.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use sonode_findings::protocol::{Amended, Analyzed};
use sonode_findings::{InstanceFindings, Sentence, phrases};

use super::Opened;
use crate::analysis::Analysis;
use crate::clip::Clip;
use crate::second_reader::cross::{absent, put_beside};
use crate::second_reader::generate::AnswerError;
use crate::second_reader::review::{ReviewError, Reviewer};

/// Most answers that are held at once.
pub(super) const HELD_MAX: u32 = 6;

/// How long a reading that was not in time may still come.
const LATE_MAX: Duration = Duration::from_mins(10);

/// What the node is told of a job.
pub(super) enum Told {
    Answer(Box<Analyzed>),
    /// The reading of what was answered without one.
    Amendment(Box<Amended>),
}

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
    /// Those whose answers have left without a reading.
    late: VecDeque<Late>,
}

struct Waiting {
    id: u64,
    analysis: Analysis,
    clip: Clip,
    until: Instant,
}

struct Late {
    id: u64,
    findings: InstanceFindings,
    clip: Clip,
    until: Instant,
}

/// How a reading ended.
enum Read {
    Done,
    /// There is none, and why.
    None(Sentence),
    /// Something else comes first.
    Stopped,
}

impl<'a> Held<'a> {
    pub(super) fn new(reviewer: Option<&'a Reviewer>) -> Self {
        Self {
            reviewer,
            queue: VecDeque::new(),
            late: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.late.is_empty()
    }

    /// Holds an answer for its reading, or gives it back where there will be none.
    pub(super) fn put(
        &mut self,
        id: u64,
        mut analysis: Analysis,
        clip: Option<Clip>,
    ) -> Option<Told> {
        let (Some(reviewer), Some(clip)) = (self.reviewer, clip) else {
            return Some(answer(id, analysis, false));
        };
        if self.queue.len() >= HELD_MAX as usize {
            absent(&mut analysis.findings, phrases::READER_OVERLOADED);
            return Some(answer(id, analysis, false));
        }
        self.queue.push_back(Waiting {
            id,
            analysis,
            clip,
            until: Instant::now() + reviewer.deadline(),
        });
        None
    }

    /// Reads the clip that has waited longest, those whose answers wait first. None where `stop` said that something else
    /// comes first: it waits on.
    pub(super) fn read_one(&mut self, stop: &dyn Fn() -> bool) -> Option<Told> {
        let Some(mut first) = self.queue.pop_front() else {
            return self.read_late(stop);
        };
        let findings = &mut first.analysis.findings;
        match self.read(&first.clip, findings, first.until, stop) {
            Read::Done => {}
            Read::None(why) => absent(findings, why),
            Read::Stopped => {
                self.queue.push_front(first);
                return None;
            }
        }
        Some(answer(first.id, first.analysis, false))
    }

    fn read_late(&mut self, stop: &dyn Fn() -> bool) -> Option<Told> {
        let mut first = self.late.pop_front()?;
        match self.read(&first.clip, &mut first.findings, first.until, stop) {
            Read::Done => {}
            Read::None(_) => return None,
            Read::Stopped => {
                self.late.push_front(first);
                return None;
            }
        }
        let Late { id, findings, .. } = first;
        Some(Told::Amendment(Box::new(Amended { id, findings })))
    }

    fn read(
        &mut self,
        clip: &Clip,
        findings: &mut InstanceFindings,
        until: Instant,
        stop: &dyn Fn() -> bool,
    ) -> Read {
        let Some(reviewer) = self.reviewer else {
            return Read::Stopped;
        };
        let go_on = || Instant::now() < until && !stop();
        // A model that gives up, as where a GPU has no memory left, must not take the measurement with it.
        let read = catch_unwind(AssertUnwindSafe(|| reviewer.read(clip, findings, &go_on)));
        match read {
            Ok(Ok(reading)) => {
                put_beside(findings, &reading, reviewer.model().clone());
                Read::Done
            }
            Ok(Err(ReviewError::Answer(AnswerError::Stopped))) => Read::Stopped,
            Ok(Err(error)) => {
                tracing::warn!(%error, "no second reading");
                Read::None(phrases::READER_NO_ANSWER.say([error.to_string().into()]))
            }
            Err(_) => {
                self.reviewer = None;
                Read::None(phrases::READER_FAILED.into())
            }
        }
    }

    /// The answers whose deadline has passed; all of them where nobody reads any more.
    pub(super) fn overdue(&mut self) -> Vec<Told> {
        let now = Instant::now();
        let reads = self.reviewer.is_some();
        self.late.retain(|late| reads && now < late.until);
        let mut overdue = Vec::new();
        while let Some(first) = self.queue.pop_front() {
            if reads && now < first.until {
                self.queue.push_front(first);
                break;
            }
            overdue.push(self.leave(first, now));
        }
        overdue
    }

    /// An answer leaves without its reading, which may follow.
    fn leave(&mut self, waiting: Waiting, now: Instant) -> Told {
        let Waiting {
            id,
            mut analysis,
            clip,
            ..
        } = waiting;
        let goes_on = self.reviewer.is_some_and(Reviewer::revises);
        if goes_on {
            if self.late.len() >= HELD_MAX as usize {
                self.late.pop_front();
            }
            self.late.push_back(Late {
                id,
                findings: analysis.findings.clone(),
                clip,
                until: now + LATE_MAX,
            });
        }
        absent(&mut analysis.findings, phrases::READER_LATE);
        answer(id, analysis, goes_on)
    }
}

fn answer(id: u64, analysis: Analysis, reading_may_follow: bool) -> Told {
    let Analysis { findings, context } = analysis;
    Told::Answer(Box::new(Analyzed {
        id,
        findings,
        context,
        reading_may_follow,
    }))
}
