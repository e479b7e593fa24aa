//! What becomes of objects without a readable Study Instance UID.

use std::time::Duration;

use super::super::*;
use super::world::{World, route, sop_uid, study_uid};

const MEASURABLE: usize = 0;
/// Nor can the worker read its study.
const NAMELESS: usize = 1;
const KILLER: usize = 3;

const QUIET: Duration = Duration::from_mins(5);

/// Why the one object that lies there stays.
fn reason(world: &World) -> Option<String> {
    let list = world.engine.unsorted();
    assert_eq!(list.len(), 1);
    list[0].reason.clone()
}

#[test]
fn an_object_that_the_worker_can_name_is_an_ordinary_arrival() {
    let mut world = World::with_routes(vec![route("pacs-a")]);
    world.event(Event::AssociationOpened(7));
    world.arrive_unsorted(1, MEASURABLE, 0, 7);
    assert_eq!(reason(&world), None);
    assert_eq!(world.engine.health().queue.instances_unsorted, 1);
    world.worker_ready();
    world.worker_works(0);
    assert!(world.engine.unsorted().is_empty() && world.unsorted.is_empty());
    let study = world.engine.study(&study_uid(1)).unwrap();
    assert!(study.instances.contains_key(&sop_uid(1, MEASURABLE, 0)));
    assert!(study.from.contains("cart"));
    // The association that carried it holds its study open.
    world.worker_works(0);
    world.pass(QUIET);
    assert!(world.jobs.is_empty());
    world.event(Event::AssociationClosed(7));
    world.pass(QUIET);
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn what_the_worker_cannot_name_stays_with_the_reason() {
    let mut world = World::new();
    world.worker_ready();
    world.arrive_unsorted(1, NAMELESS, 0, 0);
    world.worker_works(0);
    assert!(reason(&world).is_some_and(|why| why.contains("(0020,000D)")));
    assert!(world.engine.list().is_empty());
    // The same bytes again are no second object, and asking again would tell nothing new.
    world.arrive_unsorted(1, NAMELESS, 0, 0);
    assert!(reason(&world).is_some() && world.running.is_empty());
}

#[test]
fn the_data_set_of_another_instance_is_not_filed() {
    let mut world = World::new();
    world.worker_ready();
    world.arrive_unsorted(1, MEASURABLE, 0, 0);
    let answer = Analyzed {
        id: world.running[0].0,
        findings: InstanceFindings::empty(sop_uid(1, MEASURABLE, 9)),
        reading_may_follow: false,
        context: Some(StudyContext::unknown(study_uid(1))),
    };
    world.event(Event::Analyzed(1, Box::new(answer)));
    assert!(reason(&world).is_some_and(|why| why.contains("(0008,0018)")));
}

#[test]
fn an_object_that_kills_every_worker_stays_and_charges_nobody_else() {
    let mut world = World::new();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive_unsorted(2, KILLER, 0, 0);
    world.come_to_rest();
    assert!(reason(&world).is_some_and(|why| why.contains("3 attempts")));
    assert_eq!(world.engine.health().counters.worker_deaths, 3);
    assert!(world.charges.is_empty());
    let study = &world.finished[&study_uid(1)];
    assert_eq!(study.status().analysed, 1);
}

#[test]
fn it_waits_for_what_runs_and_runs_alone() {
    let mut world = World::new();
    world.worker_ready();
    world.arrive(1, MEASURABLE, 0, 0, 0);
    world.arrive(1, MEASURABLE, 1, 0, 0);
    world.arrive_unsorted(1, MEASURABLE, 2, 0);
    world.arrive(1, MEASURABLE, 3, 0, 0);
    assert_eq!(world.running.len(), 2);
    world.worker_works(0);
    world.worker_works(0);
    assert!(world.running.len() == 1 && world.running[0].1.study.is_none());
    world.worker_works(0);
    assert_eq!(world.running.len(), 2);
}

/// The node dies after each action of the way from `unsorted/` to the report.
#[test]
fn a_node_that_dies_on_the_way_loses_nothing_and_asks_again() {
    for actions in 0..12 {
        let mut world = World::with_routes(vec![route("pacs-a")]);
        world.arrive_unsorted(1, MEASURABLE, 0, 0);
        world.fuse = Some(actions);
        world.come_to_rest();
        world.fuse = None;
        world.come_to_rest();
        assert!(world.unsorted.is_empty(), "{actions}");
        assert_eq!(world.files.len(), 1, "{actions}");
        assert_eq!(world.finished[&study_uid(1)].status().analysed, 1);
        assert_eq!(world.accepted.len(), 1, "{actions}");
    }
}

#[test]
fn a_disk_that_refuses_leaves_it_where_it_is() {
    let mut world = World::new();
    world.arrive_unsorted(1, MEASURABLE, 0, 0);
    let mut engine = Engine::new(world.settings.clone());
    let instance = world.unsorted.values().next().unwrap().clone();
    let arrival = UnsortedArrival {
        instance,
        received: world.now,
        peer: None,
        association: 0,
    };
    engine.handle(
        Event::NotFiled(Box::new(arrival), "disk full".to_owned()),
        world.now,
    );
    let list = engine.unsorted();
    assert!(list[0].reason.as_ref().unwrap().contains("disk full"));
}
