//! PostgreSQL on both sides: event stores as sources, and read models in databases. One server serves all tests of this
//! process that need none of their own: databases and roles have names that no other test has.

mod rows;
mod same_history;
mod source;
mod stand;
