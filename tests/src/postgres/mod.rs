//! A PostgreSQL of the tests' own, and a network before it that fails when told.

mod binaries;
mod pooler;
mod proxy;
mod server;
pub mod tls;

pub use pooler::Pooler;
pub use proxy::Proxy;
pub use server::{Database, Frozen, Options, Server, Stop, shared};
