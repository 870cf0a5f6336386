//! What does not end, and what calls where it may not.

use super::Class::{Reentrancy, Spinning};
use super::Covers::{Import, Limit};
use super::Expect::{Failed, Harmless, Stopped};
use super::Source::{Component, Core, Guest, Run};
use super::{Case, case};

pub const CASES: &[Case] = &[
    case("spin-in-run", Spinning, &[Limit("wall_ms_max")], Run("", "(loop $l (br $l))"), Stopped),
    case("spin-in-start", Spinning, &[], Run("(func $s (loop $l (br $l))) (start $s)", ""), Stopped),
    case("spin-in-realloc", Spinning, &[Import("view#columns")],
        Core("(module %imports% (memory (export \"memory\") 1)
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)
            (func (export \"run\") (result i32) (call $columns (i32.const 64)) (i32.const 0)))"),
        Stopped),
    case("spin-in-post-return", Spinning, &[],
        Core("(module %imports% %realloc% (memory (export \"memory\") 16)
            (func (export \"run\") (result i32) (i32.const 0))
            (func (export \"cabi_post_run\") (param i32) (loop $l (br $l))))"),
        Stopped),
    case("spin-over-host-calls", Spinning, &[Import("job#seed")], Run("", "(loop $l (drop (call $seed)) (br $l))"), Stopped),
    case("spin-over-reads", Spinning, &[Import("view#read-integers")],
        Run("", "(loop $l (global.set $next (i32.const 65536)) (call $read_integers (i32.const 0) (i64.const 0) (i32.const 1000) (i32.const 64)) (br $l))"),
        Stopped),
    case("spin-over-fills", Spinning, &[],
        Run("", "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 1048576)) (br $l))"), Stopped),
    case("spin-over-growth", Spinning, &[], Run("", "(loop $l (drop (memory.grow (i32.const 0))) (br $l))"), Stopped),
    case("spin-over-log", Spinning, &[Import("job#log")],
        Run("", "(loop $l (call $log (i32.const 1024) (i32.const 6)) (br $l))"), Stopped),
    case("spin-in-rust", Spinning, &[], Guest("spins", 0), Stopped),
    case("realloc-calls-an-import", Reentrancy, &[Import("view#columns"), Import("job#seed")],
        Core("(module %imports% (memory (export \"memory\") 1)
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (drop (call $seed)) (i32.const 4096))
            (func (export \"run\") (result i32) (call $columns (i32.const 64)) (i32.const 0)))"),
        Failed("Trap")),
    case("realloc-calls-what-called-it", Reentrancy, &[Import("view#columns")],
        Core("(module %imports% (memory (export \"memory\") 1)
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (call $columns (i32.const 64)) (i32.const 4096))
            (func (export \"run\") (result i32) (call $columns (i32.const 64)) (i32.const 0)))"),
        Failed("Trap")),
    case("realloc-grows-memory", Reentrancy, &[Import("view#read-integers")],
        Core("(module %imports% (memory (export \"memory\") 1)
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
            (func (export \"run\") (result i32) (call $read_integers (i32.const 0) (i64.const 0) (i32.const 8) (i32.const 64)) (i32.const 0)))"),
        Harmless("")),
    case("post-return-calls-an-import", Reentrancy, &[Import("job#seed")],
        Core("(module %imports% %realloc% (memory (export \"memory\") 16)
            (func (export \"run\") (result i32) (i32.const 0))
            (func (export \"cabi_post_run\") (param i32) (drop (call $seed))))"),
        Failed("Trap")),
    case("post-return-traps", Reentrancy, &[],
        Core("(module %imports% %realloc% (memory (export \"memory\") 16)
            (func (export \"run\") (result i32) (i32.const 0))
            (func (export \"cabi_post_run\") (param i32) unreachable))"),
        Failed("Trap")),
    case("start-calls-an-import", Reentrancy, &[Import("job#seed")],
        Run("(func $s (drop (call $seed))) (start $s)", ""), Harmless("")),
    case("start-calls-with-memory-too-early", Reentrancy, &[Import("job#log")],
        Run("(func $s (call $log (i32.const 1024) (i32.const 6))) (start $s)", ""), Failed("Trap")),
    case("start-derives-too-early", Reentrancy, &[Import("derive#append-codes")],
        Run("(func $s (call $append_codes (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0))) (start $s)", ""),
        Failed("Trap")),
    case("run-calls-itself", Reentrancy, &[],
        Component("(component
            (core module $m (import \"\" \"again\" (func $again (result i32))) (memory (export \"memory\") 1)
                (func (export \"run\") (result i32) (drop (call $again)) (i32.const 0)))
            (core module $shim (table (export \"t\") 1 funcref) (type $t (func (result i32)))
                (func (export \"again\") (result i32) (call_indirect (type $t) (i32.const 0))))
            (core module $fix (import \"\" \"t\" (table 1 funcref)) (import \"\" \"run\" (func $run (result i32)))
                (elem (i32.const 0) func $run))
            (core instance $s (instantiate $shim))
            (core instance $i (instantiate $m (with \"\" (instance (export \"again\" (func $s \"again\"))))))
            (core instance (instantiate $fix (with \"\" (instance (export \"t\" (table $s \"t\")) (export \"run\" (func $i \"run\"))))))
            (func (export \"run\") (result (result (error string))) (canon lift (core func $i \"run\") (memory $i \"memory\"))))"),
        super::Expect::FailedLimit("guest_stack_bytes_max")),
];
