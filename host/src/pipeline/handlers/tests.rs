//! Attempts with a plugin that behaves as scripted: what is handled, tried again, set aside, and durable in the end.

use crate::{
    limits,
    pipeline::{
        Observed,
        attempt::{Attempt, Ended},
        run,
        testing::{Does, Fake, History, World},
    },
    store::{OnError, RebuildOptions},
    vocabulary::{EventFailure, FailureKind, Position, Status},
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
    mpsc,
};

fn failed(ended: Ended) -> EventFailure {
    match ended {
        Ended::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_handled_is_durable_with_the_status_that_follows() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 a2")));
    let plugin = Arc::new(Fake::new(|_, _| Does::Writes));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    let now = world.now(&record);
    assert_eq!((now.status(), now.checkpoint.position), (Status::Completed, Position::number(3)));
    assert_eq!((now.checkpoint.events_processed, now.checkpoint.last_event_id.as_deref()), (3, Some("a2")));
    assert_eq!(world.rows(&record), "a1 a2 b1");
}

/// The next try begins with the event that failed, and what comes after a success is tried as often again.
#[test]
fn after_a_transient_failure_the_rest_is_tried_again() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 a2 b1")));
    let tries = AtomicU32::new(0);
    let plugin = Arc::new(Fake::new(move |id, _| match id {
        // Each of the two as often as it may.
        "a2" | "b1" if tries.fetch_add(1, Ordering::SeqCst) % limits::TRANSIENT_TRIES < limits::TRANSIENT_TRIES - 1 => {
            Does::FailsForNow
        }
        _ => Does::Writes,
    }));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    let expected = ["a1 a2 b1", "a2 b1", "a2 b1", "a2 b1", "a2 b1", "b1", "b1", "b1", "b1"];
    assert_eq!(plugin.calls(), expected);
    assert_eq!(world.now(&record).retries, 8);
    assert_eq!(world.rows(&record), "a1 a2 b1");
}

#[test]
fn a_failure_that_stays_transient_is_given_up() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 a2")));
    let plugin = Arc::new(Fake::new(|id, _| if id == "a2" { Does::FailsForNow } else { Does::Writes }));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let failure = failed(run(world.attempt(record.clone(), &history, &plugin)));
    assert_eq!(failure.tries.map(u32::from), Some(limits::TRANSIENT_TRIES));
    assert_eq!(failure.event_id.as_deref(), Some("a2"));
    assert_eq!(plugin.calls().len(), limits::TRANSIENT_TRIES as usize);
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Failed, "a1".to_owned()));
}

#[test]
fn a_stop_ends_the_pause_between_two_tries() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 a2")));
    let stop = crate::pipeline::Stop::default();
    let raise = stop.clone();
    let plugin = Fake::new(move |id, _| match id {
        "a2" => {
            raise.cancel();
            Does::FailsForNow
        }
        _ => Does::Writes,
    });
    let plugin = Arc::new(Fake { stop, ..plugin });
    let record = world.begin("orders", &history, RebuildOptions::default());
    let mut attempt = world.attempt(record.clone(), &history, &plugin);
    attempt.backoff = |_| std::time::Duration::from_secs(3600);
    let ended = run(attempt);
    assert!(matches!(ended, Ended::Stopped(Status::Cancelled)), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 a2"]);
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Cancelled, "a1".to_owned()));
}

#[test]
fn a_permanent_failure_stops_behind_everything_before_it() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 c1 d1 e1")));
    let plugin = Arc::new(Fake::new(|id, _| if id == "d1" { Does::Fails } else { Does::Writes }));
    let options = RebuildOptions { chunk_size: Some(2), ..RebuildOptions::default() };
    let record = world.begin("orders", &history, options);
    let failure = failed(run(world.attempt(record.clone(), &history, &plugin)));
    assert_eq!((failure.kind, failure.tries), (FailureKind::Handler, None));
    assert_eq!((failure.event_id.as_deref(), failure.position), (Some("d1"), Some(Position::number(4))));
    assert_eq!(plugin.calls(), ["a1 b1", "c1 d1"]);
    let now = world.now(&record);
    assert_eq!((now.status(), now.checkpoint.position), (Status::Failed, Position::number(3)));
    assert_eq!(now.checkpoint.error, Some(failure));
    assert_eq!(world.rows(&record), "a1 b1 c1");
}

#[test]
fn a_parked_event_holds_its_stream_and_no_other() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 b2 a2 b3 c1")));
    let plugin = Arc::new(Fake::new(|id, _| if id == "b1" { Does::Fails } else { Does::Writes }));
    let options = RebuildOptions { chunk_size: Some(3), on_error: Some(OnError::Park), ..RebuildOptions::default() };
    let record = world.begin("orders", &history, options);
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 b1 b2", "a2 c1"]);
    let parked = world.parked(&record);
    let parked: Vec<_> =
        parked.iter().map(|event| (event.position.minor, event.failure.as_ref().map(|why| why.kind))).collect();
    assert_eq!(parked, [(2, Some(FailureKind::Handler)), (3, None), (5, None)]);
    let now = world.now(&record);
    assert_eq!((now.parked, now.checkpoint.events_processed, now.checkpoint.position), (3, 3, Position::number(6)));
    assert_eq!(world.rows(&record), "a1 a2 c1");
}

/// Only the event that touches the observed row has a call of its own; the rest is handled as it comes.
#[test]
fn an_event_that_changes_the_observed_row_is_told_by_itself() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 c1 d1 e1 f1 g1 h1")));
    let plugin = Arc::new(Fake::new(|_, _| Does::Writes));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let (told, events) = mpsc::channel();
    let observed = Some(Observed::new((0, Bytes::from("d1")), told));
    let ended = run(Attempt { observed, ..world.attempt(record.clone(), &history, &plugin) });
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 b1 c1 d1 e1 f1 g1 h1", "a1 b1 c1 d1", "a1 b1", "c1 d1", "c1", "d1", "e1 f1 g1 h1"]);
    let events: Vec<_> = events.try_iter().map(|event| (event.id, event.position, event.before, event.after)).collect();
    assert_eq!(events, [("d1".to_owned(), Position::number(4), None, Some(Bytes::from_static(b"\xc0")))]);
    assert_eq!(world.now(&record).checkpoint.events_processed, 8);
    assert_eq!(world.rows(&record), "a1 b1 c1 d1 e1 f1 g1 h1");
}

#[test]
fn what_nobody_wants_to_be_told_any_more_ends() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 c1 d1")));
    let plugin = Arc::new(Fake::new(|_, _| Does::Writes));
    let record = world.begin("orders", &history, RebuildOptions::default());
    let (told, events) = mpsc::channel();
    drop(events);
    let observed = Some(Observed::new((0, Bytes::from("b1")), told));
    let ended = run(Attempt { observed, ..world.attempt(record.clone(), &history, &plugin) });
    assert!(matches!(ended, Ended::Stopped(Status::Cancelled)), "{ended:?}");
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Cancelled, "a1 b1".to_owned()));
}
