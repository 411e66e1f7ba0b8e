//! QuickJS as a projection plugin. A script is evaluated once, when its plugin is built; a snapshot of the memory is the
//! plugin, so that an instance begins with everything evaluated.
//!
//! | file | what it does |
//! |---|---|
//! | `build` | what the builder calls: takes the sources, evaluates them, describes the projection |
//! | `modules` | which source an import means |
//! | `fold` | a chunk of events through the handlers |
//! | `table` | the rows that handlers read and change, one event at a time |
//! | `decode`, `encode` | MessagePack to values of JavaScript, and back |
//! | `failure` | what an exception tells the operator |
//! | `engine`, `value` | QuickJS itself, and its values with an owner |
//! | `natives` | functions that the module `unspool` is made of |
//!
//! Every event meets its rows as if they had just been read: after an event each row that it changed is encoded, and what
//! would not come back from its encoding as it is (a shared object, a wrapped number, a minus zero) is dropped and decoded
//! anew when it is next looked at. Where a history is cut into chunks cannot show.
//!
//! `unsafe` is what calling a C library is. All of it runs inside the sandbox, on one thread, and an instance ends after
//! one call: what goes wrong here harms nobody else.

mod build;
mod decode;
mod encode;
mod engine;
mod failure;
mod fold;
mod modules;
mod natives;
mod table;
mod value;

wit_bindgen::generate!({ path: "../../../wit/projection.wit", world: "projection" });
use exports::unspool::projection::handler::{Guest, Outcome};
use unspool::projection::{logger, read_model};

struct Plugin;

impl Guest for Plugin {
    fn describe() -> Vec<u8> {
        engine::engine().description.clone()
    }

    fn handle(chunk: Vec<u8>) -> Outcome {
        engine::engine().enter();
        fold::fold(&chunk)
    }
}

export!(Plugin);
