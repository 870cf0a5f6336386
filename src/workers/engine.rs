//! Conversations with the engine: fuse, take a cached view, reduce.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use protocol::contributors::Contributors;
use protocol::limits::Limits;
use protocol::manifest::DerivedColumn;
use protocol::memfd::SealedFd;
use protocol::message::{EngineReply, EngineRequest, SecretKey, Source, WorkerRole};
use protocol::model::{Model, ModelEvidence};
use protocol::plan::{FusePlan, FusionReport, ViewColumn, Visibility};
use protocol::table::{Cell, TableHeader, TableOutput, TableRequest};

use super::memory::Share;
use super::pool::Workers;
use super::process::{KillSwitch, Process, WorkerError};

/// A fused view: sealed memory, one descriptor a column, held and never mapped here.
#[derive(Debug, Clone)]
pub struct View {
    columns: Arc<Vec<(ViewColumn, SealedFd)>>,
    rows: u64,
    report: Arc<FusionReport>,
}

impl View {
    /// A view of these columns.
    pub fn new(columns: Vec<(ViewColumn, SealedFd)>, report: FusionReport) -> Self {
        Self { columns: Arc::new(columns), rows: report.rows, report: Arc::new(report) }
    }
    /// The columns that a guest may have.
    pub fn granted(&self) -> impl Iterator<Item = &(ViewColumn, SealedFd)> {
        self.columns.iter().filter(|(c, _)| c.visibility == Visibility::Granted)
    }
    /// Rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
    /// Exact figures of the fusion: for providers and checkers.
    pub fn report(&self) -> &FusionReport {
        &self.report
    }
    /// Descriptors that it holds.
    pub fn descriptors(&self) -> usize {
        self.columns.len()
    }
    /// Bytes of shared memory that it holds.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|(_, fd)| fd.len()).sum()
    }
}

/// What a fusion needs. The keys are those of the columns that the plan names, no others.
#[derive(Debug)]
pub struct FuseInput {
    /// The plan.
    pub plan: FusePlan,
    /// One a descriptor.
    pub sources: Vec<(Source, OwnedFd)>,
    /// Key of the project's pseudonyms.
    pub pseudonym_key: SecretKey,
    /// Key of the namespace's ordinals.
    pub namespace_key: SecretKey,
}

/// An engine that holds a view.
#[derive(Debug)]
pub struct EngineSession {
    pub(super) process: Process,
}

impl Workers {
    /// Fuses, and keeps the engine for reductions over the result.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn fuse(&self, input: FuseInput, share: Share, switch: &KillSwitch) -> Result<(EngineSession, View), WorkerError> {
        let mut process = self.take(WorkerRole::Engine, share, switch)?;
        let granted = input.plan.outputs.len();
        let (sources, fds): (Vec<Source>, Vec<OwnedFd>) = input.sources.into_iter().unzip();
        let request =
            EngineRequest::Fuse { plan: input.plan, sources, pseudonym_key: input.pseudonym_key, namespace_key: input.namespace_key };
        process.send(&request, &borrow(&fds))?;
        let (reply, fds) = process.receive()?;
        let (columns, report) = match reply {
            EngineReply::Fused { columns, report } => (columns, report),
            EngineReply::Failed(failure) => return Err(failure.into()),
            _ => return Err(WorkerError::OutOfTurn("a fused view was due")),
        };
        let visible = columns.iter().filter(|c| c.visibility == Visibility::Granted).count();
        if columns.len() != fds.len() || visible != granted || columns.len() != granted + 3 || report.rows > Limits::STANDARD.rows_max {
            return Err(WorkerError::OutOfTurn("a fused view of another shape"));
        }
        let sealed = fds.into_iter().map(|fd| SealedFd::verify(fd, Limits::STANDARD.column_bytes_max)).collect::<Result<Vec<_>, _>>()?;
        Ok((EngineSession { process }, View::new(columns.into_iter().zip(sealed).collect(), report)))
    }

    /// An engine that takes a view which was fused before.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn attach(&self, view: &View, share: Share, switch: &KillSwitch) -> Result<EngineSession, WorkerError> {
        let mut process = self.take(WorkerRole::Engine, share, switch)?;
        let columns = view.columns.iter().map(|(c, _)| c.clone()).collect();
        let fds: Vec<BorrowedFd<'_>> = view.columns.iter().map(|(_, fd)| fd.fd().as_fd()).collect();
        process.send(&EngineRequest::View { columns, threads: self.threads(), units: view.report.units }, &fds)?;
        Ok(EngineSession { process })
    }
}

impl EngineSession {
    /// Exact tables with their evidence; and which base rows lie in which of their cells, unless there are too many. `own` are granted
    /// columns that the operator owns.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn reduce(
        &mut self,
        tables: Vec<TableRequest>,
        derived: Vec<(DerivedColumn, SealedFd)>,
        own: &BTreeSet<String>,
    ) -> Result<Reduced, WorkerError> {
        self.process.extend();
        let mut contributors = None;
        let (declared, fds): (Vec<DerivedColumn>, Vec<SealedFd>) = derived.into_iter().unzip();
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.fd().as_fd()).collect();
        let own_columns = own.iter().cloned().collect();
        let request = EngineRequest::Reduce { tables: tables.clone(), derived: declared, own: own_columns, contributors: true };
        self.process.send(&request, &borrowed)?;
        let mut out: Vec<TableOutput> = Vec::with_capacity(tables.len());
        let mut own_told: Vec<bool> = Vec::new();
        loop {
            let (reply, fds) = self.process.receive()?;
            if !fds.is_empty() && !matches!(reply, EngineReply::Contributors) {
                return Err(WorkerError::OutOfTurn("no descriptor was due"));
            }
            match reply {
                EngineReply::Contributors => {
                    if contributors.replace(told(fds, tables.len())?).is_some() {
                        return Err(WorkerError::OutOfTurn("contributors a second time"));
                    }
                }
                EngineReply::Table(header) => {
                    complete(out.last())?;
                    let asked = tables.get(out.len()).ok_or(WorkerError::OutOfTurn("a table too many"))?;
                    check_header(&header, asked)?;
                    own_told = asked.measures.iter().map(|m| m.column.as_ref().is_some_and(|c| own.contains(c))).collect();
                    out.push(TableOutput { header, cells: Vec::new() });
                }
                EngineReply::Cells(cells) => {
                    let table = out.last_mut().ok_or(WorkerError::OutOfTurn("cells of no table"))?;
                    let (keys, measures) = (table.header.request.keys.len(), table.header.request.measures.len());
                    let shaped = cells
                        .iter()
                        .all(|c| c.keys.len() == keys && c.measures.len() == measures && c.units_counting <= c.units && c.units <= c.rows)
                        && cells.iter().all(|c| spread_is_told(c, &own_told));
                    if !shaped || (table.cells.len() + cells.len()) as u64 > table.header.cells {
                        return Err(WorkerError::OutOfTurn("cells of another shape"));
                    }
                    table.cells.extend(cells);
                }
                EngineReply::Done => {
                    complete(out.last())?;
                    let contributors = contributors.ok_or(WorkerError::OutOfTurn("contributors are missing"))?;
                    let all = out.len() == tables.len();
                    return if all { Ok((out, contributors)) } else { Err(WorkerError::OutOfTurn("a table is missing")) };
                }
                EngineReply::Failed(failure) => return Err(failure.into()),
                EngineReply::Fused { .. }
                | EngineReply::Models(_)
                | EngineReply::Ready
                | EngineReply::GuestWanted
                | EngineReply::Sums(_)
                | EngineReply::Ranked(_)
                | EngineReply::Rest { .. }
                | EngineReply::Answer { .. } => {
                    return Err(WorkerError::OutOfTurn("a table was due"));
                }
            }
        }
    }
}

impl EngineSession {
    /// What the view's rows say of each model: who reaches its leaves, who has the levels that it reads.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn judge(&mut self, models: Vec<Model>, derived: &[(DerivedColumn, SealedFd)]) -> Result<Vec<ModelEvidence>, WorkerError> {
        self.process.extend();
        let declared = derived.iter().map(|(d, _)| d.clone()).collect();
        let fds: Vec<BorrowedFd<'_>> = derived.iter().map(|(_, fd)| fd.fd().as_fd()).collect();
        self.process.send(&EngineRequest::Models { models: models.clone(), derived: declared }, &fds)?;
        let (reply, fds) = self.process.receive()?;
        match reply {
            EngineReply::Models(found) if fds.is_empty() => {
                let shaped = found.len() == models.len() && found.iter().zip(&models).all(|(evidence, model)| evidence.is_of(model));
                if shaped { Ok(found) } else { Err(WorkerError::OutOfTurn("evidence of another shape")) }
            }
            EngineReply::Failed(failure) => Err(failure.into()),
            _ => Err(WorkerError::OutOfTurn("evidence about models was due")),
        }
    }
}

/// Exact tables, and the contributors to their cells unless there are too many.
pub type Reduced = (Vec<TableOutput>, Option<Contributors>);

/// Contributors as an engine tells them: copied, then checked.
fn told(fds: Vec<OwnedFd>, tables: usize) -> Result<Option<Contributors>, WorkerError> {
    const WRONG: WorkerError = WorkerError::OutOfTurn("contributors of another shape");
    let Some(fd) = fds.into_iter().next() else { return Ok(None) };
    let bytes = SealedFd::verify(fd, Limits::STANDARD.column_bytes_max)?.read()?;
    let all = Contributors::parse(bytes.as_slice()).map_err(|_| WRONG)?;
    if all.tables.len() == tables { Ok(Some(all)) } else { Err(WRONG) }
}

/// Figures over the operator's own columns come with the spread of their values, others without.
fn spread_is_told(cell: &Cell, own: &[bool]) -> bool {
    cell.measures.iter().zip(own).all(|(evidence, own)| evidence.as_ref().is_none_or(|e| e.own.is_some() == *own))
}

fn check_header(header: &TableHeader, asked: &TableRequest) -> Result<(), WorkerError> {
    let shaped = header.request == *asked
        && header.domains.len() == asked.keys.len()
        && header.columns.len() == asked.measures.len()
        && asked.measures.iter().zip(&header.columns).all(|(m, c)| m.op.needs_column() == c.is_some())
        && header.cells <= Limits::STANDARD.table_cells_max;
    if shaped { Ok(()) } else { Err(WorkerError::OutOfTurn("a table of another shape")) }
}

fn complete(table: Option<&TableOutput>) -> Result<(), WorkerError> {
    match table {
        Some(t) if t.cells.len() as u64 != t.header.cells => Err(WorkerError::OutOfTurn("cells are missing")),
        _ => Ok(()),
    }
}

fn borrow(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
