//! A PACS: takes what it is sent, now and then doesn't, and never loses anything.

use std::collections::BTreeMap;

use sonode_conformance::{DimseStatus, SopInstanceUid, sop_class};
use sonode_dimse::{AssociateRequest, Rejection, StoreRq};

use crate::called::Scp;
use crate::crash_disk::Dice;

pub(crate) struct Pacs {
    /// What it keeps: data sets without meta information, in order of arrival.
    pub(crate) kept: BTreeMap<SopInstanceUid, Vec<u8>>,
    pub(crate) reports: Vec<SopInstanceUid>,
    /// A UID that came with two contents.
    pub(crate) complaint: Option<String>,
    /// Whether it refuses now and then.
    pub(crate) is_moody: bool,
    pub(crate) is_down: bool,
    pub(crate) dice: Dice,
}

/// Whether an object has this text somewhere: a UID in a reference.
pub(crate) fn has(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    bytes.windows(text.len()).any(|window| window == text)
}

/// An object that is coming in.
pub(crate) type Receiving = (StoreRq, Vec<u8>);

/// What one association of it is receiving.
pub(crate) struct AtPacs<'a> {
    pub(crate) pacs: &'a mut Pacs,
    pub(crate) incoming: &'a mut Option<Receiving>,
}

impl Pacs {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            kept: BTreeMap::new(),
            reports: Vec::new(),
            complaint: None,
            is_moody: true,
            is_down: false,
            dice,
        }
    }

    fn keep(&mut self, store: &StoreRq, data: Vec<u8>) {
        let sop = store.request.sop_instance.sop_instance().unwrap();
        match self.kept.get(&sop) {
            Some(before) if *before != data => {
                self.complaint = Some(format!("the PACS got {sop} with two contents"));
            }
            Some(_) => {}
            None => {
                let names = |other: &&SopInstanceUid| has(&data, other.as_str());
                let replaces: Vec<_> = self.reports.iter().filter(names).collect();
                tracing::info!(%sop, ?replaces, "SIM the PACS keeps");
                let class = store.request.sop_class.sop_class().unwrap();
                if class.as_str() != sop_class::US_MULTIFRAME {
                    self.reports.push(sop.clone());
                }
                self.kept.insert(sop, data);
            }
        }
    }
}

impl Scp for AtPacs<'_> {
    fn refuses(&mut self, _request: &AssociateRequest) -> Option<Rejection> {
        let refuses = self.pacs.is_moody && self.pacs.dice.below(10) == 0;
        refuses.then_some(Rejection::LOCAL_LIMIT)
    }

    fn begin(&mut self, store: &StoreRq, _transfer_syntax: &'static str) {
        *self.incoming = Some((store.clone(), Vec::new()));
    }

    fn data(&mut self, bytes: &[u8]) {
        if let Some((_, data)) = self.incoming {
            data.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) -> Option<DimseStatus> {
        let (store, data) = self.incoming.take()?;
        let mood = if self.pacs.is_moody {
            self.pacs.dice.below(12)
        } else {
            usize::MAX
        };
        match mood {
            0 => Some(DimseStatus::OUT_OF_RESOURCES),
            // It keeps it and says nothing: the sender can't know.
            1 => {
                self.pacs.keep(&store, data);
                None
            }
            // A warning is a success.
            2 => {
                self.pacs.keep(&store, data);
                Some(DimseStatus(0xB000))
            }
            _ => {
                self.pacs.keep(&store, data);
                Some(DimseStatus::SUCCESS)
            }
        }
    }
}
