//! What can go wrong at the plugin boundary.

use super::difference::Difference;
use std::io;
use std::path::PathBuf;
use unspool_vocabulary::limits;
use unspool_vocabulary::{EventFailure, InvalidDescription};

/// Why a plugin cannot be used, or an engine not be started.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The bytes are no WebAssembly.
    #[error("not a WebAssembly file; a plugin is a component made by `unspool plugin build DIR`")]
    NotWasm,
    /// A core module: not yet a component.
    #[error("a core WebAssembly module, not a component; `unspool plugin wrap` makes one of it")]
    CoreModule,
    /// A file that describes interfaces and holds no code.
    #[error("a WIT package in binary form, which holds no code; build the plugin with `unspool plugin build DIR`")]
    WitPackage,
    /// The file is larger than a plugin may be.
    #[error("{} bytes; a plugin may have {}", .0, limits::PLUGIN_BYTES)]
    TooLarge(usize),
    /// WebAssembly, but broken.
    #[error("not a valid component: {0}")]
    Malformed(String),
    /// A component for another world, or another version of ours.
    #[error("the component does not fit the world {world}: {}", list(.differences))]
    World {
        /// Our world, with its version.
        world: String,
        /// All that is missing, unknown or different.
        differences: Vec<Difference>,
    },
    /// The component is valid but this engine cannot run it.
    #[error("cannot compile the plugin: {0}")]
    Compile(String),
    /// The process that checks and compiles plugins refused it, in words of its own.
    #[error("{0}")]
    Refused(String),
    /// Compiling it takes more than it may, or ends the compiler.
    #[error(
        "cannot compile the plugin: {why}; {large}: build it optimised (`unspool plugin build` does), or split what is large in it"
    )]
    TooMuch {
        /// More of what.
        why: String,
        /// What is large in it.
        large: String,
    },
    /// `describe` did not return.
    #[error("the plugin cannot describe itself: {0}")]
    Describe(EventFailure),
    /// `describe` returned something that is not a description.
    #[error("describe returned no description: {0}")]
    NoDescription(String),
    /// The description is not acceptable.
    #[error(transparent)]
    InvalidDescription(#[from] InvalidDescription),
    /// The directory of compiled plugins is unusable.
    #[error("cannot use {} for compiled plugins: {cause}", .path.display())]
    Cache {
        /// The directory or file at fault.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// More memory for an instance than the pool can give.
    #[error("an instance may be given {} bytes of memory at most, not {}", limits::GUEST_MEMORY_CEILING_BYTES, .0)]
    MemoryCeiling(usize),
    /// The engine does not start on this machine.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a call gave no outcome.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The stop flag was raised. The chunk is to be discarded; nobody is to blame.
    #[error("the call was stopped")]
    Stopped,
    /// The plugin trapped, used too much, or returned something that is not an outcome.
    #[error("{0}")]
    Failed(EventFailure),
}
