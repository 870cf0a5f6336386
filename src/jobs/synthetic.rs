//! A view of synthetic rows, from declarations only.

use protocol::limits::Limits;
use protocol::memfd::SealedFd;
use protocol::plan::{FusePlan, FusionReport};

use super::run::RunError;
use crate::store::StoreError;
use crate::workers::View;

/// `rows` synthetic rows of the view that `plan` would give.
///
/// # Errors
/// A fault of ours.
pub(super) fn view(plan: &FusePlan, rows: u64, seed: u64) -> Result<View, RunError> {
    let rows = u32::try_from(rows).map_err(|_| StoreError::Fault)?;
    let synthetic = crate::catalog::synthetic_view(plan, rows, seed)?;
    let mut columns = Vec::with_capacity(synthetic.columns.len());
    for (column, bytes) in synthetic.columns.into_iter().zip(synthetic.bytes) {
        let fd = protocol::memfd::sealed("synthetic", &bytes).map_err(StoreError::from)?;
        let fd = SealedFd::verify(fd, Limits::STANDARD.column_bytes_max).map_err(|_| StoreError::Fault)?;
        columns.push((column, fd));
    }
    Ok(View::new(columns, FusionReport { members: Vec::new(), rows: synthetic.rows, units: synthetic.units }))
}
