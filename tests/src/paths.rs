//! Where the programs under test and their peers are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A program of this workspace, `sonode` or `sonode-worker`, from the profile that the caller was built with.
pub fn program(name: &str) -> Result<PathBuf> {
    let me = env::current_exe().context("where am I?")?;
    // A test lies in .../target/release/deps, a program one folder up.
    let beside = me.parent().context("not in a target directory")?;
    let profile = if beside.ends_with("deps") {
        beside.parent().context("not in a target directory")?
    } else {
        beside
    };
    let path = profile.join(name);
    ensure!(
        path.is_file(),
        "{} is missing; `make interop` builds it first",
        path.display()
    );
    Ok(path)
}

/// A program of the Python peers, such as `python` or `dciodvfy`.
pub fn peer(name: &str) -> Result<PathBuf> {
    let path = repository().join(".peers/bin").join(name);
    ensure!(
        path.exists(),
        "{} is missing; run deploy/setup.sh test",
        path.display()
    );
    Ok(path)
}
