use serde::{Deserialize, Serialize};

use super::Prohibited;

/// Where the delivery of one object to one peer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeliveryState {
    /// Owed.
    Due,
    /// The peer answered with success or a warning.
    Sent,
    /// The peer has shown that it keeps the object.
    Confirmed,
    /// The peer took the object and never showed that it keeps it.
    Unconfirmed,
    /// Given up until the operator wants it tried again.
    Dead,
}

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryEvent {
    /// C-STORE was answered with success or a warning.
    Accepted,
    /// A passing fault.
    FailedForNow,
    /// The peer will never take it, or has refused it too often.
    FailedForGood,
    /// A commitment or a query shows that the peer keeps it.
    Confirmation,
    /// None came in time.
    ConfirmationOverdue,
    /// The peer that took it says that it doesn't have it.
    Denial,
    /// The operator wants it tried again.
    Retry,
}

impl DeliveryState {
    /// The state after an event.
    ///
    /// ```text
    ///    FailedForNow
    ///      +----+
    ///      v    |  Accepted          Confirmation
    ///   +--> Due -------------> Sent --------------> Confirmed
    ///   |     | ^               | | ^                   ^
    ///   |     | +----Denial-----+ | | Retry             |
    ///   |     | FailedForGood     | |                   | Confirmation
    ///   |     |   ConfirmationOverdue                   |
    ///   |     v                   v |                   |
    ///   +-- Dead              Unconfirmed --------------+
    ///  Retry
    /// ```
    ///
    /// # Errors
    /// [`Prohibited`] for every pair that the drawing doesn't show.
    pub(crate) fn after(self, event: DeliveryEvent) -> Result<Self, Prohibited> {
        match (self, event) {
            (Self::Due, DeliveryEvent::Accepted) | (Self::Unconfirmed, DeliveryEvent::Retry) => {
                Ok(Self::Sent)
            }
            (Self::Due, DeliveryEvent::FailedForNow)
            | (Self::Dead, DeliveryEvent::Retry)
            | (Self::Sent, DeliveryEvent::Denial) => Ok(Self::Due),
            (Self::Due, DeliveryEvent::FailedForGood) => Ok(Self::Dead),
            (Self::Sent | Self::Unconfirmed, DeliveryEvent::Confirmation) => Ok(Self::Confirmed),
            (Self::Sent, DeliveryEvent::ConfirmationOverdue) => Ok(Self::Unconfirmed),
            // Anything not allowed is prohibited.
            (state, event) => Err(Prohibited::new("delivery", &state, &event)),
        }
    }

    /// Whether the object is still owed.
    pub(crate) fn is_owed(self) -> bool {
        self == Self::Due
    }

    /// Whether the peer has answered that it took the object.
    pub(crate) fn is_taken(self) -> bool {
        matches!(self, Self::Sent | Self::Confirmed | Self::Unconfirmed)
    }

    /// The name that people see.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Dead => "dead",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [DeliveryState; 5] = [
        DeliveryState::Due,
        DeliveryState::Sent,
        DeliveryState::Confirmed,
        DeliveryState::Unconfirmed,
        DeliveryState::Dead,
    ];
    const EVENTS: [DeliveryEvent; 7] = [
        DeliveryEvent::Accepted,
        DeliveryEvent::FailedForNow,
        DeliveryEvent::FailedForGood,
        DeliveryEvent::Confirmation,
        DeliveryEvent::ConfirmationOverdue,
        DeliveryEvent::Denial,
        DeliveryEvent::Retry,
    ];

    #[test]
    fn what_a_peer_took_is_owed_again_only_if_it_says_that_it_lacks_it() {
        for state in STATES.into_iter().filter(|state| state.is_taken()) {
            for event in EVENTS {
                if let Ok(next) = state.after(event) {
                    let is_denied = event == DeliveryEvent::Denial;
                    assert_eq!(next.is_taken(), !is_denied, "{state:?} {event:?}");
                }
            }
        }
    }

    #[test]
    fn the_table_has_exactly_the_arrows_of_the_drawing() {
        let arrows = STATES
            .into_iter()
            .flat_map(|state| EVENTS.map(|event| state.after(event)))
            .flatten()
            .count();
        assert_eq!(arrows, 9);
    }
}
