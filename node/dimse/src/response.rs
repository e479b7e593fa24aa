//! Writing command sets: our requests, and the response to any request.

use sonode_conformance::{DimseStatus, limits};

use crate::command::{Command, RawUid, Request, StoreRq, field};

/// The response to `request` with this status, as the bytes of a command set without a data set.
///
/// Error Comment (0000,0902) is left out if `comment` is empty; otherwise it is cut to
/// [`limits::ERROR_COMMENT_CHARS_MAX`] characters, and characters outside the default repertoire become `?`.
/// `None` for responses and C-CANCEL, which have no response.
pub fn respond(request: &Command, status: DimseStatus, comment: &str) -> Option<Vec<u8>> {
    let common = request.request()?;
    let mut set = CommandSet::new();
    set.uid(0x0002, &common.sop_class);
    set.u16(0x0100, request.field() | field::RESPONSE);
    set.u16(0x0120, common.message_id);
    set.u16(0x0800, NO_DATA_SET);
    set.u16(0x0900, status.0);
    if !comment.is_empty() {
        set.text(0x0902, &error_comment(comment));
    }
    // PS3.7 has no instance in C-ECHO-RSP and C-FIND-RSP: the request doesn't bring one either.
    set.uid(0x1000, &common.sop_instance);
    match request {
        Command::EventReportRq(_, event) => set.u16(0x1002, *event),
        Command::ActionRq(_, action) => set.u16(0x1008, *action),
        _ => {}
    }
    Some(set.finish())
}

/// C-ECHO-RQ (PS3.7 table 9.3-12) for Verification.
pub fn echo_request(message_id: u16) -> Vec<u8> {
    let verification = RawUid::from(sonode_conformance::sop_class::VERIFICATION);
    let mut set = CommandSet::new();
    set.uid(0x0002, &verification);
    set.u16(0x0100, field::C_ECHO_RQ);
    set.u16(0x0110, message_id);
    set.u16(0x0800, NO_DATA_SET);
    set.finish()
}

/// C-STORE-RQ (PS3.7 table 9.3-1); its data set follows.
pub fn store_request(store: &StoreRq) -> Vec<u8> {
    let mut set = CommandSet::new();
    set.uid(0x0002, &store.request.sop_class);
    set.u16(0x0100, field::C_STORE_RQ);
    set.u16(0x0110, store.request.message_id);
    set.u16(0x0700, store.priority);
    set.u16(0x0800, DATA_SET);
    set.uid(0x1000, &store.request.sop_instance);
    if let Some((title, message_id)) = &store.move_originator {
        set.text(0x1030, title);
        set.u16(0x1031, *message_id);
    }
    set.finish()
}

/// C-FIND-RQ (PS3.7 table 9.3-2) with medium priority; its identifier follows.
pub fn find_request(message_id: u16, sop_class: &RawUid) -> Vec<u8> {
    let mut set = CommandSet::new();
    set.uid(0x0002, sop_class);
    set.u16(0x0100, field::C_FIND_RQ);
    set.u16(0x0110, message_id);
    set.u16(0x0700, 0);
    set.u16(0x0800, DATA_SET);
    set.finish()
}

/// N-ACTION-RQ (PS3.7 table 10.3-7); its action information follows.
pub fn action_request(request: &Request, action_type: u16) -> Vec<u8> {
    let mut set = CommandSet::new();
    set.uid(0x0003, &request.sop_class);
    set.u16(0x0100, field::N_ACTION_RQ);
    set.u16(0x0110, request.message_id);
    set.u16(0x0800, DATA_SET);
    set.uid(0x1001, &request.sop_instance);
    set.u16(0x1008, action_type);
    set.finish()
}

/// N-EVENT-REPORT-RQ (PS3.7 table 10.3-1); its event information follows.
pub fn event_report_request(request: &Request, event_type: u16) -> Vec<u8> {
    let mut set = CommandSet::new();
    set.uid(0x0002, &request.sop_class);
    set.u16(0x0100, field::N_EVENT_REPORT_RQ);
    set.u16(0x0110, request.message_id);
    set.u16(0x0800, DATA_SET);
    set.uid(0x1000, &request.sop_instance);
    set.u16(0x1002, event_type);
    set.finish()
}

const NO_DATA_SET: u16 = 0x0101;
/// Any other value; this one is what most toolkits send.
const DATA_SET: u16 = 0x0001;

fn error_comment(comment: &str) -> Vec<u8> {
    comment
        .chars()
        .take(limits::ERROR_COMMENT_CHARS_MAX)
        // LO has no backslash (PS3.5 table 6.2-1), and a command set has no character set of its own.
        .map(|c| match u8::try_from(c) {
            Ok(byte @ b' '..=b'~') if byte != b'\\' => byte,
            _ => b'?',
        })
        .collect()
}

/// Elements in Implicit VR Little Endian after room for their group length. Callers add them in ascending order.
struct CommandSet(Vec<u8>);

/// (0000,0000) with 4 bytes of value.
const GROUP_LENGTH: usize = 12;

impl CommandSet {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        Self(bytes)
    }

    fn element(&mut self, element: u16, value: &[u8], pad: u8) {
        // What a peer sent came with a length of its own, under the bound on command sets.
        let padded = value.len() + value.len() % 2;
        let length = u32::try_from(padded).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&element.to_le_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(value);
        if padded > value.len() {
            self.0.push(pad);
        }
    }

    /// Left out if empty.
    fn uid(&mut self, element: u16, uid: &RawUid) {
        if !uid.0.is_empty() {
            self.element(element, &uid.0, 0);
        }
    }

    fn text(&mut self, element: u16, text: &[u8]) {
        self.element(element, text, b' ');
    }

    fn u16(&mut self, element: u16, value: u16) {
        self.element(element, &value.to_le_bytes(), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - GROUP_LENGTH).unwrap_or(u32::MAX);
        if let Some(value) = self.0.get_mut(8..GROUP_LENGTH) {
            value.copy_from_slice(&length.to_le_bytes());
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            message_id: 300,
            sop_class: "1.2.34".into(),
            sop_instance: "1.2.34.5".into(),
        }
    }

    fn refusal(command: &Command, comment: &str) -> (Command, bool) {
        let status = DimseStatus::UNRECOGNIZED_OPERATION;
        Command::parse(&respond(command, status, comment).unwrap()).unwrap()
    }

    #[test]
    fn every_request_is_refused_in_its_own_field() {
        let requests = [
            Command::StoreRq(StoreRq {
                request: request(),
                ..StoreRq::default()
            }),
            Command::EchoRq(request()),
            Command::FindRq(request()),
            Command::GetRq(request()),
            Command::MoveRq(request()),
            Command::EventReportRq(request(), 1),
            Command::ActionRq(request(), 1),
            Command::AttributesRq(request()),
            Command::SetRq(request()),
            Command::CreateRq(request()),
            Command::DeleteRq(request()),
            Command::OtherRq(0x0777, request()),
        ];
        for command in requests {
            let (refusal, has_data) = refusal(&command, "");
            assert_eq!(refusal.field(), command.field() | field::RESPONSE);
            let response = refusal.response().unwrap();
            assert_eq!(response.message_id, 300);
            assert_eq!(response.status, DimseStatus::UNRECOGNIZED_OPERATION);
            assert_eq!(response.sop_class, request().sop_class);
            assert_eq!(response.sop_instance, request().sop_instance);
            assert!(!has_data && response.comment().is_empty());
        }
        assert_eq!(
            respond(&Command::CancelRq(1), DimseStatus::SUCCESS, ""),
            None
        );
    }

    #[test]
    fn a_comment_fits_its_vr() {
        let (refusal, _) = refusal(&Command::EchoRq(request()), &"Größe\\\n ".repeat(20));
        let comment = refusal.response().unwrap().comment();
        assert!(comment.starts_with("Gr??e?? Gr"), "{comment}");
        assert_eq!(comment.trim_end().len(), 63);
    }

    #[test]
    fn our_requests_read_back() {
        let (command, has_data) = Command::parse(&action_request(&request(), 1)).unwrap();
        assert_eq!((command, has_data), (Command::ActionRq(request(), 1), true));
        let (command, has_data) = Command::parse(&event_report_request(&request(), 2)).unwrap();
        assert_eq!(
            (command, has_data),
            (Command::EventReportRq(request(), 2), true)
        );
        let find = find_request(300, &"1.2.34".into());
        let (command, has_data) = Command::parse(&find).unwrap();
        let without_instance = Request {
            sop_instance: RawUid::default(),
            ..request()
        };
        assert_eq!(
            (command, has_data),
            (Command::FindRq(without_instance), true)
        );
    }
}
