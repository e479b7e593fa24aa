//! `strace` around single threads: their system calls listed, and the process killed at one of them.
//!
//! An injected SIGKILL comes when the call is entered, and the kernel leaves out the call of a thread that has one
//! pending: the process dies before it. To die after a call is to die before the next one that the thread makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::Daemon;
use crate::wait::eventually;

const WITHIN: Duration = Duration::from_secs(30);
/// What strace writes last of a process that was killed.
const KILLED: &str = "+++ killed by SIGKILL +++";

/// Where a process is to be killed: at the `nth` call of one name that a thread makes while it is watched, from 1.
#[derive(Debug, Clone, Copy)]
pub struct Abort<'a> {
    /// The system call's name.
    pub call: &'a str,
    /// Which one.
    pub nth: usize,
}

/// A strace. Dropping it lets its threads go.
#[derive(Debug)]
pub struct Tracer {
    // First, so that it ends before its folder goes. None where strace is the process's own child.
    tracer: Option<Daemon>,
    folder: TempDir,
}

impl Tracer {
    /// Watches these calls of threads that run. A call that is being made already is not seen.
    pub fn attach(threads: &[u32], calls: &[&str], abort: Option<Abort>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut strace = command(folder.path(), calls, abort);
        for thread in threads {
            strace.args(["-p", &thread.to_string()]);
        }
        let mut tracer = Daemon::start(&mut strace, &folder.path().join("messages"))?;
        eventually("strace to attach", WITHIN, || {
            let attached = tracer.log().matches(" attached").count() == threads.len();
            if !attached {
                tracer.check_alive()?;
            }
            Ok(attached.then_some(()))
        })?;
        Ok(Self {
            tracer: Some(tracer),
            folder,
        })
    }

    /// A command that watches these calls of the main thread of the program in its further arguments, and becomes that
    /// program. Other threads and children aren't watched.
    pub fn starting(calls: &[&str], abort: Option<Abort>) -> Result<(Self, Command)> {
        let folder = tempfile::tempdir()?;
        let mut strace = command(folder.path(), calls, abort);
        strace.args(["-D", "--"]);
        let tracer = None;
        Ok((Self { tracer, folder }, strace))
    }

    /// Lets the threads go; gives the calls that were made, a line each.
    pub fn end(mut self) -> Result<Vec<String>> {
        if let Some(tracer) = &mut self.tracer {
            // It ends by itself with the last of its threads.
            tracer.terminate(WITHIN)?;
        }
        self.lines()
    }

    /// The call at which the process was killed.
    pub fn killed_at(&self, abort: Abort) -> Result<String> {
        eventually("strace to see the process die", WITHIN, || {
            let lines = self.lines()?;
            let is_dead = lines.iter().any(|line| line.contains(KILLED));
            let made = lines.iter().rfind(|line| is_call(line, abort.call));
            Ok(made.filter(|_| is_dead).cloned())
        })
    }

    fn lines(&self) -> Result<Vec<String>> {
        let log = fs::read(log(self.folder.path())).context("strace wrote nothing")?;
        let lines = String::from_utf8_lossy(&log);
        Ok(lines.lines().map(str::to_owned).collect())
    }
}

/// Whether a line of strace's is about this call, and not about its late return.
pub fn is_call(line: &str, call: &str) -> bool {
    // With several threads the line begins with one's id.
    let call = format!("{call}(");
    line.split_whitespace()
        .take(2)
        .any(|word| word.starts_with(&call))
}

/// The threads of a process whose names begin like this.
pub fn threads(pid: u32, name: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        // It may end between the listing and the look.
        let its = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if its.starts_with(name) {
            let id = task.file_name().to_string_lossy().parse();
            found.push(id.context("a task that has no number")?);
        }
    }
    Ok(found)
}

fn log(folder: &Path) -> PathBuf {
    folder.join("calls")
}

fn command(folder: &Path, calls: &[&str], abort: Option<Abort>) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-y", "-s", "8", "-o"])
        .arg(log(folder))
        .args(["-e", &format!("trace={}", calls.join(","))]);
    if let Some(Abort { call, nth }) = abort {
        strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
    }
    strace
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn a_process_dies_before_the_call_that_it_is_killed_at() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let abort = Abort {
            call: "mkdir",
            nth: 2,
        };
        let (tracer, mut strace) = Tracer::starting(&["mkdir"], Some(abort)).unwrap();
        let status = strace.arg("mkdir").args([&first, &second]).status();
        assert_eq!(status.unwrap().signal(), Some(9));
        assert!(first.exists() && !second.exists());
        assert!(tracer.killed_at(abort).unwrap().contains("second"));
    }
}
