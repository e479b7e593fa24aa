//! Medians, spreads and ratios of the runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use sonode_tests::paths;

use crate::objects::Kind;
use crate::receivers::Receiver;
use crate::senders::{Sender, Sent};

/// What is repeated with every receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) sender: Sender,
    pub(crate) associations: u32,
    pub(crate) kind: Kind,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) objects: u32,
    /// Of data sets.
    pub(crate) bytes: u64,
    pub(crate) sent: Sent,
    /// Processor time of the receiver in seconds.
    pub(crate) cpu: f64,
    /// Of the receiver, in bytes.
    pub(crate) peak_memory: u64,
}

impl Sample {
    fn rate(&self) -> f64 {
        f64::from(self.objects) / self.sent.elapsed.as_secs_f64()
    }

    fn megabytes_a_second(&self) -> f64 {
        mega(self.bytes) / self.sent.elapsed.as_secs_f64()
    }

    fn cpu_a_gigabyte(&self) -> f64 {
        self.cpu / (mega(self.bytes) / 1000.0)
    }

    fn response_ms(&self, share: f64) -> Option<f64> {
        let mut all: Vec<f64> = self
            .sent
            .responses
            .iter()
            .map(|one| one.as_secs_f64() * 1000.0)
            .collect();
        all.sort_by(f64::total_cmp);
        quantile(&all, share)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Of sorted values; `share` from 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is small and not negative"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

/// The value in the middle, or the mean of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let low = values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(*low, *values.get(values.len() / 2)?))
}

/// Every run, by case and receiver; `None` where it failed.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<Case, BTreeMap<Receiver, Vec<Option<Sample>>>>);

impl Samples {
    pub(crate) fn add(&mut self, case: Case, receiver: Receiver, sample: Option<Sample>) {
        self.0
            .entry(case)
            .or_default()
            .entry(receiver)
            .or_default()
            .push(sample);
    }

    /// One table for each sender and number of associations.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for (case, receivers) in &self.0 {
            let group = (case.sender, case.associations);
            if last.replace(group) != Some(group) {
                text.push_str(&heading(*case));
            }
            for (receiver, runs) in receivers {
                text.push_str(&row(*case, *receiver, runs));
            }
            let ratios = ratios(receivers);
            if !ratios.is_empty() {
                let kind = case.kind.name();
                text.extend(["| ", kind, " | **", &ratios, "** | | | | | | |\n"]);
            }
        }
        text
    }
}

fn heading(case: Case) -> String {
    let sender = match case.sender {
        Sender::Storescu => "DCMTK's `storescu`",
        Sender::Own => "The load generator",
    };
    let plural = if case.associations == 1 { "" } else { "s" };
    format!(
        "\n### {sender}, {} association{plural}\n\n\
         | object | receiver | objects/s, median | least to most | MB/s | response ms, p50 and p99 | CPU s a GB | peak memory MB |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        case.associations
    )
}

fn row(case: Case, receiver: Receiver, runs: &[Option<Sample>]) -> String {
    let good: Vec<&Sample> = runs.iter().flatten().collect();
    let mut rates: Vec<f64> = good.iter().map(|sample| sample.rate()).collect();
    rates.sort_by(f64::total_cmp);
    let (Some(least), Some(rate), Some(most)) =
        (rates.first(), quantile(&rates, 0.5), rates.last())
    else {
        return format!(
            "| {} | {} | failed | | | | | |\n",
            case.kind.name(),
            receiver.name()
        );
    };
    let of = |value: fn(&Sample) -> f64| {
        median(good.iter().map(|sample| value(sample))).unwrap_or(f64::NAN)
    };
    let response = |share| median(good.iter().filter_map(|sample| sample.response_ms(share)));
    let responses = match (response(0.5), response(0.99)) {
        (Some(p50), Some(p99)) => format!("{p50:.1}, {p99:.1}"),
        _ => String::new(),
    };
    let memory = good
        .iter()
        .map(|sample| sample.peak_memory)
        .max()
        .unwrap_or(0);
    let mut name = receiver.name().to_owned();
    if good.len() < runs.len() {
        write!(
            name,
            " ({} of {} runs failed)",
            runs.len() - good.len(),
            runs.len()
        )
        .unwrap_or_default();
    }
    format!(
        "| {} | {name} | {rate:.1} | {least:.1} to {most:.1} | {:.0} | {responses} | {:.2} | {:.0} |\n",
        case.kind.name(),
        of(Sample::megabytes_a_second),
        of(Sample::cpu_a_gigabyte),
        mega(memory),
    )
}

type Rates = Vec<Option<f64>>;

/// Sonode's objects a second over those of the best peer and of the pump, and what a long history leaves of them.
fn ratios(receivers: &BTreeMap<Receiver, Vec<Option<Sample>>>) -> String {
    let rates = |receiver: &Receiver| -> Rates {
        let runs = receivers.get(receiver).into_iter().flatten();
        runs.map(|run| run.as_ref().map(Sample::rate)).collect()
    };
    let best_of = |counts: fn(&Receiver) -> bool| -> Rates {
        let peers = receivers.keys().filter(|one| one.is_peer() && counts(one));
        let peers: Vec<Rates> = peers.map(rates).collect();
        let rounds = peers.iter().map(Vec::len).max().unwrap_or(0);
        let fastest = |round| {
            let of_round = peers.iter().filter_map(|peer: &Rates| *peer.get(round)?);
            of_round.max_by(f64::total_cmp)
        };
        (0..rounds).map(fastest).collect()
    };
    let switched = receivers.keys().any(|one| !one.is_as_shipped());
    let all = if switched {
        best_of(|_| true)
    } else {
        Rates::new()
    };
    let own = rates(&Receiver::Sonode);
    let said = [
        (
            "Sonode over the best peer as it ships",
            over(&own, &best_of(|one| one.is_as_shipped())),
        ),
        ("over the best peer of all", over(&own, &all)),
        ("over the pump", over(&own, &rates(&Receiver::Pump))),
        (
            "with the history over without",
            over(&rates(&Receiver::SonodeHistory), &own),
        ),
    ];
    let said = said
        .into_iter()
        .filter_map(|(what, times)| Some(format!("{what}: {}", times?)));
    said.collect::<Vec<_>>().join("; ")
}

/// Median, least and most of the ratios, each formed within a round; none without a round in which both ran.
fn over(rates: &Rates, others: &Rates) -> Option<String> {
    let each = rates
        .iter()
        .zip(others)
        .filter_map(|(rate, other)| Some((*rate)? / (*other)?));
    let mut each: Vec<f64> = each.collect();
    each.sort_by(f64::total_cmp);
    let middle = quantile(&each, 0.5)?;
    Some(format!(
        "{middle:.2} ({:.2} to {:.2})",
        each.first()?,
        each.last()?
    ))
}

/// Fills tests/bench/PERFORMANCE.in.md.
pub(crate) fn write(out: &Path, [tables, report, backlog, rounds, load]: [&str; 5]) -> Result<()> {
    let template = paths::repository().join("tests/bench/PERFORMANCE.in.md");
    let mut text = fs::read_to_string(&template).with_context(|| template.display().to_string())?;
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism()?;
    let machine = format!("{model}, {cores} cores");
    let fields = [
        ("machine", machine.as_str()),
        ("rounds", rounds),
        ("load", load),
        ("tables", tables.trim()),
        ("report", report.trim()),
        ("backlog", backlog),
    ];
    for (name, value) in fields {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    fs::write(out, text).with_context(|| out.display().to_string())
}
