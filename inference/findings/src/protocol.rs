//! The worker's protocol: a `u32` little-endian length, then that many bytes of JSON, both ways over the worker's
//! standard input and output. End of file on its input ends the worker.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sonode_conformance::limits::WORKER_FRAME_BYTES_MAX;

use crate::{InstanceFindings, ModelRef, StudyContext};

/// From the node to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToWorker {
    /// Analyse one instance.
    Analyze(AnalyzeJob),
    /// Read only which study and instance a file is of. The answer is an [`Analyzed`] that holds the context, the SOP
    /// Instance UID and, where the file can't be parsed, the rejection; no pixel is looked at.
    Identify(AnalyzeJob),
    /// Draw something for people to look at.
    Illustrate(Box<IllustrateJob>),
}

/// A file to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalyzeJob {
    /// The node's number for this run; comes back in the answer.
    pub id: u64,
    /// A Part 10 file under the spool, which the worker opens for reading only.
    pub path: PathBuf,
}

/// Something to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IllustrateJob {
    /// The node's number for this run; comes back in the answer.
    pub id: u64,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What is drawn. An SVG is the node's own: it holds shapes and text, and names frames as `frame:0`, `frame:1` and so on
/// where they stand in `<image>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Drawing {
    /// One page with frames in it.
    Page {
        /// The page.
        svg: String,
        /// The frames that it names, in order.
        frames: Vec<FrameOf>,
        /// What it becomes.
        form: PageForm,
    },
    /// Every frame of a clip at its own size, with an SVG drawn over it.
    Cine {
        /// A Part 10 file under the spool.
        path: PathBuf,
        /// One SVG a frame. It may be taller than the frame; what is below the frame is black before it is drawn.
        sheets: Vec<String>,
    },
}

/// One frame of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameOf {
    /// A Part 10 file under the spool.
    pub path: PathBuf,
    /// The frame, from 1.
    pub frame: u32,
}

/// What a page becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageForm {
    /// Pixels, three bytes each.
    Raster,
    /// A PDF with text that can be searched.
    Pdf,
}

/// The answer to one [`IllustrateJob`].
#[derive(Clone, Serialize, Deserialize)]
pub struct Illustrated {
    /// The job's number.
    pub id: u64,
    /// What was drawn, or why nothing was: that is an answer too, and asking again would bring the same one.
    pub outcome: Result<Picture, String>,
}

/// What was drawn.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Picture {
    /// Red, green and blue of each pixel, row by row.
    Raster {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
        /// `columns * rows * 3` bytes.
        #[serde(with = "bytes")]
        rgb: Vec<u8>,
    },
    /// A PDF document.
    Pdf {
        /// The file.
        #[serde(with = "bytes")]
        file: Vec<u8>,
    },
    /// JPEG Baseline files of one size, YCbCr with the chroma halved along the rows.
    Cine {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
        /// A file for each frame.
        frames: Vec<JpegFrame>,
    },
}

/// One JPEG file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JpegFrame(#[serde(with = "bytes")] pub Vec<u8>);

/// Bytes as base64 text, since JSON has no bytes.
mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(from)?)
            .map_err(D::Error::custom)
    }
}

/// From the worker to the node.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromWorker {
    /// The models are loaded: jobs may be sent.
    Ready(Ready),
    /// One analysis is done. An instance that can't be measured is an answer too.
    Analyzed(Box<Analyzed>),
    /// The findings of a job whose answer said that a reading may follow, with that reading. At most one for a job.
    Amended(Box<Amended>),
    /// One drawing is done, or can't be made.
    Illustrated(Box<Illustrated>),
}

/// What the worker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The worker's version; it must equal the node's.
    pub version: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The models that it loaded.
    pub models: Vec<ModelRef>,
    /// How many jobs may be in flight at once.
    pub credits: u32,
}

/// The answer to one [`AnalyzeJob`].
#[derive(Clone, Serialize, Deserialize)]
pub struct Analyzed {
    /// The job's number.
    pub id: u64,
    /// What was found.
    pub findings: InstanceFindings,
    /// The patient and study attributes; null where the file has no readable data set.
    pub context: Option<StudyContext>,
    /// The second reader was not in time and goes on: an [`Amended`] may follow.
    #[serde(default)]
    pub reading_may_follow: bool,
}

/// Findings that were answered already, now with a second reading.
#[derive(Clone, Serialize, Deserialize)]
pub struct Amended {
    /// The job's number.
    pub id: u64,
    /// What was found; the measurement is what it was.
    pub findings: InstanceFindings,
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side ended between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The stream failed or ended inside a frame.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// A frame over [`WORKER_FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is over the limit of {WORKER_FRAME_BYTES_MAX}")]
    TooLong(u64),
    /// Not the JSON of a message.
    #[error("the frame is no message of this protocol: {0}")]
    Malformed(#[source] serde_json::Error),
}

/// Writes one frame and flushes it.
///
/// # Errors
/// [`FrameError::TooLong`], [`FrameError::Malformed`] or [`FrameError::Io`].
pub fn write_frame<M: Serialize>(to: &mut impl Write, message: &M) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Malformed)?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if length > WORKER_FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(body.len() as u64));
    }
    to.write_all(&length.to_le_bytes())
        .map_err(FrameError::Io)?;
    to.write_all(&body).map_err(FrameError::Io)?;
    to.flush().map_err(FrameError::Io)
}

/// Reads one frame. The buffer grows as bytes come, not as the length claims.
///
/// # Errors
/// [`FrameError::Closed`] at an end between two frames, and each other variant.
pub fn read_frame<M: DeserializeOwned>(from: &mut impl Read) -> Result<M, FrameError> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match from.read(length.get_mut(got..).unwrap_or_default()) {
            Ok(0) if got == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(FrameError::Io(e)),
        }
    }
    let length = u32::from_le_bytes(length);
    if length > WORKER_FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(u64::from(length)));
    }
    let mut body = Vec::new();
    from.take(u64::from(length))
        .read_to_end(&mut body)
        .map_err(FrameError::Io)?;
    if body.len() as u64 != u64::from(length) {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&body).map_err(FrameError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_the_end_is_told_from_a_cut() {
        let job = ToWorker::Analyze(AnalyzeJob {
            id: 7,
            path: "/x.dcm".into(),
        });
        let mut wire = Vec::new();
        write_frame(&mut wire, &job).unwrap();
        let mut from = wire.as_slice();
        assert_eq!(read_frame::<ToWorker>(&mut from).unwrap(), job);
        assert!(matches!(
            read_frame::<ToWorker>(&mut from),
            Err(FrameError::Closed)
        ));
        for cut in 1..wire.len() {
            let got = read_frame::<ToWorker>(&mut &wire[..cut]);
            assert!(matches!(got, Err(FrameError::Io(_))), "{cut}");
        }
    }

    #[test]
    fn a_picture_comes_back_byte_for_byte() {
        let picture = Picture::Cine {
            columns: 2,
            rows: 1,
            frames: vec![JpegFrame((0..=255).collect()), JpegFrame(Vec::new())],
        };
        let answer = FromWorker::Illustrated(Box::new(Illustrated {
            id: 3,
            outcome: Ok(picture.clone()),
        }));
        let mut wire = Vec::new();
        write_frame(&mut wire, &answer).unwrap();
        let Ok(FromWorker::Illustrated(back)) = read_frame(&mut wire.as_slice()) else {
            panic!("no picture");
        };
        assert!(back.outcome.is_ok_and(|back| back == picture));
    }

    #[test]
    fn an_absurd_length_is_refused_unread() {
        let got = read_frame::<ToWorker>(&mut [0xFF; 8].as_slice());
        assert!(matches!(got, Err(FrameError::TooLong(_))));
    }
}
