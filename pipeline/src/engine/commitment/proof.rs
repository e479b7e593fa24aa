//! What is known of one object at one peer, and when the peer is asked about it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonode_conformance::status::DeliveryOutcome;
use sonode_conformance::{Uid, limits};

use crate::ports::ObjectResult;
use crate::settings::Routing;
use crate::spool::PeerMark;
use crate::time::Timestamp;

/// What shows that a peer keeps an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(super) wanted: Wanted,
    /// When the peer took it: the time-out counts from here.
    pub(super) taken: Timestamp,
    /// When the peer was asked about it last.
    pub(super) asked: Option<Timestamp>,
    /// The transactions in which it was asked for, oldest first.
    pub(super) transactions: VecDeque<Uid>,
    /// How often the peer said that it doesn't have it.
    pub(super) denied: u32,
    /// By what it was shown.
    pub(super) shown: Option<PeerMark>,
}

/// What a peer has to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wanted {
    /// Nothing: its C-STORE response is enough.
    #[default]
    Nothing,
    /// That it has it.
    Query,
    /// That it has committed itself.
    Commitment,
}

impl Proof {
    /// By what the peer has shown that it keeps it.
    pub(crate) fn shown(&self) -> Option<PeerMark> {
        self.shown
    }

    /// A mark in the spool says so.
    pub(in crate::engine) fn set_shown(&mut self, mark: PeerMark) {
        self.shown = Some(mark);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted != Wanted::Nothing
    }

    /// The peer took the object. Where it says that it has it already (0111), it has to show that.
    pub(in crate::engine) fn begin(&mut self, result: &ObjectResult, now: Timestamp) {
        let has_it = matches!(result, ObjectResult::Status(status, _)
            if status.delivery() == DeliveryOutcome::VerifyThenStored);
        if has_it && self.wanted == Wanted::Nothing {
            self.wanted = Wanted::Query;
        }
        self.restart(now);
    }

    /// The time begins anew.
    pub(in crate::engine) fn restart(&mut self, now: Timestamp) {
        self.taken = now;
        self.asked = None;
    }

    /// When the peer is asked next.
    pub(super) fn next(&self, rules: Rules) -> Timestamp {
        match self.asked {
            None => self.taken.plus(rules.gather),
            Some(asked) => asked
                .plus(rules.again)
                .min(self.taken.plus(rules.timeout).max(asked)),
        }
    }

    /// Whether the peer is queried now, and not asked to commit itself.
    pub(super) fn is_to_be_found(&self, refused: bool, rules: Rules, now: Timestamp) -> bool {
        refused || self.wanted == Wanted::Query || self.is_overdue(rules, now)
    }

    pub(super) fn is_overdue(&self, rules: Rules, now: Timestamp) -> bool {
        now >= self.taken.plus(rules.timeout)
    }
}

/// The times for one peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) timeout: Duration,
    pub(super) again: Duration,
    pub(super) gather: Duration,
}

impl Rules {
    pub(super) fn of(routing: &Routing, peer: &str) -> Self {
        let timeout = routing.commit_timeout_of(peer);
        let again = timeout / limits::COMMIT_ASKS;
        Self {
            timeout,
            again,
            gather: limits::COMMIT_GATHER.min(again),
        }
    }
}

/// When a peer is asked next about objects of one study.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofLane {
    pub(super) due: Timestamp,
    /// Not before, since no association came about.
    pub(super) not_before: Timestamp,
    /// Associations that failed in a row.
    pub(super) failures: u32,
    /// The peer doesn't offer storage commitment.
    pub(super) refused: bool,
}
