//! Which rules were applied to an output, with threshold, clause and outcome: for the reviewer, the log and the operator. No
//! values: how many cells are suppressed is told, why one is, is not.

use serde::{Deserialize, Serialize};

use crate::policy::release::{ModelRules, TableRules};
use crate::refusal::Refused;
use crate::sdc::{DecidedModel, DecidedTable};

/// One rule as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// The rule.
    pub rule: String,
    /// Articles it answers to.
    pub clauses: Vec<String>,
    /// The threshold, as the policy has it.
    pub threshold: String,
    /// What came of it.
    pub outcome: String,
}

fn check(rule: &str, clauses: &[&str], threshold: String, outcome: String) -> Check {
    Check { rule: rule.to_owned(), clauses: clauses.iter().map(|c| (*c).to_owned()).collect(), threshold, outcome }
}

pub(super) fn table(rules: &TableRules, shown: &DecidedTable) -> Vec<Check> {
    let hidden = || format!("{} of {} cells suppressed under all cell rules", shown.suppressed, shown.rows.len());
    vec![
        check("table.minimum_frequency", &["Q41", "C26", "X55"], format!("{} units", rules.min_frequency), hidden()),
        check(
            "table.dominance",
            &["Q41", "C26"],
            format!("largest {}‰, largest two {}‰", rules.largest_permille_max, rules.largest_two_permille_max),
            "applied to every sum, mean and variance".to_owned(),
        ),
        check("table.p_percent", &["Q41", "C26"], format!("{}‰", rules.p_permille), "applied to every sum, mean and variance".to_owned()),
        check(
            "table.zero_cells",
            &["Q41"],
            serde_json::to_value(rules.zero_cells).map(|v| v.to_string()).unwrap_or_default(),
            "applied".to_owned(),
        ),
        check("table.cells", &["Q41", "C26"], format!("{} cells", rules.cells_max), format!("{} cells", shown.rows.len())),
    ]
}

/// A rule that makes an output wait.
pub(super) fn held(why: &Refused) -> Check {
    let threshold = why.subject_text().unwrap_or_default().to_owned();
    check(why.rule().id, why.rule().clauses, threshold, format!("held: {}", why.rule().en))
}

pub(super) fn model(rules: &ModelRules, shown: &DecidedModel) -> Vec<Check> {
    vec![
        check(
            "model.capacity",
            &["Q35", "C26"],
            format!("{} coefficients", rules.coefficients_max),
            format!("{} coefficients", shown.terms.len()),
        ),
        check("model.rounding", &["Q35", "C26"], format!("{} significant digits", rules.significant_digits), "applied".to_owned()),
        check("model.units", &["Q35", "X55"], format!("{} units", rules.units_min), "reached".to_owned()),
    ]
}
