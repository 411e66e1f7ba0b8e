//! What a handler reads, against a naive map, while its layers are committed and flushed beneath it.

use super::*;
use crate::{
    pipeline::testing::begin,
    store::{Commit, RebuildOptions, RebuildRecord},
    vocabulary::StageReport,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn commit_of(record: &RebuildRecord, layer: &Layer) -> Commit {
    Commit {
        generation: record.generation,
        follows: false,
        attempt: record.attempt,
        plugin_digest: "digest".to_owned(),
        checkpoint: record.checkpoint.clone(),
        retries: 0,
        active_ms: 0,
        rows: layer.rows().clone(),
        last: false,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: StageReport::default(),
        by: None,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Handle(Vec<(String, Option<Bytes>)>),
    Take,
    Commit,
    Maintain,
    Refresh,
}

fn step() -> impl Strategy<Value = Step> {
    // Large enough that layers are dropped before a history is over.
    let document = (any::<u8>(), 1_usize..700_000).prop_map(|(byte, len)| Bytes::from(vec![byte & 0x7f; len]));
    let writes = prop::collection::vec(("[ab]{1,2}", prop::option::weighted(0.7, document)), 0..4);
    prop_oneof![
        4 => writes.prop_map(Step::Handle),
        2 => Just(Step::Take),
        3 => Just(Step::Commit),
        2 => Just(Step::Maintain),
        3 => Just(Step::Refresh),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_handler_reads_what_was_written_last(steps in prop::collection::vec(step(), 1..40)) {
        let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
        let record = begin(&store, "orders", 0, RebuildOptions::default());
        let generation = Generation::of(&record);
        let overlay = Arc::new(Overlay::default());
        let mut view = View::new(overlay.clone(), store.clone(), generation.clone()).unwrap();
        let (mut expected, mut taken) = (BTreeMap::new(), std::collections::VecDeque::new());
        for step in steps {
            match step {
                Step::Handle(writes) => {
                    for (key, document) in &writes {
                        match document {
                            Some(document) => drop(expected.insert(key.clone(), document.clone())),
                            None => drop(expected.remove(key)),
                        }
                    }
                    let write = |(key, document)| RowWrite { table: 0, key: Bytes::from(key), document };
                    let writes: Vec<_> = writes.into_iter().map(write).collect();
                    overlay.apply(writes, Vec::new(), Reached::after(Position::START, 1), Duration::ZERO);
                }
                Step::Take => taken.push_back(overlay.take()),
                Step::Commit => {
                    let Some(layer) = taken.pop_front() else { continue };
                    store.commit(&[commit_of(&record, &layer)]).unwrap();
                    layer.mark_committed();
                }
                Step::Maintain => store.maintain(&generation).unwrap(),
                Step::Refresh => view.refresh().unwrap(),
            }
            let rows = view.reader();
            for key in ["a", "b", "aa", "ab", "ba", "bb"] {
                prop_assert_eq!(rows.get(0, key).unwrap(), expected.get(key).cloned(), "{}", key);
            }
            let mut found = Page::new();
            rows.each(0, &mut |key, document| {
                found.push((key.to_owned(), Bytes::copy_from_slice(document)));
                Ok(())
            }).unwrap();
            prop_assert!(found == expected.clone().into_iter().collect::<Page>());
            let contained: usize = overlay.lock().taken[..view.contained].iter().map(|layer| layer.bytes).sum();
            prop_assert!(contained <= limits::RETAINED_BYTES);
        }
    }
}
