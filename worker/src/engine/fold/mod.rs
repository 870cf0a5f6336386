//! Folds: units become blocks, each block a contribution, contributions are clipped and summed exactly. Noise is not drawn here.
//!
//! | module | what it is |
//! |---|---|
//! | `blocks` | units, their rows, their blocks: no unit changes another's rows |
//! | `columns` | the view's columns as a map reads them |
//! | `reduce` | clip, truncation toward zero, exact norm, exact sums |
//! | `built_in` | maps that need no module, in one pass |
//! | `guest` | blocks handed to guest processes; what ends one zeroes its block and no other |
//!
//! # Sensitivity
//!
//! Adding or removing one unit changes the sums by a vector of norm at most C × [`Blocks::bounds_per_unit`], C being the clipping bound:
//! 1. a block's rows depend on its own units' rows and on the key alone (`blocks`; the law is a property test over random plans);
//! 2. a contribution depends on its block's rows and the round's public state alone: a fresh instance each, in a process that says
//!    nothing but contributions (`worker/src/guest`); exactly one is taken for each block number;
//! 3. whatever comes back, what is added is a vector of whole steps whose norm was checked in integers (`reduce`);
//! 4. sums are exact in 128 bits: 2^31 blocks times 2^52 steps are below 2^84.

pub(super) mod blocks;
mod built_in;
pub(super) mod columns;
mod guest;
mod reduce;

#[cfg(test)]
mod tests;

use protocol::fold::{Blocks, Floats, FoldError, FoldMap, FoldPlan, Isolation};
use protocol::frame::{Channel, FrameError};
use protocol::limits::Limits;
use protocol::message::{EngineFailure, EngineReply, EngineRequest};

use self::blocks::Units;
use self::columns::Columns;
use self::guest::Guests;
use super::view::View;
use super::{Stop, guarded};

/// Sums told in one frame: 128 bits take up to 19 bytes.
const SUMS_PER_FRAME: usize = 1 << 15;

/// Serves the rounds of one fold over `view`, to the end of the conversation.
///
/// # Errors
/// What the socket says.
pub(super) fn serve(channel: &mut Channel, view: &View, plan: &FoldPlan) -> Result<(), FrameError> {
    match rounds(channel, view, plan) {
        Ok(never) => match never {},
        Err(Stop::Failure(failure)) => channel.send(&EngineReply::Failed(failure), &[]),
        Err(Stop::Frame(error)) => Err(error),
    }
}

fn rounds(channel: &mut Channel, view: &View, plan: &FoldPlan) -> Result<std::convert::Infallible, Stop> {
    let fold = guarded(|| Fold::new(view, plan))?;
    channel.send(&EngineReply::Ready, &[])?;
    let mut guests = Guests::default();
    loop {
        let (EngineRequest::Round(state), _) = channel.receive::<EngineRequest>()? else { return Err(EngineFailure::Plan.into()) };
        let sums = fold.round(channel, &state, &mut guests)?;
        for some in sums.chunks(SUMS_PER_FRAME) {
            channel.send(&EngineReply::Sums(some.to_vec()), &[])?;
        }
        channel.send(&EngineReply::Done, &[])?;
    }
}

/// A fold whose blocks are made.
struct Fold<'v> {
    view: &'v View,
    plan: &'v FoldPlan,
    /// What a module's blocks are made of; nothing is kept for what is built in.
    made: Option<(Units<'v>, Columns<'v>)>,
}

impl<'v> Fold<'v> {
    fn new(view: &'v View, plan: &'v FoldPlan) -> Result<Self, EngineFailure> {
        let l = &Limits::STANDARD;
        let shape = match (plan.blocks, plan.isolation) {
            (Blocks::PerUnit, isolation) => isolation == Isolation::Instance,
            (Blocks::Shared(n), Isolation::Instance) => (1..=l.fold_blocks_max).contains(&n),
            (Blocks::Shared(n), Isolation::Process) => (1..=l.fold_process_blocks_max).contains(&n),
        };
        if !shape || !plan.clip.is_valid() || !(1..=l.fold_unit_rows_max).contains(&plan.rows_per_unit_max) {
            return Err(FoldError::Bound.into());
        }
        let made = match &plan.map {
            FoldMap::BuiltIn(map) => {
                built_in::check(view, plan, map)?;
                None
            }
            FoldMap::Module { columns } => {
                let columns = Columns::of(view, columns)?;
                Some((Units::of(view, plan, columns.count())?, columns))
            }
        };
        Ok(Self { view, plan, made })
    }

    /// The exact sums of one round.
    fn round(&self, channel: &mut Channel, state: &Floats, guests: &mut Guests) -> Result<Vec<i128>, Stop> {
        match (&self.plan.map, &self.made) {
            (FoldMap::BuiltIn(map), _) => guarded(|| built_in::sums(self.view, self.plan, map)),
            (FoldMap::Module { .. }, Some((units, columns))) => guests.map_all(channel, self.plan, units, columns, state),
            (FoldMap::Module { .. }, None) => Err(EngineFailure::Internal.into()),
        }
    }
}
