//! What a module hands back: floods, numbers that are none, columns that are not as declared.

use super::Class::{DerivedColumns, Floats, Flood};
use super::Covers::{Import, Limit, Reply};
use super::Expect::{EngineLimit, Failed, FailedLimit, FailedText, Harmless, HarmlessLog};
use super::Source::{Guest, Run};
use super::{Case, Rows, case};

pub const CASES: &[Case] = &[
    case("log-flood", Flood, &[Limit("log_bytes_max"), Import("job#log"), Reply("Log")],
        Run("", "(local $i i32) (loop $l (call $log (i32.const 0) (i32.const 4000)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))"),
        HarmlessLog(65536)),
    case("log-of-one-large-text", Flood, &[Limit("log_bytes_max"), Import("job#log")],
        Run("", "(call $log (i32.const 0) (i32.const 1048576))"), HarmlessLog(65536)),
    case("log-larger-than-a-call-may-bring", Flood, &[Import("job#log")],
        Run("", "(drop (memory.grow (i32.const 400))) (call $log (i32.const 0) (i32.const 20000000))"), FailedLimit("hostcall_bytes_max")),
    case("log-flood-on-real-rows", Flood, &[Limit("log_bytes_max")], Guest("misbehaves", 25), Harmless("")).on(Rows::Real),
    case("error-text-flood", Flood, &[Limit("error_bytes_max")],
        Run("(data (i32.const 2048) \"\\01\\00\\00\\00\\00\\00\\00\\00\\00\\00\\10\\00\")", "(return (i32.const 2048))"), FailedText(4096)),
    case("table-flood", Flood, &[Import("tables#request")],
        Run("", "(local $i i32)
            (loop $l (i32.store8 (i32.const 1048) (i32.add (i32.const 97) (local.get $i)))
                (call $request (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1104) (i32.const 1) (i32.const 0))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 17))))"),
        FailedLimit("tables_max")),
    case("key-flood", Flood, &[Import("tables#request")],
        Run("", "(local $i i32)
            (loop $l (i64.store offset=8192 (local.get $i) (i64.load (i32.const 1152)))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 56))))
            (call $request (i32.const 1048) (i32.const 1) (i32.const 8192) (i32.const 7) (i32.const 1104) (i32.const 1) (i32.const 0))"),
        FailedLimit("table_keys_max")),
    case("measure-flood", Flood, &[Import("tables#request")],
        Run("", "(call $request (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 8192) (i32.const 17) (i32.const 0))"),
        FailedLimit("table_measures_max")),
    case("model-flood", Flood, &[Import("models#submit-linear")],
        Run("", "(local $i i32)
            (loop $l (i32.store8 (i32.const 1048) (i32.add (i32.const 97) (local.get $i)))
                (call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const 0))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))"),
        FailedLimit("models_max")),
    case("coefficient-flood", Flood, &[Import("models#submit-linear")],
        Run("", "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 8192) (i32.const 4097) (f64.const 0))"),
        FailedLimit("model_coefficients_max")),
    case("columns-larger-than-all-may-be", Flood, &[Import("derive#append-integers")],
        Run("", "(call $append_integers (i32.const 1) (i32.const 4096) (i32.const 8) (i32.const 0) (i32.const 0))"),
        FailedLimit("output_bytes_max")).on(Rows::Vast),
    case("table-of-a-billion-cells", Flood, &[Import("tables#request"), Reply("Table")],
        Run("(data (i32.const 2048) \"kakbkckdke\") (data (i32.const 8192)
                \"\\00\\08\\00\\00\\02\\00\\00\\00\\02\\08\\00\\00\\02\\00\\00\\00\\04\\08\\00\\00\\02\\00\\00\\00\\06\\08\\00\\00\\02\\00\\00\\00\\08\\08\\00\\00\\02\\00\\00\\00\")",
            "(call $request (i32.const 1048) (i32.const 1) (i32.const 8192) (i32.const 5) (i32.const 1104) (i32.const 1) (i32.const 0))"),
        EngineLimit("table_cells_max")).on(Rows::Wide),
    case("coefficient-not-a-number", Floats, &[Import("models#submit-linear")],
        Run("(data (i32.const 1168) \"\\01\\00\\00\\00\\00\\00\\f0\\7f\")",
            "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const 0))"),
        Failed("Model")),
    case("intercept-with-a-payload", Floats, &[Import("models#submit-linear")],
        Run("", "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const nan:0x123456789abcd))"),
        Failed("Model")),
    case("intercept-infinite", Floats, &[Import("models#submit-linear")],
        Run("", "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const -inf))"),
        Failed("Model")),
    case("zero-with-a-sign", Floats, &[Import("models#submit-linear"), Reply("Model")],
        Run("(data (i32.const 1168) \"\\00\\00\\00\\00\\00\\00\\00\\80\")",
            "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const -0.0))"),
        Harmless("model t [0.0, 0.0]")),
    case("missing-value-has-one-nan", Floats, &[Import("view#read-numbers")],
        Run("", "(call $read_numbers (i32.const 0) (i64.const 3) (i32.const 1) (i32.const 64)) (call $number (i64.load (i32.load (i32.const 64))))"),
        Harmless("log 9221120237041090560")),
    case("nan-of-a-sum-tells-nothing-of-the-machine", Floats, &[Import("view#read-numbers")],
        Run("", "(call $read_numbers (i32.const 0) (i64.const 3) (i32.const 1) (i32.const 64))
            (call $number (i64.extend_i32_u (f64.eq (f64.load (i32.load (i32.const 64))) (f64.load (i32.load (i32.const 64))))))"),
        Harmless("log 0")),
    case("model-of-no-feature", Floats, &[Import("models#submit-linear")],
        Run("", "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (f64.const 0))"),
        Failed("Model")),
    case("model-of-a-column-not-granted", Floats, &[Import("models#submit-linear")],
        Run("(data (i32.const 1024) \"secret\")",
            "(call $submit (i32.const 1048) (i32.const 1) (i32.const 0) (i32.const 1160) (i32.const 1) (i32.const 1168) (i32.const 1) (f64.const 0))"),
        Failed("Model")),
    case("column-with-one-row-too-many", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 1001) (i32.const 0) (i32.const 0))"), Failed("Derived")),
    case("column-cut-inside-a-byte", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 3) (i32.const 0) (i32.const 0))
            (call $append_codes (i32.const 0) (i32.const 4096) (i32.const 997) (i32.const 0) (i32.const 0))"), Failed("Derived")),
    case("column-without-its-end", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 992) (i32.const 0) (i32.const 0))"), Failed("Derived")),
    case("code-of-the-largest-number", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(i32.store (i32.const 4096) (i32.const -1)) (call $append_codes (i32.const 0) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0))"),
        Failed("Derived")),
    case("number-below-its-bounds", DerivedColumns, &[Import("derive#append-integers")],
        Run("", "(i64.store (i32.const 8192) (i64.const -1)) (call $append_integers (i32.const 1) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0))"),
        Failed("Derived")),
    case("number-of-the-smallest-there-is", DerivedColumns, &[Import("derive#append-integers")],
        Run("", "(i64.store (i32.const 4096) (i64.const 0x8000000000000000)) (call $append_integers (i32.const 1) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0))"),
        Failed("Derived")),
    case("validity-longer-than-its-rows", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 8) (i32.const 64) (i32.const 1000))"), Failed("Derived")),
    case("column-of-nothing-a-hundred-thousand-times", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(local $i i32) (loop $l (call $append_codes (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))"), Harmless("")),
    case("column-whole-and-then-more", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0))
            (call $append_codes (i32.const 0) (i32.const 4096) (i32.const 8) (i32.const 0) (i32.const 0))"), Failed("Derived")),
    case("column-whole-and-then-a-trap", DerivedColumns, &[Import("derive#append-codes")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0)) unreachable"), Failed("Trap")),
    case("column-whole", DerivedColumns, &[Import("derive#append-codes"), Reply("Derived"), Reply("Finished")],
        Run("", "(call $append_codes (i32.const 0) (i32.const 4096) (i32.const 1000) (i32.const 0) (i32.const 0))"), Harmless("derived band")),
];
