//! The transfer syntaxes in which the node stores (PS3.5 section 10, PS3.6 annex A). What can be stored need not be
//! decodable.

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSyntax {
    /// Transfer Syntax UID.
    pub uid: &'static str,
    /// The name of PS3.6 table A-1.
    pub name: &'static str,
    /// How the data set itself is written.
    pub encoding: Encoding,
    /// Whether the worker can decode pixels of it.
    pub decodable: bool,
}

/// How a data set is written (PS3.5 annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Implicit VR Little Endian.
    ImplicitLittle,
    /// Explicit VR Little Endian.
    ExplicitLittle,
    /// Explicit VR Big Endian (retired).
    ExplicitBig,
    /// Explicit VR Little Endian in a raw deflate stream (PS3.5 A.5).
    Deflated,
}

/// Implicit VR Little Endian.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Explicit VR Big Endian.
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// JPEG Baseline (Process 1).
pub const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

const fn row(
    uid: &'static str,
    name: &'static str,
    encoding: Encoding,
    decodable: bool,
) -> TransferSyntax {
    TransferSyntax {
        uid,
        name,
        encoding,
        decodable,
    }
}

/// Every syntax that is accepted.
pub const TABLE: &[TransferSyntax] = &[
    row(
        IMPLICIT_LITTLE,
        "Implicit VR Little Endian",
        Encoding::ImplicitLittle,
        true,
    ),
    row(
        EXPLICIT_LITTLE,
        "Explicit VR Little Endian",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        EXPLICIT_BIG,
        "Explicit VR Big Endian",
        Encoding::ExplicitBig,
        true,
    ),
    row(
        DEFLATED,
        "Deflated Explicit VR Little Endian",
        Encoding::Deflated,
        true,
    ),
    row(
        JPEG_BASELINE,
        "JPEG Baseline (Process 1)",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.51",
        "JPEG Extended (Process 2 & 4)",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.57",
        "JPEG Lossless (Process 14)",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.70",
        "JPEG Lossless (Process 14, SV1)",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.80",
        "JPEG-LS Lossless",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.81",
        "JPEG-LS Near-lossless",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.90",
        "JPEG 2000 Lossless",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.91",
        "JPEG 2000",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.201",
        "HTJ2K Lossless",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.202",
        "HTJ2K Lossless RPCL",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.203",
        "HTJ2K",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.5",
        "RLE Lossless",
        Encoding::ExplicitLittle,
        true,
    ),
    row(
        "1.2.840.10008.1.2.4.100",
        "MPEG2 MP@ML",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.101",
        "MPEG2 MP@HL",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.102",
        "MPEG-4 AVC/H.264 HP@L4.1",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.103",
        "MPEG-4 AVC/H.264 BD HP@L4.1",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.104",
        "MPEG-4 AVC/H.264 HP@L4.2 2D",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.105",
        "MPEG-4 AVC/H.264 HP@L4.2 3D",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.106",
        "MPEG-4 AVC/H.264 Stereo HP@L4.2",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.107",
        "HEVC/H.265 MP@L5.1",
        Encoding::ExplicitLittle,
        false,
    ),
    row(
        "1.2.840.10008.1.2.4.108",
        "HEVC/H.265 M10P@L5.1",
        Encoding::ExplicitLittle,
        false,
    ),
];

/// The row of a syntax, if it is accepted.
pub fn find(uid: &str) -> Option<&'static TransferSyntax> {
    TABLE.iter().find(|syntax| syntax.uid == uid)
}
