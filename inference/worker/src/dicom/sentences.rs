//! What can't be read or decoded, as sentences for a report.

use sonode_conformance::limits::PARSE_DEPTH_MAX;
use sonode_findings::{Sentence, phrases};

use super::OpenError;
use super::pixels::PixelError;
use super::scan::ScanError;

impl OpenError {
    /// What a report says of it.
    pub fn sentence(&self) -> Sentence {
        match self {
            Self::Io(error) => phrases::UNREADABLE.say([error.to_string().into()]),
            Self::NotPart10 => phrases::NO_DICOM.into(),
            Self::Scan(error) => error.sentence(),
            Self::TooLongInflated => phrases::INFLATES_TOO_LONG.into(),
            Self::Header(detail) => phrases::HEADER_REFUSED.say([detail.as_str().into()]),
        }
    }
}

impl ScanError {
    /// What a report says of it.
    pub fn sentence(&self) -> Sentence {
        match self {
            Self::Io(error) => phrases::UNREADABLE.say([error.to_string().into()]),
            Self::TooDeep => phrases::NESTED_TOO_DEEP.say([PARSE_DEPTH_MAX.to_string().into()]),
            Self::Broken(at) => phrases::BROKEN_AT.say([at.to_string().into()]),
            Self::TooManyFragments => phrases::TOO_MANY_FRAGMENTS.into(),
        }
    }
}

impl PixelError {
    /// What a report says of it.
    pub fn sentence(&self) -> Sentence {
        match self {
            Self::Io(error) => phrases::UNREADABLE.say([error.to_string().into()]),
            Self::Missing(what) => phrases::HEADER_LACKS.say([(*what).into()]),
            Self::TooLarge => phrases::FRAME_TOO_LARGE.into(),
            Self::TransferSyntax(uid) => phrases::SYNTAX_NOT_DECODED.say([uid.as_str().into()]),
            Self::Unsupported(what) => phrases::NOT_SUPPORTED.say([(*what).into()]),
            Self::Size { coded, stated } => {
                let [columns, rows] = coded.map(|side| side.to_string().into());
                let [stated_columns, stated_rows] = stated.map(|side| side.to_string().into());
                phrases::CODESTREAM_SIZE.say([columns, rows, stated_columns, stated_rows])
            }
            Self::Codestream(what) => phrases::CODESTREAM.say([(*what).into()]),
            Self::Codec(words) => phrases::DECODER_SAYS.say([words.as_str().into()]),
            Self::Panic => phrases::DECODER_GAVE_UP.into(),
            Self::NoFrame => phrases::NO_WHOLE_FRAME.into(),
            Self::Frame { frame, source } => {
                phrases::IN_FRAME.say([frame.to_string().into(), source.sentence().into()])
            }
        }
    }
}
