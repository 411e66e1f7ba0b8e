//! How far long work is: what is said of it, and that who waits for news is woken by them.

use std::{
    io::Cursor,
    sync::{Arc, Condvar, Mutex, mpsc},
    time::Duration,
};
use unspool::{
    disk::DiskError,
    plugin::{Engine, EngineOptions},
    rebuild::{Options, Supervisor, Trigger},
    source::{
        Reader, Recognised, Source, SourceError, Sources, event_file::EventFile, file::FileSources, log::EventLog,
    },
    store::{DataDir, RebuildOptions, Store, StoreError, compact},
    vocabulary::{Mark, Matcher, Position, Work, work},
};
use unspool_tests::{history, machine::TIMEOUT, plugins::plugin};

/// How often it is looked how far something is.
const LOOK: Duration = Duration::from_millis(1);

/// Events of each history here.
const EVENTS: u64 = 2_000;

/// A history that gives one block, and what is behind it only where it is open.
struct Gated {
    history: EventLog,
    open: Arc<Gate>,
}

#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn set(&self, open: bool) {
        *self.0.lock().unwrap() = open;
        self.1.notify_all();
    }

    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

impl Source for Gated {
    fn identity(&self) -> &str {
        self.history.identity()
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        self.history.ceiling()
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        let reader = self.history.read(matcher, after, through)?;
        Ok(Box::new(GatedReader { reader, open: self.open.clone(), first: true }))
    }

    fn recognises(&self, identity: &str) -> Recognised {
        self.history.recognises(identity)
    }

    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError> {
        self.history.at(position)
    }

    fn count(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Option<u64>, SourceError> {
        self.history.count(matcher, after, through)
    }
}

struct GatedReader {
    reader: Box<dyn Reader>,
    open: Arc<Gate>,
    first: bool,
}

impl Reader for GatedReader {
    fn next(&mut self) -> Result<Option<&unspool::vocabulary::EventBlock>, SourceError> {
        if !std::mem::take(&mut self.first) {
            self.open.pass();
        }
        self.reader.next()
    }
}

struct Host {
    supervisor: Supervisor,
    open: Arc<Gate>,
    dir: tempfile::TempDir,
}

impl Host {
    /// With `order-summary`, and a history called `gated`, which is open.
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let log = EventLog::empty("log").unwrap();
        let lines = history::orders(EVENTS, 11);
        let mut file = EventFile::from_reader(Box::new(Cursor::new(lines)), "orders").unwrap();
        log.import(&mut file, &mut |_| {}).unwrap();
        let open = Arc::new(Gate::default());
        open.set(true);
        let gated = Gated { history: log.clone(), open: open.clone() };
        let sources = Sources::new(Ok(log), FileSources::new(dir.path().join("files")), dir.path().to_owned());
        let sources = sources.with("gated", Arc::new(gated));
        let store = Store::open(&DataDir::open(&dir.path().join("data")).unwrap()).unwrap();
        let engine = Engine::new(EngineOptions::new(dir.path().join("compiled"))).unwrap();
        let supervisor = Supervisor::start(store, sources, engine, Options::default()).unwrap();
        supervisor.install(&std::fs::read(plugin("order-summary")).unwrap(), None).unwrap();
        Host { supervisor, open, dir }
    }

    fn rebuild(&self, options: RebuildOptions) {
        let (name, source) = ("order-summary".to_owned(), Some("gated".to_owned()));
        self.supervisor.trigger(&Trigger { name, source, options, ..Trigger::default() }).unwrap();
    }

    fn wait_until_idle(&self) {
        assert!(self.supervisor.wait_idle(None, TIMEOUT));
    }
}

/// The stream of the first event of the history.
fn a_stream() -> String {
    history::events(&history::orders(EVENTS, 11))[0]["stream"].as_str().unwrap().to_owned()
}

#[test]
fn a_rebuild_of_one_stream_says_how_much_of_its_history_it_has_looked_through() {
    let host = Host::new();
    host.rebuild(RebuildOptions::default());
    host.wait_until_idle();
    host.open.set(false);
    let stream = a_stream();
    let mut middle: Option<Work> = None;
    let rebuilt = work::watched(LOOK, || host.supervisor.rebuild_stream("order-summary", &stream), &mut |work| {
        // The rest comes when this has been seen.
        if middle.is_none() && work.done > 0 {
            middle = Some(work);
            host.open.set(true);
        }
    });
    assert!(rebuilt.unwrap().unwrap().events > 0);
    let Work { what, unit, done, total } = middle.unwrap();
    assert_eq!((what.as_str(), unit.as_str()), ("looking through the history of order-summary", "events"));
    assert!((1..EVENTS).contains(&done) && total == Some(EVENTS), "{done} of {total:?}");
}

#[test]
fn who_waits_for_news_of_a_rebuild_is_woken_by_them() {
    let host = Host::new();
    host.open.set(false);
    let (woken, is_woken) = mpsc::channel();
    std::thread::scope(|scope| {
        let waits = |known: u64| {
            let (supervisor, woken) = (host.supervisor.clone(), woken.clone());
            std::thread::spawn(move || {
                // Nobody waits as long for a look that comes by itself.
                supervisor.wait_for_news(known, 10 * TIMEOUT);
                woken.send(()).unwrap();
            });
        };
        waits(host.supervisor.news());
        scope.spawn(|| host.rebuild(RebuildOptions::default()));
        is_woken.recv_timeout(TIMEOUT).expect("woken when it begins");
        while host.supervisor.wait_idle(Some(&["order-summary".to_owned()]), Duration::ZERO) {
            std::thread::yield_now();
        }
    });
    let waits_for_the_end = host.supervisor.clone();
    let (woken, is_woken) = mpsc::channel();
    std::thread::spawn(move || {
        while !waits_for_the_end.wait_idle(None, Duration::ZERO) {
            waits_for_the_end.wait_for_news(waits_for_the_end.news(), 10 * TIMEOUT);
        }
        woken.send(()).unwrap();
    });
    host.open.set(true);
    is_woken.recv_timeout(TIMEOUT).expect("woken when it ends");
}

/// How much there is to do is not known before; what has been done is.
#[test]
fn compacting_says_how_many_pages_it_has_read_and_written() {
    let host = Host::new();
    host.rebuild(RebuildOptions::default());
    host.wait_until_idle();
    let Host { supervisor, dir, .. } = host;
    drop(supervisor);
    let data = DataDir::open(&dir.path().join("data")).unwrap();
    let (seen, is_seen) = mpsc::channel();
    let compacted = work::watched(
        LOOK,
        move || {
            // The threads of the host let the store go when they end.
            let compacted = loop {
                match compact(&data) {
                    Err(StoreError::Disk(DiskError::InUse(_))) => std::thread::yield_now(),
                    done => break done,
                }
            };
            is_seen.recv_timeout(TIMEOUT).map(|()| compacted)
        },
        &mut |work| {
            if (work.what.as_str(), work.unit.as_str(), work.total) == ("compacting", "pages", None) && work.done > 0 {
                // Once it has been seen nobody listens any more.
                let _seen = seen.send(());
            }
        },
    );
    compacted.unwrap().expect("pages were counted").unwrap();
}
