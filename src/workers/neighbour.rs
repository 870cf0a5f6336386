//! For the neighbour-replay probe: units measured, the view without one of them, and one guest after another within one share of memory.

use protocol::limits::Limits;
use protocol::memfd::SealedFd;
use protocol::message::{EngineReply, EngineRequest};
use protocol::neighbour::{Measured, RankRequest, Ranked};
use protocol::plan::FusionReport;

use super::engine::{EngineSession, View};
use super::process::WorkerError;

impl EngineSession {
    /// Measures the units that `request` names, and names those that stand out.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn rank(&mut self, request: RankRequest, units: u64) -> Result<Ranked, WorkerError> {
        self.process.extend();
        self.process.send(&EngineRequest::Rank(request.clone()), &[])?;
        match self.process.receive()? {
            (EngineReply::Ranked(ranked), fds) if fds.is_empty() && answers(&ranked, &request, units) => Ok(ranked),
            (EngineReply::Failed(failure), _) => Err(failure.into()),
            _ => Err(WorkerError::OutOfTurn("measured units were due")),
        }
    }

    /// The granted columns of `view` without the rows of one unit, as sealed memory that is held and never mapped here.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn without(&mut self, view: &View, unit: u64) -> Result<View, WorkerError> {
        self.process.extend();
        self.process.send(&EngineRequest::Without { unit }, &[])?;
        let (rows, fds) = match self.process.receive()? {
            (EngineReply::Rest { rows }, fds) => (rows, fds),
            (EngineReply::Failed(failure), _) => return Err(failure.into()),
            _ => return Err(WorkerError::OutOfTurn("a view without a unit was due")),
        };
        let columns: Vec<_> = view.granted().map(|(column, _)| column.clone()).collect();
        if fds.len() != columns.len() || rows >= view.rows() {
            return Err(WorkerError::OutOfTurn("a view without a unit of another shape"));
        }
        let sealed = fds.into_iter().map(|fd| SealedFd::verify(fd, Limits::STANDARD.column_bytes_max)).collect::<Result<Vec<_>, _>>()?;
        let report = FusionReport { members: Vec::new(), rows, units: view.report().units.saturating_sub(1) };
        Ok(View::new(columns.into_iter().zip(sealed).collect(), report))
    }
}

/// Whether what came back answers what was asked.
fn answers(ranked: &Ranked, request: &RankRequest, units: u64) -> bool {
    let named = ranked.named.iter().map(|m| m.unit).eq(request.units.iter().copied());
    let within = |some: &[Measured], most: u16| some.len() <= usize::from(most) && some.iter().all(|m| m.unit < units);
    named && within(&ranked.most_rows, request.most_rows) && within(&ranked.farthest, request.farthest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_what_was_asked_is_taken() {
        let unit = |unit| Measured { unit, rows: 1, mean_permille: 1, largest_permille: 1 };
        let request = RankRequest { columns: Vec::new(), units: vec![4, 2], most_rows: 1, farthest: 0 };
        let told = |named: &[u64], most: &[u64], far: &[u64]| {
            let all = |places: &[u64]| places.iter().map(|place| unit(*place)).collect::<Vec<_>>();
            answers(&Ranked { named: all(named), most_rows: all(most), farthest: all(far) }, &request, 5)
        };
        assert!(told(&[4, 2], &[3], &[]) && told(&[4, 2], &[], &[]));
        for (named, most, far) in
            [(&[2u64, 4][..], &[][..], &[][..]), (&[4], &[], &[]), (&[4, 2], &[1, 3], &[]), (&[4, 2], &[5], &[]), (&[4, 2], &[], &[1])]
        {
            assert!(!told(named, most, far), "{named:?} {most:?} {far:?}");
        }
    }
}
