//! The functions that a module imports. Types are spelled here once more for wasmtime, which compares them with the module's;
//! lists of primitives are copied between the mapped column and the guest's memory in one step.
// `derive(Lift)` and `derive(Lower)` implement wasmtime's unsafe traits; nothing else here does.
#![allow(unsafe_code)]

use std::sync::Arc;

use protocol::limits::{LimitExceeded, Limits};
use protocol::message::GuestFailure;
use protocol::plan::ViewType;
use protocol::table::{Margins, MeasureOp, MeasureRequest, TableRequest};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList, WasmStr};
use wasmtime::error::Context as _;

use super::derive::Derived;
use super::host::Host;
use super::models;

#[derive(ComponentType, Lower)]
#[component(record)]
struct NumberType {
    scale: u8,
    min: i64,
    max: i64,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum ColumnType {
    #[component(name = "number")]
    Number(NumberType),
    #[component(name = "category")]
    Category,
    #[component(name = "date")]
    Date,
    #[component(name = "hour")]
    Hour,
    #[component(name = "pseudonym")]
    Pseudonym,
}

impl From<&ViewType> for ColumnType {
    fn from(ty: &ViewType) -> Self {
        match *ty {
            ViewType::Number { scale, min, max } => Self::Number(NumberType { scale, min, max }),
            ViewType::Category { .. } => Self::Category,
            ViewType::Date => Self::Date,
            ViewType::Hour => Self::Hour,
            ViewType::Pseudonym => Self::Pseudonym,
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct ColumnInfo {
    name: String,
    ty: ColumnType,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Dictionary {
    offsets: &'static [u32],
    bytes: &'static [u8],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Op {
    #[component(name = "count")]
    Count,
    #[component(name = "units")]
    Units,
    #[component(name = "sum")]
    Sum,
    #[component(name = "mean")]
    Mean,
    #[component(name = "variance")]
    Variance,
    #[component(name = "quantile")]
    Quantile(u16),
    #[component(name = "min")]
    Min,
    #[component(name = "max")]
    Max,
}

impl From<Op> for MeasureOp {
    fn from(op: Op) -> Self {
        match op {
            Op::Count => Self::Count,
            Op::Units => Self::Units,
            Op::Sum => Self::Sum,
            Op::Mean => Self::Mean,
            Op::Variance => Self::Variance,
            Op::Quantile(permille) => Self::Quantile { permille },
            Op::Min => Self::Min,
            Op::Max => Self::Max,
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Measure {
    name: String,
    op: Op,
    column: Option<String>,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by lifting alone")]
enum MarginsAsked {
    #[component(name = "none")]
    None,
    #[component(name = "rollup")]
    Rollup,
    #[component(name = "cube")]
    Cube,
}

impl From<MarginsAsked> for Margins {
    fn from(asked: MarginsAsked) -> Self {
        match asked {
            MarginsAsked::None => Self::None,
            MarginsAsked::Rollup => Self::Rollup,
            MarginsAsked::Cube => Self::Cube,
        }
    }
}

pub(super) type Store<'a> = StoreContextMut<'a, Host>;
type Read = (u32, u64, u32);
type Asked = (String, Vec<String>, Vec<Measure>, MarginsAsked);

/// A failure as an error that unwinds the guest; [`super::failure_of`] finds it again.
pub(super) fn end(failure: GuestFailure) -> wasmtime::Error {
    wasmtime::Error::new(failure)
}

/// The functions of the `analysis` world.
///
/// # Errors
/// A name is there twice: the test of a module finds that.
pub fn analysis(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    view(linker).context("view")?;
    derived(linker).context("derive")?;
    let mut tables = linker.instance("fusebox:analysis/tables@0.3.0")?;
    tables.func_wrap("request", |mut store: Store<'_>, (name, keys, measures, margins): Asked| {
        let measures = measures.into_iter().map(|m| MeasureRequest { name: m.name, op: m.op.into(), column: m.column }).collect();
        store.data_mut().request_table(TableRequest { name, keys, measures, margins: margins.into() }).map_err(end)
    })?;
    models::link(linker).context("models")?;
    let mut job = linker.instance("fusebox:analysis/job@0.3.0")?;
    job.func_wrap("seed", |store: Store<'_>, (): ()| Ok((store.data().request.seed,)))?;
    job.func_wrap("log", |mut store: Store<'_>, (text,): (WasmStr,)| {
        if store.data().request.synthetic {
            let text = text.to_str(&store)?.into_owned();
            store.data_mut().write_log(&text);
        }
        Ok(())
    })
}

fn view(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut view = linker.instance("fusebox:analysis/view@0.3.0")?;
    view.func_wrap("rows", |store: Store<'_>, (): ()| Ok((store.data().request.rows,)))?;
    view.func_wrap("columns", |store: Store<'_>, (): ()| {
        let columns = store.data().request.columns.iter();
        Ok((columns.map(|c| ColumnInfo { name: c.name.clone(), ty: (&c.ty).into() }).collect::<Vec<_>>(),))
    })?;
    view.func_wrap("read-integers", |mut store: Store<'_>, (column, start, len): Read| -> wasmtime::Result<(&'static [i64],)> {
        Ok((store.data_mut().integers(column, start, len).map_err(end)?,))
    })?;
    view.func_wrap("read-numbers", |mut store: Store<'_>, (column, start, len): Read| -> wasmtime::Result<(Arc<Vec<f64>>,)> {
        Ok((store.data_mut().numbers(column, start, len).map_err(end)?,))
    })?;
    view.func_wrap("read-codes", |mut store: Store<'_>, (column, start, len): Read| -> wasmtime::Result<(&'static [u32],)> {
        Ok((store.data_mut().codes(column, start, len).map_err(end)?,))
    })?;
    view.func_wrap("read-validity", |mut store: Store<'_>, (column, start, len): Read| -> wasmtime::Result<(&'static [u8],)> {
        Ok((store.data_mut().validity(column, start, len).map_err(end)?,))
    })?;
    view.func_wrap("read-dictionary", |mut store: Store<'_>, (column,): (u32,)| {
        let (offsets, bytes) = store.data_mut().dictionary(column).map_err(end)?;
        Ok((Dictionary { offsets, bytes },))
    })
}

fn derived(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut derive = linker.instance("fusebox:analysis/derive@0.3.0")?;
    derive.func_wrap("append-integers", |store: Store<'_>, (column, values, validity): (u32, WasmList<i64>, WasmList<u8>)| {
        append(store, column, |store, derived| derived.integers(values.as_le_slice(store), validity.as_le_slice(store)))
    })?;
    derive.func_wrap("append-codes", |store: Store<'_>, (column, codes, validity): (u32, WasmList<u32>, WasmList<u8>)| {
        append(store, column, |store, derived| derived.codes(codes.as_le_slice(store), validity.as_le_slice(store)))
    })
}

/// Takes derived column `index` out of the state while the guest's memory is read.
fn append(
    mut store: Store<'_>,
    index: u32,
    take: impl FnOnce(&Store<'_>, &mut Derived) -> Result<(), GuestFailure>,
) -> wasmtime::Result<()> {
    let mut all = std::mem::take(&mut store.data_mut().derived);
    let held = all.iter().filter(|d| d.has_begun()).map(Derived::bytes).fold(0, u64::saturating_add);
    let taken = match usize::try_from(index).ok().and_then(|i| all.get_mut(i)) {
        Some(derived) => {
            // Before the first value is kept: room for the whole column is reserved then.
            let more = if derived.has_begun() { 0 } else { derived.bytes() };
            LimitExceeded::check("output_bytes_max", Limits::STANDARD.output_bytes_max, held, more)
                .map_err(GuestFailure::from)
                .and_then(|()| take(&store, derived))
        }
        None => Err(GuestFailure::Limit(LimitExceeded {
            name: "declared_columns".to_owned(),
            limit: all.len() as u64,
            current: index.into(),
            requested: 1,
        })),
    };
    store.data_mut().derived = all;
    taken.map_err(end)
}
