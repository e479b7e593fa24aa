//! Models that a user brings: small stand-ins whose arithmetic is known, so that what is read can be computed by hand.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "image and tensor arithmetic"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sonode_findings::{CheckOutcome, Grade, Rejection, ViewLabel};
use sonode_worker::clip::Clip;
use sonode_worker::measure::{ClipReading, read_clip};
use sonode_worker::models::{MANIFEST, Models, ModelsError, sha256};
use tch::{CModule, Device, Kind, Tensor};

/// A manifest but for its checksum; `{…}` parts are those that differ between the stand-ins.
struct Written<'a> {
    name: &'a str,
    task: &'a str,
    /// Layout, channels, frames, stride, …
    input: &'a str,
    output: &'a str,
    research: bool,
}

const FRAME: &str = "layout = \"NCHW\"\nchannels = 1\nframes = 1\nstride = 1\nheight = 16\nwidth = 16\nfit = \"stretch\"\npadding = \"none\"\nvalue_range = [0.0, 1.0]\nmean = [0.0]\nstd = [1.0]";

/// Four frames, every other one, in three channels of 0 to 255.
const CLIP: &str = "layout = \"NCTHW\"\nchannels = 3\nframes = 4\nstride = 2\nheight = 16\nwidth = 16\nfit = \"stretch\"\npadding = \"zero\"\nvalue_range = [0.0, 255.0]\nmean = [10.0, 20.0, 30.0]\nstd = [10.0, 20.0, 40.0]";

const EF: &str = "name = \"ef\"\nactivation = \"identity\"\nlabels = [\"lvef\"]\nunit = \"%\"";

const VIEWS: &str =
    "name = \"view\"\nactivation = \"softmax\"\nlabels = [\"A2C\", \"A3C\", \"A4C\", \"SSN\"]";

const FITNESS: &str = "name = \"quality\"\nactivation = \"sigmoid\"\nlabels = [\"quality\"]";

/// Writes a model's folder; `save` writes its TorchScript file.
#[expect(clippy::unwrap_used, reason = "a test's temporary folder")]
fn bring(dir: &Path, written: &Written<'_>, save: impl FnOnce(&Path)) {
    let folder = dir.join(written.name);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("model.pt");
    save(&file);
    let Written {
        name,
        task,
        input,
        output,
        research,
    } = written;
    let digest = sha256(&file).unwrap();
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1\"\ntask = \"{task}\"\nfile = \"model.pt\"\nsha256 = \"{digest}\"\n\
         licence = \"MIT\"\nresearch = {research}\n[input]\n{input}\n[[output]]\n{output}\n"
    );
    fs::write(folder.join(MANIFEST), manifest).unwrap();
}

/// Traces a function of one tensor and saves it.
#[expect(clippy::unwrap_used, reason = "a test's temporary file")]
fn traced(example: &[i64], forward: impl Fn(&Tensor) -> Tensor) -> impl FnOnce(&Path) {
    let example = Tensor::zeros(example, (Kind::Float, Device::Cpu));
    move |file| {
        let mut forward = |inputs: &[Tensor]| vec![forward(&inputs[0])];
        let module =
            CModule::create_by_tracing("StandIn", "forward", &[example], &mut forward).unwrap();
        module.save(file).unwrap();
    }
}

/// A file of `tests/data`, which `inference/parity/stand_ins.py` makes.
#[expect(clippy::unwrap_used, reason = "a test's temporary file")]
fn committed(name: &str) -> impl FnOnce(&Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    move |file| {
        fs::copy(from, file).unwrap();
    }
}

/// A network of the cavity alone, as EchoNet-Dynamic's: a dictionary whose `out` is the first of three channels, which
/// is over 0 where the luma is over 100.
fn bring_segmentation(dir: &Path) {
    let written = Written {
        name: "cavity",
        task: "lv-segmentation",
        input: "layout = \"NCHW\"\nchannels = 3\nframes = 1\nstride = 1\nheight = 112\nwidth = 112\nfit = \"stretch\"\npadding = \"none\"\nvalue_range = [0.0, 255.0]\nmean = [100.0, 0.0, 0.0]\nstd = [5.0, 1.0, 1.0]",
        output: "name = \"out\"\nactivation = \"sigmoid\"\nlabels = [\"lv\"]",
        research: false,
    };
    bring(dir, &written, committed("dictionary.pt"));
}

/// The mean over everything but the batch, `[n, 1]`.
fn mean(input: &Tensor) -> Tensor {
    let dims: Vec<i64> = (1..input.dim() as i64).collect();
    input
        .mean_dim(Some(dims.as_slice()), false, Kind::Float)
        .unsqueeze(1)
}

/// An EF model that gives `scale` times a clip's mean plus `offset`.
fn bring_regression(dir: &Path, input: &str, [scale, offset]: [f64; 2]) {
    let written = Written {
        name: "ef",
        task: "ef-regression",
        input,
        output: EF,
        research: false,
    };
    let forward = move |input: &Tensor| mean(input) * scale + offset;
    bring(dir, &written, traced(&[2, 3, 4, 16, 16], forward));
}

/// A view model whose logits are `at_white` times the frame's mean.
fn bring_view(dir: &Path, at_white: [f64; 4], research: bool) {
    let written = Written {
        name: "view",
        task: "view",
        input: FRAME,
        output: VIEWS,
        research,
    };
    let weights = Tensor::from_slice(&at_white.map(|weight| weight as f32)).view([1, 4]);
    let forward = move |input: &Tensor| mean(input) * &weights;
    bring(dir, &written, traced(&[2, 1, 16, 16], forward));
}

/// A quality model whose logit is `at_white` times the frame's mean.
fn bring_quality(dir: &Path, at_white: f64) {
    let written = Written {
        name: "quality",
        task: "quality",
        input: FRAME,
        output: FITNESS,
        research: false,
    };
    bring(
        dir,
        &written,
        traced(&[2, 1, 16, 16], move |input| mean(input) * at_white),
    );
}

/// A cine of evenly grey frames.
fn grey(luma: &[u8]) -> Clip {
    let (width, height) = (40, 30);
    cine(
        width,
        height,
        luma.iter()
            .flat_map(|luma| vec![*luma; width * height])
            .collect(),
    )
}

fn cine(width: usize, height: usize, pixels: Vec<u8>) -> Clip {
    Clip {
        frames: pixels.len() / (width * height),
        height,
        width,
        pixels: pixels.into(),
        origin: [0, 0],
        image: [width, height],
        cm_per_px: Some([0.06, 0.06]),
        pixel_aspect: 1.0,
        frame_rate_hz: Some(30.0),
        heart_rate_bpm: Some(72.0),
        header_view: None,
        norms: None,
    }
}

/// Half of an ellipse's short axis at each frame: 72 beats a minute at 30 frames a second, from 28 to 20 pixels.
fn half_width(frame: usize) -> f64 {
    24.0 + 4.0 * (frame as f64 / 25.0 * std::f64::consts::TAU).cos()
}

/// A bright ellipse on grey, 120 pixels long: its volume goes with the square of its width.
fn beating() -> Clip {
    let (width, height, frames) = (160, 160, 60);
    let mut pixels = Vec::with_capacity(width * height * frames);
    for frame in 0..frames {
        for at in 0..width * height {
            let x = ((at % width) as f64 - 79.5) / half_width(frame);
            let y = ((at / width) as f64 - 79.5) / 60.0;
            pixels.push(if x * x + y * y < 1.0 { 180 } else { 40 });
        }
    }
    cine(width, height, pixels)
}

/// 1 - (20 / 28)^2
const TRUE_EF: f64 = 48.98;

#[expect(clippy::unwrap_used, reason = "a test's own models")]
fn load(dir: &Path) -> Models {
    Models::load(dir, Device::Cpu, false).unwrap()
}

fn rejection(reading: &ClipReading) -> Option<Rejection> {
    reading.rejected.as_ref().map(|(reason, _)| *reason)
}

#[test]
fn an_ejection_fraction_is_the_mean_over_clips_prepared_as_stated() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    bring_regression(dir.path(), CLIP, [1.0, 50.0]);
    let models = load(dir.path());
    let model = models.ef_regression().unwrap();
    let read = |luma: &[u8]| model.read_number(&grey(luma)).unwrap().unwrap();
    // Frames 0, 2, 4, 6 with luma 10, 30, 50, 70, of mean 40: channels (40-10)/10, (40-20)/20, (40-30)/40, of mean 17/12.
    let seven = [10, 0, 30, 0, 50, 0, 70];
    assert!((read(&seven) - (50.0 + 17.0 / 12.0)).abs() < 1e-4);
    // One more frame: a second clip of the odd frames, 0, 0, 0, 100, of mean 25: 1.5, 0.25, -0.125, of mean 13/24.
    let eight = [10, 0, 30, 0, 50, 0, 70, 100];
    let expected = 50.0 + f64::midpoint(17.0 / 12.0, 13.0 / 24.0);
    assert!((read(&eight) - expected).abs() < 1e-4);
    // Three frames: 0 and 2, then two of zeros, so the mean of luma 20 halved: 1, 0, -0.25, of mean 0.25.
    assert!((read(&[10, 0, 30]) - 50.125).abs() < 1e-4);
}

#[test]
fn a_model_that_counts_in_time_is_not_asked_without_a_frame_rate() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    bring_regression(
        dir.path(),
        &format!("{CLIP}\nframe_rate_hz = 60.0"),
        [1.0, 0.0],
    );
    let models = load(dir.path());
    let model = models.ef_regression().unwrap();
    // At half the rate, every frame: luma 20, 40, 60, 80 of mean 50: 4, 1.5, 0.5, of mean 2.
    let mut clip = grey(&[20, 40, 60, 80]);
    assert!((model.read_number(&clip).unwrap().unwrap() - 2.0).abs() < 1e-4);
    clip.frame_rate_hz = None;
    assert_eq!(model.read_number(&clip).unwrap(), None);

    let mut unknown = beating();
    unknown.header_view = Some(ViewLabel::A4C);
    unknown.frame_rate_hz = None;
    let reading = read_clip(&unknown, &models);
    let check = reading
        .checks
        .iter()
        .find(|check| check.id == "ef-regression-agreement");
    assert!(reading.lv.is_some(), "{:?}", reading.rejected);
    assert_eq!(check.unwrap().outcome, CheckOutcome::Skipped);
    // Only what took part is named.
    assert_eq!(reading.models.len(), 1);
}

#[test]
fn view_and_quality_are_means_of_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    bring_view(dir.path(), [0.0, 0.0, 5.0_f64.ln(), 0.0], false);
    bring_quality(dir.path(), 3.0_f64.ln());
    let models = load(dir.path());
    // Black: each of four views 1/4. White: A4C 5/8, the others 1/8.
    let clip = grey(&[0, 255]);
    let seen = models.view().unwrap().read_view(&clip).unwrap().unwrap();
    assert!((seen.a4c - 7.0 / 16.0).abs() < 1e-4 && (seen.a2c - 3.0 / 16.0).abs() < 1e-4);
    assert!((seen.other - 6.0 / 16.0).abs() < 1e-4);
    // Black: 1/2. White: 3/4.
    let fitness = models
        .quality()
        .unwrap()
        .read_number(&clip)
        .unwrap()
        .unwrap();
    assert!((fitness - 0.625).abs() < 1e-4);
    // More frames than a bucket holds at once, and than are shown: every other one of 31.
    let flicker: Vec<u8> = (0..31)
        .map(|frame| if frame % 4 == 0 { 255 } else { 0 })
        .collect();
    let fitness = models
        .quality()
        .unwrap()
        .read_number(&grey(&flicker))
        .unwrap()
        .unwrap();
    assert!((fitness - 0.625).abs() < 1e-4);
}

#[test]
fn the_head_that_answers_is_found_among_several() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    let written = Written {
        name: "heads",
        task: "ef-regression",
        input: CLIP,
        output: &format!(
            "name = \"other\"\nactivation = \"identity\"\nlabels = [\"gls\"]\n[[output]]\n{EF}"
        ),
        research: false,
    };
    bring(dir.path(), &written, committed("heads.pt"));
    let models = load(dir.path());
    let model = models.ef_regression().unwrap();
    let ef = model
        .read_number(&grey(&[10, 0, 30, 0, 50, 0, 70]))
        .unwrap()
        .unwrap();
    assert!((ef - 17.0 / 12.0).abs() < 1e-4, "{ef}");
}

#[test]
fn a_network_of_the_cavity_alone_measures_where_something_tells_the_view() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    let models = load(dir.path());
    let mut clip = beating();
    let untold = read_clip(&clip, &models);
    assert_eq!(rejection(&untold), Some(Rejection::View));
    assert!(untold.rejected.unwrap().1.text().contains("no view model"));

    clip.header_view = Some(ViewLabel::A4C);
    let reading = read_clip(&clip, &models);
    assert_eq!(reading.rejected, None);
    let lv = reading.lv.unwrap();
    assert!((lv.lvef_percent - TRUE_EF).abs() < 3.0, "{lv:?}");
    let outcome = |id: &str| {
        reading
            .checks
            .iter()
            .find(|check| check.id == id)
            .map(|c| c.outcome)
    };
    assert_eq!(outcome("annulus-seen"), Some(CheckOutcome::Warn));
    assert_eq!(outcome("ef-regression-agreement"), None);
    assert_eq!(reading.models.len(), 1);
}

#[test]
fn measured_and_regressed_ejection_fractions_are_compared() {
    for (ef, outcome) in [(45.0, CheckOutcome::Pass), (65.0, CheckOutcome::Warn)] {
        let dir = tempfile::tempdir().unwrap();
        bring_segmentation(dir.path());
        bring_regression(dir.path(), CLIP, [0.0, ef]);
        let mut clip = beating();
        clip.header_view = Some(ViewLabel::A4C);
        let models = load(dir.path());
        let reading = read_clip(&clip, &models);
        let check = reading
            .checks
            .iter()
            .find(|check| check.id == "ef-regression-agreement")
            .unwrap();
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(
            check
                .detail
                .contains(&format!("EF {ef:.0} % by regression")),
            "{check:?}"
        );
        assert!(reading.lv.is_some());
        assert_eq!(reading.models, models.refs());
        assert_eq!(reading.models.len(), 2);
        // It has no say where nothing is measured.
        clip.header_view = None;
        assert_eq!(read_clip(&clip, &models).models.len(), 1);
    }
}

#[test]
fn a_view_model_refuses_or_names_the_view() {
    let named = |at_white: [f64; 4]| {
        let dir = tempfile::tempdir().unwrap();
        bring_segmentation(dir.path());
        bring_view(dir.path(), at_white, false);
        read_clip(&beating(), &load(dir.path()))
    };
    let two_chamber = named([40.0, 0.0, 0.0, 0.0]);
    assert_eq!(two_chamber.rejected, None);
    let view = two_chamber.view.unwrap();
    assert!(view.label == ViewLabel::A2C && view.probability.unwrap() > 0.9);
    assert_eq!(
        two_chamber.lv.unwrap().method,
        sonode_findings::Method::ModA2c
    );
    let other = named([0.0, 0.0, 0.0, 40.0]);
    assert_eq!(rejection(&other), Some(Rejection::View));
    assert!(other.lv.is_none() && other.quality.is_some());
}

#[test]
fn a_quality_model_judges_measured_and_refused_clips_alike() {
    let read = |view: [f64; 4], quality: f64| {
        let dir = tempfile::tempdir().unwrap();
        bring_segmentation(dir.path());
        bring_view(dir.path(), view, false);
        bring_quality(dir.path(), quality);
        read_clip(&beating(), &load(dir.path()))
    };
    let (four_chamber, other) = ([0.0, 0.0, 40.0, 0.0], [0.0, 0.0, 0.0, 40.0]);
    let good = read(four_chamber, 40.0);
    assert_eq!(good.rejected, None);
    assert_eq!(good.models.len(), 3);
    let poor = read(four_chamber, -40.0);
    assert_eq!(rejection(&poor), Some(Rejection::Quality));
    let quality = poor.quality.unwrap();
    assert!(quality.score < 0.01 && quality.grade == Grade::Poor);
    assert!(
        quality
            .reasons
            .iter()
            .any(|reason| reason.contains("quality model"))
    );
    // A good picture of another view, and one of which no one can tell the view.
    let wrong_view = read(other, 40.0);
    assert_eq!(rejection(&wrong_view), Some(Rejection::View));
    assert_eq!(wrong_view.quality.unwrap().grade, Grade::Good);
    let spoilt = read(other, -40.0);
    assert_eq!(rejection(&spoilt), Some(Rejection::Quality));
    assert_eq!(spoilt.view.unwrap().label, ViewLabel::Other);
    assert!(spoilt.rejected.unwrap().1.text().contains("quality model"));
}

#[test]
fn what_a_file_does_not_keep_of_its_manifest_is_refused() {
    let refused = |output: &str, forward: fn(&Tensor) -> Tensor| {
        let dir = tempfile::tempdir().unwrap();
        bring_segmentation(dir.path());
        let written = Written {
            name: "ef",
            task: "ef-regression",
            input: CLIP,
            output,
            research: false,
        };
        bring(dir.path(), &written, traced(&[2, 3, 4, 16, 16], forward));
        let error = Models::load(dir.path(), Device::Cpu, false).unwrap_err();
        assert!(matches!(error, ModelsError::Module { .. }), "{error}");
        error.to_string()
    };
    let rows = refused(EF, |input| {
        input.mean_dim(Some([1_i64, 2, 3].as_slice()), false, Kind::Float)
    });
    assert!(rows.contains("\"ef\"") && rows.contains("[1, 1]"), "{rows}");
    let two =
        format!("{EF}\n[[output]]\nname = \"gls\"\nactivation = \"identity\"\nlabels = [\"gls\"]");
    let one = refused(&two, mean);
    assert!(
        one.contains("gives 1 outputs, but its manifest lists 2"),
        "{one}"
    );
}

#[test]
fn two_models_of_one_task_are_refused_and_research_models_need_leave() {
    let dir = tempfile::tempdir().unwrap();
    bring_segmentation(dir.path());
    bring_view(dir.path(), [0.0; 4], true);
    assert!(load(dir.path()).view().is_none());
    assert!(
        Models::load(dir.path(), Device::Cpu, true)
            .unwrap()
            .view()
            .is_some()
    );
    let written = Written {
        name: "another-view",
        task: "view",
        input: FRAME,
        output: VIEWS,
        research: true,
    };
    bring(
        dir.path(),
        &written,
        traced(&[2, 1, 16, 16], |input| mean(input).expand([-1, 4], false)),
    );
    let error = Models::load(dir.path(), Device::Cpu, true).unwrap_err();
    assert!(matches!(error, ModelsError::Twice { .. }));
    let text = error.to_string();
    assert!(
        text.contains("another-view") && text.contains("view"),
        "{text}"
    );
}

#[expect(clippy::unwrap_used, reason = "a test's own program")]
fn worker(arguments: &[&str], models: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sonode-worker"))
        .args(arguments)
        .arg("--models-dir")
        .arg(models)
        .output()
        .unwrap()
}

#[test]
fn the_command_line_lists_runs_times_and_exports_every_task() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    bring_segmentation(&models);
    bring_regression(&models, CLIP, [2.0, 50.0]);
    bring_view(&models, [0.0; 4], true);
    bring_quality(&models, 1.0);
    let listed = worker(&["models", "list"], &models);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for task in ["lv-segmentation", "ef-regression", "view", "quality"] {
        assert!(listed.contains(task), "{listed}");
    }
    let timed = worker(&["models", "bench", "ef", "--device", "cpu"], &models);
    assert!(String::from_utf8(timed.stdout).unwrap().contains("clips/s"));
    let exported = dir.path().join("exported");
    let exported = exported.to_str().unwrap();
    assert!(
        worker(&["export", "view", "--out", exported], &models)
            .status
            .success()
    );

    let file = dir.path().join("tensor.npy");
    let (given, out) = (file.to_str().unwrap(), dir.path().join("out"));
    let run = [
        "models",
        "run",
        "ef",
        given,
        "--out",
        out.to_str().unwrap(),
        "--device",
        "cpu",
    ];
    let clips = [
        Tensor::full([1, 3, 4, 16, 16], 1.0, (Kind::Float, Device::Cpu)),
        Tensor::full([1, 3, 4, 16, 16], -3.0, (Kind::Float, Device::Cpu)),
    ];
    Tensor::cat(&clips, 0).write_npy(&file).unwrap();
    let ran = worker(&run, &models);
    assert!(ran.status.success(), "{ran:?}");
    let ef = Tensor::read_npy(out.join("ef.npy")).unwrap();
    assert_eq!(ef.size(), [2, 1]);
    assert!((ef.double_value(&[0, 0]) - 52.0).abs() < 1e-4);
    assert!((ef.double_value(&[1, 0]) - 44.0).abs() < 1e-4);
    // A tensor of another shape is refused with the shape that it must have.
    clips[0].select(2, 0).contiguous().write_npy(&file).unwrap();
    let refused = worker(&run, &models);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && why.contains("[1, 3, 4, 16, 16]"),
        "{why}"
    );
}
