//! Command and data sets into P-DATA-TF PDUs (PS3.8 section 9.3.5, annex E).

use sonode_conformance::limits;

/// What the PDV header takes of the PDU's variable field.
const PDV_HEADER: usize = 6;

/// What a PDV carries (message control header, PS3.8 annex E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PdvKind {
    /// A command set.
    Command,
    /// A data set.
    Data,
}

/// Writes one command or data set as P-DATA-TF PDUs, in pieces as they are read from wherever it lies.
///
/// Only [`Self::encode`] with `last` writes the last-fragment bit, and a fragment is held back until more bytes are
/// known to follow: dropping an encoder in the middle leaves a message that the peer sees as unfinished.
#[derive(Debug)]
pub struct PdataEncoder {
    context: u8,
    kind: PdvKind,
    /// Bytes of a fragment; even, 2 at least.
    payload: usize,
    /// The beginning of the next fragment, `payload` bytes at most.
    held: Vec<u8>,
    out: Vec<u8>,
}

impl PdataEncoder {
    /// An encoder for a peer that takes P-DATA-TF bodies of `peer_max` bytes (0: any length).
    ///
    /// Our own bound is [`limits::PDU_LENGTH`]. Fragments are of even length. A `peer_max` of 1 to 7 has no room for
    /// one, which no peer can mean: it gets fragments of 2 bytes.
    pub fn new(context: u8, kind: PdvKind, peer_max: u32) -> Self {
        let length = match peer_max {
            0 => limits::PDU_LENGTH,
            some => some.min(limits::PDU_LENGTH),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self {
            context,
            kind,
            payload: (length.saturating_sub(PDV_HEADER) & !1).max(2),
            held: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Begins another command or data set with the same buffers. What was held is dropped.
    pub fn restart(&mut self, context: u8, kind: PdvKind) {
        self.context = context;
        self.kind = kind;
        self.held.clear();
    }

    /// Takes the next bytes of the set and gives the PDUs that can be sent now, none if all is held back. `last` ends
    /// the set: then nothing is held any more, and the encoder is ready for [`Self::restart`].
    ///
    /// What it gives is as long as `chunk` and a fragment at most, with 12 bytes of headers for each fragment.
    pub fn encode(&mut self, mut chunk: &[u8], last: bool) -> &[u8] {
        self.out.clear();
        // A full fragment goes out only once it is known that it isn't the last one: hence not when both are equal.
        while self.held.len() + chunk.len() > self.payload {
            let (now, later) = chunk
                .split_at_checked(self.payload - self.held.len())
                .unwrap_or((chunk, &[]));
            self.fragment(now, false);
            chunk = later;
        }
        if last {
            self.fragment(chunk, true);
        } else {
            self.held.extend_from_slice(chunk);
        }
        &self.out
    }

    /// Writes a PDU of what is held and of `rest`.
    fn fragment(&mut self, rest: &[u8], is_last: bool) {
        // `payload` is bounded by a u32.
        let bytes = u32::try_from(self.held.len() + rest.len()).unwrap_or(u32::MAX);
        let is_command = u8::from(self.kind == PdvKind::Command);
        self.out.extend_from_slice(&[4, 0]);
        self.out.extend_from_slice(&(bytes + 6).to_be_bytes());
        self.out.extend_from_slice(&(bytes + 2).to_be_bytes());
        self.out
            .extend_from_slice(&[self.context, is_command | u8::from(is_last) << 1]);
        self.out.append(&mut self.held);
        self.out.extend_from_slice(rest);
    }
}

/// Appends a whole message to `out`: the command set and, if there is one, a data set that is in memory.
pub fn write_message(
    out: &mut Vec<u8>,
    context: u8,
    command: &[u8],
    data_set: Option<&[u8]>,
    peer_max: u32,
) {
    let mut encoder = PdataEncoder::new(context, PdvKind::Command, peer_max);
    out.extend_from_slice(encoder.encode(command, true));
    if let Some(data_set) = data_set {
        encoder.restart(context, PdvKind::Data);
        out.extend_from_slice(encoder.encode(data_set, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::PData;

    #[test]
    fn tiny_maxima_get_even_fragments() {
        for (peer_max, payload) in [(1, 2), (6, 2), (7, 2), (8, 2), (9, 2), (10, 4), (12, 6)] {
            let mut encoder = PdataEncoder::new(1, PdvKind::Data, peer_max);
            let first = encoder.encode(&[7; 8], true)[..12 + payload].to_vec();
            let pdv = PData::parse(&first[6..]).unwrap().next().unwrap();
            assert_eq!(pdv.bytes.len(), payload, "{peer_max}");
        }
    }

    #[test]
    fn no_limit_means_our_own() {
        for peer_max in [0, u32::MAX] {
            let encoder = PdataEncoder::new(1, PdvKind::Data, peer_max);
            assert_eq!(encoder.payload + 6, 131_072);
        }
    }

    #[test]
    fn nothing_looks_like_the_end_before_it_was_said() {
        let mut encoder = PdataEncoder::new(1, PdvKind::Data, 16);
        assert_eq!(
            encoder.encode(&[1; 10], false),
            [],
            "exactly one fragment is held back"
        );
        let more = encoder.encode(&[2; 10], false).to_vec();
        let pdv = PData::parse(&more[6..]).unwrap().next().unwrap();
        assert_eq!((pdv.bytes, pdv.is_last), ([1; 10].as_slice(), false));
        let end = encoder.encode(&[], true).to_vec();
        let pdv = PData::parse(&end[6..]).unwrap().next().unwrap();
        assert_eq!((pdv.bytes, pdv.is_last), ([2; 10].as_slice(), true));
    }

    #[test]
    fn what_was_held_is_not_carried_into_the_next_set() {
        let mut encoder = PdataEncoder::new(1, PdvKind::Data, 0);
        encoder.encode(&[1; 10], false);
        encoder.restart(3, PdvKind::Command);
        let out = encoder.encode(&[2], true).to_vec();
        let pdv = PData::parse(&out[6..]).unwrap().next().unwrap();
        assert_eq!(
            (pdv.context, pdv.is_command, pdv.bytes),
            (3, true, [2].as_slice())
        );
    }
}
