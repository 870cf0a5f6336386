//! What a fusebox module links. A module reads the granted columns of a fused view, may derive columns that it declared, and
//! asks the host for tables or hands in a typed model. It has no files, no network, no clock, and no other way to say a thing.
//!
//! ```ignore
//! use fusebox_guest::{Error, View, table};
//!
//! fusebox_guest::module! {
//!     name: "delay_by_wind",
//!     version: "0.1.0",
//!     derived: { "wind_band": category["calm", "strong"] },
//!     tables: { "delay_by_wind": ["flights", "delay_mean"] },
//!     run: run,
//! }
//!
//! fn run(view: &View) -> Result<(), Error> {
//!     let wind = view.number("wind_speed")?;
//!     view.derive_category("wind_band", |rows, out| {
//!         for speed in wind.read(rows).iter() {
//!             out.push(speed.map(|s| u32::from(s >= 20_00)));
//!         }
//!     })?;
//!     table("delay_by_wind").keys(["wind_band"]).count("flights").mean("delay_mean", "dep_delay").request();
//!     Ok(())
//! }
//! ```
//!
//! A module for the private door, which maps one block of privacy units at a time to a vector, is declared with [`fold!`](crate::fold!);
//! one that answers a closed question about one subject with [`verify!`](crate::verify!).
//!
//! On the author's own machine a module compiles too, so that its arithmetic can be tested; calls to the host abort there.
//! The interfaces themselves, for any language: `wit/fusebox.wit`, `wit/fold/fold.wit`, `wit/verify/verify.wit`.

mod ask;
mod column;
pub mod fold;
mod manifest;
mod models;
pub mod verify;
mod view;

pub use ask::{Margins, Table, log, seed, table};
pub use column::{Category, Codes, IntegerColumn, Integers, Validity};
pub use manifest::{Declared, bytes};
pub use models::{Activation, Feature, Layer, Link, Tree};
pub use view::{Out, Rows, View};

/// Bindings made from `wit/fusebox.wit`.
#[allow(missing_docs, unsafe_code)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "analysis",
        pub_export_macro: true,
        export_macro_name: "export_analysis",
        default_bindings_module: "fusebox_guest::bindings",
    });
}

/// Why a module gives up. The text reaches its author where the rows are synthetic, nobody elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self(text)
    }
}
