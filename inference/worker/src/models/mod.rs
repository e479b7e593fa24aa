//! The registry of models: manifests, checksums, and TorchScript loaded on one device.
//!
//! A folder of models has one folder for each: `model.toml` and a TorchScript file. A manifest that lacks anything is
//! refused by name, and so is a file whose SHA-256 is another.

mod golden;
pub mod manifest;
mod module;
pub mod prepare;
mod reader;
mod segmenter;

use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Once;

use sha2::{Digest, Sha256};
use sonode_findings::ModelRef;
use tch::{CModule, Device, TchError};

use crate::device;
use crate::dicom::pixels::PixelError;

pub use manifest::{Manifest, ManifestError, Task};
pub use module::{BUCKETS, Module, Way};
pub use prepare::scale_to_brightest;
pub use reader::{Cine, Reader, ViewProbabilities};
pub use segmenter::{FrameMaps, Segmenter, Structures, mirror};

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
    /// There is no model of that name.
    #[error("{} has no model \"{name}\"", dir.display())]
    NoSuch {
        /// The models' folder.
        dir: PathBuf,
        /// What was asked for.
        name: String,
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
    /// That of its form in bfloat16.
    pub bfloat16: Option<PathBuf>,
}

/// The models of a folder, verified but not loaded; for listings.
///
/// # Errors
/// [`ModelsError::Io`], [`ModelsError::Manifest`] and [`ModelsError::Checksum`].
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

/// One model of a folder by its name, verified but not loaded.
///
/// # Errors
/// Those of [`list`], and [`ModelsError::NoSuch`].
pub fn find(dir: &Path, name: &str) -> Result<Listed, ModelsError> {
    let no_such = || ModelsError::NoSuch {
        dir: dir.to_owned(),
        name: name.to_owned(),
    };
    let mut listed = list(dir)?.into_iter();
    listed
        .find(|model| model.manifest.name == name)
        .ok_or_else(no_such)
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
    let file = verify_file(folder, &manifest.file, &manifest.sha256)?;
    let bfloat16 = manifest.bfloat16.as_ref();
    let bfloat16 = bfloat16.map(|other| verify_file(folder, &other.file, &other.sha256));
    let bfloat16 = bfloat16.transpose()?;
    Ok(Listed {
        manifest,
        file,
        bfloat16,
    })
}

/// Checks the checksum of a file of that folder.
fn verify_file(folder: &Path, name: &str, stated: &str) -> Result<PathBuf, ModelsError> {
    let path = folder.join(name);
    match sha256(&path) {
        Ok(found) if found == stated => Ok(path),
        Ok(found) => Err(ModelsError::Checksum {
            path,
            found,
            stated: stated.to_owned(),
        }),
        Err(source) => Err(ModelsError::Io { path, source }),
    }
}

/// Why a model could not read a clip.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A frame can't be decoded.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] TchError),
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
    view: Option<Reader>,
    quality: Option<Reader>,
    ef_regression: Option<Reader>,
}

impl Models {
    /// Loads the models of a folder onto a device, one a task, and runs each bucket once, so that the first clip is no
    /// slower than the next. Only `lv-segmentation` has to be there.
    ///
    /// # Errors
    /// Every variant of [`ModelsError`] but [`ModelsError::NoSuch`]; a research model counts as none unless
    /// `allow_research`.
    pub fn load(dir: &Path, device: Device, allow_research: bool) -> Result<Self, ModelsError> {
        let listed = list(dir)?;
        let of = |task| the_one(&listed, task, allow_research);
        let Some(segmentation) = of(Task::LvSegmentation)? else {
            return Err(ModelsError::NoSegmentation {
                dir: dir.to_owned(),
                detail: why_none(&listed),
            });
        };
        let reader = |task| {
            of(task)?
                .map(|model| load_reader(model, device))
                .transpose()
        };
        Ok(Self {
            segmentation: load_segmenter(segmentation, device)?,
            view: reader(Task::View)?,
            quality: reader(Task::Quality)?,
            ef_regression: reader(Task::EfRegression)?,
        })
    }

    /// The network that segments the ventricle.
    pub fn segmentation(&self) -> &Segmenter {
        &self.segmentation
    }

    /// What tells the view, beside the chambers that the segmentation finds.
    pub fn view(&self) -> Option<&Reader> {
        self.view.as_ref()
    }

    /// What judges fitness for measurement, beside the steadiness of the segmentation.
    pub fn quality(&self) -> Option<&Reader> {
        self.quality.as_ref()
    }

    /// What gives an ejection fraction without any contour.
    pub fn ef_regression(&self) -> Option<&Reader> {
        self.ef_regression.as_ref()
    }

    /// The manifests of the models that were loaded, and how each is run.
    pub fn manifests(&self) -> Vec<(&Manifest, Way)> {
        let readers = [&self.view, &self.quality, &self.ef_regression];
        let readers = readers.into_iter().flatten();
        let segmentation = &self.segmentation;
        iter::once((segmentation.manifest(), segmentation.module().way()))
            .chain(readers.map(|reader| (reader.manifest(), reader.module().way())))
            .collect()
    }

    /// The models that were loaded.
    pub fn refs(&self) -> Vec<ModelRef> {
        let mut refs = self.judges();
        refs.extend(self.ef_regression.iter().map(|m| m.manifest().model_ref()));
        refs
    }

    /// Those of them that look at every clip, be it measured or not.
    pub fn judges(&self) -> Vec<ModelRef> {
        let mut refs = vec![self.segmentation.manifest().model_ref()];
        let readers = [&self.view, &self.quality].into_iter().flatten();
        refs.extend(readers.map(|model| model.manifest().model_ref()));
        refs
    }
}

/// The model of a task, if there is one; a research model only where that is allowed.
fn the_one(
    listed: &[Listed],
    task: Task,
    allow_research: bool,
) -> Result<Option<&Listed>, ModelsError> {
    let mut usable = listed.iter().filter(|model| {
        model.manifest.task == task && (allow_research || !model.manifest.research)
    });
    let one = usable.next();
    match (one, usable.next()) {
        (Some(one), Some(other)) => Err(ModelsError::Twice {
            task,
            one: one.manifest.name.clone(),
            other: other.manifest.name.clone(),
        }),
        _ => Ok(one),
    }
}

fn why_none(listed: &[Listed]) -> String {
    let research = listed
        .iter()
        .find(|model| model.manifest.task == Task::LvSegmentation);
    match research {
        Some(model) => format!(
            "{} is a research model, and allow_research_models is false",
            model.manifest.name
        ),
        None => "no model for lv-segmentation".to_owned(),
    }
}

/// Loads one model as [`Models::load`] does, and runs each bucket once.
///
/// # Errors
/// [`ModelsError::Module`].
pub fn try_out(model: &Listed, device: Device) -> Result<(), ModelsError> {
    match model.manifest.task {
        Task::LvSegmentation => load_segmenter(model, device).map(drop),
        Task::EfRegression | Task::View | Task::Quality => load_reader(model, device).map(drop),
    }
}

/// Loads one model's file, for whoever wants to run it as it is; it is not tried.
///
/// # Errors
/// [`ModelsError::Module`].
pub fn load_module(model: &Listed, device: Device) -> Result<Module, ModelsError> {
    let script = load_file(&model.file, device)?;
    Ok(Module::new(&model.manifest, script, device))
}

/// Loads one model's file as an analysis runs it.
///
/// # Errors
/// [`ModelsError::Module`].
pub fn load_as_used(model: &Listed, device: Device) -> Result<Module, ModelsError> {
    match model.manifest.task {
        Task::LvSegmentation => load_segmenter(model, device).map(Segmenter::into_module),
        _ => load_reader(model, device).map(Reader::into_module),
    }
}

fn load_segmenter(model: &Listed, device: Device) -> Result<Segmenter, ModelsError> {
    let module = load_every_form(model, device)?;
    Segmenter::new(model.manifest.clone(), module).map_err(|detail| refused(&model.file, detail))
}

fn load_reader(model: &Listed, device: Device) -> Result<Reader, ModelsError> {
    let module = load_every_form(model, device)?;
    Reader::new(model.manifest.clone(), module).map_err(|detail| refused(&model.file, detail))
}

/// Loads a model's file, and its form in bfloat16 where the device computes in it.
fn load_every_form(model: &Listed, device: Device) -> Result<Module, ModelsError> {
    let mut module = load_module(model, device)?;
    if let Some(file) = model.bfloat16.as_ref()
        && device::has_bfloat16(device)
    {
        module.offer_bfloat16(load_file(file, device)?);
    }
    Ok(module)
}

fn load_file(file: &Path, device: Device) -> Result<CModule, ModelsError> {
    set_up_once();
    CModule::load_on_device(file, device).map_err(|error| refused(file, error.to_string()))
}

fn refused(file: &Path, detail: String) -> ModelsError {
    ModelsError::Module {
        path: file.to_owned(),
        detail,
    }
}

/// What a layer hands to the next is freed and asked for again in every batch. glibc gives such pieces back to the kernel,
/// and takes a page fault for each of their pages, until it has seen a larger one freed (mallopt(3), `M_MMAP_THRESHOLD`): it
/// is shown one at once. Without that, and with no batch at load larger than those of the work, the kernel was seen to take a
/// twelfth of the whole time.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGEST_KEPT)));
}

/// Just under the largest piece that glibc learns from.
const LARGEST_KEPT: usize = 31 << 20;

/// libtorch takes its numbers of threads once, before its first work: a quarter of the cores. The others decode, and
/// OpenMP's threads wait for each other at every layer, so that one core taken from them by anything else stalls all:
/// seen on two cores, two threads took several times as long as one.
fn set_up_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        keep_freed_memory();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        tch::set_num_threads(i32::try_from(cores.div_ceil(4)).unwrap_or(1));
        tch::set_num_interop_threads(1);
    });
}
