//! Disks that fail: whatever fails, and at whichever operation, nothing is called done that is not durable, nothing hangs,
//! and what is left opens again and goes on to the right rows.

mod flips;

use unspool::{
    rebuild::Trigger,
    source::log::EventLog,
    store::{
        Allow, AttemptStart, Commit, NewRebuild, Priority, Purpose, RebuildOptions, RebuildSpec, RowChange, Store,
        StoreError,
    },
    vocabulary::{Position, StageReport, Status},
};
use unspool_tests::{
    disk::{Disk, FAULTS, Fault, LOSSES, Loss},
    machine::{Factory, History, Machine, PROJECTIONS, import},
    random::{Random, setting},
};

fn trigger(name: &str, chunk_size: u32) -> Trigger {
    let options =
        RebuildOptions { chunk_size: Some(chunk_size), priority: Some(Priority::Normal), ..RebuildOptions::default() };
    Trigger { name: name.to_owned(), options, ..Trigger::default() }
}

/// Rebuilds with pauses between, so that there are many commits in a short time. The first error ends it.
fn work(machine: &Machine) -> Result<(), String> {
    let said = |e: unspool::rebuild::RebuildError| e.to_string();
    for (round, name) in PROJECTIONS.iter().cycle().take(8).enumerate() {
        machine.supervisor.trigger(&trigger(name, 4)).map_err(said)?;
        if round % 3 == 2 {
            // It may have reached its end first.
            let _ = machine.supervisor.pause(name);
        }
    }
    machine.wait();
    machine.supervisor.cancel("process-map").map_err(said)?;
    machine.supervisor.trigger(&Trigger { restart: true, ..trigger("order-summary", 50) }).map_err(said)?;
    machine.wait();
    Ok(())
}

/// What the host says of each projection, as an operator would hear it.
fn told(machine: &Machine) -> Vec<Told> {
    let progress = |name| machine.supervisor.progress(name).ok().flatten();
    let told = |name| {
        progress(name).map_or(Told { name, checkpoint_id: String::new(), status: None, error: None }, |progress| Told {
            name,
            checkpoint_id: progress.checkpoint_id,
            status: Some(progress.status),
            error: progress.error,
        })
    };
    PROJECTIONS.iter().map(|name| told(*name)).collect()
}

/// What the host says of one projection's latest rebuild.
struct Told {
    name: &'static str,
    checkpoint_id: String,
    status: Option<Status>,
    error: Option<String>,
}

impl Told {
    fn generation(&self) -> u64 {
        self.checkpoint_id.rsplit('/').next().and_then(|number| number.parse().ok()).expect("it names a generation")
    }
}

/// Lets every projection come to its end on a disk that works, and compares with the fold.
fn finish(machine: &Machine, history: &History) {
    for name in PROJECTIONS {
        machine.supervisor.trigger(&trigger(name, 100)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    machine.wait();
    for Told { name, status, error, .. } in told(machine) {
        assert_eq!((status, error), (Some(Status::Completed), None), "{name}");
        machine.assert_live_is_the_fold(name, history);
    }
    machine.assert_sound();
}

#[test]
fn a_rebuild_survives_any_fault_at_any_operation() {
    let factory = Factory::new();
    let history = History::of_orders(120, 7);
    let faults = setting("UNSPOOL_FAULTS", 40);

    let healthy = factory.open(factory.disk(), history.log.clone(), 5).unwrap();
    work(&healthy).unwrap();
    healthy.assert_sound();
    let operations = healthy.disk.operations();
    assert!(operations > 50, "{operations} operations are too few to fail at");

    let mut random = Random::new(setting("UNSPOOL_SEED", 1));
    let (mut struck, mut refused_to_open) = (0, 0);
    for fault in FAULTS {
        for index in 0..faults {
            let at = index * operations / faults;
            let disk = factory.disk();
            disk.plan(at, fault);
            let mut done = Vec::new();
            let opened = factory.open(disk.clone(), history.log.clone(), 5);
            if let Ok(machine) = opened {
                let worked = work(&machine);
                machine.wait();
                done = told(&machine);
                done.retain(|told| told.status == Some(Status::Completed));
                assert!(worked.is_ok() || disk.is_struck(), "{fault:?} at {at}: {worked:?}");
                drop(machine);
            } else {
                refused_to_open += 1;
            }
            struck += u64::from(disk.is_struck());
            assert!(!disk.went_on(), "{fault:?} at {at}: something was written behind a failure, on the same handle");

            let loss = random.pick(&LOSSES);
            // A failed sync says nothing about what it was to sync: readers see it until the machine restarts.
            let loss = if fault == Fault::Sync { Loss::Unsynced } else { loss };
            let left = Disk::new(disk.after(loss, &mut random));
            let store = Store::open_on(left.clone()).unwrap_or_else(|e| panic!("{fault:?} at {at}, {loss:?}: {e}"));
            let report = store.check().unwrap();
            assert_eq!(report.problems, Vec::<String>::new(), "{fault:?} at {at}, {loss:?}");
            // A failed commit may be on the disk all the same, so that the latest generation may be a newer one.
            for done in done {
                let name = done.name;
                let stored = store.rebuild(name, done.generation()).unwrap();
                assert_eq!(stored.status(), Status::Completed, "{fault:?} at {at}, {loss:?}: {name} was called done");
            }
            let machine = factory.start(left, store, history.log.clone(), 5).unwrap();
            finish(&machine, &history);
        }
    }
    println!("{struck} faults struck in {operations} operations; {refused_to_open} of them while opening");
    assert!(struck >= faults * 3, "{struck} of {} faults struck", faults * FAULTS.len() as u64);
}

#[test]
fn an_import_is_there_as_a_whole_or_not_at_all() {
    let history = History::of_orders(2_000, 3);
    let total = import(&EventLog::open_on(Disk::new(Vec::new()), "a log").unwrap(), &history.file).unwrap();
    let counted = Disk::new(Vec::new());
    let log = EventLog::open_on(counted.clone(), "a log").unwrap();
    let empty = counted.operations();
    import(&log, &history.file).unwrap();
    let operations = counted.operations();
    let image = {
        let disk = Disk::new(Vec::new());
        drop(EventLog::open_on(disk.clone(), "a log").unwrap());
        disk.durable()
    };

    let mut random = Random::new(setting("UNSPOOL_SEED", 1));
    let (faults, mut struck) = (setting("UNSPOOL_FAULTS", 40), 0);
    for fault in FAULTS {
        for index in 0..faults {
            let at = index * (operations - empty) / faults;
            let disk = Disk::new(image.clone());
            disk.plan(at, fault);
            let imported = EventLog::open_on(disk.clone(), "a log").map_err(|e| e.to_string()).and_then(|log| {
                let imported = import(&log, &history.file);
                assert!(imported.is_ok() || disk.is_struck(), "{imported:?}");
                imported
            });
            struck += u64::from(disk.is_struck());
            let loss = if fault == Fault::Sync { Loss::Unsynced } else { random.pick(&LOSSES) };
            let log = EventLog::open_on(Disk::new(disk.after(loss, &mut random)), "a log").unwrap();
            let events = log.stats().unwrap().events;
            assert!(events == 0 || events == total, "{fault:?} at {at}, {loss:?}: {events} of {total}");
            assert!(
                imported.is_err() || events == total,
                "{fault:?} at {at}, {loss:?}: an import that was done is gone"
            );
            assert_eq!(log.check().unwrap(), Vec::<String>::new());
            assert_eq!(import(&log, &history.file), Ok(total - events), "importing again adds what is missing");
            assert_eq!(log.stats().unwrap().events, total);
        }
    }
    println!("{struck} faults struck in an import of {} operations", operations - empty);
    assert!(struck > 0);
}

/// A generation of `order-summary`, by hand.
fn generation() -> NewRebuild {
    NewRebuild {
        spec: RebuildSpec {
            source: "log".to_owned(),
            source_identity: "a history".to_owned(),
            after: Position::START,
            to: None,
            purpose: Purpose::Scratch,
            label: None,
            segments: Vec::new(),
            options: options(),
        },
        shape: None,
        into: None,
        indexes: Vec::new(),
    }
}

fn options() -> RebuildOptions {
    RebuildOptions {
        chunk_size: Some(1),
        priority: Some(Priority::Normal),
        no_promote: true,
        ..RebuildOptions::default()
    }
}

fn attempt() -> AttemptStart {
    AttemptStart {
        target: Position::number(10),
        total_events: Some(10),
        chunk_size: 1,
        options: options(),
        known: None,
    }
}

/// What an attempt that began with `record` hands over at `position`.
fn work_of(record: &unspool::store::RebuildRecord, position: u64, status: Status) -> Commit {
    let mut checkpoint = record.checkpoint.clone();
    (checkpoint.position, checkpoint.events_processed, checkpoint.status) =
        (Position::number(position), position, status);
    let row = RowChange { key: format!("{}", record.attempt).into(), document: Some(vec![position as u8].into()) };
    Commit {
        generation: record.generation,
        follows: false,
        attempt: record.attempt,
        plugin_digest: "a plugin".to_owned(),
        checkpoint,
        retries: 0,
        active_ms: 0,
        rows: std::sync::Arc::new(vec![vec![row]].into()),
        last: true,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: StageReport::default(),
        by: None,
    }
}

#[test]
fn an_attempt_that_was_replaced_or_goes_back_cannot_commit() {
    let name = "order-summary";
    let store = Store::open_on(Factory::new().disk()).unwrap();
    let number = store.create_generation(name, generation(), 0).unwrap().generation;
    let old = store.begin_attempt(name, number, &attempt()).unwrap();
    store.commit(&[work_of(&old, 5, Status::Running)]).unwrap();
    let fenced = |commit: Commit| {
        let before =
            (store.rebuild(name, number).unwrap().checkpoint, store.digest(&store.generation(name, number).unwrap()));
        assert!(matches!(store.commit(&[commit]), Err(StoreError::Fenced { .. })));
        let after =
            (store.rebuild(name, number).unwrap().checkpoint, store.digest(&store.generation(name, number).unwrap()));
        assert_eq!((before.0, before.1.unwrap()), (after.0, after.1.unwrap()), "nothing of it is kept");
    };
    fenced(work_of(&old, 4, Status::Running));
    let new = store.begin_attempt(name, number, &attempt()).unwrap();
    fenced(work_of(&old, 6, Status::Running));
    store.commit(&[work_of(&new, 6, Status::Running)]).unwrap();
    store.set_status(name, number, Status::Paused, None, 0).unwrap();
    fenced(work_of(&new, 7, Status::Running));
}

#[test]
fn readers_stay_where_they_were_turned_while_generations_come_and_go() {
    let name = "order-summary";
    let store = Store::open_on(Factory::new().disk()).unwrap();
    let complete = |_| {
        let number = store.create_generation(name, generation(), 0).unwrap().generation;
        let record = store.begin_attempt(name, number, &attempt()).unwrap();
        store.commit(&[work_of(&record, 10, Status::Completed)]).unwrap();
        number
    };
    let complete: Vec<u64> = (0..2).map(complete).collect();
    std::thread::scope(|scope| {
        let comes_and_goes = scope.spawn(|| {
            for _ in 0..300 {
                let number = store.create_generation(name, generation(), 0).unwrap().generation;
                store.drop_generation(name, number).unwrap();
            }
        });
        let mut turns = 0;
        while !comes_and_goes.is_finished() {
            let number = complete[turns % 2];
            turns += 1;
            store.promote(name, number, Allow::default()).unwrap();
            std::thread::yield_now();
            assert_eq!(store.projection(name).unwrap().live, Some(number), "after {turns} turns");
        }
        comes_and_goes.join().unwrap();
    });
}
