//! The end of the question: shown, or not, with an alarm.

use std::collections::BTreeMap;

use sonode_conformance::{DimseStatus, StudyInstanceUid};

use super::unconfirmed_of;
use crate::engine::Engine;
use crate::engine::outcome::{note, object_name};
use crate::engine::record::{Delivery, ObjectKey};
use crate::spool::PeerMark;
use crate::states::DeliveryEvent;
use crate::time::Timestamp;

impl Engine {
    pub(super) fn confirm(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        mark: PeerMark,
        now: Timestamp,
    ) {
        if !self.advance_delivery(uid, peer, key, DeliveryEvent::Confirmation) {
            return;
        }
        self.counters.deliveries_confirmed += 1;
        self.with_delivery(uid, peer, key, |delivery| delivery.proof.set_shown(mark));
        self.with_delivery(uid, peer, key, |delivery| {
            let how = match mark {
                PeerMark::Committed => "storage commitment",
                PeerMark::Found | PeerMark::Delivered => "found by C-FIND",
            };
            note(
                delivery,
                Some(DimseStatus::SUCCESS),
                Some(how.to_owned()),
                now,
            );
        });
        self.mark_peer(mark, uid, peer, key);
    }

    /// The end of the search, with an alarm.
    pub(super) fn give_up(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        detail: &str,
        now: Timestamp,
    ) {
        if !self.advance_delivery(uid, peer, key, DeliveryEvent::ConfirmationOverdue) {
            return;
        }
        tracing::error!(study = %uid, peer, object = %object_name(key), detail, "unconfirmed: the peer took the object and doesn't show that it keeps it");
        self.counters.deliveries_unconfirmed += 1;
        let detail = format!("unconfirmed: {detail}");
        self.with_delivery(uid, peer, key, |delivery| {
            note(delivery, None, Some(detail), now);
        });
    }

    /// Moves a delivery along its table. What the table doesn't allow has been answered before.
    pub(super) fn advance_delivery(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        event: DeliveryEvent,
    ) -> bool {
        let study = self.studies.get_mut(uid);
        let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, key)) else {
            return false;
        };
        let Ok(next) = delivery.state.after(event) else {
            return false;
        };
        delivery.state = next;
        tracing::info!(study = %uid, peer, object = %object_name(key), state = next.name(), "delivery state");
        true
    }

    /// How many objects each peer took and never showed to keep: of the studies in hand, and of those that are done.
    pub(in crate::engine) fn unconfirmed(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let done = self.proving.unconfirmed.iter().flat_map(|(_, peers)| peers);
        let in_hand = self.studies.values().flat_map(unconfirmed_of);
        for peer in done.map(String::as_str).chain(in_hand) {
            *counts.entry(peer.to_owned()).or_default() += 1;
        }
        counts
    }

    /// What somebody has to look into.
    pub(in crate::engine) fn alarms(&self) -> Vec<String> {
        let counts = self.unconfirmed();
        let unconfirmed = counts.iter().map(|(peer, n)| {
            format!(
                "{peer} took {n} object(s) and doesn't show that it keeps them: look for them there, \
                 then `sonode studies retry UID` asks again."
            )
        });
        let rejected = self.studies.values().filter_map(|study| {
            let reason = study.rejected.as_ref()?;
            Some(format!(
                "study {}: {reason}. Nothing more of it is sent: `sonode studies discard`, or `close` to go on all the same.",
                study.uid
            ))
        });
        unconfirmed
            .chain(self.relays.alarms())
            .chain(rejected)
            .collect()
    }

    pub(super) fn with_delivery(
        &mut self,
        uid: &StudyInstanceUid,
        peer: &str,
        key: &ObjectKey,
        change: impl FnOnce(&mut Delivery),
    ) {
        let study = self.studies.get_mut(uid);
        if let Some(delivery) = study.and_then(|study| study.delivery_mut(peer, key)) {
            change(delivery);
        }
    }
}
