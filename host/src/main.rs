//! The `unspool` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    unspool::cli::main()
}
