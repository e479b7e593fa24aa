//! Receivers side by side: the same objects from the same sender to each in turn, interleaved and repeated.
//!
//! A round sends every case to every receiver once, so that whatever else the machine does meets all of them; ratios are
//! formed within a round. What is on its way to the disk is flushed before each run.

mod backlog;
mod objects;
mod pump;
mod receivers;
mod report;
mod senders;
mod table;
mod usage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use objects::{Kind, Stock};
use receivers::Receiver;
use senders::Sender;
use table::{Case, Sample, Samples};

/// Reports that wait for a PACS.
const BACKLOG: u32 = 200;

/// Times receivers side by side.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs the receivers and prints a table for each sender and number of associations.
    Receive(Receive),
    /// Sends studies of six cines and prints where the time to their reports went.
    Report {
        /// Studies.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// Lets reports wait for a PACS that is away and prints how fast they leave.
    Backlog {
        /// Of one report each.
        #[arg(long, default_value_t = BACKLOG)]
        studies: u32,
    },
    /// The limit, as a receiver: started by `receive`.
    Pump {
        /// On loopback.
        port: u16,
        /// Where the objects go.
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct Receive {
    /// How often the cases are repeated that a goal is about: `storescu` on one association, the load generator on eight.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How often the other cases are.
    #[arg(long, default_value_t = 2)]
    others: u32,
    /// Studies of six cines whose way to the report is timed.
    #[arg(long, default_value_t = 7)]
    reports: u32,
    /// Left out: all.
    #[arg(long, value_delimiter = ',')]
    receivers: Vec<Receiver>,
    /// Left out: all.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Left out: all.
    #[arg(long, value_delimiter = ',')]
    senders: Vec<Sender>,
    /// At once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32])]
    associations: Vec<u32>,
    /// The folder of a queue with a long history, for `--receivers sonode-history`: see the queue's tests.
    #[arg(long)]
    history: Option<PathBuf>,
    /// How many each association sends; left out: by kind.
    #[arg(long)]
    objects: Option<u32>,
    /// Writes the tables into the placeholders of tests/bench/PERFORMANCE.in.md and the result here.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    match Arguments::parse().action {
        Action::Pump { port, folder } => pump::serve(port, &folder),
        Action::Receive(receive) => run(receive),
        Action::Backlog { studies } => {
            println!("{}", backlog::sentence(backlog::measure(studies)?));
            Ok(())
        }
        Action::Report { rounds } => {
            print!("{}", report::table(&report::measure(rounds)?));
            Ok(())
        }
    }
}

fn or_all<T: clap::ValueEnum + Clone>(chosen: Vec<T>) -> Vec<T> {
    if chosen.is_empty() {
        T::value_variants().to_vec()
    } else {
        chosen
    }
}

fn run(arguments: Receive) -> Result<()> {
    let mut receivers = or_all(arguments.receivers);
    if arguments.history.is_none() {
        receivers.retain(|receiver| *receiver != Receiver::SonodeHistory);
    }
    let senders = or_all(arguments.senders);
    let folder = tempfile::tempdir()?;
    let history = arguments.history.as_deref();
    let graveyard = tempfile::tempdir()?;
    let kinds = or_all(arguments.kinds).into_iter();
    let stocks: Vec<Stock> = kinds
        .map(|kind| Stock::new(kind, arguments.objects, folder.path()))
        .collect();
    let mut samples = Samples::default();
    let load_before = load()?;
    for round in 1..=arguments.rounds {
        for sender in &senders {
            for &associations in &arguments.associations {
                let is_goal = matches!(
                    (sender, associations),
                    (Sender::Storescu, 1) | (Sender::Own, 8)
                );
                if round > arguments.others && !is_goal {
                    continue;
                }
                for stock in &stocks {
                    let case = Case {
                        sender: *sender,
                        associations,
                        kind: stock.kind,
                    };
                    for receiver in &receivers {
                        if !receiver.takes(*sender) {
                            continue;
                        }
                        let sample = measure(case, *receiver, stock, history, graveyard.path());
                        if let Err(why) = &sample {
                            eprintln!("{case:?}: {receiver:?}: {why:#}");
                        }
                        samples.add(case, *receiver, sample.ok());
                    }
                }
            }
        }
        eprintln!("round {round} of {}", arguments.rounds);
        // What a run leaves to the disk, or to the processor's caches, is not always the same one's to bear.
        receivers.rotate_left(1);
    }
    let tables = samples.tables();
    println!("{tables}");
    if let Some(out) = arguments.out {
        let load = format!("{load_before} before, {} after", load()?);
        let rounds = format!("{} and {}", arguments.rounds, arguments.others);
        let report = report::table(&report::measure(arguments.reports)?);
        let backlog = backlog::sentence(backlog::measure(BACKLOG)?);
        table::write(&out, [&tables, &report, &backlog, &rounds, &load])?;
    }
    Ok(())
}

/// One run: a fresh receiver takes all objects of a case.
fn measure(
    case: Case,
    receiver: Receiver,
    stock: &Stock,
    history: Option<&Path>,
    graveyard: &Path,
) -> Result<Sample> {
    case.sender.prepare(stock, case.associations)?;
    let running = receiver.start(case.associations, history)?;
    rustix::fs::sync();
    let pid = running.pid()?;
    let cpu = usage::cpu_seconds(pid)?;
    let target = running.target();
    let send = || case.sender.send(stock, case.associations, target);
    let (peak_memory, outcome) = usage::peak_memory(pid, send)?;
    let cpu = usage::cpu_seconds(pid)? - cpu;
    let objects = case.associations * stock.objects(case.associations);
    let bytes = u64::from(objects) * stock.bytes();
    running.holds(bytes).context("after the last success")?;
    running.bury(graveyard)?;
    Ok(Sample {
        objects,
        bytes,
        sent: outcome,
        cpu,
        peak_memory,
    })
}

/// The load average of the last minute.
fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
