//! Imports a function of WASI.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "wasi_import", version: "0.1.0", run: run }

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    #[link_name = "random_get"]
    fn random_get(pointer: *mut u8, bytes: usize) -> i32;
}

fn run(_view: &View) -> Result<(), Error> {
    let mut byte = 0;
    // SAFETY: never runs; the module is refused before.
    let code = unsafe { random_get(&raw mut byte, 1) };
    Err(Error::new(format!("{code} {byte}")))
}
