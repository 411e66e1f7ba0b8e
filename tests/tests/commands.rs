//! What holds for every command: those that read write nothing and start nothing, and none waits for another projection.

#[path = "commands/reading.rs"]
mod reading;

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");
