//! What the tests of this crate build: generations of one projection with one table.

use crate::{NewRebuild, Purpose, RebuildOptions, RebuildSpec, Store};
use unspool_frame::{Complexity, Partitioning, TableDescription};
use unspool_vocabulary::{Description, Position};

/// Installs the projection `orders`, whose table is `rows`.
pub(crate) fn install_orders(store: &Store) {
    let description = Description {
        name: "orders".to_owned(),
        version: 1,
        event_types: vec!["*".to_owned()],
        tables: vec![TableDescription { name: "rows".to_owned() }],
        complexity: Complexity::default(),
        chunk_size: None,
        partitioning: Partitioning::default(),
    };
    let digest = blake3::hash(b"component").to_hex();
    store.install(&description, &digest, b"component", "install", 0).unwrap();
}

/// A generation of all events of the log.
pub(crate) fn new_generation(purpose: Purpose) -> NewRebuild {
    let spec = RebuildSpec {
        source: "log".to_owned(),
        source_identity: "identity".to_owned(),
        after: Position::START,
        to: None,
        purpose,
        label: None,
        segments: Vec::new(),
        options: RebuildOptions::default(),
    };
    NewRebuild { spec, shape: None, into: None, indexes: Vec::new() }
}
