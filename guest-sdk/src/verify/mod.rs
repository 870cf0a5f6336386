//! A verification: one subject's rows in, one label out.
//!
//! ```ignore
//! use fusebox_guest::fold::Block;
//!
//! fusebox_guest::verify! {
//!     name: "insured_for_a_year",
//!     version: "0.1.0",
//!     columns: { "month": date(), "paid": category["yes", "no"] },
//!     answer: yes_no,
//!     decide: decide,
//! }
//!
//! fn decide(rows: &Block) -> bool {
//!     (0..rows.rows()).filter(|row| rows.label(column("paid"), *row) == Some(0)).count() >= 12
//! }
//! ```
//!
//! A band is `answer: band["none", "A", "B"]`, the lowest first, and `decide` gives the number of a label (`usize`). Of a subject that is
//! not known the module sees no row, and the host answers with the first label whatever it says.

/// An answer: the number of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer(pub u32);

impl From<bool> for Answer {
    /// `no` or `yes`.
    fn from(yes: bool) -> Self {
        Self(u32::from(yes))
    }
}

impl From<usize> for Answer {
    /// The number of a label; what is none is no answer.
    fn from(label: usize) -> Self {
        Self(u32::try_from(label).unwrap_or(u32::MAX))
    }
}

/// Declares a verification and its one function: name, version, the columns of the view that it reads (as in [`fold!`](crate::fold!)), the
/// type of its answer and `decide: fn(&Block) -> bool` or `fn(&Block) -> usize`.
#[macro_export]
macro_rules! verify {
    (
        name: $name:literal, version: $version:literal,
        columns: { $($column:literal : $kind:ident $arguments:tt),* $(,)? },
        answer: $answer:ident $([$($label:literal),+ $(,)?])?,
        decide: $decide:path $(,)?
    ) => {
        /// JSON of the `fusebox.manifest` section.
        #[doc(hidden)]
        pub const FUSEBOX_MANIFEST: &str =
            $crate::__verify_manifest!([$name, $version, $answer $([$($label),+])?] [] $([$column $kind $arguments])*);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "fusebox.manifest")]
            static SECTION: [u8; FUSEBOX_MANIFEST.len()] = $crate::bytes(FUSEBOX_MANIFEST);
        };

        /// Number of a declared column.
        #[allow(dead_code)]
        const fn column(name: &str) -> usize {
            $crate::fold::position(&[$($column),*], name)
        }

        struct FuseboxVerification;

        impl $crate::verify::bindings::Guest for FuseboxVerification {
            fn answer(rows: u32, values: Vec<i64>, missing: Vec<u8>) -> u32 {
                const DIVISORS: &[f64] = &[$($crate::__fold_divisor!($kind $arguments)),*];
                let answer = $decide(&$crate::fold::Block::new(&[rows], &values, &missing, DIVISORS));
                $crate::verify::Answer::from(answer).0
            }
        }

        $crate::verify::bindings::export_verify!(FuseboxVerification with_types_in $crate::verify::bindings);
    };
}

// A string literal is spelled alike in Rust and JSON as long as it is plain, so its source text is taken.
#[doc(hidden)]
#[macro_export]
macro_rules! __verify_manifest {
    ([$name:literal, $version:literal, $answer:ident $([$first:literal $(, $label:literal)*])?] [$($done:tt)*]) => {
        concat!(
            "{\"name\":", stringify!($name), ",\"version\":", stringify!($version), ",\"verify\":{\"columns\":[", $($done)*
            "],\"answer\":", $crate::__verify_answer!($answer $([$first $(, $label)*])?), "}}"
        )
    };
    ($head:tt [] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__verify_manifest!($head [$crate::__fold_column!($column $kind $arguments),] $($rest)*)
    };
    ($head:tt [$($done:tt)+] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__verify_manifest!($head [$($done)+ ",", $crate::__fold_column!($column $kind $arguments),] $($rest)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __verify_answer {
    (yes_no) => {
        "\"yes_no\""
    };
    (band [$first:literal $(, $label:literal)*]) => {
        concat!("{\"band\":[", stringify!($first), $(",", stringify!($label),)* "]}")
    };
}

/// Bindings made from `wit/verify/verify.wit`.
#[allow(missing_docs, unsafe_code)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/verify",
        world: "verify",
        pub_export_macro: true,
        export_macro_name: "export_verify",
        default_bindings_module: "fusebox_guest::verify::bindings",
    });
}
