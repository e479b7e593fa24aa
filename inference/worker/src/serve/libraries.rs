//! The CUDA side of libtorch, loaded only where there is a driver for it.
//!
//! The worker is linked against libtorch's CPU side alone, so that one binary runs everywhere. libtorch registers CUDA when
//! its CUDA library is loaded before `main`, which the dynamic linker does for `LD_PRELOAD`; so the worker starts itself
//! again with that variable set. It needs no unsafe code, and does nothing where library or driver are missing.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Set in the second start, so that there is no third.
const RESTARTED: &str = "SONODE_WORKER_RESTARTED";
const PRELOAD: &str = "LD_PRELOAD";

/// The folder of the libtorch that this process has loaded.
pub(super) fn libtorch_folder() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| path.ends_with("/libtorch_cpu.so"))?;
    // Above `lib`, because the CUDA side lies beside it.
    let folder = Path::new(library).parent()?;
    Some(folder.parent().unwrap_or(folder).to_owned())
}

/// libtorch's CUDA library, beside the CPU side or in the `cuda` folder next to it.
fn cuda_library() -> Option<PathBuf> {
    let root = libtorch_folder()?;
    ["cuda", "lib"]
        .iter()
        .map(|folder| root.join(folder).join("libtorch_cuda.so"))
        .find(|library| library.is_file())
}

fn has_driver() -> bool {
    Path::new("/dev/nvidiactl").exists() || Path::new("/proc/driver/nvidia/version").exists()
}

/// Starts this program again with the CUDA library loaded, if there are a library and a driver for it; otherwise does
/// nothing. It returns only where the program goes on as it is.
///
/// # Errors
/// Where the program can't be started again.
pub fn restart_with_cuda() -> io::Result<()> {
    if env::var_os(RESTARTED).is_some() || !has_driver() {
        return Ok(());
    }
    let Some(library) = cuda_library() else {
        return Ok(());
    };
    let mut preload = library.into_os_string();
    if let Some(others) = env::var_os(PRELOAD).filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let error = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(PRELOAD, preload)
        .env(RESTARTED, "1")
        .exec();
    Err(error)
}
