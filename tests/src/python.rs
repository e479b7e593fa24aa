//! Python peers: pynetdicom, pydicom, highdicom, from `.peers/`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, files_under};
use crate::paths;
use crate::process::{Daemon, Run};
use crate::wait::{eventually, free_port, listening};

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

/// A PACS that answers storage commitment in its own way: see `tests/peers/committing_pacs.py`. Dropping it kills it.
#[derive(Debug)]
pub struct CommittingPacs {
    // First, so that it ends before its folder goes.
    _process: Daemon,
    folder: TempDir,
}

impl CommittingPacs {
    /// Starts it on a port; it knows the node's.
    pub fn start(port: u16, node: SocketAddr, mode: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let received = folder.path().join("received");
        std::fs::create_dir(&received)?;
        let mut command = Command::new(paths::peer("python")?);
        command
            .arg("-B")
            .arg(paths::repository().join("tests/peers/committing_pacs.py"))
            .arg(port.to_string())
            .arg(&received)
            .arg(node.port().to_string())
            .arg(mode);
        let process = Daemon::start(&mut command, &folder.path().join("pacs.log"))?;
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        listening("the PACS", at, Duration::from_secs(30))?;
        Ok(Self {
            _process: process,
            folder,
        })
    }

    /// What it did, in order: each with `what`.
    pub fn events(&self) -> Result<Vec<Value>> {
        let log = std::fs::read_to_string(self.folder.path().join("events.jsonl"));
        let lines = log.unwrap_or_default();
        let lines = lines.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }
}

/// A cart that sends files and asks for storage commitment: see `tests/peers/committing_cart.py`. Dropping it kills it.
#[derive(Debug)]
pub struct CommittingCart {
    // First, so that it ends before its folder goes.
    process: Daemon,
    _folder: TempDir,
}

impl CommittingCart {
    /// Starts it: it sends and asks at once.
    pub fn start(
        node: &Node,
        own_port: u16,
        title: &str,
        mode: &str,
        missing: &str,
        files: &[&Path],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(paths::peer("python")?);
        command
            .arg("-B")
            .arg(paths::repository().join("tests/peers/committing_cart.py"))
            .arg(node.address().port().to_string())
            .arg(own_port.to_string())
            .args([title, mode, missing])
            .args(files);
        Ok(Self {
            process: Daemon::start(&mut command, &folder.path().join("cart.log"))?,
            _folder: folder,
        })
    }

    /// Waits until something has happened, and gives everything that has.
    pub fn until(&self, what: &str, within: Duration) -> Result<Vec<Value>> {
        eventually(&format!("the cart's {what:?}"), within, || {
            let log = self.process.log();
            let events: Vec<Value> = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let is_there = events.last().is_some_and(|event| event["what"] == what);
            Ok(is_there.then_some(events))
        })
    }
}

/// A PACS that takes only some classes, each in one transfer syntax (`class@syntax`). Dropping it kills it.
#[derive(Debug)]
pub struct SelectiveScp {
    // First, so that it ends before its folder goes.
    _process: Daemon,
    folder: TempDir,
    port: u16,
}

impl SelectiveScp {
    /// Its AE title.
    pub const AE_TITLE: &str = "SELECTIVE";

    /// Starts it on a free port.
    pub fn start(accepted: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let received = folder.path().join("received");
        std::fs::create_dir(&received)?;
        let port = free_port()?;
        let mut command = Command::new(paths::peer("python")?);
        command
            .arg("-B")
            .arg(paths::repository().join("tests/peers/selective_scp.py"))
            .arg(port.to_string())
            .arg(&received)
            .args(accepted);
        let process = Daemon::start(&mut command, &folder.path().join("scp.log"))?;
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        listening("the PACS", at, Duration::from_secs(30))?;
        Ok(Self {
            _process: process,
            folder,
            port,
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has received, sorted by name.
    pub fn received(&self) -> Result<Vec<PathBuf>> {
        files_under(&self.folder.path().join("received"))
    }

    /// How many associations have proposed to store something.
    pub fn associations(&self) -> Result<usize> {
        let log = std::fs::read_to_string(self.folder.path().join("scp.log"))?;
        Ok(log.lines().filter(|line| *line == "association").count())
    }
}
