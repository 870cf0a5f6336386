//! A fold: one block of privacy units in, one vector out; noised sums in, the next state out.
//!
//! ```ignore
//! use fusebox_guest::fold::{Block, Contribution};
//!
//! fusebox_guest::fold! {
//!     name: "women_and_years",
//!     version: "0.1.0",
//!     columns: { "age": number(0), "sex": category["Female", "Male"] },
//!     dimension: 2,
//!     state: 2,
//!     contribute: contribute,
//!     update: update,
//! }
//!
//! const AGE: usize = column("age");
//! const SEX: usize = column("sex");
//!
//! fn contribute(_state: &[f64], block: &Block) -> Contribution {
//!     let women = (0..block.rows()).filter(|row| block.label(SEX, *row) == Some(0)).count();
//!     let years: f64 = (0..block.rows()).filter_map(|row| block.number(AGE, row)).sum();
//!     Contribution::from([women as f64, years])
//! }
//!
//! fn update(_round: u32, _state: &[f64], noised: &[f64]) -> Vec<f64> {
//!     noised.to_vec()
//! }
//! ```
//!
//! Every block runs in an instance of its own, tens of thousands a second: memory is handed out in one direction and never taken back
//! ([`Bump`]), and a small stack (`build.rs`: `cargo::rustc-link-arg-cdylib=-zstack-size=16384`) makes an instance cheap to begin.

mod block;
mod bump;
mod manifest;

pub use block::{Block, Contribution};
pub use bump::Bump;
pub use manifest::position;

/// Bindings made from `wit/fold/fold.wit`.
#[allow(missing_docs, unsafe_code, clippy::too_many_arguments)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/fold",
        world: "fold",
        pub_export_macro: true,
        export_macro_name: "export_fold",
        default_bindings_module: "fusebox_guest::fold::bindings",
    });
}
