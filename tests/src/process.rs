//! Processes that end with the test, and whose logs are shown when it fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// How much of a log a failing test shows.
const LOG_LINES_SHOWN: usize = 60;

/// A process in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, with both of its outputs appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("could not open {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the log, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the process ended with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Kills it as a power cut would: no signal handler runs.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("could not kill")?;
        self.child.wait().context("could not wait")?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        signal(self.pid(), Signal::TERM)?;
        self.ended(within)
    }

    /// Waits for its end.
    pub fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        eventually("the process to end", within, || {
            Ok(self.child.try_wait()?)
        })
    }

    /// Everything that it has written.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines[skipped..].join(
            "
",
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself: nothing is left to do then.
        self.kill().ok();
        // The test runner captures it and shows it only if the test fails.
        println!("{}:\n{}", self.log.display(), self.log_tail());
    }
}

/// Sends a signal to a process of the test's own.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("not a process id")?;
    kill_process(pid, signal).with_context(|| format!("could not signal {pid:?}"))
}

/// The children of a process that have this name, from `/proc`.
pub fn children(parent: u32, name: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // pid (name) state parent ..., where the name may hold spaces and parentheses (proc(5)).
        let Some((head, tail)) = stat.rsplit_once(") ") else {
            continue;
        };
        let comm = head.split_once('(').map(|(_, comm)| comm);
        let its_parent = tail.split(' ').nth(1).and_then(|p| p.parse().ok());
        if comm == Some(name) && its_parent == Some(parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// A finished run of a command-line tool.
#[derive(Debug)]
pub struct Run {
    /// What was run, for messages.
    pub command: String,
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Run {
    /// Runs a tool to its end.
    pub fn of(command: &mut Command) -> Result<Self> {
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("could not run {command:?}"))?;
        Ok(Self {
            command: format!("{command:?}"),
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails, with both outputs, unless the exit status is this one.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.code != Some(code) {
            bail!(
                "exit {:?} instead of {code} from {}\n{}",
                self.code,
                self.command,
                self.text()
            );
        }
        Ok(self)
    }

    /// Fails, with both outputs, unless the exit status is 0.
    pub fn success(self) -> Result<Self> {
        self.expect_code(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_name_and_dies_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let daemon = Daemon::start(Command::new("sleep").arg("600"), &log).unwrap();
        let pid = daemon.pid();
        let me = std::process::id();
        // Between fork and exec the child still has this program's name.
        let found = eventually("sleep", Duration::from_secs(5), || {
            Ok(Some(children(me, "sleep")?).filter(|c| c.contains(&pid)))
        });
        found.unwrap();
        drop(daemon);
        assert!(!children(me, "sleep").unwrap().contains(&pid));
    }

    #[test]
    fn a_wrong_exit_status_shows_what_was_said() {
        let run = Run::of(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap();
        let error = run.success().unwrap_err().to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
    }
}
