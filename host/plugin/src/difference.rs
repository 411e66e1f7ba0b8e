//! What tells a component from one of our world.

use std::fmt;

/// One thing in which a component does not fit our world. Interfaces carry their package and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The component does not export what the host calls.
    MissingExport(String),
    /// The component imports what the host does not give.
    UnknownImport(String),
    /// The component imports WASI: these interfaces of it.
    Wasi(Vec<String>),
    /// The component speaks another version of our interfaces.
    OtherVersion {
        /// The interface, as the component names it.
        found: String,
        /// The interface, as this host names it.
        ours: String,
    },
    /// An export lacks a function or a type of ours, or an import asks for one that we do not have.
    Lacks {
        /// The interface.
        interface: String,
        /// Its function or type.
        item: String,
        /// Whether the component's export lacks it; otherwise the host's interface does.
        export: bool,
    },
    /// A function or a type has another shape.
    OtherShape {
        /// The interface.
        interface: String,
        /// The component's item, in WIT.
        found: String,
        /// Ours, in WIT.
        ours: String,
    },
    /// What a name does not tell.
    Other(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::MissingExport(name) => write!(f, "missing: the export {name}"),
            Difference::Wasi(names) => write!(
                f,
                "unknown: the import {}{}; a projection sees no clock, files, environment or network: build Rust with `unspool plugin \
                 build`, Go, C and others for wasm32-wasip1 and wrap them with `unspool plugin wrap`, Python with --stub-wasi",
                names.first().map_or("of WASI", |name| name),
                if names.len() > 1 { format!(" (and {} more of WASI)", names.len() - 1) } else { String::new() }
            ),
            Difference::UnknownImport(name) => {
                write!(f, "unknown: the import {name}; a projection may import nothing but our own interfaces")
            }
            Difference::OtherVersion { found, ours } => write!(
                f,
                "different: {found}, where this host speaks {ours}; build the plugin with the SDK of this host's version"
            ),
            Difference::Lacks { interface, item, export: true } => {
                write!(f, "missing: {item} in the export {interface}")
            }
            Difference::Lacks { interface, item, export: false } => {
                write!(f, "unknown: {item} in the import {interface}")
            }
            Difference::OtherShape { interface, found, ours } => {
                write!(f, "different: in {interface} the component has `{found}`, the host `{ours}`")
            }
            Difference::Other(problem) => f.write_str(problem),
        }
    }
}
