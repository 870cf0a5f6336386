//! From the engine's exact table to what may be shown.

use protocol::table::{MeasureOp, TableOutput, TableRequest};
use serde::{Deserialize, Serialize};

use super::attack::{CELLS_MAX, HIDDEN_MAX, JobTables, Place, Stopped};
use super::evidence::{AttackEvidence, CellEvidence, Fate, TableEvidence};
use super::group::Groups;
use super::primary::{Cause, CauseRule, causes};
use super::rounding::RoundingKey;
use super::shown::{ShownKey, is_open, labels, place, values};
use super::sound::{by_data, sound, whole};
use crate::policy::ActivePolicy;
use crate::policy::release::TableRules;
use crate::refusal::{self, Refused};

/// How the plan coded a measure's column (its `clamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Values below a constant of the plan were raised to it.
    pub bottom: bool,
    /// Values above a constant of the plan were lowered to it.
    pub top: bool,
}

/// A table that may be shown. Every figure is a decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecidedTable {
    /// Its name, as requested.
    pub name: String,
    /// Names of the keys.
    pub keys: Vec<String>,
    /// Names of the measures.
    pub measures: Vec<String>,
    /// One a cell, sorted by key (missing first); totals after all other cells. Rounded totals need not be the sums of rounded cells.
    pub rows: Vec<DecidedRow>,
    /// How many of the rows are suppressed.
    pub suppressed: u64,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecidedRow {
    /// One label a key; null: the value is missing; `{"total": true}`: the key is totalled.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<ShownKey>,
    /// Its figures.
    pub cell: DecidedCell,
}

/// A cell's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedCell {
    /// One a measure; null where there is none (the mean of no rows).
    Shown(Vec<Option<String>>),
    /// Hidden. The cause is for checkers.
    Suppressed,
}

/// Why no table comes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// A rule forbids the whole table.
    #[error(transparent)]
    Refused {
        /// The rule.
        #[from]
        refused: Refused,
    },
    /// A rule forbids the whole table, and that it does depends on the data: one bit, to be counted.
    #[error("{refused}")]
    RefusedByData {
        /// The rule.
        refused: Refused,
    },
    /// The engine's table contradicts itself. Not told to the caller: the job failed.
    #[error("the table contradicts itself: {0}")]
    Malformed(&'static str),
}

/// What the tables of a job are decided with.
#[derive(Clone, Copy)]
pub struct Deciding<'a> {
    /// The policy.
    pub policy: &'a ActivePolicy,
    /// Privacy units of the view, as fusing counted them.
    pub units: u64,
    /// Draws of random rounding.
    pub rounding: &'a RoundingKey,
}

/// A table that passed: what may be shown, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What may be shown.
    pub table: DecidedTable,
    /// For checkers.
    pub evidence: TableEvidence,
    /// Where it may not leave by itself: why. Depends on the data.
    pub held: Option<Refused>,
}

/// A table, its labels and figures, and the rules that hide its cells.
struct Draft<'a> {
    output: &'a TableOutput,
    labels: Vec<Vec<ShownKey>>,
    places: Vec<Place>,
    values: Vec<Option<Vec<Option<String>>>>,
    causes: Vec<Vec<Cause>>,
}

impl<'a> Draft<'a> {
    fn new(output: &'a TableOutput, coding: &[Coding], deciding: &Deciding<'_>) -> Result<Self, NotReleased> {
        let rules = &deciding.policy.rules().table;
        if !deciding.policy.rules().doors.table {
            return Err(Refused::new(&refusal::POLICY_DOOR).subject("table").into());
        }
        sound(output, coding)?;
        whole(output, rules, coding, deciding.units)?;
        let header = &output.header;
        let labels = output.cells.iter().map(|c| labels(c, &header.domains)).collect::<Result<Vec<_>, _>>()?;
        let places = labels.iter().map(|l| place(&header.request.keys, l)).collect();
        let values: Vec<_> = output.cells.iter().map(|c| values(c, output, rules, deciding.rounding)).collect();
        let groups = Groups::new(output, rules.group_permille_max);
        let causes = output.cells.iter().zip(&values).map(|(cell, values)| {
            let mut causes = causes(cell, header, rules);
            if groups.disclose(cell) {
                causes.push(Cause { rule: CauseRule::Group, measure: None });
            }
            if values.is_none() && causes.is_empty() {
                causes.push(Cause { rule: CauseRule::Overflow, measure: None });
            }
            causes
        });
        let causes = causes.collect();
        Ok(Self { output, labels, places, values, causes })
    }

    /// Whether a cell is left out or hidden by its own table's rules. An empty cell of an open key is not there at all.
    fn hides(&self) -> Vec<bool> {
        let domains = &self.output.header.domains;
        self.output.cells.iter().zip(&self.causes).map(|(c, causes)| !causes.is_empty() || (c.rows == 0 && is_open(c, domains))).collect()
    }

    /// The table and its evidence, with what the attack made hidden.
    fn finish(mut self, job: &JobTables, attack: AttackEvidence, rules: &TableRules) -> Result<(DecidedTable, TableEvidence), NotReleased> {
        let request = &self.output.header.request;
        let mut table = DecidedTable {
            name: request.name.clone(),
            keys: request.keys.clone(),
            measures: request.measures.iter().map(|m| m.name.clone()).collect(),
            rows: Vec::with_capacity(self.output.cells.len()),
            suppressed: 0,
        };
        let mut evidence =
            TableEvidence { name: request.name.clone(), rules: *rules, attack, cells: Vec::with_capacity(self.output.cells.len()) };
        let drafted =
            self.output.cells.iter().zip(self.labels.drain(..)).zip(&self.places).zip(self.values.drain(..)).zip(self.causes.drain(..));
        for ((((cell, keys), place), values), mut causes) in drafted {
            let (hidden, _) = job.fate(place);
            let open = is_open(cell, &self.output.header.domains);
            if causes.is_empty() && hidden && cell.rows > 0 {
                causes.push(Cause { rule: CauseRule::Complementary, measure: None });
            }
            let fate = match values {
                Some(values) if !hidden => {
                    table.rows.push(DecidedRow { keys: keys.clone(), cell: DecidedCell::Shown(values) });
                    Fate::Shown
                }
                _ if open => Fate::Omitted,
                _ => {
                    table.suppressed += 1;
                    table.rows.push(DecidedRow { keys: keys.clone(), cell: DecidedCell::Suppressed });
                    Fate::Suppressed
                }
            };
            let (rows, units, units_counting) = (cell.rows, cell.units, cell.units_counting);
            evidence.cells.push(CellEvidence { keys, rows, units, units_counting, fate, causes });
        }
        evidence.count();
        if !evidence.cells.iter().any(|c| c.fate == Fate::Shown) {
            // By what was asked, not by what hid the cells.
            let own = self.output.cells.iter().flat_map(|c| &c.measures).flatten().any(|e| e.own.is_some());
            let rule = if own { &refusal::TABLE_OWN_MEASURE } else { &refusal::TABLE_ALL_SUPPRESSED };
            return Err(by_data(rule, format!("{} units", rules.min_frequency)));
        }
        Ok((table, evidence))
    }
}

/// Decides the tables of a job under a policy: each cell by itself, then all of them against an attacker who has them all.
///
/// Each table comes with one coding a measure (ignored for counts). The answers are in the tables' order.
///
/// # Errors
/// Of each table [`NotReleased`]: `policy.door`, `table.uncoded`, `table.order_margin`, `table.cells`; by data `table.minimum_units`,
/// `table.all_suppressed`, `table.own_measure`. A table that is neither refused nor protected is held: `table.attacker_bound`, `table.attacker`.
pub fn decide_tables(tables: &[(&TableOutput, Vec<Coding>)], deciding: &Deciding<'_>) -> Vec<Result<Verdict, NotReleased>> {
    let rules = &deciding.policy.rules().table;
    let mut drafts: Vec<Result<Draft<'_>, NotReleased>> = Vec::with_capacity(tables.len());
    for (output, coding) in tables {
        let earlier = drafts.iter().flatten().any(|d| orders_clash(&d.output.header.request, &output.header.request));
        drafts.push(if earlier {
            Err(Refused::new(&refusal::TABLE_ORDER_MARGIN).subject(&output.header.request.name).into())
        } else {
            Draft::new(output, coding, deciding)
        });
    }
    let mut job = JobTables::default();
    for draft in drafts.iter().flatten() {
        job.add(draft.output, &draft.places, &draft.hides());
    }
    let attacked = job.protect(rules.min_frequency, rules.p_permille);
    if attacked == Err(Stopped::Contradiction) {
        return tables.iter().map(|_| Err(NotReleased::Malformed("a total is not the sum of its parts"))).collect();
    }
    let held = match &attacked {
        Err(Stopped::Cells | Stopped::Hidden) => {
            let bound = format!("{CELLS_MAX} cells, {HIDDEN_MAX} suppressed");
            Some(Refused::new(&refusal::TABLE_ATTACKER_BOUND).threshold(bound))
        }
        Err(_) => Some(Refused::new(&refusal::TABLE_ATTACKER)),
        Ok(_) => None,
    };
    let attack = AttackEvidence::new(&attacked, rules);
    let finish = |draft: Draft<'_>| {
        let (table, evidence) = draft.finish(&job, attack.clone(), rules)?;
        Ok(Verdict { table, evidence, held: held.clone() })
    };
    drafts.into_iter().map(|draft| draft.and_then(finish)).collect()
}

/// Decides one table by itself, as [`decide_tables`].
///
/// # Errors
/// As there.
pub fn decide_table(output: &TableOutput, coding: &[Coding], deciding: &Deciding<'_>) -> Result<Verdict, NotReleased> {
    decide_tables(&[(output, coding.to_vec())], deciding).pop().unwrap_or(Err(NotReleased::Malformed("no table")))
}

/// Whether two tables of one job ask for smallest, largest or ranked values of one column over different keys: a hidden cell's would
/// follow from the others', and no equation finds that.
fn orders_clash(a: &TableRequest, b: &TableRequest) -> bool {
    let keys = |t: &TableRequest| t.keys.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let columns = |t: &TableRequest| {
        let ranked = t.measures.iter().filter(|m| matches!(m.op, MeasureOp::Min | MeasureOp::Max | MeasureOp::Quantile { .. }));
        ranked.filter_map(|m| m.column.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    keys(a) != keys(b) && !columns(a).is_disjoint(&columns(b))
}

/// Whether the cells of one request are sums of cells of the other: its keys are among the other's. Then figures that one hides may
/// follow from the two together.
pub fn shares_margin(a: &TableRequest, b: &TableRequest) -> bool {
    let within = |a: &TableRequest, b: &TableRequest| a.keys.iter().all(|k| b.keys.contains(k));
    within(a, b) || within(b, a)
}

#[cfg(test)]
mod tests;
