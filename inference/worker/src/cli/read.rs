//! `read`: one question to the second reader, and what its network makes of it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::device::{self, DeviceChoice};
use crate::second_reader::generate::greedy;
use crate::second_reader::linear::Precision;
use crate::second_reader::{Asked, Options, SecondReader, pictures};

/// What is asked of which checkpoint.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    #[command(flatten)]
    pub(super) reader: ReaderArgs,
    /// The question
    #[arg(long)]
    prompt: String,
    /// A picture that the question is about: PNG, or DICOM, then its first frame; may be given several times
    #[arg(long)]
    image: Vec<PathBuf>,
    /// The longest answer
    #[arg(long, default_value_t = 64)]
    max_new_tokens: usize,
    /// No chat template: the pictures, then the question
    #[arg(long)]
    raw: bool,
    /// Tell the chat template that the model is not to think first
    #[arg(long, conflicts_with = "raw")]
    no_thinking: bool,
    /// One JSON document with every token, and the logits of the first
    #[arg(long)]
    json: bool,
}

/// Which checkpoint, and how it is loaded.
#[derive(Debug, Clone, Args)]
pub(super) struct ReaderArgs {
    /// Folder of the checkpoint, as published: config.json, tokenizer.json, safetensors
    #[arg(long)]
    checkpoint: PathBuf,
    /// Folder of a LoRA adapter in PEFT's format
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// How weights are stored: fp32, bf16, int8 or int4
    #[arg(long, default_value = "bf16")]
    dtype: Precision,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    pub(super) device: DeviceChoice,
    /// Memory that it may take, in GiB; else what is found to be free
    #[arg(long)]
    memory_gib: Option<u64>,
}

impl ReaderArgs {
    /// The same for loading.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        Ok(Options {
            checkpoint: self.checkpoint.clone(),
            adapter: self.adapter.clone(),
            precision: self.dtype,
            device: device::resolve(self.device)?,
            memory: self.memory_gib.map(|gib| gib << 30),
            progress: true,
        })
    }
}

#[derive(Serialize)]
struct Output<'a> {
    prompt_ids: &'a [i64],
    generated_ids: &'a [i64],
    text: &'a str,
    first_logits: &'a [f32],
}

/// Asks it.
pub(super) fn run(args: &ReadArgs) -> anyhow::Result<()> {
    let reader = SecondReader::load(&args.reader.options()?)?;
    let images = args.image.iter().map(|path| pictures::read(path));
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let prompt = reader.prompt(&Asked {
        text: &args.prompt,
        images: &images,
        raw: args.raw,
        thinking: args.no_thinking.then_some(false),
        ..Asked::default()
    })?;
    let answer = greedy(&reader.model, &prompt, args.max_new_tokens)?;
    let text = reader.tokens.decode(&answer.ids)?;
    if args.json {
        let output = Output {
            prompt_ids: &prompt.ids,
            generated_ids: &answer.ids,
            text: &text,
            first_logits: &answer.first_logits,
        };
        println!("{}", serde_json::to_string(&output)?);
    } else {
        println!("{text}");
    }
    Ok(std::io::stdout().flush()?)
}
