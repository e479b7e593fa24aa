//! Peers that accept an association and never answer: each one is left when its time is over.

use std::net::TcpListener;
use std::thread;

use sonode_conformance::negotiation::Offer;
use sonode_conformance::transfer_syntax::IMPLICIT_LITTLE;
use sonode_dimse::response::event_report_request;
use sonode_dimse::{Acceptance, Acceptor, AcceptorEvent, negotiate, write_message};

use super::*;

const SOON: Duration = Duration::from_secs(2);

/// Takes the association that is requested.
fn accept(stream: &mut TcpStream) {
    let now = Instant::now();
    let (mut reader, mut acceptor) = (PduReader::new(), Acceptor::new(Timers::default(), now));
    loop {
        let read = stream.read(reader.space()).unwrap();
        assert_ne!(read, 0, "no request came");
        reader.advance(read);
        let event = reader.pdu().unwrap();
        let event = event.and_then(|pdu| acceptor.on_pdu(pdu, now));
        if let Some(AcceptorEvent::Requested(request)) = event {
            let contexts = negotiate(&request, Offer::default());
            acceptor.accept(&Acceptance::new(contexts), now);
            stream.write_all(&acceptor.take_output()).unwrap();
            return;
        }
    }
}

/// What becomes of a C-ECHO, to be answered within this time, to a peer that goes on like this once it has accepted.
fn echo_to(
    response: Duration,
    goes_on: impl FnOnce(TcpStream) + Send,
) -> Result<DimseStatus, ScuError> {
    let timeouts = Timeouts {
        response,
        ..Timeouts::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = PeerAddress {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let proposal = Proposal::new("SONODE".parse().unwrap(), "PACS".parse().unwrap());
    let proposal = proposal.with_context(sop_class::VERIFICATION, [IMPLICIT_LITTLE]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            accept(&mut stream);
            goes_on(stream);
        });
        let association = Association::open(proposal.unwrap(), &address, &timeouts);
        association.unwrap().echo()
    })
}

fn assert_overdue(outcome: &Result<DimseStatus, ScuError>) {
    let error = outcome.as_ref().unwrap_err().to_string();
    assert!(error.contains("timer Response ran out"), "{error}");
}

#[test]
fn a_peer_that_is_silent_is_left() {
    let outcome = echo_to(SOON, |mut stream| {
        io::copy(&mut stream, &mut io::sink()).unwrap_or_default();
    });
    assert_overdue(&outcome);
}

/// An N-EVENT-REPORT as it begins; its event information follows.
fn event_report() -> Vec<u8> {
    event_report_request(
        &Request {
            message_id: 1,
            sop_class: RawUid::from(sop_class::STORAGE_COMMITMENT),
            sop_instance: RawUid::from(sop_class::STORAGE_COMMITMENT_INSTANCE),
        },
        1,
    )
}

#[test]
fn a_peer_that_never_stops_talking_is_left() {
    let outcome = echo_to(SOON, |mut stream| {
        let mut encoder = PdataEncoder::new(1, PdvKind::Command, 0);
        let mut written = stream.write_all(encoder.encode(&event_report(), true));
        // Its data set, a byte in each P-DATA-TF (PS3.8 section 9.3.5).
        let endless = [4, 0, 0, 0, 0, 7, 0, 0, 0, 3, 1, 0, 0].repeat(10_000);
        while written.is_ok() {
            written = stream.write_all(&endless);
        }
    });
    assert_overdue(&outcome);
}

#[test]
fn a_peer_that_asks_and_asks_is_left() {
    let outcome = echo_to(limits::RESPONSE, |mut stream| {
        let mut report = Vec::new();
        write_message(&mut report, 1, &event_report(), Some(&[0, 0]), 0);
        while stream.write_all(&report).is_ok() {}
    });
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("one request after the other"), "{error}");
}
