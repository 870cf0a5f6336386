//! Blocks handed to guest processes. Whatever ends a block zeroes that block and no other; exactly one contribution is taken for each
//! block number.
//!
//! Blocks go out in batches, so that a small one does not cost a system call each. The process is told nothing else, and a contribution
//! depends on its own block alone (a fresh instance each); so where a process ends inside a batch, the blocks of that batch are mapped
//! once more, one at a time and in order, and the one that ends its process again is zero.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use protocol::fold::{BlockBatch, Contribution, Floats, FoldError, FoldPlan, Isolation, MapReply, MapRequest};
use protocol::frame::{Channel, FrameError};
use protocol::limits::Limits;
use protocol::message::{EngineFailure, EngineReply, EngineRequest};

use super::super::{Stop, guarded};
use super::blocks::Units;
use super::columns::Columns;
use super::reduce::Sums;

/// Blocks of one batch.
const BATCH_BLOCKS_MAX: usize = 1 << 12;
/// Bytes of one batch, and of the answer to it.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Time that a guest may be silent: far beyond what the fuel of a batch lets it take.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// The guest process at hand, and how many ended.
#[derive(Default)]
pub(super) struct Guests {
    at_hand: Option<Channel>,
    ended: u32,
}

impl Guests {
    /// Maps all blocks under `state`, one contribution each.
    pub(super) fn map_all(
        &mut self,
        server: &mut Channel,
        plan: &FoldPlan,
        units: &Units<'_>,
        columns: &Columns<'_>,
        state: &Floats,
    ) -> Result<Vec<i128>, Stop> {
        let mut sums = Sums::zero(plan.clip);
        // A guest of the round before holds that round's state.
        if let Some(guest) = &mut self.at_hand
            && guest.send(&MapRequest::State(state.clone()), &[]).is_err()
        {
            self.lost()?;
        }
        let alone = plan.isolation == Isolation::Process;
        let mut batches = Batches { units, columns, next: 0, blocks_max: if alone { 1 } else { blocks_max(plan) } };
        while let Some(batch) = guarded(|| Ok(batches.next()))? {
            if alone {
                self.at_hand = None;
            }
            match self.map(server, state, &batch)? {
                Some(contributions) => contributions.iter().for_each(|c| sums.add(c)),
                None => {
                    for one in guarded(|| Ok(batches.singly(&batch)))? {
                        if let Some(contributions) = self.map(server, state, &one)? {
                            contributions.iter().for_each(|c| sums.add(c));
                        }
                    }
                }
            }
        }
        Ok(sums.finish())
    }

    /// The contributions of a batch; `None` where its process ended or did not keep to the form. A batch of one block is not tried
    /// again then.
    fn map(&mut self, server: &mut Channel, state: &Floats, batch: &Numbered) -> Result<Option<Vec<Contribution>>, Stop> {
        let guest = match &mut self.at_hand {
            Some(guest) => guest,
            None => {
                let guest = wanted(server, state)?;
                self.at_hand.insert(guest)
            }
        };
        let answer = guest.send(&MapRequest::Blocks(batch.batch.clone()), &[]).and_then(|()| guest.receive::<MapReply>());
        match answer {
            Ok((MapReply(contributions), _)) if contributions.len() == batch.batch.blocks.len() => Ok(Some(contributions)),
            Ok(_) | Err(_) => {
                self.lost()?;
                Ok(None)
            }
        }
    }

    fn lost(&mut self) -> Result<(), Stop> {
        self.at_hand = None;
        self.ended += 1;
        if self.ended > Limits::STANDARD.fold_restarts_max { Err(EngineFailure::from(FoldError::Restarts).into()) } else { Ok(()) }
    }
}

/// A guest process that has not been used, from the server, with the round's state.
fn wanted(server: &mut Channel, state: &Floats) -> Result<Channel, Stop> {
    server.send(&EngineReply::GuestWanted, &[])?;
    let (EngineRequest::Guest, fds) = server.receive::<EngineRequest>()? else { return Err(EngineFailure::Plan.into()) };
    let Ok([socket]) = <[OwnedFd; 1]>::try_from(fds) else { return Err(EngineFailure::Plan.into()) };
    let socket = UnixStream::from(socket);
    let timed = socket.set_read_timeout(Some(SILENT_MAX)).and_then(|()| socket.set_write_timeout(Some(SILENT_MAX)));
    timed.map_err(|_| EngineFailure::Internal)?;
    let mut guest = Channel::plain(socket);
    // One that is gone already is found by the first batch.
    let _: Result<(), FrameError> = guest.send(&MapRequest::State(state.clone()), &[]);
    Ok(guest)
}

/// How many blocks' dense answers fit a batch.
fn blocks_max(plan: &FoldPlan) -> usize {
    (BATCH_BYTES_MAX / (8 * plan.clip.dimension as usize + 16)).clamp(1, BATCH_BLOCKS_MAX)
}

/// A batch and the number of its first block.
struct Numbered {
    first: usize,
    batch: BlockBatch,
}

struct Batches<'a> {
    units: &'a Units<'a>,
    columns: &'a Columns<'a>,
    next: usize,
    blocks_max: usize,
}

impl Batches<'_> {
    /// The next batch; `None` after the last block.
    fn next(&mut self) -> Option<Numbered> {
        let first = self.next;
        let mut batch = BlockBatch::default();
        while self.next < self.units.blocks()
            && batch.blocks.len() < self.blocks_max
            && 8 * (batch.values.0.len() + batch.units.len()) < BATCH_BYTES_MAX
        {
            self.write(self.next, &mut batch);
            self.next += 1;
        }
        finish(&mut batch);
        (!batch.blocks.is_empty()).then_some(Numbered { first, batch })
    }

    /// The blocks of a batch, each in a batch of its own.
    fn singly(&self, batch: &Numbered) -> Vec<Numbered> {
        let one = |block: usize| {
            let mut batch = BlockBatch::default();
            self.write(block, &mut batch);
            finish(&mut batch);
            Numbered { first: block, batch }
        };
        let blocks = batch.batch.blocks.len();
        // A block that was alone is not tried again.
        if blocks == 1 { Vec::new() } else { (batch.first..batch.first + blocks).map(one).collect() }
    }

    fn write(&self, block: usize, batch: &mut BlockBatch) {
        let units = self.units.rows_of(block, self.columns);
        batch.blocks.push(u32::try_from(units.len()).unwrap_or(u32::MAX));
        batch.units.extend(units.iter().map(|rows| u32::try_from(rows.len()).unwrap_or(u32::MAX)));
        for column in self.columns.iter() {
            for row in units.iter().flatten() {
                let value = column.get(*row);
                batch.missing.0.push(u8::from(value.is_none()));
                batch.values.0.push(value.unwrap_or(0));
            }
        }
    }
}

fn finish(batch: &mut BlockBatch) {
    if batch.missing.0.iter().all(|missing| *missing == 0) {
        batch.missing.0.clear();
    }
}
