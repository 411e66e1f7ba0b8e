//! What operators are told: how rebuilds stand, what to do next, and nothing that text of others makes of it. And whose hands
//! are kept off a data directory.

#[path = "status/contact.rs"]
mod contact;
#[path = "status/copies.rs"]
mod copies;
#[path = "status/places.rs"]
mod places;
#[path = "status/rights.rs"]
mod rights;
#[path = "status/standing.rs"]
mod standing;
#[path = "status/visible.rs"]
mod visible;

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");
