//! One call of a plugin: a fresh instance, the imports it meets, and the end of it.

use super::error::CallError;
use super::failure::classify;
use super::guard::{Ended, MemoryGuard, watch};
use super::log::Log;
use super::outcome::{Outcome, bad, brief, table_index, validate};
use super::runtime::Runtime;
use super::wit::{Projection, ProjectionPre, logger, read_model};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use unspool_vocabulary::limits;
use unspool_vocabulary::{Description, EventFailure, ReadRows, Scan};
use wasmtime::{Result, Store};

/// Component handles of one store. The world has no resources; whatever asks for many is at fault.
const COMPONENT_HANDLES: usize = 1000;

/// Keys of one `get-many`. A call cannot be stopped inside an import, so that one answer must not take long.
const READ_KEYS: usize = 1 << 16;

/// Rows as they are after every event before the chunk: what the imports `get-many` and `scan` read. A failure ends the
/// call and is its result, so that its `transient` decides whether the chunk is tried again.
type Rows = Box<dyn ReadRows<Error = EventFailure> + Send>;

/// A plugin that is ready to handle chunks. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    loaded: Arc<Loaded>,
}

struct Loaded {
    /// Keeps the clock running that stops guests.
    runtime: Arc<Runtime>,
    pre: ProjectionPre<Call>,
    description: Arc<Description>,
    digest: String,
}

impl Plugin {
    pub(super) fn new(
        runtime: Arc<Runtime>,
        pre: ProjectionPre<Call>,
        description: Description,
        digest: String,
    ) -> Plugin {
        Plugin { loaded: Arc::new(Loaded { runtime, pre, description: Arc::new(description), digest }) }
    }

    /// BLAKE3 of the component's bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.loaded.digest
    }

    /// What the plugin declares.
    pub fn description(&self) -> &Description {
        &self.loaded.description
    }

    /// Handles `chunk`, a chunk frame, on a fresh instance and on the calling thread. `rows` is what the plugin reads.
    ///
    /// Raising `stop` ends the call within [`limits::EPOCH_TICK`]; so does using up the engine's processor time per call.
    ///
    /// # Errors
    /// [`CallError::Stopped`] when `stop` was raised before the plugin returned; [`CallError::Failed`] when it trapped, used
    /// more than it may or returned something that is not an outcome.
    pub fn handle(
        &self,
        chunk: &[u8],
        rows: impl ReadRows<Error = EventFailure> + Send + 'static,
        stop: &Arc<AtomicBool>,
    ) -> std::result::Result<Outcome, CallError> {
        let Loaded { runtime, pre, description, digest } = &*self.loaded;
        let failed =
            |failure: EventFailure| CallError::Failed(EventFailure { plugin_digest: Some(digest.clone()), ..failure });
        let events = unspool_frame::Chunk::new(chunk)
            .map_err(|problem| failed(bad(format!("the host passed no chunk: {problem}"))))?
            .size_hint()
            .1
            .unwrap_or(0);
        let call = Call::new(runtime, Arc::clone(description), Box::new(rows));
        let (returned, memory_bytes) = run(runtime, pre, call, digest, stop, |plugin, store| {
            let returned = plugin.unspool_projection_handler().call_handle(&mut *store, chunk)?;
            Ok((returned, store.data().memory.used()))
        })?;
        let outcome = validate(returned, events, description).map_err(failed)?;
        Ok(Outcome {
            failure: outcome.failure.map(|failure| EventFailure { plugin_digest: Some(digest.clone()), ..failure }),
            memory_bytes,
            ..outcome
        })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.description().name).field("digest", &self.digest()).finish()
    }
}

/// Runs `body` on a fresh instance of the plugin `digest`, and takes the instance down whatever happens.
pub(super) fn run<T>(
    runtime: &Runtime,
    pre: &ProjectionPre<Call>,
    call: Call,
    digest: &str,
    stop: &Arc<AtomicBool>,
    body: impl FnOnce(&Projection, &mut Store<Call>) -> Result<T>,
) -> std::result::Result<T, CallError> {
    if stop.load(Ordering::Relaxed) {
        return Err(CallError::Stopped);
    }
    let mut store = Store::new(&runtime.wasmtime, call);
    store.limiter(|call| &mut call.memory);
    store.set_hostcall_fuel(limits::GUEST_OUTPUT_BYTES);
    store.set_max_component_handles(COMPONENT_HANDLES);
    store.epoch_deadline_callback(watch(Arc::clone(stop), runtime.cpu_time));
    store.set_epoch_deadline(1);
    let result = pre.instantiate(&mut store).and_then(|plugin| body(&plugin, &mut store));
    let call = store.into_data();
    let said = call.log.finish(&call.description.name);
    result.map_err(|error| classify(&error, &said, digest))
}

/// The host's side of one call.
pub(super) struct Call {
    memory: MemoryGuard,
    log: Log,
    description: Arc<Description>,
    rows: Rows,
}

impl Call {
    pub(super) fn new(runtime: &Runtime, description: Arc<Description>, rows: Rows) -> Call {
        Call { memory: MemoryGuard::new(runtime.memory_bytes), log: Log::default(), description, rows }
    }

    fn table(&self, name: &str) -> Result<usize> {
        table_index(&self.description, name)
            .ok_or_else(|| refused(format!("the plugin reads table \"{}\", which describe does not name", brief(name))))
    }
}

fn refused(problem: String) -> wasmtime::Error {
    Ended::Failed(bad(problem)).into()
}

impl read_model::Host for Call {
    fn get_many(&mut self, table: String, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>> {
        let index = self.table(&table)?;
        if keys.len() > READ_KEYS {
            return Err(refused(format!("one get-many asks for {} keys; {READ_KEYS} are allowed", keys.len())));
        }
        let mut documents = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for document in self.rows.get_many(index, &keys).map_err(Ended::Failed)? {
            bytes += document.as_ref().map_or(0, Bytes::len);
            if bytes > limits::GUEST_OUTPUT_BYTES {
                let limit = limits::GUEST_OUTPUT_BYTES;
                return Err(refused(format!("the rows that one get-many asks for exceed {limit} bytes; ask in parts")));
            }
            documents.push(document.map(Vec::from));
        }
        Ok(documents)
    }

    fn scan(
        &mut self,
        table: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let index = self.table(&table)?;
        let scan =
            Scan { prefix: &prefix, after: after.as_deref(), limit: limit as usize, max_bytes: limits::SCAN_BYTES };
        let rows = self.rows.scan(index, scan).map_err(Ended::Failed)?;
        Ok(rows.into_iter().map(|(key, document)| (key, Vec::from(document))).collect())
    }
}

impl logger::Host for Call {
    fn log(&mut self, level: String, message: String) -> Result<()> {
        self.log.line(&self.description.name, &level, &message);
        Ok(())
    }
}
