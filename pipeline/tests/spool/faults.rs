//! Full disks, failed fsyncs and damaged files.

use rustix::io::Errno;
use sonode_pipeline::spool::{Committed, ReceiveError, Spool, SpoolError};

use crate::crash_disk::{Call, CrashDisk, Fault};
use crate::oracle::{contents, fill, meta, open, sop, store, study};

fn fault(call: Call, nth: u64, errno: Errno) -> Fault {
    Fault { call, nth, errno }
}

fn put(spool: &Spool, instance: u8) -> Result<Committed, ReceiveError> {
    store(spool, Some(study(0)), instance, &contents(instance, 1))
}

/// Files under `/data` that hold instances or parts of them.
fn files(disk: &CrashDisk) -> Vec<String> {
    let tree = disk.tree();
    let names = tree.iter().filter_map(|path| path.file_name()?.to_str());
    names
        .filter(|name| name.contains(".dcm") || name.contains(".part"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_failed_fdatasync_poisons() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    put(&spool, 1).unwrap();
    disk.set_fault(Some(fault(Call::SyncData, 0, Errno::IO)));
    assert!(matches!(put(&spool, 2), Err(ReceiveError::Poisoned)));
    assert!(spool.is_poisoned());
    // The disk works again, and nothing is taken all the same.
    let syncs = disk.count(Call::SyncData);
    assert!(matches!(
        spool.begin(1, &meta(3)),
        Err(ReceiveError::Poisoned)
    ));
    let report = spool.commit_report(&study(0), 1, &sop(9), b"report");
    assert!(matches!(report, Err(SpoolError::Poisoned)));
    assert!(matches!(
        spool.finish_study(&study(0), "20260101"),
        Err(SpoolError::Poisoned)
    ));
    assert_eq!(
        disk.count(Call::SyncData),
        syncs,
        "a failed fsync is not retried"
    );
    assert_eq!(files(&disk).len(), 1);
    drop(spool);
    let spool = open(disk).unwrap();
    assert!(matches!(put(&spool, 1), Ok(Committed::Duplicate(_))));
    assert!(matches!(put(&spool, 2), Ok(Committed::Stored(_))));
}

#[test]
fn an_instance_in_reception_is_not_acknowledged_after_another_ones_failure() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let mut early = spool.begin(1, &meta(1)).unwrap();
    early.write(b"data").unwrap();
    let pending = early.finish().unwrap();
    disk.set_fault(Some(fault(Call::SyncData, 0, Errno::IO)));
    assert!(put(&spool, 2).is_err());
    assert!(matches!(
        spool.commit(pending, Some(study(0))),
        Err(ReceiveError::Poisoned)
    ));
    assert_eq!(files(&disk), Vec::<String>::new());
}

/// A name whose fsync failed must not look durable to the next process: its second try would be a "duplicate".
#[test]
fn a_name_that_is_not_durable_is_taken_back() {
    // 0: the parent of the new study, 1: the study's folder.
    for nth in [0, 1] {
        let disk = CrashDisk::new();
        let spool = open(disk.clone()).unwrap();
        disk.set_fault(Some(fault(Call::SyncFolder, nth, Errno::IO)));
        assert!(matches!(put(&spool, 1), Err(ReceiveError::Poisoned)));
        drop(spool);
        let spool = open(disk.clone()).unwrap();
        assert!(matches!(put(&spool, 1), Ok(Committed::Stored(_))));
        drop(spool);
        disk.crash(nth);
        let spool = open(disk).unwrap();
        assert!(
            matches!(put(&spool, 1), Ok(Committed::Duplicate(_))),
            "{nth}"
        );
    }
}

#[test]
fn a_full_disk_refuses_the_instance_and_nothing_else() {
    let calls = [Call::Create, Call::Append, Call::Rename, Call::MakeFolder];
    for call in calls {
        let disk = CrashDisk::new();
        let spool = open(disk.clone()).unwrap();
        disk.set_fault(Some(fault(call, 0, Errno::NOSPC)));
        assert!(
            matches!(put(&spool, 1), Err(ReceiveError::OutOfSpace)),
            "{call:?}"
        );
        assert_eq!(files(&disk), Vec::<String>::new(), "{call:?}");
        assert!(!spool.is_poisoned());
        assert!(
            matches!(put(&spool, 1), Ok(Committed::Stored(_))),
            "{call:?}"
        );
    }
}

#[test]
fn a_writer_that_failed_half_way_finishes_nothing() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let mut writer = spool.begin(1, &meta(1)).unwrap();
    writer.write(&vec![1; 100_000]).unwrap();
    disk.set_fault(Some(fault(Call::Append, 0, Errno::NOSPC)));
    assert!(matches!(
        writer.write(&vec![2; 100_000]),
        Err(ReceiveError::OutOfSpace)
    ));
    assert!(matches!(
        writer.write(&vec![3; 100_000]),
        Err(ReceiveError::Io { .. })
    ));
    assert!(matches!(writer.finish(), Err(ReceiveError::Io { .. })));
    assert_eq!(files(&disk), Vec::<String>::new());
}

#[test]
fn a_writer_whose_space_failed_finishes_nothing() {
    // The write of what came before the space, and those of what was put into it.
    for nth in 0..3 {
        let disk = CrashDisk::new();
        let spool = open(disk.clone()).unwrap();
        let mut writer = spool.begin(1, &meta(1)).unwrap();
        writer.write(&[1; 500]).unwrap();
        disk.set_fault(Some(fault(Call::Append, nth, Errno::NOSPC)));
        assert!(matches!(
            fill(&mut writer, &vec![2; 100_000]),
            Err(ReceiveError::OutOfSpace)
        ));
        assert!(writer.space(1).is_empty());
        assert!(matches!(
            fill(&mut writer, &[3; 10]),
            Err(ReceiveError::Io { .. })
        ));
        assert!(matches!(writer.finish(), Err(ReceiveError::Io { .. })));
        assert_eq!(files(&disk), Vec::<String>::new());
    }
}

#[test]
fn a_dropped_writer_and_a_dropped_instance_leave_nothing() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let mut writer = spool.begin(1, &meta(1)).unwrap();
    writer.write(&vec![1; 100_000]).unwrap();
    assert_eq!(files(&disk).len(), 1);
    drop(writer);
    assert_eq!(files(&disk).len(), 0);
    drop(spool.begin(1, &meta(1)).unwrap().finish().unwrap());
    assert_eq!(files(&disk).len(), 0);
}

#[test]
fn damaged_files_are_reported_and_kept() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let paths: Vec<_> = (1..=5)
        .map(|instance| put(&spool, instance).unwrap().instance().path.clone())
        .collect();
    disk.damage(&paths[0], |bytes| bytes.truncate(bytes.len() - 1));
    disk.damage(&paths[1], |bytes| bytes.truncate(100));
    disk.damage(&paths[2], Vec::clear);
    // The Media Storage SOP Instance UID's first character.
    disk.damage(&paths[3], |bytes| {
        let place = bytes
            .windows(9)
            .position(|part| part == b"1.2.826.8")
            .unwrap();
        bytes[place] = b'2';
    });
    drop(spool);
    let spool = open(disk.clone()).unwrap();
    let studies = spool.scan_open().unwrap();
    assert_eq!(studies.len(), 1);
    let whole: Vec<_> = studies[0]
        .instances
        .iter()
        .map(|found| &found.sop_instance)
        .collect();
    assert_eq!(whole, [&sop(5)]);
    let skipped: Vec<_> = studies[0]
        .skipped
        .iter()
        .map(|found| found.path.clone())
        .collect();
    assert_eq!(skipped.len(), 4);
    assert!(
        studies[0]
            .skipped
            .iter()
            .all(|found| !found.reason.is_empty())
    );
    assert!(
        paths[..4]
            .iter()
            .all(|path| skipped.contains(path) && disk.contents(path).is_some())
    );
}

#[test]
fn a_damaged_instance_that_comes_again_is_stored_again() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let path = put(&spool, 1).unwrap().instance().path.clone();
    disk.damage(&path, |bytes| bytes.truncate(200));
    assert!(matches!(put(&spool, 1), Ok(Committed::Stored(_))));
    assert!(matches!(put(&spool, 1), Ok(Committed::Duplicate(_))));
    assert!(disk.contents(&path).unwrap().ends_with(&contents(1, 1)));
    let study = &spool.scan_open().unwrap()[0];
    assert_eq!((study.instances.len(), study.skipped.len()), (1, 1));
}

#[test]
fn a_damaged_instance_does_not_keep_its_study_open() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let paths = [1, 2].map(|instance| put(&spool, instance).unwrap().instance().path.clone());
    disk.damage(&paths[0], |bytes| bytes.truncate(200));
    drop(spool);
    let spool = open(disk.clone()).unwrap();
    let early = spool.finish_study_if(&study(0), "20260102", 0);
    assert!(matches!(early, Err(SpoolError::StudyChanged { held: 1 })));
    spool.finish_study_if(&study(0), "20260102", 1).unwrap();
    let found = spool.scan_study(&study(0)).unwrap();
    assert_eq!((found.instances.len(), found.skipped.len()), (1, 1));
    let kept = disk.contents(&found.skipped[0].path).unwrap();
    assert_eq!(kept.len(), 200);
}

#[test]
fn strange_names_are_passed_over() {
    let disk = CrashDisk::new();
    let spool = open(disk.clone()).unwrap();
    let folder = put(&spool, 1)
        .unwrap()
        .instance()
        .path
        .parent()
        .unwrap()
        .to_owned();
    for path in [folder.join("notes.txt"), folder.join("findings.json")] {
        sonode_pipeline::spool::Disk::create(&disk, &path).unwrap();
    }
    sonode_pipeline::spool::Disk::make_folder(&disk, "/data/open/00/lost+found".as_ref()).unwrap();
    let studies = spool.scan_open().unwrap();
    assert_eq!(studies.len(), 1);
    assert_eq!(
        (studies[0].instances.len(), studies[0].skipped.len()),
        (1, 2)
    );
}
