//! What a receiver uses: processor time and memory of its process and those it forks, from /proc (proc(5)).

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

const SAMPLE: Duration = Duration::from_millis(20);
/// Sonode's child, which is not part of receiving.
const LEFT_OUT: &str = "sonode-worker";

/// User and system time of a process tree in seconds, children that ended included.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let per_second = rustix::param::clock_ticks_per_second();
    let mut ticks = 0;
    for member in tree(pid)? {
        // It may have ended meanwhile; its parent has its time then, or will.
        let Some(fields) = stat(member) else { continue };
        // utime, stime, cutime, cstime: the 14th to the 17th field.
        ticks += fields
            .get(11..15)
            .into_iter()
            .flatten()
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(seconds(ticks) / seconds(per_second))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64
}

/// Most resident memory of a process tree while `work` runs, in bytes, and what the work gives.
pub(crate) fn peak_memory<T>(pid: u32, work: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    let stop = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(resident(pid, "VmRSS:").unwrap_or(0), Ordering::Relaxed);
                thread::sleep(SAMPLE);
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    // What the samples missed of the process itself.
    let own = of_status(pid, "VmHWM:").context("no VmHWM")?;
    Ok((peak.into_inner().max(own), result))
}

fn resident(pid: u32, line: &str) -> Result<u64> {
    Ok(tree(pid)?
        .into_iter()
        .filter_map(|member| of_status(member, line))
        .sum())
}

fn of_status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The fields from the state on, which follow the name in parentheses.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let is_left_out = head
        .split_once('(')
        .is_some_and(|(_, name)| name == LEFT_OUT);
    (!is_left_out).then(|| tail.split(' ').map(str::to_owned).collect())
}

/// A process and everything below it.
fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let parent = stat(pid).and_then(|fields| fields.get(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}
