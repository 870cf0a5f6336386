//! What the macro writes into a module that derives nothing and hands in a model.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "a", version: "1", models: ["score"], run: run }

fn run(_view: &View) -> Result<(), Error> {
    Ok(())
}

#[test]
fn the_manifest_names_it() {
    assert_eq!(FUSEBOX_MANIFEST, r#"{"name":"a","version":"1","derived":[],"models":["score"]}"#);
}
