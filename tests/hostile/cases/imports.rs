//! Imports that are not offered, or look like it; resources, of which the world has none; clocks and randomness.

use super::Class::{ClockAndRandomness, Handles, Import};
use super::Expect::{Refused, RefusedImport};
use super::Source::{Bare, Beside, Component, Core};
use super::{Case, case};

pub const CASES: &[Case] = &[
    case("import-wasi-clock", ClockAndRandomness, &[],
        Bare("(module (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func (param i32 i64 i32) (result i32))))"),
        RefusedImport("wasi_snapshot_preview1#clock_time_get")),
    case("import-monotonic-clock", ClockAndRandomness, &[],
        Beside("(import \"wasi:clocks/monotonic-clock@0.2.0\" (instance (export \"now\" (func (result u64)))))"),
        RefusedImport("wasi:clocks/monotonic-clock@0.2.0")),
    case("import-random", ClockAndRandomness, &[],
        Beside("(import \"wasi:random/random@0.2.0\" (instance (export \"get-random-u64\" (func (result u64)))))"),
        RefusedImport("wasi:random/random@0.2.0")),
    case("import-insecure-seed", ClockAndRandomness, &[],
        Bare("(module (import \"wasi:random/insecure-seed@0.2.0\" \"insecure-seed\" (func (param i32))))"),
        RefusedImport("wasi:random/insecure-seed@0.2.0#insecure-seed")),
    case("import-file-system", Import, &[],
        Beside("(import \"wasi:filesystem/types@0.2.0\" (instance))"), RefusedImport("wasi:filesystem/types@0.2.0")),
    case("import-sockets", Import, &[],
        Beside("(import \"wasi:sockets/tcp@0.2.0\" (instance))"), RefusedImport("wasi:sockets/tcp@0.2.0")),
    case("import-http", Import, &[],
        Beside("(import \"wasi:http/outgoing-handler@0.2.0\" (instance))"), RefusedImport("wasi:http/outgoing-handler@0.2.0")),
    case("import-memory", Import, &[], Bare("(module (import \"env\" \"memory\" (memory 1)))"), RefusedImport("env#memory")),
    case("import-table", Import, &[], Bare("(module (import \"env\" \"table\" (table 1 funcref)))"), RefusedImport("env#table")),
    case("import-global", Import, &[], Bare("(module (import \"env\" \"g\" (global i64)))"), RefusedImport("env#g")),
    case("import-of-empty-names", Import, &[], Bare("(module (import \"\" \"\" (func)))"), RefusedImport("#")),
    case("import-canonical-builtin", Import, &[],
        Bare("(module (import \"$root\" \"[resource-drop]x\" (func (param i32))))"), RefusedImport("$root#[resource-drop]x")),
    case("import-of-another-version", Import, &[],
        Core("(module (import \"fusebox:analysis/view@0.3.1\" \"rows\" (func (result i64))))"),
        RefusedImport("fusebox:analysis/view@0.3.1#rows")),
    case("import-without-version", Import, &[],
        Core("(module (import \"fusebox:analysis/view\" \"rows\" (func (result i64))))"), RefusedImport("fusebox:analysis/view#rows")),
    case("import-in-capitals", Import, &[],
        Core("(module (import \"fusebox:analysis/view@0.3.0\" \"Rows\" (func (result i64))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#Rows")),
    case("import-in-other-letters", Import, &[],
        Core("(module (import \"fusebox:analysis/vi\\d0\\b5w@0.3.0\" \"rows\" (func (result i64))))"),
        RefusedImport("fusebox:analysis/viеw@0.3.0#rows")),
    case("import-with-a-trailing-space", Import, &[],
        Core("(module (import \"fusebox:analysis/view@0.3.0\" \"rows \" (func (result i64))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#rows ")),
    case("import-with-a-hash", Import, &[],
        Core("(module (import \"fusebox:analysis/view@0.3.0#rows\" \"\" (func (result i64))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#rows#")),
    case("import-of-the-export", Import, &[],
        Beside("(import \"run\" (func (result (result (error string)))))"), RefusedImport("run")),
    case("import-of-another-core-type", Import, &[],
        Core("(module (import \"fusebox:analysis/view@0.3.0\" \"rows\" (func (result i32)))
            (memory (export \"memory\") 1) (func (export \"run\") (result i32) (i32.const 0)))"),
        Refused("MissingExport")),
    case("import-of-another-type", Import, &[],
        Beside("(import \"fusebox:analysis/view@0.3.0\" (instance (export \"rows\" (func (result u32)))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#rows")),
    case("import-of-an-invented-function", Import, &[],
        Beside("(import \"fusebox:analysis/view@0.3.0\" (instance (export \"identifiers\" (func (result u64)))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#identifiers")),
    case("import-of-a-core-module", Import, &[], Beside("(import \"m\" (core module))"), RefusedImport("m")),
    case("import-of-a-component", Import, &[], Beside("(import \"c\" (component))"), Refused("Invalid")),
    case("import-under-the-interface-s-name-of-a-function", Import, &[],
        Beside("(import \"fusebox:analysis/view@0.3.0\" (func (result u64)))"), RefusedImport("fusebox:analysis/view@0.3.0")),
    case("export-of-another-type", Import, &[],
        Component("(component (core module $m (func (export \"run\") (result i32) (i32.const 0))) (core instance $i (instantiate $m))
            (func (export \"run\") (result u32) (canon lift (core func $i \"run\"))))"),
        Refused("MissingExport")),
    case("export-of-nothing", Import, &[], Component("(component)"), Refused("MissingExport")),
    case("export-with-a-parameter", Import, &[],
        Core("(module (memory (export \"memory\") 1) (func (export \"run\") (param i32) (result i32) (i32.const 0)))"),
        Refused("MissingExport")),
    case("resource-defined", Handles, &[], Beside("(type (resource (rep i32)))"), Refused("Invalid")),
    case("resource-dropped-twice", Handles, &[],
        Beside("(type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
            (core module $h (import \"\" \"new\" (func $new (param i32) (result i32))) (import \"\" \"drop\" (func $drop (param i32)))
                (func $s (local i32) (local.set 0 (call $new (i32.const 7))) (call $drop (local.get 0)) (call $drop (local.get 0))) (start $s))
            (core instance (instantiate $h (with \"\" (instance (export \"new\" (func $new)) (export \"drop\" (func $drop))))))"),
        Refused("Invalid")),
    case("resource-forged", Handles, &[],
        Beside("(type $r (resource (rep i32))) (core func $rep (canon resource.rep $r))
            (core module $h (import \"\" \"rep\" (func $rep (param i32) (result i32)))
                (func $s (drop (call $rep (i32.const 12345)))) (start $s))
            (core instance (instantiate $h (with \"\" (instance (export \"rep\" (func $rep))))))"),
        Refused("Invalid")),
    case("resource-with-a-destructor", Handles, &[],
        Beside("(core module $d (func (export \"d\") (param i32))) (core instance $d (instantiate $d))
            (type (resource (rep i32) (dtor (func $d \"d\"))))"),
        Refused("Invalid")),
    case("resource-imported", Handles, &[],
        Beside("(import \"r\" (type $r (sub resource)))"), RefusedImport("r")),
    case("resource-of-an-offered-interface", Handles, &[],
        Beside("(import \"fusebox:analysis/view@0.3.0\" (instance (export \"view\" (type (sub resource)))
            (export \"[constructor]view\" (func (result (own 0))))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#[constructor]view")),
    case("resource-borrowed", Handles, &[],
        Beside("(import \"fusebox:analysis/view@0.3.0\" (instance (export \"view\" (type (sub resource)))
            (export \"rows\" (func (param \"of\" (borrow 0)) (result u64)))))"),
        RefusedImport("fusebox:analysis/view@0.3.0#rows")),
];
