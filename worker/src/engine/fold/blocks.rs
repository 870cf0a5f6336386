//! Units, the rows of each that take part, and the block that each belongs to. All three follow from the unit itself, its own rows and
//! the key: removing one unit changes no other unit's rows and no other unit's block.

use std::ops::Range;

use protocol::fold::{Blocks, FoldPlan};
use protocol::limits::Limits;
use protocol::message::EngineFailure;
use protocol::plan::Visibility;
use ring::hmac;

use super::super::view::View;
use super::columns::{Columns, One};

/// Units of a view and their blocks.
pub(super) struct Units<'v> {
    ordinals: &'v [i64],
    /// Where each unit's rows begin; one more at the end.
    starts: Vec<u32>,
    /// Units by block, and where each block's begin; `None`: one block a unit.
    shared: Option<(Vec<u32>, Vec<u32>)>,
    choice: Choice,
    rows_per_block_max: usize,
}

/// How rows beyond the bound are left out: those with the smallest keyed hash of their contents stay. Row numbers would not do: they
/// move when another unit's rows go.
pub(super) struct Choice {
    key: hmac::Key,
    rows_max: usize,
}

impl Choice {
    /// By the plan's key and bound.
    pub(super) fn of(plan: &FoldPlan) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &plan.key.0), rows_max: plan.rows_per_unit_max as usize }
    }

    /// Rows of a unit that take part.
    pub(super) fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// The rows of one unit that take part, rising. Rows of equal contents stand for each other.
    pub(super) fn rows<'a, 'v: 'a>(
        &self,
        ordinal: i64,
        rows: Range<usize>,
        columns: impl Iterator<Item = &'a One<'v>> + Clone,
    ) -> Vec<usize> {
        if rows.len() <= self.rows_max {
            return rows.collect();
        }
        let hashed = rows.map(|row| {
            let mut hash = hmac::Context::with_key(&self.key);
            hash.update(b"row\0");
            hash.update(&ordinal.to_le_bytes());
            for value in columns.clone().map(|c| c.get(row)) {
                hash.update(&[u8::from(value.is_some())]);
                hash.update(&value.unwrap_or(0).to_le_bytes());
            }
            (first_word(&hash.sign()), row)
        });
        let mut hashed: Vec<(u64, usize)> = hashed.collect();
        hashed.sort_unstable();
        let mut chosen: Vec<usize> = hashed.into_iter().take(self.rows_max).map(|(_, row)| row).collect();
        chosen.sort_unstable();
        chosen
    }

    /// The block of `blocks` that a unit goes to.
    fn block(&self, ordinal: i64, blocks: u32) -> u32 {
        let mut hash = hmac::Context::with_key(&self.key);
        hash.update(b"block\0");
        hash.update(&ordinal.to_le_bytes());
        // Multiplying spreads 64 bits evenly over a number of blocks below 2^32, to within 2^-32.
        let scaled = (u128::from(first_word(&hash.sign())) * u128::from(blocks)) >> 64;
        u32::try_from(scaled).unwrap_or(0)
    }
}

fn first_word(tag: &hmac::Tag) -> u64 {
    tag.as_ref().first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

/// Starts of the runs of equal ordinals, and the end.
///
/// # Errors
/// [`EngineFailure::Column`] where rows of a unit are not adjacent: it would be several blocks, and pay for one.
pub(in crate::engine) fn runs(view: &View) -> Result<(&[i64], Vec<u32>), EngineFailure> {
    let ordinals = view.hidden(Visibility::UnitOrdinal)?;
    let mut starts: Vec<u32> = Vec::with_capacity(usize::try_from(view.units).unwrap_or(0).saturating_add(1));
    let mut last = None;
    for (row, ordinal) in (0u32..).zip(ordinals) {
        if last.replace(ordinal) != Some(ordinal) {
            starts.push(row);
        }
    }
    if starts.len() as u64 != view.units {
        return Err(EngineFailure::Column);
    }
    starts.push(u32::try_from(ordinals.len()).map_err(|_| EngineFailure::Column)?);
    Ok((ordinals, starts))
}

impl<'v> Units<'v> {
    /// Units of `view` and their blocks, for `columns` columns.
    ///
    /// # Errors
    /// As [`runs`].
    pub(super) fn of(view: &'v View, plan: &FoldPlan, columns: usize) -> Result<Self, EngineFailure> {
        let (ordinals, starts) = runs(view)?;
        let choice = Choice::of(plan);
        let shared = match plan.blocks {
            Blocks::PerUnit => None,
            Blocks::Shared(count) => {
                let first_of = |start: &u32| ordinals.get(*start as usize).copied();
                let units = starts.iter().take(starts.len().saturating_sub(1));
                let of_unit: Vec<u32> = units.filter_map(first_of).map(|ordinal| choice.block(ordinal, count)).collect();
                let mut by_block: Vec<u32> = (0u32..).zip(&of_unit).map(|(unit, _)| unit).collect();
                // Stable: units of a block stay in the view's order, which a missing unit does not change.
                by_block.sort_by_key(|unit| of_unit.get(*unit as usize).copied());
                let mut ends = vec![0u32; count as usize + 1];
                for block in of_unit {
                    if let Some(end) = ends.get_mut(block as usize + 1) {
                        *end += 1;
                    }
                }
                let mut sum = 0u32;
                for end in &mut ends {
                    sum += *end;
                    *end = sum;
                }
                Some((by_block, ends))
            }
        };
        // Nine bytes a value, and a frame has to hold the block.
        let l = &Limits::STANDARD;
        let fits = l.fold_frame_bytes_max as usize / (9 * columns.max(1) + 8) / 2;
        Ok(Self { ordinals, starts, shared, choice, rows_per_block_max: fits.min(l.fold_block_rows_max as usize) })
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        match &self.shared {
            None => self.starts.len().saturating_sub(1),
            Some((_, ends)) => ends.len().saturating_sub(1),
        }
    }

    /// Of each unit of `block` the rows that take part: none beyond what a block may hold.
    pub(super) fn rows_of(&self, block: usize, columns: &Columns<'_>) -> Vec<Vec<usize>> {
        let mut left = self.rows_per_block_max;
        let mut take = |unit: usize| {
            let rows = self.starts.get(unit).zip(self.starts.get(unit + 1)).map_or(0..0, |(a, b)| *a as usize..*b as usize);
            let ordinal = self.ordinals.get(rows.start).copied().unwrap_or(0);
            let mut rows = self.choice.rows(ordinal, rows, columns.iter());
            rows.truncate(left);
            left -= rows.len();
            rows
        };
        match &self.shared {
            None => vec![take(block)],
            Some((units, ends)) => {
                let range = ends.get(block).zip(ends.get(block + 1)).map_or(0..0, |(a, b)| *a as usize..*b as usize);
                units.get(range).unwrap_or(&[]).iter().map(|unit| take(*unit as usize)).collect()
            }
        }
    }
}
