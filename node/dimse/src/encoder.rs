//! Command and data sets into P-DATA-TF PDUs (PS3.8 section 9.3.5, annex E).

use sonode_conformance::limits;

/// PDU header and PDV header: 6 bytes, and 4 + 2 bytes.
const HEADERS: usize = 12;
/// What the PDV header takes of the PDU's variable field.
const PDV_HEADER: u32 = 6;

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
    /// The PDU under construction: room for the headers, then the held bytes.
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
        let payload = (length.saturating_sub(PDV_HEADER) & !1).max(2);
        let mut encoder = Self {
            context,
            kind,
            payload: usize::try_from(payload).unwrap_or(2),
            held: Vec::new(),
            out: Vec::new(),
        };
        encoder.restart(context, kind);
        encoder
    }

    /// Begins another command or data set with the same buffers. What was held is dropped.
    pub fn restart(&mut self, context: u8, kind: PdvKind) {
        self.context = context;
        self.kind = kind;
        self.held.clear();
        self.held.resize(HEADERS, 0);
    }

    /// Takes the next bytes of the set and gives the PDUs that can be sent now, none if all is held back. `last` ends
    /// the set: then nothing is held any more, and the encoder is ready for [`Self::restart`].
    pub fn encode(&mut self, mut chunk: &[u8], last: bool) -> &[u8] {
        self.out.clear();
        loop {
            let room = self.payload + HEADERS - self.held.len();
            let Some((now, later)) = chunk.split_at_checked(room) else {
                break;
            };
            // A full fragment goes out only once it is known whether it is the last one.
            if later.is_empty() {
                break;
            }
            self.held.extend_from_slice(now);
            self.flush(false);
            chunk = later;
        }
        self.held.extend_from_slice(chunk);
        if last {
            self.flush(true);
        }
        &self.out
    }

    fn flush(&mut self, last: bool) {
        let bytes = u32::try_from(self.held.len() - HEADERS).unwrap_or(u32::MAX);
        let command = u8::from(self.kind == PdvKind::Command);
        let control = command | u8::from(last) << 1;
        let [p0, p1, p2, p3] = (bytes + PDV_HEADER).to_be_bytes();
        let [v0, v1, v2, v3] = (bytes + 2).to_be_bytes();
        let headers = [4, 0, p0, p1, p2, p3, v0, v1, v2, v3, self.context, control];
        if let Some(room) = self.held.first_chunk_mut() {
            *room = headers;
        }
        self.out.extend_from_slice(&self.held);
        self.held.truncate(HEADERS);
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
