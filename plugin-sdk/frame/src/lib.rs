//! The frames that cross the plugin boundary, in MessagePack: one definition for host and SDK.
//!
//! | frame | direction | layout |
//! |---|---|---|
//! | chunk | host to plugin | array of [`Event`]s |
//! | write | plugin to host | array of [`Write`]s |
//! | description | plugin to host | map, see [`Description`] |
//!
//! `wit/README.md` shows each byte by byte, for authors of plugins in other languages. A reader ignores elements after the
//! ones it knows, so that a later host may append facts to an event.

mod chunk;
mod description;
mod wire;
mod write;

pub use chunk::{Chunk, Event, chunk_header, event_header};
pub use description::{Complexity, Description, Partitioning, TableDescription};
pub use wire::FrameError;
pub use write::{Write, WriteFrame, Writes, write_header};
