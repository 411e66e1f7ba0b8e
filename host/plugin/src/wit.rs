//! The world that plugins live in: as text for the world check, as Rust types for calls.

/// The contract as published. [`super::world`] compares components with it.
pub(super) const WIT: &str = include_str!("../../../wit/projection.wit");

/// The name of the world in [`WIT`].
pub(super) const WORLD: &str = "projection";

#[allow(missing_docs)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/projection.wit",
        world: "projection",
        imports: { default: trappable },
    });
}

pub(super) use bindings::exports::unspool::projection::handler;
pub(super) use bindings::unspool::projection::{logger, read_model};
pub(super) use bindings::{Projection, ProjectionPre};
