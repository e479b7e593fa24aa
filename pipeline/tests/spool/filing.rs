//! The way of an instance from `unsorted/` to its study, cut at each call.

use crate::crash_disk::CrashDisk;
use crate::oracle::{contents, open, store, study};

#[derive(Clone, Copy)]
enum End {
    PowerLoss(u64),
    Kill,
}

/// Cuts the filing after so many calls; says whether it had come to its end.
fn filed_and_cut(calls: u64, end: End) -> bool {
    let disk = CrashDisk::new();
    let data = contents(1, 1);
    let spool = open(disk.clone()).unwrap();
    let stored = store(&spool, None, 1, &data).unwrap().instance().clone();
    disk.cut_after(calls);
    let filed = spool.file_unsorted(&stored, &study(0)).is_ok();
    drop(spool);
    match end {
        End::PowerLoss(seed) => disk.crash(seed),
        End::Kill => disk.restart(),
    }

    let spool = open(disk.clone()).unwrap();
    let unsorted = spool.scan_unsorted().unwrap().instances;
    let sorted = spool.scan_study(&study(0)).map(|found| found.instances);
    let sorted = sorted.unwrap_or_default();
    if filed {
        assert!(unsorted.is_empty() && sorted.len() == 1, "{calls}");
    }
    let found = unsorted.iter().chain(&sorted).next();
    let found = found.unwrap_or_else(|| panic!("lost after {calls} calls"));
    assert_eq!(found.digest, stored.digest);
    assert!(disk.contents(&found.path).unwrap().ends_with(&data));
    // What the next start does with it comes to the same end.
    if let Some(stored) = unsorted.first() {
        spool.file_unsorted(stored, &study(0)).unwrap();
    }
    assert!(spool.scan_unsorted().unwrap().instances.is_empty());
    assert_eq!(spool.scan_study(&study(0)).unwrap().instances.len(), 1);
    filed
}

#[test]
fn what_is_cut_on_its_way_to_its_study_is_in_one_place_or_the_other() {
    let ends = (0..6).map(End::PowerLoss).chain([End::Kill]);
    for end in ends {
        let filed: Vec<bool> = (0..40).map(|calls| filed_and_cut(calls, end)).collect();
        assert!(!filed[0] && filed[39], "the cuts cover the whole way");
    }
}
