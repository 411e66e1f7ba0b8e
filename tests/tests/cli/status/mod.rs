//! What operators are told: how rebuilds stand, what to do next, and nothing that text of others makes of it. And whose hands
//! are kept off a data directory.

mod contact;
mod copies;
mod places;
mod rights;
mod standing;
mod visible;

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");
