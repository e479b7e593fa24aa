//! Reading command sets.

use sonode_conformance::DimseStatus;

use super::{Command, CommandError, RawUid, Request, Response, StoreRq, field};
use crate::cursor::Cursor;

/// No data set follows (PS3.7 annex E.1). Every other value means that one does.
const NO_DATA_SET: u16 = 0x0101;

/// The elements of a command set that anybody here asks for.
#[derive(Default)]
struct Elements<'a> {
    affected_class: &'a [u8],
    requested_class: &'a [u8],
    affected_instance: &'a [u8],
    requested_instance: &'a [u8],
    field: Option<u16>,
    message_id: Option<u16>,
    responded_to: Option<u16>,
    priority: Option<u16>,
    data_set_type: Option<u16>,
    status: Option<u16>,
    error_comment: &'a [u8],
    event_type: Option<u16>,
    action_type: Option<u16>,
    originator: &'a [u8],
    originator_message: Option<u16>,
}

pub(super) fn command(bytes: &[u8]) -> Result<(Command, bool), CommandError> {
    let elements = read(bytes)?;
    let field = elements
        .field
        .ok_or(CommandError::Missing("Command Field (0000,0100)"))?;
    let data_set_type = elements
        .data_set_type
        .ok_or(CommandError::Missing("Command Data Set Type (0000,0800)"))?;
    let command = if field == field::C_CANCEL_RQ {
        Command::CancelRq(elements.responded_to()?)
    } else if field & field::RESPONSE != 0 {
        response(field, &elements)?
    } else {
        request(field, &elements)?
    };
    Ok((command, data_set_type != NO_DATA_SET))
}

fn read(bytes: &[u8]) -> Result<Elements<'_>, CommandError> {
    let mut elements = Elements::default();
    let mut cursor = Cursor(bytes);
    while !cursor.is_empty() {
        let (group, element, value) = next(&mut cursor).ok_or(CommandError::CutOff)?;
        // The order doesn't matter here, and some toolkits get it wrong.
        if group != 0 {
            return Err(CommandError::Unexpected(group, element));
        }
        let number = || Cursor(value).u16_le();
        match element {
            0x0002 => elements.affected_class = value,
            0x0003 => elements.requested_class = value,
            0x0100 => elements.field = number(),
            0x0110 => elements.message_id = number(),
            0x0120 => elements.responded_to = number(),
            0x0700 => elements.priority = number(),
            0x0800 => elements.data_set_type = number(),
            0x0900 => elements.status = number(),
            0x0902 => elements.error_comment = value,
            0x1000 => elements.affected_instance = value,
            0x1001 => elements.requested_instance = value,
            0x1002 => elements.event_type = number(),
            0x1008 => elements.action_type = number(),
            0x1030 => elements.originator = value,
            0x1031 => elements.originator_message = number(),
            _ => {}
        }
    }
    Ok(elements)
}

fn next<'a>(cursor: &mut Cursor<'a>) -> Option<(u16, u16, &'a [u8])> {
    let group = cursor.u16_le()?;
    let element = cursor.u16_le()?;
    let length = cursor.u32_le()?;
    Some((group, element, cursor.take(usize::try_from(length).ok()?)?))
}

/// The first that is not empty: operations use the affected or the requested UID, peers at times the other one.
fn either(first: &[u8], second: &[u8]) -> RawUid {
    RawUid(if first.is_empty() { second } else { first }.into())
}

impl Elements<'_> {
    fn responded_to(&self) -> Result<u16, CommandError> {
        self.responded_to.ok_or(CommandError::Missing(
            "Message ID Being Responded To (0000,0120)",
        ))
    }
}

fn request(field: u16, elements: &Elements<'_>) -> Result<Command, CommandError> {
    let request = Request {
        message_id: elements
            .message_id
            .ok_or(CommandError::Missing("Message ID (0000,0110)"))?,
        sop_class: either(elements.affected_class, elements.requested_class),
        sop_instance: either(elements.affected_instance, elements.requested_instance),
    };
    Ok(match field {
        field::C_STORE_RQ => Command::StoreRq(StoreRq {
            request,
            priority: elements.priority.unwrap_or(0),
            move_originator: elements
                .originator_message
                .map(|message| (elements.originator.into(), message)),
        }),
        field::C_ECHO_RQ => Command::EchoRq(request),
        field::C_FIND_RQ => Command::FindRq(request),
        field::C_GET_RQ => Command::GetRq(request),
        field::C_MOVE_RQ => Command::MoveRq(request),
        field::N_EVENT_REPORT_RQ => Command::EventReportRq(
            request,
            elements
                .event_type
                .ok_or(CommandError::Missing("Event Type ID (0000,1002)"))?,
        ),
        field::N_ACTION_RQ => Command::ActionRq(
            request,
            elements
                .action_type
                .ok_or(CommandError::Missing("Action Type ID (0000,1008)"))?,
        ),
        field::N_GET_RQ => Command::AttributesRq(request),
        field::N_SET_RQ => Command::SetRq(request),
        field::N_CREATE_RQ => Command::CreateRq(request),
        field::N_DELETE_RQ => Command::DeleteRq(request),
        other => Command::OtherRq(other, request),
    })
}

fn response(field: u16, elements: &Elements<'_>) -> Result<Command, CommandError> {
    let response = Response {
        message_id: elements.responded_to()?,
        status: DimseStatus(
            elements
                .status
                .ok_or(CommandError::Missing("Status (0000,0900)"))?,
        ),
        sop_class: either(elements.affected_class, elements.requested_class),
        sop_instance: either(elements.affected_instance, elements.requested_instance),
        error_comment: elements.error_comment.into(),
    };
    Ok(match field & !field::RESPONSE {
        field::C_STORE_RQ => Command::StoreRsp(response),
        field::C_ECHO_RQ => Command::EchoRsp(response),
        field::C_FIND_RQ => Command::FindRsp(response),
        field::N_EVENT_REPORT_RQ => Command::EventReportRsp(response),
        field::N_ACTION_RQ => Command::ActionRsp(response),
        _ => Command::OtherRsp(field, response),
    })
}
