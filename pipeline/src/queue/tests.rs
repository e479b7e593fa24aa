//! The real queue, also damaged.

use sonode_findings::StudyContext;

use super::*;

fn study(uid: &str) -> Study {
    let uid: StudyInstanceUid = uid.parse().unwrap();
    let context = StudyContext::unknown(uid.clone());
    let mut study = Study::new(uid, context, Timestamp::from_millis(7));
    let lane = Lane {
        due: Timestamp::from_millis(99),
        failures: 3,
    };
    study.lanes.insert("pacs".to_owned(), lane);
    study
}

#[test]
fn records_lanes_and_marks_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let saved = study("1.2.3");
    let sop: SopInstanceUid = "1.2.3.4".parse().unwrap();
    let mark = Mark {
        started: true,
        attempts: 2,
        suspect: true,
    };
    {
        let mut queue = Queue::open(&path).unwrap();
        queue.save(&saved).unwrap();
        queue.set_mark(&saved.uid, &sop, mark).unwrap();
        queue.issue(&sop).unwrap();
        queue.flush().unwrap();
    }
    let queue = Queue::open(&path).unwrap();
    let loaded = queue.load().unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].uid, saved.uid);
    assert_eq!(loaded[0].lanes, saved.lanes);
    assert_eq!(
        queue.marks(&saved.uid).unwrap(),
        BTreeMap::from([(sop.clone(), mark)])
    );
    assert!(queue.is_issued(&sop));
}

#[test]
fn a_finished_study_leaves_no_work_behind_and_can_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = Queue::open(&folder.path().join("queue")).unwrap();
    let done = study("1.2.3");
    queue.save(&done).unwrap();
    queue.finish(&done, Timestamp::from_millis(1)).unwrap();
    queue
        .finish(&study("1.2.4"), Timestamp::from_millis(2))
        .unwrap();
    assert!(queue.load().unwrap().is_empty());
    assert!(queue.due.is_empty());
    let latest: Vec<String> = queue
        .finished_latest(9)
        .iter()
        .map(|study| study.study_instance_uid.to_string())
        .collect();
    assert_eq!(latest, ["1.2.4", "1.2.3"]);
    queue.unfinish(&done.uid).unwrap();
    assert!(queue.finished(&done.uid).is_none());
    assert_eq!(queue.finished_latest(9).len(), 1);
}

/// With a long history behind it a study costs what it costs without one. `SONODE_HISTORY` says how long, and
/// `SONODE_HISTORY_FOLDER` where the queue stays afterwards, for `make bench`.
#[test]
fn a_long_history_is_cut_and_known_after_a_restart() {
    let history = std::env::var("SONODE_HISTORY").map_or(12_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("SONODE_HISTORY_FOLDER").map(PathBuf::from);
    let path = kept.unwrap_or_else(|| folder.path().join("queue"));
    let mut queue = Queue::open(&path).unwrap();
    for n in 0..history {
        let done = study(&format!("1.2.{n}"));
        queue.issue(&report_of(n)).unwrap();
        queue.finish(&done, Timestamp::from_millis(n)).unwrap();
    }
    assert_eq!(queue.finished_count, limits::FINISHED_LISTED_MAX);
    let last = study(&format!("1.2.{}", history - 1)).uid;
    queue.unfinish(&last).unwrap();
    assert_eq!(queue.finished_count, limits::FINISHED_LISTED_MAX - 1);
    queue.flush().unwrap();
    drop(queue);
    let begun = std::time::Instant::now();
    let queue = Queue::open(&path).unwrap();
    println!(
        "{history} studies in the history: opened in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(queue.finished_count, limits::FINISHED_LISTED_MAX - 1);
    assert_eq!(
        queue.finished_by_time.len(),
        limits::FINISHED_LISTED_MAX - 1
    );
    assert_eq!(queue.finished.len(), limits::FINISHED_LISTED_MAX - 1);
    assert!(queue.is_issued(&report_of(history - 1)));
}

fn report_of(n: u64) -> SopInstanceUid {
    format!("1.3.{n}").parse().unwrap()
}

#[test]
fn a_damaged_queue_is_set_aside_and_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let mut queue = Queue::open(&path).unwrap();
    queue.save(&study("1.2.3")).unwrap();
    queue.flush().unwrap();
    drop(queue);
    std::fs::write(path.join("conf"), b"no configuration of sled").unwrap();
    let queue = Queue::open(&path).unwrap();
    assert!(queue.load().unwrap().is_empty());
    assert!(folder.path().join("queue.broken-1").is_dir());
}

#[test]
fn a_queue_that_is_still_open_is_waited_for_and_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let mut first = Queue::open(&path).unwrap();
    first.save(&study("1.2.3")).unwrap();
    first.flush().unwrap();
    let refused = Queue::open_patiently(&path, || false);
    assert!(matches!(refused, Err(QueueError::Locked(_))));
    let mut first = Some(first);
    let second = Queue::open_patiently(&path, || {
        first = None;
        true
    });
    assert_eq!(second.unwrap().load().unwrap().len(), 1);
    assert!(first.is_none(), "the first one was there until the wait");
    assert!(!folder.path().join("queue.broken-1").exists());
}

#[test]
fn a_queue_for_which_the_disk_is_full_is_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    drop(Queue::open(&path).unwrap());
    // sled writes its configuration anew where it is empty, as a file that was made on a full disk is.
    let configuration = path.join("conf");
    std::fs::remove_file(&configuration).unwrap();
    std::os::unix::fs::symlink("/dev/full", &configuration).unwrap();
    let opened = Queue::open(&path);
    assert!(
        matches!(opened, Err(QueueError::Full(_))),
        "{:?}",
        opened.err()
    );
    assert!(!folder.path().join("queue.broken-1").exists());
}

/// Every file and folder under a folder, files alone.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy_queue(from: &Path, to: &Path) {
    for file in files_under(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&file, copy).unwrap();
    }
}

/// What the node does with a queue from start to stop.
fn use_queue(path: &Path) {
    let mut queue = Queue::open(path).unwrap();
    // An error here is told, and the spool has the studies.
    let known = queue.load().unwrap_or_default();
    assert!(known.len() <= 3);
    for n in 0..6 {
        let uid = study(&format!("1.2.{n}")).uid;
        drop((queue.finished(&uid), queue.marks(&uid)));
        queue.is_issued(&report_of(n));
    }
    drop((queue.finished_latest(10), queue.finished_unconfirmed()));
    let fresh = study("1.2.99");
    if queue.save(&fresh).is_ok() {
        drop((
            queue.finish(&fresh, Timestamp::from_millis(9)),
            queue.flush(),
        ));
    }
}

/// Bytes flipped all over each file, and each file cut at several lengths: the queue opens, or is set aside and a new
/// one begins. It never ends the node, which would not come up again by itself.
#[test]
fn damage_anywhere_in_the_folder_costs_the_queue_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut queue = Queue::open(&whole).unwrap();
    for n in 0..6 {
        let known = study(&format!("1.2.{n}"));
        queue.issue(&report_of(n)).unwrap();
        let mark = Mark {
            started: true,
            ..Mark::default()
        };
        queue.set_mark(&known.uid, &report_of(n), mark).unwrap();
        if n < 3 {
            queue.save(&known).unwrap();
        } else {
            queue.finish(&known, Timestamp::from_millis(n)).unwrap();
        }
    }
    queue.flush().unwrap();
    drop(queue);
    let mut tried = 0;
    let mut set_aside = 0;
    for file in files_under(&whole) {
        let bytes = std::fs::read(&file).unwrap();
        let written = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let flips = (0..written.min(24)).chain((0..written).step_by(written / 40 + 1));
        let cuts = [0, 1, written / 3, written / 2, written.saturating_sub(1)];
        let flipped = flips.map(|at| {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xA5;
            damaged
        });
        let cut = cuts.into_iter().map(|length| bytes[..length].to_vec());
        for damaged in flipped.chain(cut) {
            let home = folder.path().join("home");
            let path = home.join("queue");
            copy_queue(&whole, &path);
            std::fs::write(path.join(file.strip_prefix(&whole).unwrap()), damaged).unwrap();
            use_queue(&path);
            tried += 1;
            set_aside += usize::from(home.join("queue.broken-1").exists());
            std::fs::remove_dir_all(&home).unwrap();
        }
    }
    println!("{tried} kinds of damage, {set_aside} times a new queue");
    assert!(tried > 50 && set_aside > 0);
}

#[test]
fn what_is_due_comes_first_in_the_order_of_its_keys() {
    let (a, b) = ("1.2.3".parse().unwrap(), "1.2.9".parse().unwrap());
    let early = due_key(Timestamp::from_millis(255), &b, "pacs");
    let late = due_key(Timestamp::from_millis(256), &a, "pacs");
    assert!(early < late);
    let parts = split_due(&late).unwrap();
    assert_eq!(parts, (Timestamp::from_millis(256), a, "pacs".to_owned()));
}
