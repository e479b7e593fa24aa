//! A Sonode as it ships, in a folder of its own.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::Http;
use crate::paths;
use crate::process::{Daemon, Run, children, signal};
use crate::wait::{eventually, free_port};

/// The node's AE title.
pub const AE_TITLE: &str = "SONODE";
/// The AE title of the cart that every node here knows.
pub const CART: &str = "CART1";

/// From start to ready; loading the models is most of it.
const START: Duration = Duration::from_secs(90);
/// From SIGTERM to the end.
const DRAIN: Duration = Duration::from_mins(1);

/// A configuration; its default knows one cart, closes studies after a second and lets the built-in models report.
#[derive(Debug, Clone)]
pub struct Config {
    /// `study.quiet_period_s`.
    pub quiet_period_s: u32,
    /// `limits.max_associations`.
    pub max_associations: u32,
    /// `limits.artim_s`.
    pub artim_s: u32,
    /// `limits.share_idle_s`.
    pub share_idle_s: u32,
    /// `storage.prune_above_percent` and `storage.refuse_above_percent`.
    pub storage_percent: u8,
    /// `[[peer]]` beside the cart.
    pub peers: Vec<Peer>,
    /// `[[route]]`.
    pub routes: Vec<Route>,
}

/// One `[[peer]]`.
#[derive(Debug, Clone)]
pub struct Peer {
    /// `name`.
    pub name: String,
    /// `ae_title`.
    pub ae_title: String,
    /// `port`, on loopback; none for a peer that only calls.
    pub port: Option<u16>,
    /// `accept_unknown`; none leaves the default.
    pub accept_unknown: Option<bool>,
    /// Further lines, as they stand in the file.
    pub more: String,
}

impl Peer {
    /// A peer that only calls.
    pub fn caller(name: &str, ae_title: &str) -> Self {
        Self {
            name: name.to_owned(),
            ae_title: ae_title.to_owned(),
            port: None,
            accept_unknown: None,
            more: String::new(),
        }
    }

    /// A peer on loopback that is called.
    pub fn on_port(name: &str, ae_title: &str, port: u16) -> Self {
        Self {
            port: Some(port),
            ..Self::caller(name, ae_title)
        }
    }
}

/// One `[[route]]`, from every peer.
#[derive(Debug, Clone)]
pub struct Route {
    /// `to`.
    pub to: String,
    /// `send`.
    pub send: Vec<String>,
    /// `report_unmeasured`; none leaves the default.
    pub report_unmeasured: Option<String>,
    /// Further lines, as they stand in the file.
    pub more: &'static str,
}

impl Route {
    /// Reports to this peer.
    pub fn reports_to(peer: &str) -> Self {
        Self {
            to: peer.to_owned(),
            send: vec!["sr".to_owned()],
            report_unmeasured: None,
            more: "",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quiet_period_s: 1,
            max_associations: 64,
            artim_s: 30,
            share_idle_s: 30,
            storage_percent: 100,
            peers: vec![Peer::caller("cart-1", CART)],
            routes: Vec::new(),
        }
    }
}

impl Config {
    /// The default, with a PACS on this port that gets the reports.
    pub fn with_pacs(port: u16, ae_title: &str) -> Self {
        let mut config = Self::default();
        config.peers.push(Peer::on_port("pacs", ae_title, port));
        config.routes.push(Route::reports_to("pacs"));
        config
    }

    fn to_toml(&self, dicom_port: u16, http_port: u16) -> Result<String> {
        let mut toml = String::new();
        writeln!(toml, "[node]\nae_title = {AE_TITLE:?}")?;
        writeln!(
            toml,
            "listen = \"127.0.0.1:{dicom_port}\"\ndata_dir = \"data\""
        )?;
        writeln!(toml, "[http]\nlisten = \"127.0.0.1:{http_port}\"")?;
        writeln!(
            toml,
            "[limits]\nmax_associations = {}\nartim_s = {}\nshare_idle_s = {}",
            self.max_associations, self.artim_s, self.share_idle_s
        )?;
        // The machine's disk may be as full as it likes, but where a test is about that.
        writeln!(
            toml,
            "[storage]\nprune_above_percent = {0}\nrefuse_above_percent = {0}",
            self.storage_percent
        )?;
        writeln!(toml, "[study]\nquiet_period_s = {}", self.quiet_period_s)?;
        writeln!(
            toml,
            "[inference]\ndevice = \"cpu\"\nallow_research_models = true"
        )?;
        for peer in &self.peers {
            writeln!(
                toml,
                "[[peer]]\nname = {:?}\nae_title = {:?}",
                peer.name, peer.ae_title
            )?;
            if let Some(port) = peer.port {
                writeln!(toml, "host = \"127.0.0.1\"\nport = {port}")?;
            }
            if let Some(accept) = peer.accept_unknown {
                writeln!(toml, "accept_unknown = {accept}")?;
            }
            writeln!(toml, "{}", peer.more)?;
        }
        for route in &self.routes {
            writeln!(
                toml,
                "[[route]]\nto = {:?}\nsend = {:?}",
                route.to, route.send
            )?;
            if let Some(when) = &route.report_unmeasured {
                writeln!(toml, "report_unmeasured = {when:?}")?;
            }
            writeln!(toml, "{}", route.more)?;
        }
        Ok(toml)
    }
}

/// A node. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Node {
    // First, so that it ends before its folder goes.
    process: Option<Daemon>,
    folder: TempDir,
    dicom_port: u16,
    http_port: u16,
}

impl Node {
    /// Writes the configuration, starts `sonode serve` and waits until it is ready.
    pub fn start(config: &Config) -> Result<Self> {
        let mut node = Self::start_unready(config)?;
        node.ready()?;
        Ok(node)
    }

    /// As [`Self::start`], without the wait.
    pub fn start_unready(config: &Config) -> Result<Self> {
        let mut node = Self {
            process: None,
            folder: tempfile::tempdir()?,
            dicom_port: free_port()?,
            http_port: free_port()?,
        };
        let toml = config.to_toml(node.dicom_port, node.http_port)?;
        fs::write(node.config_path(), toml)?;
        node.spawn()?;
        Ok(node)
    }

    /// Starts it again on the same data, after [`Self::kill`] or [`Self::terminate`], and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready()
    }

    /// As [`Self::restart`], without the wait.
    pub fn spawn(&mut self) -> Result<()> {
        self.run(Command::new(paths::program("sonode")?))
    }

    /// As [`Self::spawn`], by a program that becomes the one after its own arguments.
    pub fn spawn_by(&mut self, mut command: Command) -> Result<()> {
        command.arg(paths::program("sonode")?);
        self.run(command)
    }

    fn run(&mut self, mut command: Command) -> Result<()> {
        ensure!(self.process.is_none(), "it is running");
        command
            .args(["serve", "--config"])
            .arg(self.config_path())
            .current_dir(paths::repository());
        let log = self.folder.path().join("sonode.log");
        self.process = Some(Daemon::start(&mut command, &log)?);
        Ok(())
    }

    /// Waits until it is ready. A node that is not stays here, and shows its log when it is dropped.
    pub fn ready(&mut self) -> Result<()> {
        let http = self.http();
        let process = self.process.as_mut().context("it isn't running")?;
        eventually("the node to be ready", START, || {
            process.check_alive()?;
            Ok((http.status("/readyz") == Some(200)).then_some(()))
        })
    }

    /// Writes another configuration, with the same ports, and sends SIGHUP.
    pub fn reload(&self, config: &Config) -> Result<()> {
        let process = self.process.as_ref().context("it isn't running")?;
        let toml = config.to_toml(self.dicom_port, self.http_port)?;
        fs::write(self.config_path(), toml)?;
        signal(process.pid(), Signal::HUP)
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("sonode.toml")
    }

    /// `node.data_dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where it accepts associations.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.dicom_port))
    }

    /// Its HTTP interface.
    pub fn http(&self) -> Http {
        Http::on(self.http_port)
    }

    /// Everything that it has logged, over its restarts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("sonode.log")).unwrap_or_default()
    }

    /// Kills it as a power cut of the process would: no signal handler runs.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("it isn't running")?.kill()
    }

    /// Waits until it has ended without being asked to.
    pub fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let process = self.process.as_mut().context("it isn't running")?;
        let status = process.ended(within)?;
        self.process = None;
        Ok(status)
    }

    /// Sends SIGTERM and waits until it has drained.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process
            .take()
            .context("it isn't running")?
            .terminate(DRAIN)
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref().context("it isn't running")?;
        Ok(process.pid())
    }

    /// Its peak resident memory, in MB (10^6 bytes). The page cache is not part of it.
    pub fn peak_memory(&self) -> Result<u64> {
        let process = self.process.as_ref().context("it isn't running")?;
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("no VmHWM")?.parse()?;
        Ok(kibibytes * 1024 / 1_000_000)
    }

    /// The process ids of its `sonode-worker`s.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let process = self.process.as_ref().context("it isn't running")?;
        children(process.pid(), "sonode-worker")
    }

    /// Stops its worker, where a test is about taking objects alone: nothing is analysed until the guard is dropped.
    pub fn stop_worker(&self) -> Result<StoppedWorkers> {
        let stopped = StoppedWorkers(self.workers()?);
        let mut workers = stopped.0.iter();
        workers.try_for_each(|worker| signal(*worker, Signal::STOP))?;
        Ok(stopped)
    }

    /// Runs `sonode ARGUMENTS --config` with this node's file.
    pub fn cli(&self, arguments: &[&str]) -> Result<Run> {
        let mut command = Command::new(paths::program("sonode")?);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_path())
            .current_dir(paths::repository());
        Run::of(&mut command)
    }

    /// `GET /api/v1/studies`: one line a study.
    pub fn studies(&self) -> Result<Vec<Value>> {
        let body = self.http().json("/api/v1/studies")?;
        let list = body.get("studies").unwrap_or(&body);
        list.as_array()
            .cloned()
            .with_context(|| format!("not a list of studies: {body}"))
    }

    /// `GET /api/v1/studies/{uid}`; none before its first instance is there.
    pub fn study(&self, uid: &str) -> Result<Option<Value>> {
        let path = format!("/api/v1/studies/{uid}");
        match self.http().status(&path) {
            Some(404) => Ok(None),
            _ => self.http().json(&path).map(Some),
        }
    }

    /// Waits until nothing is owed for a study any more, and returns it.
    pub fn study_done(&self, uid: &str, within: Duration) -> Result<Value> {
        let mut last = None;
        let done = eventually("the study to be done", within, || {
            last = self.study(uid)?;
            Ok(last.take_if(|study| study.get("done") == Some(&Value::Bool(true))))
        });
        done.with_context(|| format!("the study was last seen as {last:?}"))
    }

    /// Why the node doesn't measure an instance; none if it does. Fails for an instance that it doesn't list.
    pub fn rejection(study: &Value, sop_instance_uid: &str) -> Result<Option<String>> {
        let instance = Self::instance(study, sop_instance_uid)?;
        Ok(instance
            .get("rejected")
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// An instance's entry in a study.
    pub fn instance<'a>(study: &'a Value, sop_instance_uid: &str) -> Result<&'a Value> {
        let list = study.get("instance_list").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .find(|i| i.get("sop_instance_uid").and_then(Value::as_str) == Some(sop_instance_uid))
            .with_context(|| format!("no instance {sop_instance_uid} in {study}"))
    }

    /// The files of an instance in the spool, one a version: `<SOPUID>.<hash16>.dcm` under its study's folder.
    pub fn stored(&self, study_uid: &str, sop_instance_uid: &str) -> Result<Vec<PathBuf>> {
        let prefix = format!("{sop_instance_uid}.");
        let mut files = Vec::new();
        for path in files_under(&self.data_dir())? {
            let in_study = path
                .parent()
                .is_some_and(|folder| folder.ends_with(study_uid));
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            let hash = name
                .strip_prefix(&prefix)
                .and_then(|n| n.strip_suffix(".dcm"));
            if in_study && hash.is_some_and(|hash| hash.len() == 16) {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// Every file in its data folder that holds an instance, of whatever study.
    pub fn all_stored(&self) -> Result<Vec<PathBuf>> {
        let mut files = files_under(&self.data_dir())?;
        files.retain(|path| {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            path.extension().is_some_and(|e| e == "dcm") && !name.starts_with("report-")
        });
        Ok(files)
    }
}

/// Workers that are stopped. They would outlive their node, so that dropping this kills them.
#[derive(Debug)]
pub struct StoppedWorkers(Vec<u32>);

impl StoppedWorkers {
    /// Lets them go on.
    pub fn go_on(mut self) -> Result<()> {
        let workers = std::mem::take(&mut self.0);
        workers
            .into_iter()
            .try_for_each(|worker| signal(worker, Signal::CONT))
    }
}

impl Drop for StoppedWorkers {
    fn drop(&mut self) {
        for worker in &self.0 {
            // It may be gone already.
            signal(*worker, Signal::KILL).unwrap_or_default();
        }
    }
}

/// Every file below a folder. Files that go while it looks are left out.
pub fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    Ok(files)
}
