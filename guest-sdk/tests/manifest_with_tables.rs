//! What the macro writes into a module that asks for tables.

use fusebox_guest::{Error, View};

fusebox_guest::module! {
    name: "c",
    version: "1",
    models: ["score"],
    tables: { "by_region": ["rows", "units"], "whole": ["rows"] },
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    Ok(())
}

#[test]
fn the_manifest_names_them_and_their_measures() {
    let tables = r#""tables":[{"name":"by_region","measures":["rows","units"]},{"name":"whole","measures":["rows"]}]"#;
    assert_eq!(FUSEBOX_MANIFEST, format!(r#"{{"name":"c","version":"1","derived":[],"models":["score"],{tables}}}"#));
}
