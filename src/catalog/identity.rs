//! Whose rows the audit across releases counts, and what they are known by.

use protocol::plan::{FusePlan, IdentityColumn, RowIdentity};
use protocol::schema::ColumnSchema;

use super::entry::CatalogueEntry;

/// The identity of a plan's base rows. `members` are its members' entries with the columns that are loaded, as indexes into the entry.
pub(super) fn row_identity(fuse: &FusePlan, members: &[(&CatalogueEntry, &[u16])]) -> RowIdentity {
    let carrier = fuse.carriers().first().copied();
    let member = carrier.unwrap_or(fuse.unit.member);
    // Without a carrier the rows are the operator's own, and known by their unit.
    let Some((entry, loaded)) = members.get(usize::from(member)).filter(|_| carrier.is_some()) else {
        return RowIdentity { member, dataset: String::new(), columns: Vec::new() };
    };
    let mut columns: Vec<(&ColumnSchema, IdentityColumn)> = Vec::new();
    for (column, index) in entry.columns.iter().zip(0u16..) {
        let at = loaded.iter().zip(0u16..).find(|(c, _)| **c == index).map(|(_, i)| IdentityColumn::Loaded(i));
        columns.push((&column.schema, at.unwrap_or_else(|| IdentityColumn::Extra(column.schema.clone()))));
    }
    columns.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    RowIdentity { member, dataset: entry.id.to_string(), columns: columns.into_iter().map(|(_, c)| c).collect() }
}
