//! The command line: what it answers, how that looks on a terminal, what it refuses, and whose hands it keeps off. What its pages
//! say of it. And the layers of its code.

mod commands;
mod control;
mod declared;
mod documents;
mod golden;
mod http;
mod layering;
mod refusals;
mod schema;
mod service;
mod status;
mod terminal;
mod watching;
mod work;
