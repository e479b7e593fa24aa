//! What the spool says about an instance.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sonode_conformance::{
    AeTitle, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use twox_hash::XxHash3_128;

/// "The same bytes" of an instance: XXH3-128 over the Transfer Syntax UID, one NUL and the data set's bytes as received (16
/// bytes, the most significant first), and the number of those bytes (a little-endian `u64`); 8 bytes are zero. File meta
/// information is left out, since each system that passes an object on writes its own.
///
/// Every byte that comes is hashed in its association's thread, and XXH3 takes a tenth of the time of BLAKE3, which was the
/// dearest part of receiving (tests/PERFORMANCE.md). It keeps apart what differs by chance, and is no cryptographic
/// hash: who may send to the node, knows what another sends and comes first, could make a data set of the same digest,
/// syntax and SOP Instance UID, and the node would keep his. Without that he could send another one first as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The part that stands in file names.
    pub fn short(&self) -> ShortDigest {
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(self.0) {
            *to = from;
        }
        ShortDigest(short)
    }
}

/// Makes a [`Digest`] of what comes, in whatever portions.
pub(super) struct DigestHasher {
    hash: XxHash3_128,
    bytes: u64,
}

impl DigestHasher {
    pub(super) fn new(transfer_syntax: &TransferSyntaxUid) -> Self {
        let mut hasher = Self {
            hash: XxHash3_128::new(),
            bytes: 0,
        };
        hasher.update(transfer_syntax.as_str().as_bytes());
        hasher.update(&[0]);
        hasher
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.hash.write(data);
        self.bytes += u64::try_from(data.len()).unwrap_or(u64::MAX);
    }

    pub(super) fn finish(&self) -> Digest {
        let hash = self.hash.finish_128().to_be_bytes();
        let parts = hash.into_iter().chain(self.bytes.to_le_bytes());
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(parts) {
            *place = byte;
        }
        Digest(bytes)
    }
}

/// The first 8 bytes of a [`Digest`]: the `<hash16>` of file names, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortDigest([u8; 8]);

impl ShortDigest {
    /// Parses 16 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *to = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        parse_hex(&text).map(Self).ok_or(DigestError)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// What is known of an instance before its first byte of data set (PS3.7 9.1.1.1, PS3.8 9.3.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Affected SOP Class UID of the request.
    pub sop_class: SopClassUid,
    /// Affected SOP Instance UID of the request, checked.
    pub sop_instance: SopInstanceUid,
    /// The syntax of the presentation context.
    pub transfer_syntax: TransferSyntaxUid,
    /// Who sends it; becomes Source Application Entity Title (0002,0016).
    pub calling_ae: Option<AeTitle>,
}

/// An instance that is durable in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInstance {
    /// The study in whose folder it lies; `None` in `unsorted/`.
    pub study: Option<StudyInstanceUid>,
    /// Its SOP Class UID.
    pub sop_class: SopClassUid,
    /// Its SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// The syntax of its data set.
    pub transfer_syntax: TransferSyntaxUid,
    /// Identifies its bytes.
    pub digest: Digest,
    /// The Part 10 file. It moves with its study between `open/` and `done/`: `Spool::locate` gives the current one.
    pub path: PathBuf,
    /// Length of the data set in bytes; the file is longer by its preamble and file meta information.
    pub bytes: u64,
    /// Who sent it.
    pub calling_ae: Option<AeTitle>,
}

/// What became of an instance. Every variant is durable: success may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The study had no instance of this SOP Instance UID.
    Stored(StoredInstance),
    /// The study had the same bytes already; what was received now is dropped. The study may be done.
    Duplicate(StoredInstance),
    /// The study had other bytes under this SOP Instance UID; both are kept.
    NewVersion(StoredInstance),
}

impl Committed {
    /// The instance, whatever became of it.
    pub fn instance(&self) -> &StoredInstance {
        match self {
            Self::Stored(instance) | Self::Duplicate(instance) | Self::NewVersion(instance) => {
                instance
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_its_64_digits() {
        let digest = Digest::from_bytes(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        let text = String::from(digest);
        assert_eq!(text.len(), 64);
        assert_eq!(Digest::try_from(text.clone()), Ok(digest));
        assert_eq!(ShortDigest::parse(&text[..16]), Some(digest.short()));
        assert_eq!(Digest::try_from(text.to_uppercase()), Err(DigestError));
        assert_eq!(Digest::try_from(text[1..].to_owned()), Err(DigestError));
    }

    #[test]
    fn the_same_bytes_have_the_same_digest_for_ever_and_in_any_portions() {
        let syntax = |uid: &str| -> TransferSyntaxUid { uid.parse().unwrap() };
        let digest = |uid: &str, portions: &[&[u8]]| {
            let mut hasher = DigestHasher::new(&syntax(uid));
            for portion in portions {
                hasher.update(portion);
            }
            hasher.finish().to_string()
        };
        let explicit = "1.2.840.10008.1.2.1";
        let whole = digest(explicit, &[&[7; 100]]);
        assert_eq!(
            whole,
            "43b8b58fd55e4e07709273a3873204a978000000000000000000000000000000"
        );
        assert_eq!(digest(explicit, &[&[7; 1], &[7; 62], &[], &[7; 37]]), whole);
        assert_ne!(digest("1.2.840.10008.1.2", &[&[7; 100]]), whole);
        assert_ne!(digest(explicit, &[&[7; 101]]), whole);
    }
}
