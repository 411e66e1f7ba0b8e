//! Which work is committed together, and what becomes of the rest where the store refuses some of it.

use super::*;
use crate::{
    pipeline::{
        Stop,
        commit_queue::Parts,
        testing::{History, World},
    },
    store::{RebuildOptions, RebuildRecord},
    vocabulary::Position,
};
use bytes::Bytes;

const ROW: &str = "row";

/// The work of `record` on its way: `bytes` in one row, and the end.
fn ending(world: &World, record: &RebuildRecord, bytes: usize) -> Arc<CommitQueue> {
    let commit_queue = CommitQueue::new(Parts {
        record,
        plugin_digest: "digest",
        retries: false,
        follows: false,
        store: &world.store,
        stop: &Stop::default(),
        recent: None,
        published: &Arc::new(crate::pipeline::Published::new(record)),
    });
    // MessagePack: bytes, and how many.
    let document = [&[0xc6][..], &(bytes as u32).to_be_bytes(), &vec![0; bytes]].concat();
    let write = RowWrite { table: 0, key: Bytes::from(ROW), document: Some(Bytes::from(document)) };
    commit_queue.overlay().apply(vec![write], Vec::new(), Reached::after(Position::number(1), 1), Duration::ZERO);
    commit_queue.end_with(Status::Completed, None, 0);
    Arc::new(commit_queue)
}

fn begin(world: &World, name: &str) -> RebuildRecord {
    world.begin(name, &History::of("a1"), RebuildOptions::default())
}

/// What the committer does next for `queues`.
fn next(queues: &[&Arc<CommitQueue>]) -> Vec<Arc<CommitQueue>> {
    let all = queues.iter().map(|queue| Arc::clone(queue)).collect();
    let shared =
        Shared { queues: Mutex::new(Members { all, gone: None }), ready: Condvar::new(), done: Condvar::new() };
    match wait_for_work(&shared, &AtomicBool::new(false), Priority::Normal) {
        Some(Task::Commit(queues)) => queues,
        _ => Vec::new(),
    }
}

fn commit(world: &World, queues: &[Arc<CommitQueue>]) {
    let work: Vec<_> = queues.iter().filter_map(Work::take).collect();
    commit_all(&world.store, &work, Instant::now());
}

fn is_durable(world: &World, record: &RebuildRecord) -> bool {
    world.now(record).status() == Status::Completed && world.rows(record) == ROW
}

#[test]
fn what_is_due_and_little_is_committed_together() {
    let world = World::new();
    let records = ["orders", "stock", "users"].map(|name| begin(&world, name));
    let [first, second, large] = [&records[0], &records[1], &records[2]].map(|record| {
        ending(
            &world,
            record,
            if record.checkpoint.projection_name == "users" { limits::COMMIT_LITTLE_BYTES } else { 10 },
        )
    });
    let together = next(&[&first, &second, &large]);
    assert_eq!(together.len(), 2);
    assert!(together.iter().all(|queue| !Arc::ptr_eq(queue, &large)));
    let before = world.disk.syncs.load(Ordering::SeqCst);
    commit(&world, &together);
    let of_two = world.disk.syncs.load(Ordering::SeqCst) - before;
    assert!(is_durable(&world, &records[0]) && is_durable(&world, &records[1]) && !is_durable(&world, &records[2]));
    assert!(first.has_ended() && second.has_ended() && !large.has_ended());
    // What is large goes alone, and is not forgotten; two cost the disk no more than one, for which the file may grow.
    commit(&world, &next(&[&first, &second, &large]));
    assert!(is_durable(&world, &records[2]));
    assert!(of_two <= world.disk.syncs.load(Ordering::SeqCst) - before - of_two);
}

#[test]
fn one_that_has_lost_its_claim_does_not_end_the_other() {
    let world = World::new();
    let (orders, stock) = (begin(&world, "orders"), begin(&world, "stock"));
    let (fenced, fine) = (ending(&world, &orders, 10), ending(&world, &stock, 10));
    world.store.claim("orders", orders.generation).unwrap();
    commit(&world, &next(&[&fenced, &fine]));
    assert!(is_durable(&world, &stock) && fine.has_ended() && fine.refused().is_none());
    assert!(!is_durable(&world, &orders) && !fenced.has_ended());
    let refused = fenced.refused().unwrap();
    assert!(refused.message.contains("orders") && !refused.transient, "{refused:?}");
    // Nothing more is requested of it.
    assert!(fenced.due().is_none());
}

#[test]
fn who_waits_is_told_that_the_disk_refuses() {
    let world = World::new();
    let record = begin(&world, "orders");
    let queue = CommitHandle {
        commit_queue: ending(&world, &record, 10),
        shared: world.committer.shared.clone(),
        worked: Duration::ZERO,
    };
    world.disk.fails.store(true, Ordering::SeqCst);
    world.committer.shared.lock().all.push(queue.commit_queue.clone());
    let refused = queue.finish(Status::Completed, None, 0).unwrap_err();
    assert!(refused.message.contains("the disk fails") && !refused.transient, "{refused:?}");
}
