use super::*;
use crate::event_file::EventFile;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;
use unspool_vocabulary::BlockEvent;

/// An event as the tests think of it: position and type; its id follows from the position.
type Plain = (u64, &'static str);

const KINDS: [&str; 4] = ["A", "B", "C", "Rare"];

fn log() -> (tempfile::TempDir, EventLog) {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(&dir.path().join("log.redb"), "the test's log").unwrap();
    (dir, log)
}

fn line((position, kind): &Plain) -> String {
    let event = json!({
        "id": format!("e{position}"), "position": position, "stream": "s", "type": kind, "timestamp": 1000 + position,
        "data": { "filler": "x".repeat((position % 7) as usize * 100) }, "metadata": null,
    });
    format!("{event}\n")
}

fn import(log: &EventLog, text: &str) -> Result<ImportSummary, SourceError> {
    let mut file = EventFile::from_reader(Box::new(std::io::Cursor::new(text.to_owned())), "test.ndjson").unwrap();
    log.import(&mut file, &mut |_| {})
}

fn fill(log: &EventLog, events: &[Plain]) -> ImportSummary {
    import(log, &events.iter().map(line).collect::<String>()).unwrap()
}

fn summary(read: u64, added: u64, duplicates: u64) -> ImportSummary {
    ImportSummary { read, added, duplicates, ..ImportSummary::default() }
}

fn matcher(kinds: &[&str]) -> Matcher {
    Matcher::new(&kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>())
}

/// Reads a range to its end: the events, and how far the last block says it goes.
fn read(log: &EventLog, matcher: &Matcher, after: u64, through: u64) -> (Vec<(u64, String)>, Position) {
    let mut reader = log.read(matcher, Position::number(after), Position::number(through)).unwrap();
    let (mut events, mut last) = (Vec::new(), Position::START);
    while let Some(block) = reader.next().unwrap() {
        for BlockEvent { mut frame, position, .. } in block.events() {
            let event = unspool_frame::Event::decode(&mut frame).unwrap();
            assert_eq!(Position::number(event.position), position);
            assert_eq!(event.id, format!("e{}", event.position));
            events.push((event.position, event.kind.to_owned()));
        }
        assert!(block.through >= last, "a reader only moves forward");
        last = block.through;
    }
    (events, last)
}

/// Positions with holes, of any types, imported in parts of any size.
fn histories() -> impl Strategy<Value = (Vec<Plain>, Vec<usize>)> {
    let events = prop::collection::vec((1_u64..4, 0..KINDS.len()), 0..1500).prop_map(|steps| {
        let mut position = 0;
        let event = |(step, kind): (u64, usize)| {
            position += step;
            (position, KINDS[kind])
        };
        steps.into_iter().map(event).collect::<Vec<_>>()
    });
    (events, prop::collection::vec(1_usize..400, 1..8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_range_and_filter_reads_what_a_naive_filter_keeps(
        (events, parts) in histories(), after in 0_u64..3000, length in 0_u64..3000,
        wanted in prop::sample::subsequence(&KINDS[..], 0..4),
    ) {
        let (_dir, log) = log();
        let mut rest = events.as_slice();
        for part in parts.iter().cycle().take_while(|_| !events.is_empty()) {
            let (now, later) = rest.split_at((*part).min(rest.len()));
            prop_assert_eq!(fill(&log, now).added, now.len() as u64);
            rest = later;
            if rest.is_empty() { break; }
        }
        let through = after + length;
        let wanted = if wanted.is_empty() { vec!["*"] } else { wanted };
        let keeps = |kind: &str| wanted[0] == "*" || wanted.contains(&kind);
        let expected: Vec<_> = events.iter()
            .filter(|(position, kind)| *position > after && *position <= through && keeps(kind))
            .map(|(position, kind)| (*position, (*kind).to_owned()))
            .collect();
        let matcher = matcher(&wanted);
        let (found, last) = read(&log, &matcher, after, through);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(last, Position::number(through));
        let count = log.count(&matcher, Position::number(after), Position::number(through)).unwrap();
        prop_assert_eq!(count, Some(expected.len() as u64));
        let ceiling = events.last().map_or(Position::START, |(position, _)| Position::number(*position));
        prop_assert_eq!(log.ceiling().unwrap(), ceiling);
        for (index, (position, _)) in events.iter().enumerate() {
            let before = index.checked_sub(1).map_or(0, |before| events[before].0);
            let located = Located { position: Position::number(*position), before: Position::number(before) };
            prop_assert_eq!(log.locate(&format!("e{position}")).unwrap(), Lookup::Found(located));
        }
    }
}

#[test]
fn events_that_are_there_already_are_left_out_wherever_they_stand() {
    let (_dir, log) = log();
    let events: Vec<Plain> = (1..=1000).map(|position| (position, "A")).collect();
    assert_eq!(fill(&log, &events[..600]), summary(600, 600, 0));
    assert_eq!(fill(&log, &events), summary(1000, 400, 600));
    // Twice in one file, at another position and time, and only equal in meaning.
    let twice = r#"{"id":"x","stream":"s","type":"A","timestamp":1,"data":{"a":1,"b":2},"metadata":null}
{"timestamp":2,"id":"x","data":{"b":2,"a":1},"stream":"s","type":"A","position":5000,"schemaVersion":1}
"#;
    assert_eq!(import(&log, twice).unwrap(), summary(2, 1, 1));
    assert_eq!(log.stats().unwrap().events, 1001);
    assert_eq!(log.show("x").unwrap().unwrap().0, 1001);
}

#[test]
fn a_refused_file_leaves_nothing_behind() {
    let (_dir, log) = log();
    fill(&log, &[(1, "A"), (2, "B")]);
    let before = serde_json::to_value(log.stats().unwrap()).unwrap();
    let many: String = (3..5000).map(|position| line(&(position, "New"))).collect();
    for (last, words) in [
        ("{}".to_owned(), "line 4998"),
        (line(&(2, "C")), "another content"),
        (line(&(4999, "B")).replace("e4999", "other"), "position 4999 is not after 4999"),
    ] {
        let last = if words.starts_with("position") { line(&(4999, "New")) + &last } else { last };
        let refused = import(&log, &format!("{many}{last}\n")).unwrap_err().to_string();
        assert!(refused.contains(words) && refused.contains("test.ndjson"), "{refused}");
        assert_eq!(serde_json::to_value(log.stats().unwrap()).unwrap(), before);
        assert_eq!(log.show("e3").unwrap(), None);
    }
    assert_eq!(import(&log, &many).unwrap().added, 4997);
}

#[test]
fn a_block_ends_at_its_bytes_and_a_large_event_has_one_of_its_own() {
    let (_dir, log) = log();
    let large = "y".repeat(limits::BLOCK_BYTES * 3);
    let text: String = (1..=6)
        .map(|n| {
            format!("{}\n", json!({ "id": format!("e{n}"), "stream": "s", "type": "A", "timestamp": n, "data": large }))
        })
        .collect();
    import(&log, &text).unwrap();
    let (events, _) = read(&log, &Matcher::All, 0, 6);
    assert_eq!(events.len(), 6);
    let read = log.begin().unwrap();
    assert_eq!(log.index(&read).unwrap().iter().unwrap().count(), 6);
}

#[test]
fn many_small_imports_do_not_leave_as_many_blocks() {
    let (_dir, log) = log();
    for position in 1..=60 {
        fill(&log, &[(position, "A")]);
    }
    let read = log.begin().unwrap();
    assert_eq!(log.index(&read).unwrap().iter().unwrap().count(), 1);
    let stats = log.stats().unwrap();
    assert_eq!((stats.events, stats.first_position, stats.last_position), (60, Some(1), Some(60)));
    assert_eq!((stats.first_timestamp, stats.last_timestamp), (Some(1001), Some(1060)));
}

#[test]
fn an_identity_is_kept_and_no_two_logs_share_one() {
    let (dir, one) = log();
    let identity = one.identity().to_owned();
    drop(one);
    let again = EventLog::open(&dir.path().join("log.redb"), "again").unwrap();
    assert_eq!(again.identity(), identity);
    let (_other_dir, other) = log();
    assert_ne!(other.identity(), identity);
    assert_eq!(HashSet::from([identity.len()]), HashSet::from([32]));
}

#[test]
fn a_damaged_section_is_reported() {
    let mut builder = block::BlockBuilder::default();
    builder.push(1, 0, 5, b"content");
    let (_, stored) = builder.take().unwrap().sections.pop().unwrap();
    assert!(Section::decode(&stored).is_ok());
    for len in 0..stored.len() {
        assert!(Section::decode(&stored[..len]).is_err(), "cut at {len}");
    }
    let huge = [&u32::MAX.to_le_bytes(), &stored[4..]].concat();
    assert!(Section::decode(&huge).is_err_and(|e| e.contains("claims")));
}

fn cloud(id: &str, source: &str, time: &str, more: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"{source}\",\"subject\":\"s\",\"type\":\"T\",\"time\":\"{time}\"{more}}}\n"
    )
}

/// The fraction of a time is no content, however much of it either delivery has; and in logs of earlier versions it was.
#[test]
fn an_event_that_comes_again_with_another_fraction_is_a_duplicate() {
    let times = ["2024-01-01T00:00:00.001234Z", "2024-01-01T00:00:09.9Z", "2024-01-01T00:00:00.001999999Z"];
    let ours = |time: &str| format!("{{\"id\":\"o\",\"stream\":\"s\",\"type\":\"T\",\"timestamp\":\"{time}\"}}\n");
    for first in times {
        let (_dir, log) = log();
        let both = |time: &str| cloud("c", "/a", time, "") + &ours(time);
        assert_eq!(import(&log, &both(first)).unwrap().added, 2);
        assert_eq!(log.check().unwrap(), Vec::<String>::new());
        for again in times {
            assert_eq!(import(&log, &both(again)).unwrap().duplicates, 2, "{first} {again}");
        }
        assert!(import(&log, &cloud("c", "/a", first, ",\"data\":1")).is_err());
        assert!(import(&log, &ours(first).replace("\"s\"", "\"other\"")).is_err());
        // As earlier versions had it.
        let (_, event) = log.show("c").unwrap().unwrap();
        let mut content = Vec::new();
        unspool_frame::Event { timestamp: 0, ..event.at(0) }.encode_content(&mut content);
        let write = log.db.begin_write().unwrap();
        write.open_table(IDS).unwrap().insert(id_hash("c"), (1, hash_128(&content))).unwrap();
        write.commit().unwrap();
        assert_eq!(log.check().unwrap(), Vec::<String>::new());
        for again in times {
            assert_eq!(import(&log, &cloud("c", "/a", again, "")).unwrap().duplicates, 1, "{first} {again}");
        }
    }
}

/// CloudEvents of two sources may have one id: the later one is known by its source as well, whenever it comes.
#[test]
fn the_ids_of_two_sources_are_two() {
    let time = "2024-01-01T00:00:00.5Z";
    let (a, b, c) = (cloud("1", "/a", time, ""), cloud("1", "/b", time, ",\"data\":1"), cloud("1", "/c", time, ""));
    let apart = |parts: &[&str]| {
        let (_dir, log) = log();
        let done: Vec<_> = parts.iter().map(|part| import(&log, part).unwrap()).collect();
        (log, done)
    };
    let together = [&*a, &b, &a, &c, &b].concat();
    let (log, done) = apart(&[&together]);
    assert_eq!((done[0].added, done[0].duplicates, done[0].renamed), (3, 2, 2));
    let again = import(&log, &together).unwrap();
    assert_eq!((again.added, again.duplicates, again.renamed), (0, 5, 0));
    for (id, data) in [("1", "null"), ("/b#1", "1"), ("/c#1", "null")] {
        let (_, event) = log.show(id).unwrap().unwrap();
        assert_eq!(
            (event.id.as_str(), unspool_vocabulary::to_json(&event.data).unwrap().to_string()),
            (id, data.to_owned())
        );
        assert!(log.locate(id).unwrap().found().is_some());
    }
    assert_eq!(log.check().unwrap(), Vec::<String>::new());
    let (log, done) = apart(&[&a, &b, &c, &b, &a]);
    assert_eq!(done.iter().map(|done| done.added).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
    assert_eq!(log.stats().unwrap().events, 3);
    // Another content under an id of the same source is no other event, whatever it is called by now.
    for bad in [cloud("1", "/a", time, ",\"data\":2"), cloud("1", "/b", time, ",\"data\":2")] {
        assert!(import(&log, &bad).unwrap_err().message.contains("another content"));
    }
    assert_eq!(log.stats().unwrap().events, 3);
    // An event of our own form has its id alone.
    let ours = "{\"id\":\"1\",\"stream\":\"s\",\"type\":\"T\",\"timestamp\":0}\n";
    assert!(import(&log, ours).unwrap_err().message.contains("another content"));
}

/// The last block grows with each append: what one reader has kept of it is not all of it for a reader that begins later.
#[test]
fn a_reader_that_begins_later_is_given_what_was_appended_to_the_block_that_another_reads() {
    let (_dir, log) = log();
    let part = |from: u64, to: u64| (from..=to).map(|position| (position, "A")).collect::<Vec<_>>();
    fill(&log, &part(1, 10));
    // Far behind nobody: both read together, and the slow one keeps the sections of the other.
    let slow = log.read(&Matcher::All, Position::START, Position::number(10)).unwrap();
    let (events, _) = read(&log, &Matcher::All, 0, 10);
    assert_eq!(events.len(), 10);
    fill(&log, &part(11, 15));
    let (events, last) = read(&log, &Matcher::All, 10, 15);
    assert_eq!((events.len(), last), (5, Position::number(15)));
    drop(slow);
}
