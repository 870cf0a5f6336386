//! Number of rows, distinct units and a sum by two keys: nothing to compute here, the host does it all.

use fusebox_guest::{Error, View, table};

fusebox_guest::module! {
    name: "query",
    version: "0.1.0",
    tables: { "query": ["rows", "units", "total"] },
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    table("query").keys(["region", "class"]).count("rows").units("units").sum("total", "value").request();
    Ok(())
}
