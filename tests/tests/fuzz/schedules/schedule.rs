//! One schedule.

use super::counts::{Counts, count};
use super::model::{Ask, Heard, Model};
use std::{collections::BTreeMap, fmt::Write, time::Duration};
use unspool::{
    rebuild::{CancelAnswer, RebuildError, Trigger, TriggerAnswer, UnfinishedRebuild},
    store::{Allow, Priority, RebuildOptions, StoreError},
    vocabulary::Status,
};
use unspool_tests::{
    disk::{Disk, LOSSES},
    machine::{Factory, History, Machine},
    random::Random,
};

/// What is known of one projection beside its status.
struct Known {
    model: Model,
    /// The generation of the latest rebuild, and how many of its events were reported as processed.
    reported: (u64, u64),
    /// Readers see what an operator chose, not what completed last.
    chosen: bool,
    /// The plugin in place handles every event.
    fixed: bool,
}

pub struct Schedule<'a> {
    factory: &'a Factory,
    history: &'a History,
    counts: &'a Counts,
    random: Random,
    permits: usize,
    machine: Option<Machine>,
    known: BTreeMap<&'static str, Known>,
    trace: String,
}

impl<'a> Schedule<'a> {
    pub fn new(factory: &'a Factory, histories: &'a [History], counts: &'a Counts, seed: u64) -> Schedule<'a> {
        let mut random = Random::new(seed);
        let history = &histories[random.index(histories.len())];
        let known = |name: &&'static str| {
            let fails = *name == "faulty" && history.fails;
            (*name, Known { model: Model::new(fails), reported: (0, 0), chosen: false, fixed: !fails })
        };
        let known = history.projections().iter().map(known).collect();
        let permits = 1 + random.index(5);
        Schedule { factory, history, counts, random, permits, machine: None, known, trace: String::new() }
    }

    /// What was done, and what was heard.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.trace, "  {what}");
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the host is up")
    }

    pub fn run(&mut self) {
        self.note(format!("{} permits, {:?}", self.permits, self.history.projections()));
        self.open(self.factory.disk());
        if self.random.chance(2, 3) {
            self.history.projections().into_iter().for_each(|name| self.trigger(name, Ask::Trigger));
        }
        for _ in 0..4 + self.random.below(12) {
            count(&self.counts.steps);
            self.step();
            if self.machine().disk.is_dead() {
                self.crash(None);
            }
        }
        // The last crash may be still to come.
        assert!(self.finish() || self.finish(), "no crash is planned any more");
    }

    fn step(&mut self) {
        let names = self.history.projections();
        let name = self.random.pick(&names);
        match self.random.below(24) {
            0..=5 => self.trigger(name, Ask::Trigger),
            6 => self.trigger(name, Ask::Restart),
            7..=10 => self.pause(name),
            11..=13 => self.resume(name),
            14 => self.cancel(name),
            15..=16 => self.swap(name),
            17 => self.see(name),
            18 => self.turn_readers(name),
            19 => self.verify(name),
            20 => {
                let after = self.random.below(60);
                self.note(format_args!("the disk goes {after} operations from now"));
                self.machine().crash_later(after);
            }
            21..=22 => self.crash(None),
            _ => {}
        }
        let pause = Duration::from_micros(self.random.below(4000));
        self.note(format_args!("{pause:?}"));
        std::thread::sleep(pause);
    }

    /// What was heard; a crash where the disk has gone meanwhile.
    fn hear(&mut self, name: &'static str, ask: Ask, heard: Result<Heard, RebuildError>) -> Option<Heard> {
        self.note(format_args!("{ask:?} {name}: {heard:?}"));
        let heard = match heard {
            Ok(heard) => heard,
            Err(_) if self.machine().disk.is_dead() => {
                self.crash(Some((name, ask)));
                return None;
            }
            Err(RebuildError::Refused { .. }) => Heard::Refused,
            Err(e) => panic!("{ask:?} {name}: {e}"),
        };
        // What was done is durable when it is said. That there is nothing to do may be what this host alone knows.
        let durable = matches!(heard, Heard::Done | Heard::Started | Heard::Resumed);
        let is_dead = self.machine().disk.is_dead();
        if durable || !is_dead {
            self.known(name).model.heard(ask, heard);
        }
        if is_dead {
            self.crash((!durable).then_some((name, ask)));
            return None;
        }
        Some(heard)
    }

    fn known(&mut self, name: &str) -> &mut Known {
        self.known.get_mut(name).expect("a projection of the history")
    }

    fn trigger(&mut self, name: &'static str, ask: Ask) {
        let trigger = Trigger {
            name: name.to_owned(),
            restart: ask == Ask::Restart,
            options: RebuildOptions {
                chunk_size: self.random.chance(7, 8).then(|| self.random_chunk_size()),
                priority: Some(if self.random.chance(1, 8) { Priority::Low } else { Priority::Normal }),
                rate_limit: Some(self.random.pick(&[2_000, 4_000, 10_000, u32::MAX])),
                ..RebuildOptions::default()
            },
            ..Trigger::default()
        };
        let heard = self.asked(&trigger);
        self.begun(name, ask, heard);
    }

    /// Triggers. What runs with another chunk size, priority or rate is said to, and runs.
    fn asked(&self, trigger: &Trigger) -> Result<Heard, RebuildError> {
        let refused = match self.machine().supervisor.trigger(trigger) {
            Err(e) if e.to_string().contains("running already, with another") => e,
            answer => return answer.map(|answer| told(&answer)),
        };
        let Ok(Some(record)) = self.machine().store.latest_rebuild(&trigger.name) else { return Err(refused) };
        let otherwise = record.spec.options.other_than(&trigger.options, record.chunk_size).is_some();
        assert!(otherwise, "{trigger:?}: {refused}; it runs with just that");
        Ok(Heard::AlreadyRunning)
    }

    fn random_chunk_size(&mut self) -> u32 {
        let up_to = self.random.pick(&[1, 2, 4, 8, 100]);
        1 + self.random.below(up_to) as u32
    }

    fn begun(&mut self, name: &'static str, ask: Ask, heard: Result<Heard, RebuildError>) {
        if self.hear(name, ask, heard) == Some(Heard::Started) {
            self.known(name).chosen = false;
        }
    }

    fn resume(&mut self, name: &'static str) {
        let heard = self.machine().supervisor.resume(name).map(|answer| told(&answer));
        self.begun(name, Ask::Resume, heard);
    }

    fn pause(&mut self, name: &'static str) {
        let heard = self.machine().supervisor.pause(name).map(|()| Heard::Done);
        if self.hear(name, Ask::Pause, heard) != Some(Heard::Done) {
            return;
        }
        count(&self.counts.pauses);
        self.see(name);
        if self.machine.is_some()
            && let Ok(Some(record)) = self.machine().store.latest_rebuild(name)
            && (1..record.total_events.unwrap()).contains(&record.checkpoint.events_processed)
        {
            count(&self.counts.pauses_midway);
        }
    }

    fn cancel(&mut self, name: &'static str) {
        let heard = self.machine().supervisor.cancel(name).map(|answer| match answer {
            CancelAnswer::Cancelled { .. } => Heard::Done,
            CancelAnswer::NotRunning { .. } => Heard::NotRunning,
            CancelAnswer::NotFound { .. } => Heard::NotFound,
        });
        self.hear(name, Ask::Cancel, heard);
    }

    fn swap(&mut self, name: &'static str) {
        let fixes = name == "faulty" && self.random.chance(1, 2);
        let component = match self.random.below(3) {
            _ if fixes => self.factory.fixed(name).to_vec(),
            0 => self.factory.component(name).to_vec(),
            _ => self.factory.twin(name),
        };
        let latest = self.machine().store.latest_rebuild(name).ok().flatten();
        let after = match (self.random.below(6), latest) {
            (0, _) => UnfinishedRebuild::Restart,
            (1, Some(record)) => {
                UnfinishedRebuild::RewindTo(self.random.below(record.checkpoint.position.minor + 1).to_string())
            }
            _ => UnfinishedRebuild::Continue,
        };
        let ask = if after == UnfinishedRebuild::Continue { Ask::Swap } else { Ask::SwapAnew };
        let heard = self.machine().supervisor.swap(name, &component, "swap", &after).map(|_| Heard::Done);
        // Whether it is in place is not known where it had no answer.
        let unknown = heard.is_err();
        count(&self.counts.swaps);
        self.known(name).fixed = (fixes || !self.history.fails || name != "faulty") && !unknown;
        if ask == Ask::SwapAnew {
            self.known(name).chosen = false;
        }
        self.hear(name, ask, heard);
    }

    /// Looks at everything there is to see of `name`.
    fn see(&mut self, name: &'static str) {
        let machine = self.machine();
        let latest = machine.store.latest_rebuild(name);
        let progress = machine.supervisor.progress(name);
        let owner = machine.store.projection(name);
        let (latest, progress, owner) = match (latest, progress, owner) {
            (Ok(latest), Ok(progress), Ok(owner)) => (latest, progress, owner),
            _ if machine.disk.is_dead() => return,
            other => panic!("{name}: {other:?}"),
        };
        let status = latest.as_ref().map(|record| record.status());
        self.note(format_args!("see {name}: {status:?}"));
        if self.machine().disk.is_dead() {
            return;
        }
        self.known(name).model.seen(status);
        let (Some(record), Some(progress)) = (latest, progress) else { return };
        self.reported(name, record.generation, progress.events_processed);
        if status == Some(Status::Completed) {
            assert_eq!(
                Some(record.checkpoint.events_processed),
                record.total_events,
                "{name} completed without an event"
            );
            let chosen = self.known(name).chosen;
            assert!(
                chosen || owner.live == Some(record.generation),
                "{name}/{} completed; readers see {:?}",
                record.generation,
                owner.live
            );
        }
        self.see_live(name);
    }

    /// Readers see what the fold gives, whenever they look.
    fn see_live(&mut self, name: &'static str) {
        if self.machine().store.projection(name).is_ok_and(|owner| owner.live.is_some())
            && !self.machine().disk.is_dead()
        {
            self.machine().assert_live_is_the_fold(name, self.history);
        }
    }

    /// What was reported as processed never becomes less.
    fn reported(&mut self, name: &'static str, generation: u64, events: u64) {
        let (known, before) = self.known(name).reported;
        assert!(generation >= known, "{name}/{known} is gone; the latest is {generation}");
        if generation == known {
            assert!(events >= before, "{name}/{generation}: {before} events were reported, {events} are left");
        }
        self.known(name).reported = (generation, events);
    }

    fn turn_readers(&mut self, name: &'static str) {
        let back = self.random.chance(1, 2);
        let store = &self.machine().store;
        let turned = if back {
            store.rollback(name, true)
        } else {
            let latest = store.latest_rebuild(name).ok().flatten().map_or(0, |record| record.generation);
            store.promote(name, latest, Allow { empty: true, ..Allow::default() })
        };
        self.note(format!("turn readers of {name}, back ({back}): {:?}", turned.as_ref().map(|owner| owner.live)));
        match turned {
            Ok(_) => self.known(name).chosen = true,
            Err(StoreError::Refused(_) | StoreError::NotFound(_)) => {}
            Err(e) if self.machine().disk.is_dead() => {
                self.known(name).chosen = true;
                self.note(e);
            }
            Err(e) => panic!("{name}: {e}"),
        }
    }

    fn verify(&mut self, name: &'static str) {
        let verified = self.machine().supervisor.verify(name, false, &unspool::rebuild::Accept::default());
        self.note(format_args!("verify {name}: {:?}", verified.as_ref().map(|report| report.comparison.rows)));
        match verified {
            Ok(report) => {
                count(&self.counts.verified);
                assert!(!report.comparison.differs(), "{name}: {:?}", report.comparison);
            }
            Err(RebuildError::Store(StoreError::NotFound(_))) => {}
            // A history without an event of its types.
            Err(e) if e.to_string().contains("nothing was compared") => {
                let live = self.machine().store.live_rebuild(name);
                let of_nothing = live.as_ref().is_ok_and(|live| live.as_ref().is_some_and(|live| live.passed() == 0));
                assert!(of_nothing || self.machine().disk.is_dead(), "{name}: {e}, and readers see rows: {live:?}");
            }
            // The plugin in place fails where its fixed build did not.
            Err(RebuildError::NotBuilt { .. }) if name == "faulty" && self.history.fails => {}
            Err(e) => assert!(self.machine().disk.is_dead(), "{name}: {e}"),
        }
    }

    /// The host goes, in the middle of `asked` where something has no answer yet, and another takes its place.
    fn crash(&mut self, asked: Option<(&'static str, Ask)>) {
        count(&self.counts.crashes);
        let loss = self.random.pick(&LOSSES);
        let machine = self.machine.take().expect("the host is up");
        self.note(format_args!("crash, losing {loss:?}"));
        let disk = machine.crash(loss, &mut self.random);
        for (name, known) in &mut self.known {
            known.model.crashed(asked.filter(|(asked, _)| asked == name).map(|(_, ask)| ask));
        }
        if let Some((name, _)) = asked {
            // A new generation may be there or not.
            self.known(name).chosen = true;
        }
        self.open(disk);
    }

    fn open(&mut self, disk: Disk) {
        let machine = self.factory.open(disk, self.history.log.clone(), self.permits);
        self.machine = Some(machine.unwrap_or_else(|e| panic!("what a crash leaves does not open: {e}")));
        self.machine().assert_sound();
        for name in self.history.projections() {
            if let Some(record) = self.machine().store.latest_rebuild(name).expect("a store that can be read") {
                if record.crashes >= unspool::limits::CRASHES {
                    self.known(name).model.may_have_given_up();
                }
                if record.interrupted && record.checkpoint.events_processed > 0 {
                    count(&self.counts.crashes_midway);
                }
            }
            self.see(name);
        }
        if self.random.chance(1, 2) {
            self.note("resume what was interrupted");
            for record in self.machine().store.interrupted().expect("a store that can be read") {
                let name =
                    self.history.projections().into_iter().find(|name| *name == record.checkpoint.projection_name);
                self.resume(name.expect("a projection of the history"));
            }
        }
    }

    /// Lets everything come to its end; `false` where the host crashed meanwhile.
    fn finish(&mut self) -> bool {
        self.note("finish");
        for name in self.history.projections() {
            if !self.known(name).fixed {
                let fixed = self.factory.fixed(name).to_vec();
                let heard = self.machine().supervisor.swap(name, &fixed, "swap", &UnfinishedRebuild::Continue);
                if self.hear(name, Ask::Swap, heard.map(|_| Heard::Done)).is_none() {
                    return false;
                }
            }
            let trigger = Trigger {
                name: name.to_owned(),
                options: RebuildOptions {
                    chunk_size: Some(self.random_chunk_size()),
                    priority: Some(Priority::Normal),
                    rate_limit: Some(u32::MAX),
                    ..RebuildOptions::default()
                },
                ..Trigger::default()
            };
            let heard = self.asked(&trigger);
            match self.hear(name, Ask::Trigger, heard) {
                Some(Heard::Started) => self.known(name).chosen = false,
                Some(_) => {}
                None => return false,
            }
        }
        self.machine().wait();
        self.machine().disk.heal();
        if self.machine().disk.is_dead() {
            self.crash(None);
            return false;
        }
        for name in self.history.projections() {
            let record =
                self.machine().store.latest_rebuild(name).expect("a store that can be read").expect("a rebuild");
            assert_eq!((record.status(), &record.checkpoint.error), (Status::Completed, &None), "{name}");
            self.reported(name, record.generation, record.checkpoint.events_processed);
            let live = self.machine().store.live(name).expect("a generation is live").number;
            assert!(
                self.known(name).chosen || live == record.generation,
                "{name}: {live} is live, not {}",
                record.generation
            );
            self.machine()
                .store
                .promote(name, record.generation, Allow::default())
                .expect("a generation that is complete");
            self.machine().assert_live_is_the_fold(name, self.history);
            count(&self.counts.completed);
        }
        self.machine().assert_sound();
        true
    }
}

fn told(answer: &TriggerAnswer) -> Heard {
    match answer {
        TriggerAnswer::Started { .. } => Heard::Started,
        TriggerAnswer::AlreadyRunning { .. } => Heard::AlreadyRunning,
        TriggerAnswer::Resumed { .. } => Heard::Resumed,
    }
}
