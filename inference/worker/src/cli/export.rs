//! `export`: one verified model, alone in a folder that another node can use as its `models_dir`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use tch::Device;

use crate::models::{self, Listed};

/// What to export, and where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The model's name
    name: String,
    /// Folder of the models
    #[arg(long, default_value = "models")]
    models_dir: PathBuf,
    /// Where the model's folder is made; nothing of that name may be there
    #[arg(long)]
    out: PathBuf,
}

/// Copies a model whose checksum is right, and loads the copy to prove that it can be used.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let Listed { file, bfloat16, .. } = models::find(&args.models_dir, &args.name)?;
    let from = file.parent().unwrap_or(Path::new("."));
    let to = args.out.join(&args.name);
    if to.exists() {
        bail!("{} is there already: name another --out", to.display());
    }
    fs::create_dir_all(&to).with_context(|| format!("{} can't be made", to.display()))?;
    let manifest = from.join(models::MANIFEST);
    for source in [&file, &manifest].into_iter().chain(&bfloat16) {
        let target = to.join(source.file_name().unwrap_or_default());
        fs::copy(source, &target)
            .with_context(|| format!("{} can't be written", target.display()))?;
    }
    let copy = models::find(&args.out, &args.name)?;
    models::try_out(&copy, Device::Cpu)
        .with_context(|| format!("the copy in {} can't be used", to.display()))?;
    println!("{}", to.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, out: &Path) -> ExportArgs {
        ExportArgs {
            name: name.to_owned(),
            models_dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"),
            out: out.to_owned(),
        }
    }

    #[test]
    fn an_exported_model_is_a_registry_of_its_own_and_is_not_overwritten() {
        let out = tempfile::tempdir().unwrap();
        run(&args("lv-segmentation", out.path())).unwrap();
        let exported = models::list(out.path()).unwrap();
        assert_eq!(exported[0].manifest.name, "lv-segmentation");
        assert!(exported[0].bfloat16.is_some(), "every form of it");
        assert!(run(&args("lv-segmentation", out.path())).is_err());
        assert!(run(&args("no-such-model", out.path())).is_err());
    }
}
