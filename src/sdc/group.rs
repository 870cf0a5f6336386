//! Group disclosure: a cell that holds nearly all of a margin tells of everyone in it.

use std::collections::BTreeMap;

use protocol::table::{Cell, KeyDomain, TableOutput};

/// Units of each margin that a table's cells are part of.
pub(super) struct Groups {
    permille_max: u16,
    /// By totalled keys and labels: units where the table has the margin, else the sum over the cells of it.
    units: BTreeMap<(u32, Vec<Option<i64>>), u64>,
    /// Keys with one declared label only: their margin is the cell itself.
    single: u32,
}

fn bit(key: usize) -> u32 {
    u32::try_from(key).ok().and_then(|k| 1u32.checked_shl(k)).unwrap_or(0)
}

/// The margin over one more key.
fn margin(cell: &Cell, key: usize) -> (u32, Vec<Option<i64>>) {
    let labels = cell.keys.iter().enumerate().map(|(i, label)| label.filter(|_| i != key)).collect();
    (cell.totals | bit(key), labels)
}

impl Groups {
    /// Where the table has no margins they are summed from its cells: more than the distinct units where some lie in several, so that
    /// a share is then taken for smaller than it is.
    pub(super) fn new(output: &TableOutput, permille_max: u16) -> Self {
        let mut groups = Self { permille_max, units: BTreeMap::new(), single: 0 };
        if permille_max >= 1000 {
            return groups;
        }
        for (k, domain) in output.header.domains.iter().enumerate() {
            if matches!(domain, KeyDomain::Declared(labels) if labels.len() < 2) {
                groups.single |= bit(k);
            }
        }
        for cell in &output.cells {
            for key in (0..cell.keys.len()).filter(|k| !cell.is_total(*k)) {
                let units = groups.units.entry(margin(cell, key)).or_default();
                *units = units.saturating_add(cell.units);
            }
        }
        for cell in output.cells.iter().filter(|c| c.totals != 0) {
            groups.units.insert((cell.totals, cell.keys.clone()), cell.units);
        }
        groups
    }

    /// Whether the cell holds more of a margin than it may. The next margin is enough: any further one is larger.
    pub(super) fn disclose(&self, cell: &Cell) -> bool {
        if self.permille_max >= 1000 || cell.units == 0 {
            return false;
        }
        let keys = (0..cell.keys.len()).filter(|k| !cell.is_total(*k) && self.single & bit(*k) == 0);
        keys.map(|key| self.units.get(&margin(cell, key)).copied().unwrap_or(cell.units))
            .any(|units| u128::from(cell.units) * 1000 > u128::from(units) * u128::from(self.permille_max))
    }
}
