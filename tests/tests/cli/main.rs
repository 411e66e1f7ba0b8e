//! The command line: what it answers, what it refuses, and whose hands it keeps off. And the layers of its code.

mod control;
mod layering;
mod refusals;
mod status;
