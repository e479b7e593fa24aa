//! The world's second reader.

use sonode_findings::protocol::Amended;
use sonode_findings::{ModelRef, SecondReading};

use super::*;

/// A reading that is not told yet.
pub(in crate::engine::tests) struct Late {
    id: u64,
    findings: InstanceFindings,
}

impl Late {
    pub(super) fn of(id: u64, findings: &InstanceFindings) -> Self {
        let model = ModelRef {
            name: "reader".to_owned(),
            version: "1".to_owned(),
            sha256: "0".repeat(64),
            research: true,
        };
        let mut findings = findings.clone();
        findings.second_reading = Some(SecondReading {
            model,
            view: None,
            quality: None,
            lvef_percent: None,
            narrative: "A ventricle.".to_owned(),
            struck: Vec::new(),
        });
        Self { id, findings }
    }
}

impl World {
    /// The worker tells the reading that has waited longest.
    pub(in crate::engine::tests) fn worker_reads(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let Late { id, findings } = self.late.remove(0);
        // As the runtime does it.
        if let Some(uid) = self.engine.study_read(self.generation, id).cloned()
            && !self.engine.knows(&uid)
            && let Some(done) = self.finished.get(&uid)
        {
            self.engine.adopt(done.clone());
        }
        let amended = Amended { id, findings };
        self.event(Event::Amended(self.generation, Box::new(amended)));
    }
}
