//! Documents and commits, by hand.

use super::orders::{BINARY, dies, into, seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use unspool::store::{Commit, DataDir, RebuildRecord, RowChange, Store, StoreError};
use unspool::vocabulary::{Scan, canonical};
use unspool_tests::{
    data::Data,
    history,
    plugins::plugin,
    postgres::{Database, shared},
    random::Random,
};

/// A document with everything that jsonb holds, in whatever encoding.
fn document(random: &mut Random, levels: u32, out: &mut Vec<u8>) {
    let text = |random: &mut Random, out: &mut Vec<u8>| {
        let choices = ["", "a", "\u{1}\t\n\"\\/\u{7f}", "\\u0000", "é", "\u{ffff}", "\u{1f980}", "0.0", "zz", "b"];
        let text: String = (0..random.below(4)).map(|_| random.pick(&choices)).collect();
        out.extend([0xd9, text.len() as u8]);
        out.extend(text.as_bytes());
    };
    let number = random.number();
    match random.below(if levels == 0 { 9 } else { 12 }) {
        0 => out.push(random.pick(&[0xc0, 0xc2, 0xc3])),
        1 => out.extend([&[0xcf], &number.to_be_bytes()[..]].concat()),
        2 => out.extend([&[0xd3], &number.to_be_bytes()[..]].concat()),
        3 => out.extend([&[0xd3], &(number as i64 >> random.below(63)).to_be_bytes()[..]].concat()),
        4 => out.push(random.below(0x80) as u8),
        // Any double, a whole one, one of few digits.
        5 | 6 => {
            let some = [f64::from_bits(number), number as f64, (number % 2000) as f64 / 100.0, 0.0, 5e-324, f64::MAX];
            let float = Some(random.pick(&some))
                .filter(|float| float.is_finite() && !(*float == 0.0 && float.is_sign_negative()));
            out.push(0xcb);
            out.extend(float.unwrap_or(1.0).to_be_bytes());
        }
        7 => out.extend([&[0xca], &((number % 1000) as f32 / 8.0).to_be_bytes()[..]].concat()),
        8 | 9 => text(random, out),
        10 => {
            let values = random.below(5);
            out.extend([0xdd, 0, 0, 0, values as u8]);
            (0..values).for_each(|_| document(random, levels - 1, out));
        }
        _ => {
            let keys: BTreeSet<Vec<u8>> = (0..random.below(6))
                .map(|_| {
                    let mut key = Vec::new();
                    text(random, &mut key);
                    key
                })
                .collect();
            out.extend([0xdf, 0, 0, 0, keys.len() as u8]);
            for key in keys.iter().rev() {
                out.extend(key);
                document(random, levels - 1, out);
            }
        }
    }
}

/// A store with an empty generation in `database`, claimed once.
fn claimed(database: &Database<'_>) -> (Data, RebuildRecord) {
    let data = Data::new(BINARY);
    data.import(&data.file("none.ndjson", history::orders(10, 1)));
    data.install(&plugin("order-summary"));
    assert!(dies(&data, "begin-attempt.after", &["rebuild", "order-summary", "--into", &into(&database.url())]));
    let record = open(&data).rebuild("order-summary", 1).unwrap();
    (data, record)
}

fn open(data: &Data) -> Store {
    Store::open(&DataDir::open(&data.path()).unwrap()).unwrap()
}

fn commit_of(record: &RebuildRecord, rows: Vec<RowChange>) -> Commit {
    Commit {
        generation: record.generation,
        follows: false,
        attempt: record.attempt,
        plugin_digest: String::new(),
        checkpoint: record.checkpoint.clone(),
        retries: 0,
        active_ms: 0,
        rows: Arc::new(vec![rows].into()),
        last: true,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: record.stages.clone(),
        by: None,
    }
}

#[test]
fn any_document_comes_back_as_it_was() {
    let database = shared().database("documents");
    let (data, record) = claimed(&database);
    let store = open(&data);
    let mut random = Random::new(unspool_tests::random::setting("UNSPOOL_SEED", 7));
    let mut expected = BTreeMap::new();
    for round in 0..4 {
        for number in 0..2_000 {
            let (mut written, key) =
                (Vec::new(), format!("{}é{number}", random.pick(&["a", "a\u{1}", "b", "ÿ", "\u{1f980}"])));
            document(&mut random, 4, &mut written);
            // Every fourth row is written again, and some of these are deleted.
            let kept = (round == 0 || number % 4 == 0).then_some(written).filter(|_| round == 0 || number % 8 == 0);
            expected.insert(key, kept);
        }
        let change = |(key, document): (&String, &Option<Vec<u8>>)| RowChange {
            key: key.clone().into(),
            document: document.clone().map(Into::into),
        };
        store.commit(&[commit_of(&record, expected.iter().map(change).collect())]).unwrap();
    }
    let meaning: Vec<(String, Vec<u8>)> = expected
        .iter()
        .filter_map(|(key, document)| Some((key.clone(), canonical(document.as_ref()?).unwrap())))
        .collect();
    let generation = store.generation("order-summary", 1).unwrap();
    for rows in [store.rows(&generation).unwrap(), store.current_rows(&generation).unwrap()] {
        let (mut found, mut after): (Vec<(String, Vec<u8>)>, Option<String>) = (Vec::new(), None);
        loop {
            let page =
                rows.scan(0, Scan { prefix: "", after: after.as_deref(), limit: 777, max_bytes: 1 << 14 }).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page.into_iter().map(|(key, document)| (key, document.to_vec())));
        }
        assert!(found == meaning, "{:?}", found.iter().zip(&meaning).find(|(found, meant)| found != meant));
        let keys: Vec<&str> = expected.keys().map(String::as_str).chain(["not there", "no\0key"]).rev().collect();
        let many = rows.get_many(0, &keys).unwrap();
        for (key, document) in keys.iter().zip(many) {
            let meant = expected.get(*key).and_then(Option::as_ref).map(|document| canonical(document).unwrap());
            assert_eq!(document.map(|document| document.to_vec()), meant, "{key:?}");
        }
        for prefix in ["a", "aé1", "ÿ", "\u{1f980}é19", "none"] {
            let page = rows.scan(0, Scan { prefix, ..Scan::ALL }).unwrap();
            let meant = meaning.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, _)| key);
            assert!(
                page.iter().map(|(key, _)| key).eq(meant.take(page.len())) && (page.is_empty() == (prefix == "none"))
            );
        }
    }
}

#[test]
fn two_that_believe_to_hold_a_generation_do_not_both_commit() {
    let database = shared().database("fence");
    let (data, record) = claimed(&database);
    // Restored from a copy: it holds the same attempt of the same generation.
    let twin = data.copy();
    let file = data.path().join("store.redb");
    let older = std::fs::read(&file).unwrap();
    let row = |key: &str| RowChange { key: key.to_owned().into(), document: Some(vec![0x80].into()) };
    let (one, other) = (open(&data), open(&twin));
    one.commit(&[commit_of(&record, vec![row("one")])]).unwrap();
    let refused = other.commit(&[commit_of(&record, vec![row("other")])]);
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    one.commit(&[commit_of(&record, vec![row("two")])]).unwrap();
    // An attempt that has been taken over commits nothing more.
    let taken = one.claim("order-summary", 1).unwrap();
    assert!(matches!(one.commit(&[commit_of(&record, vec![row("late")])]), Err(StoreError::Fenced { .. })));
    one.commit(&[commit_of(&taken, vec![row("three")])]).unwrap();
    // Three commits behind: not one that a lost answer explains.
    drop(one);
    std::fs::write(&file, older).unwrap();
    let refused = open(&data).claim("order-summary", 1).map(drop).unwrap_err().to_string();
    assert!(refused.contains("3 commits") && refused.contains("--restart"), "{refused}");
    let keys: Vec<String> = seen(&mut database.client(), "\"unspool_order-summary_1\".orders").into_keys().collect();
    assert_eq!(keys, ["one", "three", "two"]);
}

#[test]
fn a_row_whose_key_postgresql_cannot_hold_is_named() {
    let database = shared().database("keys");
    let (data, record) = claimed(&database);
    let store = open(&data);
    for (key, problem) in [("a\0b".to_owned(), "NUL"), ("k".repeat(3_000), "3000 bytes")] {
        let row = RowChange { key: key.into(), document: Some(vec![0x80].into()) };
        let refused = store.commit(&[commit_of(&record, vec![row])]).unwrap_err().to_string();
        assert!(refused.contains(problem) && refused.contains("order-summary/orders row"), "{refused}");
    }
}
