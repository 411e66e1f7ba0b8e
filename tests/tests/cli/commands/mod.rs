//! What holds for every command: those that read write nothing and start nothing, none waits for another projection, and what
//! they answer is what the reference says.

mod activity;
mod reading;
mod reference;
mod waiting;

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");
