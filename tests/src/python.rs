//! Python peers: pynetdicom, pydicom, highdicom, from `.peers/`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::paths;
use crate::process::Run;

/// Runs one of the scripts in `tests/peers/`.
pub fn run<S: AsRef<OsStr>>(script: &str, arguments: &[S]) -> Result<Run> {
    let path: PathBuf = paths::repository().join("tests/peers").join(script);
    let mut command = Command::new(paths::peer("python")?);
    // -B: no byte code beside the scripts.
    Run::of(command.arg("-B").arg(path).args(arguments))
}

/// Runs a script that has to succeed, and reads its output as JSON.
pub fn json<S: AsRef<OsStr>>(script: &str, arguments: &[S]) -> Result<Value> {
    let run = run(script, arguments)?.success()?;
    Ok(serde_json::from_str(&run.stdout)?)
}

/// Runs a line of Python and returns what it prints.
pub(crate) fn eval(code: &str) -> Result<String> {
    let mut command = Command::new(paths::peer("python")?);
    let run = Run::of(command.args(["-c", code]))?.success()?;
    Ok(run.stdout)
}
