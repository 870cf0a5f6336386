//! What the macro writes where nothing is derived.

use fusebox_guest::{Error, View};

fusebox_guest::module! { name: "bare", version: "0", run: run }

fn run(_view: &View) -> Result<(), Error> {
    Ok(())
}

#[test]
fn the_manifest_is_json() {
    assert_eq!(FUSEBOX_MANIFEST, r#"{"name":"bare","version":"0","derived":[]}"#);
}
