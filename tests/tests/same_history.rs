//! A checkpoint belongs to one event of one history, a read model to one source, and rows to one store: whatever was put back,
//! replaced, emptied or taken for another is said, and nothing is applied.

#[path = "same_history/counts.rs"]
mod counts;
#[path = "same_history/files.rs"]
mod files;
#[path = "same_history/homes.rs"]
mod homes;
#[path = "same_history/postgres.rs"]
mod postgres_source;
#[path = "same_history/shop.rs"]
mod shop;
#[path = "same_history/sources.rs"]
mod sources;
