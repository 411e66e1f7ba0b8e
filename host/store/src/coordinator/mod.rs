//! The store's own rows and those of databases, kept in step with the catalog: here, and only here, both are known.
//!
//! | file | what it does |
//! |---|---|
//! | `commit` | rows, checkpoint and promotion of any number of rebuilds; a database first, the store follows |
//! | `claim` | lets one attempt commit; takes over what a database has and the store has not |
//! | `switch` | switches the live generation, in three steps where a database takes part |
//! | `following` | attempts that bring a complete generation forward |
//! | `generations` | creates generations, and drops them with their rows |
//! | `rows` | reads rows, and maintains them |

mod claim;
mod commit;
mod following;
mod generations;
mod rows;
mod switch;

pub use switch::CaughtUp;
