//! What the world's worker draws, and where it is kept.

use sonode_findings::protocol::{Illustrated, Picture};

use super::*;
use crate::companions::CompanionKey;

/// Companions in the world.
#[derive(Default)]
pub(in crate::engine::tests) struct Drawings {
    /// The one that the worker draws: job, study, which.
    pub(in crate::engine::tests) running: Option<(u64, StudyInstanceUid, CompanionKey)>,
    /// Those on disk.
    pub(in crate::engine::tests) kept: BTreeMap<(StudyInstanceUid, CompanionKey), SopInstanceUid>,
    /// How often each was drawn.
    pub(in crate::engine::tests) drawn: BTreeMap<(StudyInstanceUid, CompanionKey), u32>,
    /// Those that a peer took.
    pub(in crate::engine::tests) accepted: Vec<(String, CompanionKey)>,
}

impl World {
    pub(super) fn begin_drawing(
        &mut self,
        id: u64,
        uid: StudyInstanceUid,
        key: CompanionKey,
    ) -> Option<Event> {
        assert!(self.is_ready, "a drawing for a worker that isn't ready");
        assert!(
            self.running.is_empty() && self.drawings.running.is_none(),
            "a drawing doesn't run alone"
        );
        if let Some(sop) = self.drawings.kept.get(&(uid.clone(), key)) {
            return Some(Event::CompanionKept(uid, key, Ok(sop.clone())));
        }
        self.drawings.running = Some((id, uid, key));
        None
    }

    pub(super) fn keep_companion(&mut self, uid: StudyInstanceUid, key: CompanionKey) -> Event {
        let number = self.drawings.kept.len() + 1;
        let sop: SopInstanceUid = format!("2.25.9.{}.{number}", key.revision).parse().unwrap();
        let before = self.drawings.kept.insert((uid.clone(), key), sop.clone());
        assert!(before.is_none(), "drawn twice");
        Event::CompanionKept(uid, key, Ok(sop))
    }

    /// The worker ends its drawing: with a picture, or by saying why there is none.
    pub(in crate::engine::tests) fn worker_draws(&mut self, refusal: Option<&str>) {
        let (id, uid, key) = self.drawings.running.take().expect("nothing is drawn");
        *self.drawings.drawn.entry((uid, key)).or_default() += 1;
        let outcome = match refusal {
            Some(why) => Err(why.to_owned()),
            None => Ok(Picture::Pdf { file: Vec::new() }),
        };
        let answer = Illustrated { id, outcome };
        self.event(Event::Illustrated(self.generation, Box::new(answer)));
    }
}
