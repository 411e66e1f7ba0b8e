//! Panics: each ends the attempt by name, and nothing waits for a thread that is gone.

use crate::{
    pipeline::{
        InstancePool,
        attempt::Ended,
        run,
        testing::{Does, Fake, History, World},
    },
    store::RebuildOptions,
    vocabulary::{FailureKind, Partitioning, Status},
};
use std::sync::{Arc, atomic::Ordering};

fn one_by_one() -> RebuildOptions {
    RebuildOptions { chunk_size: Some(1), ..RebuildOptions::default() }
}

fn fine() -> Arc<Fake> {
    Arc::new(Fake::new(|_, _| Does::Writes))
}

/// The message of a lost attempt.
fn lost(ended: &Ended) -> (FailureKind, &str) {
    match ended {
        Ended::Lost(failure) => (failure.kind, &failure.message),
        other => panic!("{other:?}"),
    }
}

/// The reader is ended with it, although it waits for room; the permit of the pool is free again.
#[test]
fn a_panic_of_the_thread_that_handles_ends_the_attempt() {
    let world = World::new();
    // Four times what is read ahead.
    let history = History { payload: 1 << 20, ..History::of(&vec!["a1"; 32].join(" ")) };
    let history = Arc::new(history);
    let plugin = Arc::new(Fake::new(|_, _| panic!("the handler is broken")));
    let record = world.begin("orders", &history, one_by_one());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    let (kind, message) = lost(&ended);
    assert_eq!(kind, FailureKind::Other);
    assert!(message.contains("the thread that handles events has panicked: the handler is broken"), "{message}");
    assert_eq!((Arc::strong_count(&history), Arc::strong_count(&plugin)), (1, 1), "a thread of it is still there");
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Running, String::new()));
    // Another attempt finds everything as it should be.
    let (history, record) = (Arc::new(History::of("a1")), world.begin("stock", &History::of("a1"), one_by_one()));
    let ended = run(world.attempt(record, &history, &fine()));
    assert!(matches!(ended, Ended::Completed), "{ended:?}");
}

/// It is no failure of the part that it has in hand: the attempt ends, and does not complete first.
#[test]
fn a_panic_of_a_further_instance_ends_the_attempt() {
    let world = World { pool: InstancePool::new(2, 2), ..World::new() };
    let history = Arc::new(History::of("a1 b1"));
    let plugin = Fake::new(|_, _| match std::thread::current().name() {
        Some("instance 1") => panic!("the instance is broken"),
        _ => Does::Writes,
    });
    let plugin = Arc::new(Fake { partitioning: Partitioning::Stream, ..plugin });
    let record = world.begin("orders", &history, RebuildOptions::default());
    let ended = run(world.attempt(record.clone(), &history, &plugin));
    let (kind, message) = lost(&ended);
    assert_eq!(kind, FailureKind::Other);
    assert!(message.contains("the instance is broken"), "{message}");
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Running, String::new()));
}

/// What was read before it counts.
#[test]
fn a_panic_of_the_thread_that_reads_ends_the_attempt() {
    let world = World::new();
    let history = Arc::new(History { panics_at: Some("a3"), ..History::of("a1 a2 a3 a4") });
    let record = world.begin("orders", &history, one_by_one());
    let ended = run(world.attempt(record.clone(), &history, &fine()));
    let Ended::Failed(failure) = &ended else { panic!("{ended:?}") };
    assert_eq!(failure.kind, FailureKind::Source);
    assert!(failure.message.contains("the thread that reads the source has panicked"), "{failure}");
    assert!(failure.message.contains("the source is broken"), "{failure}");
    assert_eq!((world.now(&record).status(), world.rows(&record)), (Status::Failed, "a1".to_owned()));
}

#[test]
fn a_panic_of_the_thread_that_commits_ends_every_attempt() {
    let world = World::new();
    let history = Arc::new(History::of("a1 a2"));
    let [record, later] = ["orders", "stock"].map(|name| world.begin(name, &history, one_by_one()));
    world.disk.panics.store(true, Ordering::SeqCst);
    let ended = run(world.attempt(record, &history, &fine()));
    // The first, whose commit it was; and those that come after it, whatever the disk does.
    world.disk.panics.store(false, Ordering::SeqCst);
    let plugin = fine();
    for ended in [ended, run(world.attempt(later, &history, &plugin))] {
        let (kind, message) = lost(&ended);
        assert_eq!(kind, FailureKind::Store);
        assert!(message.contains("the thread that commits has panicked: the disk is broken"), "{message}");
        assert!(message.contains("until the host is started again"), "{message}");
    }
    assert_eq!(plugin.calls(), [""; 0], "nothing is handled that cannot be committed");
}
