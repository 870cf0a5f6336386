//! Figures computed another way than the product does: plain rows, plain loops, no code of the product.

use std::collections::BTreeMap;

use serde_json::Value;

/// Thresholds of `examples/credit/policy.toml`, which is the floor of every scenario.
pub const MIN_FREQUENCY: usize = 10;
const LARGEST_PERMILLE: i128 = 800;
const LARGEST_TWO_PERMILLE: i128 = 900;
const P_PERMILLE: i128 = 100;

/// The rows of one cell: who, and the value of the averaged column in its stored integers, where there is one.
#[derive(Debug, Default, Clone)]
pub struct Cell {
    pub rows: Vec<(String, Option<i64>)>,
}

impl Cell {
    /// Distinct units.
    pub fn units(&self) -> usize {
        self.rows.iter().map(|(unit, _)| unit).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// The values that are there.
    pub fn values(&self) -> Vec<i64> {
        self.rows.iter().filter_map(|(_, value)| *value).collect()
    }

    /// The mean, rounded half to even, as a decimal with `scale` digits.
    pub fn mean(&self, scale: usize) -> Option<String> {
        let values = self.values();
        let (sum, n) = (values.iter().map(|v| i128::from(*v)).sum::<i128>(), values.len() as i128);
        if n == 0 {
            return None;
        }
        let (floor, rest) = (sum.div_euclid(n), sum.rem_euclid(n));
        let up = match (2 * rest).cmp(&n) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => floor.rem_euclid(2),
        };
        Some(decimal(floor + up, scale))
    }

    /// The ⌈n/2⌉-th smallest value.
    pub fn lower_median(&self, scale: usize) -> Option<String> {
        let mut values = self.values();
        values.sort_unstable();
        values.get((values.len().max(1) - 1) / 2).map(|v| decimal((*v).into(), scale))
    }

    /// Whether a count, the units and the mean of a column between `min` and `max` may be shown; with `median`, a median too.
    pub fn may_be_shown(&self, (min, max): (i64, i64), median: bool) -> bool {
        let values = self.values();
        let mut totals: BTreeMap<&str, i128> = BTreeMap::new();
        for (unit, value) in &self.rows {
            if let Some(value) = value {
                *totals.entry(unit).or_default() += i128::from(*value);
            }
        }
        let mut sizes: Vec<i128> = totals.values().map(|t| t.abs()).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let (largest, second) = (sizes.first().copied().unwrap_or(0), sizes.get(1).copied().unwrap_or(0));
        let total: i128 = sizes.iter().sum();
        let one_bound = values.iter().all(|v| *v == min) || values.iter().all(|v| *v == max);
        let n = values.len();
        let rank = n.div_ceil(2);
        let tail = rank.min(n.saturating_sub(rank) + 1);
        self.units() >= MIN_FREQUENCY
            && totals.len() >= MIN_FREQUENCY
            && !one_bound
            && largest * 1000 <= total * LARGEST_PERMILLE
            && (largest + second) * 1000 <= total * LARGEST_TWO_PERMILLE
            && (total - largest - second) * 1000 >= largest * P_PERMILLE
            && (!median || tail >= MIN_FREQUENCY)
    }
}

/// A stored integer as a decimal text.
pub fn decimal(value: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Keys of a cell; `None`: the value is missing.
pub type Keys = Vec<Option<String>>;

/// Compares a released table with what it must be: every cell of the declared domain is there, every one that may be shown is shown with
/// exactly these figures, every other one is suppressed or, where a key is missing, not there. Returns how many were compared.
#[track_caller]
pub fn compare(table: &Value, expected: &BTreeMap<Keys, Option<Vec<Option<String>>>>) -> usize {
    let mut compared = 0;
    let mut seen = BTreeMap::new();
    for row in table["rows"].as_array().expect("rows") {
        let keys: Keys = row["keys"].as_array().unwrap().iter().map(|k| k.as_str().map(str::to_owned)).collect();
        let figures =
            row["cell"]["shown"].as_array().map(|values| values.iter().map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>());
        assert!(figures.is_some() || row["cell"] == "suppressed", "{row}");
        assert!(seen.insert(keys.clone(), figures.clone()).is_none(), "{keys:?} stands twice");
        let wanted = expected.get(&keys).unwrap_or_else(|| panic!("nobody expected the cell {keys:?}"));
        assert_eq!(&figures, wanted, "cell {keys:?}");
        compared += usize::from(figures.is_some());
    }
    for (keys, wanted) in expected {
        let open = keys.iter().any(Option::is_none);
        assert!(seen.contains_key(keys) || (open && wanted.is_none()), "the cell {keys:?} is not there");
    }
    compared
}
