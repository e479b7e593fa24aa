//! The second reader in the worker: one clip that was measured, or refused for its view or quality, to a reading.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sonode_findings::{InstanceFindings, ModelRef};

use super::generate::{AnswerError, constrained};
use super::grammar::Vocabulary;
use super::question::{Form, Language, Reading, grammar, parse, question};
use super::{Asked, Options, ReaderError, SecondReader};
use crate::clip::{Clip, Pixels};
use crate::dicom::pixels::{PixelError, RgbFrame};

/// Tokens of the longest answer: its frame and 120 characters of prose, should each byte be a token.
const TOKENS_MAX: usize = 640;

/// How the worker uses a second reader.
#[derive(Debug, Clone)]
pub struct ReviewOptions {
    /// Which checkpoint, and how it is loaded.
    pub reader: Options,
    /// Longest time that an answer about a clip is held for its reading.
    pub deadline: Duration,
    /// What becomes of a reading that was not in time.
    pub when_late: WhenLate,
    /// The language of question and narrative.
    pub language: Language,
}

/// What becomes of a reading that was not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenLate {
    /// It is given up.
    Drop,
    /// It goes on while nothing else is to be done, and the findings are sent again with it.
    Revise,
}

impl FromStr for WhenLate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "drop" => Ok(Self::Drop),
            "revise" => Ok(Self::Revise),
            _ => Err("say drop or revise".to_owned()),
        }
    }
}

/// A second reader with its question.
#[derive(Debug)]
pub struct Reviewer {
    reader: SecondReader,
    vocabulary: Vocabulary,
    language: Language,
    model: ModelRef,
    deadline: Duration,
    when_late: WhenLate,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The model gave none.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A frame can't be decoded.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// The longest answer ended before the grammar did.
    #[error("its answer was cut short")]
    CutShort,
}

impl From<ReaderError> for ReviewError {
    fn from(error: ReaderError) -> Self {
        Self::Answer(AnswerError::Reader(error))
    }
}

impl Reviewer {
    /// Loads it.
    ///
    /// # Errors
    /// Those of [`SecondReader::load`], and [`ReaderError::File`] where a file can't be hashed.
    pub fn load(options: &ReviewOptions) -> Result<Self, ReaderError> {
        let reader = SecondReader::load(&options.reader)?;
        let known = reader.model.config().text.vocabulary;
        let grammar = grammar(options.language, Form::Json);
        Ok(Self {
            vocabulary: Vocabulary::new(&reader.tokens, grammar, known)?,
            model: model_ref(&options.reader)?,
            language: options.language,
            deadline: options.deadline,
            when_late: options.when_late,
            reader,
        })
    }

    /// Who reads.
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// Longest time that an answer is held.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether readings that were not in time go on.
    pub fn revises(&self) -> bool {
        self.when_late == WhenLate::Revise
    }

    /// Reads a clip. `go_on` is asked before every step of the model.
    ///
    /// # Errors
    /// Each of [`ReviewError`].
    pub fn read(
        &self,
        clip: &Clip,
        findings: &InstanceFindings,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Reading, ReviewError> {
        let frames = shown(findings)
            .into_iter()
            .map(|frame| colours(clip, frame));
        let images = frames.collect::<Result<Vec<_>, _>>()?;
        let prompt = self.reader.prompt(&Asked {
            text: &question(self.language, Form::Json),
            images: &images,
            thinking: Some(false),
            ..Asked::default()
        })?;
        let answer = constrained(
            &self.reader.model,
            &prompt,
            &self.vocabulary,
            TOKENS_MAX,
            go_on,
        )?;
        let text = self.vocabulary.text(&answer.ids);
        parse(&text, self.language, Form::Json).ok_or(ReviewError::CutShort)
    }
}

/// The frames that are shown, counted from 0: end diastole and end systole of the beat in the middle, whose contours are
/// the measurement's; of a clip that wasn't measured the first one.
fn shown(findings: &InstanceFindings) -> Vec<usize> {
    let middle = findings.beats.get(findings.beats.len() / 2);
    middle.map_or_else(
        || vec![0],
        |beat| {
            vec![beat.ed_frame, beat.es_frame]
                .into_iter()
                .map(|frame| frame.saturating_sub(1) as usize)
                .collect()
        },
    )
}

/// One frame in colour, cropped to the tissue: the screen around it may name the patient.
fn colours(clip: &Clip, frame: usize) -> Result<RgbFrame, PixelError> {
    let (width, height) = (clip.width, clip.height);
    let pixels = match &clip.pixels {
        Pixels::Decoded(_) => {
            let luma = clip.frame(frame)?;
            luma.iter().flat_map(|grey| [*grey; 3]).collect()
        }
        Pixels::Coded { frames, crop, .. } => {
            let whole = frames.rgb(frame)?;
            let mut pixels = Vec::with_capacity(width * height * 3);
            for row in crop.row..crop.row + height {
                let from = (row * whole.width + crop.column) * 3;
                let line = whole.pixels.get(from..from + width * 3);
                pixels.extend_from_slice(line.ok_or(PixelError::NoFrame)?);
            }
            pixels
        }
    };
    Ok(RgbFrame {
        width,
        height,
        pixels,
    })
}

/// Name, form and checksum of what is loaded. The checksum is of the list of all its files with theirs.
fn model_ref(options: &Options) -> Result<ModelRef, ReaderError> {
    let mut digest = Sha256::new();
    let mut folders = vec![&options.checkpoint];
    folders.extend(&options.adapter);
    for folder in folders {
        for file in loaded_files(folder)? {
            digest.update(sha256(&file)?);
        }
    }
    let name = |folder: &PathBuf| {
        let name = folder.file_name();
        name.map_or("checkpoint".into(), |name| {
            name.to_string_lossy().into_owned()
        })
    };
    let adapter = options
        .adapter
        .as_ref()
        .map(|folder| format!(" with {}", name(folder)));
    Ok(ModelRef {
        name: name(&options.checkpoint) + &adapter.unwrap_or_default(),
        version: options.precision.name().to_owned(),
        sha256: hex(&digest.finalize()),
        // That word is for models of synthetic images, and marks whole reports; this one's words carry their own mark.
        research: false,
    })
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or_default())
        .collect()
}

/// The files that an answer depends on, in order.
fn loaded_files(folder: &Path) -> Result<Vec<PathBuf>, ReaderError> {
    let entries = fs::read_dir(folder).map_err(ReaderError::file(folder))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(ReaderError::file(folder))?.path();
        let end = path.extension().and_then(|end| end.to_str());
        if matches!(end, Some("json" | "jinja" | "safetensors")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn sha256(path: &Path) -> Result<Vec<u8>, ReaderError> {
    let mut file = File::open(path).map_err(ReaderError::file(path))?;
    let mut digest = HashWriter(Sha256::new());
    io::copy(&mut file, &mut digest).map_err(ReaderError::file(path))?;
    Ok(digest.0.finalize().to_vec())
}

struct HashWriter(Sha256);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the files of a checkpoint, which are mapped into memory while it is loaded.
pub fn mapped_bytes(options: &Options) -> u64 {
    let folders = [Some(&options.checkpoint), options.adapter.as_ref()];
    let files = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| loaded_files(folder).unwrap_or_default());
    files
        .filter_map(|file| Some(fs::metadata(file).ok()?.len()))
        .sum()
}
