//! Dead letters handled again: by an attempt of their own, over a generation that has been built.

use super::*;
use crate::{
    pipeline::{
        attempt::Ended,
        run,
        testing::{Does, Fake, History, World},
    },
    store::{OnError, RebuildOptions, RebuildRecord},
};

/// A generation that has set aside `a1 a2 b1 b2 b3`, and has only `c1`.
fn built(world: &World, history: &Arc<History>) -> RebuildRecord {
    let fails = Arc::new(Fake::new(|id, _| if id == "c1" { Does::Writes } else { Does::Fails }));
    let options = RebuildOptions { on_error: Some(OnError::Park), allow_parked: true, ..RebuildOptions::default() };
    let record = world.begin("orders", history, options);
    let ended = run(world.attempt(record.clone(), history, &fails));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!((world.now(&record).parked, world.rows(&record)), (5, "c1".to_owned()));
    world.store.claim("orders", record.generation).unwrap()
}

fn retry(
    world: &World,
    record: &RebuildRecord,
    history: &Arc<History>,
    plugin: &Arc<Fake>,
    only: Option<&str>,
) -> (Ended, Retry) {
    let origin = history.clone();
    let origin: Origin = Arc::new(move || Ok(origin.clone()));
    let letters = DeadLetters::new(&world.store, &Generation::of(record), only, origin).unwrap();
    let retry = Retry::default();
    let mut attempt = world.attempt(record.clone(), history, plugin);
    (attempt.source, attempt.retry) = (Arc::new(letters), Some(retry.clone()));
    (attempt.completes, attempt.tally) = (false, None);
    (run(attempt), retry)
}

fn positions(world: &World, record: &RebuildRecord) -> Vec<u64> {
    world.parked(record).iter().map(|event| event.position.minor).collect()
}

#[test]
fn a_stream_ends_at_its_first_failure_and_what_is_handled_is_taken_off() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 a2 b2 c1 b3")));
    let record = built(&world, &history);
    let plugin = Arc::new(Fake::new(|id, _| if id == "b2" { Does::Fails } else { Does::Writes }));
    let (ended, retry) = retry(&world, &record, &history, &plugin, None);
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!(plugin.calls(), ["a1 b1 a2 b2 b3"]);
    assert_eq!((positions(&world, &record), world.rows(&record)), (vec![4, 6], "a1 a2 b1 c1".to_owned()));
    let failures: Vec<_> = retry.failures().into_iter().map(|failure| failure.event_id).collect();
    assert_eq!(failures, [Some("b2".to_owned())]);
    // What was built stays what it is.
    let now = world.now(&record);
    assert_eq!((now.status(), now.parked), (record.status(), 2));
    assert_eq!(now.checkpoint.position, record.checkpoint.position);
    // The event that failed says why, as of now.
    let parked = world.parked(&record);
    assert!(parked[0].failure.is_some() && parked[1].failure.is_none(), "{parked:?}");
}

#[test]
fn only_the_stream_that_is_asked_for_is_handled() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 a2 b2 c1 b3")));
    let record = built(&world, &history);
    let plugin = Arc::new(Fake::new(|_, _| Does::Writes));
    let (ended, retry) = retry(&world, &record, &history, &plugin, Some("b"));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
    assert_eq!((plugin.calls(), retry.failures()), (vec!["b1 b2 b3".to_owned()], Vec::new()));
    assert_eq!((positions(&world, &record), world.rows(&record)), (vec![1, 3], "b1 b2 b3 c1".to_owned()));
}

/// What its call has not returned stays set aside, with no row of it.
#[test]
fn a_commit_that_is_refused_takes_nothing_off() {
    let (world, history) = (World::new(), Arc::new(History::of("a1 b1 a2 b2 c1 b3")));
    let record = built(&world, &history);
    // Another attempt claims it meanwhile.
    world.store.claim("orders", record.generation).unwrap();
    let plugin = Arc::new(Fake::new(|_, _| Does::Writes));
    let (ended, _) = retry(&world, &record, &history, &plugin, None);
    assert!(matches!(ended, Ended::Lost(_)), "{ended:?}");
    assert_eq!((positions(&world, &record), world.rows(&record)), (vec![1, 3, 2, 4, 6], "c1".to_owned()));
}
