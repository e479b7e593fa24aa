//! The whole pipeline: a real spool, a real queue, a worker process; the sender is the test.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use sonode_conformance::sop_class::{COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, US_MULTIFRAME};
use sonode_conformance::{DimseStatus, transfer_syntax};

use sonode_sr_writer::{Document, Form, ReportForm, Style, Syntax};

use crate::queue::Queue;
use crate::spool::{Committed, FileMeta, OpenError, Spool};
use crate::workers::fake;
use crate::{
    Arrival, CommitmentJob, DeliveryJob, DeliveryObject, DeliveryReport, HeaderSummary, Headers,
    ObjectResult, Pipeline, Ports, RelayReport, RenderError, RenderedReport, ReportKey,
    ReportSender, ReportUnmeasured, Route, Settings, StudyDetail, SystemClock, WorkerProgram,
    WorkerSettings, WorkerState,
};

struct TestSender(Mutex<Sender<DeliveryJob>>);

impl ReportSender for TestSender {
    fn submit(&self, job: DeliveryJob) {
        self.0.lock().unwrap().send(job).unwrap();
    }

    fn ask(&self, job: CommitmentJob) {
        panic!("no route asks for commitment: {job:?}");
    }

    fn report(&self, report: RelayReport) {
        panic!("no cart asks for commitment: {report:?}");
    }
}

struct NoHeaders;

impl Headers for NoHeaders {
    fn read(&self, _: &Path) -> HeaderSummary {
        header()
    }
}

fn header() -> HeaderSummary {
    HeaderSummary {
        specific_character_set: b"ISO_IR 100".to_vec(),
        patient_name: b"M\xfcller^Anna".to_vec(),
        patient_id: b"4711".to_vec(),
        ..HeaderSummary::default()
    }
}

/// Another test's worker that is just being started holds a copy of every file, the lock too, until its `exec`.
fn open(folder: &Path) -> Spool {
    loop {
        match Spool::open(folder) {
            Err(OpenError::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A node without sockets, in a folder that outlives it.
struct Node {
    pipeline: Pipeline,
    spool: Spool,
    jobs: Receiver<DeliveryJob>,
}

const FORM: Form = Form {
    class: ReportForm::Comprehensive3d,
    syntax: Syntax::ExplicitLittle,
};
const LESSER: Form = Form {
    class: ReportForm::Comprehensive,
    syntax: Syntax::ImplicitLittle,
};

fn route(to: &str) -> Route {
    Route {
        from: None,
        to: to.to_owned(),
        documents: BTreeSet::from([Document::MeasurementReport]),
        style: Style::default(),
        send_images: false,
        commit: false,
        companions: BTreeSet::new(),
        report_unmeasured: ReportUnmeasured::EchoOnly,
    }
}

impl Node {
    fn start(folder: &Path, script: &str, peers: &[&str]) -> Self {
        Self::with_routes(
            folder,
            script,
            peers.iter().map(|peer| route(peer)).collect(),
        )
    }

    fn with_routes(folder: &Path, script: &str, routes: Vec<Route>) -> Self {
        Self::on(open(folder), script, routes)
    }

    fn on(spool: Spool, script: &str, routes: Vec<Route>) -> Self {
        let (program, args) = fake::command(script);
        let worker = WorkerSettings {
            attempts_max: 2,
            restart_first: Duration::from_millis(1),
            ..WorkerSettings::default()
        };
        let mut settings = Settings::new("SONODE".parse().unwrap(), worker);
        // A study closes as soon as no open association carries it.
        settings.quiet_period = Duration::ZERO;
        settings.routing.routes = routes;
        let (sender, jobs) = channel();
        let ports = Ports {
            sender: Box::new(TestSender(Mutex::new(sender))),
            headers: Box::new(NoHeaders),
            analyzer: Box::new(WorkerProgram { program, args }),
            clock: Box::new(SystemClock::new()),
        };
        let pipeline = Pipeline::start(settings, spool.clone(), ports).unwrap();
        Self {
            pipeline,
            spool,
            jobs,
        }
    }

    fn stop(self) {
        self.pipeline.drain(Instant::now());
    }

    fn store(&self, association: u64, class: &str, sop: &str, data: &[u8]) {
        self.store_in(Some("1.2"), association, class, sop, data);
    }

    fn store_in(&self, study: Option<&str>, association: u64, class: &str, sop: &str, data: &[u8]) {
        let committed = self.commit(study, association, class, sop, data);
        self.tell(committed, "cart", association);
    }

    /// In the spool; the engine hears of it by [`Self::tell`].
    fn commit(
        &self,
        study: Option<&str>,
        association: u64,
        class: &str,
        sop: &str,
        data: &[u8],
    ) -> Committed {
        let meta = FileMeta {
            sop_class: class.parse().unwrap(),
            sop_instance: sop.parse().unwrap(),
            transfer_syntax: transfer_syntax::EXPLICIT_LITTLE.parse().unwrap(),
            calling_ae: Some("CART".parse().unwrap()),
        };
        let mut writer = self.spool.begin(association, &meta).unwrap();
        writer.write(data).unwrap();
        let study = study.map(|study| study.parse().unwrap());
        self.spool.commit(writer.finish().unwrap(), study).unwrap()
    }

    fn tell(&self, committed: Committed, peer: &str, association: u64) {
        self.pipeline.stored(Arrival {
            committed,
            header: header(),
            peer: peer.to_owned(),
            association,
        });
    }

    /// A cart sends these clips on one association.
    fn receive(&self, association: u64, clips: &[&str]) {
        self.pipeline.association_opened(association, "cart");
        for clip in clips {
            self.store(association, US_MULTIFRAME, clip, clip.as_bytes());
        }
        self.pipeline.association_closed(association);
    }

    fn job(&self) -> (DeliveryJob, ReportKey) {
        let job = self.jobs.recv().unwrap();
        let key = match job.objects.as_slice() {
            [DeliveryObject::Report(key)] => key.clone(),
            _ => panic!("not one report"),
        };
        (job, key)
    }

    fn accept(&self, job: DeliveryJob) {
        let success = ObjectResult::Status(DimseStatus::SUCCESS, None);
        self.pipeline.delivered(DeliveryReport {
            id: job.id,
            peer: job.peer,
            results: job
                .objects
                .into_iter()
                .map(|object| (object, success.clone()))
                .collect(),
            association_error: None,
        });
    }

    /// What was rendered, as it lies on the disk.
    fn render(&self, key: &ReportKey, accepted: &[Form]) -> RenderedReport {
        let mut report = self.pipeline.render(key, accepted).unwrap().1;
        if let Some(bytes) = report.bytes.take() {
            assert_eq!(bytes, std::fs::read(&report.path).unwrap());
        }
        report
    }

    fn study(&self) -> StudyDetail {
        self.pipeline.study(&"1.2".parse().unwrap()).unwrap()
    }
}

#[test]
fn clips_in_and_a_report_out_which_comes_back_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "reject=1.2.8", &["pacs"]);
    node.receive(1, &["1.2.7", "1.2.8"]);
    let (job, key) = node.job();
    assert_eq!((job.peer.as_str(), key.revision), ("pacs", 1));
    let (_, report) = node.pipeline.render(&key, &[FORM]).unwrap();
    assert_eq!(report.sop_class.as_str(), COMPREHENSIVE_3D_SR);
    let bytes = std::fs::read(&report.path).unwrap();
    assert_eq!(
        report.bytes.as_ref(),
        Some(&bytes),
        "sent without a look at the disk"
    );
    let report = RenderedReport {
        bytes: None,
        ..report
    };
    // Whatever form is best later: while the peer takes the first one, that is this report.
    let again = node.render(&key, &[LESSER, FORM]);
    assert_eq!(again, report);
    node.accept(job);
    let study = node.study();
    assert!(study.status.done);
    assert_eq!(study.patient_name.expose(), "Müller^Anna");
    assert_eq!((study.status.analysed, study.status.rejected), (1, 1));
    assert_eq!(
        study.delivery_list[0].sop_instance_uid,
        Some(report.sop_instance.clone())
    );

    node.pipeline.association_opened(2, "pacs");
    node.store(
        2,
        report.sop_class.as_str(),
        report.sop_instance.as_str(),
        &bytes,
    );
    node.store(2, US_MULTIFRAME, "1.2.7", b"1.2.7");
    node.pipeline.association_closed(2);
    let study = node.study();
    assert!(study.status.done);
    assert_eq!(study.status.revision, Some(1));
    let health = node.pipeline.health();
    assert_eq!(
        (health.counters.own_objects, health.counters.duplicates),
        (1, 1)
    );
    assert_eq!(node.pipeline.studies().len(), 1);
    node.stop();
}

/// Two carts sent a study's first object at once: both are answered after one flush, and nothing says whose news is first.
#[test]
fn a_duplicate_that_comes_before_its_original_has_its_sender_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &[]);
    let commit = |association| node.commit(Some("1.2"), association, US_MULTIFRAME, "1.2.7", b"7");
    node.pipeline.association_opened(1, "cart");
    node.pipeline.association_opened(2, "routed");
    let (original, duplicate) = (commit(1), commit(2));
    assert!(matches!(duplicate, Committed::Duplicate(_)));
    node.tell(duplicate, "routed", 2);
    node.tell(original, "cart", 1);
    let study = node.study();
    assert_eq!(study.status.from, ["cart", "routed"]);
    assert_eq!(study.status.instances, 1);
    let counters = node.pipeline.health().counters;
    assert_eq!((counters.instances_stored, counters.duplicates), (1, 1));
    node.stop();
}

#[test]
fn two_peers_get_the_same_object_in_the_same_form() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &["a", "b", "c"]);
    node.receive(1, &["1.2.7"]);
    let mut rendered = Vec::new();
    for form in [FORM, FORM, LESSER] {
        let (job, key) = node.job();
        rendered.push(node.render(&key, &[form]));
        node.accept(job);
    }
    assert_eq!(rendered[0], rendered[1]);
    assert_ne!(rendered[0].sop_instance, rendered[2].sop_instance);
    assert_eq!(rendered[2].sop_class.as_str(), COMPREHENSIVE_SR);
    assert_eq!(node.study().status.deliveries.sent, 3);
    node.stop();
}

#[test]
fn each_document_is_rendered_and_delivered_for_itself_and_survives_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let routes = || {
        vec![Route {
            documents: BTreeSet::from([
                Document::MeasurementReport,
                Document::EchoReport,
                // The images of this study state no time zone.
                Document::SimplifiedEchoReport,
                Document::KeyObject,
            ]),
            ..route("pacs")
        }]
    };
    let node = Node::with_routes(folder.path(), "", routes());
    node.receive(1, &["1.2.7"]);
    let keys = |job: &DeliveryJob| -> Vec<ReportKey> {
        let key = |object: &DeliveryObject| match object {
            DeliveryObject::Report(key) => key.clone(),
            other => panic!("{other:?}"),
        };
        job.objects.iter().map(key).collect()
    };
    let job = node.jobs.recv().unwrap();
    let owed = keys(&job);
    let documents: Vec<Document> = owed.iter().map(|key| key.document).collect();
    assert_eq!(
        documents,
        [
            Document::MeasurementReport,
            Document::EchoReport,
            Document::KeyObject
        ]
    );
    let render = |node: &Node| -> Vec<RenderedReport> {
        owed.iter()
            .map(|key| {
                let forms: Vec<Form> = key.document.forms().collect();
                node.render(key, &forms)
            })
            .collect()
    };
    let rendered = render(&node);
    let classes: BTreeSet<&str> = rendered.iter().map(|one| one.sop_class.as_str()).collect();
    assert_eq!(classes.len(), 3);
    node.stop();
    std::fs::remove_dir_all(folder.path().join("queue")).unwrap();
    let node = Node::with_routes(folder.path(), "", routes());
    let job = node.jobs.recv().unwrap();
    assert_eq!(keys(&job), owed);
    assert_eq!(render(&node), rendered);
    node.accept(job);
    assert_eq!(node.study().status.deliveries.sent, 3);
    node.stop();
}

#[test]
fn late_evidence_is_reported_with_its_predecessor() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    node.receive(1, &["1.2.7"]);
    let (job, key) = node.job();
    let first = node.render(&key, &[FORM]);
    node.accept(job);
    assert!(node.study().status.done);
    node.receive(2, &["1.2.9"]);
    let (job, second) = node.job();
    assert_eq!(second.revision, 2);
    let report = node.render(&second, &[FORM]);
    let bytes = std::fs::read(&report.path).unwrap();
    let predecessor = first.sop_instance.as_str().as_bytes();
    assert!(
        bytes
            .windows(predecessor.len())
            .any(|window| window == predecessor)
    );
    node.accept(job);
    assert_eq!(node.study().status.deliveries.sent, 2);
    node.stop();
}

#[test]
fn a_clip_that_kills_every_worker_is_given_up_and_the_study_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "die=1.2.9", &["pacs"]);
    node.receive(1, &["1.2.7", "1.2.9"]);
    let (job, key) = node.job();
    node.render(&key, &[FORM]);
    node.accept(job);
    let study = node.study();
    assert_eq!((study.status.analysed, study.status.rejected), (1, 1));
    assert_eq!(study.instance_list[1].attempts, 2);
    assert_eq!(node.pipeline.health().counters.attempts_charged, 2);
    node.stop();
}

#[test]
fn a_restart_goes_on_and_even_without_the_queue_the_report_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    node.receive(1, &["1.2.7"]);
    let (_, key) = node.job();
    let first = node.render(&key, &[FORM]);
    let bytes = std::fs::read(&first.path).unwrap();
    node.stop();
    for lose_queue in [false, true] {
        if lose_queue {
            std::fs::remove_dir_all(folder.path().join("queue")).unwrap();
        }
        let node = Node::start(folder.path(), "", &["pacs"]);
        let (_, key) = node.job();
        assert_eq!(key.revision, 1, "{lose_queue}");
        let again = node.render(&key, &[FORM]);
        assert_eq!(again, first);
        assert_eq!(std::fs::read(&again.path).unwrap(), bytes);
        node.stop();
    }
}

/// As a kill leaves the queue: what it has in memory alone is not there.
fn copy_of_queue(folder: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let (from, to) = (
                entry.as_ref().unwrap().path(),
                to.join(entry.unwrap().file_name()),
            );
            if from.is_dir() {
                std::fs::create_dir(&to).unwrap();
                copy(&from, &to);
            } else {
                std::fs::copy(from, to).unwrap();
            }
        }
    }
    let kept = tempfile::tempdir_in(folder).unwrap();
    copy(&folder.join("queue"), kept.path());
    kept
}

#[test]
fn a_study_that_is_done_is_known_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    node.receive(1, &["1.2.1"]);
    let (job, key) = node.job();
    node.render(&key, &[FORM]);
    node.accept(job);
    assert!(node.study().status.done);
    let kept = copy_of_queue(folder.path());
    node.stop();
    std::fs::remove_dir_all(folder.path().join("queue")).unwrap();
    std::fs::rename(kept.path(), folder.path().join("queue")).unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    assert!(node.study().status.done);
    node.stop();
}

#[test]
fn without_a_usable_model_the_study_is_kept_and_health_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "exit=3", &["pacs"]);
    node.receive(1, &["1.2.7"]);
    let health = loop {
        let health = node.pipeline.health();
        if !matches!(health.worker, WorkerState::Starting) {
            break health;
        }
        std::thread::yield_now();
    };
    assert!(!health.ready);
    assert!(
        health.problems[0].contains("allow_research_models = true"),
        "{:?}",
        health.problems
    );
    assert_eq!(node.study().status.state, "closed");
    node.stop();
}

#[test]
fn an_object_of_unsorted_is_filed_and_reported_and_another_one_waits_for_a_better_worker() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "nameless=1.2", &["pacs"]);
    node.pipeline.association_opened(1, "cart");
    for sop in ["1.2.7", "1.2.8"] {
        node.store_in(None, 1, US_MULTIFRAME, sop, sop.as_bytes());
    }
    node.pipeline.association_closed(1);
    let list = loop {
        let list = node.pipeline.unsorted();
        if list.iter().all(|object| object.reason.is_some()) {
            break list;
        }
        std::thread::yield_now();
    };
    assert_eq!(list.len(), 2);
    assert!(list[0].file.starts_with("1.2.7.") && list[0].from.as_deref() == Some("cart"));
    assert_eq!(list[0].bytes, 5);
    assert!(node.pipeline.studies().is_empty());
    node.stop();

    // The next start asks again, and this worker can read one of them.
    let node = Node::start(folder.path(), "nameless=1.2.8", &["pacs"]);
    let (job, key) = node.job();
    assert_eq!(key.study.as_str(), "1.2");
    node.accept(job);
    assert_eq!(node.study().status.analysed, 1);
    let stays = node.pipeline.unsorted();
    assert!(stays.len() == 1 && stays[0].file.starts_with("1.2.8."));
    assert_eq!(node.pipeline.health().queue.instances_unsorted, 1);
    node.stop();
    let node = Node::start(folder.path(), "nameless=1.2.8", &["pacs"]);
    assert!(node.study().status.done, "it was filed for good");
    node.stop();
}

/// The process ended between the last record of a study and its place among those that are done, and at the next start the disk
/// doesn't say where the study is.
#[test]
fn a_study_that_cannot_be_looked_for_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    node.receive(1, &["1.2.7"]);
    let (job, key) = node.job();
    node.render(&key, &[FORM]);
    node.accept(job);
    assert!(node.study().status.done);
    node.stop();
    let mut queue = Queue::open(&folder.path().join("queue")).unwrap();
    let record = queue.finished(&key.study).unwrap();
    queue.unfinish(&key.study).unwrap();
    queue.save(&record).unwrap();
    queue.flush().unwrap();
    drop(queue);

    let (done, away) = (folder.path().join("done"), folder.path().join("away"));
    let spool = open(folder.path());
    std::fs::rename(&done, &away).unwrap();
    std::fs::write(&done, b"no folder: listing it fails").unwrap();
    Node::on(spool, "", vec![route("pacs")]).stop();
    std::fs::remove_file(&done).unwrap();
    std::fs::rename(&away, &done).unwrap();
    let node = Node::start(folder.path(), "", &["pacs"]);
    assert!(node.study().status.done);
    node.stop();
}

#[test]
fn a_full_disk_is_a_problem_that_says_what_to_do() {
    let least = sonode_conformance::limits::FREE_BYTES_MIN;
    assert_eq!(super::questions::too_full(&Ok(least)), None);
    let full = super::questions::too_full(&Ok(least - 1)).unwrap();
    assert!(
        full.contains("255 MiB left") && full.contains("make room"),
        "{full}"
    );
    assert!(super::questions::too_full(&Err("gone".to_owned())).is_some());
}

#[test]
fn after_the_end_every_question_has_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", &[]);
    node.pipeline.drain(Instant::now());
    assert!(!node.pipeline.health().ready);
    assert!(node.pipeline.studies().is_empty());
    let key = ReportKey {
        study: "1.2".parse().unwrap(),
        revision: 1,
        document: Document::MeasurementReport,
        peer: "pacs".to_owned(),
    };
    let rendered = node.pipeline.render(&key, &[LESSER]);
    assert_eq!(rendered, Err(RenderError::Stopping));
    node.pipeline.drain(Instant::now());
}

#[test]
fn records_cost_a_fiftieth_of_the_time_within_bounds() {
    let rests =
        [0, 1, 10, 30, 400].map(|ms| super::rest_after(Duration::from_millis(ms)).as_millis());
    assert_eq!(rests, [200, 200, 500, 1500, 2000]);
}
