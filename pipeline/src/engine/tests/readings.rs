//! Second readings that come after their answer.

use std::time::Duration;

use super::super::*;
use super::world::{World, route, study_uid, success};

const MEASURABLE: usize = 0;
const QUIET: Duration = Duration::from_mins(5);

/// A study that was reported and is done, with a reading still to come.
fn reported() -> World {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_answers(0, true);
    world.pass(QUIET);
    world.peer_answers(&success(), None);
    assert_eq!(revisions(&world), [1]);
    assert!(world.finished.contains_key(&study_uid(1)));
    world
}

fn revisions(world: &World) -> Vec<u32> {
    world.accepted.iter().map(|(_, _, n)| *n).collect()
}

#[test]
fn a_late_reading_makes_one_revision() {
    let mut world = reported();
    world.worker_reads();
    world.come_to_rest();
    assert_eq!(revisions(&world), [1, 2]);
    let study = &world.finished[&study_uid(1)];
    assert_eq!(study.reports[1].evidence.read.len(), 1);
}

#[test]
fn readings_of_one_study_share_a_revision() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    for n in 0..3 {
        world.arrive(1, MEASURABLE, n, 0, 0);
        world.worker_answers(0, true);
    }
    // One while it still receives: the first report has it.
    world.worker_reads();
    world.pass(QUIET);
    world.peer_answers(&success(), None);
    world.worker_reads();
    world.worker_reads();
    world.come_to_rest();
    assert_eq!(revisions(&world), [1, 2]);
    let study = &world.finished[&study_uid(1)];
    let read: Vec<usize> = study
        .reports
        .iter()
        .map(|r| r.evidence.read.len())
        .collect();
    assert_eq!(read, [1, 3]);
}

#[test]
fn a_worker_that_ends_takes_its_readings_along() {
    let mut world = reported();
    world.worker_dies();
    world.worker_reads();
    world.come_to_rest();
    assert_eq!(revisions(&world), [1]);
}

#[test]
fn a_reading_of_bytes_that_were_replaced_is_dropped() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.worker_answers(0, true);
    let key = |world: &World| {
        world
            .findings
            .values()
            .filter(|f| f.second_reading.is_some())
            .count()
    };
    assert!(world.engine.study_read(1, 1).is_some());
    world.operate(&study_uid(1), Command::Discard).unwrap();
    assert!(world.engine.study_read(1, 1).is_none());
    world.worker_reads();
    assert_eq!(key(&world), 0);
}

/// What a reading's worker dies of may be the reading: the analysis beside it is not charged.
#[test]
fn an_analysis_beside_a_reading_is_not_charged_with_its_death() {
    let mut world = reported();
    world.arrive(2, MEASURABLE, 0, 0, 0);
    world.worker_dies();
    let study = world.engine.study(&study_uid(2)).unwrap();
    assert!(
        study
            .instances
            .values()
            .all(|instance| instance.attempts == 0)
    );
    world.come_to_rest();
    assert_eq!(world.accepted.len(), 2);
}
