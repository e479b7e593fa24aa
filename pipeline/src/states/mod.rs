//! The three state tables: an instance, a study, a delivery. Each is one function; what a table doesn't name is
//! prohibited.

mod delivery;
mod drawing;
mod instance;
mod study;

pub(crate) use delivery::{DeliveryEvent, DeliveryState};
pub(crate) use drawing::{DrawingEvent, DrawingState};
pub(crate) use instance::{InstanceEvent, InstanceState};
pub(crate) use study::{StudyEvent, StudyState};

/// A transition that its table doesn't name: a defect of this crate, or an operator's command at the wrong time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} that is {state} can't take {event}")]
pub(crate) struct Prohibited {
    what: &'static str,
    state: String,
    event: String,
}

impl Prohibited {
    fn new(what: &'static str, state: &impl std::fmt::Debug, event: &impl std::fmt::Debug) -> Self {
        Self {
            what,
            state: format!("{state:?}").to_lowercase(),
            event: format!("{event:?}").to_lowercase(),
        }
    }
}
