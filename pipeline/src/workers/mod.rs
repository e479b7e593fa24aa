//! The worker as a process: started with a socket pair on its standard input and output, read by a thread of its own, killed
//! when it is told to be or when it talks nonsense. What is done with it is the engine's matter.

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sonode_findings::protocol::{FrameError, FromWorker, ToWorker, read_frame, write_frame};

use crate::ports::{Analyzer, Tell, Worker, WorkerEnd, WorkerEvent};

/// The exit code of a worker that has no model that it may use.
const EXIT_NO_MODEL: i32 = 3;
/// How long a worker that has closed its connection may take to end by itself.
const END_GRACE: Duration = Duration::from_secs(2);
/// A job is a few hundred bytes: a socket that takes none for so long belongs to a worker that is stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest line of its standard error that is passed on.
const STDERR_LINE_MAX: u64 = 4096;

/// The program that analyses, `sonode-worker`.
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    /// Where it is.
    pub program: PathBuf,
    /// Its arguments, such as `serve --models-dir D --device cpu`.
    pub args: Vec<String>,
}

impl Analyzer for WorkerProgram {
    fn start(&self, tell: Tell) -> io::Result<Box<dyn Worker>> {
        let process = WorkerProcess::start(self, tell).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.program.display()))
        })?;
        Ok(Box::new(process))
    }
}

/// A running worker.
struct WorkerProcess {
    jobs: UnixStream,
    child: Arc<Mutex<Child>>,
}

impl WorkerProcess {
    fn start(of: &WorkerProgram, tell: Tell) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let answers = ours.try_clone()?;
        let mut child = Command::new(&of.program)
            .args(&of.args)
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let stderr = child.stderr.take();
        let child = Arc::new(Mutex::new(child));
        let theirs = Arc::clone(&child);
        let reader = move || {
            let last_words = follow_stderr(stderr, pid);
            let failure = read_answers(&answers, &tell);
            tell(WorkerEvent::Ended(end(
                &answers,
                &theirs,
                failure,
                &last_words,
            )));
        };
        let thread = thread::Builder::new().name("worker-reader".to_owned());
        if let Err(error) = thread.spawn(reader) {
            kill(&child);
            return Err(error);
        }
        tracing::info!(pid, program = %of.program.display(), "worker started");
        Ok(Self { jobs: ours, child })
    }
}

impl Worker for WorkerProcess {
    fn give(&mut self, job: &ToWorker) {
        if let Err(error) = write_frame(&mut self.jobs, job) {
            tracing::warn!(%error, "the worker doesn't take a job");
            kill(&self.child);
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = child.kill() {
        tracing::debug!(%error, "kill");
    }
}

/// Passes answers on until the connection ends; says why it ended, unless the worker closed it between two frames.
fn read_answers(mut from: &UnixStream, tell: &impl Fn(WorkerEvent)) -> Option<FrameError> {
    loop {
        match read_frame(&mut from) {
            Ok(FromWorker::Ready(ready)) => tell(WorkerEvent::Ready(ready)),
            Ok(FromWorker::Analyzed(analyzed)) => tell(WorkerEvent::Analyzed(analyzed)),
            Ok(FromWorker::Amended(amended)) => tell(WorkerEvent::Amended(amended)),
            Ok(FromWorker::Illustrated(drawn)) => tell(WorkerEvent::Illustrated(drawn)),
            Err(FrameError::Closed) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Ends what is left of a worker and says how it ended.
fn end(
    connection: &UnixStream,
    child: &Mutex<Child>,
    failure: Option<FrameError>,
    last_words: &Receiver<String>,
) -> WorkerEnd {
    if let Err(error) = connection.shutdown(std::net::Shutdown::Both) {
        tracing::debug!(%error, "shutdown");
    }
    let words = match failure {
        // A broken frame from a dying worker is told by its exit status; from a living one it is nonsense.
        Some(_) => last_words.recv_timeout(Duration::from_millis(200)),
        None => last_words.recv_timeout(END_GRACE),
    };
    let ended_by_itself = words.is_ok();
    kill(child);
    let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    let words = words
        .or_else(|_| last_words.recv_timeout(END_GRACE))
        .unwrap_or_default();
    let unusable = status
        .as_ref()
        .is_ok_and(|status| status.code() == Some(EXIT_NO_MODEL));
    let detail = match (&status, failure) {
        _ if unusable => no_model(&words),
        (_, Some(nonsense)) if !ended_by_itself => format!("the worker was killed: {nonsense}"),
        (Ok(status), _) => ended(*status, &words),
        (Err(error), _) => format!("the worker ended: {error}"),
    };
    WorkerEnd { detail, unusable }
}

fn no_model(words: &str) -> String {
    let mut text = "no usable model: set allow_research_models = true to let the built-in research models report, \
                    or put a model of yours into models_dir"
        .to_owned();
    if !words.is_empty() {
        text.push_str(" (the worker says: ");
        text.push_str(words);
        text.push(')');
    }
    text
}

fn ended(status: ExitStatus, words: &str) -> String {
    let mut text = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the worker ended with exit code {code}"),
        (None, Some(signal)) => format!("the worker was ended by signal {signal}"),
        (None, None) => "the worker ended".to_owned(),
    };
    if !words.is_empty() {
        text.push_str(": ");
        text.push_str(words);
    }
    text
}

/// Passes standard error on to the log, line by line; sends the last line when the worker closes it, which it does by
/// ending.
fn follow_stderr(stderr: Option<ChildStderr>, pid: u32) -> Receiver<String> {
    let (last_words, receiver) = mpsc::channel();
    let follow = move || {
        let mut last = String::new();
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            loop {
                line.clear();
                match lines
                    .by_ref()
                    .take(STDERR_LINE_MAX)
                    .read_until(b'\n', &mut line)
                {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !text.is_empty() {
                    tracing::info!(target: "sonode_worker", pid, "{text}");
                    last = text;
                }
            }
        }
        // The reader may have stopped waiting for it.
        drop(last_words.send(last));
    };
    let thread = thread::Builder::new().name("worker-stderr".to_owned());
    if let Err(error) = thread.spawn(follow) {
        tracing::warn!(%error, "the worker's messages are lost");
    }
    receiver
}
