//! Whether a plan is fit for the private door: removing one unit must change no other unit's rows.
//!
//! Every member either carries the unit, joined on it, or is declared free of units (weather, stations): then a row of the view is made
//! of one unit's rows and of rows that are about nobody. Transforms and filters are row-wise with constants from the plan already. A
//! row's consent has to be its own unit's. The law is a property test over random plans (`worker/src/engine/fold/tests.rs`).

use std::collections::BTreeMap;

use super::entry::CatalogueEntry;
use super::plan::FusionPlan;
use crate::id::DatasetId;
use crate::refusal::{NOT_FOUND, PLAN_PRIVATE, Refused};

impl FusionPlan {
    /// Checks the plan for the private door.
    ///
    /// # Errors
    /// `plan.private`, naming the member.
    pub fn qualify(&self, catalogue: &BTreeMap<DatasetId, &CatalogueEntry>) -> Result<(), Refused> {
        let refuse = |alias: &str, why: &str| Refused::new(&PLAN_PRIVATE).subject(&format!("members.{alias}: {why}"));
        let (unit_alias, unit_column) = self.unit.split_once('.').unwrap_or_default();
        // Members that carry the unit so far, each with its column.
        let mut carriers: BTreeMap<&str, &str> = BTreeMap::new();
        let base = self.members.first().map(|m| m.alias.as_str());
        for alias in base.into_iter().chain(self.joins.iter().map(|j| j.member.as_str())) {
            let document = self.members.iter().find(|m| m.alias == alias);
            let dataset = document.map(|m| &m.dataset).ok_or(Refused::new(&NOT_FOUND).subject(alias))?;
            let entry = catalogue.get(dataset).ok_or(Refused::new(&NOT_FOUND).subject(dataset.as_str()))?;
            if entry.unit_free {
                continue;
            }
            let column = if alias == unit_alias {
                unit_column
            } else {
                let join = self.joins.iter().find(|j| j.member == alias);
                let on = join.into_iter().flat_map(|j| &j.on).find_map(|(left, right)| {
                    let (other, column) = left.split_once('.')?;
                    (carriers.get(other) == Some(&column)).then_some(right.as_str())
                });
                on.ok_or_else(|| refuse(alias, "neither joined on the unit nor declared `unit_free`"))?
            };
            if alias == unit_alias && !carriers.is_empty() && !self.joined_on(alias, column, &carriers) {
                return Err(refuse(alias, "the unit's member is not joined on the unit"));
            }
            let consent = entry.consent_unit.and_then(|i| entry.columns.get(usize::from(i))).map(|c| c.schema.name.as_str());
            if consent.is_some_and(|consent| consent != column) {
                return Err(refuse(alias, "its rows need the consent of somebody else than the unit"));
            }
            let declared = entry.column(column).is_some_and(|(_, c)| c.namespace.as_ref() == Some(&self.namespace));
            if !declared {
                return Err(refuse(alias, "the column that it is joined on is not of the unit's kind"));
            }
            carriers.insert(alias, column);
        }
        if carriers.contains_key(unit_alias) { Ok(()) } else { Err(refuse(unit_alias, "declared `unit_free`, and carries the unit")) }
    }

    fn joined_on(&self, alias: &str, column: &str, carriers: &BTreeMap<&str, &str>) -> bool {
        let on = self.joins.iter().filter(|j| j.member == alias).flat_map(|j| &j.on);
        let joined = |left: &str| left.split_once('.').is_some_and(|(other, c)| carriers.get(other) == Some(&c));
        on.into_iter().any(|(left, right)| right == column && joined(left))
    }
}

#[cfg(test)]
mod tests;
