//! Rows of a generation that is being built, against a naive map.

use super::Embedded;
use crate::{
    AttemptStart, Commit, Generation, Purpose, RebuildRecord, RowChanges, RowSnapshot, Store,
    testing::{install_orders, new_generation},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use unspool_vocabulary::{Page, StageReport, Status};

type Map = BTreeMap<String, Bytes>;
type Change = (String, Option<Bytes>);

/// A store in memory with one generation whose first attempt has begun.
struct Built {
    store: Store,
    record: RebuildRecord,
    generation: Generation,
    expected: Map,
}

impl Built {
    fn new() -> Built {
        let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
        install_orders(&store);
        let record = store.create_generation("orders", new_generation(Purpose::Rebuild), 0).unwrap();
        let record = store.begin_attempt("orders", record.generation, &AttemptStart::again(&record)).unwrap();
        let generation = Generation::of(&record);
        Built { store, record, generation, expected: Map::new() }
    }

    fn commit(&mut self, changes: Vec<Change>, last: bool) {
        let mut rows = RowChanges::default();
        for (key, document) in changes {
            rows.put(0, Bytes::from(key.clone()), document.clone());
            match document {
                Some(document) => drop(self.expected.insert(key, document)),
                None => drop(self.expected.remove(&key)),
            }
        }
        let checkpoint = self.record.checkpoint.clone();
        assert_eq!(checkpoint.status, Status::Running);
        let commit = Commit {
            generation: self.record.generation,
            follows: false,
            attempt: self.record.attempt,
            plugin_digest: "digest".to_owned(),
            checkpoint,
            retries: 0,
            active_ms: 0,
            rows: Arc::new(rows),
            last,
            parked: Vec::new(),
            unparked: Vec::new(),
            discarded: 0,
            stages: StageReport::default(),
            by: None,
        };
        self.store.commit(&[commit]).unwrap();
    }

    fn rows(&self) -> RowSnapshot {
        self.store.rows(&self.generation).unwrap()
    }

    fn is_as_expected(&self) -> bool {
        holds(&self.rows(), &self.expected)
    }

    /// Drops everything that is in memory, as the end of a process does.
    fn forget(&mut self) {
        self.store.embedded = Arc::new(Embedded::default());
    }
}

/// Whether a scan and look-ups find what `expected` has, and nothing else.
fn holds(rows: &RowSnapshot, expected: &Map) -> bool {
    let mut page = Page::new();
    let mut show = |key: &str, document: &[u8]| {
        page.push((key.to_owned(), Bytes::copy_from_slice(document)));
        Ok(())
    };
    rows.each(0, &mut show).unwrap();
    let found = page.iter().all(|(key, document)| rows.get(0, key).unwrap().as_ref() == Some(document));
    found && rows.get(0, "none").unwrap().is_none() && page == expected.clone().into_iter().collect::<Page>()
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    LastCommit(Vec<Change>),
    Maintain,
    Forget,
    Claim,
}

fn step() -> impl Strategy<Value = Step> {
    let document = prop::collection::vec(any::<u8>(), 1..60)
        .prop_map(|bytes| Bytes::from([&[0xc4, bytes.len() as u8], &*bytes].concat()));
    let changes = || prop::collection::vec(("[ab]{0,2}", prop::option::weighted(0.6, document.clone())), 0..6);
    prop_oneof![
        5 => changes().prop_map(Step::Commit),
        1 => changes().prop_map(Step::LastCommit),
        3 => Just(Step::Maintain),
        1 => Just(Step::Forget),
        1 => Just(Step::Claim),
    ]
}

proptest! {
    /// Whatever is in the journal, in memory or in tables, rows are those of the commits; and a snapshot stays what it was.
    #[test]
    fn rows_are_those_of_the_commits(steps in prop::collection::vec(step(), 1..25)) {
        let mut built = Built::new();
        for step in &steps {
            let (before, was) = (built.rows(), built.expected.clone());
            match step.clone() {
                Step::Commit(changes) => built.commit(changes, false),
                Step::LastCommit(changes) => built.commit(changes, true),
                Step::Maintain => built.store.maintain(&built.generation).unwrap(),
                Step::Forget => built.forget(),
                Step::Claim => built.record = built.store.claim("orders", built.record.generation).unwrap(),
            }
            prop_assert!(built.is_as_expected(), "after {step:?}");
            prop_assert!(holds(&before, &was), "a snapshot from before {step:?}");
        }
        prop_assert_eq!(built.store.check().unwrap().problems, Vec::<String>::new());
    }
}

/// More rows than one part of a flush takes.
fn many(version: u8, deletes: usize) -> Vec<Change> {
    let document = |row: usize| (!row.is_multiple_of(deletes)).then(|| Bytes::from(vec![version]));
    (0..unspool_vocabulary::limits::FLUSH_ROWS * 5 / 2).map(|row| (format!("{row:06}"), document(row))).collect()
}

#[test]
fn a_flush_in_parts_hides_no_newer_row() {
    let mut built = Built::new();
    for version in 1..4 {
        built.commit(many(version, version as usize + 1), false);
    }
    built.store.maintain(&built.generation).unwrap();
    assert!(built.is_as_expected());
    // Newer than what is on its way.
    built.commit(many(9, 7), false);
    for _ in 0..2 {
        assert!(built.store.unflushed_bytes(&built.generation) > 0);
        built.store.maintain(&built.generation).unwrap();
        assert!(built.is_as_expected());
    }
    // What came meanwhile is not flushed yet, and all that is before it is out of memory.
    let left = built.store.unflushed_bytes(&built.generation);
    assert!(left > 0 && left <= many(9, 7).len() * 7, "{left}");
    assert!(built.is_as_expected());
}

#[test]
fn a_last_commit_in_the_middle_of_a_flush_leaves_nothing_to_it() {
    let mut built = Built::new();
    built.commit(many(1, 2), false);
    built.store.maintain(&built.generation).unwrap();
    let flush = built.store.embedded.take_flush(&built.generation).unwrap();
    built.commit(many(2, 3), true);
    assert_eq!(built.store.unflushed_bytes(&built.generation), 0);
    // Whoever works on it comes too late with what is older now.
    let write = built.store.db.begin_write().unwrap();
    let mut flush = flush;
    assert!(!built.store.embedded.flush(&write, &built.record, &mut flush).unwrap());
    drop(write);
    assert!(built.is_as_expected());
}
