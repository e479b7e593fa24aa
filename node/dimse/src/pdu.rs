//! Whole PDUs out of a byte stream (PS3.8 section 9.3), and the PDVs inside a P-DATA-TF.

#[cfg(test)]
mod tests;

use sonode_conformance::limits;

use crate::cursor::Cursor;

/// PDU type, reserved byte, length (PS3.8 section 9.3.1).
const HEADER: usize = 6;
/// The length of a PDV, which doesn't count itself (PS3.8 section 9.3.5.1).
const PDV_LENGTH: usize = 4;
/// The same, presentation context identifier and message control header (PS3.8 annex E.2).
const PDV_HEADER: usize = PDV_LENGTH + 2;
/// The headers of a PDU and of its first PDV: with them the rest can be received elsewhere.
const HEADERS: usize = HEADER + PDV_HEADER;
/// What the buffer grows by at least, so that small PDUs need one read.
const FIRST_READ: usize = 4096;

/// PDU type (PS3.8 section 9.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PduKind {
    /// 01H.
    AssociateRq,
    /// 02H.
    AssociateAc,
    /// 03H.
    AssociateRj,
    /// 04H.
    PData,
    /// 05H.
    ReleaseRq,
    /// 06H.
    ReleaseRp,
    /// 07H.
    Abort,
    /// Any other type, by its number.
    Unrecognized(u8),
}

impl From<u8> for PduKind {
    fn from(kind: u8) -> Self {
        match kind {
            1 => Self::AssociateRq,
            2 => Self::AssociateAc,
            3 => Self::AssociateRj,
            4 => Self::PData,
            5 => Self::ReleaseRq,
            6 => Self::ReleaseRp,
            7 => Self::Abort,
            other => Self::Unrecognized(other),
        }
    }
}

/// One PDU, borrowed from the reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPdu<'a> {
    /// The PDU type.
    pub kind: PduKind,
    /// What follows the 6-byte header.
    pub body: &'a [u8],
}

/// Why the stream can't be read on. The association is over: see [`crate::Acceptor::on_pdu_error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// The header declares more than the present state allows. Nothing of the body was buffered.
    #[error("a PDU of type {kind:?} declares {length} bytes, {max} are allowed")]
    TooLong {
        /// PDU type of the header.
        kind: PduKind,
        /// Declared length of the body, in bytes.
        length: u32,
        /// Longest body in this state, in bytes.
        max: u32,
    },
    /// The type is none of PS3.8's.
    #[error("unrecognized PDU type {0:02X}H{hint}", hint = hint(*.0))]
    Unrecognized(u8),
}

/// What else the first byte of a connection may be, for people who look for the wrong port.
fn hint(first: u8) -> &'static str {
    match first {
        0x16 => " (is the peer speaking TLS to a port without TLS?)",
        b'A'..=b'Z' => " (is the peer speaking HTTP or another text protocol?)",
        _ => "",
    }
}

/// The longest body that is read once an association stands for which `announced` bytes were declared as the maximum
/// PDU length (0: the whole of [`limits::PDU_LENGTH`]).
///
/// Twice what was announced, and never under 32 KiB: the field bounds P-DATA-TF's variable field, but some peers
/// count without the PDV headers, some round up, and a bound on memory is all that is needed here.
pub fn data_body_max(announced: u32) -> u32 {
    let announced = if announced == 0 {
        limits::PDU_LENGTH
    } else {
        announced
    };
    announced.saturating_mul(2).max(32 * 1024)
}

/// Reads PDUs into one buffer that is reused, and says which bytes it wants next.
///
/// It asks for the header, then for the body together with the headers of the next PDU and of its first PDV; once an
/// association stands, for as many PDUs as it may read ahead, so that a stream of P-DATA-TF costs less than one read each. The
/// buffer at most doubles with each read, when what came fills half of it at least: a peer that declares a megabyte must send
/// it. The rest of a long PDV need not come into the buffer at all: [`Self::open_pdv`].
#[derive(Debug)]
pub struct PduReader {
    buffer: Vec<u8>,
    /// Where the PDU at the front begins in `buffer`.
    start: usize,
    /// End of what came from the peer.
    filled: usize,
    body_max: u32,
    /// Bytes that a read may ask for although the PDU at the front needs fewer.
    ahead: usize,
    /// Whether the last read filled the buffer: the peer is ahead of us.
    was_full: bool,
    /// Bytes that were taken out of the PDV at the front.
    taken: usize,
}

impl Default for PduReader {
    fn default() -> Self {
        Self::new()
    }
}

impl PduReader {
    /// A reader at the start of a connection: bodies up to [`limits::ASSOCIATE_RQ_BYTES_MAX`].
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            body_max: limits::ASSOCIATE_RQ_BYTES_MAX,
            ahead: 0,
            was_full: false,
            taken: 0,
        }
    }

    /// Sets the longest body, in bytes, from the next header on: [`data_body_max`] once an association stands.
    pub fn set_body_max(&mut self, bytes: u32) {
        self.body_max = bytes;
    }

    /// Lets a read ask for this many bytes, even if the PDU at the front needs fewer.
    pub fn set_read_ahead(&mut self, bytes: usize) {
        self.ahead = bytes;
    }

    /// Where the next bytes of the peer go. Fill a part of it or all, then call [`Self::advance`].
    ///
    /// Never empty while [`Self::pdu`] gives `Ok(None)`; empty after it gave an error.
    pub fn space(&mut self) -> &mut [u8] {
        let (wanted, ahead) = match self.header() {
            None => (HEADERS, self.ahead),
            Some((kind, length)) => match self.check(kind, length) {
                // Those behind it are taken for as long: if they are, no piece of one is left over that has to be moved.
                Ok(body) => {
                    let pdu = HEADER + body;
                    let ahead = self.ahead.saturating_sub(HEADERS) / pdu * pdu;
                    (pdu + HEADERS, ahead + HEADERS)
                }
                Err(_) => return &mut [],
            },
        };
        self.room(wanted, ahead)
    }

    /// Where the last byte of an [`OpenPdv`] goes, whose others are received elsewhere, and the headers behind it.
    pub fn space_behind(&mut self) -> &mut [u8] {
        let end = self.filled - self.start + 1 + HEADERS;
        self.room(end, end)
    }

    /// The buffer behind what came, up to `ahead` bytes from the front PDU's beginning or to `wanted`, if those are more.
    fn room(&mut self, wanted: usize, ahead: usize) -> &mut [u8] {
        if self.start > 0 {
            // Once for all the PDUs of a read: less than one of them lies behind those.
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        // Doubling, and not the declared length: what is held is in proportion to what came once.
        let came = if self.was_full {
            self.buffer.len()
        } else {
            self.filled
        };
        let held = came.saturating_mul(2).max(self.buffer.len());
        let end = wanted.max(ahead).min(held.max(FIRST_READ));
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        self.buffer.get_mut(self.filled..end).unwrap_or_default()
    }

    /// Notes that the first `read` bytes of [`Self::space`] or [`Self::space_behind`] are filled.
    pub fn advance(&mut self, read: usize) {
        self.filled = self.filled.saturating_add(read).min(self.buffer.len());
        self.was_full = self.filled == self.buffer.len();
    }

    /// The PDU at the front, if it is whole. The same one until [`Self::consume`].
    ///
    /// # Errors
    /// [`PduError::Unrecognized`] and [`PduError::TooLong`], as soon as the header is there.
    pub fn pdu(&self) -> Result<Option<RawPdu<'_>>, PduError> {
        let Some((kind, length)) = self.header() else {
            return Ok(None);
        };
        let body = self.check(kind, length)?;
        let came = self.buffer.get(self.start..self.filled);
        Ok(came
            .unwrap_or_default()
            .get(HEADER..HEADER + body)
            .map(|body| RawPdu { kind, body }))
    }

    /// Drops the PDU at the front, if it is whole; after an error, everything.
    pub fn consume(&mut self) {
        let length = match self.pdu() {
            Ok(None) => return,
            Ok(Some(pdu)) => HEADER + pdu.body.len(),
            Err(_) => self.filled - self.start,
        };
        self.taken = 0;
        self.start += length;
        if self.start == self.filled {
            self.start = 0;
            self.filled = 0;
        }
    }

    /// The only PDV of the P-DATA-TF at the front, if a part of it is missing.
    ///
    /// What came of it may be dealt with at once; then all but the last byte of what is missing may be received elsewhere.
    /// [`Self::shorten`] by as much each time. What follows in the same read goes to [`Self::space_behind`], if it is wanted,
    /// and with its last byte the PDU is given as any other.
    pub fn open_pdv(&self) -> Option<OpenPdv<'_>> {
        let (PduKind::PData, length) = self.header()? else {
            return None;
        };
        let body = self.check(PduKind::PData, length).ok()?;
        let mut cursor = Cursor(self.buffer.get(self.start + HEADER..self.filled)?);
        let pdv = usize::try_from(cursor.u32_be()?).ok()?;
        let is_alone = pdv.checked_add(PDV_LENGTH) == Some(body);
        let (context, control) = (cursor.u8()?, cursor.u8()?);
        let missing = body.checked_sub(PDV_HEADER + cursor.0.len())?;
        (is_alone && missing > 0).then_some(OpenPdv {
            came: Pdv {
                is_last: false,
                ..Pdv::new(context, control, cursor.0)
            },
            is_last: control & 2 != 0,
            length: self.taken + cursor.0.len() + missing,
            missing,
        })
    }

    /// Takes the next bytes out of the [`OpenPdv`], as if the peer had made it shorter: first those that came, then those that
    /// were received elsewhere. Its last byte stays.
    pub fn shorten(&mut self, bytes: usize) {
        let Some(OpenPdv { came, missing, .. }) = self.open_pdv() else {
            return;
        };
        let came = came.bytes.len();
        let bytes = bytes.min(came + missing - 1);
        let body = PDV_HEADER + came + missing - bytes;
        self.taken += bytes;
        // The headers go before what is left.
        let headers = self.start..self.start + HEADERS;
        self.start += bytes.min(came);
        self.buffer.copy_within(headers, self.start);
        let lengths = [(2, body), (HEADER, body - PDV_LENGTH)];
        for (offset, length) in lengths {
            let place = self.start + offset;
            if let (Some(place), Ok(length)) =
                (self.buffer.get_mut(place..place + 4), u32::try_from(length))
            {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// Whether a part of a PDU is there.
    pub fn is_inside_pdu(&self) -> bool {
        self.filled > self.start
    }

    fn header(&self) -> Option<(PduKind, u32)> {
        let mut cursor = Cursor(self.buffer.get(self.start..self.filled)?);
        let kind = cursor.u8()?;
        cursor.u8()?;
        Some((kind.into(), cursor.u32_be()?))
    }

    fn check(&self, kind: PduKind, length: u32) -> Result<usize, PduError> {
        if let PduKind::Unrecognized(kind) = kind {
            return Err(PduError::Unrecognized(kind));
        }
        match usize::try_from(length) {
            Ok(body) if length <= self.body_max => Ok(body),
            _ => Err(PduError::TooLong {
                kind,
                length,
                max: self.body_max,
            }),
        }
    }
}

/// A presentation data value (PS3.8 section 9.3.5.1), borrowed from the reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pdv<'a> {
    /// Presentation context identifier.
    pub context: u8,
    /// Command (bit 0 of the message control header is set) or data.
    pub is_command: bool,
    /// Last fragment (bit 1).
    pub is_last: bool,
    /// The fragment.
    pub bytes: &'a [u8],
}

impl<'a> Pdv<'a> {
    fn new(context: u8, control: u8, bytes: &'a [u8]) -> Self {
        Self {
            context,
            is_command: control & 1 != 0,
            is_last: control & 2 != 0,
            bytes,
        }
    }
}

/// A PDV of which a part is missing: see [`PduReader::open_pdv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPdv<'a> {
    /// What came, as a fragment that is not the last.
    pub came: Pdv<'a>,
    /// Whether the message ends with what is missing.
    pub is_last: bool,
    /// Bytes of it as the peer sends it, whatever was taken out.
    pub length: usize,
    /// Bytes that did not come, one at least.
    pub missing: usize,
}

/// The body of a P-DATA-TF, checked: an iterator over its PDVs, one at least.
#[derive(Debug, Clone)]
pub struct PData<'a>(Cursor<'a>);

impl<'a> PData<'a> {
    /// Checks the PDV lengths of a P-DATA-TF body. `None` if there is no PDV, or one that is cut off or shorter than
    /// its own header.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let data = Self(Cursor(body));
        let mut ahead = data.clone();
        loop {
            ahead.next_pdv()?;
            if ahead.0.is_empty() {
                return Some(data);
            }
        }
    }

    fn next_pdv(&mut self) -> Option<Pdv<'a>> {
        let length = usize::try_from(self.0.u32_be()?).ok()?;
        let mut item = Cursor(self.0.take(length)?);
        let context = item.u8()?;
        let control = item.u8()?;
        Some(Pdv::new(context, control, item.0))
    }
}

impl<'a> Iterator for PData<'a> {
    type Item = Pdv<'a>;

    fn next(&mut self) -> Option<Pdv<'a>> {
        self.next_pdv()
    }
}
