//! The declaration of a fold.

/// Position of `name` among `names`.
///
/// # Panics
/// None is called so; in a constant the build stops.
pub const fn position(names: &[&str], name: &str) -> usize {
    let mut i = 0;
    while i < names.len() {
        if same(names[i].as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no column of this name is declared")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Declares a fold and its two functions: name, version, the columns of the view that it reads, the length of a contribution and of the
/// state, `contribute: fn(&[f64], &Block) -> Contribution` and `update: fn(u32, &[f64], &[f64]) -> Vec<f64>`.
///
/// A column is `"name": number(scale)`, `"name": category["label", …]`, `"name": date()` or `"name": hour()`. Texts are plain string
/// literals, lengths plain integer literals. In the module `column("name")` is a column's number, `DIMENSION` and `STATE` are the
/// lengths.
#[macro_export]
macro_rules! fold {
    (
        name: $name:literal, version: $version:literal,
        columns: { $($column:literal : $kind:ident $arguments:tt),* $(,)? },
        dimension: $dimension:literal, state: $state:literal,
        contribute: $contribute:path, update: $update:path $(,)?
    ) => {
        /// JSON of the `fusebox.manifest` section.
        #[doc(hidden)]
        pub const FUSEBOX_MANIFEST: &str = $crate::__fold_manifest!([$name, $version, $dimension, $state] [] $([$column $kind $arguments])*);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "fusebox.manifest")]
            static SECTION: [u8; FUSEBOX_MANIFEST.len()] = $crate::bytes(FUSEBOX_MANIFEST);

            #[global_allocator]
            static ALLOCATOR: $crate::fold::Bump = $crate::fold::Bump;
        };

        /// Length of a contribution.
        #[allow(dead_code)]
        const DIMENSION: usize = $dimension;

        /// Length of the state.
        #[allow(dead_code)]
        const STATE: usize = $state;

        /// Number of a declared column.
        #[allow(dead_code)]
        const fn column(name: &str) -> usize {
            $crate::fold::position(&[$($column),*], name)
        }

        struct FuseboxFold;

        impl $crate::fold::bindings::Guest for FuseboxFold {
            fn contribute(state: Vec<f64>, units: Vec<u32>, values: Vec<i64>, missing: Vec<u8>) -> (Vec<u32>, Vec<f64>) {
                const DIVISORS: &[f64] = &[$($crate::__fold_divisor!($kind $arguments)),*];
                let contribute: fn(&[f64], &$crate::fold::Block) -> $crate::fold::Contribution = $contribute;
                let contribution = contribute(&state, &$crate::fold::Block::new(&units, &values, &missing, DIVISORS));
                (contribution.coordinates, contribution.values)
            }

            fn update(round: u32, state: Vec<f64>, noised: Vec<f64>) -> Vec<f64> {
                let update: fn(u32, &[f64], &[f64]) -> Vec<f64> = $update;
                update(round, &state, &noised)
            }
        }

        $crate::fold::bindings::export_fold!(FuseboxFold with_types_in $crate::fold::bindings);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fold_divisor {
    (number (0)) => {
        1.0
    };
    (number (1)) => {
        1e1
    };
    (number (2)) => {
        1e2
    };
    (number (3)) => {
        1e3
    };
    (number (4)) => {
        1e4
    };
    (number (5)) => {
        1e5
    };
    (number (6)) => {
        1e6
    };
    (number (7)) => {
        1e7
    };
    (number (8)) => {
        1e8
    };
    (number (9)) => {
        1e9
    };
    (category $arguments:tt) => {
        1.0
    };
    (date ()) => {
        1.0
    };
    (hour ()) => {
        1.0
    };
}

// A string literal is spelled alike in Rust and JSON as long as it is plain, so its source text is taken.
#[doc(hidden)]
#[macro_export]
macro_rules! __fold_manifest {
    ([$name:literal, $version:literal, $dimension:literal, $state:literal] [$($done:tt)*]) => {
        concat!(
            "{\"name\":", stringify!($name), ",\"version\":", stringify!($version), ",\"fold\":{\"columns\":[", $($done)*
            "],\"dimension\":", $dimension, ",\"state\":", $state, "}}"
        )
    };
    ($head:tt [] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__fold_manifest!($head [$crate::__fold_column!($column $kind $arguments),] $($rest)*)
    };
    ($head:tt [$($done:tt)+] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__fold_manifest!($head [$($done)+ ",", $crate::__fold_column!($column $kind $arguments),] $($rest)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fold_column {
    ($column:literal number ($scale:literal)) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"number\",\"scale\":", $scale, "}")
    };
    ($column:literal category [$first:literal $(, $label:literal)* $(,)?]) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"category\",\"labels\":[", stringify!($first), $(",", stringify!($label),)* "]}")
    };
    ($column:literal date ()) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"date\"}")
    };
    ($column:literal hour ()) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"hour\"}")
    };
}
