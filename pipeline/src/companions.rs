//! Companions of a report on their way between findings, worker and spool.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sonode_conformance::{SopInstanceUid, StudyInstanceUid};
use sonode_findings::protocol::{Drawing, FrameOf, Picture};
use sonode_findings::{Findings, StudyContext};
use sonode_sr_writer::{
    CharacterSet, Companion, CompanionIdentity, CompanionRequest, Composition, Language, Syntax,
    companion_series_uid, companion_uid, compose, write_companion,
};

use crate::report::{Member, Station, assemble, content_date_time};
use crate::spool::{Digest, Spool, StoredInstance};
use crate::time::Timestamp;

/// Series Number of the first kind of companions: far from those of carts, and after the reports.
const SERIES_NUMBER: u32 = 9911;

/// Which companion of which revision, in which language and syntax. Peers that want the same share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CompanionKey {
    /// The report's revision, from 1.
    pub revision: u32,
    /// What it is.
    pub companion: Companion,
    /// Of which of the planes that were measured, from 0.
    #[serde(default)]
    pub plane: u8,
    /// In which transfer syntax.
    #[serde(default)]
    pub syntax: Syntax,
    /// The language of its text.
    pub language: Language,
    /// The character set of its attributes.
    pub charset: CharacterSet,
}

/// Everything that a companion is made of.
pub(crate) struct CompanionPlan {
    pub(crate) study: StudyInstanceUid,
    pub(crate) key: CompanionKey,
    pub(crate) context: StudyContext,
    pub(crate) members: Vec<Member>,
    /// The members' files, in the version that was analysed.
    pub(crate) instances: Vec<StoredInstance>,
    pub(crate) content: Timestamp,
}

/// What there is to do for a companion.
pub(crate) enum Composed {
    /// It is on disk from before.
    Kept(SopInstanceUid),
    /// The worker has to draw this.
    Drawing(Drawing),
}

/// Makes companions.
pub(crate) struct Illustrator<'a> {
    pub(crate) spool: &'a Spool,
    pub(crate) station: &'a Station,
}

impl Illustrator<'_> {
    /// What the worker is asked. What was committed once is never drawn again: one UID, one content.
    ///
    /// # Errors
    /// In words, where the findings can't be read or a frame's file is gone.
    pub(crate) fn compose(&self, plan: &CompanionPlan) -> Result<Composed, String> {
        let (findings, request) = self.request(plan)?;
        let sop = &request.sop_instance_uid;
        let revision = plan.key.revision;
        if self.spool.companion(&plan.study, revision, sop).is_some() {
            return Ok(Composed::Kept(sop.clone()));
        }
        let path = |sop: &SopInstanceUid| {
            plan.instances
                .iter()
                .find(|stored| stored.sop_instance == *sop)
                .and_then(|stored| self.spool.locate(stored))
                .ok_or_else(|| format!("the file of instance {sop} is not in the spool any more"))
        };
        let composition = compose(&findings, &plan.context, &request)
            .ok_or("the findings hold nothing to draw")?;
        Ok(Composed::Drawing(match composition {
            Composition::Page { svg, frames, form } => {
                let frames: Result<Vec<FrameOf>, String> = frames
                    .into_iter()
                    .map(|(sop, frame)| {
                        Ok(FrameOf {
                            path: path(&sop)?,
                            frame,
                        })
                    })
                    .collect();
                Drawing::Page {
                    svg,
                    frames: frames?,
                    form,
                }
            }
            Composition::Cine { clip, sheets } => Drawing::Cine {
                path: path(&clip)?,
                sheets,
            },
        }))
    }

    /// Makes a DICOM object of what the worker drew, and commits it.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn keep(
        &self,
        plan: &CompanionPlan,
        picture: Picture,
    ) -> Result<SopInstanceUid, String> {
        let (findings, request) = self.request(plan)?;
        let written = write_companion(&findings, &plan.context, &request, picture)
            .map_err(|error| error.to_string())?;
        let sop = request.sop_instance_uid;
        self.spool
            .commit_companion(&plan.study, plan.key.revision, &sop, &written.bytes)
            .map_err(|error| error.to_string())?;
        Ok(sop)
    }

    fn request(&self, plan: &CompanionPlan) -> Result<(Findings, CompanionRequest), String> {
        let findings =
            assemble(self.spool, &plan.study, &plan.members).map_err(|error| error.to_string())?;
        let node_uid = self.spool.node_uid();
        let CompanionKey {
            revision,
            companion,
            plane,
            syntax,
            language,
            charset,
        } = plan.key;
        let json = serde_json::to_vec(&findings).map_err(|error| error.to_string())?;
        let sop_instance_uid = companion_uid(&CompanionIdentity {
            node_uid: node_uid.clone(),
            companion,
            plane,
            syntax,
            language,
            charset,
            study: plan.study.clone(),
            findings: Digest::from_bytes(Sha256::digest(&json).into()).to_string(),
            config_hash: self.station.hash(),
        });
        let device_serial = if self.station.device_serial.is_empty() {
            node_uid.to_string()
        } else {
            self.station.device_serial.clone()
        };
        let request = CompanionRequest {
            companion,
            plane,
            syntax,
            language,
            charset,
            node_uid: node_uid.clone(),
            sop_instance_uid,
            series_instance_uid: companion_series_uid(node_uid, &plan.study, companion),
            series_number: SERIES_NUMBER + companion.series_offset(),
            revision,
            content: content_date_time(plan.content, &plan.context.timezone_offset_from_utc),
            device_serial,
            station_ae: self.station.ae_title.clone(),
        };
        Ok((findings, request))
    }
}
