//! The promises, in a world without a clock: carts that delete what was acknowledged, a node whose disk forgets what was
//! not synced, a PACS, and a network that delays, cuts and falls silent.
//!
//! Real are the association state machines, PDUs and messages of both sides (`sonode-dimse`), the spool with its
//! committer, the engine with its runtime, sled's queue and the reports. Simulated are disk, network, time, workers, and
//! the loops that `sonode` runs around sockets. A seed is a schedule:
//! `SONODE_SIM_SEED=<seed> cargo test --release --test simulation nothing` plays one again, with its log;
//! `SONODE_SIM_SCHEDULES=<n>` plays so many new ones instead of the first 2,000.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows test functions; these are their helpers"
)]

mod called;
mod caller;
mod cart;
#[path = "../../../pipeline/tests/spool/crash_disk.rs"]
#[expect(dead_code, reason = "the spool's own tests use the rest of it")]
mod crash_disk;
#[path = "../../../pipeline/tests/spool/lying_disk.rs"]
#[expect(
    dead_code,
    reason = "inherited folders: a cart asks twice for that, and at once; the spool's own tests do"
)]
mod lying_disk;
mod network;
mod pacs;
mod process;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use lying_disk::Skip;
use world::{Death, World};

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays schedules on every core until one fails; the failure with its seed.
fn first_failure(seeds: std::ops::Range<u64>, skip: Option<Skip>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(None);
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().is_some() {
                        return;
                    }
                    // A panic of the code under test is a failure with a seed as well.
                    let played = catch_unwind(AssertUnwindSafe(|| World::play(seed, skip)));
                    let played = played.unwrap_or_else(|_| Err("it panicked".to_owned()));
                    if let Err(failure) = played {
                        found.lock().unwrap().get_or_insert((seed, failure));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn nothing_that_was_acknowledged_is_lost_and_every_study_ends_with_one_report() {
    let seeds = if let Some(seed) = variable("SONODE_SIM_SEED") {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
        seed..seed + 1
    } else {
        // `make test` plays the same schedules each time, `make soak` new ones.
        match variable("SONODE_SIM_SCHEDULES") {
            None => 0..2_000,
            Some(schedules) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let first = since.as_secs() << 20;
                first..first + schedules
            }
        }
    };
    if let Some((seed, failure)) = first_failure(seeds, None) {
        panic!("{failure}; play it again with SONODE_SIM_SEED={seed}");
    }
}

/// Every call of the disk is a place to die: on the way of studies from the socket to the report, and while the next process
/// takes them up.
#[test]
fn a_node_that_dies_at_any_call_of_the_disk_keeps_everything() {
    const CALLS_MAX: u64 = 10_000;
    // Schedule and process.
    const LIVES: [(u64, u64); 2] = [(1, 1), (3, 2)];
    let deaths = AtomicU64::new(0);
    thread::scope(|scope| {
        for (seed, boot) in LIVES {
            let deaths = &deaths;
            scope.spawn(move || {
                for calls in 0..CALLS_MAX {
                    let death = Death { boot, calls };
                    let died = World::play_death(seed, death);
                    if !died.unwrap_or_else(|failure| panic!("{failure}: {seed} {death:?}")) {
                        println!("schedule {seed}: {calls} calls in process {boot}");
                        return;
                    }
                    deaths.fetch_add(1, Ordering::Relaxed);
                }
                panic!("schedule {seed} comes to no end");
            });
        }
    });
    assert!(deaths.into_inner() > 1_000);
}

/// The check would prove nothing if it didn't notice a sync that is left out.
fn is_noticed(skip: Skip) {
    let noticed = first_failure(1..1_000, Some(skip));
    println!("{skip:?}: {noticed:?}");
    assert!(noticed.is_some());
}

#[test]
fn a_left_out_sync_of_contents_is_noticed() {
    is_noticed(Skip::Contents);
}

#[test]
fn a_left_out_sync_of_a_study_folder_is_noticed() {
    is_noticed(Skip::StudyFolder);
}

#[test]
fn a_left_out_sync_of_a_new_study_is_noticed() {
    is_noticed(Skip::NewStudy);
}

#[test]
fn a_left_out_sync_of_a_day_is_noticed() {
    is_noticed(Skip::Day);
}
