//! Events that are set aside and tried again.

use super::*;

/// Five streams; `faulty` cannot handle some events of two of them, sooner or later.
pub fn trouble(events: usize) -> Vec<Value> {
    let fails = |index: usize| (index > 20 && index % 10 == 3) || (index > 200 && index % 10 == 6);
    let event = |index: usize| {
        json!({
            "id": format!("e{index}"), "stream": format!("s{}", index * 7 % 5), "timestamp": index,
            "type": if fails(index) { "Error" } else { "Fine" }, "data": {},
        })
    };
    (0..events).map(event).collect()
}

/// What `faulty` leaves when it parks: the counts of each stream, and the ids of the events that are set aside.
pub fn parking(events: &[Value]) -> (Rows, BTreeSet<String>) {
    let (mut counts, mut parked, mut blocked) = (BTreeMap::<String, u64>::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        let stream = event["stream"].as_str().unwrap().to_owned();
        if event["type"] == "Error" {
            blocked.insert(stream.clone());
        }
        if blocked.contains(&stream) {
            parked.insert(event["id"].as_str().unwrap().to_owned());
        } else {
            *counts.entry(stream).or_default() += 1;
        }
    }
    (counted(counts), parked)
}

fn counted(counts: BTreeMap<String, u64>) -> Rows {
    counts.into_iter().map(|(stream, count)| (stream, json!({ "count": count }))).collect()
}

pub fn all_counted(events: &[Value]) -> Rows {
    let mut counts = BTreeMap::<String, u64>::new();
    events.iter().for_each(|event| *counts.entry(event["stream"].as_str().unwrap().to_owned()).or_default() += 1);
    counted(counts)
}

fn parked(data: &Data) -> BTreeSet<String> {
    let lines = data.ok(["dead-letters", "list", "faulty"]);
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

pub fn with_trouble(events: &[Value]) -> Data {
    let data = Data::new(BINARY);
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    data.import(&data.file("events.ndjson", lines));
    data.install(&plugin("faulty"));
    data
}

const PARK: [&str; 8] = ["rebuild", "faulty", "--on-error", "park", "--chunk-size", "7", "--rate-limit", "700"];

#[test]
fn an_event_is_parked_with_the_checkpoint_that_moves_over_it() {
    let _count = Count;
    let events = trouble(1_000);
    let whole = with_trouble(&events);
    for at in
        ["park.written", "park.written:3", "journal.written:2", "commit.written:2", "commit.after:2", "digest.before"]
    {
        let data = whole.copy();
        kill(&data, at, PARK);
        let found = status(&data, "faulty");
        let position = found["position"].as_u64().unwrap() as usize;
        let (rows, aside) = parking(&events[..position]);
        assert_eq!((data.rows_of("faulty/seen", "1"), parked(&data)), (rows, aside), "{at}");
        if found["status"] != "completed" {
            assert_eq!(data.run(["rebuild", "faulty", "--rate-limit", "4000000"]).exit, Some(1), "{at}");
        }
        let (rows, aside) = parking(&events);
        assert_eq!((data.rows_of("faulty/seen", "1"), parked(&data)), (rows, aside), "{at}");
        assert_eq!(live(&data, "faulty"), None, "{at}");
        intact(&data, at);
    }
}

#[test]
fn a_retry_takes_an_event_off_with_the_rows_it_changes() {
    let _count = Count;
    let events = trouble(3_000);
    let whole = with_trouble(&events);
    // Several commits of a retry, too: it keeps to the rate of what it belongs to.
    whole.run(["rebuild", "faulty", "--on-error", "park", "--rate-limit", "600"]);
    whole.ok(with_file(&["plugin", "swap", "faulty"], &plugin_with("faulty", &["fixed"])));
    let aside = parking(&events).1;
    assert_eq!(parked(&whole), aside);
    assert!(aside.len() > 1_000, "{}", aside.len());
    let all = all_counted(&events);
    let retry = ["dead-letters", "retry", "faulty", "--out-of-order"];

    let unbroken = whole.copy();
    unbroken.ok(retry);
    let digest = unbroken.digest("faulty");
    let cases = [
        "record.after",
        "commit.before:1",
        "commit.rows-written:2",
        "unpark.written:1",
        "unpark.written:2",
        "commit.after:1",
        "retry.page:2",
        "promote.written",
        "retry.page:4",
        "record.written:2",
    ];
    for at in cases {
        let data = whole.copy();
        kill(&data, at, retry);
        let left = parked(&data);
        let handled: Vec<_> =
            events.iter().filter(|event| !left.contains(event["id"].as_str().unwrap())).cloned().collect();
        assert_eq!(data.rows_of("faulty/seen", "1"), all_counted(&handled), "{at}");
        assert_eq!(live(&data, "faulty").is_some(), left.is_empty(), "{at}: readers get it with its last event");
        if !left.is_empty() {
            data.ok(retry);
        }
        assert_eq!((data.rows("faulty/seen"), parked(&data)), (all.clone(), BTreeSet::new()), "{at}");
        complete_with(&data, "faulty", &digest);
    }

    let kept = parking(&events).0;
    for at in ["unpark.written:1", "discard.page:1", "discard.page:2"] {
        let data = whole.copy();
        kill(&data, at, ["dead-letters", "discard", "faulty", "--all"]);
        let left = parked(&data);
        assert!(left.is_subset(&aside));
        assert_eq!(data.rows_of("faulty/seen", "1"), kept, "{at}");
        data.ok(["dead-letters", "discard", "faulty", "--all"]);
        assert_eq!((data.rows("faulty/seen"), parked(&data)), (kept.clone(), BTreeSet::new()), "{at}");
        complete_with(&data, "faulty", &data.digest("faulty"));
    }
}
