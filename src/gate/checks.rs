//! Which rules were applied to an output, with threshold, clause and outcome: for the reviewer, the log and the operator. No
//! values: how many cells are suppressed is told, why one is, is not.

use serde::{Deserialize, Serialize};

use crate::policy::ReleasePolicy;
use crate::policy::release::TableRules;
use crate::refusal::Refused;
use crate::sdc::{AttackOutcome, DecidedModel, DecidedTable, ModelReport, TableEvidence};

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
    /// Whether the threshold is for checkers, providers' and authority's eyes only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

impl Check {
    /// The check as an operator may see it: without a threshold that the policy does not show.
    #[must_use]
    pub fn for_operator(mut self) -> Self {
        if self.withheld {
            self.threshold = "shown to checkers".to_owned();
        }
        self
    }
}

fn check(rule: &str, clauses: &[&str], threshold: String, outcome: String) -> Check {
    Check { rule: rule.to_owned(), clauses: clauses.iter().map(|c| (*c).to_owned()).collect(), threshold, outcome, withheld: false }
}

pub(super) fn table(rules: &TableRules, shown: &DecidedTable, evidence: &TableEvidence, held: Option<&Refused>) -> Vec<Check> {
    let hidden = || format!("{} of {} cells suppressed under all cell rules", shown.suppressed, shown.rows.len());
    let withheld = |check: Check| Check { withheld: !rules.parameters_shown, ..check };
    vec![
        check("table.minimum_frequency", &["Q41", "C26", "X55"], format!("{} units", rules.min_frequency), hidden()),
        withheld(check(
            "table.dominance",
            &["Q41", "C26"],
            format!("largest {}‰, largest two {}‰", rules.largest_permille_max, rules.largest_two_permille_max),
            "applied to every sum, mean and variance".to_owned(),
        )),
        withheld(check(
            "table.p_percent",
            &["Q41", "C26"],
            format!("{}‰", rules.p_permille),
            "applied to every sum, mean and variance".to_owned(),
        )),
        check("table.group", &["Q41", "C26"], format!("{}‰ of a margin", rules.group_permille_max), "applied".to_owned()),
        check(
            "table.rounding",
            &["Q41", "C26"],
            format!("base {}, {:?}", rules.rounding_base, rules.rounding).to_lowercase(),
            "applied".to_owned(),
        ),
        attacker(evidence, held),
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

/// The attack: whether it was needed and held off. No counts of what is hidden for whose sake.
fn attacker(evidence: &TableEvidence, held: Option<&Refused>) -> Check {
    let outcome = match (held, evidence.attack.outcome) {
        (Some(refused), _) => format!("held: {}; {}", refused.rule().en, refused.rule().remedy_en),
        (None, AttackOutcome::NoEquations) => "nothing follows from the tables of this job".to_owned(),
        (None, _) => "protected".to_owned(),
    };
    let threshold = "tables that agree with everything shown lie far enough from every hidden figure, on both sides";
    check(held.map_or("table.attacker", |h| h.rule().id), &["Q41", "C26", "X55"], threshold.to_owned(), outcome)
}

pub(super) fn model(rules: &ReleasePolicy, shown: &DecidedModel, report: &ModelReport) -> Vec<Check> {
    let (model, min_frequency) = (&rules.model, rules.table.min_frequency);
    let capacity = match shown {
        DecidedModel::Linear(_) => format!("{} bits, {} coefficients", model.bits_max, model.coefficients_max),
        DecidedModel::Trees(_) | DecidedModel::Network(_) => format!("{} bits", model.bits_max),
    };
    vec![
        check("model.capacity", &["Q35", "C26"], capacity, format!("{} parameters", report.parameters)),
        check("model.ratio", &["Q35", "X55"], format!("{} units a parameter", model.units_per_parameter_min), "reached".to_owned()),
        check("model.group", &["Q41", "C26", "X55"], format!("{min_frequency} units"), "reached".to_owned()),
        check("model.rounding", &["Q35", "C26"], format!("{} significant digits", model.significant_digits), "applied".to_owned()),
        check("model.units", &["Q35", "X55"], format!("{} units", model.units_min), "reached".to_owned()),
    ]
}
