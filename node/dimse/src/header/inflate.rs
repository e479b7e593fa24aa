//! Inflating a data set as far as the scan needs it (PS3.5 annex A.5).

use flate2::{Decompress, FlushDecompress, Status};

use super::ScanEnd;
use super::elements::Elements;

/// Bytes that are inflated at a time: what is held of a stream, however well it was deflated.
const STEP: usize = 8 * 1024;

/// A raw deflate stream (RFC 1951), or one in a zlib wrapper (RFC 1950), which some senders add.
pub(super) struct Inflate {
    /// Set when the first two bytes have told which of the two it is.
    stream: Option<Decompress>,
    first: Option<u8>,
    has_ended: bool,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            stream: None,
            first: None,
            has_ended: false,
        }
    }

    /// Inflates `bytes` into `elements` until that has enough.
    ///
    /// The output is bounded by what `elements` scans at most, so a stream that inflates a thousandfold costs no more
    /// than a long one.
    pub(super) fn push(&mut self, bytes: &[u8], elements: &mut Elements) {
        let mut input = bytes;
        if self.stream.is_none() {
            let Some((&byte, rest)) = input.split_first() else {
                return;
            };
            let Some(first) = self.first else {
                self.first = Some(byte);
                return self.push(rest, elements);
            };
            self.stream = Some(Decompress::new(is_zlib_header(first, byte)));
            self.run(&[first], elements);
            input = bytes;
        }
        self.run(input, elements);
    }

    fn run(&mut self, mut input: &[u8], elements: &mut Elements) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let mut out = [0; STEP];
        while !self.has_ended && elements.end().is_none() {
            let (consumed_before, made_before) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(input, &mut out, FlushDecompress::None);
            let consumed = usize::try_from(stream.total_in() - consumed_before).unwrap_or(0);
            let made = usize::try_from(stream.total_out() - made_before).unwrap_or(0);
            elements.push(out.get(..made).unwrap_or_default());
            input = input.get(consumed..).unwrap_or_default();
            match status {
                Ok(Status::StreamEnd) => self.has_ended = true,
                Ok(_) if made == STEP => {}
                Ok(_) if input.is_empty() || consumed == 0 => return,
                Ok(_) => {}
                Err(_) => elements.set_end(ScanEnd::BadDeflate),
            }
        }
    }
}

/// CMF and FLG of RFC 1950: method 8 with a 32 KiB window, and a checksum that adds up.
fn is_zlib_header(first: u8, second: u8) -> bool {
    first == 0x78 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0
}
