//! What `sonode`'s sender does with a job: one association, one object after the other.

use std::collections::BTreeMap;
use std::path::Path;

use sonode_conformance::{DimseStatus, SopClassUid, SopInstanceUid, TransferSyntaxUid, Uid};
use sonode_dimse::{AssociateAccept, Proposal};
use sonode_pipeline::{
    AssociationFailure, DeliveryJob, DeliveryObject, DeliveryReport, ObjectResult, Pipeline,
    RenderError,
};
use sonode_sr_writer::Form;

use super::data_set;
use crate::caller::{Outgoing, Scu};
use crate::crash_disk::CrashDisk;

/// A job on its association.
pub(super) struct Delivery {
    pub(super) job: DeliveryJob,
    /// The object that comes next.
    pub(super) next: usize,
    pub(super) results: Vec<(DeliveryObject, ObjectResult)>,
    pub(super) sending: Option<DeliveryObject>,
    pub(super) outcome: Option<Result<(), String>>,
}

/// Everything that any process of the node's ever began to send: one UID, one content.
#[derive(Default)]
pub(crate) struct Sent {
    by_uid: BTreeMap<SopInstanceUid, Vec<u8>>,
    pub(crate) complaint: Option<String>,
}

impl Sent {
    fn note(&mut self, sop: &SopInstanceUid, data: &[u8]) {
        let first = self
            .by_uid
            .entry(sop.clone())
            .or_insert_with(|| data.to_vec());
        if first != data {
            self.complaint = Some(format!("{sop} was sent with two contents"));
        }
    }
}

/// What is behind an association with the PACS.
pub(super) struct AtDelivery<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) disk: &'a CrashDisk,
    pub(super) delivery: &'a mut Delivery,
    pub(super) sent: &'a mut Sent,
}

impl AtDelivery<'_> {
    fn object(
        &self,
        object: &DeliveryObject,
        accept: &AssociateAccept,
    ) -> Result<Outgoing, ObjectResult> {
        match object {
            DeliveryObject::Image(stored) => self.file(
                accept,
                (&stored.sop_class, &stored.transfer_syntax),
                stored.sop_instance.clone(),
                &stored.path,
            ),
            DeliveryObject::Report(key) => {
                let is_taken = |form: &Form| {
                    context(accept, form.class.sop_class(), form.syntax.uid()).is_some()
                };
                let accepted: Vec<Form> = key.document.forms().filter(is_taken).collect();
                match self.pipeline.render(key, &accepted) {
                    Ok((_, report)) => self.file(
                        accept,
                        (&report.sop_class, &report.transfer_syntax),
                        report.sop_instance,
                        &report.path,
                    ),
                    Err(RenderError::NotOwed) => Err(ObjectResult::NotSent("not owed".to_owned())),
                    Err(error) => Err(ObjectResult::Failed(error.to_string())),
                }
            }
            DeliveryObject::Companion(_) => panic!("no route asks for companions"),
        }
    }

    fn file(
        &self,
        accept: &AssociateAccept,
        (sop_class, syntax): (&SopClassUid, &TransferSyntaxUid),
        sop_instance: SopInstanceUid,
        path: &Path,
    ) -> Result<Outgoing, ObjectResult> {
        let file = self.disk.contents(path);
        let file = file.ok_or_else(|| ObjectResult::Failed("no such file".to_owned()))?;
        let context = context(accept, sop_class.as_str(), syntax.as_str());
        Ok(Outgoing {
            context: context.ok_or_else(|| ObjectResult::NoContext(sop_class.to_string()))?,
            sop_class: sop_class.clone(),
            sop_instance,
            data: data_set(&file).to_vec(),
        })
    }
}

impl Scu for AtDelivery<'_> {
    fn next(&mut self, accept: &AssociateAccept) -> Option<Outgoing> {
        loop {
            let object = self.delivery.job.objects.get(self.delivery.next)?.clone();
            self.delivery.next += 1;
            match self.object(&object, accept) {
                Ok(outgoing) => {
                    self.delivery.sending = Some(object);
                    // Where the power has failed already, nothing leaves.
                    if !self.disk.is_cut() {
                        tracing::info!(sop = %outgoing.sop_instance, object = ?self.delivery.sending, "SIM the node sends");
                        self.sent.note(&outgoing.sop_instance, &outgoing.data);
                    }
                    return Some(outgoing);
                }
                Err(result) => self.delivery.results.push((object, result)),
            }
        }
    }

    fn answered(&mut self, status: DimseStatus) {
        if let Some(object) = self.delivery.sending.take() {
            let result = ObjectResult::Status(status, None);
            self.delivery.results.push((object, result));
        }
    }

    fn over(&mut self, outcome: Result<(), String>) {
        if let (Err(why), Some(object)) = (&outcome, self.delivery.sending.take()) {
            let result = ObjectResult::Broke(why.clone());
            self.delivery.results.push((object, result));
        }
        let failure = |detail| AssociationFailure {
            permanent: false,
            detail,
        };
        // What is left at the release is no failure any more.
        let is_done = self.delivery.results.len() == self.delivery.job.objects.len();
        self.pipeline.delivered(DeliveryReport {
            id: self.delivery.job.id,
            peer: self.delivery.job.peer.clone(),
            results: std::mem::take(&mut self.delivery.results),
            association_error: outcome.clone().err().filter(|_| !is_done).map(failure),
        });
        self.delivery.outcome = Some(outcome);
    }
}

fn context(accept: &AssociateAccept, class: &str, syntax: &str) -> Option<u8> {
    let mut accepted = accept.accepted(class);
    let context = accepted.find(|context| context.transfer_syntax == syntax)?;
    Some(context.id)
}

/// As `sonode`'s own sender: every form of a report, each image in the syntax in which it came.
pub(super) fn proposal(job: &DeliveryJob) -> Proposal {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for object in &job.objects {
        match object {
            DeliveryObject::Report(key) => wanted.extend(key.document.forms().map(|form| {
                let class = form.class.sop_class().to_owned();
                (class, form.syntax.uid().to_owned())
            })),
            DeliveryObject::Image(image) => wanted.push((
                image.sop_class.to_string(),
                image.transfer_syntax.to_string(),
            )),
            DeliveryObject::Companion(_) => panic!("no route asks for companions"),
        }
    }
    wanted.sort_unstable();
    wanted.dedup();
    let proposal = Proposal::new("SONODE".parse().unwrap(), "PACS".parse().unwrap());
    wanted.iter().fold(proposal, |proposal, (class, syntax)| {
        proposal
            .with_context(class, [Uid::parse(syntax.as_bytes()).unwrap().as_str()])
            .unwrap()
    })
}
