//! Imports a function of its own invention.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "undeclared_import", version: "0.1.0", run: run }

#[link(wasm_import_module = "fusebox:analysis/network@0.3.0")]
unsafe extern "C" {
    #[link_name = "send"]
    fn send(pointer: *const u8, bytes: usize);
}

fn run(view: &View) -> Result<(), Error> {
    let text = format!("{} rows", view.rows());
    // SAFETY: never runs; the module is refused before.
    unsafe { send(text.as_ptr(), text.len()) };
    Ok(())
}
