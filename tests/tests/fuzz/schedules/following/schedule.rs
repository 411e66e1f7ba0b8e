//! One schedule.

use super::{
    counts::Counts,
    readers::{Readers, Said},
};
use crate::schedules::counts::count;
use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use unspool::{
    plugin::digest,
    rebuild::{Accept, FollowReport, FollowStatus, RebuildError, Switch, Trigger, UnfinishedRebuild},
    source::log::EventLog,
    store::{Allow, BuiltRange, OnError, RebuildOptions, RebuildRecord, Store, StoreError},
    vocabulary::{FollowState, Position, Scan, Status, to_json},
};
use unspool_tests::{
    data::Rows,
    disk::{Disk, LOSSES},
    followed::{Event, NAME, Range, fold},
    machine::{Factory, Machine, TIMEOUT, empty_log, import},
    random::Random,
};

/// How readers are switched by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switches {
    /// As operators do it.
    Product,
    /// Below all that looks where readers are: the control.
    WithoutALook,
}

/// Somebody who looks at what readers see, all the time, for as long as a host is up.
struct Looker {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Looker {
    fn new(machine: &Machine, readers: &Arc<Mutex<Readers>>) -> Looker {
        let over = Arc::new(AtomicBool::new(false));
        let (store, supervisor) = (machine.store.clone(), machine.supervisor.clone());
        let (readers, is_over) = (readers.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                drop(look(&store, &readers));
                supervisor.wait_for_news(supervisor.news(), Duration::from_millis(1));
            }
        });
        Looker { over, thread }
    }

    fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("nobody panics when looking");
    }
}

/// What readers see is noted in the order in which it is seen, whoever looks.
fn look<'r>(store: &Store, readers: &'r Mutex<Readers>) -> MutexGuard<'r, Readers> {
    let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(position) = position(store) {
        readers.see(position);
    }
    readers
}

/// Up to where readers see the history. Before anything is live, and where the disk is gone, nobody sees anything.
fn position(store: &Store) -> Option<Position> {
    store.live_rows(NAME).ok().map(|rows| rows.position)
}

pub struct Schedule<'a> {
    factory: &'a Factory,
    counts: &'a Counts,
    switches: Switches,
    random: Random,
    permits: usize,
    log: EventLog,
    events: Vec<Event>,
    machine: Option<Machine>,
    looker: Option<Looker>,
    readers: Arc<Mutex<Readers>>,
    trace: String,
    began: Instant,
}

impl<'a> Schedule<'a> {
    pub fn new(factory: &'a Factory, counts: &'a Counts, seed: u64, switches: Switches) -> Schedule<'a> {
        let mut random = Random::new(seed);
        let permits = 1 + random.index(5);
        Schedule {
            factory,
            counts,
            switches,
            random,
            permits,
            log: empty_log(),
            events: Vec::new(),
            machine: None,
            looker: None,
            readers: Arc::default(),
            trace: String::new(),
            began: Instant::now(),
        }
    }

    /// What was done, and what was heard.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// What is wrong with what readers saw.
    pub fn complaint(&self) -> Option<String> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).complaint().map(str::to_owned)
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.trace, "  {:>6} ms: {what}", self.began.elapsed().as_millis());
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the host is up")
    }

    fn is_dead(&self) -> bool {
        self.machine().disk.is_dead()
    }

    pub fn run(&mut self) {
        self.note(format!("{} permits", self.permits));
        self.append();
        self.open(self.factory.disk());
        if self.random.chance(3, 4) {
            self.trigger(false);
            self.settle();
        }
        for _ in 0..8 + self.random.below(16) {
            self.step();
            if self.is_dead() {
                self.crash();
            }
            self.look();
            if self.complaint().is_some() {
                break;
            }
        }
        // The last crash may be still to come.
        assert!(self.finish() || self.finish(), "no crash is planned any more");
        if self.switches == Switches::WithoutALook {
            self.take_readers_back();
        }
        self.leave();
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=8 => self.append(),
            9..=11 => self.follow(),
            12 => self.unfollow(),
            13..=15 => self.catch_up(),
            16..=18 => self.trigger(false),
            19..=20 => self.trigger(true),
            21 => self.stop_candidate(),
            22..=23 => self.promote(),
            24..=26 => self.roll_back(false),
            27 => self.roll_back(true),
            28..=29 => self.verify(),
            30..=31 => self.retry(),
            32..=34 => self.swap(),
            35 => {
                let after = self.random.below(60);
                self.note(format_args!("the disk goes {after} operations from now"));
                self.machine().crash_later(after);
            }
            36 => self.crash(),
            _ => self.settle(),
        }
    }

    fn append(&mut self) {
        let new = 1 + self.random.index(25);
        let mut file = String::new();
        for _ in 0..new {
            let event = Event::any(&mut self.random);
            self.events.push(event);
            file += &event.line(self.events.len());
        }
        self.note(format_args!("{new} events come; there are {}", self.events.len()));
        import(&self.log, file.as_bytes()).expect("a log that is well");
    }

    /// Waits until no candidate is built any more.
    fn settle(&mut self) {
        self.note("settle");
        let idle = self.machine().supervisor.wait_idle(Some(&[NAME.to_owned()]), TIMEOUT);
        assert!(idle, "a rebuild hangs");
    }

    /// What was heard, as far as it was possible; `None` where it was not, or the disk has gone.
    fn hear<T>(&mut self, what: &str, heard: Result<T, RebuildError>) -> Option<T> {
        let is_dead = self.is_dead();
        match heard {
            Ok(_) if is_dead => None,
            Ok(heard) => {
                self.note(format_args!("{what}: done"));
                Some(heard)
            }
            Err(e) => {
                self.note(format_args!("{what}: {e}"));
                let possible = matches!(
                    e,
                    RebuildError::Refused { .. }
                        | RebuildError::NotPossible(_)
                        | RebuildError::NotFound(_)
                        | RebuildError::NotBuilt { .. }
                        | RebuildError::UnderWay { .. }
                        | RebuildError::Store(StoreError::Refused(_) | StoreError::NotFound(_))
                );
                assert!(possible || is_dead, "{what}: {e:?}");
                None
            }
        }
    }

    fn follow(&mut self) {
        let heard = self.machine().supervisor.follow(NAME, &Accept::default());
        if let Some(FollowReport { status, .. }) = self.hear("follow", heard) {
            assert!(matches!(status, FollowStatus::Following | FollowStatus::AlreadyFollowing), "{status:?}");
            count(&self.counts.followed);
        }
    }

    fn unfollow(&mut self) {
        let heard = self.machine().supervisor.unfollow(NAME);
        if let Some(FollowReport { status, .. }) = self.hear("unfollow", heard) {
            assert!(matches!(status, FollowStatus::Stopped | FollowStatus::NotFollowing), "{status:?}");
            count(&self.counts.unfollowed);
        }
    }

    fn catch_up(&mut self) {
        let end = self.end();
        let heard = self.machine().supervisor.catch_up(NAME, &Accept::default());
        if let Some(report) = self.hear("catch up", heard) {
            assert_eq!(report.status, FollowStatus::CaughtUp);
            assert!(report.position >= end, "{report:?}, where the history ended at {end}");
            let caught_up = self.machine().store.rebuild(NAME, report.generation);
            let following = caught_up.ok().and_then(|record| record.following);
            let has_failed = following.as_ref().is_some_and(|following| following.state == FollowState::Failed);
            assert!(!has_failed || self.is_dead(), "it is at the end: {following:?}");
            count(&self.counts.caught_up);
        }
    }

    /// Where the history ends.
    fn end(&self) -> Position {
        Position { major: 0, minor: self.events.len() as u64 }
    }

    fn live(&self) -> Option<RebuildRecord> {
        self.machine().store.live_rebuild(NAME).ok().flatten()
    }

    fn trigger(&mut self, restart: bool) {
        let parks = self.random.chance(1, 2);
        let up_to = self.random.pick(&[1, 4, 100]);
        let trigger = Trigger {
            name: NAME.to_owned(),
            restart,
            options: RebuildOptions {
                chunk_size: Some(1 + self.random.below(up_to) as u32),
                rate_limit: Some(self.random.pick(&[1_000, 4_000, u32::MAX])),
                on_error: parks.then_some(OnError::Park),
                allow_parked: parks,
                follow: self.random.chance(1, 2),
                ..RebuildOptions::default()
            },
            ..Trigger::default()
        };
        let beside = self.live().is_some_and(|live| live.is_followed());
        let heard = self.machine().supervisor.trigger(&trigger);
        let options =
            format!("chunk size {:?}, parks {parks}, follows {}", trigger.options.chunk_size, trigger.options.follow);
        if self.hear(&format!("rebuild, {options}, anew {restart}"), heard).is_some() && beside {
            count(&self.counts.beside);
        }
    }

    fn stop_candidate(&mut self) {
        match self.random.below(3) {
            0 => {
                let heard = self.machine().supervisor.cancel(NAME);
                self.hear("cancel", heard);
            }
            1 => {
                let heard = self.machine().supervisor.resume(NAME);
                self.hear("resume", heard);
            }
            _ => {
                let heard = self.machine().supervisor.pause(NAME);
                self.hear("pause", heard);
            }
        }
    }

    /// Switches readers, in a way that may take them back if it says so.
    fn switch(&mut self, what: &str, switch: impl FnOnce(&Machine) -> Result<Switch, RebuildError>) -> Option<Switch> {
        look(&self.machine().store, &self.readers).may_go_back();
        let heard = switch(self.machine());
        let answer = heard.as_ref().map(|switch| switch.taken_back).map_err(RebuildError::to_string);
        self.note(format_args!("{what}: readers taken back: {answer:?}"));
        let said = match &answer {
            Ok(taken_back) => Said::Answer(*taken_back),
            // It did what it was asked for, and failed of what comes afterwards.
            Err(refusal) if refusal.starts_with("readers were taken back") => Said::Something,
            Err(_) => Said::Answer(None),
        };
        let heard = self.hear(what, heard);
        // Where the disk has gone, what has become of it shows when it is there again.
        if !self.is_dead() {
            self.told(said);
        }
        heard
    }

    /// What may have taken readers back has ended, and has given this answer.
    fn told(&self, answer: Said) {
        let mut readers = look(&self.machine().store, &self.readers);
        if let Some(position) = position(&self.machine().store) {
            readers.told(position, answer);
        }
    }

    fn promote(&mut self) {
        let latest = self.machine().store.latest_rebuild(NAME).ok().flatten().map_or(0, |record| record.generation);
        let allow = Allow { parked: true, empty: true };
        if self.switches == Switches::WithoutALook {
            return self.switch_without_a_look(latest);
        }
        if self.switch("promote", |machine| machine.supervisor.promote(NAME, latest, allow)).is_some() {
            count(&self.counts.promoted);
        }
    }

    fn roll_back(&mut self, now: bool) {
        let previous = self.machine().store.projection(NAME).ok().and_then(|owner| owner.previous);
        if let (Switches::WithoutALook, Some(previous)) = (self.switches, previous) {
            return self.switch_without_a_look(previous);
        }
        let what = if now { "roll back now" } else { "roll back" };
        let Some(switch) = self.switch(what, |machine| machine.supervisor.rollback(NAME, now, true)) else { return };
        assert!(now || switch.taken_back.is_none(), "{switch:?}");
        count(&self.counts.rolled_back);
        if switch.taken_back.is_some() {
            count(&self.counts.taken_back);
        }
    }

    /// What a promotion would be that does not look where readers are.
    fn switch_without_a_look(&mut self, generation: u64) {
        let switched = self.machine().store.promote(NAME, generation, Allow { parked: true, empty: true });
        self.note(format!("switch to {generation} without a look: {:?}", switched.map(|owner| owner.live)));
        self.look();
    }

    /// A switch to a generation that has been left behind, beyond which readers are for sure.
    fn take_readers_back(&mut self) {
        let live = self.live().map(|live| live.generation);
        self.trigger(true);
        self.settle();
        self.append();
        self.catch_up();
        self.look();
        if self.is_dead() || self.live().map(|live| live.generation) == live {
            return;
        }
        let previous = self.machine().store.projection(NAME).ok().and_then(|owner| owner.previous);
        self.switch_without_a_look(previous.expect("the generation before"));
    }

    fn verify(&mut self) {
        let repair = self.random.chance(1, 2);
        let heard = self.machine().supervisor.verify(NAME, repair, &Accept::default());
        if let Some(report) = self.hear(&format!("verify, repairing {repair}"), heard) {
            self.note(format_args!("{} rows differ", report.comparison.different));
            count(&self.counts.verified);
            if report.repaired_by.is_some() {
                count(&self.counts.repaired);
            }
        }
    }

    fn retry(&mut self) {
        let heard = self.machine().supervisor.retry(NAME, None, false);
        if self.hear("retry dead letters", heard).is_some() {
            count(&self.counts.retried);
        }
    }

    fn swap(&mut self) {
        let (build, component) = match self.random.below(3) {
            0 => ("faulty", self.factory.component(NAME)),
            1 => ("fixed", self.factory.fixed(NAME)),
            _ => ("off by one", self.factory.off_by_one()),
        };
        let heard = self.machine().supervisor.swap(NAME, component, "swap", &UnfinishedRebuild::Continue);
        if self.hear(&format!("swap to {build}"), heard).is_some() {
            count(&self.counts.swaps);
        }
    }

    /// The host goes, and another takes its place.
    fn crash(&mut self) {
        count(&self.counts.crashes);
        if self.live().is_some_and(|live| live.is_followed() && live.checkpoint.position < self.end()) {
            count(&self.counts.crashes_midway);
        }
        let loss = self.random.pick(&LOSSES);
        self.note(format_args!("crash, losing {loss:?}"));
        self.looker.take().expect("somebody looks").end();
        let machine = self.machine.take().expect("the host is up");
        let disk = machine.crash(loss, &mut self.random);
        self.open(disk);
    }

    fn open(&mut self, disk: Disk) {
        let machine = self.factory.open(disk, self.log.clone(), self.permits);
        self.machine = Some(machine.unwrap_or_else(|e| panic!("what a crash leaves does not open: {e}")));
        self.machine().assert_sound();
        let once = |record: &RebuildRecord| record.following.as_ref().is_some_and(|following| following.once);
        let records = self.machine().store.rebuilds(NAME).expect("a store that can be read");
        assert!(!records.iter().any(once), "nobody brings it forward any more: {records:#?}");
        // It may be that readers were taken back, and the host was gone before it could say so.
        self.told(Said::Nothing);
        self.looker = Some(Looker::new(self.machine(), &self.readers));
        self.machine().supervisor.resume_interrupted().expect("what was under way goes on");
        self.look();
    }

    /// The host is told to end.
    fn leave(&mut self) {
        self.looker.take().expect("somebody looks").end();
        self.machine.take().expect("the host is up").supervisor.shut_down(&[]);
        self.note("over");
    }

    /// Looks at everything there is to see.
    fn look(&mut self) {
        drop(look(&self.machine().store, &self.readers));
        let records = self.machine().store.rebuilds(NAME);
        if self.is_dead() {
            return;
        }
        for record in records.expect("a store that can be read") {
            let Some(following) = &record.following else { continue };
            let id = record.checkpoint_id();
            assert_eq!(record.status(), Status::Completed, "{id} is followed: {record:#?}");
            let has_failed = following.state == FollowState::Failed;
            assert_eq!(has_failed, following.error.is_some(), "{id}: {following:#?}");
            if has_failed {
                count(&self.counts.failed);
            }
        }
        if let Some((position, found, expected)) = self.read()
            && !self.is_dead()
        {
            count(&self.counts.compared);
            assert_eq!(Ok(found), expected, "what is read up to position {position}");
        }
    }

    /// What readers see, and what they should; `None` where nothing is live, or it does not stand still for a moment.
    fn read(&self) -> Option<(Position, Rows, Result<Rows, String>)> {
        let store = &self.machine().store;
        let state = |record: &RebuildRecord| (record.checkpoint.position, record.ranges.clone(), record.parked);
        for _ in 0..20 {
            let before = self.live()?;
            let live = store.live_rows(NAME).ok()?;
            let parked: BTreeSet<u64> =
                store.parked_keys(&live.generation).ok()?.into_iter().map(|(position, _)| position.minor).collect();
            let after = self.live()?;
            let stood_still = before.generation == after.generation
                && live.generation.number == after.generation
                && state(&before) == state(&after);
            if !stood_still {
                continue;
            }
            let page = live.rows.scan(0, Scan::ALL).ok()?;
            let row = |(key, document): (String, bytes::Bytes)| (key, to_json(&document).expect("a document"));
            let found = page.into_iter().map(row).collect();
            let off_by_one = digest(self.factory.off_by_one());
            let range = |range: &BuiltRange| Range {
                after: range.after.minor,
                through: range.through.minor,
                off_by_one: range.plugin_digest == off_by_one,
            };
            let ranges: Vec<Range> = after.ranges.iter().map(range).collect();
            return Some((live.position, found, fold(&self.events, live.position.minor, &ranges, &parked)));
        }
        None
    }

    /// Lets everything come to its end; `false` where the host crashed meanwhile.
    fn finish(&mut self) -> bool {
        self.note("finish");
        self.machine().disk.heal();
        let fixed = self.factory.fixed(NAME);
        let heard = self.machine().supervisor.swap(NAME, fixed, "swap", &UnfinishedRebuild::Continue);
        self.hear("swap to Fixed", heard);
        self.settle();
        if !self.is_dead() && self.live().is_none() {
            self.trigger(true);
            self.settle();
        }
        self.append();
        self.follow();
        let until = Instant::now() + TIMEOUT;
        while !self.is_dead() && self.live().is_none_or(|live| live.checkpoint.position < self.end()) {
            assert!(Instant::now() < until, "it does not come to its end: {:#?}", self.live());
            let supervisor = &self.machine().supervisor;
            supervisor.wait_for_news(supervisor.news(), Duration::from_millis(2));
        }
        if self.is_dead() {
            self.crash();
            return false;
        }
        self.note("at the end");
        self.look();
        self.machine().assert_sound();
        true
    }
}
