//! Gives the worker's executables, and no others, the run-time path of libtorch.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");

    // Relative to the executable, so that a checkout or an installation can be moved: `target/release/`,
    // then `target/release/{deps,examples}/` for tests and examples, then `<prefix>/bin/`.
    rpath("$ORIGIN/../../.libtorch/lib");
    rpath("$ORIGIN/../../../.libtorch/lib");
    rpath("$ORIGIN/../lib/sonode");

    // No relative path leads from a target directory outside the checkout, or to a libtorch outside it.
    if let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from)
        && !(is_in_checkout(&libtorch) && is_in_checkout(&out_dir()))
    {
        rpath(&format!("{}/lib", libtorch.display()));
    }
}

/// Applies to every executable of this package, its unit tests included; to no other package.
fn rpath(path: &str) {
    println!("cargo:rustc-link-arg=-Wl,-rpath,{path}");
}

fn out_dir() -> PathBuf {
    env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .unwrap_or_default()
}

fn is_in_checkout(path: &Path) -> bool {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    manifest
        .ancestors()
        .nth(2)
        .is_some_and(|checkout| path.starts_with(checkout))
}
