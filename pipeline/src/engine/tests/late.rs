//! Mixed patients, corrected headers, rejection notes.

use std::time::Duration;

use super::super::*;
use super::world::{World, route, sop_uid, study_uid, success};
use crate::header::RejectionNote;
use crate::ports::DeliveryObject;

const MEASURABLE: usize = 0;
const DOCUMENT: usize = 4;
const QUIET: Duration = Duration::from_mins(5);

fn state(world: &World) -> (String, Option<String>) {
    let status = world.engine.study(&study_uid(1)).unwrap().status();
    (status.state, status.reason)
}

#[test]
fn two_patients_in_one_study_are_held_until_the_operator_releases_them() {
    for lose_queue in [None, Some(false), Some(true)] {
        let mut world = World::new();
        world.worker_ready();
        world.arrive_of(1, MEASURABLE, 0, 0, 0, "A");
        world.arrive_of(1, MEASURABLE, 1, 0, 0, "B");
        if let Some(lose_queue) = lose_queue {
            world.restart(lose_queue);
            world.worker_ready();
        }
        while !world.running.is_empty() {
            world.worker_works(0);
        }
        world.pass(QUIET * 2);
        let (state, reason) = state(&world);
        assert_eq!(state, "held", "{lose_queue:?}");
        assert!(reason.unwrap().contains("different Patient IDs"));
        assert!(world.jobs.is_empty());
        world.operate(&study_uid(1), Command::Close).unwrap();
        world.come_to_rest();
        assert_eq!(world.accepted.len(), 2);
    }
}

#[test]
fn a_clip_that_is_sent_again_with_a_corrected_header_makes_a_revision() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.name = "WRONG".to_owned();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.come_to_rest();
    world.name = "RIGHT".to_owned();
    world.arrive(1, MEASURABLE, 0, 1, 1);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    let revisions: Vec<u32> = study.reports.iter().map(|r| r.revision).collect();
    assert_eq!(revisions, [1, 2]);
    assert_eq!(study.context.patient_name.expose(), "RIGHT");
    let versions = &study.instances[&sop_uid(1, MEASURABLE, 0)].versions;
    assert_eq!(versions.len(), 2);
    let sent: Vec<u32> = world
        .accepted
        .iter()
        .map(|(_, _, revision)| *revision)
        .collect();
    assert_eq!(sent, [1, 2]);
    // Once more the same, and nothing changes.
    world.arrive(1, MEASURABLE, 0, 1, 2);
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 2);
}

#[test]
fn a_clip_that_comes_again_while_it_is_analysed_has_its_turn() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    assert_eq!(world.running.len(), 1);
    world.arrive(1, MEASURABLE, 0, 1, 0);
    assert_eq!(world.running.len(), 1);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    let instance = &study.instances[&sop_uid(1, MEASURABLE, 0)];
    assert_eq!((instance.current, study.reports.len()), (1, 1));
    let digest = instance.versions[1].stored.digest;
    assert_eq!(study.reports[0].members[0].digest, digest);
}

#[test]
fn the_version_that_counts_is_found_again_without_the_queue() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.name = "WRONG".to_owned();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.name = "RIGHT".to_owned();
    world.arrive(1, MEASURABLE, 0, 1, 0);
    world.restart(true);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    assert_eq!(study.instances[&sop_uid(1, MEASURABLE, 0)].current, 1);
    assert_eq!(study.context.patient_name.expose(), "RIGHT");
}

#[test]
fn what_a_receiver_of_the_images_sends_back_corrects_nothing() {
    let mut to = route("pacs-a");
    to.send_images = true;
    let mut world = World::with_routes(vec![to]);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.come_to_rest();
    world.peer = "pacs-a";
    world.arrive(1, MEASURABLE, 0, 1, 1);
    world.come_to_rest();
    let study = &world.finished[&study_uid(1)];
    assert_eq!((study.reports.len(), world.accepted.len()), (1, 1));
}

#[test]
fn a_uid_is_sent_with_one_content_although_a_correction_came() {
    let mut to = route("pacs-a");
    to.send_images = true;
    let mut world = World::with_routes(vec![to]);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    let digest_of = |world: &World| match &world.jobs[0].objects[0] {
        DeliveryObject::Image(stored) => stored.digest,
        _ => panic!("no image"),
    };
    let first = digest_of(&world);
    world.peer_answers(&crate::ports::ObjectResult::Broke("cut".to_owned()), None);
    world.arrive(1, MEASURABLE, 0, 1, 0);
    world.pass(Duration::from_mins(1));
    assert_eq!(digest_of(&world), first);
    world.peer_answers(&success(), None);
    world.come_to_rest();
}

#[test]
fn a_rejection_note_stops_everything_with_an_alarm() {
    for lose_queue in [None, Some(true)] {
        let mut to = route("pacs-a");
        to.send_images = true;
        let mut world = World::with_routes(vec![to]);
        world.worker_ready();
        world.arrive(1, MEASURABLE, 0, 0, 0);
        // The image is on its way, and comes back undone.
        world.peer_answers(&crate::ports::ObjectResult::Broke("cut".to_owned()), None);
        world.rejection = Some(RejectionNote {
            title: "Rejected for Quality Reasons (113001)",
            instances: 1,
        });
        world.arrive(1, DOCUMENT, 0, 0, 0);
        if let Some(lose_queue) = lose_queue {
            world.restart(lose_queue);
            world.worker_ready();
        }
        while !world.running.is_empty() {
            world.worker_works(0);
        }
        world.pass(QUIET * 3);
        assert!(world.jobs.is_empty(), "nothing more is sent");
        let (state, reason) = state(&world);
        assert_eq!(state, "held");
        assert!(reason.unwrap().contains("113001"));
        let alarms = world.engine.health().alarms;
        assert!(
            alarms[0].contains("113001") && alarms[0].contains("1.2.1"),
            "{alarms:?}"
        );
        world.rejection = None;
        world.operate(&study_uid(1), Command::Close).unwrap();
        world.come_to_rest();
        assert_eq!(world.accepted.len(), 1);
        assert!(world.engine.health().alarms.is_empty());
    }
}

#[test]
fn a_rejection_note_for_a_study_that_is_done_brings_it_back_and_holds_it() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.come_to_rest();
    world.rejection = Some(RejectionNote {
        title: "Data Retention Policy Expired (113039)",
        instances: 1,
    });
    world.arrive(1, DOCUMENT, 0, 0, 1);
    assert_eq!(state(&world).0, "held");
    assert!(world.finished.is_empty());
}
