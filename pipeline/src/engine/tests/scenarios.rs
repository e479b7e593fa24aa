//! Single promises, one by one.

use std::time::Duration;

use sonode_conformance::DimseStatus;

use super::super::*;
use super::world::{Queue, World, route, sop_uid, study_uid, success};
use crate::ports::{AssociationFailure, ObjectResult};
use crate::settings::ReportUnmeasured;
use crate::states::{DeliveryState, InstanceState};
use crate::status::WorkerState;

const MEASURABLE: usize = 0;
const OTHER_VIEW: usize = 1;
const CAROTID: usize = 2;
const KILLER: usize = 3;
const DOCUMENT: usize = 4;
const OWN: usize = 5;

const QUIET: Duration = Duration::from_mins(5);
const SECOND: Duration = Duration::from_secs(1);

fn state(world: &World, study: u8) -> String {
    world
        .engine
        .study(&study_uid(study))
        .unwrap()
        .status()
        .state
}

fn status(code: u16) -> ObjectResult {
    ObjectResult::Status(DimseStatus(code), Some("a comment".to_owned()))
}

fn no_association(permanent: bool) -> AssociationFailure {
    AssociationFailure {
        permanent,
        detail: "called AE title not recognized".to_owned(),
    }
}

/// One peer, and a measured study whose report is on its way to it.
fn reporting() -> World {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    assert_eq!(world.jobs.len(), 1);
    world
}

#[test]
fn a_study_closes_after_the_quiet_period_and_not_before() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.pass_all_but_a_second(QUIET);
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.pass_all_but_a_second(QUIET);
    assert_eq!(state(&world, 1), "receiving");
    world.pass(SECOND);
    assert_eq!(state(&world, 1), "closed");
}

#[test]
fn an_open_association_that_carried_it_holds_a_study_open_up_to_the_longest_time() {
    let mut world = World::new();
    world.event(Event::AssociationOpened(7));
    world.arrive(1, MEASURABLE, 0, 0, 7);
    world.pass(QUIET * 2);
    assert_eq!(state(&world, 1), "receiving");
    world.event(Event::AssociationClosed(7));
    world.pass_all_but_a_second(QUIET);
    assert_eq!(state(&world, 1), "receiving");
    world.pass(SECOND);
    assert_eq!(state(&world, 1), "closed");

    world.event(Event::AssociationOpened(8));
    world.arrive(2, MEASURABLE, 0, 0, 8);
    let longest = world.settings.max_open;
    world.pass_all_but_a_second(longest);
    assert_eq!(state(&world, 2), "receiving");
    world.pass(SECOND);
    assert_eq!(state(&world, 2), "closed");
}

#[test]
fn a_deadline_survives_the_nodes_death() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.pass_all_but_a_second(QUIET);
    world.restart(false);
    assert_eq!(state(&world, 1), "receiving");
    world.pass(SECOND);
    assert_eq!(state(&world, 1), "closed");
}

#[test]
fn a_clock_that_was_ahead_delays_nothing_once_it_is_set_right() {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let mut world = World::with_routes(vec![route("pacs-a")]);
    let right = world.now;
    world.now = right.plus(YEAR);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.now = right;
    world.restart(false);
    world.pass(QUIET);
    assert_eq!(state(&world, 1), "closed");

    let mut world = reporting();
    let right = world.now;
    world.now = right.plus(YEAR);
    world.peer_answers(&status(0xA700), None);
    world.now = right;
    world.restart(false);
    world.pass(world.settings.retry.max * 5 / 4);
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn the_operator_closes_a_study_and_is_told_where_that_makes_no_sense() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    assert_eq!(world.operate(&study_uid(1), Command::Close), Ok(()));
    assert_eq!(state(&world, 1), "closed");
    let again = world.operate(&study_uid(1), Command::Close);
    assert!(
        matches!(again, Err(crate::CommandError::NotNow(_))),
        "{again:?}"
    );
    let unknown = world.operate(&study_uid(9), Command::Close);
    assert_eq!(unknown, Err(crate::CommandError::NoSuchStudy(study_uid(9))));
}

/// A cart without a route sends first, then the same objects come from one that has a route.
#[test]
fn the_sender_of_a_duplicate_is_a_source_too() {
    let mut to_pacs = route("pacs-a");
    to_pacs.from = Some(vec!["routed".to_owned()]);
    to_pacs.send_images = true;
    for is_done in [false, true] {
        let mut world = World::with_routes(vec![to_pacs.clone()]);
        world.worker_ready();
        world.arrive(1, MEASURABLE, 0, 0, 0);
        world.arrive(1, MEASURABLE, 1, 0, 0);
        if is_done {
            world.come_to_rest();
            assert!(world.finished.contains_key(&study_uid(1)));
        }
        world.peer = "routed";
        world.arrive(1, MEASURABLE, 0, 0, 0);
        world.arrive(1, MEASURABLE, 1, 0, 0);
        world.come_to_rest();
        assert_eq!(world.accepted.len(), 1, "{is_done}");
        let study = &world.finished[&study_uid(1)];
        assert_eq!(study.status().from, ["cart", "routed"]);
        // The report and both images, once.
        assert_eq!(study.status().deliveries.sent, 3, "{is_done}");
        world.arrive(1, MEASURABLE, 0, 0, 0);
        world.come_to_rest();
        let study = &world.finished[&study_uid(1)];
        assert_eq!(
            (study.status().deliveries.sent, study.reports.len()),
            (3, 1)
        );
    }
}

#[test]
fn late_evidence_makes_a_new_revision_and_nothing_else_does() {
    let mut world = reporting();
    world.come_to_rest();
    for kind in [OTHER_VIEW, CAROTID, DOCUMENT, OWN, MEASURABLE] {
        // The measurable one is the known one again.
        world.arrive(1, kind, 0, 0, 1);
        world.come_to_rest();
        assert_eq!(world.finished[&study_uid(1)].reports.len(), 1, "{kind}");
    }
    world.arrive(1, MEASURABLE, 1, 0, 1);
    world.come_to_rest();
    let revisions: Vec<u32> = world
        .accepted
        .iter()
        .map(|(_, _, revision)| *revision)
        .collect();
    assert_eq!(revisions, [1, 2]);
}

#[test]
fn a_route_decides_what_is_said_about_an_unmeasured_study() {
    for (kind, setting, is_reported) in [
        (OTHER_VIEW, ReportUnmeasured::EchoOnly, true),
        (CAROTID, ReportUnmeasured::EchoOnly, false),
        (CAROTID, ReportUnmeasured::Always, true),
        (OTHER_VIEW, ReportUnmeasured::Never, false),
        (DOCUMENT, ReportUnmeasured::EchoOnly, false),
    ] {
        let mut to = route("pacs-a");
        to.report_unmeasured = setting;
        let mut world = World::with_routes(vec![to]);
        world.arrive(1, kind, 0, 0, 0);
        world.come_to_rest();
        assert_eq!(
            world.accepted.len(),
            usize::from(is_reported),
            "{kind} {setting:?}"
        );
        let status = world.finished[&study_uid(1)].status();
        assert_eq!(status.reason.is_none(), is_reported, "{kind} {setting:?}");
    }
}

#[test]
fn a_death_among_several_charges_nobody_and_the_suspects_run_alone() {
    let mut world = World::new();
    world.worker_ready();
    for n in 0..3 {
        world.arrive(1, if n == 1 { KILLER } else { MEASURABLE }, n, 0, 0);
    }
    assert_eq!(world.running.len(), 3);
    world.worker_dies();
    assert!(world.charges.is_empty());
    world.pass(Duration::from_mins(1));
    world.worker_ready();
    assert_eq!(world.running.len(), 1);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    assert_eq!(
        study.instances[&sop_uid(1, MEASURABLE, 0)].state,
        InstanceState::Analysed
    );
    assert_eq!(
        study.instances[&sop_uid(1, MEASURABLE, 2)].state,
        InstanceState::Analysed
    );
    assert_eq!(study.instances[&sop_uid(1, KILLER, 1)].attempts, 3);
    assert_eq!(world.accepted.len(), 2);
}

#[test]
fn killing_the_node_charges_nobody_however_often() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    for _ in 0..10 {
        world.worker_ready();
        assert_eq!(world.running.len(), 1);
        world.restart(false);
    }
    let study = world.engine.study(&study_uid(1)).unwrap();
    let instance = &study.instances[&sop_uid(1, MEASURABLE, 0)];
    assert_eq!((instance.attempts, instance.suspect), (0, true));
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 2);
}

#[test]
fn a_worker_that_hangs_is_killed_at_its_deadline_and_each_answer_renews_it() {
    let mut world = World::new();
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive(1, MEASURABLE, 1, 0, 0);
    let deadline = world.settings.worker.deadline;
    world.pass_all_but_a_second(deadline);
    world.worker_works(0);
    world.pass_all_but_a_second(deadline);
    assert_eq!(world.engine.health().counters.worker_overruns, 0);
    world.pass(SECOND);
    assert_eq!(world.engine.health().counters.worker_overruns, 1);
    assert!(world.running.is_empty());
}

#[test]
fn a_worker_of_another_version_is_not_used() {
    let mut world = World::new();
    let ready = Ready {
        version: "0.0.0".to_owned(),
        device: "cpu".to_owned(),
        models: Vec::new(),
        credits: 1,
    };
    world.event(Event::WorkerReady(1, ready));
    world.arrive(1, MEASURABLE, 0, 0, 0);
    assert!(world.running.is_empty());
    let WorkerState::Failed { reason } = world.engine.health().worker else {
        panic!("the worker is used");
    };
    assert!(
        reason.contains("0.0.0") && reason.contains("install both"),
        "{reason}"
    );
}

#[test]
fn without_a_usable_model_studies_are_kept_and_the_node_says_that_it_is_not_ready() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    let end = WorkerEnd {
        detail: "no usable model: set …".to_owned(),
        unusable: true,
    };
    world.worker_ends(end);
    world.pass(QUIET);
    let health = world.engine.health();
    assert!(!health.ready);
    assert_eq!(health.problems, ["no usable model: set …"]);
    assert_eq!(state(&world, 1), "closed");
}

#[test]
fn a_dead_peer_starves_nobody_and_is_called_less_and_less() {
    let mut world = World::new();
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    // pacs-a first, then pacs-b.
    assert_eq!(world.jobs.len(), 2);
    world.peer_answers(&success(), Some(no_association(true)));
    world.peer_answers(&success(), None);
    assert_eq!(world.accepted, [("pacs-b".to_owned(), study_uid(1), 1)]);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let next = world.engine.next_deadline().unwrap();
        waits.push(next.since(world.now));
        world.now = next;
        world.event(Event::Tick);
        world.peer_answers(&success(), Some(no_association(true)));
    }
    assert!(
        waits.is_sorted() || waits.last().unwrap() >= &Duration::from_hours(1),
        "{waits:?}"
    );
    assert!(waits.iter().all(|wait| *wait <= Duration::from_mins(75)));
    let health = world.engine.health();
    let peer = health
        .peers
        .iter()
        .find(|peer| peer.name == "pacs-a")
        .unwrap();
    assert!(peer.alarm && peer.due == 1, "{peer:?}");
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 2);
}

#[test]
fn a_refusal_that_may_pass_is_tried_a_few_times_over_an_hour_and_revived_by_the_operator() {
    let mut world = reporting();
    let began = world.now;
    for _ in 0..6 {
        world.peer_answers(&status(0xC123), None);
        if let Some(next) = world
            .engine
            .next_deadline()
            .filter(|_| world.jobs.is_empty())
        {
            world.now = world.now.max(next);
            world.event(Event::Tick);
        }
    }
    let took = world.now.since(began);
    assert!(
        took > Duration::from_mins(45) && took < Duration::from_mins(75),
        "{took:?}"
    );
    // It stays open: whatever becomes of the queue, the operator finds it.
    let study = world.engine.study(&study_uid(1)).unwrap();
    let delivery = &study.deliveries[0];
    assert_eq!(delivery.state, DeliveryState::Dead);
    assert_eq!(delivery.answers[0].times, 6);
    assert_eq!(delivery.answers[0].status, Some(DimseStatus(0xC123)));
    world.operate(&study_uid(1), Command::Retry).unwrap();
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 1);
}

#[test]
fn a_status_says_what_becomes_of_a_delivery() {
    for (code, state) in [
        (0x0000, DeliveryState::Sent),
        (0xB000, DeliveryState::Sent),
        (0x0122, DeliveryState::Dead),
        (0xA900, DeliveryState::Dead),
    ] {
        let mut world = reporting();
        world.peer_answers(&status(code), None);
        let finished = world.finished.get(&study_uid(1));
        assert_eq!(finished.is_none(), state == DeliveryState::Dead);
        let study = finished.or(world.engine.study(&study_uid(1))).unwrap();
        assert_eq!(study.deliveries[0].state, state, "{code:04X}");
    }
    let mut world = reporting();
    world.peer_answers(&status(0xA700), None);
    let study = world.engine.study(&study_uid(1)).unwrap();
    assert_eq!(study.deliveries[0].state, DeliveryState::Due);
}

#[test]
fn an_object_that_breaks_every_association_holds_up_nothing_else() {
    let mut world = reporting();
    let poison = study_uid(1);
    for study in [2, 3] {
        world.arrive(study, MEASURABLE, 0, 0, 0);
        world.worker_works(0);
    }
    world.pass(QUIET);
    for _ in 0..20 {
        if world.jobs.is_empty() {
            world.now = world.engine.next_deadline().unwrap().max(world.now);
            world.event(Event::Tick);
        }
        world.peer_aborts_over(|object| match object {
            crate::DeliveryObject::Report(key) => key.study == poison,
            crate::DeliveryObject::Image(_) | crate::DeliveryObject::Companion(_) => false,
        });
    }
    let accepted: Vec<_> = world
        .accepted
        .iter()
        .map(|(_, uid, _)| uid.clone())
        .collect();
    assert!(accepted.contains(&study_uid(2)) && accepted.contains(&study_uid(3)));
    let study = world.engine.study(&poison).unwrap();
    assert_eq!(study.deliveries[0].state, DeliveryState::Due);
    assert!(study.deliveries[0].broke > 1);
}

#[test]
fn all_that_is_due_to_a_peer_goes_in_one_job_images_first_and_not_back_to_their_sender() {
    let mut to = route("pacs-a");
    to.send_images = true;
    let mut back = route("cart");
    back.send_images = true;
    back.documents.clear();
    let mut world = World::with_routes(vec![to, back]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    // The first image is on its way; the others and the report gather meanwhile.
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.arrive(1, DOCUMENT, 2, 0, 0);
    world.worker_works(0);
    world.worker_works(0);
    world.pass(QUIET);
    assert_eq!(world.jobs.len(), 1);
    world.peer_answers(&success(), None);
    let objects = &world.jobs[0].objects;
    assert_eq!(objects.len(), 3);
    assert!(matches!(objects[2], crate::DeliveryObject::Report(_)));
    world.come_to_rest();
    assert_eq!(world.marked.len(), 4);
}

#[test]
fn an_image_that_cannot_be_read_here_goes_last_and_is_no_fault_of_its_peer() {
    let mut to = route("pacs-a");
    to.send_images = true;
    let mut world = World::with_routes(vec![to]);
    world.arrive(1, DOCUMENT, 0, 0, 0);
    let first = |world: &World| match &world.jobs[0].objects[0] {
        crate::DeliveryObject::Image(image) => image.sop_instance.clone(),
        other => panic!("{other:?}"),
    };
    let unreadable = sop_uid(1, DOCUMENT, 0);
    assert_eq!(first(&world), unreadable);
    world.arrive(1, DOCUMENT, 1, 0, 0);
    world.peer_answers(&ObjectResult::Failed("an I/O error".to_owned()), None);
    let peers = world.engine.health().peers;
    assert!(peers[0].last_error.is_none() && !peers[0].alarm);
    world.now = world.now.max(world.engine.next_deadline().unwrap());
    world.event(Event::Tick);
    assert_eq!(world.jobs[0].objects.len(), 2);
    assert_ne!(first(&world), unreadable);
}

#[test]
fn a_report_that_cannot_be_made_quarantines_its_study() {
    let mut world = reporting();
    for _ in 0..6 {
        world.peer_answers(&ObjectResult::Failed("no such clip".to_owned()), None);
        if let Some(next) = world.engine.next_deadline() {
            world.now = world.now.max(next);
            world.event(Event::Tick);
        }
    }
    assert_eq!(state(&world, 1), "quarantined");
    world.operate(&study_uid(1), Command::Retry).unwrap();
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 1);
}

#[test]
fn a_lost_queue_sends_no_second_report() {
    let mut world = reporting();
    world.peer_answers(&status(0xA700), None);
    world.restart(true);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    assert_eq!(study.report().unwrap().revision, 1);
    assert_eq!(world.reports.len(), 1);
}

/// Report 1 was never delivered and report 2 was, and the queue came back as it was before that: report 1 went out after
/// report 2, which doesn't name it, and the archive had two current reports.
#[test]
fn an_earlier_report_never_follows_a_later_one_whatever_the_queue_says() {
    let mut world = reporting();
    let nobody_takes_it = |world: &mut World| {
        world.peer_answers(&success(), Some(no_association(false)));
    };
    nobody_takes_it(&mut world);
    world.keep_queue();
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.worker_works(0);
    world.pass(QUIET);
    nobody_takes_it(&mut world);
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 1);
    world.restart_with(Queue::Stale);
    world.come_to_rest();
    let revisions: Vec<u32> = world
        .accepted
        .iter()
        .map(|(.., revision)| *revision)
        .collect();
    assert!(
        revisions.iter().all(|revision| *revision == 2),
        "{revisions:?}"
    );
    assert_eq!(world.finished[&study_uid(1)].report().unwrap().revision, 2);
}

#[test]
fn a_discarded_study_is_gone_and_what_still_runs_for_it_does_no_harm() {
    let mut world = reporting();
    world.arrive(2, MEASURABLE, 0, 0, 0);
    world.operate(&study_uid(1), Command::Discard).unwrap();
    world.operate(&study_uid(2), Command::Discard).unwrap();
    world.worker_works(0);
    world.peer_answers(&success(), None);
    assert!(world.engine.list().is_empty());
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn no_patient_stands_in_the_list() {
    let mut world = World::new();
    world.arrive_of(1, MEASURABLE, 0, 0, 0, "SECRET");
    let list = serde_json::to_string(&world.engine.list()).unwrap();
    assert!(!list.contains("SECRET"));
    let study = world.engine.study(&study_uid(1)).unwrap();
    let detail = serde_json::to_string(&world.engine.detail(study)).unwrap();
    assert!(detail.contains("SECRET"));
}

#[test]
fn what_could_not_be_decoded_is_shown_as_such() {
    let mut world = World::new();
    let id = sonode_conformance::charset::Charset::parse("").decode(b"A\xEB");
    world.arrive_of(1, MEASURABLE, 0, 0, 0, &id);
    let study = world.engine.study(&study_uid(1)).unwrap();
    assert_eq!(study.context.patient_id.expose(), id);
    let detail = world.engine.detail(study);
    assert_eq!(detail.patient_id.expose(), "A\u{FFFD}");
}
