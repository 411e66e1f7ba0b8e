//! Bits that flip on the disk: whatever is read is right, or said to be damaged; a check finds each of them.
//!
//! `UNSPOOL_FLIPS=1000 cargo test --workspace --test crash flips` is the long form.

use super::*;
use std::collections::BTreeMap;
use unspool::{
    disk::backend,
    source::Source,
    vocabulary::{Event, EventBlock, Matcher, Scan},
};

/// A type of events.
const KIND: &str = "OrderConfirmed";

/// Bytes of the front of a file: what they say is healed where the pages bear it out.
const FRONT: usize = 384;

fn flips() -> u64 {
    setting("UNSPOOL_FLIPS", 40)
}

/// `image` with one bit flipped: of a byte that is used, now and then of one at the beginning.
fn flipped(image: &[u8], random: &mut Random) -> (usize, Vec<u8>) {
    let end = if random.chance(1, 10) { FRONT } else { image.len() };
    let at = loop {
        let at = random.index(end);
        if image[at] != 0 {
            break at;
        }
    };
    let mut image = image.to_vec();
    image[at] ^= 1 << random.below(8);
    (at, image)
}

/// What is on the disk once whoever had it open has closed it.
fn image_of(disk: &Disk, random: &mut Random) -> Vec<u8> {
    let until = std::time::Instant::now() + unspool_tests::machine::TIMEOUT;
    loop {
        let image = disk.after(Loss::Nothing, random);
        // It says that it is synced, and redb's header in it, that it was closed.
        if image[12] == 1 && image[64 + 9] & 2 == 0 {
            return image;
        }
        assert!(std::time::Instant::now() < until, "the file is not closed");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What happened to a number of flips.
#[derive(Debug, Default)]
struct Outcomes {
    refused_to_open: u64,
    read_right: u64,
    said_damaged: u64,
}

impl Outcomes {
    /// `read` gave nothing wrong, or this error.
    fn count(&mut self, read: Result<(), String>) {
        match read {
            Ok(()) => self.read_right += 1,
            Err(e) => {
                assert!(e.contains("is damaged"), "{e}");
                self.said_damaged += 1;
            }
        }
    }

    /// A run in which nothing was read, or nothing was found while reading, would show nothing.
    fn assert_telling(&self) {
        assert!(self.read_right > 0 && self.said_damaged > 0, "{self:?}");
    }

    /// `opened`, if it is.
    fn open<T>(&mut self, opened: Result<T, String>) -> Option<T> {
        match opened {
            Ok(opened) => Some(opened),
            Err(e) => {
                assert!(e.contains("is damaged") || e.contains("has format") || e.contains("does not belong"), "{e}");
                self.refused_to_open += 1;
                None
            }
        }
    }
}

/// Everything that can be asked of a log, asked.
#[derive(Debug, PartialEq)]
struct Told {
    stats: serde_json::Value,
    blocks: Vec<u8>,
    shown: Vec<Option<(u64, Event)>>,
    count: Option<u64>,
    until: Option<Position>,
    back: Option<Position>,
    located: unspool::source::Lookup,
}

fn ask(log: &EventLog, ids: &[String]) -> Result<Told, unspool::source::SourceError> {
    let end = log.ceiling()?;
    let mut reader = log.read(&Matcher::All, Position::START, end)?;
    let mut blocks = Vec::new();
    while let Some(EventBlock { bytes, .. }) = reader.next()? {
        blocks.extend_from_slice(bytes);
    }
    let middle = Position::number(end.minor / 2);
    let kind = Matcher::new(&[KIND.to_owned()]);
    Ok(Told {
        stats: serde_json::to_value(log.stats()?).expect("figures"),
        blocks,
        shown: ids.iter().map(|id| log.show(id)).collect::<Result<_, _>>()?,
        count: log.count(&kind, middle, end)?,
        until: log.until(1_706_702_500_000)?,
        back: log.back(&kind, end, 40)?,
        located: log.locate(&ids[ids.len() / 2])?,
    })
}

#[test]
fn a_flipped_bit_of_a_log_is_found_when_it_is_read() {
    let (seed, mut outcomes) = (setting("UNSPOOL_SEED", 1), Outcomes::default());
    let mut random = Random::new(seed);
    let history = History::of_orders(2_000, 3);
    let disk = Disk::new(Vec::new());
    let log = EventLog::open_on(disk.clone(), "a log").unwrap();
    import(&log, &history.file).unwrap();
    drop(log);
    let image = image_of(&disk, &mut random);
    let lines = std::str::from_utf8(&history.file).unwrap().lines();
    let id = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = lines.step_by(97).map(id).collect();
    let open = |disk: Disk| EventLog::open_on(disk, "a log");
    let right = ask(&open(Disk::new(image.clone())).unwrap(), &ids).unwrap();

    for number in 0..flips() {
        let (at, flipped) = flipped(&image, &mut random);
        let place = format!("byte {at} of {}, flip {number}, UNSPOOL_SEED={seed}", image.len());
        let Some(log) = outcomes.open(open(Disk::new(flipped.clone())).map_err(|e| e.to_string())) else { continue };
        let told = ask(&log, &ids).map_err(|e| e.to_string());
        if let Ok(told) = &told {
            assert!(*told == right, "{place}: something else was read");
        }
        outcomes.count(told.map(drop));
        drop(log);
        let log = open(Disk::new(flipped)).unwrap_or_else(|e| panic!("{place}: {e}"));
        let problems = log.check().unwrap();
        assert!(!problems.is_empty() || at < FRONT, "{place}: not found");
        // What is damaged is not built on.
        if let Err(e) = import(&log, &history.file) {
            assert!(e.contains("is damaged"), "{place}: {e}");
        }
    }
    println!("{} flips in a log of {} bytes: {outcomes:?}", flips(), image.len());
    outcomes.assert_telling();
}

#[test]
fn a_flipped_bit_of_a_log_reaches_no_row() {
    let (seed, mut outcomes) = (setting("UNSPOOL_SEED", 2), Outcomes::default());
    let mut random = Random::new(seed);
    let (factory, history) = (Factory::new(), History::of_orders(400, 3));
    let disk = Disk::new(Vec::new());
    // What failed of a file is kept by its name: each test has one of its own.
    import(&EventLog::open_on(disk.clone(), "a log of rows").unwrap(), &history.file).unwrap();
    let image = image_of(&disk, &mut random);
    for _ in 0..flips() / 2 {
        let (at, flipped) = flipped(&image, &mut random);
        let Some(log) =
            outcomes.open(EventLog::open_on(Disk::new(flipped), "a log of rows").map_err(|e| e.to_string()))
        else {
            continue;
        };
        let machine = factory.open(factory.disk(), log, 5).unwrap();
        for name in ["order-summary", "inventory-levels"] {
            let started = machine.supervisor.trigger(&trigger(name, 100));
            machine.wait();
            let status = machine.supervisor.progress(name).unwrap();
            outcomes.count(match (started, status) {
                (Err(e), _) => Err(e.to_string()),
                (Ok(_), Some(progress)) if progress.status == Status::Completed => {
                    machine.assert_live_is_the_fold(name, &history);
                    Ok(())
                }
                (Ok(_), progress) => Err(progress.and_then(|progress| progress.error).expect("it says why")),
            });
        }
        assert!(machine.store.check().unwrap().problems.is_empty(), "byte {at}");
    }
    println!("{} flips in a log of {} bytes, two rebuilds each: {outcomes:?}", flips() / 2, image.len());
    outcomes.assert_telling();
}

/// By table, in key order: keys and documents.
type AllRows = BTreeMap<String, Vec<(String, Vec<u8>)>>;

/// All rows of all live generations, by a scan, one by one, and as a digest.
fn read_rows(store: &Store) -> Result<AllRows, StoreError> {
    let mut all = BTreeMap::new();
    for name in PROJECTIONS {
        let Some(live) = store.projection(name)?.live else { continue };
        let generation = store.generation(name, live)?;
        store.digest(&generation)?;
        let snapshot = store.rows(&generation)?;
        for (table, table_name) in generation.tables.iter().enumerate() {
            let mut rows = Vec::new();
            for (key, document) in snapshot.scan(table, Scan::ALL)? {
                assert_eq!(snapshot.get(table, &key)?.as_deref(), Some(&*document), "{name} {key}");
                rows.push((key, document.to_vec()));
            }
            all.insert(format!("{name}/{table_name}"), rows);
        }
    }
    Ok(all)
}

#[test]
fn a_flipped_bit_of_a_store_is_found_when_it_is_read() {
    let (seed, mut outcomes) = (setting("UNSPOOL_SEED", 3), Outcomes::default());
    let mut random = Random::new(seed);
    let (factory, history) = (Factory::new(), History::of_orders(2_000, 3));
    let machine = factory.open(factory.disk(), history.log.clone(), 5).unwrap();
    for name in PROJECTIONS {
        machine.supervisor.trigger(&trigger(name, 100)).unwrap();
        // What was never read to its end has no digest, and is found all the same.
        if name == "process-map" {
            let _ = machine.supervisor.pause(name);
        }
    }
    machine.wait();
    let disk = machine.disk.clone();
    machine.supervisor.shut_down(&[]);
    drop(machine);
    let image = image_of(&disk, &mut random);
    let right = read_rows(&Store::open_on(Disk::new(image.clone())).unwrap()).unwrap();
    assert!(right.values().any(|rows| rows.len() > 100));
    // Most pages are not in use at the end: the journal has grown and gone.
    let flips = 5 * flips();
    for number in 0..flips {
        let (at, flipped) = flipped(&image, &mut random);
        let place = format!("byte {at} of {}, flip {number}, UNSPOOL_SEED={seed}", image.len());
        let Some(store) = outcomes.open(Store::open_on(Disk::new(flipped.clone())).map_err(|e| e.to_string())) else {
            continue;
        };
        let rows = read_rows(&store).map_err(|e| e.to_string());
        if let Ok(rows) = &rows {
            assert!(*rows == right, "{place}: something else was read");
        }
        outcomes.count(rows.map(drop));
        drop(store);
        let store = Store::open_on(Disk::new(flipped)).unwrap_or_else(|e| panic!("{place}: {e}"));
        let report = store.check().unwrap();
        assert!(!report.problems.is_empty() || at < FRONT, "{place}: not found");
        drop(store);
    }
    println!("{flips} flips in a store of {} bytes: {outcomes:?}", image.len());
    outcomes.assert_telling();
}

/// Damage that is more than a bit: sectors of something else, a tail that is missing, pages that have changed places.
#[test]
fn damage_of_any_size_is_told() {
    let mut random = Random::new(setting("UNSPOOL_SEED", 4));
    let history = History::of_orders(500, 3);
    let disk = Disk::new(Vec::new());
    import(&EventLog::open_on(disk.clone(), "a log of any damage").unwrap(), &history.file).unwrap();
    let image = image_of(&disk, &mut random);
    let pages: Vec<usize> = (2..image.len() / 4096).filter(|page| image[page * 4096] != 0).collect();
    let mut damaged = Vec::new();
    for _ in 0..8 {
        let (mut sector, mut zeros, mut swapped) = (image.clone(), image.clone(), image.clone());
        let (one, other) = (random.pick(&pages) * 4096, random.pick(&pages) * 4096);
        sector[one..one + 512].iter_mut().for_each(|byte| *byte = random.number() as u8);
        zeros[one..one + 4096].fill(0);
        swapped.copy_within(one..one + 4096, other);
        damaged.extend([(sector, "a sector"), (zeros, "zeros"), (image[..one].to_vec(), "the end is missing")]);
        if image[one..one + 4096] != image[other..other + 4096] {
            damaged.push((swapped, "a page of another place"));
        }
    }
    for (image, what) in damaged {
        match EventLog::open_on(Disk::new(image), "a log of any damage") {
            Err(e) => assert!(e.to_string().contains("is damaged"), "{what}: {e}"),
            Ok(log) => assert!(!log.check().unwrap().is_empty(), "{what}"),
        }
    }
}

/// A file of the format before this one has no checksums of ours. It is tested by those of redb, and gets them.
#[test]
fn a_file_without_checksums_is_tested_and_gets_them() {
    let mut random = Random::new(setting("UNSPOOL_SEED", 5));
    let history = History::of_orders(500, 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    import(&EventLog::open(&path, "a log").unwrap(), &history.file).unwrap();
    let plain = {
        use unspool::disk::StorageBackend;
        let pages = backend(&path).unwrap();
        let mut plain = vec![0; pages.len().unwrap() as usize];
        let (header, rest) = plain.split_at_mut(4096);
        pages.read(0, &mut header[..320]).unwrap();
        for (page, bytes) in rest.chunks_mut(4096).enumerate() {
            // Those that were never written, too.
            pages.read((page as u64 + 1) * 4096, bytes).unwrap();
        }
        plain
    };
    assert!(plain.starts_with(b"redb"));
    std::fs::write(&path, &plain).unwrap();
    let log = EventLog::open(&path, "a log").unwrap();
    assert_eq!((log.stats().unwrap().events, log.check().unwrap()), (500, Vec::new()));
    drop(log);
    assert!(std::fs::read(&path).unwrap().starts_with(b"unspool\n"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");

    let used: Vec<usize> = (4096..plain.len()).filter(|at| plain[*at] != 0).collect();
    let mut refused = 0;
    for _ in 0..flips() / 4 {
        let mut flipped = plain.clone();
        flipped[random.pick(&used)] ^= 1 << random.below(8);
        std::fs::write(&path, &flipped).unwrap();
        match EventLog::open(&path, "a log") {
            Err(e) => {
                assert!(e.to_string().contains("is damaged"), "{e}");
                assert_eq!(std::fs::read(&path).unwrap(), flipped, "it is left as it is");
                refused += 1;
            }
            // Nothing that is in use.
            Ok(log) => assert_eq!((log.stats().unwrap().events, log.check().unwrap()), (500, Vec::new())),
        }
    }
    assert!(refused > 0);
}
