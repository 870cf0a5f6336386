//! Joins. polars matches integer keys; what it is handed and hands back are row numbers, so that only the columns that are
//! granted are ever gathered. Texts and categories are matched through the codes of the attached member, by text.

use polars::prelude::{Column, DataFrame, DataType, Expr, IntoLazy, JoinArgs, JoinType, LazyFrame, PlHashMap, col, len};
use protocol::limits::LimitExceeded;
use protocol::message::EngineFailure;
use protocol::plan::{FusePlan, JoinKind, PlanJoin};

use super::load::Field;
use super::select::Selected;

/// A row number that stands for "no partner".
pub(super) const NONE: u32 = u32::MAX;

/// Rows under construction: for each member attached so far the row number it contributes, [`NONE`] without partner.
pub(super) struct Joined {
    /// One a member; all of the same length.
    pub rows: Vec<Vec<u32>>,
}

/// All joins in order. Rows come sorted by base row, then by the partners' rows.
///
/// # Errors
/// `rows_max` exceeded; [`EngineFailure::Internal`] where polars fails.
pub(super) fn join_all(plan: &FusePlan, fields: &[Vec<Field<'_>>], selected: &[Selected], rows_max: u64) -> Result<Joined, EngineFailure> {
    let mut joined = Joined { rows: vec![rows_of(selected, 0, false)?] };
    for (j, join) in plan.joins.iter().enumerate() {
        let step = Step::new(join, j + 1, fields, &joined.rows, &rows_of(selected, j + 1, false)?)?;
        let (groups, hits) = step.hits()?;
        let pairs = step.pairs(groups, hits, rows_max)?;
        joined = attach(&joined, &pairs, join.kind == JoinKind::Left);
        check_rows(rows_max, joined.rows.last().map_or(0, Vec::len) as u64)?;
    }
    Ok(joined)
}

/// For each attached member how many base rows have a partner in it, filters aside (every join keeps the base's rows here).
///
/// # Errors
/// As [`join_all`].
pub(super) fn base_rows_matched(
    plan: &FusePlan,
    fields: &[Vec<Field<'_>>],
    selected: &[Selected],
    rows_max: u64,
) -> Result<Vec<u64>, EngineFailure> {
    let mut joined = Joined { rows: vec![rows_of(selected, 0, true)?] };
    let mut matched = Vec::with_capacity(plan.joins.len());
    for (j, join) in plan.joins.iter().enumerate() {
        let step = Step::new(join, j + 1, fields, &joined.rows, &rows_of(selected, j + 1, true)?)?;
        let (groups, hits) = step.hits()?;
        let base = joined.rows.first().ok_or(EngineFailure::Internal)?;
        let mut found: Vec<u32> = hits.iter().filter_map(|h| base.get(h.left as usize).copied()).collect();
        found.sort_unstable();
        found.dedup();
        matched.push(found.len() as u64);
        // Only a member that a later join refers to multiplies rows; of the others it is enough to know that they match.
        let later = plan.joins.iter().skip(j + 1).flat_map(|l| &l.on).any(|(at, _)| usize::from(at.member) == j + 1);
        if later {
            let pairs = step.pairs(groups, hits, rows_max)?;
            joined = attach(&joined, &pairs, true);
            check_rows(rows_max, joined.rows.last().map_or(0, Vec::len) as u64)?;
        } else {
            let rows = joined.rows.first().map_or(0, Vec::len);
            joined.rows.push(vec![NONE; rows]);
        }
    }
    Ok(matched)
}

fn rows_of(selected: &[Selected], member: usize, unfiltered: bool) -> Result<Vec<u32>, EngineFailure> {
    let member = selected.get(member).ok_or(EngineFailure::Plan)?;
    Ok(if unfiltered { member.consented.clone() } else { member.filtered.clone() })
}

fn check_rows(rows_max: u64, rows: u64) -> Result<(), EngineFailure> {
    // Row numbers are 32 bits with one value set aside.
    Ok(LimitExceeded::check("rows_max", rows_max.min(u64::from(NONE - 1)), 0, rows)?)
}

/// A left row with partners: their number and the first of them.
struct Hit {
    left: u32,
    partners: u32,
    first: u32,
}

/// One join, as polars sees it: key columns `k0…`, row numbers `l` and `r`; rows with a missing key are left out.
struct Step {
    left: DataFrame,
    right: DataFrame,
    keys: Vec<Expr>,
}

impl Step {
    fn new(join: &PlanJoin, member: usize, fields: &[Vec<Field<'_>>], left: &[Vec<u32>], right: &[u32]) -> Result<Self, EngineFailure> {
        let names: Vec<String> = (0..join.on.len()).map(|k| format!("k{k}")).collect();
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for ((at, column), name) in join.on.iter().zip(&names) {
            let field = |m: usize, c: u16| fields.get(m).and_then(|f| f.get(usize::from(c))).ok_or(EngineFailure::Plan);
            let (from, to) = (field(usize::from(at.member), at.column)?, field(member, *column)?);
            let from_rows = left.get(usize::from(at.member)).ok_or(EngineFailure::Plan)?;
            let (l, r) = if to.is_text() {
                let known: PlHashMap<&str, u32> = (0u32..).zip(to.by_code(|label| label)).map(|(c, label)| (label, c)).collect();
                let translated = from.by_code(|label| known.get(label).copied());
                let code = |row| from.code(row).and_then(|c| translated.get(c as usize).copied().flatten());
                (column_of(name, from_rows, code), column_of(name, right, |row| to.code(row)))
            } else {
                (column_of(name, from_rows, |row| from.int(row)), column_of(name, right, |row| to.int(row)))
            };
            left_keys.push(l);
            right_keys.push(r);
        }
        let count = left.first().map_or(0, Vec::len) as u32;
        left_keys.push(Column::new("l".into(), (0..count).collect::<Vec<u32>>()));
        right_keys.push(Column::new("r".into(), right));
        let present = |keys: Vec<Column>| -> Result<DataFrame, EngineFailure> {
            let all = names.iter().map(|n| col(n.as_str()).is_not_null()).reduce(Expr::and).ok_or(EngineFailure::Plan)?;
            collect(DataFrame::new_infer_height(keys).map_err(|_| EngineFailure::Internal)?.lazy().filter(all))
        };
        let (left, right) = (present(left_keys)?, present(right_keys)?);
        Ok(Self { left, right, keys: names.iter().map(|n| col(n.as_str())).collect() })
    }

    /// Number of distinct keys on the right, and the left rows that have partners.
    fn hits(&self) -> Result<(usize, Vec<Hit>), EngineFailure> {
        let of_key = [len().alias("n"), col("r").min().alias("first")];
        let groups = collect(self.right.clone().lazy().group_by(&self.keys).agg(of_key))?;
        let distinct = groups.height();
        let hits = collect(self.inner(groups).select([col("l"), col("n").cast(DataType::UInt32), col("first")]))?;
        let column = |name| u32s(&hits, name);
        let hits = column("l")?.into_iter().zip(column("n")?).zip(column("first")?);
        Ok((distinct, hits.map(|((left, partners), first)| Hit { left, partners, first }).collect()))
    }

    /// All pairs (left row, right row), sorted. Their number is known, and checked, before they are made.
    fn pairs(&self, distinct: usize, hits: Vec<Hit>, rows_max: u64) -> Result<Vec<(u32, u32)>, EngineFailure> {
        check_rows(rows_max, hits.iter().map(|h| u64::from(h.partners)).sum())?;
        let mut pairs: Vec<(u32, u32)> = if distinct == self.right.height() {
            hits.iter().map(|h| (h.left, h.first)).collect()
        } else {
            let pairs = collect(self.inner(self.right.clone()).select([col("l"), col("r")]))?;
            u32s(&pairs, "l")?.into_iter().zip(u32s(&pairs, "r")?).collect()
        };
        // polars' own order depends on the number of threads.
        if !pairs.is_sorted() {
            pairs.sort_unstable();
        }
        Ok(pairs)
    }

    fn inner(&self, right: DataFrame) -> LazyFrame {
        self.left.clone().lazy().join(right.lazy(), &self.keys, &self.keys, JoinArgs::new(JoinType::Inner))
    }
}

fn column_of<T>(name: &str, rows: &[u32], value: impl Fn(u32) -> Option<T>) -> Column
where
    polars::prelude::Series: polars::prelude::NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    // `NONE` lies beyond every column, so it reads as missing.
    let values: Vec<Option<T>> = rows.iter().map(|row| value(*row)).collect();
    <polars::prelude::Series as polars::prelude::NamedFrom<_, _>>::new(name.into(), values).into()
}

fn collect(frame: LazyFrame) -> Result<DataFrame, EngineFailure> {
    frame.collect().map_err(|_| EngineFailure::Internal)
}

fn u32s(frame: &DataFrame, name: &str) -> Result<Vec<u32>, EngineFailure> {
    let column = frame.column(name).and_then(|c| c.u32()).map_err(|_| EngineFailure::Internal)?;
    Ok(column.into_no_null_iter().collect())
}

fn attach(joined: &Joined, pairs: &[(u32, u32)], keep_all: bool) -> Joined {
    let mut lefts = Vec::with_capacity(pairs.len());
    let mut rights = Vec::with_capacity(pairs.len());
    let mut next = 0u32;
    for (left, right) in pairs {
        if keep_all {
            lefts.extend(next..*left);
            rights.resize(lefts.len(), NONE);
            next = left + 1;
        }
        lefts.push(*left);
        rights.push(*right);
    }
    if keep_all {
        lefts.extend(next..joined.rows.first().map_or(0, Vec::len) as u32);
        rights.resize(lefts.len(), NONE);
    }
    let take = |rows: &Vec<u32>| lefts.iter().map(|l| rows.get(*l as usize).copied().unwrap_or(NONE)).collect();
    let mut rows: Vec<Vec<u32>> = joined.rows.iter().map(take).collect();
    rows.push(rights);
    Joined { rows }
}
