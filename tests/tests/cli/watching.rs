//! Rebuilds that are watched over the control socket: one request, and whatever happens is told without another.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};
use unspool_tests::{data::Data, history, plugins::plugin};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Watchers that a host answers at the same time.
const WATCHERS: usize = 64;

/// What a host says to one request.
struct Heard(BufReader<UnixStream>);

impl Heard {
    /// Asks the host of `data` once.
    fn ask(data: &Data, request: &Value) -> Heard {
        let mut stream = UnixStream::connect(data.path().join("control.sock")).unwrap();
        writeln!(stream, "{request}").unwrap();
        Heard(BufReader::new(stream))
    }

    fn watch(data: &Data, names: &[&str]) -> Heard {
        Heard::ask(data, &json!({ "request": "watch", "names": names }))
    }

    /// What is said next; `None` once nothing more comes.
    fn next(&mut self) -> Option<Value> {
        // A host that lives says something twice a second.
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < until, "a minute without a word");
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let said: Value = serde_json::from_str(&line).unwrap();
            if said != "beat" {
                return Some(said);
            }
        }
    }

    /// The progress that is said next.
    fn progress(&mut self) -> Value {
        let said = self.next().expect("it goes on");
        let progress = said["row"]["rebuild"].clone();
        assert!(progress.is_object(), "{said}");
        progress
    }

    /// What is said last, and the progress before.
    fn rest(mut self) -> (Vec<Value>, Option<Value>) {
        let mut progress = Vec::new();
        while let Some(mut said) = self.next() {
            match said["row"]["rebuild"].take() {
                Value::Null => return (progress, Some(said)),
                row => progress.push(row),
            }
        }
        (progress, None)
    }
}

fn served() -> (Data, unspool_tests::data::Running) {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(3_000, 11)));
    data.install(&plugin("order-summary"));
    let host = data.serve();
    (data, host)
}

fn start(data: &Data, name: &str, rate: &str) {
    data.ok(["rebuild", name, "--chunk-size", "20", "--rate-limit", rate, "--restart", "--detach"]);
}

#[test]
fn who_asks_once_hears_of_a_rebuild_until_it_is_complete() {
    let (data, host) = served();
    start(&data, "order-summary", "2000");
    let (progress, last) = Heard::watch(&data, &["order-summary"]).rest();
    let counts: Vec<u64> = progress.iter().map(|one| one["eventsProcessed"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted() && counts.first() < counts.last(), "{counts:?}");
    assert_eq!(progress[0]["status"], "running");
    let last = last.unwrap();
    let ended = &last["done"]["ended"][0];
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(3_000)), "{last}");
    host.kill();
}

#[test]
fn what_happens_to_one_of_two_is_told_while_the_other_goes_on() {
    let (data, host) = served();
    data.install(&plugin("process-map"));
    for name in ["order-summary", "process-map"] {
        start(&data, name, "20");
    }
    let mut heard = Heard::watch(&data, &["order-summary", "process-map"]);
    while heard.progress()["status"] != "running" {}
    data.ok(["pause", "order-summary"]);
    let paused = std::iter::repeat_with(|| heard.progress()).find(|one| one["status"] == "paused").unwrap();
    assert_eq!(paused["projectionName"], "order-summary");
    data.ok(["cancel", "process-map"]);
    let (_, last) = heard.rest();
    let ended = last.unwrap()["done"]["ended"].clone();
    assert_eq!([&ended[0]["status"], &ended[1]["status"]], [&json!("paused"), &json!("cancelled")]);
    host.kill();
}

/// Of a rebuild that stands still, too, to which nothing happens that a watcher would be told.
#[test]
fn a_watcher_that_has_gone_leaves_its_place_to_another() {
    let (data, host) = served();
    data.ok(["rebuild", "order-summary", "--chunk-size", "1", "--rate-limit", "1", "--detach"]);
    data.wait_for("order-summary", |status| status["status"] == "running");
    let mut heard: Vec<Heard> = (0..WATCHERS).map(|_| Heard::watch(&data, &["order-summary"])).collect();
    heard.iter_mut().for_each(|one| assert_eq!(one.progress()["status"], "running"));
    let refused = Heard::watch(&data, &["order-summary"]).next().unwrap();
    assert_eq!(refused["error"]["kind"], "busy", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("unspool status NAME"), "{refused}");
    assert_eq!(
        data.json(["status", "order-summary"])["status"],
        "running",
        "whoever asks for something else is answered"
    );
    drop(heard);
    let until = Instant::now() + Duration::from_secs(60);
    while Heard::watch(&data, &["order-summary"]).next().unwrap()["error"]["kind"] == "busy" {
        assert!(Instant::now() < until, "places of watchers that have gone stay taken");
    }
    host.kill();
}

#[test]
fn a_host_that_ends_says_how_it_left_what_was_watched() {
    for signal in [Signal::TERM, Signal::KILL] {
        let (data, host) = served();
        start(&data, "order-summary", "20");
        let mut heard = Heard::watch(&data, &["order-summary"]);
        while heard.progress()["status"] != "running" {}
        host.signal(signal);
        let (_, last) = heard.rest();
        match signal {
            Signal::KILL => assert_eq!(last, None, "nobody is left to say anything"),
            _ => {
                let ended = last.unwrap()["done"]["ended"][0].clone();
                assert_eq!((&ended["status"], &ended["interrupted"]), (&json!("paused"), &json!(true)), "{ended}");
            }
        }
        host.end();
    }
}

/// Before the first row: finding the columns takes a pass over all of them.
#[test]
fn an_export_with_columns_says_how_far_finding_them_is() {
    let (data, host) = served();
    data.ok(["rebuild", "order-summary"]);
    let request = |columns: bool| json!({ "request": "model-export", "name": "order-summary", "table": null, "generation": null, "columns": columns });
    let rows = data.json(["model", "digest", "order-summary"])["rows"].clone();
    let first = Heard::ask(&data, &request(true)).next().unwrap();
    let work = json!({ "what": "finding the columns of order-summary", "unit": "rows", "done": 1, "total": rows });
    assert_eq!(first, json!({ "row": { "progress": work } }));
    let first = Heard::ask(&data, &request(false)).next().unwrap();
    assert_eq!(first["row"]["table"]["table"], "orders", "{first}");
    host.kill();
}
