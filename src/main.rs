//! `fusebox`: the server and the commands for everyone who works with it.

use std::process::ExitCode;

use fusebox::cli::{Files, run};

fn main() -> ExitCode {
    // The one place where paths become reachable: everything else gets directories made from this.
    run(Files::new(cap_std::ambient_authority()))
}
