//! The least that a job can do and still be decided.

use fusebox_guest::{Error, View, table};

fusebox_guest::module! {
    name: "noop",
    version: "0.1.0",
    tables: { "noop": ["rows"] },
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    table("noop").count("rows").request();
    Ok(())
}
