//! Cells of a table: each row's keys as one small integer.
//!
//! A key's value becomes a slot: 0 for missing, else 1 + its rank, so that slots sort as values do, missing first. The slots of
//! all keys are the digits of a mixed-radix number, the cell's place; places sort as cells do. Few places: the place is the
//! cell's number. Many: the places that occur are numbered.

use std::ops::Range;

use polars::prelude::PlHashMap;
use protocol::column::Column;
use protocol::limits::{LimitExceeded, Limits};
use protocol::message::EngineFailure;

/// Up to this many places accumulators are kept for every place.
const DENSE_MAX: u128 = 1 << 16;
/// Rows handled at a time.
pub(super) const BLOCK: usize = 1 << 12;

/// One key column.
pub(super) struct Key<'a> {
    values: KeyValues<'a>,
    validity: Option<&'a [u8]>,
}

enum KeyValues<'a> {
    /// Codes below `size`.
    Code { codes: &'a [u32], size: u32 },
    /// Integers from `min` on, `span` of them.
    Near { values: &'a [i64], min: i64, span: u32 },
    /// Integers far apart: the distinct ones, sorted.
    Far { values: &'a [i64], ranks: PlHashMap<i64, u32>, sorted: Vec<i64> },
}

impl<'a> Key<'a> {
    /// A category of `size` labels.
    pub(super) fn code(column: &Column<'a>, size: usize) -> Result<Self, EngineFailure> {
        let size = u32::try_from(size).map_err(|_| EngineFailure::Column)?;
        let codes = column.codes().ok_or(EngineFailure::Column)?;
        Ok(Self { values: KeyValues::Code { codes, size }, validity: column.validity() })
    }

    /// A number, date or hour. Every distinct value makes a cell, so too many of them are refused at once.
    pub(super) fn int(column: &Column<'a>) -> Result<Self, EngineFailure> {
        let values = column.i64s().ok_or(EngineFailure::Column)?;
        let mut present = values.iter().copied().enumerate().filter(|(i, _)| column.is_valid(*i)).map(|(_, v)| v);
        let (min, max) = present.by_ref().fold((i64::MAX, i64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let span = (i128::from(max) - i128::from(min) + 1).max(0);
        if let Some(span) = u32::try_from(span).ok().filter(|s| *s <= 1 << 16) {
            return Ok(Self { values: KeyValues::Near { values, min, span }, validity: column.validity() });
        }
        let mut ranks = PlHashMap::default();
        for (_, value) in values.iter().enumerate().filter(|(i, _)| column.is_valid(*i)) {
            ranks.insert(*value, 0);
            cells_within(ranks.len() as u64)?;
        }
        let mut sorted: Vec<i64> = ranks.keys().copied().collect();
        sorted.sort_unstable();
        ranks.extend(sorted.iter().copied().zip(0u32..));
        Ok(Self { values: KeyValues::Far { values, ranks, sorted }, validity: column.validity() })
    }

    /// Number of slots, the missing one included.
    fn slots(&self) -> u128 {
        1 + match &self.values {
            KeyValues::Code { size, .. } => u128::from(*size),
            KeyValues::Near { span, .. } => u128::from(*span),
            KeyValues::Far { sorted, .. } => sorted.len() as u128,
        }
    }

    /// The slot of each of `rows`.
    fn write(&self, rows: Range<usize>, out: &mut Vec<u32>) -> Result<(), EngineFailure> {
        out.clear();
        let first = rows.start;
        match &self.values {
            KeyValues::Code { codes, .. } => {
                out.extend(codes.get(rows).ok_or(EngineFailure::Column)?.iter().map(|code| code.saturating_add(1)));
            }
            KeyValues::Near { values, min, .. } => {
                let slot = |value: &i64| (value.wrapping_sub(*min) as u32).wrapping_add(1);
                out.extend(values.get(rows).ok_or(EngineFailure::Column)?.iter().map(slot));
            }
            KeyValues::Far { values, ranks, .. } => {
                let slot = |value: &i64| ranks.get(value).map_or(0, |rank| rank + 1);
                out.extend(values.get(rows).ok_or(EngineFailure::Column)?.iter().map(slot));
            }
        }
        if let Some(validity) = self.validity {
            for (row, slot) in (first..).zip(out.iter_mut()) {
                *slot *= u32::from(is_set(validity, row));
            }
        }
        // A code outside its dictionary must not fall into another cell.
        let highest = out.iter().copied().fold(0, u32::max);
        if u128::from(highest) < self.slots() { Ok(()) } else { Err(EngineFailure::Column) }
    }

    fn value(&self, slot: u32) -> Option<i64> {
        let rank = slot.checked_sub(1)?;
        match &self.values {
            KeyValues::Code { .. } => Some(rank.into()),
            KeyValues::Near { min, .. } => Some(min.wrapping_add(rank.into())),
            KeyValues::Far { sorted, .. } => sorted.get(rank as usize).copied(),
        }
    }
}

/// Bit `row` of a validity bitmap.
pub(super) fn is_set(validity: &[u8], row: usize) -> bool {
    validity.get(row / 8).is_some_and(|bits| bits >> (row % 8) & 1 == 1)
}

/// `Ok` while a table has no more than `table_cells_max` cells.
pub(super) fn cells_within(cells: u64) -> Result<(), EngineFailure> {
    Ok(LimitExceeded::check("table_cells_max", Limits::STANDARD.table_cells_max, 0, cells)?)
}

/// All keys of a table.
pub(super) struct Cells<'a> {
    keys: Vec<Key<'a>>,
    places: u128,
    numbered: Option<(PlHashMap<u128, u32>, Vec<u128>)>,
}

/// Buffers that are used again from block to block.
#[derive(Default)]
pub(super) struct Scratch {
    slots: Vec<u32>,
    places: Vec<u128>,
}

impl<'a> Cells<'a> {
    /// The cells of `rows` rows.
    ///
    /// # Errors
    /// `table_cells_max` exceeded; [`EngineFailure::Column`] for a code outside its dictionary.
    pub(super) fn new(keys: Vec<Key<'a>>, rows: usize) -> Result<Self, EngineFailure> {
        let places = keys.iter().try_fold(1u128, |product, key| product.checked_mul(key.slots())).ok_or(EngineFailure::Overflow)?;
        let mut cells = Self { keys, places, numbered: None };
        if places > DENSE_MAX {
            let (mut numbers, mut order) = (PlHashMap::default(), Vec::new());
            let mut scratch = Scratch::default();
            for start in (0..rows).step_by(BLOCK) {
                cells.write_places(start..rows.min(start + BLOCK), &mut scratch)?;
                for place in &scratch.places {
                    numbers.entry(*place).or_insert_with(|| {
                        order.push(*place);
                        order.len() as u32 - 1
                    });
                }
                cells_within(order.len() as u64)?;
            }
            cells.numbered = Some((numbers, order));
        }
        Ok(cells)
    }

    /// How many cell numbers there are.
    pub(super) fn len(&self) -> usize {
        self.numbered.as_ref().map_or(self.places as usize, |(_, order)| order.len())
    }

    /// The cell number of each of `rows`.
    pub(super) fn write(&self, rows: Range<usize>, scratch: &mut Scratch, out: &mut Vec<u32>) -> Result<(), EngineFailure> {
        out.clear();
        if let Some((numbers, _)) = &self.numbered {
            self.write_places(rows, scratch)?;
            out.extend(scratch.places.iter().map(|place| numbers.get(place).copied().unwrap_or(u32::MAX)));
            return Ok(());
        }
        out.resize(rows.len(), 0);
        for key in &self.keys {
            key.write(rows.clone(), &mut scratch.slots)?;
            let radix = key.slots() as u32;
            out.iter_mut().zip(&scratch.slots).for_each(|(cell, slot)| *cell = *cell * radix + slot);
        }
        Ok(())
    }

    fn write_places(&self, rows: Range<usize>, scratch: &mut Scratch) -> Result<(), EngineFailure> {
        scratch.places.clear();
        scratch.places.resize(rows.len(), 0);
        for key in &self.keys {
            key.write(rows.clone(), &mut scratch.slots)?;
            let radix = key.slots();
            scratch.places.iter_mut().zip(&scratch.slots).for_each(|(place, slot)| *place = *place * radix + u128::from(*slot));
        }
        Ok(())
    }

    /// The place of a cell number.
    pub(super) fn place(&self, number: usize) -> u128 {
        self.numbered.as_ref().map_or(number as u128, |(_, order)| order.get(number).copied().unwrap_or(0))
    }

    /// The cell number of a place; `None` where no row lies in it.
    pub(super) fn number(&self, place: u128) -> Option<usize> {
        match &self.numbered {
            Some((numbers, _)) => numbers.get(&place).map(|n| *n as usize),
            None => usize::try_from(place).ok(),
        }
    }

    /// A place without its last key, and that key's slot.
    pub(super) fn split(&self, place: u128) -> (u128, u128) {
        let slots = self.keys.last().map_or(1, Key::slots);
        (place / slots, place % slots)
    }

    /// The keys' values at a place.
    pub(super) fn values(&self, mut place: u128) -> Vec<Option<i64>> {
        let mut values: Vec<Option<i64>> = Vec::with_capacity(self.keys.len());
        for key in self.keys.iter().rev() {
            values.push(key.value((place % key.slots()) as u32));
            place /= key.slots();
        }
        values.reverse();
        values
    }

    /// Every place without a missing key: the cross product of the domains. `table_cells_max` bounds it first.
    pub(super) fn whole_domain(&self) -> Result<Vec<u128>, EngineFailure> {
        let mut count = 1u128;
        for key in &self.keys {
            count = count.saturating_mul(key.slots() - 1);
        }
        cells_within(u64::try_from(count).unwrap_or(u64::MAX))?;
        let mut places = vec![0u128];
        for key in &self.keys {
            let slots = key.slots();
            places = places.iter().flat_map(|place| (1..slots).map(move |slot| place * slots + slot)).collect();
        }
        Ok(places)
    }
}
