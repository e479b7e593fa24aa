//! `sonode send`: C-STORE with a progress bar; with `--associations` and `--repeat` a load generator.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sonode_conformance::limits::CONTEXTS_MAX;
use sonode_conformance::status::DeliveryOutcome;
use sonode_conformance::{AeTitle, SopClassUid, TransferSyntaxUid};
use sonode_dimse::Proposal;

use super::{CliError, Target, TargetArgs};
use crate::config::PeerAddress;
use crate::part10::Part10;
use crate::scu::{Association, ScuError, Timeouts};

#[derive(Debug, Args)]
pub(super) struct Send {
    /// DICOM files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A peer's name in the configuration, or AET@HOST:PORT.
    #[arg(long, value_name = "PEER|AET@HOST:PORT")]
    to: String,
    #[command(flatten)]
    target: TargetArgs,
    /// Associations at once; each sends every file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    associations: u16,
    /// How often each association sends every file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// What goes over every association.
struct Load {
    own: AeTitle,
    target: Target,
    files: Vec<PathBuf>,
    contexts: BTreeSet<(SopClassUid, TransferSyntaxUid)>,
    associations: u16,
    repeat: u32,
    bar: ProgressBar,
    bytes: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
}

/// Sends every file; fails if one of them was not stored.
pub(super) fn run(args: &Send) -> Result<(), CliError> {
    let (own, target) = args.target.resolve(&args.to)?;
    let mut files = Vec::new();
    for path in &args.files {
        collect(path, &mut files).map_err(CliError::Usage)?;
    }
    let load =
        Load::new(own, target, files, args.associations, args.repeat).map_err(CliError::Usage)?;
    Ok(load.run()?)
}

/// Sends files over one association, as a cart does.
pub(super) fn files(
    own: &AeTitle,
    peer: &AeTitle,
    address: PeerAddress,
    files: Vec<PathBuf>,
) -> anyhow::Result<()> {
    let target = Target {
        ae_title: peer.clone(),
        address,
    };
    Load::new(own.clone(), target, files, 1, 1)?.run()
}

impl Load {
    /// Opens every file once, so that all contexts are proposed and a wrong file is named before anything is sent.
    fn new(
        own: AeTitle,
        target: Target,
        files: Vec<PathBuf>,
        associations: u16,
        repeat: u32,
    ) -> anyhow::Result<Self> {
        let mut contexts = BTreeSet::new();
        for file in &files {
            let part10 = Part10::open(file)?;
            contexts.insert((part10.sop_class, part10.transfer_syntax));
        }
        if contexts.len() > CONTEXTS_MAX {
            anyhow::bail!(
                "{} pairs of class and syntax; an association holds {CONTEXTS_MAX}: send fewer files at once",
                contexts.len()
            );
        }
        let objects = files.len() as u64 * u64::from(repeat) * u64::from(associations);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Ok(Self {
            own,
            target,
            files,
            contexts,
            associations,
            repeat,
            bar: ProgressBar::new(objects).with_style(style),
            bytes: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    fn run(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let errors: Vec<ScuError> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.associations)
                .map(|_| scope.spawn(|| send_all(self)))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok()?.err())
                .collect()
        });
        self.bar.finish_and_clear();
        report(self, began)?;
        match errors.into_iter().next() {
            Some(error) => {
                anyhow::bail!(
                    "{} at {}: {error}",
                    self.target.ae_title,
                    self.target.address
                )
            }
            None => Ok(()),
        }
    }
}

fn send_all(load: &Load) -> Result<(), ScuError> {
    let mut proposal = Proposal::new(load.own.clone(), load.target.ae_title.clone());
    for (class, syntax) in &load.contexts {
        proposal = proposal.with_context(class.as_str(), [syntax.as_str()])?;
    }
    let mut association = Association::open(proposal, &load.target.address, &Timeouts::default())?;
    for _ in 0..load.repeat {
        for file in &load.files {
            send_one(load, &mut association, file)?;
            load.bar.inc(1);
        }
    }
    association.release();
    Ok(())
}

fn send_one(load: &Load, association: &mut Association, file: &Path) -> Result<(), ScuError> {
    let failed = |why: String| {
        load.failed.fetch_add(1, Ordering::Relaxed);
        load.bar.suspend(|| eprintln!("{}: {why}", file.display()));
    };
    let mut part10 = match Part10::open(file) {
        Ok(part10) => part10,
        Err(error) => {
            failed(error.to_string());
            return Ok(());
        }
    };
    let (class, syntax) = (part10.sop_class.as_str(), part10.transfer_syntax.as_str());
    let Some(context) = association.context(class, syntax) else {
        failed(format!(
            "the peer does not accept class {class} in syntax {syntax}"
        ));
        return Ok(());
    };
    let (status, comment) = association.store(
        context,
        &part10.sop_class,
        &part10.sop_instance,
        &mut part10.file,
    )?;
    match status.delivery() {
        DeliveryOutcome::Stored | DeliveryOutcome::StoredWithWarning => {
            load.stored.fetch_add(1, Ordering::Relaxed);
            load.bytes
                .fetch_add(part10.data_set_bytes, Ordering::Relaxed);
        }
        _ => failed(format!("{status} {}", comment.unwrap_or_default())),
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people, far below 2^52"
)]
fn report(load: &Load, began: Instant) -> anyhow::Result<()> {
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let (stored, failed) = (
        load.stored.load(Ordering::Relaxed),
        load.failed.load(Ordering::Relaxed),
    );
    let megabytes = load.bytes.load(Ordering::Relaxed) as f64 / 1e6;
    println!(
        "{stored} stored, {failed} not; {megabytes:.1} MB in {seconds:.2} s ({:.1} MB/s, {:.1} objects/s)",
        megabytes / seconds,
        stored as f64 / seconds,
    );
    anyhow::ensure!(failed == 0, "{failed} object(s) not stored");
    Ok(())
}

/// The files under a path, in name order.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let unreadable = |error| anyhow::anyhow!("{}: {error}", path.display());
    if !path.is_dir() {
        std::fs::metadata(path).map_err(unreadable)?;
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(unreadable)?;
    entries.sort();
    for entry in entries {
        collect(&entry, files)?;
    }
    Ok(())
}
