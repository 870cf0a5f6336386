//! Every feature of WebAssembly that is off. The worker's own test shows that each module is valid where its feature is on.

use super::Class::Feature as F;
use super::Covers::Feature;
use super::Expect::Refused;
use super::Source::{Bare, Bytes, Component};
use super::{Case, case};

const OFF: super::Expect = Refused("Invalid");

pub const CASES: &[Case] = &[
    case("feature-threads-memory", F, &[Feature("threads")], Bare("(module (memory 1 1 shared))"), OFF),
    case(
        "feature-threads-atomics",
        F,
        &[Feature("threads")],
        Bare("(module (memory 1) (func (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))"),
        OFF,
    ),
    case(
        "feature-threads-wait",
        F,
        &[Feature("threads")],
        Bare("(module (memory 1) (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"),
        OFF,
    ),
    case("feature-shared-everything", F, &[Feature("shared_everything_threads")], Bare("(module (type (shared (func))))"), OFF),
    case(
        "feature-relaxed-simd",
        F,
        &[Feature("relaxed_simd")],
        Bare("(module (func (drop (f32x4.relaxed_madd (v128.const i64x2 0 0) (v128.const i64x2 0 0) (v128.const i64x2 0 0)))))"),
        OFF,
    ),
    case("feature-tail-call", F, &[Feature("tail_call")], Bare("(module (func $f (return_call $f)))"), OFF),
    case(
        "feature-tail-call-indirect",
        F,
        &[Feature("tail_call")],
        Bare("(module (table 1 funcref) (func $f (return_call_indirect (i32.const 0))))"),
        OFF,
    ),
    case("feature-multi-memory", F, &[Feature("multi_memory")], Bare("(module (memory 1) (memory 1))"), OFF),
    case("feature-exceptions-tag", F, &[Feature("exceptions")], Bare("(module (tag))"), OFF),
    case("feature-exceptions-throw", F, &[Feature("exceptions")], Bare("(module (func (block $h (try_table (catch_all $h)))))"), OFF),
    case("feature-exceptions-legacy", F, &[Feature("legacy_exceptions")], Bare("(module (func try catch_all end))"), OFF),
    case("feature-memory64", F, &[Feature("memory64")], Bare("(module (memory i64 1))"), OFF),
    case("feature-table64", F, &[Feature("memory64")], Bare("(module (table i64 1 funcref))"), OFF),
    case(
        "feature-function-references",
        F,
        &[Feature("function_references")],
        Bare("(module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))"),
        OFF,
    ),
    case(
        "feature-memory-control",
        F,
        &[Feature("memory_control")],
        Bare("(module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0))))"),
        OFF,
    ),
    case("feature-gc-struct", F, &[Feature("gc")], Bare("(module (type (struct (field i32))))"), OFF),
    case("feature-gc-array", F, &[Feature("gc")], Bare("(module (type (array i64)))"), OFF),
    case("feature-gc-i31", F, &[Feature("gc")], Bare("(module (func (drop (ref.i31 (i32.const 0)))))"), OFF),
    case("feature-gc-rec", F, &[Feature("gc")], Bare("(module (rec (type (func)) (type (func))))"), OFF),
    case("feature-gc-types", F, &[Feature("gc_types")], Bare("(module (func (param externref)))"), OFF),
    case("feature-custom-page-sizes", F, &[Feature("custom_page_sizes")], Bare("(module (memory 1 (pagesize 1)))"), OFF),
    case("feature-stack-switching", F, &[Feature("stack_switching")], Bare("(module (type $f (func)) (type (cont $f)))"), OFF),
    case(
        "feature-wide-arithmetic",
        F,
        &[Feature("wide_arithmetic")],
        Bare("(module (func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0))))"),
        OFF,
    ),
    case(
        "feature-custom-descriptors",
        F,
        &[Feature("custom_descriptors")],
        Bare("(module (rec (type (descriptor 1) (struct)) (type (describes 0) (struct))))"),
        OFF,
    ),
    case(
        "feature-compact-imports",
        F,
        &[Feature("compact_imports")],
        Bytes(b"\0asm\x01\0\0\0\x02\x0b\x01\x01\x61\0\x7f\x01\x01\x62\x02\0\x01"),
        OFF,
    ),
    case(
        "feature-component-values",
        F,
        &[Feature("cm_values")],
        Component("(component (import \"v\" (value $v string)) (export \"w\" (value $v)))"),
        OFF,
    ),
    case("feature-component-nested-names", F, &[Feature("cm_nested_names")], Component("(component (import \"a:b:c/d\" (func)))"), OFF),
    case("feature-component-async", F, &[Feature("cm_async")], Component("(component (type (stream u8)))"), OFF),
    case("feature-component-async-lift", F, &[Feature("cm_async")], Component("(component (core func (canon task.cancel)))"), OFF),
    case(
        "feature-component-async-stackful",
        F,
        &[Feature("cm_async_stackful")],
        Component(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func async (canon lift (core func $i \"f\") async)))",
        ),
        OFF,
    ),
    case(
        "feature-component-more-async-builtins",
        F,
        &[Feature("cm_more_async_builtins")],
        Component("(component (core func (canon subtask.cancel async)))"),
        OFF,
    ),
    case("feature-component-threading", F, &[Feature("cm_threading")], Component("(component (core func (canon thread.index)))"), OFF),
    case("feature-component-error-context", F, &[Feature("cm_error_context")], Component("(component (type error-context))"), OFF),
    case(
        "feature-component-fixed-length-lists",
        F,
        &[Feature("cm_fixed_length_lists")],
        Component("(component (type (list u8 1073741823)))"),
        OFF,
    ),
    case(
        "feature-component-gc",
        F,
        &[Feature("cm_gc")],
        Component(
            "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func (canon lift (core func $i \"f\") gc)))",
        ),
        OFF,
    ),
    case("feature-component-map", F, &[Feature("cm_map")], Component("(component (type (map string u8)))"), OFF),
    case(
        "feature-component-64-bit",
        F,
        &[Feature("cm64")],
        Component(
            "(component (core module $m (memory (export \"m\") i64 1) (func (export \"f\") (param i64 i64))
            (func (export \"r\") (param i64 i64 i64 i64) (result i64) unreachable))
            (core instance $i (instantiate $m))
            (func (param \"a\" string) (canon lift (core func $i \"f\") (memory $i \"m\") (realloc (func $i \"r\")))))",
        ),
        OFF,
    ),
    case(
        "feature-component-implements",
        F,
        &[Feature("cm_implements")],
        Component("(component (import \"x\" (implements \"a:b/c\") (instance)))"),
        OFF,
    ),
    case(
        "feature-component-canonical-names",
        F,
        &[Feature("cm_canon_names")],
        Component("(component (import \"a:b/c@1\" (versionsuffix \".0.0\") (instance)))"),
        OFF,
    ),
];
