//! The spool on the real file system.

use std::fs;
use std::path::Path;

use sonode_pipeline::spool::{Committed, OpenError, PeerMark, Spool, SpoolError, StudyPlace};

use crate::oracle::{contents, meta, sop, store, study};

fn put(spool: &Spool, number: u8, instance: u8, kind: u8) -> Committed {
    store(
        spool,
        Some(study(number)),
        instance,
        &contents(instance, kind),
    )
    .unwrap()
}

fn place(spool: &Spool, number: u8) -> StudyPlace {
    spool.find_study(&study(number)).unwrap().unwrap().0
}

#[test]
fn the_same_bytes_are_a_duplicate_and_others_a_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let Committed::Stored(first) = put(&spool, 0, 1, 3) else {
        panic!("not stored")
    };
    assert!(first.path.starts_with(folder.path().join("open")));
    let file = fs::read(&first.path).unwrap();
    assert_eq!(&file[128..132], b"DICM");
    assert!(file.ends_with(&contents(1, 3)));
    assert_eq!(first.bytes, contents(1, 3).len() as u64);

    let Committed::Duplicate(again) = put(&spool, 0, 1, 3) else {
        panic!("no duplicate")
    };
    assert_eq!(again, first);
    let Committed::NewVersion(other) = put(&spool, 0, 1, 2) else {
        panic!("no new version")
    };
    assert_ne!(other.path, first.path);
    assert!(first.path.exists() && other.path.exists());
    assert!(matches!(put(&spool, 0, 1, 2), Committed::Duplicate(_)));
    // Another study's instance is compared with that study's only.
    assert!(matches!(put(&spool, 1, 1, 3), Committed::Stored(_)));
    assert_eq!(
        fs::read_dir(folder.path().join("incoming"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn the_transfer_syntax_is_part_of_the_bytes_and_the_sender_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    put(&spool, 0, 1, 1);
    let send = |meta| {
        let mut writer = spool.begin(5, &meta).unwrap();
        writer.write(&contents(1, 1)).unwrap();
        spool
            .commit(writer.finish().unwrap(), Some(study(0)))
            .unwrap()
    };
    let mut other = meta(1);
    other.calling_ae = None;
    assert!(matches!(send(other.clone()), Committed::Duplicate(_)));
    other.transfer_syntax = "1.2.840.10008.1.2".parse().unwrap();
    assert!(matches!(send(other), Committed::NewVersion(_)));
}

#[test]
fn portions_make_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let data: Vec<u8> = (0..=252).cycle().take(900_000).collect();
    let mut digests = Vec::new();
    for portion in [1_000, 65_535, 65_536, 131_000, 900_000] {
        let mut writer = spool.begin(1, &meta(1)).unwrap();
        data.chunks(portion)
            .for_each(|part| writer.write(part).unwrap());
        assert_eq!(writer.len(), 900_000);
        let pending = writer.finish().unwrap();
        assert!(
            fs::read(pending.path()).unwrap().ends_with(&data),
            "{portion}"
        );
        digests.push(pending.digest());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn everything_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let stored = put(&spool, 0, 1, 1).instance().clone();
    spool.put_findings(&stored, b"{\"a\":1}").unwrap();
    spool.put_findings(&stored, b"{\"a\":2}").unwrap();
    let report = spool.commit_report(&study(0), 2, &sop(9), b"two").unwrap();
    spool.commit_report(&study(0), 1, &sop(8), b"one").unwrap();
    spool
        .mark(PeerMark::Delivered, &study(0), "main pacs", &sop(9))
        .unwrap();
    let unsorted = store(&spool, None, 3, b"no study")
        .unwrap()
        .instance()
        .clone();
    let uid = spool.node_uid().clone();
    drop(spool);

    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(*spool.node_uid(), uid);
    let studies = spool.scan_open().unwrap();
    let [found] = studies.as_slice() else {
        panic!("{studies:?}")
    };
    assert_eq!(found.uid, study(0));
    assert_eq!(found.instances, std::slice::from_ref(&stored));
    assert_eq!(
        fs::read(&found.findings[&stored.digest.short()]).unwrap(),
        b"{\"a\":2}"
    );
    assert_eq!(found.reports[1], (2, sop(9), report));
    assert_eq!(found.reports[0].0, 1);
    assert_eq!(
        found.marks,
        [(PeerMark::Delivered, "main pacs".to_owned(), sop(9))]
    );
    assert!(found.skipped.is_empty());
    assert_eq!(spool.scan_unsorted().unwrap().instances, [unsorted]);
}

#[test]
fn a_folder_that_was_made_and_never_filled_is_no_study() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let Committed::Stored(kept) = put(&spool, 0, 1, 3) else {
        panic!("not stored")
    };
    let group = kept.path.parent().unwrap().parent().unwrap();
    let [empty, skipped] = ["1.2.3", "1.2.4"].map(|uid| group.join(uid));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&skipped).unwrap();
    fs::write(skipped.join("strange"), b"").unwrap();
    drop(spool);
    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(spool.scan_open().unwrap().len(), 2);
    assert!(!empty.exists() && skipped.exists());
}

#[test]
fn a_report_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    put(&spool, 0, 1, 1);
    let path = spool
        .commit_report(&study(0), 1, &sop(9), b"report")
        .unwrap();
    assert_eq!(
        spool
            .commit_report(&study(0), 1, &sop(9), b"report")
            .unwrap(),
        path
    );
    for other in [&b"reporT"[..], b"repor", b"report2", b""] {
        let result = spool.commit_report(&study(0), 1, &sop(9), other);
        assert!(matches!(result, Err(SpoolError::ReportDiffers { .. })));
    }
    assert_eq!(fs::read(path).unwrap(), b"report");
    let unknown = spool.commit_report(&study(5), 1, &sop(9), b"report");
    assert!(matches!(unknown, Err(SpoolError::NoSuchStudy(_))));
    assert_eq!(
        fs::read_dir(folder.path().join("incoming"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_study_that_is_done_takes_duplicates_and_comes_back_for_something_new() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let first = put(&spool, 0, 1, 1).instance().clone();
    spool.finish_study(&study(0), "20260102").unwrap();
    spool.finish_study(&study(0), "20260103").unwrap();
    let StudyPlace::Done(day) = place(&spool, 0) else {
        panic!("not done")
    };
    assert_eq!(day.as_str(), "20260102");
    assert!(spool.scan_open().unwrap().is_empty());
    let moved = spool.locate(&first).unwrap();
    assert!(moved.exists() && !first.path.exists());
    drop(spool);

    let spool = Spool::open(folder.path()).unwrap();
    let Committed::Duplicate(same) = put(&spool, 0, 1, 1) else {
        panic!("no duplicate")
    };
    assert_eq!(same.path, moved);
    assert!(matches!(place(&spool, 0), StudyPlace::Done(_)));
    spool
        .mark(PeerMark::Delivered, &study(0), "pacs", &sop(1))
        .unwrap();
    assert!(matches!(place(&spool, 0), StudyPlace::Done(_)));
    let new = put(&spool, 0, 2, 1).instance().clone();
    assert_eq!(place(&spool, 0), StudyPlace::Open);
    assert!(new.path.exists() && first.path.exists());
    let found = spool.scan_study(&study(0)).unwrap();
    assert_eq!((found.instances.len(), found.marks.len()), (2, 1));
}

#[test]
fn an_instance_that_the_caller_has_not_heard_of_keeps_the_study_open() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    put(&spool, 0, 1, 1);
    put(&spool, 0, 1, 2);
    let early = spool.finish_study_if(&study(0), "20260102", 1);
    assert!(matches!(early, Err(SpoolError::StudyChanged { held: 2 })));
    assert_eq!(place(&spool, 0), StudyPlace::Open);
    spool.finish_study_if(&study(0), "20260102", 2).unwrap();
    assert!(matches!(place(&spool, 0), StudyPlace::Done(_)));
    assert_eq!(
        spool.reopen_study(&study(0)).unwrap(),
        spool.find_study(&study(0)).unwrap().unwrap().1
    );
    assert_eq!(place(&spool, 0), StudyPlace::Open);
}

#[test]
fn what_is_discarded_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    put(&spool, 0, 1, 1);
    let files = spool.discard_study(&study(0)).unwrap();
    assert!(spool.find_study(&study(0)).unwrap().is_none());
    assert_eq!(incoming(folder.path()), 1, "they go where nobody waits");
    drop(files);
    let again = spool.discard_study(&study(0));
    assert!(matches!(again, Err(SpoolError::NoSuchStudy(_))));
    assert!(spool.find_study(&study(0)).unwrap().is_none());
    assert_eq!(incoming(folder.path()), 0);
    assert!(matches!(put(&spool, 0, 1, 1), Committed::Stored(_)));
}

#[test]
fn pruning_takes_the_images_of_a_done_study_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let first = put(&spool, 1, 1, 2).instance().clone();
    put(&spool, 1, 2, 3);
    spool.put_findings(&first, b"{}").unwrap();
    spool
        .commit_report(&study(1), 1, &sop(9), b"report")
        .unwrap();
    spool
        .mark(PeerMark::Delivered, &study(1), "pacs", &sop(9))
        .unwrap();
    spool.finish_study(&study(1), "20260101").unwrap();
    let days = spool.done_days().unwrap();
    assert_eq!(spool.done_studies(&days[0]).unwrap(), [study(1)]);
    let bytes = spool.prune_images(&study(1), &days[0]).unwrap();
    assert!(bytes > 305_000, "{bytes}");
    assert_eq!(spool.prune_images(&study(1), &days[0]).unwrap(), 0);
    assert_eq!(incoming(folder.path()), 0);
    let left = spool.scan_study(&study(1)).unwrap();
    assert_eq!((left.instances.len(), left.pruned.len()), (0, 2));
    assert_eq!(
        (left.findings.len(), left.reports.len(), left.marks.len()),
        (1, 1, 1)
    );
    let pruned = left
        .pruned
        .iter()
        .find(|left| left.digest == first.digest)
        .unwrap();
    assert_eq!(
        (pruned.bytes, &pruned.calling_ae),
        (first.bytes, &first.calling_ae)
    );
    // The same again is a duplicate, kept until it is pruned again; another version opens the study.
    assert!(matches!(put(&spool, 1, 1, 2), Committed::Duplicate(_)));
    assert!(matches!(place(&spool, 1), StudyPlace::Done(_)));
    let back = spool.scan_study(&study(1)).unwrap();
    assert_eq!((back.instances.len(), back.pruned.len()), (1, 1));
    assert!(spool.prune_images(&study(1), &days[0]).unwrap() > 0);
    assert!(matches!(put(&spool, 1, 1, 1), Committed::NewVersion(_)));
    assert_eq!(place(&spool, 1), StudyPlace::Open);
    let reopened = spool.prune_images(&study(1), &days[0]);
    assert!(reopened.is_err(), "it lies there no more");
    // A pruned version counts as one that is held.
    spool.finish_study_if(&study(1), "20260103", 3).unwrap();
}

fn incoming(root: &std::path::Path) -> usize {
    fs::read_dir(root.join("incoming")).unwrap().count()
}

#[test]
fn space_is_counted_as_df_counts_it() {
    let space = sonode_pipeline::spool::Space {
        free: 40,
        used: 160,
    };
    assert!(space.is_above(79) && !space.is_above(80));
    assert_eq!(
        (space.until(90), space.until(80), space.until(10)),
        (20, 0, 0)
    );
}

#[test]
fn an_unsorted_instance_is_filed_with_its_findings() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let stored = store(&spool, None, 1, b"data").unwrap().instance().clone();
    assert!(stored.path.starts_with(folder.path().join("unsorted")));
    assert!(matches!(
        store(&spool, None, 1, b"data").unwrap(),
        Committed::Duplicate(_)
    ));
    spool.put_findings(&stored, b"{}").unwrap();
    let filed = spool.file_unsorted(&stored, &study(0)).unwrap();
    assert!(spool.scan_unsorted().unwrap().instances.is_empty());
    let found = spool.scan_study(&study(0)).unwrap();
    assert_eq!(found.instances, std::slice::from_ref(&filed));
    assert!(found.findings.contains_key(&filed.digest.short()));
    assert!(matches!(
        store(&spool, Some(study(0)), 1, b"data").unwrap(),
        Committed::Duplicate(_)
    ));
}

#[test]
fn an_unsorted_instance_replaces_a_damaged_copy_in_its_study_and_gives_way_to_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    for damaged in [true, false] {
        let stored = store(&spool, None, 1, b"data").unwrap().instance().clone();
        let copy = store(&spool, Some(study(0)), 1, b"data").unwrap();
        let copy = copy.instance().path.clone();
        if damaged {
            fs::write(&copy, b"cut").unwrap();
        }
        let filed = spool.file_unsorted(&stored, &study(0)).unwrap();
        assert_eq!(filed.path, copy);
        assert!(fs::read(&copy).unwrap().ends_with(b"data"));
        let found = spool.scan_study(&study(0)).unwrap();
        assert_eq!(found.instances, [filed]);
        assert_eq!(found.skipped.len(), 1, "set aside, not deleted");
        assert!(spool.scan_unsorted().unwrap().instances.is_empty());
    }
}

#[test]
fn a_second_process_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let Err(error) = Spool::open(folder.path()) else {
        panic!("opened twice")
    };
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(
        error.to_string().contains("in use by another sonode"),
        "{error}"
    );
    let clone = spool.clone();
    drop(spool);
    assert!(Spool::open(folder.path()).is_err());
    drop(clone);
    assert!(Spool::open(folder.path()).is_ok());
}

#[test]
fn another_layout_is_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    drop(Spool::open(folder.path()).unwrap());
    fs::write(folder.path().join("VERSION"), "2\n").unwrap();
    let Err(error) = Spool::open(folder.path()) else {
        panic!("opened")
    };
    assert!(matches!(error, OpenError::Version { expected: 1, .. }));
    assert!(error.to_string().contains("\"2\""), "{error}");
}

#[test]
fn a_lost_or_damaged_node_uid_is_not_made_up() {
    let folder = tempfile::tempdir().unwrap();
    drop(Spool::open(folder.path()).unwrap());
    let file = folder.path().join("node-uid");
    fs::write(&file, "not a uid").unwrap();
    assert!(matches!(
        Spool::open(folder.path()),
        Err(OpenError::NodeUid { .. })
    ));
    fs::remove_file(&file).unwrap();
    assert!(matches!(
        Spool::open(folder.path()),
        Err(OpenError::NodeUid { .. })
    ));
}

#[test]
fn what_was_in_reception_is_deleted_at_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(Spool::open(folder.path()).unwrap());
    let incoming = folder.path().join("incoming");
    fs::write(incoming.join("x-1-1.part"), "half").unwrap();
    fs::create_dir(incoming.join("x-discarded-2.part")).unwrap();
    fs::write(incoming.join("x-discarded-2.part/a.dcm"), "old").unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
    assert!(spool.space().unwrap().free > 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Spool::open(&folder.path().join("file/data")).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }));
    assert!(Spool::open(&folder.path().join("a/b/c")).is_ok());
}

/// DCMTK is there wherever the whole node is tested; without it the header's own tests stand alone.
#[test]
fn dcmtk_reads_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let stored = store(&spool, Some(study(0)), 1, b"\x08\x00\x60\x00CS\x02\x00US").unwrap();
    let output = dcmdump(&stored.instance().path);
    assert!(output.contains("(0008,0060) CS [US]"), "{output}");
    assert!(output.contains("(0002,0016) AE [CART1]"), "{output}");
    assert!(output.contains("(0002,0102) OB"), "{output}");
}

#[expect(
    clippy::expect_used,
    reason = "a missing tool fails the test by its name"
)]
fn dcmdump(path: &Path) -> String {
    let run = std::process::Command::new("dcmdump")
        .arg(path)
        .output()
        .expect("DCMTK's dcmdump is needed: `make test` installs it");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    String::from_utf8_lossy(&run.stdout).into_owned()
}
