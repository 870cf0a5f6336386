//! What the macro writes into a module.

use fusebox_guest::{Error, View};

fusebox_guest::module! {
    name: "all_kinds",
    version: "1.2.3",
    derived: {
        "wind_band": category["calm", "a \"quoted\" \\ label", "强"],
        "ratio": number(2, -100_000, 100_000),
    },
    run: run,
}

fn run(_view: &View) -> Result<(), Error> {
    Ok(())
}

#[test]
fn the_manifest_is_json() {
    let expected = concat!(
        r#"{"name":"all_kinds","version":"1.2.3","derived":["#,
        r#"{"name":"wind_band","type":"category","labels":["calm","a \"quoted\" \\ label","强"]},"#,
        r#"{"name":"ratio","type":"number","scale":2,"min":-100000,"max":100000}]}"#
    );
    assert_eq!(FUSEBOX_MANIFEST, expected);
}
