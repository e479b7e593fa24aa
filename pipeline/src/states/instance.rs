use serde::{Deserialize, Serialize};
use sonode_findings::Rejection;

use super::Prohibited;

/// Where one instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum InstanceState {
    /// Durable, not analysed yet.
    Stored,
    /// Measured.
    Analysed,
    /// Not measured, and why.
    Rejected(Rejection),
}

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceEvent {
    /// The worker measured it.
    Measured,
    /// The worker refused it, it used up its attempts, or its class holds no image.
    Refused(Rejection),
    /// It came again with other bytes, or the operator wants it tried again.
    TryAgain,
}

impl InstanceState {
    /// The state after an event.
    ///
    /// ```text
    ///             Measured
    ///   Stored ---------------> Analysed
    ///    |  ^ ^                    |
    ///    |  | +------TryAgain------+
    ///    |  | TryAgain
    ///    |  +-----------------+
    ///    | Refused(reason)    |
    ///    +--------------> Rejected(reason)
    /// ```
    ///
    /// # Errors
    /// [`Prohibited`] for every pair that the drawing doesn't show.
    pub(crate) fn after(self, event: InstanceEvent) -> Result<Self, Prohibited> {
        match (self, event) {
            (Self::Stored, InstanceEvent::Measured) => Ok(Self::Analysed),
            (Self::Stored, InstanceEvent::Refused(reason)) => Ok(Self::Rejected(reason)),
            (Self::Analysed | Self::Rejected(_), InstanceEvent::TryAgain) => Ok(Self::Stored),
            // Anything not allowed is prohibited.
            (state, event) => Err(Prohibited::new("instance", &state, &event)),
        }
    }

    /// The name that people see.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Analysed => "analysed",
            Self::Rejected(_) => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_instance_is_measured_again_only_when_it_came_again() {
        let measured = InstanceState::Stored
            .after(InstanceEvent::Measured)
            .unwrap();
        for event in [
            InstanceEvent::Measured,
            InstanceEvent::Refused(Rejection::View),
        ] {
            assert!(measured.after(event).is_err(), "{event:?}");
        }
        assert_eq!(
            measured.after(InstanceEvent::TryAgain),
            Ok(InstanceState::Stored)
        );
    }

    #[test]
    fn a_rejected_instance_can_be_tried_again_and_only_that() {
        let rejected = InstanceState::Rejected(Rejection::Undecodable);
        assert_eq!(
            rejected.after(InstanceEvent::TryAgain),
            Ok(InstanceState::Stored)
        );
        assert!(rejected.after(InstanceEvent::Measured).is_err());
        assert!(
            InstanceState::Stored
                .after(InstanceEvent::TryAgain)
                .is_err()
        );
    }
}
