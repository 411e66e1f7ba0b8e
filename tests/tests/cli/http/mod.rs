//! HTTP: who may have what done, what is refused and how, and that what comes of it is what the command line gives.

mod door;
mod elsewhere;
mod metrics;
mod openapi;
mod requests;
mod silence;
mod traces;

use unspool_tests::{data::Data, history, plugins::plugin};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A projection that is complete, with dead letters.
fn data() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("mixed.ndjson", history::mixed(300, &[(7, "Error")])));
    data.install(&plugin("faulty"));
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    data.ok(["model", "promote", "faulty", "--allow-parked"]);
    data
}
