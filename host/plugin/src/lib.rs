//! Projection plugins: WebAssembly components behind the world `unspool:projection`, run so that they cannot hurt the host.
//!
//! | file | what it does |
//! |---|---|
//! | `build`, `python` | a Rust package, or a Python file, becomes a component |
//! | `script` | a file of TypeScript or JavaScript becomes one |
//! | `wrap`, `core_module` | a core module of any compiler becomes a component |
//! | `digest` | the digests by which a component is known |
//! | `world`, `difference` | compares a component with the world, by name, before anything is compiled |
//! | `compile` | checks and compiles in a process of its own, within bounds |
//! | `runtime` | how WebAssembly is run: instance pool, the clock that stops guests |
//! | `engine` | one [`Engine`] per host: makes plugins of components, with the linker and the cache |
//! | `cache` | compiled components on disk, authenticated |
//! | `call` | one call of a plugin on a fresh instance: [`Plugin`], and the imports it meets |
//! | `guard` | what a call may use: memory, processor time |
//! | `log` | what a call said, and its last words |
//! | `outcome` | what a plugin returned, checked before anyone believes it |
//! | `failure` | how a call that did not return becomes an [`EventFailure`](unspool_vocabulary::EventFailure) |
//!
//! What holds for every call:
//!
//! - A chunk meets a **fresh instance**. Nothing but rows survives from one chunk to the next, so a resumed rebuild cannot
//!   differ from an uninterrupted one.
//! - A plugin is **pure**: it sees the chunk, its rows and nothing else - no clock, randomness, files or environment. NaN
//!   bit patterns and relaxed SIMD are fixed. The same chunk over the same rows gives the same bytes on every machine.
//! - A call **ends**: by returning, by a trap, or within an epoch ([`limits::EPOCH_TICK`](unspool_vocabulary::limits::EPOCH_TICK)) of
//!   its processor time being used up or its stop flag being raised. Processor time is that of the calling thread, so a
//!   loaded machine blames no plugin.
//! - A call that does not return leaves **nothing** behind: writes are the return value.
//! - Nothing that a plugin returns, logs or asks for is unbounded or believed unchecked.
//!
//! Calls are synchronous and run on the caller's thread, which needs a stack of
//! [`limits::HANDLER_THREAD_STACK_BYTES`](unspool_vocabulary::limits::HANDLER_THREAD_STACK_BYTES).

mod build;
mod cache;
mod call;
mod compile;
mod core_module;
mod difference;
mod digest;
mod engine;
mod error;
mod failure;
mod guard;
mod log;
mod outcome;
mod python;
mod runtime;
#[cfg(feature = "typescript")]
mod script;
#[cfg(test)]
mod tests;
mod wit;
mod world;
mod wrap;

pub use build::{BuildError, BuildOptions, BuiltPlugin, build};
pub use call::Plugin;
pub use compile::{COMPILE, THIS_PROGRAM, compile_for_another_process};
pub use core_module::Problem;
pub use difference::Difference;
pub use digest::{NoDigest, PinnedDigest, digest, sha256};
pub use engine::{Engine, EngineOptions};
pub use error::{CallError, PluginError};

/// Reads a plugin's file, or as much of it as shows that it is too large.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(unspool_vocabulary::limits::PLUGIN_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > unspool_vocabulary::limits::PLUGIN_BYTES {
        return Err(std::io::Error::other(format!(
            "more bytes than a plugin may have ({})",
            unspool_vocabulary::limits::PLUGIN_BYTES
        )));
    }
    Ok(bytes)
}

pub use guard::thread_cpu_time;
pub use outcome::{Outcome, RowWrite};
pub use python::PythonError;
pub use world::check;
pub use wrap::{WrapError, wrap};
