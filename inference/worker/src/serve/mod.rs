//! The worker's side of the protocol: jobs on standard input, findings on standard output, logs on standard error.
//!
//! ```text
//! reader thread --jobs--> opener thread --clips--> main thread, which owns the models --> standard output
//!                                                  readings: answers held for the second reader
//! ```
//! Both channels are bounded, and a file is read, judged and looked through for colour while the clip before it is measured.
//!
//! An error of a file is an answer. A panic of a model, or a pipe that breaks, ends the process: the node starts it again.

mod libraries;
mod readings;
mod sandbox;

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sonode_findings::protocol::{
    AnalyzeJob, Analyzed, FrameError, FromWorker, IllustrateJob, Illustrated, Ready, ToWorker,
    read_frame, write_frame,
};

use crate::analysis::{Analysis, Prepared, identify, prepare};
use crate::device::{self, DeviceChoice};
use crate::illustrate::illustrate;
use crate::models::{Models, ModelsError};
use crate::second_reader::review::{ReviewOptions, Reviewer, mapped_bytes};
use readings::{Held, Inbox};

pub use libraries::restart_with_cuda;
pub use sandbox::Allowed;

/// Jobs in flight: one is measured, and the next one is opened meanwhile.
pub const CREDITS: u32 = 2;

/// How the worker is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the models.
    pub models_dir: PathBuf,
    /// Where they run.
    pub device: DeviceChoice,
    /// Whether models that were trained on synthetic data alone may be used.
    pub allow_research_models: bool,
    /// The only folder whose files may be opened.
    pub spool: Option<PathBuf>,
    /// A second reader; none: measurements alone.
    pub second_reader: Option<ReviewOptions>,
}

/// Why the worker ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// No model may be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The node sent something that is no message, or went away while it was answered.
    #[error("the node's connection failed: {0}")]
    Protocol(#[from] FrameError),
    /// A job's file can't be read, which is no answer about its instance: the node tries again.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(#[source] io::Error),
}

/// Serves until the end of `input`.
///
/// # Errors
/// Each variant of [`ServeError`]; the end of `input` is none.
pub fn run(
    options: &Options,
    input: impl Read + Send + 'static,
    output: impl Write,
) -> Result<(), ServeError> {
    let device = device::resolve(options.device)?;
    let review = options.second_reader.as_ref();
    let reader = review.map(|review| &review.reader);
    let folders = reader.map(|reader| [Some(reader.checkpoint.clone()), reader.adapter.clone()]);
    let allowed = Allowed {
        spool: options.spool.clone(),
        models: options.models_dir.clone(),
        reader: folders.into_iter().flatten().flatten().collect(),
        // Mapped, and once more as it is stored.
        reader_bytes: reader.map_or(0, |reader| 2 * mapped_bytes(reader)),
        gpu: device.is_cuda(),
    };
    let in_force = sandbox::enter(&allowed);
    tracing::info!("limits in force: {in_force}");
    if device.is_cuda() {
        sandbox::watch_memory(allowed.reader_bytes).map_err(ServeError::Thread)?;
    }
    let models = Models::load(&options.models_dir, device, options.allow_research_models)?;
    // Without it patients are still measured.
    let reviewer = review.and_then(|review| {
        Reviewer::load(review)
            .inspect_err(|error| tracing::error!(%error, "no second reader"))
            .ok()
    });
    converse(
        &models,
        reviewer.as_ref(),
        device::name(device),
        input,
        output,
    )
}

fn converse(
    models: &Models,
    reviewer: Option<&Reviewer>,
    device: String,
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> Result<(), ServeError> {
    // Answers that are held for a reading must not keep the next measurement waiting.
    let held = reviewer.map_or(0, |_| readings::HELD_MAX);
    let credits = CREDITS + held;
    let ended = Arc::new(AtomicBool::new(false));
    let (job_sender, jobs) = sync_channel(credits as usize);
    let (clip_sender, clips) = sync_channel(0);
    start("reader", {
        let ended = Arc::clone(&ended);
        move || read_jobs(input, &job_sender, &ended)
    })?;
    start("opener", move || open_jobs(&jobs, &clip_sender))?;
    let mut refs = models.refs();
    refs.extend(reviewer.map(|reviewer| reviewer.model().clone()));
    let ready = Ready {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        device,
        models: refs,
        credits,
    };
    write_frame(&mut output, &FromWorker::Ready(ready))?;
    let inbox = Inbox::new(&clips);
    let mut held = Held::new(reviewer);
    // The node is gone, or wants nothing more, once its side has ended: an answer would find no reader.
    while !ended.load(Ordering::Relaxed) {
        let next = if held.is_empty() {
            inbox.wait()
        } else {
            inbox.take()
        };
        match next {
            Some(Opened::Clip(id, prepared)) => {
                let prepared = (*prepared)?;
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (analysis, clip) = prepared.measure_and_keep(models);
                if let Some(done) = held.put(id, analysis, clip) {
                    answer(&mut output, done)?;
                }
            }
            Some(Opened::Drawing(job)) => {
                write_frame(&mut output, &FromWorker::Illustrated(Box::new(draw(&job))))?;
            }
            None if held.is_empty() => break,
            None => {
                let stop = || inbox.is_waiting() || ended.load(Ordering::Relaxed);
                if let Some(done) = held.read_one(&stop) {
                    answer(&mut output, done)?;
                }
            }
        }
        for done in held.late() {
            answer(&mut output, done)?;
        }
    }
    Ok(())
}

fn answer(output: &mut impl Write, (id, analysis): (u64, Analysis)) -> Result<(), ServeError> {
    let Analysis { findings, context } = analysis;
    tracing::info!(
        job = id,
        uid = findings.sop_instance_uid.as_str(),
        rejected = findings.rejected.map(|reason| format!("{reason:?}")),
        "analysed"
    );
    let answer = Analyzed {
        id,
        findings,
        context,
    };
    Ok(write_frame(
        output,
        &FromWorker::Analyzed(Box::new(answer)),
    )?)
}

/// What libraries can't survive is answered as what they refuse: the drawing isn't tried again.
fn draw(IllustrateJob { id, drawing }: &IllustrateJob) -> Illustrated {
    let outcome = catch_unwind(AssertUnwindSafe(|| illustrate(drawing)));
    let outcome = match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("a library gave up on it".to_owned()),
    };
    tracing::info!(job = id, error = outcome.as_ref().err(), "drawn");
    Illustrated { id: *id, outcome }
}

/// What waits for the main thread.
enum Opened {
    /// A file, read and judged.
    Clip(u64, Box<Result<Prepared, ServeError>>),
    /// A drawing, untouched.
    Drawing(Box<IllustrateJob>),
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), ServeError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(|_| ())
        .map_err(ServeError::Thread)
}

fn read_jobs(mut input: impl Read, jobs: &SyncSender<ToWorker>, ended: &AtomicBool) {
    loop {
        match read_frame(&mut input) {
            Ok(job) => {
                if jobs.send(job).is_err() {
                    break;
                }
            }
            Err(FrameError::Closed) => break,
            Err(error) => {
                tracing::error!(%error, "reading a job");
                break;
            }
        }
    }
    ended.store(true, Ordering::Relaxed);
}

fn open_jobs(jobs: &Receiver<ToWorker>, clips: &SyncSender<Opened>) {
    while let Ok(message) = jobs.recv() {
        let (AnalyzeJob { id, path }, identified) = match message {
            ToWorker::Analyze(job) => (job, false),
            ToWorker::Identify(job) => (job, true),
            ToWorker::Illustrate(job) => {
                if clips.send(Opened::Drawing(job)).is_err() {
                    break;
                }
                continue;
            }
        };
        let read = if identified { identify } else { prepare };
        // Header parsing is others' code too; what it can't survive is undecodable.
        let prepared = catch_unwind(AssertUnwindSafe(|| read(&path)))
            .unwrap_or_else(|_| Ok(Prepared::given_up(&path)))
            .or_else(|error| match error.kind() {
                // Discarded while it waited in the queue.
                io::ErrorKind::NotFound => Ok(Prepared::given_up(&path)),
                _ => Err(error),
            })
            .map_err(|source| ServeError::File { path, source });
        if clips.send(Opened::Clip(id, Box::new(prepared))).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sonode_findings::Rejection;

    use super::*;

    fn framed(jobs: &[ToWorker]) -> Vec<u8> {
        let mut wire = Vec::new();
        for job in jobs {
            write_frame(&mut wire, job).unwrap();
        }
        wire
    }

    #[test]
    fn jobs_come_in_order_and_the_end_of_input_is_noticed() {
        let job = |id| AnalyzeJob {
            id,
            path: format!("/spool/{id}.dcm").into(),
        };
        let jobs = [ToWorker::Analyze(job(0)), ToWorker::Identify(job(1))];
        for cut in [0, 3] {
            let mut wire = framed(&jobs);
            wire.truncate(wire.len() - cut);
            let (sender, receiver) = sync_channel(jobs.len());
            let ended = AtomicBool::new(false);
            read_jobs(wire.as_slice(), &sender, &ended);
            drop(sender);
            let got: Vec<ToWorker> = receiver.iter().collect();
            assert_eq!(got, jobs[..jobs.len() - usize::from(cut > 0)]);
            assert!(ended.load(Ordering::Relaxed));
        }
    }

    fn decoded(path: PathBuf) -> Result<Prepared, ServeError> {
        let (job_sender, jobs) = sync_channel(1);
        let (clip_sender, clips) = sync_channel(1);
        let job = AnalyzeJob { id: 5, path };
        job_sender.send(ToWorker::Analyze(job)).unwrap();
        drop(job_sender);
        open_jobs(&jobs, &clip_sender);
        let Opened::Clip(id, prepared) = clips.recv().unwrap() else {
            panic!("no clip");
        };
        assert_eq!(id, 5);
        *prepared
    }

    #[test]
    fn garbage_is_answered_under_the_uid_that_the_spool_named_it_by() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.2.840.99.7.0123456789abcdef.dcm");
        fs::write(&path, b"no DICOM at all").unwrap();
        let prepared = decoded(path).unwrap();
        assert_eq!(prepared.sop_instance_uid().as_str(), "1.2.840.99.7");
        assert_eq!(prepared.rejection(), Some(Rejection::Undecodable));
        assert!(!prepared.needs_models());
    }

    #[test]
    fn a_file_that_is_gone_is_answered_and_one_that_cannot_be_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let gone = decoded(folder.path().join("1.2.3.0.dcm")).unwrap();
        assert_eq!(gone.rejection(), Some(Rejection::Undecodable));
        // Reading a folder fails with another error than its absence.
        let unreadable = decoded(folder.path().to_owned());
        assert!(matches!(unreadable, Err(ServeError::File { .. })));
    }
}
