//! What the macro writes into a module that derives a column and hands in models.

use fusebox_guest::{Error, View};

fusebox_guest::module! {
    name: "b",
    version: "1",
    derived: { "x": number(0, 0, 1) },
    models: ["score", "forest"],
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    Ok(())
}

#[test]
fn the_manifest_names_them() {
    let expected =
        r#"{"name":"b","version":"1","derived":[{"name":"x","type":"number","scale":0,"min":0,"max":1}],"models":["score","forest"]}"#;
    assert_eq!(FUSEBOX_MANIFEST, expected);
}
