//! The registry of models: manifests, checksums, and TorchScript loaded on one device.
//!
//! A folder of models has one folder for each: `model.toml` and a TorchScript file. A manifest that lacks anything is
//! refused by name, and so is a file whose SHA-256 is another.

mod golden;
pub mod manifest;
mod segmenter;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use sha2::{Digest, Sha256};
use sonode_findings::ModelRef;
use tch::{CModule, Device};

pub use manifest::{Manifest, ManifestError, Task};
pub use segmenter::{BUCKETS, FrameMaps, Segmenter, scale_to_brightest};

/// The manifest's file name.
pub const MANIFEST: &str = "model.toml";

/// Largest TorchScript file that is read.
const MODEL_BYTES_MAX: u64 = 1 << 30;

/// Why the models can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A folder or file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A manifest is refused.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// The file is not the one that the manifest names.
    #[error("{}: its SHA-256 is {found}, but the manifest says {stated}", path.display())]
    Checksum {
        /// The TorchScript file.
        path: PathBuf,
        /// Of the file.
        found: String,
        /// In the manifest.
        stated: String,
    },
    /// libtorch can't load it, or it doesn't give what its manifest says.
    #[error("{}: {detail}", path.display())]
    Module {
        /// The TorchScript file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Two models of one task.
    #[error("{one} and {other} are both for {task}: keep one of them")]
    Twice {
        /// The task.
        task: Task,
        /// A model's name.
        one: String,
        /// The other's.
        other: String,
    },
    /// There is no model that may segment the ventricle.
    #[error("{}: {detail}", dir.display())]
    NoSegmentation {
        /// The models' folder.
        dir: PathBuf,
        /// What was looked at.
        detail: String,
    },
}

/// A manifest whose file was found and has the stated checksum.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The manifest.
    pub manifest: Manifest,
    /// The TorchScript file.
    pub file: PathBuf,
}

/// The models of a folder, verified but not loaded; for listings.
///
/// # Errors
/// Every variant of [`ModelsError`] but [`ModelsError::Module`], [`ModelsError::Twice`] and
/// [`ModelsError::NoSegmentation`].
pub fn list(dir: &Path) -> Result<Vec<Listed>, ModelsError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelsError::Io { path, source }
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let folder = entry.map_err(io(dir))?.path();
        if folder.join(MANIFEST).is_file() {
            folders.push(folder);
        }
    }
    // The order of a directory is the file system's; the registry's is the names'.
    folders.sort();
    folders.iter().map(|folder| verify(folder)).collect()
}

/// Reads a model's manifest and checks its file's checksum.
fn verify(folder: &Path) -> Result<Listed, ModelsError> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|source| ModelsError::Io {
        path: path.clone(),
        source,
    })?;
    let manifest =
        Manifest::parse(&text).map_err(|source| ModelsError::Manifest { path, source })?;
    let file = folder.join(&manifest.file);
    let found = sha256(&file).map_err(|source| ModelsError::Io {
        path: file.clone(),
        source,
    })?;
    if found != manifest.sha256 {
        return Err(ModelsError::Checksum {
            path: file,
            found,
            stated: manifest.sha256,
        });
    }
    Ok(Listed { manifest, file })
}

/// SHA-256 of a file, 64 hexadecimal digits.
///
/// # Errors
/// As reading does; a file over 1 GiB is refused.
pub fn sha256(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > MODEL_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "over 1 GiB"));
    }
    Ok(hex(&Sha256::digest(fs::read(file)?)))
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The models of one device, loaded. One thread should own them: what libtorch computes with is its own pool of threads.
#[derive(Debug)]
pub struct Models {
    segmentation: Segmenter,
}

impl Models {
    /// Loads the models of a folder onto a device, and runs each bucket once, so that the first clip is no slower than
    /// the next.
    ///
    /// Models for other tasks than `lv-segmentation` are verified and listed, but nothing of this version asks them.
    ///
    /// # Errors
    /// Every variant of [`ModelsError`]; a research model counts as none unless `allow_research`.
    pub fn load(dir: &Path, device: Device, allow_research: bool) -> Result<Self, ModelsError> {
        use_threads_once();
        let listed = list(dir)?;
        let mut segmenters = listed
            .iter()
            .filter(|model| model.manifest.task == Task::LvSegmentation);
        let allowed = |model: &&Listed| allow_research || !model.manifest.research;
        let mut usable = segmenters.clone().filter(allowed);
        let Some(model) = usable.next() else {
            let detail = match segmenters.next() {
                Some(model) => format!(
                    "{} is a research model, and allow_research_models is false",
                    model.manifest.name
                ),
                None => "no model for lv-segmentation".to_owned(),
            };
            return Err(ModelsError::NoSegmentation {
                dir: dir.to_owned(),
                detail,
            });
        };
        if let Some(other) = usable.next() {
            return Err(ModelsError::Twice {
                task: Task::LvSegmentation,
                one: model.manifest.name.clone(),
                other: other.manifest.name.clone(),
            });
        }
        Ok(Self {
            segmentation: load_segmenter(model, device)?,
        })
    }

    /// The network that segments the ventricle.
    pub fn segmentation(&self) -> &Segmenter {
        &self.segmentation
    }

    /// The models that were loaded.
    pub fn refs(&self) -> Vec<ModelRef> {
        vec![self.segmentation.manifest().model_ref()]
    }
}

fn load_segmenter(model: &Listed, device: Device) -> Result<Segmenter, ModelsError> {
    let failed = |detail: String| ModelsError::Module {
        path: model.file.clone(),
        detail,
    };
    let module =
        CModule::load_on_device(&model.file, device).map_err(|error| failed(error.to_string()))?;
    Segmenter::new(model.manifest.clone(), module, device).map_err(failed)
}

/// libtorch takes its numbers of threads once, before its first work: a quarter of the cores. The others decode, and
/// OpenMP's threads wait for each other at every layer, so that one core taken from them by anything else stalls all:
/// seen on two cores, two threads took several times as long as one.
fn use_threads_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        tch::set_num_threads(i32::try_from(cores.div_ceil(4)).unwrap_or(1));
        tch::set_num_interop_threads(1);
    });
}
