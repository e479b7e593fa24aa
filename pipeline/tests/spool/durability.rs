//! Random operations, then a power loss, a kill or a fault at a random call: every promise must be kept. The same check
//! must fail on a disk that skips one kind of sync, or it would prove nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};
use rustix::io::Errno;
use sonode_pipeline::spool::{Committed, Disk, PeerMark, Spool};

use crate::crash_disk::{Call, CrashDisk, Fault};
use crate::lying_disk::{Lying, Skip};
use crate::oracle::{Promises, ROOT, contents, open, sop, store, study};

#[derive(Debug, Clone)]
enum Step {
    /// (study, instance, kind of contents), each from a thread of its own.
    Store(Vec<(Option<u8>, u8, u8)>),
    Findings(usize, u8),
    Report(u8, u32, u8),
    Mark(PeerMark, u8, bool, u8),
    Finish(u8, u8),
    Reopen(u8),
    Discard(u8),
    Prune(u8),
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// The power fails; the seed chooses what survives.
    PowerLoss(u64),
    /// The process dies, the system lives on.
    Kill,
}

/// One of them in a round: a failed fsync *and* a death before its names are taken back is beyond any promise.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    /// After so many calls nothing works any more: the end comes in the middle of something.
    CutAfter(u64),
    Fault(Fault),
}

#[derive(Debug, Clone)]
struct Round {
    steps: Vec<Step>,
    trouble: Trouble,
    end: End,
}

fn step() -> impl Strategy<Value = Step> {
    let instance = (prop::option::weighted(0.9, 0..3_u8), 0..4_u8, 0..4_u8);
    prop_oneof![
        6 => prop::collection::vec(instance, 1..5).prop_map(Step::Store),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(pick, mark)| Step::Findings(pick, mark)),
        2 => (0..3_u8, 0..3_u32, 0..2_u8).prop_map(|(s, revision, mark)| Step::Report(s, revision, mark)),
        3 => (peer_mark(), 0..3_u8, any::<bool>(), 0..4_u8)
            .prop_map(|(mark, s, peer, i)| Step::Mark(mark, s, peer, i)),
        3 => (0..3_u8, 1..4_u8).prop_map(|(s, day)| Step::Finish(s, day)),
        1 => (0..3_u8).prop_map(Step::Reopen),
        1 => (0..3_u8).prop_map(Step::Discard),
        1 => (1..4_u8).prop_map(Step::Prune),
    ]
}

fn peer_mark() -> impl Strategy<Value = PeerMark> {
    prop::sample::select(vec![
        PeerMark::Delivered,
        PeerMark::Committed,
        PeerMark::Found,
    ])
}

fn fault() -> impl Strategy<Value = Fault> {
    let calls = prop::sample::select(vec![
        (Call::Create, Errno::NOSPC),
        (Call::Append, Errno::NOSPC),
        (Call::Append, Errno::IO),
        (Call::Overwrite, Errno::IO),
        (Call::SyncData, Errno::IO),
        (Call::SyncFolder, Errno::IO),
        (Call::Rename, Errno::NOSPC),
        (Call::MakeFolder, Errno::NOSPC),
        (Call::Entry, Errno::IO),
        (Call::List, Errno::IO),
        (Call::RemoveFile, Errno::IO),
    ]);
    (calls, 0..12_u64).prop_map(|((call, errno), nth)| Fault { call, nth, errno })
}

fn round() -> impl Strategy<Value = Round> {
    let end = prop_oneof![3 => any::<u64>().prop_map(End::PowerLoss), 1 => Just(End::Kill)];
    let trouble = prop_oneof![
        1 => Just(Trouble::None),
        4 => (0..150_u64).prop_map(Trouble::CutAfter),
        2 => fault().prop_map(Trouble::Fault),
    ];
    let steps = prop::collection::vec(step(), 1..12);
    (steps, trouble, end).prop_map(|(steps, trouble, end)| Round {
        steps,
        trouble,
        end,
    })
}

fn run_step(spool: &Spool, promises: &mut Promises, step: &Step) -> Result<(), String> {
    match step {
        Step::Store(instances) => return run_stores(spool, promises, instances),
        Step::Findings(pick, mark) => put_findings(spool, promises, *pick, *mark),
        Step::Report(number, revision, mark) => {
            let bytes = vec![*mark; 3000];
            if spool
                .commit_report(&study(*number), *revision, &sop(7), &bytes)
                .is_ok()
            {
                let first = promises
                    .reports
                    .entry((*number, *revision))
                    .or_insert(bytes.clone());
                if *first != bytes {
                    return Err("a committed report was replaced".to_owned());
                }
            }
        }
        Step::Mark(mark, number, other, instance) => {
            let peer = if *other { "pacs/2 %" } else { "pacs" };
            if spool
                .mark(*mark, &study(*number), peer, &sop(*instance))
                .is_ok()
            {
                promises
                    .marks
                    .insert((*number, *mark, peer.to_owned(), *instance));
            }
        }
        // Whether it worked or not, every promise about what the study holds stands.
        Step::Finish(number, day) => {
            let day = format!("2026010{day}");
            if spool.finish_study(&study(*number), &day).is_ok() {
                promises.done.insert(*number);
            }
        }
        Step::Reopen(number) => {
            promises.done.remove(number);
            spool.reopen_study(&study(*number)).unwrap_or_default();
        }
        // Once it was asked for, nothing is promised any more, even if it failed.
        Step::Discard(number) => {
            promises.forget(*number);
            drop(spool.discard_study(&study(*number)));
        }
        Step::Prune(day) => prune(spool, promises, *day),
    }
    Ok(())
}

fn put_findings(spool: &Spool, promises: &mut Promises, pick: usize, mark: u8) {
    let held: Vec<_> = promises.instances.keys().copied().collect();
    let Some(key) = held.get(pick % held.len().max(1)).copied() else {
        return;
    };
    let Some(number) = key.0 else { return };
    let Ok(found) = spool.scan_study(&study(number)) else {
        return;
    };
    let digest = promises.instances[&key];
    let Some(instance) = found
        .instances
        .iter()
        .find(|stored| stored.digest == digest)
    else {
        return;
    };
    let json = vec![mark; 20];
    let allowed = promises.findings.get_mut(&key);
    match (spool.put_findings(instance, &json), allowed) {
        (Ok(()), _) => {
            promises.findings.insert(key, vec![json]);
        }
        (Err(_), Some(allowed)) => allowed.push(json),
        (Err(_), None) => {}
    }
}

fn prune(spool: &Spool, promises: &mut Promises, day: u8) {
    let text = format!("2026010{day}");
    for number in 0..3 {
        let place = spool.find_study(&study(number)).ok().flatten();
        // A search that failed says nothing of where the study is.
        if place.is_none_or(|(_, path)| path.to_str().unwrap().contains(&text)) {
            let keys = promises.instances.keys();
            let pruned = keys.filter(|key| key.0 == Some(number)).copied();
            promises.prunable.extend(pruned);
        }
    }
    let days = spool.done_days().unwrap_or_default();
    let Some(day) = days.iter().find(|found| found.as_str() == text) else {
        return;
    };
    for study in spool.done_studies(day).unwrap_or_default() {
        drop(spool.prune_images(&study, day));
    }
}

fn run_stores(
    spool: &Spool,
    promises: &mut Promises,
    instances: &[(Option<u8>, u8, u8)],
) -> Result<(), String> {
    for number in instances.iter().filter_map(|(number, ..)| number.as_ref()) {
        promises.done.remove(number);
    }
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = instances
            .iter()
            .map(|(number, instance, kind)| {
                scope.spawn(move || {
                    store(
                        spool,
                        number.map(study),
                        *instance,
                        &contents(*instance, *kind),
                    )
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let known: BTreeSet<_> = promises.instances.keys().copied().collect();
    let mut taken = BTreeSet::new();
    for (key, result) in instances.iter().zip(results) {
        let Ok(committed) = result else { continue };
        let new = matches!(committed, Committed::Stored(_) | Committed::NewVersion(_));
        if new && (known.contains(key) || !taken.insert(*key)) {
            return Err(format!("{key:?} was taken twice"));
        }
        promises.instances.insert(*key, committed.instance().digest);
        promises.prunable.remove(key);
    }
    Ok(())
}

/// The steps of one round and its end.
fn play_round<D: Disk + 'static>(
    round: &Round,
    disk: &CrashDisk,
    wrap: impl Fn(CrashDisk) -> D,
    promises: &mut Promises,
) -> Result<(), String> {
    let spool = open(wrap(disk.clone())).map_err(|error| error.to_string())?;
    match round.trouble {
        Trouble::None => {}
        Trouble::CutAfter(calls) => disk.cut_after(calls),
        Trouble::Fault(fault) => disk.set_fault(Some(fault)),
    }
    for step in &round.steps {
        run_step(&spool, promises, step)?;
        if disk.is_cut() {
            break;
        }
    }
    drop(spool);
    match round.end {
        End::PowerLoss(seed) => disk.crash(seed),
        End::Kill => disk.restart(),
    }
    Ok(())
}

/// Plays the rounds on `disk`, seen by the spool through `wrap`.
fn play<D: Disk + 'static>(
    rounds: &[Round],
    disk: &CrashDisk,
    wrap: impl Fn(CrashDisk) -> D,
) -> Result<(), String> {
    let mut promises = Promises::default();
    let mut uid = None;
    for round in rounds {
        play_round(round, disk, &wrap, &mut promises)?;
        let spool = open(wrap(disk.clone())).map_err(|error| error.to_string())?;
        promises.check(&spool, disk)?;
        promises.resend(&spool)?;
        if *uid.get_or_insert_with(|| spool.node_uid().clone()) != *spool.node_uid() {
            return Err("the node has another UID".to_owned());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_was_acknowledged_survives_power_loss_and_kill(
        rounds in prop::collection::vec(round(), 1..5),
    ) {
        play(&rounds, &CrashDisk::new(), |disk| disk).map_err(TestCaseError::fail)?;
    }
}

/// Plays rounds on a lying disk until the check notices; how many of `tries` it took, or `None`.
fn noticed_after(skip: Skip, tries: usize) -> Option<usize> {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(round(), 1..5);
    (0..tries).find(|_| {
        let rounds = strategy.new_tree(&mut runner).unwrap().current();
        let wrap = |disk| Lying::new(disk, Path::new(ROOT), skip);
        play(&rounds, &CrashDisk::new(), wrap).is_err()
    })
}

#[test]
fn a_skipped_sync_of_contents_is_noticed() {
    assert!(noticed_after(Skip::Contents, 256).is_some());
}

#[test]
fn a_skipped_sync_of_a_study_folder_is_noticed() {
    assert!(noticed_after(Skip::StudyFolder, 256).is_some());
}

#[test]
fn a_skipped_sync_of_a_new_study_is_noticed() {
    assert!(noticed_after(Skip::NewStudy, 256).is_some());
}

#[test]
fn a_skipped_sync_of_a_day_is_noticed() {
    assert!(noticed_after(Skip::Day, 256).is_some());
}

/// A kill at each call (between rename and fsync among them), a restart, the same instance again, a power loss.
fn killed_and_sent_again<D: Disk + 'static>(wrap: impl Fn(CrashDisk) -> D) -> Result<(), String> {
    let store = vec![Step::Store(vec![(Some(0), 1, 1)])];
    for (calls, seed) in (0..40).flat_map(|calls| (0..6).map(move |seed| (calls, seed))) {
        let cut = Round {
            steps: store.clone(),
            trouble: Trouble::CutAfter(calls),
            end: End::Kill,
        };
        let again = Round {
            steps: store.clone(),
            trouble: Trouble::None,
            end: End::PowerLoss(seed),
        };
        // The check at the end of a round would touch the study, and so sync it.
        let disk = CrashDisk::new();
        let mut promises = Promises::default();
        for round in [cut, again] {
            play_round(&round, &disk, &wrap, &mut promises)?;
        }
        let spool = open(wrap(disk.clone())).map_err(|error| error.to_string())?;
        promises.check(&spool, &disk)?;
    }
    Ok(())
}

#[test]
fn what_a_killed_process_left_is_durable_before_it_is_acknowledged() {
    assert_eq!(killed_and_sent_again(|disk| disk), Ok(()));
    let noticed = killed_and_sent_again(|disk| Lying::new(disk, Path::new(ROOT), Skip::Inherited));
    assert!(noticed.is_err(), "a skipped sync of inherited folders");
}
