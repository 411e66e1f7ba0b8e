//! Log lines for the operator. They never reach the read model.
//!
//! The host keeps a bounded number of lines per chunk (100) and cuts long ones (4096 bytes). Natively they go to stderr.

use std::fmt::Display;

/// Something went wrong that the events do not show.
pub fn error(message: impl Display) {
    write("error", &message.to_string());
}

/// Something looks wrong, and the projection goes on.
pub fn warn(message: impl Display) {
    write("warn", &message.to_string());
}

/// Something an operator may want to know.
pub fn info(message: impl Display) {
    write("info", &message.to_string());
}

/// Something an author wants to know.
pub fn debug(message: impl Display) {
    write("debug", &message.to_string());
}

/// Every step.
pub fn trace(message: impl Display) {
    write("trace", &message.to_string());
}

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::wasm::write_log as write;

#[cfg(not(target_arch = "wasm32"))]
fn write(level: &str, message: &str) {
    eprintln!("{level}: {message}");
}
