//! A disk in memory that fails as disks do.
//!
//! It holds two images: what has been *written*, which readers see, and what is *durable*, which only a sync that
//! succeeds brings up to date. A loss of power leaves the durable one, perhaps with some of the later writes.

use crate::random::Random;
use std::{
    io::{Error, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use unspool::disk::StorageBackend;

/// What goes wrong at an operation that changes the disk: a write, a change of its length, a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails, the next one succeeds.
    Error,
    /// Half of the bytes are written, then the operation fails.
    Short,
    /// The next sync fails. What it was to make durable never becomes so, though readers see it: later syncs succeed.
    Sync,
    /// Nothing more can be written; syncs succeed.
    Full,
    /// Nothing succeeds any more: the process, or the machine, is gone.
    Death,
}

/// Every fault.
pub const FAULTS: [Fault; 5] = [Fault::Error, Fault::Short, Fault::Sync, Fault::Full, Fault::Death];

/// What a crash leaves of what has been written since the last sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of it: the process is killed, the system goes on.
    Nothing,
    /// None of it.
    Unsynced,
    /// Any part of it, in pieces of a sector.
    Torn,
}

/// Every loss.
pub const LOSSES: [Loss; 3] = [Loss::Nothing, Loss::Unsynced, Loss::Torn];

const SECTOR: usize = 512;

/// A handle to the disk. Clones share it.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

#[derive(Debug)]
struct State {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    pending: Vec<Change>,
    operations: u64,
    plan: Option<(u64, Fault)>,
    struck: bool,
    full: bool,
    dead: bool,
    /// An operation has failed.
    failed: bool,
    /// The durable image has changed after that.
    went_on: bool,
}

impl Disk {
    /// A disk that holds `image`, durably.
    pub fn new(image: Vec<u8>) -> Disk {
        Disk(Arc::new(Mutex::new(State {
            written: image.clone(),
            durable: image,
            pending: Vec::new(),
            operations: 0,
            plan: None,
            struck: false,
            full: false,
            dead: false,
            failed: false,
            went_on: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a fault at the `after`-th operation from now; 0 is the next one.
    pub fn plan(&self, after: u64, fault: Fault) {
        let mut state = self.lock();
        state.plan = Some((state.operations + after, fault));
    }

    /// Takes back a planned fault that has not come yet.
    pub fn heal(&self) {
        self.lock().plan = None;
    }

    /// From here on nothing succeeds.
    pub fn kill(&self) {
        self.lock().dead = true;
    }

    /// Operations that would have changed the disk, so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether the planned fault has come.
    pub fn is_struck(&self) -> bool {
        self.lock().struck
    }

    /// Whether nothing succeeds any more.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Whether anything became durable after an operation had failed.
    pub fn went_on(&self) -> bool {
        self.lock().went_on
    }

    /// What a crash leaves.
    pub fn after(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        let state = self.lock();
        match loss {
            Loss::Nothing => state.written.clone(),
            Loss::Unsynced => state.durable.clone(),
            Loss::Torn => {
                let mut image = state.durable.clone();
                for change in &state.pending {
                    match change {
                        Change::Length(_) => change.apply(&mut image),
                        Change::Write(at, bytes) => {
                            for (index, piece) in bytes.chunks(SECTOR).enumerate() {
                                if random.chance(1, 2) {
                                    put(&mut image, *at as usize + index * SECTOR, piece);
                                }
                            }
                        }
                    }
                }
                image
            }
        }
    }

    /// What is durable.
    pub fn durable(&self) -> Vec<u8> {
        self.lock().durable.clone()
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Length(len) => image.resize(*len as usize, 0),
            Change::Write(at, bytes) => put(image, *at as usize, bytes),
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if image.len() < at + bytes.len() {
        image.resize(at + bytes.len(), 0);
    }
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn failed(what: &str) -> Error {
    Error::other(format!("the disk {what}"))
}

impl State {
    /// Counts an operation; the fault that is planned for it, if there is one.
    fn operation(&mut self, is_sync: bool) -> Result<Option<Fault>, Error> {
        if self.dead {
            return Err(failed("is gone"));
        }
        self.operations += 1;
        let Some((_, fault)) =
            self.plan.filter(|(at, fault)| !self.struck && self.operations > *at && (is_sync || *fault != Fault::Sync))
        else {
            return Ok(None);
        };
        self.struck = true;
        self.failed |= fault != Fault::Full;
        match fault {
            Fault::Error => Err(failed("has an error")),
            Fault::Death => {
                self.dead = true;
                Err(failed("is gone"))
            }
            Fault::Full => {
                self.full = true;
                Ok(None)
            }
            Fault::Short | Fault::Sync => Ok(Some(fault)),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.written);
        self.pending.push(change);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        let state = self.lock();
        if state.dead { Err(failed("is gone")) } else { Ok(state.written.len() as u64) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.lock();
        if state.dead {
            return Err(failed("is gone"));
        }
        let from = offset as usize;
        let bytes = state.written.get(from..from + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.lock();
        let fault = state.operation(false)?;
        if fault.is_some() || (state.full && len > state.written.len() as u64) {
            state.failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        state.change(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.operation(true)?.is_some() {
            state.pending.clear();
            return Err(failed("cannot sync"));
        }
        let state = &mut *state;
        state.went_on |= state.failed && !state.pending.is_empty();
        for change in state.pending.drain(..) {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.lock();
        let fault = state.operation(false)?;
        if state.full {
            state.failed = true;
            return Err(ErrorKind::StorageFull.into());
        }
        if fault.is_some() {
            state.change(Change::Write(offset, data[..data.len() / 2].to_vec()));
            return Err(failed("wrote less than it was given"));
        }
        state.change(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
