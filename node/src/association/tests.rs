//! Peers that go on although they were told that it is over, and where the bytes of a data set are received.

use std::io::Read;
use std::net::TcpListener;
use std::thread;

use sonode_conformance::negotiation::Offer;
use sonode_conformance::{sop_class, transfer_syntax};
use sonode_dimse::response::{echo_request, store_request};
use sonode_dimse::{
    PdataEncoder, PdvKind, Proposal, Requestor, RequestorEvent, StoreRq, negotiate, write_message,
};

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

/// Keeps the data sets that it gets.
struct Keeper {
    /// How often they can be received in their place.
    places: usize,
    /// How long it takes to keep what was received there.
    delay: Duration,
    space: Vec<u8>,
    kept: Vec<Vec<u8>>,
    /// Bytes that came by way of the reader.
    copied: usize,
}

impl Keeper {
    fn new(places: usize) -> Self {
        Self {
            places,
            delay: Duration::ZERO,
            // Shorter than a PDV, and no multiple of anything.
            space: vec![0; 50_001],
            kept: Vec::new(),
            copied: 0,
        }
    }
}

impl Service for Keeper {
    fn admit(&mut self, request: &AssociateRequest) -> Result<Acceptance, Rejection> {
        Deaf.admit(request)
    }

    fn message(&mut self, event: DimseEvent<'_>) -> Option<Vec<u8>> {
        match event {
            DimseEvent::Command { .. } => self.kept.push(Vec::new()),
            DimseEvent::Data { bytes, .. } => {
                self.copied += bytes.len();
                self.kept.last_mut().unwrap().extend(bytes);
            }
        }
        None
    }

    fn space(&mut self, most: usize) -> &mut [u8] {
        let most = if self.places > 0 { most } else { 0 };
        let length = most.min(self.space.len());
        &mut self.space[..length]
    }

    fn filled(&mut self, bytes: usize) {
        thread::sleep(self.delay);
        self.places -= 1;
        let kept = self.kept.last_mut().unwrap();
        kept.extend_from_slice(&self.space[..bytes]);
    }
}

/// Sends these data sets in PDUs of this length, and releases; gives the bytes that were copied until they were kept.
fn copied(mut keeper: Keeper, timers: Timers, data_sets: &[Vec<u8>], pdu_length: u32) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let end = thread::scope(|scope| {
        scope.spawn(move || {
            associate(&mut peer);
            let command = store_request(&StoreRq::default());
            let mut out = Vec::new();
            for data in data_sets {
                write_message(&mut out, 1, &command, Some(data), pdu_length);
            }
            out.extend([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
            // Whatever lies in one read.
            for piece in out.chunks(1_000_003) {
                peer.write_all(piece).unwrap();
            }
            // A-RELEASE-RP.
            peer.read_exact(&mut [0; 10]).unwrap();
        });
        let stop = AtomicBool::new(false);
        run(&stream, timers, &stop, &mut keeper)
    });
    assert_eq!(end, End::Released);
    assert!(keeper.kept == data_sets);
    keeper.copied
}

/// Data sets of a megabyte, all different.
fn data_sets(count: usize) -> Vec<Vec<u8>> {
    let data_set = |n: usize| -> Vec<u8> {
        let bytes = (0..1_000_000).map(|at| ((at ^ (at >> 8) ^ n) % 253).to_le_bytes()[0]);
        bytes.collect()
    };
    (0..count).map(data_set).collect()
}

#[test]
fn long_pdvs_are_received_where_they_are_kept_and_short_ones_read_ahead() {
    let data_sets = data_sets(20);
    let all: usize = data_sets.iter().map(Vec::len).sum();
    let copied =
        |places, length| copied(Keeper::new(places), Timers::default(), &data_sets, length);
    let long = copied(usize::MAX, PDU_LENGTH);
    // The first read is made before the length of a PDV is known.
    assert!(long < READ_AHEAD_BYTES + all / 500, "{long} of {all} bytes");
    assert_eq!(copied(0, PDU_LENGTH), all);
    assert_eq!(copied(usize::MAX, 16_384), all);
}

#[test]
fn a_place_that_is_gone_in_the_middle_of_a_pdv_loses_nothing() {
    for places in 1..12 {
        copied(
            Keeper::new(places),
            Timers::default(),
            &data_sets(2),
            PDU_LENGTH,
        );
    }
}

#[test]
fn a_disk_that_is_slow_inside_a_pdu_is_not_the_peers_fault() {
    let timers = Timers {
        idle: Duration::from_secs(2),
        ..Timers::default()
    };
    // Twice in the same PDU.
    let keeper = Keeper {
        delay: Duration::from_millis(1200),
        ..Keeper::new(2)
    };
    copied(keeper, timers, &data_sets(1), PDU_LENGTH);
}
