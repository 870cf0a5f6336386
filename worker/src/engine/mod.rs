//! The `engine` role: fuses sealed segments into a view, and reduces the view to exact tables with their evidence.
//!
//! | module | what it is |
//! |---|---|
//! | `contributors` | which base rows lie in which cells, for the audit across releases |
//! | `identity` | keyed identities of the base rows, for the audit across releases |
//! | `load` | segments opened, checked, texts interned, identifiers digested; the keys end here |
//! | `select` | consent and constant filters |
//! | `join` | joins of row numbers on integer keys (polars) |
//! | `output` | transforms; the view's columns written to sealed memory |
//! | `fuse` | the order of all that |
//! | `view` | a view, mapped |
//! | `own` | how values of the operator's own columns are spread over cells |
//! | `top` | the largest units of each cell |
//! | `key` | cells: the mixed-radix index of a table's keys |
//! | `runs` | rows of a unit, and shares of whole units for threads |
//! | `reduce` | one pass over the rows: counts, sums and the evidence per privacy unit |
//! | `models` | rows put through a model: who reaches each leaf, who has each level |
//! | `derived` | the module's columns, checked against what it declared |
//! | `table` | requests resolved, cells told |
//! | `subject` | one subject's rows handed to a guest: verification |
//! | `neighbour` | the view without one unit, and which units stand out: the neighbour-replay probe |
//! | `fold` | blocks of units, clipped and summed exactly: the private door |
//!
//! Rows of one privacy unit stand next to each other in every view (sorted by a keyed hash of the unit), so that all evidence
//! per unit comes from one sequential pass. All arithmetic is on integers: the same bytes on any number of threads.

mod contributors;
mod derived;
mod fold;
mod fuse;
mod identity;
mod join;
mod key;
mod load;
mod models;
mod neighbour;
mod output;
mod own;
mod parallel;
mod reduce;
mod runs;
mod select;
mod subject;
mod table;
mod top;
mod view;

#[cfg(test)]
mod fuse_tests;
#[cfg(test)]
mod models_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::frame::{Channel, FrameError};
use protocol::limits::Limits;
use protocol::message::{EngineFailure, EngineReply, EngineRequest};

use crate::jail::Jailed;
use view::View;

/// Serves one conversation: `Fuse` or `View` first, then any number of `Reduce`, `Models`, `Rank` and `Without`, or one `Fold`, or one `Subject`. A failure is told and ends it.
///
/// # Errors
/// What the socket says; the server sees a closed conversation.
pub fn serve(channel: &mut Channel, _jailed: &Jailed) -> Result<(), FrameError> {
    let mut view: Option<View> = None;
    loop {
        let (request, descriptors) = channel.receive::<EngineRequest>()?;
        let done = match request {
            EngineRequest::Fuse { plan, sources, pseudonym_key, namespace_key } => {
                let keys = load::Keys { pseudonym: pseudonym_key, namespace: namespace_key };
                let fused = guarded(|| fuse::fuse(&plan, sources, descriptors, keys, Limits::STANDARD.rows_max));
                fused.and_then(|fused| answer_fused(channel, fused, &mut view))
            }
            EngineRequest::View { columns, threads, units } => {
                guarded(|| View::map(columns, descriptors, threads, units)).map(|v| view = Some(v))
            }
            EngineRequest::Reduce { tables, derived, own, contributors } => match &view {
                Some(view) => guarded(|| table::prepare(view, &tables, derived, descriptors))
                    .and_then(|derived| {
                        let asked = table::Asked { view, derived: &derived, own: &own, top: contributors };
                        tables.iter().try_for_each(|t| answer_table(channel, &asked, t))?;
                        if contributors { answer_contributors(channel, &asked, &tables) } else { Ok(()) }
                    })
                    .and_then(|()| Ok(channel.send(&EngineReply::Done, &[])?)),
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Models { models, derived } => match &view {
                Some(view) => guarded(|| models::judge(view, &models, derived, descriptors))
                    .and_then(|evidence| within_frame(channel.send(&EngineReply::Models(evidence), &[]))),
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Rank(request) => match &view {
                Some(view) => {
                    guarded(|| neighbour::rank(view, &request)).and_then(|ranked| Ok(channel.send(&EngineReply::Ranked(ranked), &[])?))
                }
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Without { unit } => match &view {
                Some(view) => guarded(|| neighbour::without(view, unit)).and_then(|(fds, rows)| {
                    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                    Ok(channel.send(&EngineReply::Rest { rows }, &fds)?)
                }),
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Fold(plan) => match &view {
                Some(view) => return fold::serve(channel, view, &plan),
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Subject(plan) => match &view {
                Some(view) => return subject::serve(channel, view, &plan, descriptors),
                None => Err(EngineFailure::Plan.into()),
            },
            EngineRequest::Guest | EngineRequest::Round(_) => Err(EngineFailure::Plan.into()),
        };
        match done {
            Ok(()) => {}
            Err(Stop::Failure(failure)) => return channel.send(&EngineReply::Failed(failure), &[]),
            Err(Stop::Frame(error)) => return Err(error),
        }
    }
}

/// Why a conversation ends.
enum Stop {
    Failure(EngineFailure),
    Frame(FrameError),
}

impl From<EngineFailure> for Stop {
    fn from(failure: EngineFailure) -> Self {
        Self::Failure(failure)
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// A panic below (polars, or a broken invariant of ours) is a failure like any other, without a word about the data.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineFailure>) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(EngineFailure::Internal)).map_err(Stop::Failure)
}

fn answer_fused(channel: &mut Channel, fused: fuse::Fused, view: &mut Option<View>) -> Result<(), Stop> {
    let fds: Vec<_> = fused.descriptors.iter().map(AsFd::as_fd).collect();
    channel.send(&EngineReply::Fused { columns: fused.columns.clone(), report: fused.report.clone() }, &fds)?;
    let units = fused.report.units;
    let mapped: Result<View, Stop> = guarded(|| View::map(fused.columns, fused.descriptors, fused.threads, units));
    *view = Some(mapped?);
    Ok(())
}

fn answer_table(channel: &mut Channel, asked: &table::Asked<'_>, request: &protocol::table::TableRequest) -> Result<(), Stop> {
    let output = guarded(|| table::compute(asked, request))?;
    let per_frame = table::cells_per_frame(request);
    within_frame(channel.send(&EngineReply::Table(output.header), &[]))?;
    let mut cells = output.cells.into_iter().peekable();
    while cells.peek().is_some() {
        channel.send(&EngineReply::Cells(cells.by_ref().take(per_frame).collect()), &[])?;
    }
    Ok(())
}

/// Labels found in the data can be longer than a frame; nothing was sent then.
fn within_frame(sent: Result<(), FrameError>) -> Result<(), Stop> {
    match sent {
        Err(FrameError::TooLarge(bytes)) => {
            let limit = u64::from(Limits::STANDARD.frame_bytes_max);
            let exceeded = protocol::limits::LimitExceeded { name: "frame_bytes_max".to_owned(), limit, current: 0, requested: bytes };
            Err(EngineFailure::Limit(exceeded).into())
        }
        other => Ok(other?),
    }
}

fn answer_contributors(channel: &mut Channel, asked: &table::Asked<'_>, tables: &[protocol::table::TableRequest]) -> Result<(), Stop> {
    let found = guarded(|| contributors::find(asked.view, asked.derived, asked.own, tables))?;
    let fds: Vec<_> = found.iter().map(AsFd::as_fd).collect();
    Ok(channel.send(&EngineReply::Contributors, &fds)?)
}

/// The seals of `fd` verified, mapped; `failure` where they do not hold.
fn map_sealed(fd: OwnedFd, failure: impl Fn() -> EngineFailure) -> Result<crate::map::Mapped, EngineFailure> {
    let sealed = protocol::memfd::SealedFd::verify(fd, Limits::STANDARD.column_bytes_max).map_err(|_| failure())?;
    crate::map::Mapped::new(&sealed).map_err(|_| EngineFailure::Internal)
}
