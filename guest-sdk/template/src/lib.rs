//! A module for fusebox: counts rows by one column. Replace `region` by a category that your agreement grants.

use fusebox_guest::{Error, View, log, table};

fusebox_guest::module! {
    name: "{{name}}",
    version: "0.1.0",
    // Names are fixed before any data is seen; a checker reads them with the module.
    tables: { "rows_by_region": ["rows", "units"] },
    run: run,
}

fn run(view: &View) -> Result<(), Error> {
    let region = view.category("region")?;
    // Log text is passed on where the rows are synthetic (`fusebox dev run`), else dropped.
    log(&format!("{} rows, {} regions", view.rows(), region.labels.len()));
    table("rows_by_region").key("region").count("rows").units("units").request();
    Ok(())
}
