//! Columns that the module derived, checked against what it declared before anything is computed over them.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use protocol::column::{Column, Physical};
use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::message::EngineFailure;
use protocol::table::{TableError, TableRequest};

use super::map_sealed;
use super::view::View;
use crate::map::Mapped;

/// A derived column whose every value was checked against its declaration.
pub(super) struct Derived {
    pub(super) declared: DerivedColumn,
    pub(super) memory: Mapped,
}

/// Validates the requests, then maps and validates the derived columns.
///
/// # Errors
/// [`EngineFailure::Table`], [`EngineFailure::Derived`], [`EngineFailure::Limit`].
pub(super) fn prepare(
    view: &View,
    tables: &[TableRequest],
    derived: Vec<DerivedColumn>,
    fds: Vec<OwnedFd>,
) -> Result<Vec<Derived>, EngineFailure> {
    let l = &Limits::STANDARD;
    LimitExceeded::check("tables_max", l.tables_max.into(), 0, tables.len() as u64)?;
    LimitExceeded::check("derived_columns_max", l.derived_columns_max.into(), 0, derived.len() as u64)?;
    let mut names = BTreeSet::new();
    for table in tables {
        table.validate()?;
        if !names.insert(&table.name) {
            return Err(TableError::Duplicate(table.name.clone()).into());
        }
    }
    if derived.len() != fds.len() {
        return Err(EngineFailure::Internal);
    }
    let mut out: Vec<Derived> = Vec::with_capacity(derived.len());
    for (declared, fd) in derived.into_iter().zip(fds) {
        let wrong = || EngineFailure::Derived(declared.name.clone());
        let memory = map_sealed(fd, wrong)?;
        let twice = view.granted(&declared.name).is_some() || out.iter().any(|d| d.declared.name == declared.name);
        if twice || !is_as_declared(&declared, &memory, view.rows) {
            return Err(wrong());
        }
        out.push(Derived { declared, memory });
    }
    Ok(out)
}

/// Reads every value: hostile until here.
fn is_as_declared(declared: &DerivedColumn, memory: &[u8], rows: usize) -> bool {
    let Some(column) = Column::parse(memory).ok().filter(|c| c.rows() == rows as u64) else { return false };
    match &declared.ty {
        DerivedType::Number { scale, min, max } => {
            let inside = |(i, v): (usize, &i64)| (min..=max).contains(&v) || !column.is_valid(i);
            let values = column.i64s().unwrap_or(&[]);
            *scale <= 9 && values.len() == rows && column.validate().is_ok() && values.iter().enumerate().all(inside)
        }
        DerivedType::Category { labels } => {
            // Its own dictionary is not read: the labels are those of the manifest.
            let codes = column.codes().unwrap_or(&[]);
            let inside = |(i, code): (usize, &u32)| if column.is_valid(i) { (*code as usize) < labels.len() } else { *code == 0 };
            column.shape().physical == Physical::Code && codes.len() == rows && codes.iter().enumerate().all(inside)
        }
    }
}

impl Derived {
    /// Its declared labels; `None` for a number.
    pub(super) fn labels(&self) -> Option<&[String]> {
        match &self.declared.ty {
            DerivedType::Number { .. } => None,
            DerivedType::Category { labels } => Some(labels),
        }
    }
}
