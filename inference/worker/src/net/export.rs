//! Export to TorchScript: normalisation folded into the convolutions, traced, saved, checked, and described.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tch::nn::ModuleT as _;
use tch::{CModule, Device, Kind, TchError, Tensor};

use super::{Layer, Network};
use crate::models::manifest::{Bfloat16, Manifest, Task};
use crate::models::{MANIFEST, sha256};

/// Largest difference of logits between the network and its folded, traced form.
const TOLERANCE: f64 = 1e-2;

/// Largest mean difference of its form in bfloat16, whose numbers have eight bits, as a share of the mean logit: other
/// weights are off by more. What it does to probabilities is checked wherever it is loaded.
const TOLERANCE_BFLOAT16: f64 = 0.3;

/// The file of the form in bfloat16.
const BFLOAT16_FILE: &str = "model-bfloat16.pt";

/// Why a network could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be written or read back.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
    /// The exported network computes something else.
    #[error("the exported network differs from the trained one by {0} in its logits")]
    Differs(f64),
    /// The manifest can't be written.
    #[error("the manifest can't be written: {0}")]
    Manifest(#[from] toml::ser::Error),
}

/// Writes a network as TorchScript, in single precision and in bfloat16, with its manifest into a folder. The manifest's
/// checksums are filled in.
///
/// The same weights give the same bytes: the archive in a file is named after the file and bears no time.
///
/// # Errors
/// Every variant of [`ExportError`].
pub fn export(
    net: &dyn Network,
    mut manifest: Manifest,
    folder: &Path,
) -> Result<Manifest, ExportError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    let folded = tch::no_grad(|| Folded::new(net));
    let bfloat16 = tch::no_grad(|| folded.in_bfloat16());
    let write = |name: &str, form: &Folded<'_>| -> Result<String, ExportError> {
        let file = folder.join(name);
        trace(form, i64::from(manifest.input.height), manifest.task)?.save(&file)?;
        let back = CModule::load_on_device(&file, Device::Cpu)?;
        verify(net, &back, i64::from(manifest.input.height), form.kind())?;
        sha256(&file).map_err(io(&file))
    };
    manifest.sha256 = write(&manifest.file, &folded)?;
    manifest.bfloat16 = Some(Bfloat16 {
        file: BFLOAT16_FILE.to_owned(),
        sha256: write(BFLOAT16_FILE, &bfloat16)?,
    });
    let path = folder.join(MANIFEST);
    fs::write(&path, toml::to_string(&manifest)?).map_err(io(&path))?;
    Ok(manifest)
}

/// Traces a network. It is folded before: what is computed while tracing would be computed again in every run.
fn trace(folded: &Folded<'_>, side: i64, task: Task) -> Result<CModule, ExportError> {
    let example = Tensor::zeros([1, 1, side, side], (Kind::Float, Device::Cpu));
    let mut forward = |inputs: &[Tensor]| vec![folded.forward(&inputs[0])];
    let mut module = tch::no_grad(|| {
        CModule::create_by_tracing(class(task), "forward", &[example], &mut forward)
    })?;
    module.f_set_eval()?;
    Ok(module)
}

/// The network in evaluation, each normalisation folded into the convolution before it, without gradients.
struct Folded<'a> {
    net: &'a dyn Network,
    layers: Vec<[Tensor; 2]>,
    head: (Tensor, Option<Tensor>),
}

impl<'a> Folded<'a> {
    fn new(net: &'a dyn Network) -> Self {
        let head = net.head();
        Self {
            net,
            layers: net.layers().into_iter().map(Layer::folded).collect(),
            head: (head.ws.detach(), head.bs.as_ref().map(Tensor::detach)),
        }
    }

    /// The same with the layers in bfloat16; the head, whose outputs are the logits, stays in single precision.
    fn in_bfloat16(&self) -> Self {
        let layers = self.layers.iter();
        Self {
            net: self.net,
            layers: layers
                .map(|[weight, bias]| [weight_in_bfloat16(weight), bias.to_kind(Kind::BFloat16)])
                .collect(),
            head: (
                self.head.0.shallow_clone(),
                self.head.1.as_ref().map(Tensor::shallow_clone),
            ),
        }
    }

    /// What its layers compute in.
    fn kind(&self) -> Kind {
        self.layers
            .first()
            .map_or(Kind::Float, |[weight, _]| weight.kind())
    }

    /// From single precision to single precision.
    fn forward(&self, input: &Tensor) -> Tensor {
        let mut layers = self.layers.iter();
        let input = in_kind(input, self.kind());
        let features = self.net.wire(&input, &mut |layer, x| match layers.next() {
            Some([weight, bias]) => x
                .conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)
                .relu(),
            None => layer.forward_t(x, false),
        });
        let (weight, bias) = &self.head;
        let features = in_kind(&features, weight.kind());
        self.net
            .shape(features.conv2d(weight, bias.as_ref(), [1, 1], [0, 0], [1, 1], 1))
    }
}

/// A tensor in that kind. Where it is, nothing is done: that would be traced too.
fn in_kind(x: &Tensor, kind: Kind) -> Tensor {
    if x.kind() == kind {
        x.shallow_clone()
    } else {
        x.to_kind(kind)
    }
}

/// A weight `[to, from, h, w]` in bfloat16, `from` side by side in memory, as its input's channels are.
fn weight_in_bfloat16(weight: &Tensor) -> Tensor {
    let weight = in_kind(weight, Kind::BFloat16);
    let pixels = weight.permute([0, 2, 3, 1]).contiguous();
    pixels.permute([0, 3, 1, 2])
}

/// The name of the traced class.
fn class(task: Task) -> &'static str {
    match task {
        Task::LvSegmentation => "LvSegmentation",
        Task::EfRegression => "EfRegression",
        Task::View => "View",
        Task::Quality => "Quality",
    }
}

/// Compares the exported network with the trained one, at another batch size than it was traced with.
fn verify(net: &dyn Network, module: &CModule, side: i64, kind: Kind) -> Result<(), ExportError> {
    let input = Tensor::linspace(0.0, 1.0, 3 * side * side, (Kind::Float, Device::Cpu))
        .view([3, 1, side, side]);
    let (difference, expected) = tch::no_grad(|| -> Result<_, TchError> {
        let expected = net.logits(&input, false);
        let got = module.forward_ts(&[&input])?;
        Ok(((got - &expected).abs(), expected.abs()))
    })?;
    let mean = |of: &Tensor| of.mean(Kind::Double).double_value(&[]);
    let (difference, tolerance) = match kind {
        Kind::BFloat16 => (mean(&difference), TOLERANCE_BFLOAT16 * mean(&expected)),
        _ => (difference.max().double_value(&[]), TOLERANCE),
    };
    if difference <= tolerance {
        Ok(())
    } else {
        Err(ExportError::Differs(difference))
    }
}

#[cfg(test)]
mod tests {
    use tch::nn;

    use super::*;
    use crate::draws::seeded;
    use crate::models::{Models, ModelsError};
    use crate::net::UNet;
    use crate::train::manifest_template;

    /// A tiny network with normalisation statistics that aren't the initial ones.
    fn tiny() -> (nn::VarStore, UNet) {
        let store = nn::VarStore::new(Device::Cpu);
        let net = UNet::new(&store.root(), &[2, 3, 4, 5]);
        for _ in 0..3 {
            let input = Tensor::rand([4, 1, 112, 112], (Kind::Float, Device::Cpu));
            drop(tch::no_grad(|| net.logits(&input, true)));
        }
        (store, net)
    }

    #[test]
    fn what_is_loaded_again_is_bit_equal_at_any_batch_size() {
        let _turn = seeded(1);
        let (_store, net) = tiny();
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = export(&net, manifest_template(Task::LvSegmentation), one.path()).unwrap();
        let second = export(&net, manifest_template(Task::LvSegmentation), two.path()).unwrap();
        assert_eq!(first, second, "checksums of both forms");
        let module = CModule::load_on_device(one.path().join("model.pt"), Device::Cpu).unwrap();
        for batch in [1, 2, 5] {
            let input = Tensor::rand([batch, 1, 112, 112], (Kind::Float, Device::Cpu));
            let (traced, own) = tch::no_grad(|| {
                (
                    module.forward_ts(&[&input]).unwrap(),
                    Folded::new(&net).forward(&input),
                )
            });
            assert!(traced.equal(&own), "{batch}");
        }
    }

    #[test]
    fn the_form_in_bfloat16_takes_and_gives_single_precision_and_is_near() {
        let _turn = seeded(1);
        let (_store, net) = tiny();
        let dir = tempfile::tempdir().unwrap();
        let manifest = export(&net, manifest_template(Task::LvSegmentation), dir.path()).unwrap();
        let load =
            |file: &str| CModule::load_on_device(dir.path().join(file), Device::Cpu).unwrap();
        let input = Tensor::rand([2, 1, 112, 112], (Kind::Float, Device::Cpu));
        let run = |module: &CModule| tch::no_grad(|| module.forward_ts(&[&input]).unwrap());
        let single = run(&load(&manifest.file));
        let bfloat16 = run(&load(&manifest.bfloat16.unwrap().file));
        assert_eq!(bfloat16.kind(), Kind::Float);
        let share =
            (&bfloat16 - &single).abs().mean(Kind::Double) / single.abs().mean(Kind::Double);
        let share = share.double_value(&[]);
        assert!(share > 0.0 && share < TOLERANCE_BFLOAT16, "{share}");
    }

    #[test]
    fn the_registry_loads_an_export_and_refuses_a_changed_one() {
        let _turn = seeded(1);
        let (_store, net) = tiny();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("lv-segmentation");
        let manifest = export(&net, manifest_template(Task::LvSegmentation), &folder).unwrap();
        let models = Models::load(dir.path(), Device::Cpu, true).unwrap();
        assert_eq!(models.refs(), [manifest.model_ref()]);
        let grid = vec![0.5; 112 * 112];
        let maps = models
            .segmentation()
            .run(&[grid.clone(), grid.clone(), grid])
            .unwrap();
        assert_eq!(maps.len(), 3);
        assert_eq!(maps[0], maps[2]);

        let refused = Models::load(dir.path(), Device::Cpu, false).unwrap_err();
        assert!(matches!(&refused, ModelsError::NoSegmentation { .. }));
        assert!(
            refused.to_string().contains("allow_research_models"),
            "{refused}"
        );

        for file in [BFLOAT16_FILE, "model.pt"] {
            let path = folder.join(file);
            let right = fs::read(&path).unwrap();
            fs::write(&path, b"other bytes").unwrap();
            let refused = Models::load(dir.path(), Device::Cpu, true).unwrap_err();
            assert!(
                matches!(&refused, ModelsError::Checksum { path: named, .. } if *named == path),
                "{refused}"
            );
            fs::write(&path, right).unwrap();
        }
    }
}
