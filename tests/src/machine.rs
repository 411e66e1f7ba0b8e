//! A host in this process, over a [`Disk`]: what a machine keeps when everything on it has gone but its disk.

use crate::{
    data::Rows,
    disk::{Disk, Fault, Loss},
    history, oracle,
    plugins::{plugin, plugin_with},
    random::Random,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tempfile::TempDir;
use unspool::{
    plugin::{Engine, EngineOptions},
    rebuild::{Options, Supervisor},
    source::{Sources, event_file::EventFile, file::FileSources, log::EventLog},
    store::{Generation, Store},
    vocabulary::{Scan, canonical, from_json, to_json},
};

/// The projections of every machine. `faulty` fails at an event `Error`, unless its fixed build is in place.
pub const PROJECTIONS: [&str; 4] = ["faulty", "inventory-levels", "order-summary", "process-map"];

/// Nothing that is waited for takes as long; whoever waits longer hangs.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// What machines have in common, made once: an engine, compiled plugins, and a store in which they are installed.
pub struct Factory {
    engine: Engine,
    dir: TempDir,
    components: BTreeMap<&'static str, Vec<u8>>,
    fixed: Vec<u8>,
    off_by_one: Vec<u8>,
    store: Vec<u8>,
}

/// A history, and what its rebuilds must come to.
pub struct History {
    /// Its events, durably.
    pub log: EventLog,
    /// For each projection the digest of its rows, by a naive fold.
    pub digests: BTreeMap<&'static str, String>,
    /// For each projection its rows by table, by a naive fold.
    pub rows: BTreeMap<&'static str, BTreeMap<&'static str, Rows>>,
    /// Whether `faulty` fails at one of them.
    pub fails: bool,
    /// The events as a file.
    pub file: Vec<u8>,
}

/// A host over a disk.
pub struct Machine {
    /// What it stands on.
    pub disk: Disk,
    /// Its store.
    pub store: Store,
    /// Its rebuilds.
    pub supervisor: Supervisor,
}

impl Factory {
    /// Builds the plugins where they are not built yet, and compiles and installs them.
    pub fn new() -> Factory {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let engine = Engine::new(EngineOptions::new(dir.path().join("compiled"))).expect("an engine");
        let read = |path: PathBuf| bare(&std::fs::read(path).expect("a component"));
        let components: BTreeMap<_, _> = PROJECTIONS.iter().map(|name| (*name, read(plugin(name)))).collect();
        let fixed = read(plugin_with("faulty", &["fixed"]));
        let off_by_one = read(plugin_with("faulty", &["off-by-one"]));
        let mut factory = Factory { engine, dir, components, fixed, off_by_one, store: Vec::new() };
        let disk = Disk::new(Vec::new());
        let machine = factory.open(disk.clone(), empty_log(), 5).expect("an empty disk");
        for component in factory.components.values() {
            machine.supervisor.install(component, None).expect("a plugin");
        }
        drop(machine);
        factory.store = disk.durable();
        factory
    }

    /// A disk with a store in which every plugin is installed.
    pub fn disk(&self) -> Disk {
        Disk::new(self.store.clone())
    }

    /// Opens the store on `disk` and starts a host with `permits` permits in its pool.
    ///
    /// # Errors
    /// What the store or the supervisor says.
    pub fn open(&self, disk: Disk, log: EventLog, permits: usize) -> Result<Machine, String> {
        let store = Store::open_on(disk.clone()).map_err(|e| e.to_string())?;
        self.start(disk, store, log, permits)
    }

    /// Starts a host over `store`, which is open already.
    ///
    /// # Errors
    /// What the supervisor says.
    pub fn start(&self, disk: Disk, store: Store, log: EventLog, permits: usize) -> Result<Machine, String> {
        let files = FileSources::new(self.dir.path().join("files"));
        let sources = Sources::new(Ok(log), files, self.dir.path().to_owned());
        let options = Options { permits, ..Options::default() };
        let supervisor = Supervisor::start(store.clone(), sources, self.engine.clone(), options);
        Ok(Machine { disk, store, supervisor: supervisor.map_err(|e| e.to_string())? })
    }

    /// The plugin of `name` as it was installed.
    pub fn component(&self, name: &str) -> &[u8] {
        &self.components[name]
    }

    /// A plugin of `name` that does the same and has another digest.
    pub fn twin(&self, name: &str) -> Vec<u8> {
        with_a_note(&self.components[name])
    }

    /// A plugin of `name` that handles every event; the installed one where that does.
    pub fn fixed(&self, name: &str) -> &[u8] {
        if name == "faulty" { &self.fixed } else { &self.components[name] }
    }

    /// A plugin of `faulty` that counts an event `Late` twice.
    pub fn off_by_one(&self) -> &[u8] {
        &self.off_by_one
    }
}

impl Default for Factory {
    fn default() -> Self {
        Factory::new()
    }
}

/// The component without its custom sections, and those of the modules in it: names and debugging information, which are
/// nine tenths of it. A disk that is copied a thousand times is better without.
fn bare(wasm: &[u8]) -> Vec<u8> {
    const HEADER: usize = 8;
    const CUSTOM: u8 = 0;
    const MODULE: u8 = 1;
    let is_component = wasm[4] != 1;
    let mut bare = wasm[..HEADER].to_vec();
    let mut rest = &wasm[HEADER..];
    while let Some((id, behind)) = rest.split_first() {
        let (len, content) = leb128(behind);
        let (content, behind) = content.split_at(len);
        rest = behind;
        let content = match *id {
            CUSTOM => continue,
            MODULE if is_component => self::bare(content),
            _ => content.to_vec(),
        };
        bare.push(*id);
        let mut len = content.len();
        while len >= 0x80 {
            bare.push(len as u8 | 0x80);
            len >>= 7;
        }
        bare.push(len as u8);
        bare.extend(content);
    }
    bare
}

fn leb128(bytes: &[u8]) -> (usize, &[u8]) {
    let len = 1 + bytes.iter().take_while(|byte| **byte >= 0x80).count();
    let number = bytes[..len].iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[len..])
}

/// The component with a custom section behind it: other bytes that mean the same.
fn with_a_note(component: &[u8]) -> Vec<u8> {
    let note = b"\x04noteequal";
    [component, &[0, note.len() as u8], note].concat()
}

/// A log without events, in memory.
pub fn empty_log() -> EventLog {
    EventLog::open_on(Disk::new(Vec::new()), "the log").expect("a log")
}

impl Machine {
    /// Crashes: what is left of the disk. Every thread of the host comes to its end, on a disk that is gone.
    pub fn crash(self, loss: Loss, random: &mut Random) -> Disk {
        self.disk.kill();
        let left = self.disk.after(loss, random);
        self.supervisor.shut_down(&[]);
        Disk::new(left)
    }

    /// Crashes at the `after`-th operation from now that would change the disk.
    pub fn crash_later(&self, after: u64) {
        self.disk.plan(after, Fault::Death);
    }

    /// Waits until nothing runs.
    pub fn wait(&self) {
        assert!(self.supervisor.wait_idle(None, TIMEOUT), "a rebuild hangs");
    }

    /// The rows of a generation, by table, as JSON.
    pub fn rows(&self, generation: &Generation) -> BTreeMap<String, Rows> {
        let snapshot = self.store.rows(generation).expect("rows");
        let table = |index: usize| -> Rows {
            let page = snapshot.scan(index, Scan::ALL).expect("rows");
            page.into_iter().map(|(key, document)| (key, to_json(&document).expect("a document"))).collect()
        };
        generation.tables.iter().enumerate().map(|(index, name)| (name.clone(), table(index))).collect()
    }

    /// Asserts that what readers of `name` see is what a naive fold of `history` gives, byte for byte.
    #[track_caller]
    pub fn assert_live_is_the_fold(&self, name: &str, history: &History) {
        let live = self.store.live(name).expect("a generation is live");
        let digest = self.store.digest(&live).expect("a digest").digest;
        if digest != history.digests[name] {
            let found = self.rows(&live);
            let expected: BTreeMap<String, Rows> =
                history.rows[name].iter().map(|(table, rows)| ((*table).to_owned(), rows.clone())).collect();
            assert_eq!(found, expected, "{name}/{}", live.number);
            panic!("{name}/{}: its rows read like the fold's, and have the digest {digest}", live.number);
        }
    }

    /// Asserts that what is stored fits together.
    #[track_caller]
    pub fn assert_sound(&self) {
        assert_eq!(self.store.check().expect("a store that can be read").problems, Vec::<String>::new());
    }
}

impl History {
    /// A history of orders, for every projection; none of it is for `faulty`.
    pub fn of_orders(events: u64, seed: u64) -> History {
        let events = with_positions(history::events(&history::orders(events, seed)), seed);
        let (orders, stock) = oracle::orders(&events);
        let held = |(id, order): (&String, &Value)| {
            (id.clone(), json!({ "lines": order["lines"], "confirmed": !order["confirmedAt"].is_null() }))
        };
        let held: Rows = orders.iter().map(held).collect();
        let rows = BTreeMap::from([
            ("faulty", BTreeMap::from([("seen", Rows::new())])),
            ("inventory-levels", BTreeMap::from([("orders", held), ("stock", stock)])),
            ("order-summary", BTreeMap::from([("orders", orders)])),
            ("process-map", oracle::process_map(&events)),
        ]);
        History::new(&events, rows)
    }

    /// A history for `faulty` and `process-map`. Where it `fails`, `faulty` cannot handle one of its events.
    pub fn of_others(events: u64, seed: u64, fails: bool) -> History {
        let mut random = Random::new(seed);
        let bad = fails.then(|| random.below(events));
        let event = |number: u64| {
            let (kind, stream) = (if bad == Some(number) { "Error" } else { "Fine" }, random.below(9));
            json!({
                "id": format!("e{number}"), "stream": format!("s{stream}"), "type": kind, "timestamp": number,
                "data": {}, "metadata": null,
            })
        };
        let events = with_positions((0..events).map(event).collect(), seed);
        let mut seen = BTreeMap::<String, u64>::new();
        for event in &events {
            *seen.entry(event["stream"].as_str().expect("a stream").to_owned()).or_default() += 1;
        }
        let seen = seen.into_iter().map(|(stream, count)| (stream, json!({ "count": count }))).collect();
        let rows = BTreeMap::from([
            ("faulty", BTreeMap::from([("seen", seen)])),
            ("process-map", oracle::process_map(&events)),
        ]);
        History { fails, ..History::new(&events, rows) }
    }

    fn new(events: &[Value], rows: BTreeMap<&'static str, BTreeMap<&'static str, Rows>>) -> History {
        let file: String = events.iter().map(|event| format!("{event}\n")).collect();
        let log = empty_log();
        import(&log, file.as_bytes()).expect("events");
        let digests = rows.iter().map(|(name, tables)| (*name, digest(tables))).collect();
        History { log, digests, rows, fails: false, file: file.into_bytes() }
    }

    /// The projections that handle it.
    pub fn projections(&self) -> Vec<&'static str> {
        self.rows.keys().copied().collect()
    }
}

/// The events with positions, some of which have holes before them.
fn with_positions(mut events: Vec<Value>, seed: u64) -> Vec<Value> {
    let (mut random, mut position) = (Random::new(seed), 0);
    for event in &mut events {
        position += if random.chance(1, 8) { 1 + random.below(50) } else { 1 };
        event["position"] = json!(position);
    }
    events
}

/// Imports an event file from memory.
///
/// # Errors
/// What the log says.
pub fn import(log: &EventLog, file: &[u8]) -> Result<u64, String> {
    let reader = Box::new(std::io::Cursor::new(file.to_vec()));
    let mut file = EventFile::from_reader(reader, "the history").map_err(|e| e.to_string())?;
    log.import(&mut file, &mut |_| {}).map(|summary| summary.added).map_err(|e| e.to_string())
}

/// The digest of a read model, as `host/DESIGN.md` defines it.
fn digest(tables: &BTreeMap<&'static str, Rows>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for (table, rows) in tables {
        part(table.as_bytes());
        for (key, document) in rows {
            part(key.as_bytes());
            let document = from_json(&document.to_string()).expect("a document");
            part(&canonical(&document).expect("a document"));
        }
    }
    hasher.finalize().to_hex().to_string()
}
