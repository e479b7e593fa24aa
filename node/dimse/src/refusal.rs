//! A-ASSOCIATE-RJ and A-ABORT (PS3.8 sections 9.3.4 and 9.3.8): the codes, and what people should do about them.

use std::fmt;

/// Source and reason of an A-ABORT (PS3.8 table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// 0: the application itself (service user); 2: its network layer (service provider).
    pub source: u8,
    /// Significant for source 2 only.
    pub reason: u8,
}

impl Abort {
    /// By the service user, without a reason.
    pub const SERVICE_USER: Self = Self {
        source: 0,
        reason: 0,
    };
    /// By the service provider: reason not specified.
    pub const NOT_SPECIFIED: Self = Self::provider(0);
    /// By the service provider: unrecognized PDU.
    pub const UNRECOGNIZED_PDU: Self = Self::provider(1);
    /// By the service provider: unexpected PDU.
    pub const UNEXPECTED_PDU: Self = Self::provider(2);
    /// By the service provider: unrecognized PDU parameter.
    pub const UNRECOGNIZED_PARAMETER: Self = Self::provider(4);
    /// By the service provider: unexpected PDU parameter.
    pub const UNEXPECTED_PARAMETER: Self = Self::provider(5);
    /// By the service provider: invalid PDU parameter value.
    pub const INVALID_PARAMETER: Self = Self::provider(6);

    const fn provider(reason: u8) -> Self {
        Self { source: 2, reason }
    }

    /// Reads the body of an A-ABORT. A body that is too short is an abort all the same.
    pub(crate) fn parse(body: &[u8]) -> Self {
        match body {
            [_, _, source, reason, ..] => Self {
                source: *source,
                reason: *reason,
            },
            _ => Self::SERVICE_USER,
        }
    }

    /// The whole PDU.
    pub(crate) fn pdu(self) -> [u8; 10] {
        [7, 0, 0, 0, 0, 4, 0, 0, self.source, self.reason]
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match (self.source, self.reason) {
            (0, _) => "the peer's application aborted the association; its own log says why",
            (2, 0) => "the peer's network layer aborted without a reason; its own log says why",
            (2, 1) => {
                "the peer did not recognize a PDU type: is something other than DICOM between the two?"
            }
            (2, 2) => "the peer did not expect this PDU now",
            (2, 4) => "the peer did not recognize a PDU parameter",
            (2, 5) => "the peer did not expect a PDU parameter",
            (2, 6) => "the peer found an invalid value in a PDU",
            _ => "the peer aborted with a code that PS3.8 does not define",
        };
        write!(
            f,
            "{words} (A-ABORT source {}, reason {})",
            self.source, self.reason
        )
    }
}

/// Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// 1: permanent; 2: transient.
    pub result: u8,
    /// 1: service user; 2: service provider, ACSE; 3: service provider, presentation.
    pub source: u8,
    /// Reason, by source.
    pub reason: u8,
}

impl Rejection {
    /// Permanent: no reason given.
    pub const NO_REASON: Self = Self::new(1, 1, 1);
    /// Permanent: application context name not supported.
    pub const APPLICATION_CONTEXT: Self = Self::new(1, 1, 2);
    /// Permanent: calling AE title not recognized.
    pub const CALLING_AE_TITLE: Self = Self::new(1, 1, 3);
    /// Permanent: called AE title not recognized.
    pub const CALLED_AE_TITLE: Self = Self::new(1, 1, 7);
    /// Permanent: protocol version not supported.
    pub const PROTOCOL_VERSION: Self = Self::new(1, 2, 2);
    /// Transient: temporary congestion. The peer should try again.
    pub const CONGESTION: Self = Self::new(2, 3, 1);
    /// Transient: local limit exceeded. The peer should try again.
    pub const LOCAL_LIMIT: Self = Self::new(2, 3, 2);

    const fn new(result: u8, source: u8, reason: u8) -> Self {
        Self {
            result,
            source,
            reason,
        }
    }

    /// Whether trying again later may succeed without anybody's help.
    pub fn is_transient(self) -> bool {
        self.result == 2
    }

    /// Reads the body of an A-ASSOCIATE-RJ.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        match body {
            [_, result, source, reason, ..] => Some(Self::new(*result, *source, *reason)),
            _ => None,
        }
    }

    /// The whole PDU.
    pub(crate) fn pdu(self) -> [u8; 10] {
        [3, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason]
    }

    /// What is wrong and who can mend it, as a sentence for hospital IT.
    pub fn advice(self) -> &'static str {
        match (self.source, self.reason) {
            (1, 1) => "it gives no reason; its log does: ask its administrator",
            (1, 2) => "it does not speak DICOM's application context: is this the right port?",
            (1, 3) => {
                "it does not know our AE title: its administrator must add the title together with our address"
            }
            (1, 7) => {
                "it does not answer to the AE title that we call: correct the title in our configuration, case counts"
            }
            (2, 1) => "its network layer gives no reason; its log does: ask its administrator",
            (2, 2) => "it does not support the protocol version: is this the right port?",
            (3, 1) => "it is congested: it is tried again by itself",
            (3, 2) => {
                "it has too many associations open: it is tried again by itself; if it lasts, raise the limit there"
            }
            _ => "it uses a reason that PS3.8 does not define: ask its administrator",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.result {
            1 => "permanently",
            2 => "for the moment",
            _ => "in an undefined way",
        };
        write!(
            f,
            "the peer rejected the association {how}: {} (A-ASSOCIATE-RJ result {}, source {}, reason {})",
            self.advice(),
            self.result,
            self.source,
            self.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_reads_back_and_says_what_to_do() {
        let pdu = Rejection::CALLED_AE_TITLE.pdu();
        assert_eq!(
            Rejection::parse(&pdu[6..]),
            Some(Rejection::CALLED_AE_TITLE)
        );
        assert!(
            Rejection::CALLED_AE_TITLE
                .to_string()
                .contains("correct the title")
        );
        assert!(
            Rejection::LOCAL_LIMIT.is_transient() && !Rejection::CALLING_AE_TITLE.is_transient()
        );
        assert_eq!(Rejection::parse(&[0, 1, 1]), None);
    }

    #[test]
    fn a_short_abort_is_an_abort() {
        assert_eq!(Abort::parse(&[]), Abort::SERVICE_USER);
        assert_eq!(
            Abort::parse(&Abort::INVALID_PARAMETER.pdu()[6..]),
            Abort::INVALID_PARAMETER
        );
    }
}
