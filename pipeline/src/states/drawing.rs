use serde::{Deserialize, Serialize};
use sonode_conformance::SopInstanceUid;

use super::Prohibited;

/// Where one companion of a report stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DrawingState {
    /// The worker has not drawn it yet.
    Waiting,
    /// It is on disk under this UID.
    Drawn(SopInstanceUid),
    /// It can't be made, until the operator wants it tried again.
    Failed(String),
}

/// What happens to a companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DrawingEvent {
    /// It is on disk.
    Kept(SopInstanceUid),
    /// The worker can't draw it, or died of it too often.
    GivenUp(String),
    /// The operator wants it tried again.
    Retry,
}

impl DrawingState {
    /// The state after an event.
    ///
    /// ```text
    ///            Kept
    ///   Waiting -------> Drawn
    ///    |   ^
    ///    |   | Retry
    ///    v   |
    ///   Failed
    ///  GivenUp
    /// ```
    ///
    /// # Errors
    /// [`Prohibited`] for every pair that the drawing doesn't show: what was drawn once stays as it is.
    pub(crate) fn after(&self, event: DrawingEvent) -> Result<Self, Prohibited> {
        match (self, event) {
            (Self::Waiting, DrawingEvent::Kept(sop)) => Ok(Self::Drawn(sop)),
            (Self::Waiting, DrawingEvent::GivenUp(why)) => Ok(Self::Failed(why)),
            (Self::Failed(_), DrawingEvent::Retry) => Ok(Self::Waiting),
            // Anything not allowed is prohibited.
            (state, event) => Err(Prohibited::new("companion", &state, &event)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_exactly_the_arrows_of_the_drawing() {
        let sop: SopInstanceUid = "1.2".parse().unwrap();
        let states = [
            DrawingState::Waiting,
            DrawingState::Drawn(sop.clone()),
            DrawingState::Failed("why".to_owned()),
        ];
        let events = [
            DrawingEvent::Kept(sop),
            DrawingEvent::GivenUp("why".to_owned()),
            DrawingEvent::Retry,
        ];
        let arrows = states
            .iter()
            .flat_map(|state| events.clone().map(|event| state.after(event)))
            .flatten()
            .count();
        assert_eq!(arrows, 3);
        assert!(
            events
                .iter()
                .all(|event| states[1].after(event.clone()).is_err())
        );
    }
}
