//! What the host holds for one run: the view, what the module handed back so far, and what it may still use.

use std::sync::Arc;

use protocol::column::{Column, Physical};
use protocol::limits::{LimitExceeded, Limits};
use protocol::memfd::SealedFd;
use protocol::message::{GuestFailure, GuestRequest};
use protocol::model::{Feature, Model, ModelError};
use protocol::plan::ViewType;
use protocol::table::{TableError, TableRequest};

use super::derive::Derived;
use crate::map::Mapped;

/// The state of one run.
pub struct Host {
    pub request: GuestRequest,
    columns: Vec<Source>,
    /// One a declared column, in the manifest's order.
    pub derived: Vec<Derived>,
    pub tables: Vec<TableRequest>,
    pub models: Vec<Model>,
    pub log: String,
    pub growth: Growth,
    /// Numbers on their way into the guest: one buffer for all calls.
    scratch: Arc<Vec<f64>>,
}

/// A granted column: mapped when it is first read.
struct Source {
    memory: SealedFd,
    column: Option<Column<'static>>,
}

impl Host {
    /// A run over these columns, in the request's order.
    pub fn new(request: GuestRequest, columns: Vec<SealedFd>) -> Self {
        let derived = request.manifest.derived.iter().map(|c| Derived::new(c.clone(), request.rows)).collect();
        let growth = Growth::new(request.memory_bytes_max);
        let columns = columns.into_iter().map(|memory| Source { memory, column: None }).collect();
        let scratch = Arc::new(Vec::new());
        Self { request, columns, derived, tables: Vec::new(), models: Vec::new(), log: String::new(), growth, scratch }
    }

    /// Column `index`, whose memory stays mapped to the end of the process: a worker runs one module and exits, and a guest
    /// is handed the mapped memory itself, without a copy between.
    fn column(&mut self, index: u32) -> Result<Column<'static>, GuestFailure> {
        let count = self.columns.len() as u64;
        let at = usize::try_from(index).map_err(|_| GuestFailure::Internal)?;
        let (Some(source), Some(declared)) = (self.columns.get_mut(at), self.request.columns.get(at)) else {
            return Err(LimitExceeded { name: "granted_columns".to_owned(), limit: count, current: index.into(), requested: 1 }.into());
        };
        if let Some(column) = source.column {
            return Ok(column);
        }
        let mapped: &'static Mapped = Box::leak(Box::new(Mapped::new(&source.memory).map_err(|_| GuestFailure::Internal)?));
        let column = Column::parse(mapped).map_err(|_| GuestFailure::Internal)?;
        let physical = if matches!(declared.ty, ViewType::Category { .. }) { Physical::Code } else { Physical::I64 };
        if column.shape().physical != physical || column.rows() != self.request.rows {
            return Err(GuestFailure::Internal);
        }
        source.column = Some(column);
        Ok(column)
    }

    fn range(&self, start: u64, len: u32) -> Result<std::ops::Range<usize>, GuestFailure> {
        LimitExceeded::check("chunk_rows_max", Limits::STANDARD.chunk_rows_max.into(), 0, len.into())?;
        LimitExceeded::check("rows", self.request.rows, start, len.into())?;
        let start = usize::try_from(start).map_err(|_| GuestFailure::Internal)?;
        Ok(start..start + len as usize)
    }

    /// Stored integers of a range of rows.
    pub fn integers(&mut self, column: u32, start: u64, len: u32) -> Result<&'static [i64], GuestFailure> {
        let values = self.column(column)?.i64s().ok_or(GuestFailure::Trap)?;
        values.get(self.range(start, len)?).ok_or(GuestFailure::Internal)
    }

    /// Codes of a range of rows.
    pub fn codes(&mut self, column: u32, start: u64, len: u32) -> Result<&'static [u32], GuestFailure> {
        let codes = self.column(column)?.codes().ok_or(GuestFailure::Trap)?;
        codes.get(self.range(start, len)?).ok_or(GuestFailure::Internal)
    }

    /// Validity bits of a range of rows; empty where the column has all its values.
    pub fn validity(&mut self, column: u32, start: u64, len: u32) -> Result<&'static [u8], GuestFailure> {
        let range = self.range(start, len)?;
        if range.start % 8 != 0 {
            return Err(GuestFailure::Trap);
        }
        let Some(bits) = self.column(column)?.validity() else { return Ok(&[]) };
        bits.get(range.start / 8..range.end.div_ceil(8)).ok_or(GuestFailure::Internal)
    }

    /// Numbers of a range of rows: the quotient of stored integer and 10^scale, rounded to nearest; NaN where missing.
    pub fn numbers(&mut self, column: u32, start: u64, len: u32) -> Result<Arc<Vec<f64>>, GuestFailure> {
        let values = self.integers(column, start, len)?;
        let first = self.range(start, len)?.start;
        let column_type = usize::try_from(column).ok().and_then(|i| self.request.columns.get(i)).map(|c| &c.ty);
        let Some(ViewType::Number { scale, .. }) = column_type else { return Err(GuestFailure::Trap) };
        let divisor = 10f64.powi(i32::from(*scale));
        let column = self.column(column)?;
        // Shared with nobody: what the last call returned was copied into the guest and dropped.
        let out = Arc::make_mut(&mut self.scratch);
        out.clear();
        if column.validity().is_none() {
            #[allow(clippy::cast_precision_loss)]
            out.extend(values.iter().map(|v| *v as f64 / divisor));
        } else {
            #[allow(clippy::cast_precision_loss)]
            out.extend(values.iter().zip(first..).map(|(v, row)| if column.is_valid(row) { *v as f64 / divisor } else { f64::NAN }));
        }
        Ok(Arc::clone(&self.scratch))
    }

    /// Offsets and bytes of a category's labels.
    pub fn dictionary(&mut self, column: u32) -> Result<(&'static [u32], &'static [u8]), GuestFailure> {
        self.column(column)?.dictionary().ok_or(GuestFailure::Trap)
    }

    fn knows(&self, column: &str) -> bool {
        self.request.columns.iter().any(|c| c.name == column) || self.request.manifest.derived.iter().any(|c| c.name == column)
    }

    /// Takes a table request.
    pub fn request_table(&mut self, table: TableRequest) -> Result<(), GuestFailure> {
        LimitExceeded::check("tables_max", Limits::STANDARD.tables_max.into(), self.tables.len() as u64, 1)?;
        table.validate()?;
        if self.tables.iter().any(|t| t.name == table.name) {
            return Err(TableError::Duplicate(table.name).into());
        }
        let mut columns = table.keys.iter().chain(table.measures.iter().filter_map(|m| m.column.as_ref()));
        if let Some(column) = columns.find(|c| !self.knows(c)) {
            return Err(TableError::NotGranted(column.chars().take(64).collect()).into());
        }
        self.request.manifest.names(&table)?;
        self.tables.push(table);
        Ok(())
    }

    /// The declared name of model `index`.
    pub fn model_name(&self, index: u32) -> Result<String, GuestFailure> {
        let names = &self.request.manifest.models;
        let name = usize::try_from(index).ok().and_then(|i| names.get(i)).cloned();
        name.ok_or_else(|| {
            let limit = names.len() as u64;
            LimitExceeded { name: "declared_models".to_owned(), limit, current: index.into(), requested: 1 }.into()
        })
    }

    /// Features by the indexes of their columns, the granted ones first, then the declared ones; of a category by its level too.
    pub fn features(&self, columns: &[u32], levels: &[i64]) -> Result<Vec<Feature>, GuestFailure> {
        LimitExceeded::check("model_coefficients_max", Limits::STANDARD.model_coefficients_max.into(), 0, columns.len() as u64)?;
        if columns.len() != levels.len() {
            return Err(ModelError::Shape.into());
        }
        let granted = self.request.columns.iter().map(|c| &c.name);
        let names: Vec<&String> = granted.chain(self.request.manifest.derived.iter().map(|c| &c.name)).collect();
        let feature = |(column, level): (&u32, &i64)| -> Result<Feature, GuestFailure> {
            let column = usize::try_from(*column).ok().and_then(|i| names.get(i)).ok_or(ModelError::Feature)?;
            let level = if *level == -1 { None } else { Some(u32::try_from(*level).map_err(|_| ModelError::Feature)?) };
            Ok(Feature { column: (*column).clone(), level })
        };
        columns.iter().zip(levels).map(feature).collect()
    }

    /// Takes a model.
    pub fn submit(&mut self, model: Model) -> Result<(), GuestFailure> {
        LimitExceeded::check("models_max", Limits::STANDARD.models_max.into(), self.models.len() as u64, 1)?;
        model.validate()?;
        if self.models.iter().any(|m| m.name() == model.name()) {
            return Err(ModelError::Name.into());
        }
        let granted = |name: &str| self.request.columns.iter().find(|c| c.name == name).map(|c| c.ty.clone());
        let derived = |name: &str| self.request.manifest.derived.iter().find(|c| c.name == name).map(|c| c.ty.view_type());
        model.validate_features(|name| granted(name).or_else(|| derived(name)))?;
        for feature in model.features() {
            let level = feature.level.map(|level| self.has_level(&feature.column, level)).transpose()?;
            if level == Some(false) {
                return Err(ModelError::Feature.into());
            }
        }
        self.models.push(model);
        Ok(())
    }

    /// Whether a category has this level.
    fn has_level(&mut self, column: &str, level: u32) -> Result<bool, GuestFailure> {
        if let Some(derived) = self.derived.iter().find(|d| d.name() == column) {
            return Ok(derived.labels().len() > level as usize);
        }
        let at = self.request.columns.iter().position(|c| c.name == column);
        let Some(at) = at.and_then(|i| u32::try_from(i).ok()) else { return Ok(false) };
        Ok(self.column(at)?.dictionary().is_some_and(|(offsets, _)| offsets.len().saturating_sub(1) > level as usize))
    }

    /// Takes log text, on synthetic rows only and as much as the limit allows; the rest is dropped.
    pub fn write_log(&mut self, text: &str) {
        let room = (Limits::STANDARD.log_bytes_max as usize).saturating_sub(self.log.len() + 1);
        if self.request.synthetic && room > 0 {
            self.log.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or(""));
            self.log.push('\n');
        }
    }
}

/// Memory and tables of all instances of the run.
pub struct Growth {
    memory_bytes: u64,
    memory_bytes_max: u64,
    elements: u64,
    /// The first growth that was refused.
    pub refused: Option<LimitExceeded>,
}

impl Growth {
    pub fn new(memory_bytes_max: u64) -> Self {
        Self { memory_bytes: 0, memory_bytes_max, elements: 0, refused: None }
    }
}

/// Grows `held` within `limit`, or notes the refusal.
fn grow(name: &str, limit: u64, held: &mut u64, (current, desired): (usize, usize), refused: &mut Option<LimitExceeded>) -> bool {
    let more = desired.saturating_sub(current) as u64;
    match LimitExceeded::check(name, limit, *held, more) {
        Ok(()) => {
            *held += more;
            true
        }
        Err(exceeded) => {
            refused.get_or_insert(exceeded);
            false
        }
    }
}

impl wasmtime::ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let step = (current, desired);
        Ok(grow("guest_memory_bytes_max", self.memory_bytes_max, &mut self.memory_bytes, step, &mut self.refused))
    }
    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = Limits::STANDARD.guest_table_elements_max;
        Ok(grow("guest_table_elements_max", limit, &mut self.elements, (current, desired), &mut self.refused))
    }
    fn instances(&self) -> usize {
        usize::try_from(Limits::STANDARD.guest_instances_max).unwrap_or(0)
    }
    fn tables(&self) -> usize {
        usize::try_from(Limits::STANDARD.guest_tables_max).unwrap_or(0)
    }
    fn memories(&self) -> usize {
        usize::try_from(Limits::STANDARD.guest_memories_max).unwrap_or(0)
    }
}
