//! What the tests stand on: data directories that are driven through the command line, pages whose commands are run, plugins
//! built once, generated histories, oracles that share no code with the product, machines in memory whose disks fail, and a
//! PostgreSQL behind a network that fails.

pub mod activity;
pub mod console;
pub mod data;
pub mod disk;
pub mod followed;
pub mod fuzz;
pub mod history;
pub mod hostile;
pub mod http;
pub mod killed;
pub mod languages;
pub mod machine;
pub mod needs;
pub mod oracle;
pub mod plugins;
pub mod postgres;
pub mod random;
pub mod receiver;
pub mod schema;
pub mod store_file;
pub mod stores;
pub mod subscriber;
