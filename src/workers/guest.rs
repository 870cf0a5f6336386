//! One run of a module.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::{DerivedColumn, Manifest};
use protocol::memfd::SealedFd;
use protocol::message::{GuestFailure, GuestOpening, GuestReply, GuestRequest, WorkerRole};
use protocol::model::{Model, ModelError};
use protocol::table::{TableError, TableRequest};

use super::engine::View;
use super::memory::Share;
use super::pool::Workers;
use super::process::{KillSwitch, Process, WorkerError, one_sealed};

/// What a run needs.
#[derive(Debug)]
pub struct GuestInput<'a> {
    /// Compiled code, its MAC verified.
    pub code: &'a OwnedFd,
    /// The view; the guest gets its granted columns only.
    pub view: &'a View,
    /// What the module declared.
    pub manifest: Manifest,
    /// The job's seed.
    pub seed: u64,
    /// Whether the rows are synthetic.
    pub synthetic: bool,
}

/// What a module asked for and handed in. Hostile: shapes are checked, contents are not.
#[derive(Debug, Default)]
pub struct GuestOutput {
    /// Derived columns, by declaration.
    pub derived: Vec<(DerivedColumn, SealedFd)>,
    /// Tables that it asks for.
    pub tables: Vec<TableRequest>,
    /// Models that it hands in.
    pub models: Vec<Model>,
    /// Its log text: on synthetic data only.
    pub log: String,
}

impl Workers {
    /// Runs a module to its end.
    ///
    /// # Errors
    /// [`WorkerError`]; on real data none of it is for the operator.
    pub fn run(&self, input: &GuestInput<'_>, share: Share, switch: &KillSwitch) -> Result<GuestOutput, (WorkerError, String)> {
        let mut out = GuestOutput::default();
        let ended = self.take(WorkerRole::Guest, share, switch).and_then(|mut worker| converse(&mut worker, input, &mut out));
        match ended {
            Ok(()) => Ok(out),
            Err(error) => Err((error, out.log)),
        }
    }

    /// The same for one of several runs after each other: the memory comes back with the end of the process, however it ended, for the
    /// next run's. `None` where no process could be started.
    pub fn run_in_turn(
        &self,
        input: &GuestInput<'_>,
        share: Share,
        switch: &KillSwitch,
    ) -> (Result<GuestOutput, WorkerError>, Option<Share>) {
        let mut worker = match self.take(WorkerRole::Guest, share, switch) {
            Ok(worker) => worker,
            Err(error) => return (Err(error), None),
        };
        let mut out = GuestOutput::default();
        let ended = converse(&mut worker, input, &mut out);
        (ended.map(|()| out), worker.into_share())
    }
}

fn converse(worker: &mut Process, input: &GuestInput<'_>, out: &mut GuestOutput) -> Result<(), WorkerError> {
    let request = GuestRequest {
        columns: input.view.granted().map(|(c, _)| c.clone()).collect(),
        rows: input.view.rows(),
        manifest: input.manifest.clone(),
        seed: input.seed,
        synthetic: input.synthetic,
        memory_bytes_max: Limits::STANDARD.guest_memory_bytes_max,
    };
    let fds: Vec<BorrowedFd<'_>> = std::iter::once(input.code.as_fd()).chain(input.view.granted().map(|(_, fd)| fd.fd().as_fd())).collect();
    worker.send(&GuestOpening::Run(request), &fds)?;
    loop {
        let (reply, fds) = worker.receive()?;
        match reply {
            GuestReply::Finished => {
                // In the declared order: theirs would be a choice of the module's.
                out.tables.sort_by_key(|table| input.manifest.tables.iter().position(|declared| declared.name == table.name));
                out.models.sort_by_key(|model| input.manifest.models.iter().position(|declared| declared == model.name()));
                return Ok(());
            }
            GuestReply::Failed(failure) => return Err(failure.into()),
            other => take(other, fds, input, out)?,
        }
    }
}

/// Takes one reply that is not the end.
fn take(reply: GuestReply, fds: Vec<OwnedFd>, input: &GuestInput<'_>, out: &mut GuestOutput) -> Result<(), WorkerError> {
    let l = &Limits::STANDARD;
    if !matches!(reply, GuestReply::Derived { .. }) && !fds.is_empty() {
        return Err(WorkerError::OutOfTurn("no descriptor was due"));
    }
    let over = |name, limit: u32, have: usize| LimitExceeded::check(name, limit.into(), have as u64, 1).map_err(GuestFailure::from);
    match reply {
        GuestReply::Derived { index } => {
            let declared =
                input.manifest.derived.get(usize::from(index)).ok_or(WorkerError::OutOfTurn("a column that was not declared"))?;
            if out.derived.iter().any(|(d, _)| d.name == declared.name) {
                return Err(GuestFailure::Derived(declared.name.clone()).into());
            }
            // Eight bytes a row, the bitmap and padding: a derived column cannot be larger.
            let bytes_max = input.view.rows().saturating_mul(9).saturating_add(64 << 10);
            let column = one_sealed(fds, bytes_max)?;
            let held = out.derived.iter().map(|(_, fd)| fd.len()).fold(0, u64::saturating_add);
            LimitExceeded::check("output_bytes_max", l.output_bytes_max, held, column.len()).map_err(GuestFailure::from)?;
            out.derived.push((declared.clone(), column));
        }
        GuestReply::Table(table) => {
            over("tables_max", l.tables_max, out.tables.len())?;
            table.validate().and_then(|()| input.manifest.names(&table)).map_err(GuestFailure::from)?;
            if out.tables.iter().any(|t| t.name == table.name) {
                return Err(GuestFailure::from(TableError::Duplicate(table.name)).into());
            }
            out.tables.push(table);
        }
        GuestReply::Model(model) => {
            over("models_max", l.models_max, out.models.len())?;
            model.validate().map_err(GuestFailure::from)?;
            let known = input.manifest.models.iter().any(|name| name == model.name());
            if !known || out.models.iter().any(|m| m.name() == model.name()) {
                return Err(GuestFailure::from(ModelError::Name).into());
            }
            let granted = |name: &str| input.view.granted().find(|(c, _)| c.name == name).map(|(c, _)| c.ty.clone());
            // Those that it brought: they come before the models.
            let derived = |name: &str| out.derived.iter().find(|(d, _)| d.name == name).map(|(d, _)| d.ty.view_type());
            model.validate_features(|name| granted(name).or_else(|| derived(name))).map_err(GuestFailure::from)?;
            out.models.push(model);
        }
        GuestReply::Log(text) if input.synthetic && out.log.len() + text.len() <= l.log_bytes_max as usize => out.log.push_str(&text),
        GuestReply::Log(_) => return Err(WorkerError::OutOfTurn("log text on real data, or too much of it")),
        GuestReply::Finished | GuestReply::Failed(_) => {}
    }
    Ok(())
}
