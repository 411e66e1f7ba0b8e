//! Read models in PostgreSQL: the same rows as in the store, exactly once, wherever something ends or is cut.

#[path = "postgres_home/cuts.rs"]
mod cuts;
#[path = "postgres_home/documents.rs"]
mod documents;
#[path = "postgres_home/kills.rs"]
mod kills;
#[path = "postgres_home/orders.rs"]
mod orders;
#[path = "postgres_home/refusals.rs"]
mod refusals;
#[path = "postgres_home/rows.rs"]
mod rows;
#[path = "postgres_home/switches.rs"]
mod switches;
