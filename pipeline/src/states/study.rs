use serde::{Deserialize, Serialize};

use super::Prohibited;

/// Where one study stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StudyState {
    /// Instances may still come.
    Receiving,
    /// Nothing more is awaited; what is stored is being analysed.
    Closed,
    /// Its report was decided: delivered or owed, or not owed at all.
    Reported,
    /// Waits for an operator, since a report could go to the wrong patient.
    Held(String),
    /// Waits for an operator, since something failed that trying again won't mend by itself.
    Quarantined(String),
}

/// What happens to a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StudyEvent {
    /// The quiet period or the longest open time is over, or the operator closes or releases it.
    Close,
    /// Every instance is analysed or rejected and the report is decided.
    Complete,
    /// An image that came after the close was measured.
    LateEvidence,
    /// Another peer sent it too, and a route takes what that peer sends.
    NewSource,
    /// Its instances contradict each other.
    Contradiction(String),
    /// Something failed.
    Failure(String),
    /// The operator wants it tried again.
    Retry,
}

impl StudyState {
    /// The state after an event.
    ///
    /// ```text
    ///                Close               Complete
    ///   Receiving ----------> Closed ----------------> Reported
    ///       ^                  | ^ ^ ^------NewSource-----+
    ///       |   LateEvidence   | | |                      |
    ///       +------------------+-|-|----------------------+
    ///                            | |
    ///        Close (the operator | | Retry
    ///        releases it)        | |
    ///                    Held ---+ +--- Quarantined
    ///
    ///   Receiving, Closed, Reported -- Contradiction --> Held
    ///   Receiving, Closed, Reported -- Failure --------> Quarantined
    /// ```
    ///
    /// # Errors
    /// [`Prohibited`] for every pair that the drawing doesn't show.
    pub(crate) fn after(&self, event: StudyEvent) -> Result<Self, Prohibited> {
        match (self, event) {
            (Self::Receiving | Self::Held(_), StudyEvent::Close)
            | (Self::Quarantined(_), StudyEvent::Retry)
            | (Self::Reported, StudyEvent::NewSource) => Ok(Self::Closed),
            (Self::Closed, StudyEvent::Complete) => Ok(Self::Reported),
            (Self::Closed | Self::Reported, StudyEvent::LateEvidence) => Ok(Self::Receiving),
            (
                Self::Receiving | Self::Closed | Self::Reported,
                StudyEvent::Contradiction(reason),
            ) => Ok(Self::Held(reason)),
            (Self::Receiving | Self::Closed | Self::Reported, StudyEvent::Failure(reason)) => {
                Ok(Self::Quarantined(reason))
            }
            // Anything not allowed is prohibited.
            (state, event) => Err(Prohibited::new("study", state, &event)),
        }
    }

    /// The name that people see.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Closed => "closed",
            Self::Reported => "reported",
            Self::Held(_) => "held",
            Self::Quarantined(_) => "quarantined",
        }
    }

    /// Why an operator is awaited.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Held(reason) | Self::Quarantined(reason) => Some(reason),
            Self::Receiving | Self::Closed | Self::Reported => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_way_and_the_way_back() {
        let closed = StudyState::Receiving.after(StudyEvent::Close).unwrap();
        let reported = closed.after(StudyEvent::Complete).unwrap();
        assert_eq!(reported, StudyState::Reported);
        assert_eq!(
            reported.after(StudyEvent::LateEvidence),
            Ok(StudyState::Receiving)
        );
    }

    #[test]
    fn only_the_operator_ends_a_hold_or_a_quarantine() {
        let held = StudyState::Held("two patients".to_owned());
        let quarantined = StudyState::Quarantined("disk".to_owned());
        for event in [
            StudyEvent::Complete,
            StudyEvent::LateEvidence,
            StudyEvent::NewSource,
            StudyEvent::Contradiction(String::new()),
            StudyEvent::Failure(String::new()),
        ] {
            assert!(held.after(event.clone()).is_err(), "{event:?}");
            assert!(quarantined.after(event.clone()).is_err(), "{event:?}");
        }
        assert_eq!(held.after(StudyEvent::Close), Ok(StudyState::Closed));
        assert!(held.after(StudyEvent::Retry).is_err());
        assert_eq!(quarantined.after(StudyEvent::Retry), Ok(StudyState::Closed));
        assert!(quarantined.after(StudyEvent::Close).is_err());
    }
}
