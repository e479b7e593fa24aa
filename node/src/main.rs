//! `sonode`: ultrasound in, Structured Report out.

use std::process::ExitCode;

fn main() -> ExitCode {
    sonode::cli::main()
}
