//! Does what the subject's row says (`deed`, numbered below, each named in a host test). To a good one it answers with the last two bits of
//! the subject's value: what fits its label, and no more. Of nobody it says the highest label.

use std::hint::black_box;

use fusebox_guest::fold::Block;

fusebox_guest::verify! {
    name: "verify_misbehaves",
    version: "0.1.0",
    columns: { "deed": number(0), "value": number(0) },
    answer: band["none", "a", "b", "c"],
    decide: decide,
}

fn decide(rows: &Block) -> usize {
    let Some(deed) = rows.value(column("deed"), 0) else { return 3 };
    let value = rows.value(column("value"), 0).unwrap_or(0);
    match deed {
        1 => loop {
            black_box(0);
        },
        2 => std::process::abort(),
        3 => flood(),
        4 => value as usize + 4,
        5 => usize::MAX,
        6 => recurse(value) as usize,
        _ => value as usize & 3,
    }
}

/// Takes memory to the last page that there is, and writes on each.
fn flood() -> usize {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 16]);
        black_box(&mut all);
    }
}

fn recurse(depth: i64) -> i64 {
    let here = black_box([depth; 64]);
    if depth == i64::MIN { 0 } else { recurse(depth + 1) + here[0] }
}
