//! Peers that go on although they were told that it is over, and those that never come to an end.

use std::io::Read;
use std::net::TcpListener;
use std::thread;

use sonode_conformance::negotiation::Offer;
use sonode_conformance::{sop_class, transfer_syntax};
use sonode_dimse::response::echo_request;
use sonode_dimse::{PdataEncoder, PdvKind, Proposal, Requestor, RequestorEvent, negotiate};

use super::*;

const SOON: Duration = Duration::from_millis(200);
/// Long enough for a busy machine to look at a timer that ran out.
const PATIENCE: Duration = Duration::from_secs(20);

/// Accepts everybody and answers nothing.
struct Deaf;

impl Service for Deaf {
    fn admit(&mut self, request: &AssociateRequest) -> Result<Acceptance, Rejection> {
        Ok(Acceptance::new(negotiate(request, Offer::default())))
    }

    fn message(&mut self, _: DimseEvent<'_>) -> Option<Vec<u8>> {
        None
    }
}

/// Has its association accepted, with a context for Verification.
fn associate(stream: &mut TcpStream) {
    let proposal = Proposal::new("CART".parse().unwrap(), "SONODE".parse().unwrap());
    let proposal =
        proposal.with_context(sop_class::VERIFICATION, [transfer_syntax::IMPLICIT_LITTLE]);
    let now = Instant::now();
    let mut requestor = Requestor::new(proposal.unwrap(), Timers::default(), now).unwrap();
    stream.write_all(&requestor.take_output()).unwrap();
    let mut reader = PduReader::new();
    loop {
        let read = stream.read(reader.space()).unwrap();
        assert_ne!(read, 0, "no answer came");
        reader.advance(read);
        let event = reader.pdu().unwrap();
        let event = event.and_then(|pdu| requestor.on_pdu(pdu, now));
        if let Some(RequestorEvent::Accepted(_)) = event {
            return;
        }
    }
}

/// How an association ends whose peer says this again and again, whatever it is answered; it has to be left by `timers`.
fn end_of_one_that_repeats(timers: Timers, bytes: &[u8]) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    thread::scope(|scope| {
        let peer = scope.spawn(move || {
            associate(&mut peer);
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                if peer.write_all(bytes).is_err() {
                    return true;
                }
            }
            false
        });
        let end = run(&stream, timers, &AtomicBool::new(false), &mut Deaf);
        // As the listener does it; what is shut down still takes bytes.
        drop(stream);
        assert!(peer.join().unwrap(), "it could go on as long as it liked");
        end
    })
}

#[test]
fn a_peer_that_streams_on_after_an_abort_is_left() {
    let timers = Timers {
        artim: SOON,
        ..Timers::default()
    };
    // Nobody proposed this context.
    let mut encoder = PdataEncoder::new(3, PdvKind::Command, 0);
    let endless = encoder.encode(&echo_request(1), true).repeat(1000);
    let end = end_of_one_that_repeats(timers, &endless);
    assert!(matches!(end, End::Broken(_)), "{end:?}");
}
