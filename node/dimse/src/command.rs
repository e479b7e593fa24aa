//! Command sets (PS3.7 section 6.3.1, annex E), always in Implicit VR Little Endian.

mod parse;

use std::fmt;

use sonode_conformance::{DimseStatus, SopClassUid, SopInstanceUid, UidError};

/// Command Field (0000,0100) values (PS3.7 annex E.1). A response is its request with bit 15 set.
pub mod field {
    /// C-STORE-RQ.
    pub const C_STORE_RQ: u16 = 0x0001;
    /// C-GET-RQ.
    pub const C_GET_RQ: u16 = 0x0010;
    /// C-FIND-RQ.
    pub const C_FIND_RQ: u16 = 0x0020;
    /// C-MOVE-RQ.
    pub const C_MOVE_RQ: u16 = 0x0021;
    /// C-ECHO-RQ.
    pub const C_ECHO_RQ: u16 = 0x0030;
    /// N-EVENT-REPORT-RQ.
    pub const N_EVENT_REPORT_RQ: u16 = 0x0100;
    /// N-GET-RQ.
    pub const N_GET_RQ: u16 = 0x0110;
    /// N-SET-RQ.
    pub const N_SET_RQ: u16 = 0x0120;
    /// N-ACTION-RQ.
    pub const N_ACTION_RQ: u16 = 0x0130;
    /// N-CREATE-RQ.
    pub const N_CREATE_RQ: u16 = 0x0140;
    /// N-DELETE-RQ.
    pub const N_DELETE_RQ: u16 = 0x0150;
    /// C-CANCEL-RQ.
    pub const C_CANCEL_RQ: u16 = 0x0FFF;
    /// Set in the field of every response.
    pub const RESPONSE: u16 = 0x8000;
}

/// A UID as the peer wrote it, not yet validated. Empty if it is absent.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RawUid(pub Box<[u8]>);

impl RawUid {
    /// As SOP Class UID.
    ///
    /// # Errors
    /// As [`SopClassUid::parse`].
    pub fn sop_class(&self) -> Result<SopClassUid, UidError> {
        SopClassUid::parse(&self.0)
    }

    /// As SOP Instance UID.
    ///
    /// # Errors
    /// As [`SopInstanceUid::parse`].
    pub fn sop_instance(&self) -> Result<SopInstanceUid, UidError> {
        SopInstanceUid::parse(&self.0)
    }
}

impl From<&str> for RawUid {
    fn from(uid: &str) -> Self {
        Self(uid.as_bytes().into())
    }
}

impl fmt::Display for RawUid {
    /// For the log: without trailing padding, bytes outside ASCII escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|b| !matches!(b, 0 | b' '));
        let text = self.0.get(..end.map_or(0, |i| i + 1)).unwrap_or_default();
        write!(f, "{}", text.escape_ascii())
    }
}

impl fmt::Debug for RawUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What every request has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Message ID (0000,0110).
    pub message_id: u16,
    /// Affected (0000,0002) or Requested (0000,0003) SOP Class UID, whichever the operation uses.
    pub sop_class: RawUid,
    /// Affected (0000,1000) or Requested (0000,1001) SOP Instance UID.
    pub sop_instance: RawUid,
}

/// C-STORE-RQ (PS3.7 table 9.3-1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreRq {
    /// Message ID, Affected SOP Class and Instance UID.
    pub request: Request,
    /// Priority (0000,0700): 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// Move Originator AE title (0000,1030) as it was written, and Message ID (0000,1031), of a sub-operation of C-MOVE.
    pub move_originator: Option<(Box<[u8]>, u16)>,
}

/// What every response has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Message ID Being Responded To (0000,0120).
    pub message_id: u16,
    /// Status (0000,0900).
    pub status: DimseStatus,
    /// Affected SOP Class UID (0000,0002); empty if absent.
    pub sop_class: RawUid,
    /// Affected SOP Instance UID (0000,1000); empty if absent.
    pub sop_instance: RawUid,
    /// Error Comment (0000,0902) as it was written; empty if absent. For people: [`Self::comment`].
    pub error_comment: Box<[u8]>,
}

impl Response {
    /// Error Comment without padding, bytes outside ASCII and control characters escaped; empty if absent.
    pub fn comment(&self) -> String {
        self.error_comment.trim_ascii().escape_ascii().to_string()
    }
}

/// A command set that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// C-STORE-RQ.
    StoreRq(StoreRq),
    /// C-STORE-RSP.
    StoreRsp(Response),
    /// C-ECHO-RQ.
    EchoRq(Request),
    /// C-ECHO-RSP.
    EchoRsp(Response),
    /// C-FIND-RQ.
    FindRq(Request),
    /// C-FIND-RSP.
    FindRsp(Response),
    /// C-GET-RQ.
    GetRq(Request),
    /// C-MOVE-RQ.
    MoveRq(Request),
    /// C-CANCEL-RQ: Message ID Being Responded To. It has no response.
    CancelRq(u16),
    /// N-EVENT-REPORT-RQ and its Event Type ID (0000,1002).
    EventReportRq(Request, u16),
    /// N-EVENT-REPORT-RSP.
    EventReportRsp(Response),
    /// N-ACTION-RQ and its Action Type ID (0000,1008).
    ActionRq(Request, u16),
    /// N-ACTION-RSP.
    ActionRsp(Response),
    /// N-GET-RQ.
    AttributesRq(Request),
    /// N-SET-RQ.
    SetRq(Request),
    /// N-CREATE-RQ.
    CreateRq(Request),
    /// N-DELETE-RQ.
    DeleteRq(Request),
    /// Any other response: its command field.
    OtherRsp(u16, Response),
    /// A field that PS3.7 does not define: the field and what could be read of the request.
    OtherRq(u16, Request),
}

/// Why a command set can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It ends inside an element, or an element has an undefined length.
    #[error("the command set ends inside an element")]
    CutOff,
    /// An element outside group 0000.
    #[error("element ({0:04X},{1:04X}) does not belong in a command set")]
    Unexpected(u16, u16),
    /// A needed element is absent or has a wrong length.
    #[error("the command set has no usable {0}")]
    Missing(&'static str),
}

impl Command {
    /// Reads a whole command set; also whether a data set follows (Command Data Set Type (0000,0800) is not 0101H).
    ///
    /// # Errors
    /// Each [`CommandError`] variant.
    pub fn parse(bytes: &[u8]) -> Result<(Self, bool), CommandError> {
        parse::command(bytes)
    }

    /// Command Field (0000,0100).
    pub fn field(&self) -> u16 {
        match self {
            Self::StoreRq(_) => field::C_STORE_RQ,
            Self::StoreRsp(_) => field::C_STORE_RQ | field::RESPONSE,
            Self::EchoRq(_) => field::C_ECHO_RQ,
            Self::EchoRsp(_) => field::C_ECHO_RQ | field::RESPONSE,
            Self::FindRq(_) => field::C_FIND_RQ,
            Self::FindRsp(_) => field::C_FIND_RQ | field::RESPONSE,
            Self::GetRq(_) => field::C_GET_RQ,
            Self::MoveRq(_) => field::C_MOVE_RQ,
            Self::CancelRq(_) => field::C_CANCEL_RQ,
            Self::EventReportRq(..) => field::N_EVENT_REPORT_RQ,
            Self::EventReportRsp(_) => field::N_EVENT_REPORT_RQ | field::RESPONSE,
            Self::ActionRq(..) => field::N_ACTION_RQ,
            Self::ActionRsp(_) => field::N_ACTION_RQ | field::RESPONSE,
            Self::AttributesRq(_) => field::N_GET_RQ,
            Self::SetRq(_) => field::N_SET_RQ,
            Self::CreateRq(_) => field::N_CREATE_RQ,
            Self::DeleteRq(_) => field::N_DELETE_RQ,
            Self::OtherRsp(other, _) | Self::OtherRq(other, _) => *other,
        }
    }

    /// The operation's name in PS3.7.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StoreRq(_) => "C-STORE-RQ",
            Self::StoreRsp(_) => "C-STORE-RSP",
            Self::EchoRq(_) => "C-ECHO-RQ",
            Self::EchoRsp(_) => "C-ECHO-RSP",
            Self::FindRq(_) => "C-FIND-RQ",
            Self::FindRsp(_) => "C-FIND-RSP",
            Self::GetRq(_) => "C-GET-RQ",
            Self::MoveRq(_) => "C-MOVE-RQ",
            Self::CancelRq(_) => "C-CANCEL-RQ",
            Self::EventReportRq(..) => "N-EVENT-REPORT-RQ",
            Self::EventReportRsp(_) => "N-EVENT-REPORT-RSP",
            Self::ActionRq(..) => "N-ACTION-RQ",
            Self::ActionRsp(_) => "N-ACTION-RSP",
            Self::AttributesRq(_) => "N-GET-RQ",
            Self::SetRq(_) => "N-SET-RQ",
            Self::CreateRq(_) => "N-CREATE-RQ",
            Self::DeleteRq(_) => "N-DELETE-RQ",
            Self::OtherRsp(..) => "a response",
            Self::OtherRq(..) => "an unknown request",
        }
    }

    /// The request's common fields; `None` for responses and C-CANCEL.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::StoreRq(store) => Some(&store.request),
            Self::EchoRq(request)
            | Self::FindRq(request)
            | Self::GetRq(request)
            | Self::MoveRq(request)
            | Self::EventReportRq(request, _)
            | Self::ActionRq(request, _)
            | Self::AttributesRq(request)
            | Self::SetRq(request)
            | Self::CreateRq(request)
            | Self::DeleteRq(request)
            | Self::OtherRq(_, request) => Some(request),
            _ => None,
        }
    }

    /// The response's common fields; `None` for requests.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::StoreRsp(response)
            | Self::EchoRsp(response)
            | Self::FindRsp(response)
            | Self::EventReportRsp(response)
            | Self::ActionRsp(response)
            | Self::OtherRsp(_, response) => Some(response),
            _ => None,
        }
    }
}
