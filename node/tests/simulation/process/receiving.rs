//! What `sonode` does behind an association of a cart's: into the spool, durable, then success.

use sonode_conformance::{DimseStatus, SopInstanceUid, StudyInstanceUid};
use sonode_dimse::{AssociateRequest, HeaderScanner, Rejection, StoreRq};
use sonode_pipeline::spool::{FileMeta, InstanceWriter, Spool};
use sonode_pipeline::{Arrival, Pipeline};

use super::{scanner, summary};
use crate::called::Scp;

pub(super) struct Incoming {
    sop: SopInstanceUid,
    scanner: HeaderScanner,
    /// None: the disk failed.
    writer: Option<InstanceWriter>,
}

/// What is behind an association of a cart's.
pub(super) struct AtNode<'a> {
    pub(super) spool: &'a Spool,
    pub(super) pipeline: &'a Pipeline,
    pub(super) link: u64,
    pub(super) incoming: &'a mut Option<Incoming>,
}

impl Scp for AtNode<'_> {
    fn refuses(&mut self, _request: &AssociateRequest) -> Option<Rejection> {
        self.pipeline.association_opened(self.link, "cart");
        None
    }

    fn begin(&mut self, store: &StoreRq, transfer_syntax: &'static str) {
        let sop = store.request.sop_instance.sop_instance().unwrap();
        let meta = FileMeta {
            sop_class: store.request.sop_class.sop_class().unwrap(),
            sop_instance: sop.clone(),
            transfer_syntax: transfer_syntax.parse().unwrap(),
            calling_ae: Some("CART1".parse().unwrap()),
        };
        *self.incoming = Some(Incoming {
            sop,
            scanner: scanner(),
            writer: self.spool.begin(self.link, &meta).ok(),
        });
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some(incoming) = self.incoming {
            incoming.scanner.push(bytes);
            if let Some(writer) = &mut incoming.writer
                && writer.write(bytes).is_err()
            {
                incoming.writer = None;
            }
        }
    }

    fn end(&mut self) -> Option<DimseStatus> {
        let incoming = self.incoming.take()?;
        let facts = incoming.scanner.finish();
        assert_eq!(facts.sop_instance().unwrap(), Some(incoming.sop));
        let study: Option<StudyInstanceUid> = facts.study().unwrap();
        let committed = incoming
            .writer
            .and_then(|writer| writer.finish().ok())
            .and_then(|pending| self.spool.commit(pending, study).ok());
        let Some(committed) = committed else {
            return Some(DimseStatus::OUT_OF_RESOURCES);
        };
        self.pipeline.stored(Arrival {
            committed,
            header: summary(&facts),
            peer: "cart".to_owned(),
            association: self.link,
        });
        Some(DimseStatus::SUCCESS)
    }
}
