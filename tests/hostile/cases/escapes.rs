//! A worker that someone took over: every kind of frame, said wrongly. Nothing it says is believed before it is checked.

use super::Class::EscapedWorker;
use super::Covers::{Limit, Reply};
use super::Expect::{Failed, FailedLimit, Harmless, NotBelieved, Refused, Stopped};
use super::Source::Escaped;
use super::{Case, Escape as E, Rows, case};

pub const CASES: &[Case] = &[
    case("escaped-says-garbage", EscapedWorker, &[], Escaped(E::Garbage), NotBelieved("Frame")),
    case("escaped-says-nothing", EscapedWorker, &[], Escaped(E::Silence), Stopped),
    case("escaped-hangs-up", EscapedWorker, &[], Escaped(E::EarlyEnd), NotBelieved("Frame")),
    case("escaped-announces-a-huge-frame", EscapedWorker, &[Limit("frame_bytes_max")], Escaped(E::HugeFrame), NotBelieved("Frame")),
    case(
        "escaped-announces-many-descriptors",
        EscapedWorker,
        &[Limit("frame_descriptors_max")],
        Escaped(E::ManyDescriptors),
        NotBelieved("Frame"),
    ),
    case(
        "escaped-sends-frames-without-end",
        EscapedWorker,
        &[Limit("frame_reads_burst_max"), Limit("frame_reads_per_second_max"), Reply("Log")],
        Escaped(E::ManyFrames),
        NotBelieved("Frame"),
    ),
    case(
        "escaped-derives-an-undeclared-column",
        EscapedWorker,
        &[Reply("Derived")],
        Escaped(E::DerivedUndeclared),
        NotBelieved("OutOfTurn"),
    ),
    case("escaped-derives-a-column-twice", EscapedWorker, &[Reply("Derived")], Escaped(E::DerivedTwice), Failed("Derived")),
    case("escaped-derives-without-memory", EscapedWorker, &[Reply("Derived")], Escaped(E::DerivedWithoutMemory), NotBelieved("OutOfTurn")),
    case("escaped-derives-in-open-memory", EscapedWorker, &[Reply("Derived")], Escaped(E::DerivedUnsealed), NotBelieved("Memory")),
    case(
        "escaped-derives-a-huge-column",
        EscapedWorker,
        &[Reply("Derived"), Limit("column_bytes_max")],
        Escaped(E::DerivedHuge),
        NotBelieved("Memory"),
    ),
    case(
        "escaped-derives-with-two-descriptors",
        EscapedWorker,
        &[Reply("Derived")],
        Escaped(E::DerivedWithTwoDescriptors),
        NotBelieved("OutOfTurn"),
    ),
    case("escaped-asks-for-many-tables", EscapedWorker, &[Reply("Table")], Escaped(E::TableBeyondLimit), FailedLimit("tables_max")),
    case("escaped-names-a-table-as-it-likes", EscapedWorker, &[Reply("Table")], Escaped(E::TableNotDeclared), Failed("Table")),
    case("escaped-asks-for-a-table-twice", EscapedWorker, &[Reply("Table")], Escaped(E::TableTwice), Failed("Table")),
    case("escaped-asks-for-an-empty-table", EscapedWorker, &[Reply("Table")], Escaped(E::TableWithoutMeasure), Failed("Table")),
    case("escaped-submits-no-number", EscapedWorker, &[Reply("Model")], Escaped(E::ModelNotFinite), Failed("Model")),
    case("escaped-names-a-model", EscapedWorker, &[Reply("Model")], Escaped(E::ModelNotDeclared), Failed("Model")),
    case("escaped-submits-many-models", EscapedWorker, &[Reply("Model")], Escaped(E::ModelsBeyondLimit), FailedLimit("models_max")),
    case(
        "escaped-logs-too-much",
        EscapedWorker,
        &[Reply("Log"), Limit("log_bytes_max")],
        Escaped(E::LogBeyondLimit),
        NotBelieved("OutOfTurn"),
    ),
    case("escaped-logs-on-real-rows", EscapedWorker, &[Reply("Log")], Escaped(E::LogOnRealRows), NotBelieved("OutOfTurn")).on(Rows::Real),
    case("escaped-logs-with-a-descriptor", EscapedWorker, &[Reply("Log")], Escaped(E::LogWithDescriptor), NotBelieved("OutOfTurn")),
    case("escaped-finishes-at-once", EscapedWorker, &[Reply("Finished")], Escaped(E::FinishedAtOnce), Harmless("")),
    case("escaped-fails-internally", EscapedWorker, &[Reply("Failed")], Escaped(E::FailedInternally), Failed("Internal")),
    case("escaped-compiler-hands-in-huge-code", EscapedWorker, &[Limit("code_bytes_max")], Escaped(E::CodeHuge), NotBelieved("Memory")),
    case("escaped-compiler-hands-in-open-memory", EscapedWorker, &[], Escaped(E::CodeUnsealed), NotBelieved("Memory")),
    case("escaped-compiler-hands-in-nothing", EscapedWorker, &[], Escaped(E::CodeMissing), NotBelieved("OutOfTurn")),
    case("escaped-compiler-invents-a-manifest", EscapedWorker, &[], Escaped(E::ManifestInvalid), Refused("Manifest")),
    case("escaped-compiler-gives-up", EscapedWorker, &[], Escaped(E::CompilerFailed), Refused("Compiler")),
];
