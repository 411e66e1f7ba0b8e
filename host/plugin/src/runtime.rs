//! What runs WebAssembly: how it is set up, its pool of instances, and the clock that stops guests.

use super::error::PluginError;
use super::failure::BACKTRACE_FRAMES;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use unspool_vocabulary::limits;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Instances beyond [`limits::POOL_INSTANCES`]: for plugins being described while all others work.
const SPARE_INSTANCES: u32 = 3;

/// Core instances, memories and tables of one component. A plugin that wit-component made has three core instances (the
/// module, its shim and their joint), one memory and two tables; one made of Python has 38 core instances. The pool keeps no
/// memory for core instances, only counts them.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 4;
const TABLES: u32 = 16;

/// Elements of one table: function pointers. Interpreters compiled to WebAssembly have some ten thousand.
const TABLE_ELEMENTS: usize = 1 << 16;

/// Bytes of a memory that are cleared by hand instead of being given back to the system. What a chunk dirties fits, and
/// clearing it is several times faster than new pages are.
const KEEP_RESIDENT_BYTES: usize = 4 << 20;

/// The runtime with its clock, and what one call on it may use.
pub(super) struct Runtime {
    pub(super) wasmtime: wasmtime::Engine,
    /// Bytes of memories and tables that one instance may have.
    pub(super) memory_bytes: usize,
    /// Processor time that one call may take.
    pub(super) cpu_time: Duration,
    /// The ticker ends when this is dropped.
    _ticker: mpsc::Sender<()>,
}

impl Runtime {
    /// Reserves the address space of the instances, and starts the clock.
    pub(super) fn start(memory_bytes: usize, cpu_time: Duration) -> Result<Runtime, PluginError> {
        let wasmtime = without_clock()?;
        let ticker = start_ticker(wasmtime.clone())?;
        Ok(Runtime { wasmtime, memory_bytes, cpu_time, _ticker: ticker })
    }
}

/// The same set-up without a clock: enough to compile.
pub(super) fn without_clock() -> Result<wasmtime::Engine, PluginError> {
    wasmtime::Engine::new(&config()).map_err(|error| PluginError::Engine(format!("{error:#}")))
}

/// Same plugin, same chunk, same rows: same bytes, on every machine; and every guest can be stopped.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(limits::GUEST_STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

/// The pool reserves address space, not memory: four GiB for each memory slot, which lets compiled code go without bounds
/// checks. A slot that worked for a plugin is given to it again, with its pages still mapped.
fn pool() -> PoolingAllocationConfig {
    let instances = limits::POOL_INSTANCES as u32 + SPARE_INSTANCES;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_memories(instances * MEMORIES)
        .total_tables(instances * TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits::GUEST_MEMORY_CEILING_BYTES)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Starts the thread that ends an epoch every [`limits::EPOCH_TICK`], until the sender is dropped.
fn start_ticker(engine: wasmtime::Engine) -> Result<mpsc::Sender<()>, PluginError> {
    let (stop, stopped) = mpsc::channel();
    std::thread::Builder::new()
        .name("plugin-clock".into())
        .spawn(move || {
            while stopped.recv_timeout(limits::EPOCH_TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })
        .map_err(|error| PluginError::Engine(format!("cannot start a thread: {error}")))?;
    Ok(stop)
}
