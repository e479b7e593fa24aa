//! Acceptor against requestor in memory.

use std::time::{Duration, Instant};

use sonode_conformance::DimseStatus;
use sonode_conformance::negotiation::Offer;
use sonode_dimse::*;

const US_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.6.1";
const VERIFICATION: &str = "1.2.840.10008.1.1";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";

/// What the node would do with an association, in memory, and what the cart saw.
struct Pair {
    now: Instant,
    acceptor: Acceptor,
    requestor: Requestor,
    to_acceptor: Vec<u8>,
    to_requestor: Vec<u8>,
    acceptor_reader: PduReader,
    requestor_reader: PduReader,
    scp: Assembler,
    scu: Assembler,
    peer_max: u32,
    rejection: Option<Rejection>,
    stored: Vec<(Command, Vec<u8>)>,
    pending: Option<(u8, Command, Vec<u8>)>,
    accept: Option<AssociateAccept>,
    log: Vec<String>,
}

impl Pair {
    fn new(rejection: Option<Rejection>) -> Self {
        let now = Instant::now();
        let proposal = Proposal::new("CART".parse().unwrap(), "SONODE".parse().unwrap())
            .with_context(VERIFICATION, [IMPLICIT])
            .and_then(|proposal| proposal.with_context(US_IMAGE, [IMPLICIT, EXPLICIT]))
            .unwrap()
            .with_max_pdu_length(64);
        Self {
            now,
            acceptor: Acceptor::new(Timers::default(), now),
            requestor: Requestor::new(proposal, Timers::default(), now).unwrap(),
            to_acceptor: Vec::new(),
            to_requestor: Vec::new(),
            acceptor_reader: PduReader::new(),
            requestor_reader: PduReader::new(),
            scp: Assembler::new([]),
            scu: Assembler::new([]),
            peer_max: 0,
            rejection,
            stored: Vec::new(),
            pending: None,
            accept: None,
            log: Vec::new(),
        }
    }

    /// Carries bytes to and fro until both are silent.
    fn settle(&mut self) {
        loop {
            self.to_acceptor.extend(self.requestor.take_output());
            self.to_requestor.extend(self.acceptor.take_output());
            let (up, down) = (
                std::mem::take(&mut self.to_acceptor),
                std::mem::take(&mut self.to_requestor),
            );
            if up.is_empty() && down.is_empty() {
                break;
            }
            self.at_acceptor(&up);
            self.at_requestor(&down);
        }
    }

    fn at_acceptor(&mut self, mut bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.acceptor_reader);
        while !bytes.is_empty() {
            let read = std::io::Read::read(&mut bytes, reader.space()).unwrap();
            reader.advance(read);
            while let Some(pdu) = reader.pdu().unwrap() {
                match self.acceptor.on_pdu(pdu, self.now) {
                    Some(AcceptorEvent::Requested(request)) => self.decide(&request),
                    Some(AcceptorEvent::Data(data)) => data.for_each(|pdv| self.serve(pdv)),
                    Some(other) => self.log.push(format!("acceptor {other:?}")),
                    None => {}
                }
                reader.consume();
            }
        }
        self.acceptor_reader = reader;
    }

    fn decide(&mut self, request: &AssociateRequest) {
        if let Some(rejection) = self.rejection {
            return self.acceptor.reject(rejection, self.now);
        }
        self.peer_max = request.max_pdu_length;
        let acceptance = Acceptance::new(negotiate(request, Offer::default()));
        self.scp = Assembler::new(acceptance.accepted_ids());
        self.acceptor.accept(&acceptance, self.now);
    }

    fn serve(&mut self, pdv: Pdv<'_>) {
        match self.scp.push(pdv).unwrap() {
            Some(DimseEvent::Command {
                context,
                command,
                has_data_set,
            }) => {
                if has_data_set {
                    self.pending = Some((context, command, Vec::new()));
                } else {
                    self.answer(context, &command);
                }
            }
            Some(DimseEvent::Data { bytes, is_last, .. }) => {
                self.pending.as_mut().unwrap().2.extend_from_slice(bytes);
                if is_last {
                    let (context, command, data) = self.pending.take().unwrap();
                    self.answer(context, &command);
                    self.stored.push((command, data));
                }
            }
            None => {}
        }
    }

    fn answer(&mut self, context: u8, command: &Command) {
        let response = respond(command, DimseStatus::SUCCESS, "").unwrap();
        write_message(
            &mut self.to_requestor,
            context,
            &response,
            None,
            self.peer_max,
        );
    }

    fn at_requestor(&mut self, mut bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.requestor_reader);
        while !bytes.is_empty() {
            let read = std::io::Read::read(&mut bytes, reader.space()).unwrap();
            reader.advance(read);
            while let Some(pdu) = reader.pdu().unwrap() {
                match self.requestor.on_pdu(pdu, self.now) {
                    Some(RequestorEvent::Accepted(accept)) => {
                        self.scu = Assembler::new(accept.accepted_ids());
                        self.accept = Some(*accept);
                    }
                    Some(RequestorEvent::Data(data)) => {
                        for pdv in data {
                            if let Some(event) = self.scu.push(pdv).unwrap() {
                                let DimseEvent::Command { command, .. } = event else {
                                    panic!("{event:?}")
                                };
                                let response = command.response().unwrap();
                                self.log.push(format!(
                                    "{} {} {}",
                                    command.name(),
                                    response.message_id,
                                    response.status
                                ));
                            }
                        }
                    }
                    Some(other) => self.log.push(format!("requestor {other:?}")),
                    None => {}
                }
                reader.consume();
            }
        }
        self.requestor_reader = reader;
    }
}

#[test]
fn echo_and_store_and_release() {
    let mut pair = Pair::new(None);
    pair.settle();
    let accept = pair.accept.clone().unwrap();
    assert_eq!(
        accept.implementation_version_name.as_deref(),
        Some("SONODE_0_1_0")
    );
    assert_eq!(accept.max_pdu_length, 131_072);
    let context = accept.accepted(US_IMAGE).next().unwrap().clone();
    assert_eq!(context.transfer_syntax, EXPLICIT);

    write_message(
        &mut pair.to_acceptor,
        1,
        &response::echo_request(7),
        None,
        0,
    );
    pair.settle();

    let store = StoreRq {
        request: Request {
            message_id: 8,
            sop_class: US_IMAGE.into(),
            sop_instance: "1.2.34".into(),
        },
        ..StoreRq::default()
    };
    write_message(
        &mut pair.to_acceptor,
        context.id,
        &response::store_request(&store),
        None,
        accept.max_pdu_length,
    );
    let data: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut encoder = PdataEncoder::new(context.id, PdvKind::Data, accept.max_pdu_length);
    for chunk in data.chunks(70_001) {
        pair.to_acceptor
            .extend_from_slice(encoder.encode(chunk, false));
    }
    pair.settle();
    assert!(pair.scp.is_inside_message() && pair.stored.is_empty());
    pair.to_acceptor
        .extend_from_slice(encoder.encode(&[], true));
    pair.settle();
    let (command, bytes) = &pair.stored[0];
    let request = command.request().unwrap();
    assert_eq!(request.sop_class.sop_class().unwrap().as_str(), US_IMAGE);
    assert_eq!(request.sop_instance, store.request.sop_instance);
    assert!(*bytes == data && pair.stored.len() == 1);

    pair.requestor.release(pair.now);
    pair.settle();
    assert_eq!(
        pair.log,
        [
            "C-ECHO-RSP 7 0000H (success)",
            "C-STORE-RSP 8 0000H (success)",
            "acceptor Released",
            "requestor Released",
        ]
    );
    assert!(pair.requestor.is_closed() && !pair.acceptor.is_closed());
    assert!(pair.acceptor.on_transport_closed(pair.now).is_none());
    assert!(pair.acceptor.is_closed());
}

#[test]
fn both_release_at_once() {
    let mut pair = Pair::new(None);
    pair.settle();
    pair.requestor.release(pair.now);
    pair.acceptor.release(pair.now);
    pair.settle();
    pair.log.sort();
    assert_eq!(pair.log, ["acceptor Released", "requestor Released"]);
    assert!(pair.requestor.is_closed());
}

#[test]
fn a_full_node_says_so_and_the_cart_knows_that_it_passes() {
    let mut pair = Pair::new(Some(Rejection::LOCAL_LIMIT));
    pair.settle();
    assert_eq!(pair.log.len(), 1);
    assert!(pair.log[0].contains("Rejected(Rejection { result: 2, source: 3, reason: 2 })"));
    assert!(pair.requestor.is_closed());
    let artim = pair.acceptor.next_deadline().unwrap();
    assert_eq!(artim, pair.now + Timers::default().artim);
    assert!(pair.acceptor.on_timeout(artim).is_none() && pair.acceptor.is_closed());
}

#[test]
fn a_response_that_never_comes_ends_the_association() {
    let mut pair = Pair::new(None);
    pair.settle();
    let sent = pair.now + Duration::from_secs(5);
    pair.requestor.expect_response(sent);
    let due = pair.requestor.next_deadline().unwrap();
    assert_eq!(due, sent + Timers::default().response);
    // Bytes that come meanwhile give no more time: a trickle is no answer.
    for seconds in [30, 60, 90, 110] {
        let now = sent + Duration::from_secs(seconds);
        pair.requestor.on_bytes(true, now);
        assert!(pair.requestor.next_deadline().unwrap() <= due);
    }
    assert_eq!(pair.requestor.next_deadline(), Some(due));
    assert!(
        pair.requestor
            .on_timeout(due.checked_sub(Duration::from_nanos(1)).unwrap())
            .is_none()
    );
    assert!(matches!(
        pair.requestor.on_timeout(due),
        Some(RequestorEvent::Failed(Failure::Timeout(Timer::Response)))
    ));
    pair.settle();
    assert_eq!(
        pair.log,
        ["acceptor Aborted(Abort { source: 2, reason: 0 })"]
    );
}
