//! Objects to send: real ones, from pydicom's own test data, and phantom studies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::part10::Object;
use crate::paths;
use crate::process::Run;
use crate::python;

/// The real apical four-chamber cine: `SonoSite`, 30 frames, JPEG Baseline, `YBR_FULL_422`.
pub const CINE: &str = "examples_ybr_color.dcm";

/// A file of the `pydicom` wheel's test data.
pub fn pydicom(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = if let Some(folder) = FOLDER.get() {
        folder
    } else {
        let found =
            python::eval("import pydicom.data as d, os; print(os.path.dirname(d.__file__))")?;
        FOLDER.get_or_init(|| Path::new(found.trim()).join("test_files"))
    };
    let path = folder.join(name);
    ensure!(path.is_file(), "pydicom has no {name}");
    Ok(path)
}

/// Which of the real files are ultrasound, by their SOP class: the four classes of PS3.4 Annex B, retired ones included.
pub fn is_ultrasound(object: &Object) -> bool {
    matches!(
        object.sop_class.strip_prefix("1.2.840.10008.5.1.4.1.1."),
        Some("3" | "3.1" | "6" | "6.1" | "6.2")
    )
}

/// Every readable ultrasound object of pydicom's test data.
pub fn ultrasound() -> Result<Vec<(PathBuf, Object)>> {
    let cine = pydicom(CINE)?;
    let folder = cine.parent().context("no folder")?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Some files are broken on purpose, and some aren't DICOM.
        let Ok(object) = Object::read(&path) else {
            continue;
        };
        if is_ultrasound(&object) {
            found.push((path, object));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    ensure!(found.len() >= 4, "only {} ultrasound files", found.len());
    Ok(found)
}

/// A phantom study: files, and the truth that they were drawn from.
#[derive(Debug)]
pub struct Phantom {
    /// The Part 10 files.
    pub files: Vec<PathBuf>,
    /// `truth.json`.
    pub truth: Value,
}

impl Phantom {
    /// The true ejection fraction of an instance, in percent.
    pub fn true_lvef(&self, sop_instance_uid: &str) -> Result<f64> {
        let lvef = self
            .instance(sop_instance_uid)?
            .get("lvef_percent")
            .and_then(Value::as_f64);
        lvef.context("no true EF")
    }

    /// The true beats of an instance: frames of end diastole and end systole, from 1.
    pub fn true_beats(&self, sop_instance_uid: &str) -> Result<Vec<(u32, u32)>> {
        let beats = self
            .instance(sop_instance_uid)?
            .get("beats")
            .context("no true beats")?;
        Ok(serde_json::from_value(beats.clone())?)
    }

    fn instance(&self, sop_instance_uid: &str) -> Result<&Value> {
        let instances = self.truth.get("instances").and_then(Value::as_array);
        instances
            .into_iter()
            .flatten()
            .find(|one| {
                one.get("sop_instance_uid").and_then(Value::as_str) == Some(sop_instance_uid)
            })
            .with_context(|| format!("nothing about {sop_instance_uid} in {}", self.truth))
    }
}

/// Draws a phantom study of one four-chamber cine into a folder.
pub fn phantom(seed: u64, folder: &Path) -> Result<Phantom> {
    phantom_of("a4c", seed, folder)
}

/// Draws a phantom study of these views, separated by commas, into a folder.
pub fn phantom_of(views: &str, seed: u64, folder: &Path) -> Result<Phantom> {
    let mut command = Command::new(paths::program("sonode-worker")?);
    command
        .args(["phantom", "--study-of", views, "--seed", &seed.to_string()])
        .arg("--out")
        .arg(folder);
    Run::of(&mut command)?.success()?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "dcm") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "the phantom has no files");
    let truth = fs::read(folder.join("truth.json")).context("the phantom has no truth.json")?;
    Ok(Phantom {
        files,
        truth: serde_json::from_slice(&truth)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_objects_of_the_acceptance_test_are_there() {
        let found = ultrasound().unwrap();
        for name in [
            CINE,
            "examples_palette.dcm",
            "examples_rgb_color.dcm",
            "examples_jpeg2k.dcm",
        ] {
            assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name}");
        }
    }
}
