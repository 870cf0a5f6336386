//! What compiling one function costs, from its operators alone.

use protocol::limits::{LimitExceeded, Limits};
use protocol::message::ModuleRefusal;
use wasmparser::{BlockType, FunctionBody, Operator};

use super::{Part, invalid};

/// What an operator does to the counts of its function.
#[derive(Default)]
struct Tally {
    /// Blocks and branch targets: where a compiler's blocks begin.
    blocks: u64,
    /// Branch targets alone.
    branches: u64,
    /// Values that calls and blocks name.
    values: u64,
    /// Most values that a branch can carry.
    carried: u64,
    depth: u64,
    deepest: u64,
}

impl Tally {
    fn enter(&mut self, part: &Part, ty: BlockType) {
        let arity = match ty {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(index) => part.arity(index),
        };
        self.blocks += 1;
        self.values = self.values.saturating_add(arity);
        self.carried = self.carried.max(arity);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn branch(&mut self, targets: u64) {
        self.blocks += targets;
        self.branches += targets;
    }

    fn take(&mut self, part: &Part, operator: &Operator<'_>) {
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => self.enter(part, *blockty),
            Operator::Else => self.blocks += 1,
            Operator::End => self.depth = self.depth.saturating_sub(1),
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return => self.branch(1),
            Operator::BrTable { targets } => self.branch(u64::from(targets.len()) + 1),
            Operator::Call { function_index } => self.values = self.values.saturating_add(part.arity_of_function(*function_index)),
            Operator::CallIndirect { type_index, .. } => self.values = self.values.saturating_add(part.arity(*type_index)),
            _ => {}
        }
    }
}

/// (Parameters + locals + 1) × (blocks + branch targets + 1) of a function of this type; what else of it can cost much is checked.
///
/// # Errors
/// The first limit that it exceeds, or operators that are none.
pub fn work(part: &Part, ty: u32, body: &FunctionBody<'_>) -> Result<u64, ModuleRefusal> {
    let l = &Limits::STANDARD;
    let range = body.range();
    LimitExceeded::check("function_bytes_max", l.function_bytes_max, 0, (range.end - range.start) as u64)?;
    let (params, results) = part.signature(ty);
    let mut locals = params;
    for entry in body.get_locals_reader().map_err(invalid)? {
        locals = locals.saturating_add(entry.map_err(invalid)?.0.into());
    }
    LimitExceeded::check("function_locals_max", l.function_locals_max, 0, locals)?;
    let mut tally = Tally { carried: results, ..Tally::default() };
    let mut operators = body.get_operators_reader().map_err(invalid)?;
    while !operators.eof() {
        tally.take(part, &operators.read().map_err(invalid)?);
    }
    LimitExceeded::check("function_nesting_max", l.function_nesting_max, 0, tally.deepest)?;
    let values = tally.values.saturating_add(tally.branches.saturating_mul(tally.carried));
    LimitExceeded::check("function_values_max", l.function_values_max, 0, values)?;
    let work = (locals + 1).saturating_mul(tally.blocks + 1);
    LimitExceeded::check("function_locals_times_blocks_max", l.function_locals_times_blocks_max, 0, work)?;
    Ok(work)
}
