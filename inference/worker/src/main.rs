//! The worker's executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    sonode_worker::cli::main()
}
