//! Reads the column `value` as often as the job's seed says. There is no clock here: the bench compares runs.

use fusebox_guest::{Error, View};

fusebox_guest::module! {
    name: "handover",
    version: "0.1.0",
    run: run,
}

fn run(view: &View) -> Result<(), Error> {
    let column = view.number("value")?;
    let mut seen = 0u64;
    for _ in 0..fusebox_guest::seed() {
        for rows in view.chunks() {
            seen += column.values(rows).len() as u64;
        }
    }
    if seen == view.rows() * fusebox_guest::seed() { Ok(()) } else { Err(Error::new("rows are missing")) }
}
