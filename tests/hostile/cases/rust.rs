//! The behaviours of `tests/guests/misbehaves`, one a job seed, and of its neighbours.

use super::Class::{BadText, DerivedColumns, Floats, Flood, Import, Indexes, Malformed, Memory, Recursion, Spinning, State, TypesAndNames};
use super::Covers::Reply;
use super::Expect::{Failed, FailedLimit, Harmless, HarmlessLog, Refused, RefusedImport, Stopped};
use super::Source::Guest;
use super::{Case, Rows, case};

pub const CASES: &[Case] = &[
    case("rust-does-nothing", State, &[Reply("Finished")], Guest("misbehaves", 0), Harmless("")),
    case("rust-returns-an-error", BadText, &[Reply("Failed")], Guest("misbehaves", 1), Failed("Error")),
    case("rust-returns-an-error-on-real-rows", BadText, &[], Guest("misbehaves", 1), Failed("Error")).on(Rows::Real),
    case("rust-aborts", Malformed, &[], Guest("misbehaves", 2), Failed("Trap")),
    case("rust-takes-all-memory", Memory, &[], Guest("misbehaves", 3), FailedLimit("guest_memory_bytes_max")),
    case("rust-recurses", Recursion, &[], Guest("misbehaves", 4), FailedLimit("guest_stack_bytes_max")),
    case("rust-reads-beyond-the-rows", Indexes, &[], Guest("misbehaves", 5), Failed("Limit")),
    case("rust-reads-from-the-last-number", Indexes, &[], Guest("misbehaves", 6), Failed("Limit")),
    case("rust-reads-codes-of-a-number", Indexes, &[], Guest("misbehaves", 8), Failed("Trap")),
    case("rust-reads-validity-inside-a-byte", Indexes, &[], Guest("misbehaves", 9), Failed("Trap")),
    case("rust-derives-one-column-whole", DerivedColumns, &[Reply("Derived")], Guest("misbehaves", 10), Harmless("derived band")),
    case("rust-derives-a-row-too-many", DerivedColumns, &[], Guest("misbehaves", 11), Failed("Derived")),
    case("rust-derives-too-few-rows", DerivedColumns, &[], Guest("misbehaves", 12), Failed("Derived")),
    case("rust-derives-an-undeclared-label", DerivedColumns, &[], Guest("misbehaves", 13), Failed("Derived")),
    case("rust-derives-beyond-its-bounds", DerivedColumns, &[], Guest("misbehaves", 14), Failed("Derived")),
    case("rust-derives-another-type", DerivedColumns, &[], Guest("misbehaves", 15), Failed("Derived")),
    case("rust-derives-an-undeclared-column", DerivedColumns, &[], Guest("misbehaves", 16), Failed("Limit")),
    case("rust-derives-too-much-validity", DerivedColumns, &[], Guest("misbehaves", 17), Failed("Derived")),
    case("rust-asks-for-no-name", BadText, &[], Guest("misbehaves", 18), Failed("Table")),
    case("rust-asks-for-what-is-not-granted", Import, &[], Guest("misbehaves", 19), Failed("Table")),
    case("rust-asks-for-too-many-tables", Flood, &[], Guest("misbehaves", 20), FailedLimit("tables_max")),
    case("rust-names-a-table-as-it-likes", TypesAndNames, &[], Guest("misbehaves", 45), Failed("Table")),
    case("rust-names-a-measure-as-it-likes", TypesAndNames, &[], Guest("misbehaves", 46), Failed("Table")),
    case("rust-submits-no-number", Floats, &[], Guest("misbehaves", 21), Failed("Model")),
    case("rust-submits-an-unknown-feature", TypesAndNames, &[], Guest("misbehaves", 22), Failed("Model")),
    case("rust-submits-a-label-of-a-number", TypesAndNames, &[], Guest("misbehaves", 23), Failed("Model")),
    case("rust-submits-one-name-twice", TypesAndNames, &[], Guest("misbehaves", 24), Failed("Model")),
    case("rust-floods-the-log", Flood, &[Reply("Log")], Guest("misbehaves", 25), HarmlessLog(65_536)),
    case("rust-hides-values-behind-missing-ones", DerivedColumns, &[], Guest("misbehaves", 26), Harmless("derived double")),
    case("rust-reads-a-chunk-too-large", Indexes, &[], Guest("misbehaves", 27), FailedLimit("chunk_rows_max")),
    case("rust-derives-inside-a-byte", DerivedColumns, &[], Guest("misbehaves", 28), Failed("Derived")),
    case("rust-asks-for-one-table-twice", TypesAndNames, &[], Guest("misbehaves", 29), Failed("Table")),
    case("rust-submits-an-empty-model", Floats, &[], Guest("misbehaves", 30), Failed("Model")),
    case("rust-spins", Spinning, &[], Guest("misbehaves", 31), Stopped),
    case("rust-declares-a-control-character", TypesAndNames, &[], Guest("control-label", 0), Refused("Manifest")),
    case("rust-declares-nothing", TypesAndNames, &[], Guest("no-manifest", 0), Refused("Manifest")),
    case("rust-names-no-world", Import, &[], Guest("bare", 0), Refused("MissingExport")),
    case(
        "rust-imports-its-own-invention",
        Import,
        &[],
        Guest("undeclared-import", 0),
        RefusedImport("fusebox:analysis/network@0.3.0#send"),
    ),
    case("rust-imports-a-lookalike", Import, &[], Guest("lookalike-import", 0), RefusedImport("fusebox:analysis/view@0.3.0#identifiers")),
    case("rust-imports-wasi", Import, &[], Guest("wasi-import", 0), RefusedImport("wasi_snapshot_preview1#random_get")),
];
