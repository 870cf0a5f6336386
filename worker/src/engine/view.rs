//! A view, mapped: what reductions run over.

use std::os::fd::OwnedFd;

use protocol::column::{Column, Physical};
use protocol::message::EngineFailure;
use protocol::plan::{ViewColumn, ViewType, Visibility};

use super::map_sealed;
use crate::map::Mapped;

/// A fused view. Made by an engine of ours, so its values are taken as they are; shapes are checked here, codes and units where
/// they are used.
#[derive(Debug)]
pub(super) struct View {
    columns: Vec<(ViewColumn, Mapped)>,
    /// Rows of every column.
    pub rows: usize,
    /// Distinct privacy units.
    pub units: u64,
    /// Threads to reduce with.
    pub threads: usize,
}

impl View {
    /// Maps the columns and checks their shapes.
    ///
    /// # Errors
    /// [`EngineFailure::Column`].
    pub(super) fn map(columns: Vec<ViewColumn>, fds: Vec<OwnedFd>, threads: u16, units: u64) -> Result<Self, EngineFailure> {
        if columns.len() != fds.len() {
            return Err(EngineFailure::Column);
        }
        let mapped = fds.into_iter().map(|fd| map_sealed(fd, || EngineFailure::Column)).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<(ViewColumn, Mapped)> = columns.into_iter().zip(mapped).collect();
        let mut rows = None;
        for (column, memory) in &columns {
            let parsed = Column::parse(memory).map_err(|_| EngineFailure::Column)?;
            let codes = matches!(column.ty, ViewType::Category { .. });
            let hidden = column.visibility != Visibility::Granted;
            let shape = parsed.shape();
            let fits = shape.physical == if codes { Physical::Code } else { Physical::I64 };
            if !fits || (hidden && (codes || shape.has_validity)) || *rows.get_or_insert(shape.rows) != shape.rows {
                return Err(EngineFailure::Column);
            }
        }
        let count = |v: Visibility| columns.iter().filter(|(c, _)| c.visibility == v).count();
        if [Visibility::UnitOrdinal, Visibility::Foreign, Visibility::RowIdentity].into_iter().any(|v| count(v) != 1) {
            return Err(EngineFailure::Column);
        }
        let rows = usize::try_from(rows.unwrap_or(0)).map_err(|_| EngineFailure::Column)?;
        Ok(Self { columns, rows, units, threads: usize::from(threads) })
    }

    /// The granted column of this name.
    pub(super) fn granted(&self, name: &str) -> Option<(&ViewType, Column<'_>)> {
        let (column, memory) = self.columns.iter().find(|(c, _)| c.name == name && c.visibility == Visibility::Granted)?;
        Some((&column.ty, Column::parse(memory).ok()?))
    }

    /// Every granted column, in the view's order.
    pub(super) fn all_granted(&self) -> impl Iterator<Item = Result<(&ViewColumn, Column<'_>), EngineFailure>> {
        let granted = self.columns.iter().filter(|(c, _)| c.visibility == Visibility::Granted);
        granted.map(|(column, memory)| Ok((column, Column::parse(memory).map_err(|_| EngineFailure::Column)?)))
    }

    /// What tells base rows apart, for sets of contributors.
    pub(super) fn identity(&self) -> Result<&[i64], EngineFailure> {
        self.hidden(Visibility::RowIdentity)
    }

    /// Values of the hidden column.
    pub(super) fn hidden(&self, visibility: Visibility) -> Result<&[i64], EngineFailure> {
        let (_, memory) = self.columns.iter().find(|(c, _)| c.visibility == visibility).ok_or(EngineFailure::Column)?;
        let column = Column::parse(memory).map_err(|_| EngineFailure::Column)?;
        column.i64s().filter(|v| v.len() == self.rows).ok_or(EngineFailure::Column)
    }
}
