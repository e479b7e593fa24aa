//! How fast a checkpoint reads: prompt and answer in tokens a second, the time of a constrained answer, and memory.

use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use tch::{Cuda, Device, Kind, Tensor};

use super::generate::{AnswerError, constrained};
use super::grammar::Vocabulary;
use super::question::{Form, Language, grammar, question};
use super::{Asked, Options, ReaderError, SecondReader};
use crate::device;
use crate::dicom::pixels::RgbFrame;

/// Side of the picture that is read.
const SIDE: usize = 512;
/// Tokens of the constrained answer, and of the free one whose rate is told.
const TOKENS: usize = 16;
/// Timed runs, after one that isn't.
const RUNS: usize = 3;
/// Bytes that are copied to measure the memory's rate.
const COPIED_BYTES: i64 = 1 << 28;

/// Why it can't be timed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The checkpoint can't be used.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// It gives no constrained answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The table can't be written.
    #[error("the table can't be written: {0}")]
    Write(#[from] io::Error),
}

/// Times a checkpoint and writes a table.
///
/// # Errors
/// Each of [`BenchError`].
pub fn run(options: &Options, out: &mut impl Write) -> Result<(), BenchError> {
    let begun = Instant::now();
    let reader = SecondReader::load(options)?;
    let loading = begun.elapsed().as_secs_f64();
    let text = question(Language::Chinese, Form::Sentence);
    let images = [picture()];
    let prompt = reader.prompt(&Asked {
        text: &text,
        images: &images,
        thinking: Some(false),
        ..Asked::default()
    })?;
    let model = &reader.model;
    let known = model.config().text.vocabulary;
    let vocabulary = Vocabulary::new(
        &reader.tokens,
        grammar(Language::Chinese, Form::Sentence),
        known,
    )?;

    let mut prefill = Vec::new();
    let mut decode = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..=RUNS {
        let begun = Instant::now();
        let (mut sequence, mut logits) = model.read(&prompt, TOKENS as i64)?;
        settle(options.device);
        prefill.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for _ in 0..TOKENS {
            let id = logits.argmax(0, false).int64_value(&[]);
            logits = model.go_on(&mut sequence, &[id]);
        }
        settle(options.device);
        decode.push(begun.elapsed().as_secs_f64() / TOKENS as f64);
        let begun = Instant::now();
        // From pixels on: what a clip waits for.
        let prompt = reader.prompt(&Asked {
            text: &text,
            images: &images,
            thinking: Some(false),
            ..Asked::default()
        })?;
        constrained(model, &prompt, &vocabulary, TOKENS, &|| true)?;
        answers.push(begun.elapsed().as_secs_f64());
    }
    let [prefill, decode, answer] = [prefill, decode, answers].map(median);
    let tokens = prompt.ids.len() as f64;
    writeln!(
        out,
        "{} on {}, {}",
        options.checkpoint.display(),
        device::name(options.device),
        options.precision.name()
    )?;
    writeln!(out, "{:<46} {loading:>10.1} s", "loading")?;
    writeln!(
        out,
        "{:<46} {:>10.1} tokens/s ({tokens} tokens in {:.1} ms)",
        "prompt with one 512 x 512 picture",
        tokens / prefill,
        prefill * 1e3
    )?;
    writeln!(out, "{:<46} {:>10.1} tokens/s", "answer", 1.0 / decode)?;
    writeln!(
        out,
        "{:<46} {:>10.1} ms",
        format!("constrained answer of at most {TOKENS} tokens"),
        answer * 1e3
    )?;
    let weights = weights_bytes(options, &reader);
    let bandwidth = bandwidth(options.device);
    writeln!(
        out,
        "{:<46} {:>10.1} % of {:.1} GB/s, measured by copying",
        "weights read a token, of the memory's rate",
        weights as f64 / decode / bandwidth * 100.0,
        bandwidth / 1e9
    )?;
    match peak_bytes() {
        Some(peak) => writeln!(
            out,
            "{:<46} {:>10.1} MiB",
            "peak memory of the process",
            peak as f64 / f64::from(1 << 20)
        )?,
        None => writeln!(out, "{:<46} unknown", "peak memory of the process")?,
    }
    Ok(())
}

fn settle(device: Device) {
    if let Device::Cuda(number) = device {
        Cuda::synchronize(number as i64);
    }
}

/// Bytes of the decoder that one token reads.
fn weights_bytes(options: &Options, reader: &SecondReader) -> u64 {
    let plan = super::weights::Plan::of(reader.model.config());
    plan.bytes_of_a_step(
        options.precision,
        options.precision.arithmetic(options.device),
    )
}

/// Bytes a second that are read and written when a large tensor is copied.
fn bandwidth(device: Device) -> f64 {
    let source = Tensor::zeros([COPIED_BYTES], (Kind::Uint8, device));
    let mut best = f64::MAX;
    for _ in 0..=RUNS {
        let begun = Instant::now();
        let copy = source.copy();
        settle(device);
        best = best.min(begun.elapsed().as_secs_f64());
        drop(copy);
    }
    2.0 * COPIED_BYTES as f64 / best
}

/// The largest resident memory so far; on a GPU that is the host's side alone.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    // The first run allocates.
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// A grey wedge: what it shows makes no difference to the time.
fn picture() -> RgbFrame {
    let pixels = (0..SIDE * SIDE).flat_map(|at| [((at % SIDE) / 2) as u8; 3]);
    RgbFrame {
        width: SIDE,
        height: SIDE,
        pixels: pixels.collect(),
    }
}
