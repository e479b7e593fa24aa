//! DIMSE statuses (PS3.7 annex C, PS3.4 table B.2-1) and what each means for a delivery.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Status (0000,0900) value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DimseStatus(pub u16);

impl DimseStatus {
    /// Success.
    pub const SUCCESS: Self = Self(0x0000);
    /// Refused: SOP class not supported (PS3.7 C.4.1).
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// Unrecognized operation (PS3.7 C.5.18).
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    /// Processing failure (PS3.7 C.5.12).
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// Invalid SOP instance (PS3.7 C.5.10).
    pub const INVALID_SOP_INSTANCE: Self = Self(0x0117);
    /// Duplicate SOP instance (PS3.7 C.5.5).
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    /// Invalid attribute value (PS3.7 C.5.6).
    pub const INVALID_ATTRIBUTE: Self = Self(0x0106);
    /// No such SOP instance (PS3.7 C.5.9).
    pub const NO_SUCH_INSTANCE: Self = Self(0x0112);
    /// No such action type (PS3.7 C.5.8).
    pub const NO_SUCH_ACTION: Self = Self(0x0123);
    /// Resource limitation (PS3.7 C.5.21).
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);
    /// Invalid argument value (PS3.7 C.5.7).
    pub const INVALID_ARGUMENT: Self = Self(0x0115);
    /// Not authorized (PS3.7 C.5.22).
    pub const NOT_AUTHORIZED: Self = Self(0x0124);
    /// Refused: out of resources (PS3.4 table B.2-1).
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// Error: data set does not match SOP class, or its UIDs differ from the command's (PS3.4 table B.2-1).
    pub const DATA_SET_MISMATCH: Self = Self(0xA900);
    /// Error: cannot understand (PS3.4 table B.2-1).
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);

    /// What a peer's C-STORE response means for the object that was sent.
    pub fn delivery(self) -> DeliveryOutcome {
        match self.0 {
            0x0000 => DeliveryOutcome::Stored,
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => DeliveryOutcome::StoredWithWarning,
            0x0111 => DeliveryOutcome::VerifyThenStored,
            0xA900..=0xA9FF | 0x0117 | 0x0122 | 0x0124 => DeliveryOutcome::DeadLetter,
            0xC000..=0xCFFF => DeliveryOutcome::FewTries,
            // A7xx, 0110, 0213 and whatever a peer may invent: the object stays owed.
            _ => DeliveryOutcome::Later,
        }
    }

    /// The status in the field's words, for people.
    pub fn meaning(self) -> &'static str {
        match self.0 {
            0x0000 => "success",
            0x0105 => "no such attribute",
            0x0106 => "invalid attribute value",
            0x0107 => "attribute list error",
            0x0110 => "processing failure",
            0x0111 => "duplicate SOP instance",
            0x0112 => "no such object instance",
            0x0113 => "no such event type",
            0x0114 => "no such argument",
            0x0115 => "invalid argument value",
            0x0116 => "attribute value out of range",
            0x0117 => "invalid SOP instance",
            0x0118 => "no such SOP class",
            0x0119 => "class-instance conflict",
            0x0122 => "SOP class not supported",
            0x0123 => "no such action",
            0x0124 => "not authorized",
            0x0131 => "duplicate transaction UID",
            0x0210 => "duplicate invocation",
            0x0211 => "unrecognized operation",
            0x0212 => "mistyped argument",
            0x0213 => "resource limitation",
            0xA700..=0xA7FF => "out of resources",
            0xA900..=0xA9FF => "data set does not match SOP class",
            0xB000 => "coercion of data elements",
            0xB006 => "elements discarded",
            0xB007 => "data set does not match SOP class (warning)",
            0xB001..=0xBFFF => "warning",
            0xC000..=0xCFFF => "cannot understand",
            0xFE00 => "cancelled",
            0xFF00 | 0xFF01 => "pending",
            _ => "unknown status",
        }
    }
}

impl fmt::Display for DimseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}H ({})", self.0, self.meaning())
    }
}

/// What becomes of an object after a peer answered its C-STORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOutcome {
    /// The peer has it.
    Stored,
    /// The peer has it and changed or discarded something.
    StoredWithWarning,
    /// The peer says that it has it already: to be verified, then stored.
    VerifyThenStored,
    /// A passing fault: again with backoff, for as long as it takes.
    Later,
    /// Archives use Cxxx for passing faults too: a few tries over an hour, then dead letter.
    FewTries,
    /// The peer will never take it.
    DeadLetter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_an_outcome_and_success_is_only_0000_or_a_warning() {
        for code in 0..=u16::MAX {
            let stored = matches!(
                DimseStatus(code).delivery(),
                DeliveryOutcome::Stored | DeliveryOutcome::StoredWithWarning
            );
            let may_be_stored =
                matches!(code, 0 | 1 | 0x0107 | 0x0116) || (0xB000..=0xBFFF).contains(&code);
            assert_eq!(stored, may_be_stored, "{code:04X}");
        }
    }
}
