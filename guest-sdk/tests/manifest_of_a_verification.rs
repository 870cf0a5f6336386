//! The declaration of a verification with a band.

use fusebox_guest::fold::Block;

fusebox_guest::verify! {
    name: "band",
    version: "1.0.0",
    columns: { "month": date(), "kwh": number(2), "grade": category["A", "B"] },
    answer: band["none", "low", "high"],
    decide: decide,
}

fn decide(rows: &Block) -> usize {
    rows.rows()
}

#[test]
fn columns_and_labels_stand_in_the_manifest() {
    let expected = "{\"name\":\"band\",\"version\":\"1.0.0\",\"verify\":{\"columns\":[{\"name\":\"month\",\"type\":\"date\"},\
        {\"name\":\"kwh\",\"type\":\"number\",\"scale\":2},{\"name\":\"grade\",\"type\":\"category\",\"labels\":[\"A\",\"B\"]}],\
        \"answer\":{\"band\":[\"none\",\"low\",\"high\"]}}}";
    assert_eq!(FUSEBOX_MANIFEST, expected);
    assert_eq!(column("grade"), 2);
}
