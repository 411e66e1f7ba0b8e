//! Read models in PostgreSQL: the same rows as in the store, exactly once, wherever something ends or is cut.

mod changes;
mod cuts;
mod documents;
mod followed;
mod history;
mod http;
mod kills;
mod orders;
mod rebuilds;
mod refusals;
mod switches;
