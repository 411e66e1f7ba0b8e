//! The command line that the tests run: the same code as the binary `unspool`.

use std::process::ExitCode;

fn main() -> ExitCode {
    unspool::cli::main()
}
