//! An association's bytes, cut into reads as the input says.

use std::time::{Duration, Instant};

use sonode_conformance::negotiation::Offer;
use sonode_dimse::{
    Acceptance, Acceptor, AcceptorEvent, Assembler, PduReader, Timers, data_body_max, negotiate,
};

/// Plays `stream` to an acceptor in reads of `cut` bytes at most, as the node's association thread does; of a PDV of which a
/// part is missing, the rest is received elsewhere.
///
/// # Panics
/// Where the acceptor breaks its own rules: an event after it is closed, a read that makes no progress.
pub fn play(mut stream: &[u8], cut: usize) {
    let mut now = Instant::now();
    let mut reader = PduReader::new();
    let mut acceptor = Acceptor::new(Timers::default(), now);
    let mut assembler = None;
    while !stream.is_empty() && !acceptor.is_closed() {
        let piece = &stream[..cut.min(stream.len())];
        let missing = reader.open_pdv().map_or(0, |open| open.missing - 1);
        let (elsewhere, behind) = piece.split_at(missing.min(piece.len()));
        let space = if elsewhere.is_empty() {
            reader.space()
        } else {
            reader.space_behind()
        };
        assert!(!space.is_empty(), "a reader that wants nothing");
        let read = space.len().min(behind.len());
        space[..read].copy_from_slice(&behind[..read]);
        reader.shorten(elsewhere.len());
        reader.advance(read);
        stream = &stream[elsewhere.len() + read..];
        now += Duration::from_millis(1);
        while take_pdu(&mut reader, &mut acceptor, &mut assembler, now) {}
        acceptor.on_bytes(reader.is_inside_pdu(), now);
        let answer = acceptor.take_output();
        assert!(answer.len() <= 1 << 16, "more is answered than was asked");
    }
    drop(acceptor.on_transport_closed(now));
}

/// One PDU, if it is whole.
fn take_pdu(
    reader: &mut PduReader,
    acceptor: &mut Acceptor,
    assembler: &mut Option<Assembler>,
    now: Instant,
) -> bool {
    let event = match reader.pdu() {
        Ok(None) => return false,
        Ok(Some(pdu)) => acceptor.on_pdu(pdu, now),
        Err(error) => acceptor.on_pdu_error(error, now),
    };
    match event {
        Some(AcceptorEvent::Requested(request)) => {
            let accept = Acceptance::new(negotiate(&request, Offer::default()));
            *assembler = Some(Assembler::new(accept.accepted_ids()));
            acceptor.accept(&accept, now);
            reader.set_body_max(data_body_max(accept.max_pdu_length));
        }
        Some(AcceptorEvent::Data(data)) => {
            let assembler = assembler.as_mut().expect("data before acceptance");
            for pdv in data {
                if let Err(error) = assembler.push(pdv) {
                    acceptor.abort(error.abort(), now);
                    break;
                }
            }
            acceptor.on_message(assembler.is_inside_message(), now);
        }
        _ => {}
    }
    reader.consume();
    true
}
