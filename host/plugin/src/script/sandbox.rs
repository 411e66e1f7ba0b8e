//! A module of ours that works on texts of others, within bounds: the parser, and the runtime while it evaluates.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use unspool_vocabulary::limits;
use wasmtime::{
    Config, Engine, Instance, Linker, Module, OptLevel, RegallocAlgorithm, Store, StoreLimits, StoreLimitsBuilder,
    Trap, UpdateDeadline,
};

/// How long one call may take. Nothing that a build does waits for anything.
const CALL: Duration = Duration::from_secs(30);

/// A module that is ours, compiled.
pub(super) struct Compiled {
    engine: Engine,
    module: Module,
}

impl Compiled {
    /// Compiles it, which takes far longer than what is done with it.
    pub(super) fn new(module: &[u8]) -> wasmtime::Result<Compiled> {
        let engine = Engine::new(&config())?;
        let module = Module::new(&engine, module)?;
        Ok(Compiled { engine, module })
    }
}

/// The module, instantiated, with imports that trap.
pub(super) struct Sandbox {
    pub(super) store: Store<StoreLimits>,
    pub(super) instance: Instance,
}

/// Why a call did not return.
pub(super) enum Ended {
    /// It took too long.
    Late(Duration),
    /// It trapped: its stack or its memory is used up.
    Trapped(String),
}

impl Ended {
    /// Said of what the call was to do.
    pub(super) fn words(&self, what: &str) -> String {
        match self {
            Ended::Late(after) => format!("{what} does not end within {} s", after.as_secs()),
            Ended::Trapped(trap) => format!("{what} ends the sandbox that it happens in: {trap}"),
        }
    }
}

impl Sandbox {
    /// An instance of its own.
    pub(super) fn new(Compiled { engine, module }: &Compiled) -> wasmtime::Result<Sandbox> {
        let mut linker = Linker::new(engine);
        linker.define_unknown_imports_as_traps(module)?;
        let limits = StoreLimitsBuilder::new().memory_size(limits::GUEST_MEMORY_CEILING_BYTES).build();
        let mut store = Store::new(engine, limits);
        store.limiter(|limits| limits);
        store.set_epoch_deadline(1);
        let instance = linker.instantiate(&mut store, module)?;
        Ok(Sandbox { store, instance })
    }

    /// Calls `function` with texts, and returns what it answers.
    ///
    /// # Errors
    /// When it does not return.
    pub(super) fn call<'a>(
        &mut self,
        function: &str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<u8>, Ended> {
        let mut input = Vec::new();
        for text in texts {
            input.extend_from_slice(&(text.len() as u32).to_le_bytes());
            input.extend_from_slice(text.as_bytes());
        }
        // The clocks of others that share the engine tick, too.
        let began = Instant::now();
        self.store.epoch_deadline_callback(move |_| match began.elapsed() < CALL {
            true => Ok(UpdateDeadline::Continue(1)),
            false => Err(Trap::Interrupt.into()),
        });
        self.store.set_epoch_deadline(1);
        let engine = self.store.engine().clone();
        let (done, is_done) = mpsc::channel::<()>();
        let clock = std::thread::spawn(move || {
            if is_done.recv_timeout(CALL) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        });
        let answer = self.answer(function, &input);
        drop(done);
        let _ = clock.join();
        answer.map_err(|error| match error.downcast_ref() {
            Some(Trap::Interrupt) => Ended::Late(CALL),
            _ => Ended::Trapped(error.root_cause().to_string()),
        })
    }

    fn answer(&mut self, function: &str, input: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let Sandbox { store, instance } = self;
        let memory =
            instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::Error::msg("there is no memory"))?;
        let length = u32::try_from(input.len())?;
        let room = instance.get_typed_func::<u32, u32>(&mut *store, "unspool-room")?.call(&mut *store, length)?;
        memory.write(&mut *store, room as usize, input)?;
        let function = instance.get_typed_func::<(u32, u32), u32>(&mut *store, function)?;
        let length = function.call(&mut *store, (room, length))?;
        let at = instance.get_typed_func::<(), u32>(&mut *store, "unspool-answer")?.call(&mut *store, ())?;
        let mut answer = vec![0; length as usize];
        memory.read(&*store, at as usize, &mut answer)?;
        Ok(answer)
    }
}

/// As plugins are run: the same everywhere, and never for ever. Compiling takes longer than what is compiled does.
fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::None)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass)
        .max_wasm_stack(limits::GUEST_STACK_BYTES);
    config
}

/// The texts of an answer.
pub(super) fn texts(mut answer: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = answer.split_first_chunk::<4>() {
        let (text, rest) = rest.split_at(rest.len().min(u32::from_le_bytes(*length) as usize));
        texts.push(String::from_utf8_lossy(text).into_owned());
        answer = rest;
    }
    texts
}
