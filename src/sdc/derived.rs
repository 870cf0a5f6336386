//! What a module's own columns may do in a table.
//!
//! A derived number is any function of the rows that its author cared to write. As a key its values become labels: `the amount of
//! somebody, in every row` is one cell of all people under that label. As a measure it carries what it likes past every rule about who
//! is in a cell: a sum of weighted amounts minus the sum of the amounts is one person's amount, twelve such sums over twelve people
//! are everybody's, low digits or a column that is the same in all rows are a message, and bounds declared too wide hide that a cell is
//! full. No audit of row sets sees any of it, since the sets are the same. So no such key is taken, and such a measure waits for a
//! reviewer. Derived categories remain: their labels are declared before any row is seen, and who is in their cells is audited.

use std::collections::BTreeSet;

use protocol::table::TableRequest;

use crate::refusal::{self, Refused};

/// Judges a request by the names of the numbers that the module derived: whether the table has to wait for a reviewer.
///
/// # Errors
/// `table.derived_key`.
pub fn judge_derived(request: &TableRequest, derived: &BTreeSet<&str>) -> Result<Option<Refused>, Refused> {
    if let Some(key) = request.keys.iter().find(|key| derived.contains(key.as_str())) {
        return Err(Refused::new(&refusal::TABLE_DERIVED_KEY).subject(key));
    }
    let measure = request.measures.iter().find(|m| m.column.as_ref().is_some_and(|column| derived.contains(column.as_str())));
    Ok(measure.map(|m| Refused::new(&refusal::TABLE_DERIVED_MEASURE).subject(&m.name)))
}

#[cfg(test)]
mod tests {
    use protocol::table::{MeasureOp, MeasureRequest};

    use super::*;

    fn request(key: &str, op: MeasureOp, column: Option<&str>) -> TableRequest {
        let measure = MeasureRequest { name: "m".to_owned(), op, column: column.map(str::to_owned) };
        TableRequest { name: "t".to_owned(), keys: vec![key.to_owned()], measures: vec![measure], margins: Default::default() }
    }

    #[test]
    fn a_derived_number_is_no_key_and_its_measures_wait() {
        let derived = BTreeSet::from(["weight"]);
        let rule = |key: &str, op, column| match judge_derived(&request(key, op, column), &derived) {
            Err(refused) => ("refused", refused.rule().id),
            Ok(Some(held)) => ("held", held.rule().id),
            Ok(None) => ("passes", ""),
        };
        assert_eq!(rule("weight", MeasureOp::Count, None), ("refused", "table.derived_key"));
        for op in [MeasureOp::Sum, MeasureOp::Mean, MeasureOp::Variance, MeasureOp::Max, MeasureOp::Quantile { permille: 500 }] {
            assert_eq!(rule("grade", op, Some("weight")), ("held", "table.derived_measure"));
            assert_eq!(rule("grade", op, Some("amount")), ("passes", ""));
        }
        assert_eq!(rule("grade", MeasureOp::Count, None), ("passes", ""));
    }
}
