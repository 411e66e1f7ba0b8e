//! Write Unspool projections: typed handlers over typed tables, tested natively.
//!
//! A projection is a function from events to rows. Its author writes the rows, the payloads, and one handler per event type;
//! this is a whole plugin, tests included:
//!
//! ```
//! use unspool_sdk::prelude::*;
//!
//! projection! {
//!     /// How often, and for how much, each customer paid.
//!     pub struct Payments;
//!     name: "payments",
//!     version: 1,
//!     tables: Tables { customers: Customer },
//!     handlers: { "PaymentReceived" => on_payment },
//! }
//!
//! export!(Payments);
//!
//! #[derive(Serialize, Deserialize, Default)]
//! struct Customer {
//!     payments: u64,
//!     cents: i64,
//! }
//!
//! #[derive(Deserialize)]
//! struct Payment<'a> {
//!     customer: &'a str,
//!     cents: i64,
//! }
//!
//! fn on_payment(_event: &Event<'_>, payment: Payment<'_>, tables: &mut Tables) -> Handled {
//!     let customer = tables.customers.entry(payment.customer)?;
//!     customer.payments += 1;
//!     customer.cents += payment.cents;
//!     Ok(())
//! }
//!
//! # fn main() {
//! use unspool_sdk::testing::{Kit, event, json};
//!
//! let paid = event("PaymentReceived").data(json!({ "customer": "ada", "cents": 250 }));
//! let kit = Kit::<Payments>::new().given(paid.clone()).given(paid);
//! assert_eq!(kit.row("customers", "ada"), json!({ "payments": 2, "cents": 500 }));
//! # }
//! ```
//!
//! The crate that holds it says `crate-type = ["cdylib", "rlib"]`, and `unspool plugin build DIR` makes a component of it.
//!
//! # What a handler can rely on
//!
//! - Events come in the order of their positions, each exactly once. What is borrowed from one lives as long as the call.
//! - A payload that lacks a field or has one of another type is refused before the handler sees it, as a permanent failure
//!   that names the field.
//! - A handler that fails leaves no trace: the chunk's writes are those of the events before.
//! - A row is decoded once and encoded once per chunk, however many of the chunk's events touch it.
//!
//! # What the host relies on
//!
//! A handler is a pure function of the event and the rows: no clock, no randomness, no statics that remember. The SDK runs it
//! again when a later event of the chunk fails, and the host on a fresh instance when it looks for the event that trapped.

mod decode;
mod failure;
mod handler;
mod key_map;
pub mod log;
mod macros;
mod projection;
mod rows;
mod session;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod text;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod wasm;
mod write_set;

pub use decode::{DecodeError, from_slice};
pub use failure::{Failure, FailureKind, Handled, permanent, transient};
pub use handler::{Handler, Payload};
#[doc(hidden)]
pub use projection::no_handler;
pub use projection::{Outcome, Plugin, Projection, Tables};
pub use rows::{MemoryRows, Rows};
pub use session::Session;
pub use table::Table;
pub use text::Text;
pub use unspool_frame as frame;
pub use unspool_frame::{Complexity, Description, Event, Partitioning, TableDescription};
pub use write_set::WriteSet;

/// What a plugin's file starts with.
pub mod prelude {
    pub use crate::{Event, Failure, Handled, Payload, Table, Text, export, log, permanent, projection, transient};
    pub use serde::{Deserialize, Serialize};
}
