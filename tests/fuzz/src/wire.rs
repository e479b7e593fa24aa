//! An association's bytes, cut into reads as the input says.

use std::time::{Duration, Instant};

use sonode_conformance::negotiation::Offer;
use sonode_dimse::{
    Acceptance, Acceptor, AcceptorEvent, Assembler, DimseEvent, OpenPdv, PduReader, Timers,
    data_body_max, negotiate,
};

/// Bytes that may be read ahead once an association stands.
const AHEAD: usize = 4096;

/// What an acceptor made of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Commands that came.
    pub commands: usize,
    /// Bytes of data sets.
    pub data: usize,
    /// Whether the association was released in order.
    pub is_released: bool,
}

/// Plays `stream` to an acceptor in reads of `cut` bytes at most, as the node's association thread does; `in_place`: of a
/// data set's PDV of which a part is missing, the rest is received elsewhere.
///
/// # Panics
/// Where the acceptor breaks its own rules: an event after it is closed, a read that makes no progress.
pub fn play(mut stream: &[u8], cut: usize, in_place: bool) -> Played {
    let mut now = Instant::now();
    let mut reader = PduReader::new();
    let mut acceptor = Acceptor::new(Timers::default(), now);
    let mut assembler = None;
    let mut played = Played::default();
    while !stream.is_empty() && !acceptor.is_closed() {
        let piece = &stream[..cut.min(stream.len())];
        let missing = match due(&reader, &acceptor, assembler.as_ref()) {
            Some(open) if in_place => open.missing - 1,
            _ => 0,
        };
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
        played.data += elsewhere.len();
        now += Duration::from_millis(1);
        while take_pdu(&mut reader, &mut acceptor, &mut assembler, now, &mut played) {}
        if in_place && let Some(open) = due(&reader, &acceptor, assembler.as_ref()) {
            let came = open.came.bytes.len();
            reader.shorten(came);
            played.data += came;
        }
        acceptor.on_bytes(reader.is_inside_pdu(), now);
        let answer = acceptor.take_output();
        assert!(answer.len() <= 1 << 16, "more is answered than was asked");
    }
    drop(acceptor.on_transport_closed(now));
    played
}

/// The PDV at the front of which a part is missing, if the data set of the message goes on with it.
fn due<'r>(
    reader: &'r PduReader,
    acceptor: &Acceptor,
    assembler: Option<&Assembler>,
) -> Option<OpenPdv<'r>> {
    reader.open_pdv().filter(|open| {
        let pdv = open.came;
        let is_data = !pdv.is_command && acceptor.may_send_data();
        is_data && assembler.is_some_and(|assembler| assembler.is_data_due(pdv.context))
    })
}

/// One PDU, if it is whole.
fn take_pdu(
    reader: &mut PduReader,
    acceptor: &mut Acceptor,
    assembler: &mut Option<Assembler>,
    now: Instant,
    played: &mut Played,
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
            reader.set_read_ahead(AHEAD);
        }
        Some(AcceptorEvent::Data(data)) => {
            let assembler = assembler.as_mut().expect("data before acceptance");
            for pdv in data {
                match assembler.push(pdv) {
                    Ok(Some(DimseEvent::Command { .. })) => played.commands += 1,
                    Ok(Some(DimseEvent::Data { bytes, .. })) => played.data += bytes.len(),
                    Ok(None) => {}
                    Err(error) => {
                        acceptor.abort(error.abort(), now);
                        break;
                    }
                }
            }
            acceptor.on_message(assembler.is_inside_message(), now);
        }
        Some(AcceptorEvent::Released) => played.is_released = true,
        _ => {}
    }
    reader.consume();
    true
}

#[cfg(test)]
mod tests {
    use sonode_conformance::{sop_class, transfer_syntax};
    use sonode_dimse::response::store_request;
    use sonode_dimse::{Proposal, Requestor, StoreRq, write_message};

    use super::*;

    #[test]
    fn whole_messages_come_through_whatever_the_reads() {
        let proposal = Proposal::new("CART".parse().unwrap(), "SONODE".parse().unwrap());
        let proposal = proposal
            .with_context(sop_class::US_MULTIFRAME, [transfer_syntax::EXPLICIT_LITTLE])
            .unwrap();
        let requestor = Requestor::new(proposal, Timers::default(), Instant::now());
        let mut stream = requestor.unwrap().take_output();
        let command = store_request(&StoreRq::default());
        for (length, pdu) in [(3000, 1000), (0, 1000), (7, 0)] {
            write_message(&mut stream, 1, &command, Some(&vec![7; length]), pdu);
        }
        stream.extend([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        let whole = Played {
            commands: 3,
            data: 3007,
            is_released: true,
        };
        for cut in (1..40).chain([300, 1000, 5000]) {
            for in_place in [false, true] {
                assert_eq!(play(&stream, cut, in_place), whole, "{cut}, {in_place}");
            }
        }
    }
}
