//! Many associations at once share fsyncs and never wait for a timer; counted, not timed.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use sonode_pipeline::spool::Committed;

use crate::crash_disk::{Call, CrashDisk};
use crate::oracle::{contents, open, store, study};

/// Holds the fsync of a study's folder until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

fn is_study_folder(path: &Path) -> bool {
    path.starts_with("/data/open") && path.iter().count() == 5
}

fn gated() -> (CrashDisk, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let disk = CrashDisk::new().with_hook(move |path| {
        if is_study_folder(path) {
            held.pass();
        }
    });
    (disk, gate)
}

/// How many instances have their names or, as duplicates, were compared with what has it; and what the start did alike.
fn handled(disk: &CrashDisk) -> u64 {
    disk.count(Call::Rename) + disk.count(Call::Read)
}

fn wait_until_handled(disk: &CrashDisk, count: u64) {
    while handled(disk) < count {
        thread::yield_now();
    }
}

/// Stores from one thread each while the first one's fsync is held, so that all others wait together.
fn store_at_once(disk: &CrashDisk, gate: &Gate, instances: &[(u8, u8)]) -> (Vec<Committed>, u64) {
    let spool = open(disk.clone()).unwrap();
    let before = disk.count(Call::SyncFolder);
    let all = handled(disk) + instances.len() as u64;
    let committed = thread::scope(|scope| {
        let threads: Vec<_> = instances
            .iter()
            .map(|(instance, kind)| {
                let spool = &spool;
                scope.spawn(move || {
                    let data = contents(*instance, *kind);
                    store(spool, Some(study(0)), *instance, &data).unwrap()
                })
            })
            .collect();
        wait_until_handled(disk, all);
        gate.open();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    (committed, disk.count(Call::SyncFolder) - before)
}

#[test]
fn who_waits_together_shares_one_fsync() {
    let instances: Vec<_> = (0..24).map(|number| (number, 1)).collect();
    let (disk, gate) = gated();
    let (committed, syncs) = store_at_once(&disk, &gate, &instances);
    assert!(
        committed
            .iter()
            .all(|done| matches!(done, Committed::Stored(_)))
    );
    // One for the new study, one for the first, one for all who came meanwhile. All may have come before the first began.
    assert!((2..=3).contains(&syncs), "{syncs}");
    assert_eq!(
        disk.count(Call::SyncData),
        24 + 2,
        "one a file, and node-uid and VERSION"
    );
}

#[test]
fn alone_each_has_its_own_fsync() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let before = disk.count(Call::SyncFolder);
    for instance in 0..24 {
        store(&spool, Some(study(0)), instance, &contents(instance, 1)).unwrap();
    }
    assert_eq!(disk.count(Call::SyncFolder) - before, 1 + 24);
}

#[test]
fn of_the_same_instance_at_once_one_is_stored_and_the_others_are_duplicates() {
    let (disk, gate) = gated();
    let (committed, syncs) = store_at_once(&disk, &gate, &[(1, 2); 16]);
    let stored = committed
        .iter()
        .filter(|done| matches!(done, Committed::Stored(_)))
        .count();
    let same = committed
        .iter()
        .filter(|done| matches!(done, Committed::Duplicate(_)))
        .count();
    assert_eq!((stored, same), (1, 15));
    assert!((2..=3).contains(&syncs), "{syncs}");
    let is_file = |path: &&std::path::PathBuf| disk.contents(path).is_some();
    let tree = disk.tree();
    let files: Vec<_> = tree
        .iter()
        .filter(is_file)
        .filter(|path| path.iter().count() > 3)
        .collect();
    assert_eq!(
        files.len(),
        1,
        "one file, and nothing in incoming/: {files:?}"
    );
}

#[test]
fn of_different_versions_at_once_all_are_kept() {
    let (disk, gate) = gated();
    let (committed, _) = store_at_once(&disk, &gate, &[(1, 0), (1, 1), (1, 2), (1, 3), (1, 1)]);
    let count = |which: fn(&Committed) -> bool| committed.iter().filter(|done| which(done)).count();
    assert_eq!(count(|done| matches!(done, Committed::Stored(_))), 1);
    assert_eq!(count(|done| matches!(done, Committed::NewVersion(_))), 3);
    assert_eq!(count(|done| matches!(done, Committed::Duplicate(_))), 1);
}

/// A duplicate is acknowledged when the first one is durable, not when it is seen.
#[test]
fn a_duplicate_fails_with_what_it_duplicates() {
    let (disk, gate) = gated();
    let spool = open(disk.clone()).unwrap();
    disk.set_fault(Some(crate::crash_disk::Fault {
        call: Call::SyncFolder,
        // The first is that of the new study's parent.
        nth: 1,
        errno: rustix::io::Errno::IO,
    }));
    let all = handled(&disk) + 8;
    let results: Vec<_> = thread::scope(|scope| {
        let send = || store(&spool, Some(study(0)), 1, &contents(1, 1));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        wait_until_handled(&disk, all);
        gate.open();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(results.iter().all(Result::is_err));
    assert!(spool.is_poisoned());
}

/// The fsync of a folder that was moved away meanwhile would find nothing, and poison the spool.
#[test]
fn a_study_moves_only_when_nobody_waits_for_its_names() {
    let (disk, gate) = gated();
    let spool = open(disk.clone()).unwrap();
    let named = handled(&disk) + 1;
    let (stored, finished) = thread::scope(|scope| {
        let stored = scope.spawn(|| store(&spool, Some(study(0)), 1, &contents(1, 1)));
        wait_until_handled(&disk, named);
        let folders = disk.count(Call::MakeFolder);
        let finished = scope.spawn(|| spool.finish_study(&study(0), "20260102"));
        while disk.count(Call::MakeFolder) == folders {
            thread::yield_now();
        }
        // If it didn't wait, it would move about now.
        thread::sleep(std::time::Duration::from_millis(20));
        gate.open();
        (stored.join().unwrap(), finished.join().unwrap())
    });
    let instance = stored.unwrap().instance().clone();
    finished.unwrap();
    assert!(!spool.is_poisoned());
    let moved = spool.locate(&instance).unwrap();
    assert!(moved.starts_with("/data/done") && disk.contents(&moved).is_some());
}
