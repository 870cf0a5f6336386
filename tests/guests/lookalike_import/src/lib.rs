//! Imports an invented function of an offered interface.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "lookalike_import", version: "0.1.0", run: run }

#[link(wasm_import_module = "fusebox:analysis/view@0.3.0")]
unsafe extern "C" {
    #[link_name = "identifiers"]
    fn identifiers() -> i64;
}

fn run(_view: &View) -> Result<(), Error> {
    // SAFETY: never runs; the module is refused before.
    Err(Error::new(unsafe { identifiers() }.to_string()))
}
