//! Memories, tables, recursion, state.

use super::Class::{ClockAndRandomness, Memory, Recursion, State, Table};
use super::Covers::{Import, Limit};
use super::Expect::{Failed, FailedLimit, Harmless, RefusedLimit};
use super::Source::{Beside, Core, Generated, Run};
use super::{Case, Generated as G, Rows, case};

pub const CASES: &[Case] = &[
    case(
        "memory-initial-beyond",
        Memory,
        &[],
        Core("(module %imports% (memory (export \"memory\") 16385))"),
        RefusedLimit("guest_memory_bytes_max"),
    ),
    case(
        "memory-grow-at-once",
        Memory,
        &[Limit("guest_memory_bytes_max")],
        Run("", "(call $number (i64.extend_i32_s (memory.grow (i32.const 16384))))"),
        Harmless("log -1"),
    ),
    case(
        "memory-grow-page-by-page",
        Memory,
        &[Limit("guest_memory_bytes_max")],
        Run("", "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (call $number (i64.extend_i32_u (memory.size)))"),
        Harmless("log 16384"),
    ),
    case(
        "memory-grow-then-trap",
        Memory,
        &[],
        Run("", "(drop (memory.grow (i32.const 65535))) unreachable"),
        FailedLimit("guest_memory_bytes_max"),
    ),
    case(
        "memory-grow-by-everything",
        Memory,
        &[],
        Run("", "(call $number (i64.extend_i32_s (memory.grow (i32.const -1))))"),
        Harmless("log -1"),
    ),
    case("memory-of-many-modules", Memory, &[], Generated(G::Memories { count: 17 }), RefusedLimit("guest_memories_max")),
    case(
        "memory-of-many-instances",
        Memory,
        &[],
        Generated(G::Instances { tables: 0, memories: 1, count: 17 }),
        FailedLimit("guest_memories_max"),
    ),
    case(
        "memory-shared-out-to-instances",
        Memory,
        &[],
        Beside("(core module $h (memory 9600)) (core instance (instantiate $h)) (core instance (instantiate $h))"),
        FailedLimit("guest_memory_bytes_max"),
    ),
    case("memory-load-at-the-end", Memory, &[], Run("", "(drop (i64.load offset=4294967295 (i32.const -1)))"), Failed("Trap")),
    case("memory-fill-beyond", Memory, &[], Run("", "(memory.fill (i32.const 65536) (i32.const 1) (i32.const -1))"), Failed("Trap")),
    case("memory-copy-beyond", Memory, &[], Run("", "(memory.copy (i32.const 0) (i32.const -8) (i32.const 64))"), Failed("Trap")),
    case(
        "memory-init-beyond",
        Memory,
        &[],
        Run("(data $d \"x\")", "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 2))"),
        Failed("Trap"),
    ),
    case(
        "memory-init-after-drop",
        Memory,
        &[],
        Run("(data $d \"x\")", "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))"),
        Failed("Trap"),
    ),
    case("memory-segment-beyond", Memory, &[], Run("(data (i32.const 1048576) \"x\")", ""), Failed("Trap")),
    case("memory-vector-store-beyond", Memory, &[], Run("", "(v128.store (i32.const 1048568) (v128.const i64x2 1 1))"), Failed("Trap")),
    case("table-initial-beyond", Table, &[], Core("(module %imports% (table 100001 funcref))"), RefusedLimit("guest_table_elements_max")),
    case(
        "table-grow-at-once",
        Table,
        &[Limit("guest_table_elements_max")],
        Run("(table $t 1 funcref)", "(call $number (i64.extend_i32_s (table.grow $t (ref.null func) (i32.const 100000))))"),
        Harmless("log -1"),
    ),
    case(
        "table-grow-then-trap",
        Table,
        &[],
        Run("(table $t 1 funcref)", "(drop (table.grow $t (ref.null func) (i32.const -1))) unreachable"),
        FailedLimit("guest_table_elements_max"),
    ),
    case(
        "table-of-many-instances",
        Table,
        &[],
        Generated(G::Instances { tables: 90, memories: 0, count: 3 }),
        FailedLimit("guest_tables_max"),
    ),
    case(
        "table-of-many-modules",
        Table,
        &[],
        Generated(G::Instances { tables: 100, memories: 0, count: 0 }),
        RefusedLimit("guest_tables_max"),
    ),
    case(
        "table-shared-out-to-instances",
        Table,
        &[],
        Beside("(core module $h (table 60000 funcref)) (core instance (instantiate $h)) (core instance (instantiate $h))"),
        FailedLimit("guest_table_elements_max"),
    ),
    case(
        "table-call-of-another-type",
        Table,
        &[],
        Run("(table funcref (elem $seed)) (type $t (func (param i64)))", "(call_indirect (type $t) (i64.const 1) (i32.const 0))"),
        Failed("Trap"),
    ),
    case(
        "table-call-of-nothing",
        Table,
        &[],
        Run("(table 8 funcref) (type $t (func))", "(call_indirect (type $t) (i32.const 7))"),
        Failed("Trap"),
    ),
    case(
        "table-call-beyond",
        Table,
        &[],
        Run("(table 8 funcref) (type $t (func))", "(call_indirect (type $t) (i32.const -1))"),
        Failed("Trap"),
    ),
    case(
        "table-fill-beyond",
        Table,
        &[],
        Run("(table $t 8 funcref)", "(table.fill $t (i32.const 1) (ref.null func) (i32.const 8))"),
        Failed("Trap"),
    ),
    case(
        "recursion-plain",
        Recursion,
        &[],
        Run("(func $r (param i64) (result i64) (i64.add (call $r (local.get 0)) (call $seed)))", "(call $number (call $r (i64.const 1)))"),
        FailedLimit("guest_stack_bytes_max"),
    ),
    case(
        "recursion-mutual",
        Recursion,
        &[],
        Run("(func $a (call $b) (call $b)) (func $b (call $a) (call $a))", "(call $a)"),
        FailedLimit("guest_stack_bytes_max"),
    ),
    case(
        "recursion-indirect",
        Recursion,
        &[],
        Run("(type $t (func)) (table funcref (elem $r)) (func $r (call_indirect (type $t) (i32.const 0)) (call $r))", "(call $r)"),
        FailedLimit("guest_stack_bytes_max"),
    ),
    case("recursion-in-start", Recursion, &[], Run("(func $r (call $r) (call $r)) (start $r)", ""), FailedLimit("guest_stack_bytes_max")),
    case(
        "recursion-in-realloc",
        Recursion,
        &[Import("view#columns")],
        Core(
            "(module %imports% (memory (export \"memory\") 1)
            (func $r (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                (i32.add (call $r (local.get 0) (local.get 1) (local.get 2) (local.get 3)) (i32.const 1)))
            (func (export \"run\") (result i32) (call $columns (i32.const 64)) (i32.const 0)))",
        ),
        FailedLimit("guest_stack_bytes_max"),
    ),
    case(
        "state-in-memory",
        State,
        &[],
        Run("", "(i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1))) (call $number (i64.load (i32.const 512)))"),
        Harmless("log 1"),
    ),
    case(
        "state-in-a-global",
        State,
        &[],
        Run(
            "(global $g (mut i64) (i64.const 0))",
            "(global.set $g (i64.add (global.get $g) (i64.const 1))) (call $number (global.get $g))",
        ),
        Harmless("log 1"),
    ),
    case(
        "state-in-a-table",
        State,
        &[],
        Run(
            "(table $t 1 funcref) (elem declare func $seed)",
            "(call $number (i64.extend_i32_u (ref.is_null (table.get $t (i32.const 0))))) (table.set $t (i32.const 0) (ref.func $seed))",
        ),
        Harmless("log 1"),
    ),
    case(
        "state-in-grown-memory",
        State,
        &[],
        Run("", "(call $number (i64.extend_i32_u (memory.size))) (drop (memory.grow (i32.const 100)))"),
        Harmless("log 16"),
    ),
    case(
        "state-of-others-in-fresh-memory",
        State,
        &[],
        Run(
            "",
            "(local $a i32) (local $sum i64) (drop (memory.grow (i32.const 1000))) (local.set $a (i32.const 1048576))
            (loop $l (local.set $sum (i64.or (local.get $sum) (i64.load (local.get $a))))
                (br_if $l (i32.lt_u (local.tee $a (i32.add (local.get $a) (i32.const 8))) (i32.const 66584576))))
            (call $number (local.get $sum))",
        ),
        Harmless("log 0"),
    ),
    case("the-seed-is-the-job-s", ClockAndRandomness, &[Import("job#seed")], Run("", "(call $number (call $seed))"), Harmless("log 42")),
    case(
        "the-seed-does-not-move",
        ClockAndRandomness,
        &[Import("job#seed")],
        Run("", "(call $number (i64.sub (call $seed) (call $seed)))"),
        Harmless("log 0"),
    ),
    case("nothing-is-said-on-real-rows", ClockAndRandomness, &[Import("job#log")], Run("", "(call $number (call $seed))"), Harmless(""))
        .on(Rows::Real),
];
