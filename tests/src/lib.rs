//! What the tests stand on: data directories that are driven through the command line, plugins built once, generated
//! histories, and oracles that share no code with the product.

pub mod data;
pub mod history;
pub mod oracle;
pub mod plugins;
pub mod store_file;
