//! Markdown pages as tests: the commands of their `console` blocks are run in order, in one shell and one folder, and print what
//! is shown.
//!
//! A line that begins with `$ ` is typed; what follows, up to the next one, is what it prints, on standard output and standard
//! error, progress and log aside. `...` stands for anything within a line, and alone in a line for any lines. A command below
//! which nothing is shown prints nothing, unless a comment (` # ...`) says what it does. A command fails only where `echo $?`
//! follows. `status` and `list` are asked again until they answer as shown.
//!
//! Rates, durations, times, sizes and digests of plugins are not compared, nor is how far columns are apart; in a block marked
//! ```` ```console (numbers vary) ````, no number is. A block marked ```` ```console (not run: REASON) ```` is not run.
//!
//! `UNSPOOL_UPDATE=1` writes what is printed into the pages instead of failing.

mod compare;
mod page;
mod run;

pub use page::{Block, Page};
pub use run::Scene;
