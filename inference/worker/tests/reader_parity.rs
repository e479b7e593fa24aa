//! The second reader against Hugging Face transformers: fixtures that `inference/parity/reader_fixtures.py` made of small
//! random checkpoints. They prove the arithmetic; what such a model says means nothing.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a fixture that is not there or not readable must fail the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sonode_worker::dicom::pixels::RgbFrame;
use sonode_worker::second_reader::files::TensorFiles;
use sonode_worker::second_reader::generate::greedy;
use sonode_worker::second_reader::linear::Precision;
use sonode_worker::second_reader::model::Prompt;
use sonode_worker::second_reader::{Asked, Cine, Options, ReaderError, SecondReader, pictures};
use tch::{Device, Kind, Tensor};

/// Largest difference of a logit in 32 bits.
const EXACT: f64 = 1e-4;
/// Largest relative difference in bfloat16.
const HALF: f64 = 2e-2;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader")
}

fn document() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("cases.json")).unwrap()).unwrap()
}

fn expected(name: &str) -> Tensor {
    let files = TensorFiles::open(&fixtures(), "expected").unwrap();
    files.tensor(name).unwrap()
}

fn numbers(value: &Value) -> Vec<i64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_i64().unwrap())
        .collect()
}

/// A checkpoint of the fixtures in a folder of its own, with the older configuration where one is asked for.
fn checkpoint(name: &str, folder: &Path) -> PathBuf {
    if name != "old-rope" {
        return fixtures().join(name);
    }
    for entry in fs::read_dir(fixtures().join("sharded")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    fs::rename(
        folder.join("config.old-rope.json"),
        folder.join("config.json"),
    )
    .unwrap();
    folder.to_owned()
}

fn load(case: &Value, precision: Precision) -> SecondReader {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint: checkpoint(case["checkpoint"].as_str().unwrap(), folder.path()),
        adapter: case["adapter"].as_str().map(|name| fixtures().join(name)),
        precision,
        device: Device::Cpu,
        memory: None,
        progress: false,
    };
    SecondReader::load(&options).unwrap()
}

/// The frames of the fixture's cine, which lie one below the other in one picture.
fn cine(case: &Value, reader: &SecondReader) -> Option<Cine> {
    let file = case["cine"]["file"].as_str()?;
    let rate = case["cine"]["fps"].as_f64().unwrap();
    let all = pictures::read(&fixtures().join(file)).unwrap();
    let rows = all.height / 8;
    let chosen = reader.sampled(8, rate);
    let frame = |index: &usize| RgbFrame {
        width: all.width,
        height: rows,
        pixels: all.pixels[index * rows * all.width * 3..(index + 1) * rows * all.width * 3]
            .to_vec(),
    };
    Some(Cine {
        frames: chosen.iter().map(frame).collect(),
        seconds: chosen.iter().map(|index| *index as f64 / rate).collect(),
    })
}

fn prompt(case: &Value, reader: &SecondReader) -> Prompt {
    let images: Vec<RgbFrame> = case["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| pictures::read(&fixtures().join(name.as_str().unwrap())).unwrap())
        .collect();
    reader
        .prompt(&Asked {
            text: case["prompt"].as_str().unwrap(),
            images: &images,
            cine: cine(case, reader).as_ref(),
            raw: case["raw"].as_bool().unwrap(),
            thinking: case["no_thinking"].as_bool().unwrap().then_some(false),
        })
        .unwrap()
}

fn largest(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one - other).abs().max().double_value(&[])
}

fn relative(one: &Tensor, other: &Tensor) -> f64 {
    ((one - other).norm() / other.norm()).double_value(&[])
}

fn sha256(tensor: &Tensor) -> String {
    use sha2::{Digest, Sha256};
    let numbers: Vec<f32> = Vec::try_from(tensor.flatten(0, -1)).unwrap();
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from_digit(u32::from(digit), 16).unwrap())
        .collect()
}

#[test]
fn prompts_pictures_logits_and_answers_are_those_of_transformers() {
    for case in document()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let reader = load(case, Precision::Fp32);
        let prompt = prompt(case, &reader);
        assert_eq!(prompt.ids, numbers(&case["prompt_ids"]), "{name}: prompt");
        if let Some(digest) = case["pixels_sha256"].as_str() {
            let patches: Vec<&Tensor> = prompt.pictures.iter().map(|one| &one.values).collect();
            assert_eq!(sha256(&Tensor::cat(&patches, 0)), digest, "{name}: pixels");
        }
        let tail = expected(&format!("{name}.tail"));
        let logits = reader.model.tail(&prompt, tail.size()[0]).unwrap();
        let difference = largest(&logits, &tail);
        println!("{name}: {difference:.1e} in the prompt");
        assert!(
            difference <= EXACT,
            "{name}: logits differ by {difference:.1e}"
        );

        let generated = numbers(&case["generated_ids"]);
        let answer = greedy(&reader.model, &prompt, generated.len()).unwrap();
        assert_eq!(answer.ids, generated, "{name}: answer");
        assert_eq!(
            reader.tokens.decode(&answer.ids).unwrap(),
            case["text"],
            "{name}"
        );
        // Every step with the cache, one token at a time.
        let steps = expected(&format!("{name}.steps"));
        let (mut sequence, mut logits) =
            reader.model.read(&prompt, generated.len() as i64).unwrap();
        for (step, id) in generated.iter().enumerate() {
            let difference = largest(&logits, &steps.get(step as i64));
            assert!(
                difference <= EXACT,
                "{name}: step {step} differs by {difference:.1e}"
            );
            logits = reader.model.go_on(&mut sequence, &[*id]);
        }
        // The same tokens at once go past the cache's begin under a mask.
        let (mut sequence, _) = reader.model.read(&prompt, generated.len() as i64).unwrap();
        let last = reader
            .model
            .go_on(&mut sequence, &generated[..generated.len() - 1]);
        let difference = largest(&last, &steps.get(generated.len() as i64 - 1));
        assert!(
            difference <= EXACT,
            "{name}: together they differ by {difference:.1e}"
        );
    }
}

#[test]
fn bfloat16_is_near_to_what_transformers_computes_in_it_and_in_32_bits() {
    for case in document()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let reader = load(case, Precision::Bf16);
        let (_, logits) = reader.model.read(&prompt(case, &reader), 0).unwrap();
        let theirs = expected(&format!("{name}.bf16"));
        let exact = expected(&format!("{name}.steps")).get(0);
        let (half, full) = (relative(&logits, &theirs), relative(&logits, &exact));
        let their_loss = relative(&theirs, &exact);
        println!(
            "{name}: {half:.1e} from theirs, {full:.1e} from 32 bits; theirs {their_loss:.1e}"
        );
        assert!(
            full <= HALF && half <= HALF,
            "{name}: {half:.1e}, {full:.1e}"
        );
    }
}

/// How much quantisation may lose: relative to the logits, and of the perplexity of the model's own answers.
#[test]
fn quantised_weights_lose_no_more_than_is_stated() {
    for (precision, logits_max, perplexity_max) in
        [(Precision::Int8, 0.05, 0.05), (Precision::Int4, 0.30, 0.30)]
    {
        for case in document()["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let reader = load(case, precision);
            let prompt = prompt(case, &reader);
            let generated = numbers(&case["generated_ids"]);
            let steps = expected(&format!("{name}.steps"));
            let (mut sequence, mut logits) =
                reader.model.read(&prompt, generated.len() as i64).unwrap();
            let loss = relative(&logits, &steps.get(0));
            let mut surprise = [0.0; 2];
            for (step, id) in generated.iter().enumerate() {
                for (sum, logits) in surprise.iter_mut().zip([&logits, &steps.get(step as i64)]) {
                    *sum -= logits.log_softmax(0, Kind::Float).double_value(&[*id]);
                }
                logits = reader.model.go_on(&mut sequence, &[*id]);
            }
            let perplexity = surprise.map(|sum| (sum / generated.len() as f64).exp());
            let more = perplexity[0] / perplexity[1] - 1.0;
            println!(
                "{} {name}: logits {loss:.3}, perplexity {more:+.4}",
                precision.name()
            );
            assert!(loss <= logits_max, "{name}: logits lose {loss:.3}");
            assert!(
                more <= perplexity_max,
                "{name}: perplexity grows by {more:.3}"
            );
        }
    }
}

#[test]
fn the_tokenizer_goes_there_and_back_as_pythons_does() {
    let document = document();
    let reader = load(&document["cases"][0], Precision::Fp32);
    for sample in document["tokens"].as_array().unwrap() {
        let text = sample["text"].as_str().unwrap();
        let ids = reader.tokens.encode(text).unwrap();
        assert_eq!(ids, numbers(&sample["ids"]), "{text}");
        let unskipped: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        let back = reader.tokens.tokenizer().decode(&unskipped, false).unwrap();
        assert_eq!(back, sample["back"], "{text}");
        assert_eq!(back, text);
    }
}

#[test]
fn every_missing_extra_and_misshapen_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint("old-rope", folder.path());
    // One layer more, a wider feed-forward layer, and no bias any more.
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    config["text_config"]["num_hidden_layers"] = 3.into();
    config["text_config"]["intermediate_size"] = 100.into();
    config["text_config"]["attention_bias"] = false.into();
    fs::write(&file, config.to_string()).unwrap();
    let options = Options {
        checkpoint: folder.path().to_owned(),
        adapter: None,
        precision: Precision::Fp32,
        device: Device::Cpu,
        memory: None,
        progress: false,
    };
    let error = SecondReader::load(&options).unwrap_err();
    assert!(matches!(error, ReaderError::Tensors(_)));
    let told = error.to_string();
    for part in [
        "model.language_model.layers.2.mlp.down_proj.weight is missing",
        "model.language_model.layers.0.mlp.gate_up_proj.weight is [192, 64], not [200, 64]",
        "model.language_model.layers.1.self_attn.q_proj.bias belongs to no part",
    ] {
        assert!(told.contains(part), "{part}");
    }
    fs::remove_file(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
    let told = SecondReader::load(&options).unwrap_err().to_string();
    assert!(
        told.contains("model-00002-of-00003.safetensors is missing"),
        "{told}"
    );
}

#[test]
fn the_command_prints_what_the_library_computes() {
    let document = document();
    let case = &document["cases"][3];
    let output = Command::new(env!("CARGO_BIN_EXE_sonode-worker"))
        .args([
            "read",
            "--device",
            "cpu",
            "--dtype",
            "fp32",
            "--raw",
            "--json",
            "--max-new-tokens",
            "12",
        ])
        .arg("--checkpoint")
        .arg(fixtures().join("sharded"))
        .arg("--prompt")
        .arg(case["prompt"].as_str().unwrap())
        .arg("--image")
        .arg(fixtures().join("wide.png"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["prompt_ids", "generated_ids", "text"] {
        assert_eq!(printed[key], case[key], "{key}");
    }
    assert_eq!(printed["first_logits"].as_array().unwrap().len(), 448);
}
