//! What the macro writes into a fold, and how it calls its functions.

use fusebox_guest::fold::bindings::Guest;
use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "all_kinds",
    version: "1.2.3",
    columns: { "age": number(0), "pay": number(2), "sex": category["Female", "a \"quoted\" label", "女"], "born": date(), "seen": hour() },
    dimension: 3,
    state: 2,
    contribute: contribute,
    update: update,
}

const PAY: usize = column("pay");
const SEX: usize = column("sex");

fn contribute(state: &[f64], block: &Block) -> Contribution {
    match block.label(SEX, 0) {
        Some(label) => Contribution::at(label, state[1]),
        None => Contribution::from([block.numbers(PAY).sum(), block.units() as f64, block.rows() as f64]),
    }
}

fn update(round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    vec![f64::from(round), state[0] + noised[2]]
}

#[test]
fn the_manifest_is_json() {
    let expected = concat!(
        r#"{"name":"all_kinds","version":"1.2.3","fold":{"columns":["#,
        r#"{"name":"age","type":"number","scale":0},{"name":"pay","type":"number","scale":2},"#,
        r#"{"name":"sex","type":"category","labels":["Female","a \"quoted\" label","女"]},"#,
        r#"{"name":"born","type":"date"},{"name":"seen","type":"hour"}],"dimension":3,"state":2}}"#
    );
    assert_eq!(FUSEBOX_MANIFEST, expected);
    assert_eq!((DIMENSION, STATE, column("seen")), (3, 2, 4));
}

#[test]
fn the_functions_are_called_with_what_came() {
    let values = |sex| vec![30, 31, 150, 250, sex, 0, 0, 0, 0, 0];
    assert_eq!(FuseboxFold::contribute(vec![5.0, 6.0], vec![1, 1], values(2), vec![]), (vec![2], vec![6.0]));
    assert_eq!(FuseboxFold::contribute(vec![5.0, 6.0], vec![2], values(-1), vec![]), (vec![], vec![4.0, 1.0, 2.0]));
    assert_eq!(FuseboxFold::update(3, vec![1.0, 2.0], vec![0.0, 0.0, 7.0]), [3.0, 8.0]);
}
