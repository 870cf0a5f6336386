//! Never ends; the host stops it from outside.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "spins", version: "0.1.0", run: run }

fn run(_view: &View) -> Result<(), Error> {
    loop {
        core::hint::black_box(0);
    }
}
