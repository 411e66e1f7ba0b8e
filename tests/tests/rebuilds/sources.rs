//! A history that knows its name and its end and is read in order, and can do nothing else: rebuilt from, resumed, followed,
//! compared with. What nobody can know of it is absent, and what it cannot find is refused. And one stream of a history, which is
//! such a history, too.

use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use unspool::{
    disk::DiskError,
    plugin::{Engine, EngineOptions},
    rebuild::{Accept, Options, RebuildError, Supervisor, Trigger, UnfinishedRebuild},
    source::{Lookup, Reader, Source, SourceError, Sources, file::FileSources, log::EventLog},
    store::{DataDir, RebuildOptions, Store, StoreError},
    vocabulary::{EventBlock, Matcher, Position, Progress, Status, from_json},
};
use unspool_tests::{
    data::{Data, Rows},
    history,
    machine::TIMEOUT,
    plugins::{plugin, plugin_with},
    store_file,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Positions of a broker have holes: of what was never committed.
const STEP: u64 = 3;

/// A broker: events are appended, and read from a position on.
#[derive(Clone)]
struct Broker {
    identity: String,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// Each with its type and its frame.
    events: Vec<(Position, String, Vec<u8>)>,
    /// Behind which positions readers began.
    began: Vec<Position>,
}

impl Broker {
    fn new(identity: &str, kinds: &[&str]) -> Broker {
        let broker = Broker { identity: identity.to_owned(), kept: Arc::default() };
        broker.append(kinds);
        broker
    }

    /// Appends an event of each kind: number n, from 0 on, is of stream `s` and the last digit of n.
    fn append(&self, kinds: &[&str]) {
        let mut kept = self.kept.lock().unwrap();
        for kind in kinds {
            let number = kept.events.len() as u64;
            let position = Position::number((number + 1) * STEP);
            let frame = frame(number, position, kind);
            kept.events.push((position, (*kind).to_owned(), frame));
        }
    }

    /// Puts another event in the place of the last one.
    fn replace_last(&self) {
        let mut kept = self.kept.lock().unwrap();
        let last = kept.events.last_mut().unwrap();
        last.2 = frame(1_000_000, last.0, &last.1);
    }
}

fn frame(number: u64, position: Position, kind: &str) -> Vec<u8> {
    let (id, stream, empty) = (format!("e{number}"), format!("s{}", number % 10), from_json("{}").unwrap());
    let mut frame = Vec::new();
    let event = unspool_frame::Event {
        position: position.minor,
        id: &id,
        stream: &stream,
        kind,
        timestamp: number as i64,
        schema_version: 1,
        data: &empty,
        metadata: &empty,
    };
    event.encode(&mut frame);
    frame
}

/// What a history has to be able to do.
impl Source for Broker {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        Ok(self.kept.lock().unwrap().events.last().map_or(Position::START, |(position, ..)| *position))
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        self.kept.lock().unwrap().began.push(after);
        Ok(Box::new(Fetch { of: self.clone(), matcher: matcher.clone(), after, through, block: EventBlock::default() }))
    }
}

/// Events that are fetched at once.
const FETCHED: usize = 64;

struct Fetch {
    of: Broker,
    matcher: Matcher,
    after: Position,
    through: Position,
    block: EventBlock,
}

impl Reader for Fetch {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        if self.after >= self.through {
            return Ok(None);
        }
        self.block.clear();
        let kept = self.of.kept.lock().unwrap();
        let (after, through) = (self.after, self.through);
        let next = kept.events.iter().filter(|(at, ..)| *at > after && *at <= through).take(FETCHED);
        let mut fetched = 0;
        for (at, kind, frame) in next {
            (self.after, fetched) = (*at, fetched + 1);
            if self.matcher.matches(kind) {
                self.block.push(frame, *at, None);
            }
        }
        if fetched < FETCHED {
            self.after = self.through;
        }
        self.block.through = self.after;
        Ok(Some(&self.block))
    }
}

/// A data directory with `faulty` in place.
fn data() -> Data {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data
}

/// A host in this process, which knows the broker by the name `broker`.
fn host(data: &Data, broker: &Broker) -> Supervisor {
    let dir = DataDir::open(&data.path()).unwrap();
    let log = once_free(|| EventLog::open(&dir.log_file(), "the event log"));
    let sources = Sources::new(Ok(log), FileSources::new(dir.files_dir()), dir.path().to_owned());
    let sources = sources.with("broker", Arc::new(broker.clone()));
    let engine = Engine::new(EngineOptions::new(dir.compiled_dir())).unwrap();
    let store = once_free(|| match Store::open(&dir) {
        Err(StoreError::Disk(e)) => Err(e),
        opened => Ok(opened.unwrap()),
    });
    Supervisor::start(store, sources, engine, Options::default()).unwrap()
}

/// Opens what the host before may still have in hand for a moment.
fn once_free<T>(open: impl Fn() -> Result<T, DiskError>) -> T {
    let began = Instant::now();
    loop {
        match open() {
            Err(DiskError::InUse(_)) if began.elapsed() < TIMEOUT => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn from_broker() -> Trigger {
    Trigger { name: "faulty".to_owned(), source: Some("broker".to_owned()), ..Trigger::default() }
}

fn ended(host: &Supervisor) -> Progress {
    assert!(host.wait_idle(Some(&["faulty".to_owned()]), TIMEOUT), "it hangs");
    host.progress("faulty").unwrap().unwrap()
}

/// Waits until the progress is as it should be.
#[track_caller]
fn until(host: &Supervisor, reached: impl Fn(&Progress) -> bool) -> Progress {
    let began = Instant::now();
    loop {
        let progress = host.progress("faulty").unwrap().unwrap();
        if reached(&progress) {
            return progress;
        }
        assert!(began.elapsed() < TIMEOUT, "{progress:#?}");
        host.wait_idle(Some(&["faulty".to_owned()]), Duration::from_millis(20));
    }
}

#[track_caller]
fn refused<T>(answer: Result<T, RebuildError>, words: &[&str]) {
    let Err(e) = answer else { panic!("it is not refused with {words:?}") };
    let e = e.to_string();
    for word in words {
        assert!(e.contains(word), "no {word:?} in {e}");
    }
}

/// So many events of each stream.
fn counted(streams: std::ops::Range<u64>, count: u64) -> Rows {
    streams.map(|stream| (format!("s{stream}"), json!({ "count": count }))).collect()
}

/// Nothing is said of how many events there are, nor of what follows from that.
#[track_caller]
fn nothing_counted(status: &Value) {
    for field in ["totalEvents", "percentComplete"] {
        assert_eq!(status.get(field), Some(&Value::Null), "{field} of {status:#}");
    }
    assert!(status["estimatedRemainingMs"].is_null() || status["status"] == "completed", "{status:#}");
}

#[test]
fn a_history_that_is_only_read_is_enough() {
    let (data, broker) = (data(), Broker::new("a broker", &["Fine"; 400]));
    broker.append(&["Other"; 7]);
    assert_eq!((broker.locate("e1").unwrap(), broker.until(1).unwrap()), (Lookup::CannotLook, None));
    let host = host(&data, &broker);
    let plan = json!(host.plan(&from_broker()).unwrap());
    assert_eq!((&plan["events"], &plan["target"], plan.get("leftOut")), (&Value::Null, &json!(407 * STEP), None));
    host.trigger(&from_broker()).unwrap();
    let progress = ended(&host);
    assert_eq!((progress.status, progress.events_processed), (Status::Completed, 400), "{progress:#?}");
    assert_eq!(progress.position, Position::number(407 * STEP));
    nothing_counted(&json!(progress));
    host.shut_down(&[]);
    drop(host);

    // From another process, to which the broker is a name alone.
    assert_eq!(data.rows("faulty/seen"), counted(0..10, 40));
    nothing_counted(&data.json(["status", "faulty"]));
    let receipt = data.json(["model", "receipt", "faulty"]);
    assert_eq!(receipt["digest"], json!(data.digest("faulty")));
    assert_eq!(
        receipt["events"],
        json!({
            "matching": 400, "handled": 400, "parked": 0, "discarded": 0, "missing": null, "filtered": null, "leftOut": null,
        })
    );
}

#[test]
fn it_goes_on_where_it_stopped() {
    let mut kinds = ["Fine"; 400];
    kinds[250] = "Error";
    let (data, broker) = (data(), Broker::new("a broker", &kinds));
    let host = host(&data, &broker);
    host.trigger(&from_broker()).unwrap();
    let failed = ended(&host);
    assert_eq!((failed.status, failed.events_processed), (Status::Failed, 250), "{failed:#?}");
    nothing_counted(&json!(failed));
    broker.kept.lock().unwrap().began.clear();
    let fixed = std::fs::read(plugin_with("faulty", &["fixed"])).unwrap();
    host.swap("faulty", &fixed, "swap", &UnfinishedRebuild::Continue).unwrap();
    host.resume("faulty").unwrap();
    let progress = ended(&host);
    assert_eq!((progress.status, progress.events_processed), (Status::Completed, 400), "{progress:#?}");
    let began = broker.kept.lock().unwrap().began.clone();
    assert!(began.contains(&failed.position), "{began:?}");
    // Before it, only the event at the checkpoint is looked at.
    assert!(began.iter().all(|began| *began >= failed.position.before()), "{began:?}");

    // What is live is compared with it, a past state is built, and one stream by itself.
    assert!(!host.verify("faulty", false, &Accept::default()).unwrap().comparison.differs());
    assert_eq!(host.as_of("faulty", "30", None, None).unwrap().passed(), 10);
    let stream = host.rebuild_stream("faulty", "s4").unwrap();
    assert_eq!((stream.events, stream.rows, stream.removed), (40, 1, 0));
    let report = host.verify_plugin(&fixed, "broker").unwrap();
    assert_eq!((report.events, report.difference.is_none()), (400, true), "{report:#?}");
}

#[test]
fn a_plugin_that_breaks_its_word_is_found_out_at_its_event() {
    let (data, broker) = (Data::new(BINARY), Broker::new("a broker", &["Fine"; 40]));
    let dependent = plugin_with("faulty", &["chunk-dependent"]);
    data.install(&dependent);
    let report = host(&data, &broker).verify_plugin(&std::fs::read(dependent).unwrap(), "broker").unwrap();
    let difference = report.difference.unwrap();
    // The first chunk of one is no chunk of more from the second event on.
    assert_eq!((difference.event_id.as_deref(), difference.position), (Some("e1"), Position::number(2 * STEP)));
}

#[test]
fn what_it_cannot_find_is_refused_by_name() {
    let (data, broker) = (data(), Broker::new("a broker", &["Fine"; 100]));
    let host = host(&data, &broker);
    let to = |to: &str| host.trigger(&Trigger { to: Some(to.to_owned()), ..from_broker() });
    for time in ["2024-01-31T12:00:00Z", "time:2024-01-31T12:00:00Z"] {
        refused(to(time), &[time, "broker", "by their time", "position:N"]);
        refused(host.as_of("faulty", time, None, Some("broker")), &["broker", "by their time"]);
        let from = Trigger { from: Some(time.to_owned()), ..from_broker() };
        refused(host.trigger(&from), &["broker", "by their time"]);
    }
    for id in ["e7", "id:e7"] {
        refused(to(id), &[id, "broker", "by their id", "position:N"]);
    }
    let component = std::fs::read(plugin("faulty")).unwrap();
    let tried = host.trial("faulty", &component, 10, Some("broker"));
    refused(tried, &["broker", "read backwards", "last 10 events", "model verify faulty"]);
    assert!(host.progress("faulty").unwrap().is_none(), "nothing was begun");
    // What works instead.
    to("position:30").unwrap();
    let progress = ended(&host);
    assert_eq!((progress.status, progress.events_processed), (Status::Completed, 10));
}

#[test]
fn it_is_known_again_by_its_name_and_by_the_event_at_the_checkpoint() {
    let (data, broker) = (data(), Broker::new("a broker", &["Fine", "Fine", "Error"]));
    let first = host(&data, &broker);
    first.trigger(&from_broker()).unwrap();
    assert_eq!(ended(&first).status, Status::Failed);
    drop(first);

    let other = host(&data, &Broker { identity: "another broker".to_owned(), ..broker.clone() });
    refused(other.resume("faulty"), &["another history", "its identity is another one"]);
    drop(other);
    let put_back = Broker::new("a broker", &["Fine"; 2]);
    put_back.replace_last();
    let host = host(&data, &put_back);
    refused(host.resume("faulty"), &["stands event e1000000 now", "event e1 when"]);
}

#[test]
fn readers_are_not_given_nothing() {
    let (data, broker) = (data(), Broker::new("a broker", &["Other"; 9]));
    data.import(&data.file("events.ndjson", history::mixed(40, &[])));
    data.ok(["rebuild", "faulty"]);
    let before = data.digest("faulty");
    let host = host(&data, &broker);
    host.trigger(&from_broker()).unwrap();
    let failed = ended(&host);
    assert_eq!((failed.status, failed.live_generation), (Status::Failed, Some(1)), "{failed:#?}");
    assert!(failed.next.unwrap().contains("--allow-empty"));
    let options = RebuildOptions { allow_empty: true, ..RebuildOptions::default() };
    host.trigger(&Trigger { restart: true, options, ..from_broker() }).unwrap();
    let empty = ended(&host);
    assert_eq!((empty.status, empty.live_generation), (Status::Completed, Some(empty.generation)), "{empty:#?}");
    host.shut_down(&[]);
    drop(host);
    assert_ne!(data.digest("faulty"), before);
    assert_eq!(data.rows("faulty/seen"), Rows::new());
}

#[test]
fn who_follows_it_knows_when_there_is_nothing_to_do() {
    let (data, broker) = (data(), Broker::new("a broker", &["Fine"; 20]));
    let host = host(&data, &broker);
    let options = RebuildOptions { follow: true, ..RebuildOptions::default() };
    host.trigger(&Trigger { options, ..from_broker() }).unwrap();
    for events in [20, 30] {
        let followed = until(&host, |progress| {
            progress.events_processed == events && progress.follow.is_some_and(|lag| lag.events == Some(0))
        });
        assert_eq!((followed.status, followed.live_generation), (Status::Completed, Some(1)), "{followed:#?}");
        nothing_counted(&json!(followed));
        broker.append(&["Fine"; 10]);
    }
    host.shut_down(&[]);
}

#[test]
fn a_row_that_a_stream_deletes_is_deleted_where_readers_look() {
    let data = Data::new(BINARY);
    // The last event of the stream `s03` closes it.
    data.import(&data.file("events.ndjson", history::mixed(800, &[(763, "Late")])));
    data.install(&plugin_with("faulty", &["closing"]));
    // In one call with its first events it would never have had a row.
    data.ok(["rebuild", "faulty", "--chunk-size", "10"]);
    let right = data.rows("faulty/seen");
    assert_eq!((right.len(), right.contains_key("s03")), (39, false));
    store_file::set_rows(&data, "rows/faulty/1/seen", &[("s03", Some(json!({ "count": 19 })))]);
    assert!(data.rows("faulty/seen").contains_key("s03"));
    let report = data.json(["rebuild", "faulty", "--stream", "s03"]);
    assert_eq!((&report["events"], &report["rows"]), (&json!(20), &json!(0)), "{report:#}");
    assert_eq!(data.rows("faulty/seen"), right);
    assert_eq!(data.list(["model", "generations", "faulty"]).len(), 1, "what it was built in is gone");
}
