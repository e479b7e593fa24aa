//! A cart: sends what it has, and deletes what was acknowledged.

use std::time::Duration;

use sonode_conformance::{
    DimseStatus, SopInstanceUid, StudyInstanceUid, sop_class::US_MULTIFRAME, transfer_syntax,
};
use sonode_dimse::{AssociateAccept, Proposal};

use crate::caller::{Outgoing, Scu};
use crate::crash_disk::Dice;

/// An instance of a study.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    pub(crate) study: StudyInstanceUid,
    pub(crate) sop: SopInstanceUid,
    /// Explicit VR little endian.
    pub(crate) data: Vec<u8>,
    /// When it is recorded.
    pub(crate) at: Duration,
}

impl Clip {
    pub(crate) fn new(study: usize, number: usize, at: Duration, dice: &mut Dice) -> Self {
        let sop = format!("1.2.826.0.1.{study}.{number}");
        let uid = format!("1.2.826.0.9.{study}");
        let mut data = Vec::new();
        element(&mut data, (0x0008, 0x0016), *b"UI", US_MULTIFRAME);
        element(&mut data, (0x0008, 0x0018), *b"UI", &sop);
        element(&mut data, (0x0008, 0x0060), *b"CS", "US");
        element(&mut data, (0x0010, 0x0020), *b"LO", &format!("P{study}"));
        element(&mut data, (0x0020, 0x000D), *b"UI", &uid);
        // Pixel Data of any length: from less than a PDU to several.
        let pixels = 2 * dice.below(1_500);
        data.extend(b"\xE0\x7F\x10\x00OB\0\0");
        data.extend(u32::try_from(pixels).unwrap().to_le_bytes());
        data.extend((0..pixels).map(|_| dice.next().to_le_bytes()[0]));
        Self {
            study: uid.parse().unwrap(),
            sop: sop.parse().unwrap(),
            data,
            at,
        }
    }
}

/// One element with an explicit VR and a short length.
fn element(data: &mut Vec<u8>, tag: (u16, u16), vr: [u8; 2], value: &str) {
    let mut value = value.as_bytes().to_vec();
    if !value.len().is_multiple_of(2) {
        value.push(if &vr == b"UI" { 0 } else { b' ' });
    }
    data.extend(tag.0.to_le_bytes());
    data.extend(tag.1.to_le_bytes());
    data.extend(vr);
    data.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    data.extend(value);
}

pub(crate) struct Cart {
    /// What it still has: not acknowledged yet.
    pub(crate) clips: Vec<Clip>,
    /// What it deleted: whoever acknowledged it has the only copy.
    pub(crate) deleted: Vec<Clip>,
    /// Of this association: what it is going to send, the next last.
    queue: Vec<Clip>,
    sending: Option<Clip>,
    /// The association is over.
    pub(crate) is_idle: bool,
}

impl Cart {
    pub(crate) fn new(clips: Vec<Clip>) -> Self {
        Self {
            clips,
            deleted: Vec::new(),
            queue: Vec::new(),
            sending: None,
            is_idle: true,
        }
    }

    /// Whether it has something that is recorded and not acknowledged.
    pub(crate) fn has_work(&self, now: Duration) -> bool {
        self.clips.iter().any(|clip| clip.at <= now)
    }

    /// What it proposes in a new association. Now and then it sends again what it has just deleted, as a cart that
    /// sends on two events does.
    pub(crate) fn call(&mut self, now: Duration, dice: &mut Dice) -> Proposal {
        self.is_idle = false;
        let due = self.clips.iter().filter(|clip| clip.at <= now);
        self.queue = due.rev().cloned().collect();
        if dice.below(8) == 0 {
            self.queue.extend(self.deleted.last().cloned());
        }
        Proposal::new("CART1".parse().unwrap(), "SONODE".parse().unwrap())
            .with_context(US_MULTIFRAME, [transfer_syntax::EXPLICIT_LITTLE])
            .unwrap()
    }
}

impl Scu for Cart {
    fn next(&mut self, accept: &AssociateAccept) -> Option<Outgoing> {
        let clip = self.queue.pop()?;
        self.sending = Some(clip.clone());
        Some(Outgoing {
            context: accept.accepted(US_MULTIFRAME).next()?.id,
            sop_class: US_MULTIFRAME.parse().unwrap(),
            sop_instance: clip.sop,
            data: clip.data,
        })
    }

    fn answered(&mut self, status: DimseStatus) {
        let sent = self.sending.take();
        if status == DimseStatus::SUCCESS
            && let Some(clip) = sent
            && self.clips.iter().any(|kept| kept.sop == clip.sop)
        {
            tracing::info!(sop = %clip.sop, "SIM acknowledged");
            self.clips.retain(|kept| kept.sop != clip.sop);
            self.deleted.push(clip);
        }
    }

    fn over(&mut self, _outcome: Result<(), String>) {
        self.sending = None;
        self.is_idle = true;
    }
}
