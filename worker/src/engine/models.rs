//! The view's rows put through models: who reaches each leaf of a tree, who has each level that a model reads.
//!
//! A leaf is a cell of a table that the module chose the bounds of, and its value a figure about whoever reaches it; the same holds of a
//! level's coefficient. So both are counted as cells are: distinct privacy units, of rows that the engine itself put there. Every row of
//! the view counts, also where the module left some out of its fit: who they were is known to the module alone.

use std::ops::Range;
use std::os::fd::OwnedFd;

use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::DerivedColumn;
use protocol::message::EngineFailure;
use protocol::model::{Group, Model, ModelError, ModelEvidence, Node, right_children};
use protocol::plan::{ViewType, Visibility};

use super::key::is_set;
use super::parallel::parallel;
use super::runs::shares;
use super::table::{self, Derived, Resolved};
use super::view::View;

/// Evidence about each model, in order.
///
/// # Errors
/// [`EngineFailure::Model`], [`EngineFailure::Derived`], [`EngineFailure::Limit`].
pub(super) fn judge(
    view: &View,
    models: &[Model],
    derived: Vec<DerivedColumn>,
    fds: Vec<OwnedFd>,
) -> Result<Vec<ModelEvidence>, EngineFailure> {
    LimitExceeded::check("models_max", Limits::STANDARD.models_max.into(), 0, models.len() as u64)?;
    let derived = table::prepare(view, &[], derived, fds)?;
    let possible = features_possible(view, &derived)?;
    models.iter().map(|model| judge_one(view, &derived, model, possible)).collect()
}

/// Columns that have a number, and the levels of categories.
fn features_possible(view: &View, derived: &[Derived]) -> Result<u64, EngineFailure> {
    let granted = view.all_granted().map(|granted| {
        let (column, memory) = granted?;
        Ok(match column.ty {
            ViewType::Number { .. } | ViewType::Date | ViewType::Hour => 1,
            ViewType::Category { .. } => memory.dictionary().map_or(0, |(offsets, _)| offsets.len().saturating_sub(1) as u64),
            ViewType::Pseudonym => 0,
        })
    });
    let derived = derived.iter().map(|d| Ok(d.labels().map_or(1, |labels| labels.len() as u64)));
    granted.chain(derived).try_fold(0, |all: u64, levels: Result<u64, EngineFailure>| Ok(all.saturating_add(levels?)))
}

fn judge_one(view: &View, derived: &[Derived], model: &Model, features_possible: u64) -> Result<ModelEvidence, EngineFailure> {
    model.validate()?;
    let resolve = |column: &str| Resolved::new(view, derived, column).map_err(|_| EngineFailure::Model(ModelError::Feature));
    let resolved = model.features().iter().map(|f| resolve(&f.column)).collect::<Result<Vec<_>, _>>()?;
    model.validate_features(|name| resolve(name).ok().map(|r| r.ty))?;
    let (mut readers, mut labels) = (Vec::with_capacity(resolved.len()), Vec::with_capacity(resolved.len()));
    for (feature, column) in model.features().iter().zip(&resolved) {
        let (reader, label) = Reader::new(column, feature.level)?;
        readers.push(reader);
        labels.push(label);
    }
    let trees =
        if let Model::Trees(model) = model { model.trees.iter().map(|t| Walk::new(t)).collect::<Result<Vec<_>, _>>()? } else { Vec::new() };
    let groups = count(view, &readers, &trees)?;
    let (levels, leaves) = groups.split_at_checked(readers.len()).ok_or(EngineFailure::Internal)?;
    let levels = readers.iter().zip(levels).map(|(reader, group)| matches!(reader, Reader::Level { .. }).then_some(*group)).collect();
    let mut leaves = leaves.iter().copied();
    let leaves = trees.iter().map(|tree| leaves.by_ref().take(tree.leaves).collect()).collect();
    Ok(ModelEvidence { labels, levels, leaves, features_possible })
}

/// A feature's column.
enum Reader<'a> {
    Number { values: &'a [i64], validity: Option<&'a [u8]>, divisor: f64 },
    Level { codes: &'a [u32], validity: Option<&'a [u8]>, level: u32 },
}

impl<'a> Reader<'a> {
    /// With the label of the level.
    fn new(column: &Resolved<'a>, level: Option<u32>) -> Result<(Self, Option<String>), EngineFailure> {
        let validity = column.column.validity();
        let Some(level) = level else {
            let scale = if let ViewType::Number { scale, .. } = column.ty { scale } else { 0 };
            let values = column.column.i64s().ok_or(EngineFailure::Column)?;
            return Ok((Self::Number { values, validity, divisor: 10f64.powi(i32::from(scale)) }, None));
        };
        let label = column.labels().into_iter().nth(level as usize).ok_or(ModelError::Feature)?;
        Ok((Self::Level { codes: column.column.codes().ok_or(EngineFailure::Column)?, validity, level }, Some(label)))
    }

    fn has_level(&self, row: usize) -> bool {
        match self {
            Self::Number { .. } => false,
            Self::Level { codes, validity, level } => codes.get(row) == Some(level) && validity.is_none_or(|bits| is_set(bits, row)),
        }
    }

    /// As a guest reads it: the quotient rounded to nearest.
    fn is_at_most(&self, row: usize, threshold: f64) -> bool {
        match self {
            #[allow(clippy::cast_precision_loss)]
            Self::Number { values, validity, divisor } => {
                validity.is_none_or(|bits| is_set(bits, row)) && values.get(row).is_some_and(|v| *v as f64 / divisor <= threshold)
            }
            Self::Level { .. } => !self.has_level(row),
        }
    }
}

/// A tree to be walked.
struct Walk<'a> {
    nodes: &'a [Node],
    /// Of a split its right child, of a leaf its number.
    next: Vec<u32>,
    leaves: usize,
}

impl<'a> Walk<'a> {
    fn new(nodes: &'a [Node]) -> Result<Self, EngineFailure> {
        let (mut next, mut leaves) = (right_children(nodes)?, 0u32);
        for (node, next) in nodes.iter().zip(&mut next) {
            if matches!(node, Node::Leaf { .. }) {
                *next = leaves;
                leaves += 1;
            }
        }
        Ok(Self { nodes, next, leaves: leaves as usize })
    }

    /// The number of the leaf that `row` reaches.
    fn leaf(&self, readers: &[Reader<'_>], row: usize) -> Option<usize> {
        let mut at = 0usize;
        loop {
            let next = *self.next.get(at)? as usize;
            match self.nodes.get(at)? {
                Node::Leaf { .. } => return Some(next),
                Node::Split { feature, threshold } if readers.get(*feature as usize)?.is_at_most(row, *threshold) => at += 1,
                Node::Split { .. } => at = next,
            }
        }
    }
}

/// Units of each feature's level (nobody, where it is none), then of each leaf, tree by tree.
fn count(view: &View, readers: &[Reader<'_>], trees: &[Walk<'_>]) -> Result<Vec<Group>, EngineFailure> {
    let (units, foreign) = (view.hidden(Visibility::UnitOrdinal)?, view.hidden(Visibility::Foreign)?);
    let shares = shares(units, view.threads);
    let groups = readers.len() + trees.iter().map(|t| t.leaves).sum::<usize>();
    let counted = parallel(view.threads, shares.len(), |i| {
        let rows = shares.get(i).cloned().ok_or(EngineFailure::Internal)?;
        count_share(rows, (units, foreign), readers, trees, groups)
    })?;
    let mut all = vec![Group::default(); groups];
    for share in &counted {
        for (all, group) in all.iter_mut().zip(share) {
            all.units += group.units;
            all.units_counting += group.units_counting;
        }
    }
    Ok(all)
}

/// A share holds whole units, whose rows stand next to each other.
fn count_share(
    rows: Range<usize>,
    (units, foreign): (&[i64], &[i64]),
    readers: &[Reader<'_>],
    trees: &[Walk<'_>],
    groups: usize,
) -> Result<Vec<Group>, EngineFailure> {
    let mut counts = vec![Group::default(); groups];
    // Of each group the last unit, by its number in this share from 1, that was counted: at all, and towards a minimum.
    let mut last = vec![(0u64, 0u64); groups];
    let (mut unit, mut before) = (0u64, None);
    for row in rows {
        if before != units.get(row) {
            (before, unit) = (units.get(row), unit + 1);
        }
        let counts_towards = foreign.get(row) == Some(&1);
        let mut add = |group: usize| {
            let (Some(count), Some((seen, counted))) = (counts.get_mut(group), last.get_mut(group)) else { return false };
            count.units += u64::from(std::mem::replace(seen, unit) != unit);
            count.units_counting += u64::from(counts_towards && std::mem::replace(counted, unit) != unit);
            true
        };
        let mut inside = readers.iter().enumerate().filter(|(_, reader)| reader.has_level(row)).all(|(group, _)| add(group));
        let mut first = readers.len();
        for tree in trees {
            inside &= tree.leaf(readers, row).is_some_and(|leaf| add(first + leaf));
            first += tree.leaves;
        }
        if !inside {
            return Err(EngineFailure::Internal);
        }
    }
    Ok(counts)
}
