//! The engine: one per host.

use super::cache::{Compiled, CompiledCache};
use super::call::{Call, Plugin, run};
use super::compile;
use super::error::{CallError, PluginError};
use super::runtime::Runtime;
use super::wit::{Projection, ProjectionPre};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use unspool_vocabulary::limits;
use unspool_vocabulary::{Complexity, Description, EventFailure, FailureKind, NoRows, Partitioning, validate};
use wasmtime::component::{Component, HasSelf, Linker};

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Where compiled plugins are kept; created readable by its owner alone when missing. `None` keeps none.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of memories and tables that one instance may have; by default [`limits::GUEST_MEMORY_BYTES`], at most
    /// [`limits::GUEST_MEMORY_CEILING_BYTES`].
    pub memory_bytes: usize,
    /// Processor time that one call may take; by default [`limits::GUEST_CPU_TIME`].
    pub cpu_time: Duration,
    /// The program whose command [`super::COMPILE`] compiles, within bounds; [`super::THIS_PROGRAM`] where that has the
    /// command. By default `None`: plugins are compiled in this process, however long that takes.
    pub compiler: Option<PathBuf>,
}

impl EngineOptions {
    /// The defaults, with compiled plugins kept in `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            cache_dir: Some(cache_dir.into()),
            memory_bytes: limits::GUEST_MEMORY_BYTES,
            cpu_time: limits::GUEST_CPU_TIME,
            compiler: None,
        }
    }
}

/// Loads plugins and gives them instances. Cheap to clone; its clock ends with the last clone and the last plugin.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Arc<Runtime>,
    linker: Linker<Call>,
    /// Where compiled plugins are kept, and what is there: opened with the first plugin.
    cache_dir: Option<PathBuf>,
    cache: OnceLock<CompiledCache>,
    compiler: Option<PathBuf>,
    /// Held while a plugin is compiled: one at a time may use what a compiler may.
    compiling: Mutex<()>,
}

impl Engine {
    /// Starts an engine: reserves the address space of its instances, and starts the clock that stops guests.
    ///
    /// # Errors
    /// When the machine lacks something that the engine needs.
    pub fn new(options: EngineOptions) -> Result<Engine, PluginError> {
        if options.memory_bytes > limits::GUEST_MEMORY_CEILING_BYTES {
            return Err(PluginError::MemoryCeiling(options.memory_bytes));
        }
        let problem = |error: wasmtime::Error| PluginError::Engine(format!("{error:#}"));
        let runtime = Runtime::start(options.memory_bytes, options.cpu_time)?;
        let mut linker = Linker::new(&runtime.wasmtime);
        Projection::add_to_linker::<Call, HasSelf<Call>>(&mut linker, |call| call).map_err(problem)?;
        Ok(Engine {
            inner: Arc::new(Inner {
                runtime: Arc::new(runtime),
                linker,
                cache_dir: options.cache_dir,
                cache: OnceLock::new(),
                compiler: options.compiler,
                compiling: Mutex::default(),
            }),
        })
    }

    /// Makes a plugin of `component`, the bytes of a plugin file. Checking, compiling and describing it takes tens of
    /// milliseconds the first time, and less than one when it has been compiled before. What takes longer than it may is
    /// refused, where there is a program to compile with.
    ///
    /// # Errors
    /// When the bytes are no component of our world, cannot be compiled, or do not describe themselves, or the directory of
    /// compiled plugins cannot be used.
    pub fn load(&self, component: &[u8]) -> Result<Plugin, PluginError> {
        let digest = blake3::hash(component);
        let name = digest.to_hex().to_string();
        let cache = self.cache()?;
        let cached = || cache.and_then(|cache| cache.get(&self.inner.runtime.wasmtime, &digest));
        let loaded = |Compiled { component, description }| {
            Ok(Plugin::new(Arc::clone(&self.inner.runtime), self.link(&component)?, description, name.clone()))
        };
        if let Some(compiled) = cached() {
            return loaded(compiled);
        }
        let _turn = self.inner.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been compiled while this waited for the lock.
        if let Some(compiled) = cached() {
            return loaded(compiled);
        }
        let component = match &self.inner.compiler {
            Some(program) => compile::in_child(program, &self.inner.runtime.wasmtime, component)?,
            None => compile::here(&self.inner.runtime.wasmtime, component)?,
        };
        let pre = self.link(&component)?;
        let description = self.describe(&pre, &name)?;
        let compiled = Compiled { component, description };
        if let Some(cache) = cache {
            cache.put(&digest, &compiled);
        }
        Ok(Plugin::new(Arc::clone(&self.inner.runtime), pre, compiled.description, name))
    }

    /// The directory of compiled plugins; it is made when it is first needed.
    fn cache(&self) -> Result<Option<&CompiledCache>, PluginError> {
        let Some(dir) = &self.inner.cache_dir else { return Ok(None) };
        if let Some(cache) = self.inner.cache.get() {
            return Ok(Some(cache));
        }
        let opened = CompiledCache::open(dir, &self.inner.runtime.wasmtime)?;
        Ok(Some(self.inner.cache.get_or_init(|| opened)))
    }

    fn link(&self, component: &Component) -> Result<ProjectionPre<Call>, PluginError> {
        self.inner
            .linker
            .instantiate_pre(component)
            .and_then(ProjectionPre::new)
            .map_err(|error| PluginError::Compile(format!("{error:#}")))
    }

    /// Asks a fresh instance to describe itself. It has no tables to read yet, and is bounded like any other call.
    fn describe(&self, pre: &ProjectionPre<Call>, digest: &str) -> Result<Description, PluginError> {
        let nobody = Description {
            name: format!("plugin {}", &digest[..12]),
            version: 0,
            event_types: Vec::new(),
            tables: Vec::new(),
            complexity: Complexity::default(),
            chunk_size: None,
            partitioning: Partitioning::default(),
        };
        let call = Call::new(&self.inner.runtime, Arc::new(nobody), Box::new(NoRows));
        let never = Arc::new(AtomicBool::new(false));
        let frame = run(&self.inner.runtime, pre, call, digest, &never, |plugin, store| {
            plugin.unspool_projection_handler().call_describe(store)
        })
        .map_err(|error| {
            PluginError::Describe(match error {
                CallError::Failed(failure) => failure,
                CallError::Stopped => EventFailure::permanent(FailureKind::Other, "it was stopped"),
            })
        })?;
        let description =
            Description::decode(&frame).map_err(|problem| PluginError::NoDescription(problem.to_string()))?;
        validate(&description)?;
        Ok(description)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("memory_bytes", &self.inner.runtime.memory_bytes)
            .field("cpu_time", &self.inner.runtime.cpu_time)
            .finish_non_exhaustive()
    }
}
