//! Exports `run` and carries no manifest.

use fusebox_guest::bindings;

struct Module;

impl bindings::Guest for Module {
    fn run() -> Result<(), String> {
        Ok(())
    }
}

bindings::export_analysis!(Module with_types_in bindings);
