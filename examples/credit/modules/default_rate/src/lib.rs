//! Default rate by tax grade and arrears band: nothing to compute here, the host does it all.

use fusebox_guest::{Error, View, table};

fusebox_guest::module! {
    name: "default_rate",
    version: "0.1.0",
    tables: { "default_rate": ["firms", "units", "default_rate"] },
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    table("default_rate").keys(["tax_grade", "arrears_band"]).count("firms").units("units").mean("default_rate", "default_12m").request();
    Ok(())
}
