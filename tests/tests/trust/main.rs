//! Why people can trust a read model: it is verified, has a receipt, says what it lacks, and goes back where it was.

mod determinism;
mod parking;
mod parking_orders;
mod past;
mod receipt;
mod store;
mod swap;
mod unreadable;
mod verify;
mod watch;
