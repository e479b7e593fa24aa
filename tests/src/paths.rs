//! Where the programs under test and their peers are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The repository's root.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A program of this workspace, `sonode` or `sonode-worker`, from the profile that the tests were built with.
pub fn program(name: &str) -> Result<PathBuf> {
    // .../target/release/deps/interop_receive-0123456789abcdef
    let test = env::current_exe().context("where am I?")?;
    let profile = test
        .ancestors()
        .nth(2)
        .context("the test isn't in a target directory")?;
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
