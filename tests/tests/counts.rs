//! What receiving costs in system calls, which no machine changes. Times are in tests/PERFORMANCE.md.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use sonode_tests::cart::{Cart, Proposal, at_once};
use sonode_tests::node::{AE_TITLE, CART, Config, Node, StoppedWorkers};
use sonode_tests::process::Daemon;
use sonode_tests::synthetic::native;
use sonode_tests::wait::eventually;

const STUDY: &str = "1.2.826.0.1.3680043.10.1234.7";
const OBJECTS: u64 = 12;
/// 3 MB, of which no receiver asks whether they are three frames.
const BYTES: usize = 3_000_000;
const MEGABYTES: u64 = 3;
const WITHIN: Duration = Duration::from_secs(30);

/// The system calls of the node while `work` runs, by name.
fn calls(node: &Node, work: impl FnOnce() -> Result<()>) -> Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let summary = folder.path().join("summary");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&summary)
        .args(["-p", &node.pid()?.to_string()]);
    let mut tracer = Daemon::start(&mut strace, &folder.path().join("log"))?;
    eventually("strace to attach", WITHIN, || {
        tracer.check_alive()?;
        Ok(tracer.log().contains("attached").then_some(()))
    })?;
    work()?;
    tracer.terminate(WITHIN)?;
    let text = std::fs::read_to_string(&summary)?;
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        if let [calls, name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && let Ok(calls) = calls.parse()
        {
            counts.insert(name.to_owned(), calls);
        }
    }
    ensure!(!counts.is_empty(), "strace counted nothing: {text}");
    Ok(counts)
}

/// One cart's objects, all of the same study.
fn send(node: &Node, cart: u64) -> Result<()> {
    let pixels = vec![7; BYTES];
    let object = |n: u64| {
        let instance = format!("{STUDY}.{cart}.{n}");
        native([STUDY, &instance], 3, [480, 640], &pixels)
    };
    let proposal = Proposal::for_object(&object(0));
    let mut association = Cart::associate(node.address(), AE_TITLE, CART, &[proposal])?;
    for n in 0..OBJECTS {
        let answer = association.store(&object(n))?;
        ensure!(answer.status == 0, "{:#06x}", answer.status);
    }
    association.release()
}

/// A node that does nothing but receive: no study closes, nothing is analysed.
fn node() -> Result<(Node, StoppedWorkers)> {
    let node = Node::start(&Config {
        quiet_period_s: 3600,
        ..Config::default()
    })?;
    let stopped = node.stop_worker()?;
    Ok((node, stopped))
}

fn within(counts: &BTreeMap<String, u64>, name: &str, least: u64, most: u64) -> Result<()> {
    let found = counts.get(name).copied().unwrap_or(0);
    ensure!(
        (least..=most).contains(&found),
        "{found} calls of {name} instead of {least} to {most}: {counts:?}"
    );
    Ok(())
}

#[test]
fn one_association_costs_a_flush_of_file_and_folder_an_object_and_few_calls_a_megabyte()
-> Result<()> {
    let (node, _stopped) = node()?;
    let counts = calls(&node, || send(&node, 1))?;
    let megabytes = OBJECTS * MEGABYTES;
    within(&counts, "fdatasync", OBJECTS, OBJECTS)?;
    // One more for the new study; the queue has its own.
    within(&counts, "fsync", OBJECTS + 1, OBJECTS + 8)?;
    within(&counts, "renameat2", OBJECTS, OBJECTS)?;
    // A quarter of a megabyte at a time, the first block and what is no whole one; the queue writes now and then.
    within(&counts, "pwrite64", OBJECTS * 10, OBJECTS * 14 + 40)?;
    // Write-back of each piece.
    within(&counts, "fadvise64", OBJECTS * 10, OBJECTS * 12)?;
    within(&counts, "readv", megabytes, megabytes * 20)?;
    // The file and its folder; the queue and the worker's jobs open few.
    within(&counts, "openat", 2 * OBJECTS, 3 * OBJECTS + 20)?;
    within(&counts, "sendto", OBJECTS, OBJECTS * 2)?;
    // How often it reads and waits depends on the sender; before each read it says that it acknowledges at once.
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    let reads = count("readv");
    within(&counts, "setsockopt", reads, reads + 20)?;
    let waits = ["readv", "setsockopt", "futex", "restart_syscall"].map(count);
    let others = count("total") - waits.iter().sum::<u64>();
    ensure!(others <= megabytes * 16, "{others} calls: {counts:?}");
    Ok(())
}

#[test]
fn eight_associations_of_one_study_cost_no_more_flushes_than_objects() -> Result<()> {
    const CARTS: u64 = 8;
    let (node, _stopped) = node()?;
    let counts = calls(&node, || {
        at_once(0..CARTS, |cart| send(&node, cart)).map(drop)
    })?;
    within(&counts, "fdatasync", CARTS * OBJECTS, CARTS * OBJECTS)?;
    // That who waits together shares one is tested in the spool, without chance.
    within(&counts, "fsync", 2, CARTS * OBJECTS + 8)
}
