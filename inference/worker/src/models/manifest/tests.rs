//! Manifests that are read, refused and written.

use super::*;

/// A complete manifest: that of the built-in segmentation network.
pub(crate) const SEGMENTATION: &str = r#"
name = "lv-segmentation"
version = "1"
task = "lv-segmentation"
file = "model.pt"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
licence = "MIT OR Apache-2.0"
research = true

[input]
layout = "NCHW"
channels = 1
frames = 1
stride = 1
height = 112
width = 112
fit = "stretch"
padding = "none"
value_range = [0.0, 1.0]
brightest_percentile = 99.0
mean = [0.0]
std = [1.0]

[[output]]
name = "maps"
activation = "sigmoid"
labels = ["lv", "myocardium", "la", "right-heart"]

[bfloat16]
file = "model-bfloat16.pt"
sha256 = "2222222222222222222222222222222222222222222222222222222222222222"
"#;

/// EchoNet-Dynamic's clip regression: 0-255, with a mean and deviation of its own training set.
const ECHONET: &str = r#"
name = "echonet-ef"
version = "r2plus1d_18"
task = "ef-regression"
file = "ef.pt"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
licence = "LicenseRef-EchoNet"
research = true
[input]
layout = "NCTHW"
channels = 3
frames = 32
stride = 2
frame_rate_hz = 50.0
height = 112
width = 112
fit = "centre-square"
zoom = 0.1
padding = "zero"
value_range = [0.0, 255.0]
mean = [32.05, 32.41, 32.95]
std = [49.75, 49.90, 50.34]
[[output]]
name = "ef"
activation = "identity"
labels = ["lvef"]
unit = "%"
"#;

/// EchoNet-Dynamic's segmentation: torchvision's dictionary, of which `out` is the cavity.
const ECHONET_SEGMENTATION: &str = r#"
name = "echonet-segmentation"
version = "deeplabv3_resnet50"
task = "lv-segmentation"
file = "segmentation.pt"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
licence = "LicenseRef-EchoNet"
research = true
[input]
layout = "NCHW"
channels = 3
frames = 1
stride = 1
height = 112
width = 112
fit = "centre-square"
zoom = 0.1
padding = "none"
value_range = [0.0, 255.0]
mean = [32.05, 32.41, 32.95]
std = [49.75, 49.90, 50.34]
[[output]]
name = "out"
activation = "sigmoid"
labels = ["lv"]
"#;

/// PanEcho: several heads, of which one is the ejection fraction.
const PANECHO: &str = r#"
name = "panecho"
version = "convnext-t"
task = "ef-regression"
file = "panecho.pt"
sha256 = "2222222222222222222222222222222222222222222222222222222222222222"
licence = "CC-BY-NC-SA-4.0"
research = true
[input]
layout = "NCTHW"
channels = 3
frames = 16
stride = 1
height = 224
width = 224
fit = "centre-square"
padding = "repeat-last"
value_range = [0.0, 1.0]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[[output]]
name = "pericardial-effusion"
activation = "one-minus-sigmoid"
labels = ["effusion"]
[[output]]
name = "EF"
activation = "identity"
labels = ["lvef"]
unit = "%"
"#;

/// EchoPrime's view classifier.
const ECHOPRIME: &str = r#"
name = "echoprime-view"
version = "convnext_base"
task = "view"
file = "view.pt"
sha256 = "3333333333333333333333333333333333333333333333333333333333333333"
licence = "MIT"
research = true
[input]
layout = "NCHW"
channels = 3
frames = 1
stride = 1
height = 224
width = 224
fit = "centre-square"
zoom = 0.1
padding = "none"
value_range = [0.0, 255.0]
mean = [29.110628, 28.076836, 29.096405]
std = [47.989223, 46.456997, 47.20083]
[[output]]
name = "view"
activation = "softmax"
labels = ["A2C", "A3C", "A4C", "A5C", "Apical_Doppler", "Doppler_Parasternal_Long", "Doppler_Parasternal_Short", "Parasternal_Long", "Parasternal_Short", "SSN", "Subcostal"]
"#;

/// A model of quality.
const QUALITY: &str = r#"
name = "quality"
version = "1"
task = "quality"
file = "model.pt"
sha256 = "4444444444444444444444444444444444444444444444444444444444444444"
licence = "MIT"
research = true
[input]
layout = "NCHW"
channels = 1
frames = 1
stride = 1
height = 112
width = 112
fit = "stretch"
padding = "none"
value_range = [0.0, 1.0]
brightest_percentile = 99.0
mean = [0.0]
std = [1.0]
[[output]]
name = "quality"
activation = "sigmoid"
labels = ["quality"]
"#;

#[test]
fn a_complete_manifest_is_read_and_written_again() {
    let manifest = Manifest::parse(SEGMENTATION).unwrap();
    assert_eq!(manifest.task, Task::LvSegmentation);
    let again = Manifest::parse(&toml::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(again, manifest);
}

#[test]
fn whatever_is_missing_is_named() {
    let required = [
        "name",
        "version",
        "task",
        "file",
        "sha256",
        "licence",
        "research",
        "layout",
        "channels",
        "frames",
        "stride",
        "height",
        "width",
        "fit",
        "padding",
        "value_range",
        "mean",
        "std",
        "activation",
        "labels",
    ];
    for key in required {
        let prefix = format!("{key} =");
        let mut cut = false;
        let text: String = SEGMENTATION
            .lines()
            .filter(|line| {
                let drop = !cut && line.starts_with(&prefix);
                cut |= drop;
                !drop
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let error = Manifest::parse(&text).unwrap_err().to_string();
        let named = error.starts_with(&format!("missing field `{key}`: write "));
        assert!(named, "{key}: {error}");
    }
}

#[test]
fn a_missing_section_is_named() {
    let (before, _) = SEGMENTATION.split_once("[[output]]").unwrap();
    let error = Manifest::parse(before).unwrap_err().to_string();
    assert!(error.contains("missing field `output`: write"), "{error}");
    let (before, _) = SEGMENTATION.split_once("[input]").unwrap();
    let error = Manifest::parse(before).unwrap_err().to_string();
    assert!(error.contains("missing field `input`: write"), "{error}");
}

/// The error of a manifest in which some text is replaced.
fn refused(manifest: &str, from: &str, to: &str) -> String {
    let text = manifest.replacen(from, to, 1);
    assert_ne!(text, manifest, "{from}");
    Manifest::parse(&text).unwrap_err().to_string()
}

#[test]
fn each_task_asks_for_its_layout_labels_and_activation() {
    let cases = [
        (SEGMENTATION, "width = 112", "width = 128", "`input.width`"),
        (SEGMENTATION, "NCHW", "NCTHW", "`input.layout`"),
        (SEGMENTATION, "\"lv\"", "\"cavity\"", "\"lv\""),
        (SEGMENTATION, "sigmoid", "softmax", "`output.activation`"),
        (SEGMENTATION, "\"maps\"", "\"../maps\"", "`output.name`"),
        (
            ECHONET,
            "padding = \"zero\"",
            "padding = \"none\"",
            "`input.padding`",
        ),
        (ECHONET, "[\"lvef\"]", "[\"EF\"]", "\"lvef\""),
        (
            ECHONET,
            "[[output]]",
            "[bfloat16]\nfile = \"half.pt\"\nsha256 = \"1111111111111111111111111111111111111111111111111111111111111111\"\n[[output]]",
            "`bfloat16`",
        ),
        (
            ECHONET,
            "[\"lvef\"]",
            "[\"lvef\", \"edv\"]",
            "`output.labels`",
        ),
        (ECHONET, "identity", "sigmoid", "`output.activation`"),
        (ECHONET, "unit = \"%\"", "unit = \"1\"", "`output.unit`"),
        (ECHOPRIME, "\"A4C\"", "\"Apical_4\"", "\"A4C\""),
        (ECHOPRIME, "softmax", "sigmoid", "`output.activation`"),
        (QUALITY, "\"quality\"]", "\"score\"]", "\"quality\""),
        (QUALITY, "sigmoid", "identity", "`output.activation`"),
    ];
    for (manifest, from, to, named) in cases {
        let error = refused(manifest, from, to);
        assert!(error.contains(named), "{to}: {error}");
    }
}

#[test]
fn values_that_cannot_be_are_named() {
    let wrong = [
        ("file = \"model.pt\"", "file = \"../model.pt\"", "file"),
        ("sha256 = \"00", "sha256 = \"zz", "sha256"),
        ("model-bfloat16.pt", "../model.pt", "bfloat16.file"),
        ("sha256 = \"22", "sha256 = \"zz", "bfloat16.sha256"),
        ("channels = 1", "channels = 2", "input.channels"),
        ("frames = 1", "frames = 16", "input.frames"),
        ("std = [1.0]", "std = [0.0]", "input.std"),
        ("mean = [0.0]", "mean = [0.0, 0.0, 0.0]", "input.mean"),
        (
            "value_range = [0.0, 1.0]",
            "value_range = [1.0, 0.0]",
            "input.value_range",
        ),
        (
            "licence = \"MIT OR Apache-2.0\"",
            "licence = \" \"",
            "licence",
        ),
    ];
    for (from, to, key) in wrong {
        let text = SEGMENTATION.replace(from, to);
        assert_ne!(text, SEGMENTATION);
        match Manifest::parse(&text) {
            Err(ManifestError::Value { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{key}: {other:?}"),
        }
    }
    let unknown = format!("surprise = 1\n{SEGMENTATION}");
    assert!(
        Manifest::parse(&unknown)
            .unwrap_err()
            .to_string()
            .contains("surprise")
    );
}

#[test]
fn the_published_contracts_can_be_written() {
    let answers = [
        (ECHONET, 0),
        (ECHONET_SEGMENTATION, 0),
        (PANECHO, 1),
        (ECHOPRIME, 0),
        (QUALITY, 0),
    ];
    for (text, answer) in answers {
        assert_eq!(Manifest::parse(text).unwrap().answer(), Some(answer));
    }
}
