//! What the macro writes into a module that hands in models.

use fusebox_guest::{Error, View};

mod without_columns {
    use super::{Error, View};

    fusebox_guest::module! { name: "a", version: "1", models: ["score"], run: run }

    fn run(_view: &View) -> Result<(), Error> {
        Ok(())
    }
}

mod with_columns {
    use super::{Error, View};

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
}

#[test]
fn the_manifest_names_them() {
    assert_eq!(without_columns::FUSEBOX_MANIFEST, r#"{"name":"a","version":"1","derived":[],"models":["score"]}"#);
    let expected =
        r#"{"name":"b","version":"1","derived":[{"name":"x","type":"number","scale":0,"min":0,"max":1}],"models":["score","forest"]}"#;
    assert_eq!(with_columns::FUSEBOX_MANIFEST, expected);
}
