//! The module's declaration, written into the module itself so that its signed digest covers it.

/// A derived column as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// Labels of a category; empty for a number.
    pub labels: &'static [&'static str],
}

/// The bytes of `text`, for a static of exactly that length.
#[doc(hidden)]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let from = text.as_bytes();
    let mut to = [0u8; N];
    let mut i = 0;
    while i < N {
        to[i] = from[i];
        i += 1;
    }
    to
}

/// Declares the module and its entry: name, version, derived columns, names of models, tables (each may be left out) and a
/// `fn(&View) -> Result<(), Error>`.
///
/// A derived column is `"name": category["label", …]` or `"name": number(scale, min, max)`, the bounds in stored integers. A table is
/// `"name": ["measure", …]`, its measures in the order in which it asks for them: a table of other names is refused.
/// Names are `[a-z][a-z0-9_]*`. Texts are plain string literals.
#[macro_export]
macro_rules! module {
    (name: $name:literal, version: $version:literal, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: {}, models: [], tables: {}, run: $run }
    };
    (name: $name:literal, version: $version:literal, derived: $derived:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: $derived, models: [], tables: {}, run: $run }
    };
    (name: $name:literal, version: $version:literal, models: $models:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: {}, models: $models, tables: {}, run: $run }
    };
    (name: $name:literal, version: $version:literal, tables: $tables:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: {}, models: [], tables: $tables, run: $run }
    };
    (name: $name:literal, version: $version:literal, derived: $derived:tt, models: $models:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: $derived, models: $models, tables: {}, run: $run }
    };
    (name: $name:literal, version: $version:literal, derived: $derived:tt, tables: $tables:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: $derived, models: [], tables: $tables, run: $run }
    };
    (name: $name:literal, version: $version:literal, models: $models:tt, tables: $tables:tt, run: $run:path $(,)?) => {
        $crate::module! { name: $name, version: $version, derived: {}, models: $models, tables: $tables, run: $run }
    };
    (
        name: $name:literal, version: $version:literal,
        derived: { $($column:literal : $kind:ident $arguments:tt),* $(,)? },
        models: [ $($model:literal),* $(,)? ],
        tables: { $($table:literal : [ $($measure:literal),+ $(,)? ]),* $(,)? },
        run: $run:path $(,)?
    ) => {
        /// JSON of the `fusebox.manifest` section.
        #[doc(hidden)]
        pub const FUSEBOX_MANIFEST: &str = concat!(
            $crate::__manifest!([$name, $version $(, $model)*] [] $([$column $kind $arguments])*),
            $crate::__tables!($([$table $($measure)+])*),
            "}"
        );

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "fusebox.manifest")]
            static SECTION: [u8; FUSEBOX_MANIFEST.len()] = $crate::bytes(FUSEBOX_MANIFEST);
        };

        struct FuseboxModule;

        impl $crate::bindings::Guest for FuseboxModule {
            fn run() -> Result<(), String> {
                const DERIVED: &[$crate::Declared] = &[
                    $($crate::Declared { name: $column, labels: $crate::__labels!($kind $arguments) }),*
                ];
                let run: fn(&$crate::View) -> Result<(), $crate::Error> = $run;
                run(&$crate::View::open(DERIVED, &[$($model),*])).map_err(|error| error.to_string())
            }
        }

        $crate::bindings::export_analysis!(FuseboxModule with_types_in $crate::bindings);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __labels {
    (category [$($label:literal),+ $(,)?]) => { &[$($label),+] };
    (number $arguments:tt) => { &[] };
}

// A string literal is spelled alike in Rust and JSON as long as it is plain, so its source text is taken.
#[doc(hidden)]
#[macro_export]
macro_rules! __manifest {
    ([$name:literal, $version:literal] [$($done:tt)*]) => {
        concat!("{\"name\":", stringify!($name), ",\"version\":", stringify!($version), ",\"derived\":[", $($done)* "]")
    };
    ([$name:literal, $version:literal, $model:literal $(, $more:literal)*] [$($done:tt)*]) => {
        concat!(
            "{\"name\":", stringify!($name), ",\"version\":", stringify!($version), ",\"derived\":[", $($done)* "],\"models\":[",
            stringify!($model), $(",", stringify!($more),)* "]"
        )
    };
    ($head:tt [] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__manifest!($head [$crate::__column!($column $kind $arguments),] $($rest)*)
    };
    ($head:tt [$($done:tt)+] [$column:literal $kind:ident $arguments:tt] $($rest:tt)*) => {
        $crate::__manifest!($head [$($done)+ ",", $crate::__column!($column $kind $arguments),] $($rest)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tables {
    () => { "" };
    ([$($first:literal)+] $([$($table:literal)+])*) => {
        concat!(",\"tables\":[", $crate::__table!($($first)+), $(",", $crate::__table!($($table)+),)* "]")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __table {
    ($table:literal $first:literal $($measure:literal)*) => {
        concat!("{\"name\":", stringify!($table), ",\"measures\":[", stringify!($first), $(",", stringify!($measure),)* "]}")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __column {
    ($column:literal number($scale:literal, $min:literal, $max:literal)) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"number\",\"scale\":", $scale, ",\"min\":", $min, ",\"max\":", $max, "}")
    };
    ($column:literal category [$first:literal $(, $label:literal)* $(,)?]) => {
        concat!("{\"name\":", stringify!($column), ",\"type\":\"category\",\"labels\":[", stringify!($first), $(",", stringify!($label),)* "]}")
    };
}
