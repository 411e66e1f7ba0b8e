//! The component's side: what the world imports and exports, in the SDK's types. Public for [`export!`](crate::export) only.

use crate::projection::{Outcome, Plugin};
use crate::rows::Rows;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Once;

#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated from the world")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/projection.wit",
        world: "projection",
        ownership: Borrowing { duplicate_if_necessary: true },
        export_macro_name: "export_projection",
        pub_export_macro: true,
    });
}

pub use bindings::export_projection;
use bindings::exports::unspool::projection::handler;
use bindings::unspool::projection::{logger, read_model};

/// The component whose exports are those of `P`.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Plugin> handler::Guest for Exported<P> {
    fn describe() -> Vec<u8> {
        report_panics();
        P::describe()
    }

    fn handle(chunk: Vec<u8>) -> handler::Outcome {
        report_panics();
        let Outcome { handled, writes, failure } = P::handle(&chunk, Rc::new(HostRows));
        let failure = failure.map(|failure| {
            let (kind, message, details) = failure.into_parts();
            handler::Failure { kind: kind.word().to_owned(), message, details }
        });
        handler::Outcome { handled, writes, failure }
    }
}

/// The rows that the host has.
struct HostRows;

impl Rows for HostRows {
    fn read(&self, table: &str, keys: &[&str], each: &mut dyn FnMut(usize, Option<&[u8]>)) {
        for (n, document) in read_model::get_many(table, keys).into_iter().enumerate() {
            each(n, document.as_deref());
        }
    }

    fn scan(&self, table: &str, prefix: &str, after: Option<&str>, limit: u32) -> Vec<(String, Vec<u8>)> {
        read_model::scan(table, prefix, after, limit)
    }
}

pub(crate) fn write_log(level: &str, message: &str) {
    logger::log(level, message);
}

/// Ensures that a panic says where and why before the instance traps.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("the plugin panicked");
            match panic.location() {
                Some(at) => logger::log("panic", &format!("{at}: {message}")),
                None => logger::log("panic", message),
            }
        }));
    });
}
