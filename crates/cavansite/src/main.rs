//! The program `cavansite`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cavansite::cli::main()
}
