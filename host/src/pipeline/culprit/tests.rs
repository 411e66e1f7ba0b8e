//! Calls that fail as a whole: which event it was, and what of the others is durable.

use crate::{
    pipeline::{
        attempt::Ended,
        run,
        stop::Stop,
        testing::{Does, Fake, History, World},
    },
    store::{OnError, RebuildOptions},
    vocabulary::{FailureKind, Position, Status},
};
use std::sync::Arc;

#[test]
fn the_event_behind_a_trap_is_found_and_what_stands_before_it_is_durable() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 c1 d1")));
    let plugin = Arc::new(Fake::new(|id, _| if id == "c1" { Does::Traps } else { Does::Writes }));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    let Ended::Failed(failure) = ended else { panic!("{ended:?}") };
    assert_eq!((failure.kind, failure.event_id.as_deref()), (FailureKind::Trap, Some("c1")));
    assert_eq!(plugin.calls(), ["a1 b1 c1 d1", "a1", "b1", "c1"]);
    let now = world.now(&record);
    assert_eq!((now.status(), now.checkpoint.position), (Status::Failed, Position::number(2)));
    assert_eq!(world.rows(&record), "a1 b1");
}

#[test]
fn the_only_event_of_a_call_is_not_tried_twice() {
    let (world, history) = (World::new(), Arc::new(History::of("a1")));
    let plugin = Arc::new(Fake::new(|_, _| Does::Traps));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record, &history, &plugin));
    assert!(matches!(&ended, Ended::Failed(failure) if failure.event_id.as_deref() == Some("a1")), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1"]);
}

#[test]
fn behind_a_parked_culprit_the_rest_is_handled_in_one_call() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 a2 c1")));
    let plugin = Arc::new(Fake::new(|id, _| if id == "b1" { Does::Traps } else { Does::Writes }));
    let options = RebuildOptions { on_error: Some(OnError::Park), ..RebuildOptions::default() };
    let record = world.begin("orders", &history, options);
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 b1 a2 c1", "a1", "b1", "a2 c1"]);
    assert_eq!((world.now(&record).parked, world.rows(&record)), (1, "a1 a2 c1".to_owned()));
}

/// Nobody is to blame where each event succeeds alone; and what was too much is not tried again.
#[test]
fn what_is_too_much_for_one_call_is_handled_in_smaller_ones() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 a2 a3 a4 a5 a6 a7 a8")));
    let plugin = Arc::new(Fake::new(|_, events| if events > 2 { Does::Traps } else { Does::Writes }));
    let options = RebuildOptions { chunk_size: Some(4), ..RebuildOptions::default() };
    let record = world.begin("orders", &history, options);
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 a2 a3 a4", "a1", "a2", "a3", "a4", "a5 a6", "a7 a8"]);
    assert_eq!(world.rows(&record), "a1 a2 a3 a4 a5 a6 a7 a8");
}

#[test]
fn a_stop_ends_the_search_behind_what_was_handled() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 c1")));
    let stop = Stop::default();
    let raise = stop.clone();
    let plugin = Fake::new(move |_, events| {
        if events > 1 {
            return Does::Traps;
        }
        raise.pause();
        Does::Writes
    });
    let plugin = Arc::new(Fake { stop, ..plugin });
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Stopped(Status::Paused)), "{ended:?}");
    let now = world.now(&record);
    assert_eq!((now.status(), now.checkpoint.position), (Status::Paused, Position::number(1)));
    assert_eq!(world.rows(&record), "a1");
}
