//! What other toolkits write is read, and what is written here is read by another reader.

use std::time::Instant;

use dicom_ul::pdu::{Pdu, UserVariableItem, read_pdu};
use sonode_conformance::negotiation::{ContextAnswer, Offer};
use sonode_dimse::*;

use crate::golden_pdus::*;

fn body(pdu: &[u8]) -> &[u8] {
    &pdu[6..]
}

fn command_of(pdu: &[u8]) -> (Command, bool) {
    let pdv = PData::parse(body(pdu)).unwrap().next().unwrap();
    assert!(pdv.is_command && pdv.is_last);
    Command::parse(pdv.bytes).unwrap()
}

#[test]
fn an_echo_request_is_read_with_the_peers_own_names() {
    let request = AssociateRequest::parse(body(A_ASSOCIATE_RQ)).unwrap();
    assert_eq!(request.called.title().unwrap().as_str(), "ANY-SCP");
    assert_eq!(request.calling.title().unwrap().as_str(), "ECHOSCU");
    assert_eq!(request.application_context, "1.2.840.10008.3.1.1.1");
    assert_eq!(request.max_pdu_length, 16382);
    assert_eq!(
        request.implementation_class_uid.as_deref(),
        Some("1.2.826.0.1.3680043.9.3811.0.9.0")
    );
    assert_eq!(
        request.implementation_version_name.as_deref(),
        Some("PYNETDICOM_090")
    );
    let answers = negotiate(&request, Offer::default());
    assert_eq!(
        answers[0].answer,
        ContextAnswer::Accepted("1.2.840.10008.1.2")
    );
}

#[test]
fn windows_identities_roles_and_extended_negotiation_are_no_obstacle() {
    let request = AssociateRequest::parse(body(A_ASSOCIATE_RQ_USER_ASYNC)).unwrap();
    assert_eq!(request.async_window, Some((5, 5)));
    let identity = request.identity.unwrap();
    assert_eq!((identity.kind, identity.response_requested), (1, true));
    assert_eq!(identity.primary, b"pynetdicom");

    let request = AssociateRequest::parse(body(A_ASSOCIATE_RQ_USER_ID_USER_PASS)).unwrap();
    let identity = request.identity.unwrap();
    assert_eq!(identity.secondary, b"p4ssw0rd");
    assert!(
        !format!("{identity:?}").contains("112"),
        "a passcode in Debug"
    );

    let request = AssociateRequest::parse(body(A_ASSOCIATE_RQ_ROLE)).unwrap();
    let role = &request.roles[0];
    assert_eq!(role.sop_class, "1.2.840.10008.5.1.4.1.1.2");
    assert_eq!((role.scu, role.scp), (false, true));

    for pdu in [A_ASSOCIATE_RQ_USER_ID_EXT_NEG, A_ASSOCIATE_RQ_COM_EXT_NEG] {
        let request = AssociateRequest::parse(body(pdu)).unwrap();
        assert!(
            request
                .user_items
                .iter()
                .any(|(kind, _)| matches!(kind, 0x56 | 0x57))
        );
    }
}

#[test]
fn unknown_items_nul_padding_and_higher_versions_are_tolerated() {
    let mut pdu = A_ASSOCIATE_RQ.to_vec();
    pdu[6] = 0x80;
    pdu[7] = 0x03;
    for byte in &mut pdu[10..42] {
        if *byte == b' ' {
            *byte = 0;
        }
    }
    pdu.extend_from_slice(&[0x7A, 0, 0, 3, 1, 2, 3]);
    let request = AssociateRequest::parse(body(&pdu)).unwrap();
    assert_eq!(request.called.title().unwrap().as_str(), "ANY-SCP");
    assert_eq!(request.protocol_version & 1, 1);
    assert_eq!(request.contexts.len(), 1);
}

#[test]
fn a_padded_application_context_is_dicoms_and_another_one_is_rejected() {
    let now = Instant::now();
    for (pad, is_dicom) in [(0, true), (b' ', true), (b'1', false)] {
        let mut pdu = A_ASSOCIATE_RQ.to_vec();
        assert_eq!(pdu[74..78], [0x10, 0, 0, 21]);
        pdu[77] = 22;
        pdu.insert(99, pad);
        let mut acceptor = Acceptor::new(Timers::default(), now);
        let raw = RawPdu {
            kind: PduKind::AssociateRq,
            body: body(&pdu),
        };
        match acceptor.on_pdu(raw, now) {
            Some(AcceptorEvent::Requested(_)) => assert!(is_dicom),
            Some(AcceptorEvent::Refused { rejection, .. }) => {
                assert!(!is_dicom);
                assert_eq!(rejection, Rejection::APPLICATION_CONTEXT);
                assert_eq!(acceptor.take_output(), [3, 0, 0, 0, 0, 4, 0, 1, 1, 2]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn identifiers_that_are_even_or_twice_there_are_errors() {
    let mut pdu = A_ASSOCIATE_RQ.to_vec();
    let context = pdu[99..149].to_vec();
    assert_eq!(context[0], 0x20);
    pdu.extend_from_slice(&context);
    assert_eq!(
        AssociateRequest::parse(body(&pdu)),
        Err(AssociateError::DuplicateContextId(1))
    );
    let mut pdu = A_ASSOCIATE_RQ.to_vec();
    pdu[103] = 2;
    assert_eq!(
        AssociateRequest::parse(body(&pdu)),
        Err(AssociateError::EvenContextId(2))
    );
}

#[test]
fn no_prefix_of_a_request_but_whole_items_is_read() {
    let whole = body(A_ASSOCIATE_RQ);
    for length in 0..whole.len() {
        let parsed = AssociateRequest::parse(&whole[..length]);
        let at_item = [68, 93, 143].contains(&length);
        assert_eq!(parsed.is_ok(), at_item, "{length}");
    }
}

fn proposal(classes: &[&str], syntaxes: &[&str]) -> Proposal {
    let empty = Proposal::new("PYNETDICOM".parse().unwrap(), "ANY-SCP".parse().unwrap());
    classes.iter().fold(empty, |proposal, class| {
        proposal
            .with_context(class, syntaxes.iter().copied())
            .unwrap()
    })
}

#[test]
fn rejected_contexts_with_an_empty_or_no_transfer_syntax_leave_the_rest_accepted() {
    let asked = proposal(
        &["1.2.840.10008.1.1", "1.2.840.10008.5.1.1.9"],
        &["1.2.840.10008.1.2.1"],
    );
    let accept = AssociateAccept::parse(body(A_ASSOCIATE_AC_ZERO_TS), &asked).unwrap();
    assert_eq!(accept.accepted_ids().collect::<Vec<_>>(), [1]);
    assert_eq!(accept.contexts[1].result, 3);
    assert_eq!(accept.max_pdu_length, 28672);
    assert_eq!(
        accept.implementation_version_name.as_deref(),
        Some("MergeCOM3_390IB2")
    );

    let asked = proposal(&["1.2.840.10008.1.1"], &["1.2.840.10008.1.2"]);
    let accept = AssociateAccept::parse(body(A_ASSOCIATE_AC_NO_TS), &asked).unwrap();
    assert_eq!(accept.accepted_ids().count(), 0);
    assert_eq!(accept.contexts[0].result, 3);

    let accept = AssociateAccept::parse(body(A_ASSOCIATE_AC), &asked).unwrap();
    assert_eq!(
        accept
            .accepted("1.2.840.10008.1.1")
            .next()
            .unwrap()
            .transfer_syntax,
        "1.2.840.10008.1.2"
    );
    let other = proposal(&["1.2.840.10008.1.1"], &["1.2.840.10008.1.2.1"]);
    assert_eq!(
        AssociateAccept::parse(body(A_ASSOCIATE_AC), &other),
        Err(AssociateError::NotProposed(1))
    );
}

#[test]
fn an_accepted_context_that_is_cut_off_is_an_error_and_a_rejected_one_is_not() {
    let asked = proposal(&["1.2.840.10008.1.1"], &["1.2.840.10008.1.2"]);
    let mut accept = A_ASSOCIATE_AC.to_vec();
    assert_eq!(accept[99], 0x21);
    let (result, syntax_length) = (105, 110);
    accept[syntax_length] += 1;
    assert!(matches!(
        AssociateAccept::parse(body(&accept), &asked),
        Err(AssociateError::CutOff(_))
    ));
    accept[result] = 4;
    let read = AssociateAccept::parse(body(&accept), &asked).unwrap();
    assert_eq!(
        (read.contexts[0].result, read.accepted_ids().count()),
        (4, 0)
    );
}

#[test]
fn any_data_set_type_but_one_announces_a_data_set() {
    for (kind, expected) in [
        (0x0101u16, false),
        (0x0102, true),
        (0x0000, true),
        (0xFEFE, true),
    ] {
        let mut command = response::echo_request(1);
        let value = command.len() - 2;
        command[value..].copy_from_slice(&kind.to_le_bytes());
        let (_, has_data_set) = Command::parse(&command).unwrap();
        assert_eq!(has_data_set, expected, "{kind:04X}");
    }
}

#[test]
fn commands_are_read() {
    let (command, has_data) = command_of(P_DATA_TF);
    let Command::EchoRsp(response) = command else {
        panic!("{command:?}")
    };
    assert_eq!(
        (response.message_id, response.status.0, has_data),
        (1, 0, false)
    );

    let (command, has_data) = command_of(P_DATA_TF_RQ);
    assert_eq!((command.name(), has_data), ("C-ECHO-RQ", false));
    assert_eq!(command.request().unwrap().message_id, 1);

    let mut pdvs = PData::parse(body(P_DATA_TF_N_EVENT_REPORT)).unwrap();
    let (command, has_data) = Command::parse(pdvs.next().unwrap().bytes).unwrap();
    assert!(
        matches!(command, Command::EventReportRq(_, 3)),
        "{command:?}"
    );
    assert!(!has_data);
}

#[test]
fn an_echo_request_is_written_as_others_write_it() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, 1, &response::echo_request(1), None, 16384);
    // pynetdicom's example says 58 where 56 bytes follow; nobody reads a command's group length.
    let mut theirs = P_DATA_TF_RQ.to_vec();
    theirs[20] = 56;
    assert_eq!(bytes, theirs);
    let (request, _) = command_of(P_DATA_TF_RQ);
    let answer = respond(&request, sonode_conformance::DimseStatus::SUCCESS, "").unwrap();
    let mut bytes = Vec::new();
    write_message(&mut bytes, 1, &answer, None, 16384);
    assert_eq!(bytes, P_DATA_TF);
}

#[test]
fn rejections_and_aborts_are_read_into_words() {
    let asked = proposal(&["1.2.840.10008.1.1"], &["1.2.840.10008.1.2"]);
    let now = Instant::now();
    let feed = |kind, pdu: &'static [u8]| {
        let mut requestor = Requestor::new(asked.clone(), Timers::default(), now).unwrap();
        let body = body(pdu);
        let event = requestor.on_pdu(RawPdu { kind, body }, now);
        assert!(requestor.is_closed());
        match event {
            Some(RequestorEvent::Rejected(rejection)) => rejection.to_string(),
            Some(RequestorEvent::Aborted(abort)) => abort.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(feed(PduKind::AssociateRj, A_ASSOCIATE_RJ).contains("permanently: it gives no reason"));
    assert!(feed(PduKind::Abort, A_ABORT).contains("application aborted"));
    assert!(feed(PduKind::Abort, A_P_ABORT).contains("did not recognize a PDU parameter"));
}

#[test]
fn what_is_written_is_read_by_dicom_ul() {
    let now = Instant::now();
    let asked = proposal(
        &["1.2.840.10008.1.1", "1.2.3.4"],
        &["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"],
    );
    let mut requestor = Requestor::new(asked, Timers::default(), now).unwrap();
    let written = requestor.take_output();
    let Some(Pdu::AssociationRQ(request)) =
        read_pdu(&mut written.as_slice(), 131_072, true).unwrap()
    else {
        panic!("no A-ASSOCIATE-RQ")
    };
    assert_eq!(request.calling_ae_title, "PYNETDICOM");
    assert_eq!(request.presentation_contexts[1].id, 3);
    assert_eq!(request.presentation_contexts[1].transfer_syntaxes.len(), 2);

    let mut acceptor = Acceptor::new(Timers::default(), now);
    let raw = RawPdu {
        kind: PduKind::AssociateRq,
        body: body(&written),
    };
    let Some(AcceptorEvent::Requested(request)) = acceptor.on_pdu(raw, now) else {
        panic!("not asked")
    };
    acceptor.accept(&Acceptance::new(negotiate(&request, Offer::default())), now);
    let answer = acceptor.take_output();
    assert_eq!(answer[10..74], written[10..74], "the echoed fields");
    let Some(Pdu::AssociationAC(accept)) = read_pdu(&mut answer.as_slice(), 131_072, true).unwrap()
    else {
        panic!("no A-ASSOCIATE-AC")
    };
    assert_eq!(accept.presentation_contexts.len(), 2);
    assert!(
        accept
            .user_variables
            .contains(&UserVariableItem::MaxLength(131_072))
    );
}
