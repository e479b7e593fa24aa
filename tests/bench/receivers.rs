//! Who receives: each started for one run in a folder of its own, with the flags that make it fastest.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde_json::json;
use sonode_tests::node::{AE_TITLE, Config, Node, StoppedWorkers, files_under};
use sonode_tests::paths;
use sonode_tests::process::Daemon;
use sonode_tests::wait::{free_port, listening};
use tempfile::TempDir;

use crate::senders::{Sender, Target};

const START: Duration = Duration::from_mins(1);
const BENCH: &str = "BENCH";

/// A receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Receiver {
    /// `sonode serve`: every success is durable.
    Sonode,
    /// The same with the queue of `--history`.
    SonodeHistory,
    /// DCMTK's `storescp`.
    Storescp,
    /// The same with `TCP_NODELAY=1` in its environment.
    StorescpNodelay,
    /// Orthanc, told not to fsync either.
    Orthanc,
    /// The same with `TCP_NODELAY=1` in its environment: it is made of DCMTK.
    OrthancNodelay,
    /// A handler that writes what came (`tests/peers/bench_scp.py`).
    Pynetdicom,
    /// dicom-rs's.
    DicomStorescp,
    /// The limit: see [`crate::pump`].
    Pump,
}

impl Receiver {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sonode => "Sonode",
            Self::SonodeHistory => "Sonode with the history",
            Self::Storescp => "DCMTK `storescp`",
            Self::StorescpNodelay => "`storescp`, TCP_NODELAY=1",
            Self::Orthanc => "Orthanc",
            Self::OrthancNodelay => "Orthanc, TCP_NODELAY=1",
            Self::Pynetdicom => "pynetdicom",
            Self::DicomStorescp => "`dicom-storescp`",
            Self::Pump => "the pump",
        }
    }

    /// Whether it is one of those that Sonode is compared with.
    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Self::Sonode | Self::SonodeHistory | Self::Pump)
    }

    /// Whether it runs as its maker ships it: DCMTK answers in two pieces, of which the second waits for the ACK of the
    /// first under Nagle's algorithm, which is on unless the environment says otherwise.
    pub(crate) fn is_as_shipped(self) -> bool {
        !matches!(self, Self::StorescpNodelay | Self::OrthancNodelay)
    }

    /// Whether a case says something of it. The pump speaks no DICOM; and a sender that acknowledges at once, as the load
    /// generator does, leaves nothing for Nagle's algorithm to wait for.
    pub(crate) fn takes(self, sender: Sender) -> bool {
        match sender {
            Sender::Storescu => self != Self::Pump,
            Sender::Own => self.is_as_shipped(),
        }
    }

    /// Starts it for so many associations; `history` is a queue's folder.
    pub(crate) fn start(self, associations: u32, history: Option<&Path>) -> Result<Running> {
        match self {
            Self::Sonode => sonode(None),
            Self::SonodeHistory => sonode(Some(history.context("--history names no folder")?)),
            _ => self.start_peer(associations),
        }
    }

    fn start_peer(self, associations: u32) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let received = folder.path().join("received");
        fs::create_dir(&received)?;
        let port = free_port()?;
        let mut command = self.command(port, folder.path(), &received, associations)?;
        let process = Daemon::start(&mut command, &folder.path().join("log"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        listening(self.name(), address, START)?;
        Ok(Running {
            receiver: self,
            process: Process::Peer(process),
            address,
            folder: Some(folder),
            _stopped: None,
        })
    }

    fn command(
        self,
        port: u16,
        folder: &Path,
        received: &Path,
        associations: u32,
    ) -> Result<Command> {
        let port_text = port.to_string();
        let mut command;
        match self {
            Self::Sonode | Self::SonodeHistory | Self::Pump => {
                command = Command::new(std::env::current_exe()?);
                command.args(["pump", &port_text]).arg(received);
            }
            Self::Storescp | Self::StorescpNodelay => {
                command = Command::new("storescp");
                command
                    .args(["--quiet", "--fork", "--bit-preserving", "--accept-all"])
                    .args([
                        "--disable-host-lookup",
                        "-pdu",
                        "131072",
                        "-aet",
                        BENCH,
                        "-od",
                    ])
                    .arg(received)
                    .arg(&port_text);
            }
            Self::Orthanc | Self::OrthancNodelay => {
                let config = folder.join("orthanc.json");
                fs::write(&config, orthanc(port, received, associations)?)?;
                command = Command::new("Orthanc");
                command.arg(config);
            }
            Self::Pynetdicom => {
                command = Command::new(paths::peer("python")?);
                let script = paths::repository().join("tests/peers/bench_scp.py");
                command.arg("-B").arg(script).arg(&port_text).arg(received);
            }
            Self::DicomStorescp => {
                let program = paths::repository().join(".bench/bin/dicom-storescp");
                ensure!(
                    program.exists(),
                    "dicom-storescp is missing; run deploy/setup.sh bench"
                );
                command = Command::new(program);
                command
                    .args([
                        "--promiscuous",
                        "--max-pdu-length",
                        "131072",
                        "-p",
                        &port_text,
                        "-o",
                    ])
                    .arg(received);
                if associations > 1 {
                    command.arg("--non-blocking");
                }
            }
        }
        if !self.is_as_shipped() {
            command.env("TCP_NODELAY", "1");
        }
        Ok(command)
    }
}

fn orthanc(port: u16, storage: &Path, associations: u32) -> Result<String> {
    Ok(json!({
        "Name": "bench",
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "Plugins": [],
        "DicomAet": BENCH,
        "DicomPort": port,
        "DicomAlwaysAllowStore": true,
        "HttpPort": free_port()?,
        "RemoteAccessAllowed": false,
        "AuthenticationEnabled": false,
        "SaveJobs": false,
        "MaximumPduLength": 131_072,
        "DicomThreadsCount": associations.max(4),
        "SyncStorageArea": false,
        "StoreMD5ForAttachments": false,
        "StorageCompression": false,
    })
    .to_string())
}

/// A Sonode as it ships. Its worker is stopped, as the peers have none: what is compared is taking objects.
fn sonode(history: Option<&Path>) -> Result<Running> {
    let config = Config {
        quiet_period_s: 3600,
        ..Config::default()
    };
    let mut node = Node::start(&config)?;
    if let Some(history) = history {
        node.terminate()?;
        let queue = node.data_dir().join("queue");
        fs::remove_dir_all(&queue)?;
        fs::create_dir(&queue)?;
        for file in files_under(history)? {
            let to = queue.join(file.strip_prefix(history)?);
            fs::create_dir_all(to.parent().context("no folder")?)?;
            fs::copy(&file, to)?;
        }
        node.restart()?;
        ensure!(
            !node.data_dir().join("queue.broken-1").exists(),
            "the history is of another form: delete .bench/history"
        );
    }
    let stopped = node.stop_worker()?;
    Ok(Running {
        _stopped: Some(stopped),
        receiver: Receiver::Sonode,
        address: node.address(),
        process: Process::Sonode(Box::new(node)),
        folder: None,
    })
}

enum Process {
    Peer(Daemon),
    Sonode(Box<Node>),
}

/// A receiver that runs. Dropping it kills it.
pub(crate) struct Running {
    receiver: Receiver,
    // Before its folder, so that it ends before that goes.
    process: Process,
    address: SocketAddr,
    folder: Option<TempDir>,
    _stopped: Option<StoppedWorkers>,
}

impl Running {
    pub(crate) fn pid(&self) -> Result<u32> {
        match &self.process {
            Process::Peer(daemon) => Ok(daemon.pid()),
            Process::Sonode(node) => node.pid(),
        }
    }

    pub(crate) fn target(&self) -> Target {
        let title = match self.receiver {
            Receiver::Pump => None,
            Receiver::Sonode | Receiver::SonodeHistory => Some(AE_TITLE),
            _ => Some(BENCH),
        };
        Target {
            address: self.address,
            title,
        }
    }

    /// Ends it and empties its files, but keeps its folder in `graveyard`: ext4 looks at every inode that was
    /// deleted a moment ago before it gives out a new one, which would make each receiver pay for the one before it.
    pub(crate) fn bury(mut self, graveyard: &Path) -> Result<()> {
        match &mut self.process {
            Process::Peer(daemon) => daemon.kill()?,
            Process::Sonode(node) => node.kill()?,
        }
        let stored = self.stored();
        for file in files_under(&stored)? {
            File::options().write(true).open(&file)?.set_len(0)?;
        }
        let number = fs::read_dir(graveyard)?.count();
        Ok(fs::rename(stored, graveyard.join(number.to_string()))?)
    }

    fn stored(&self) -> PathBuf {
        match (&self.process, &self.folder) {
            (Process::Sonode(node), _) => node.data_dir(),
            (_, folder) => folder
                .as_ref()
                .map(|folder| folder.path().join("received"))
                .unwrap_or_default(),
        }
    }

    /// Fails unless it holds this many bytes at least: what was answered with success was not thrown away.
    pub(crate) fn holds(&self, bytes: u64) -> Result<()> {
        let mut held = 0;
        for file in files_under(&self.stored())? {
            held += file
                .metadata()
                .with_context(|| format!("{}", file.display()))?
                .len();
        }
        ensure!(
            held >= bytes,
            "{} holds {held} of {bytes} bytes",
            self.receiver.name()
        );
        Ok(())
    }
}
