//! Folds by hand, for what no compiler writes: state where a language keeps none, start functions, answers that point nowhere.

/// What must come of a module, for each of the blocks that it is handed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expect {
    /// The same number from every block: what one leaves no other finds.
    Same(f64),
    /// Nothing from any.
    Nothing,
    /// The compiler's process refuses it, by this limit.
    Limit(&'static str),
    /// It is refused in another way, by kind.
    Refused(&'static str),
}
use Expect::{Limit, Nothing, Refused, Same};

/// A module that answers with one number (`$answer`), around fields and the body that finds it.
pub struct Case {
    pub name: &'static str,
    /// Fields of the core module.
    pub fields: &'static str,
    /// Instructions that leave an f64, run as `contribute`.
    pub number: &'static str,
    pub expect: Expect,
}

const fn case(name: &'static str, fields: &'static str, number: &'static str, expect: Expect) -> Case {
    Case { name, fields, number, expect }
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("good", "", "(f64.const 7)", Same(7.0)),
    case(
        "a-global-that-counts",
        "(global $n (mut i32) (i32.const 3))",
        "(global.set $n (i32.add (global.get $n) (i32.const 1))) (f64.convert_i32_s (global.get $n))",
        Same(4.0),
    ),
    case(
        "memory-that-grows",
        "",
        "(drop (memory.grow (i32.const 3))) (f64.convert_i32_s (memory.size))",
        Same(5.0),
    ),
    case(
        "a-mark-in-the-data",
        "(data (i32.const 4096) \"\\05\")",
        "(i32.store8 (i32.const 4096) (i32.add (i32.load8_u (i32.const 4096)) (i32.const 1))) (f64.convert_i32_s (i32.load8_u (i32.const 4096)))",
        Same(6.0),
    ),
    case(
        "a-mark-in-pages-to-come",
        "",
        "(drop (memory.grow (i32.const 16)))
         (f64.convert_i64_s (i64.load (i32.const 1100000))) (i64.store (i32.const 1100000) (i64.const 9))",
        Same(0.0),
    ),
    case(
        "a-table-that-grows",
        "(table $t 2 100 funcref)",
        "(drop (table.grow $t (ref.null func) (i32.const 5))) (f64.convert_i32_s (table.size $t))",
        Same(7.0),
    ),
    case(
        "a-table-that-is-filled",
        "(table $t 2 2 funcref) (func $f) (elem declare func $f)",
        "(f64.convert_i32_s (ref.is_null (table.get $t (i32.const 1)))) (table.set $t (i32.const 1) (ref.func $f))",
        Same(1.0),
    ),
    // Dropped data can be copied no more: the second block would trap.
    case(
        "a-segment-that-is-dropped",
        "(data $d \"\\2a\")",
        "(memory.init $d (i32.const 4096) (i32.const 0) (i32.const 1)) (data.drop $d) (f64.convert_i32_s (i32.load8_u (i32.const 4096)))",
        Same(42.0),
    ),
    case(
        "a-start-function",
        "(global $n (mut i32) (i32.const 0)) (func $s (global.set $n (i32.add (global.get $n) (i32.const 1)))) (start $s)",
        "(f64.convert_i32_s (global.get $n))",
        Same(1.0),
    ),
    case("a-start-function-that-spins", "(func $s (loop $l (br $l))) (start $s)", "(f64.const 7)", Nothing),
    case("a-start-function-that-traps", "(func $s unreachable) (start $s)", "(f64.const 7)", Nothing),
    case("a-loop-without-end", "", "(loop $l (br $l)) (f64.const 7)", Nothing),
    case("recursion-without-end", "(func $f (call $f))", "(call $f) (f64.const 7)", Nothing),
    case("a-fill-without-end", "", "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l)) (f64.const 7)", Nothing),
    case("a-write-beyond-memory", "", "(i64.store (i32.const -8) (i64.const 1)) (f64.const 7)", Nothing),
    case("not-a-number", "", "(f64.div (f64.const 0) (f64.const 0))", Nothing),
    case("infinity", "", "(f64.const inf)", Nothing),
    // Lists of the answer, written over by the body: coordinates at 32 and 36, values at 40 and 44.
    case("values-that-lie-nowhere", "", "(global.set $values (i32.const -8)) (f64.const 7)", Nothing),
    case("values-off-their-alignment", "", "(global.set $values (i32.const 1025)) (f64.const 7)", Nothing),
    case("values-without-end", "", "(global.set $values_len (i32.const -1)) (f64.const 7)", Nothing),
    case("values-to-the-end-of-memory", "", "(global.set $values_len (i32.const 8000)) (f64.const 7)", Nothing),
    case("no-values", "", "(global.set $values_len (i32.const 0)) (f64.const 7)", Nothing),
    case("coordinates-without-values", "", "(global.set $coordinates_len (i32.const 1)) (global.set $values_len (i32.const 0)) (f64.const 7)", Nothing),
    case("coordinates-without-end", "", "(global.set $coordinates_len (i32.const 0x3fffffff)) (f64.const 7)", Nothing),
    case("a-coordinate-that-is-none", "(data (i32.const 2048) \"\\09\")", "(global.set $coordinates_len (i32.const 1)) (f64.const 7)", Nothing),
    // The host asks for room for the lists that it brings.
    case("an-allocator-that-points-nowhere", "(func $room (result i32) (i32.const -16))", "(f64.const 7)", Nothing),
    case("an-allocator-that-spins", "(func $room (result i32) (loop $l (br $l)) (i32.const 0))", "(f64.const 7)", Nothing),
    case("an-allocator-off-its-alignment", "(func $room (result i32) (i32.const 8193))", "(f64.const 7)", Nothing),
    // 65 MiB to begin with.
    case("memory-beyond-a-block's", "(memory (export \"memory\") 1040)", "(f64.const 7)", Limit("fold_memory_bytes_max")),
    case("several-memories", "(memory $second 1)", "(f64.const 7)", Refused("Invalid")),
];

/// The core module of a case.
fn core(case: &Case) -> String {
    let has = |what: &str| case.fields.contains(what);
    let memory = if has("(export \"memory\")") { "" } else { "(memory (export \"memory\") 2)" };
    // Pieces behind one another, 8 bytes each.
    let room = "(func $room (result i32) (i32.const 8192))";
    let room = if has("$room") { "" } else { room };
    format!(
        r#"(core module $m {fields} {memory} {room}
            (global $coordinates_len (mut i32) (i32.const 0)) (global $values (mut i32) (i32.const 1024))
            (global $values_len (mut i32) (i32.const 1))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $room))
            (func $number (result f64) {number})
            (func (export "contribute") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                (f64.store (i32.const 1024) (call $number))
                (i32.store (i32.const 32) (i32.const 2048)) (i32.store (i32.const 36) (global.get $coordinates_len))
                (i32.store (i32.const 40) (global.get $values)) (i32.store (i32.const 44) (global.get $values_len))
                (i32.const 32))
            (func (export "update") (param i32 i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 32) (i32.const 1024)) (i32.store (i32.const 36) (i32.const 1)) (i32.const 32)))"#,
        fields = case.fields,
        number = case.number,
    )
}

/// The component of a case, with its manifest.
pub fn module(case: &Case) -> Vec<u8> {
    let text = format!(
        r#"(component {core} (core instance $i (instantiate $m))
            (func (export "contribute") (param "state" (list f64)) (param "units" (list u32)) (param "values" (list s64))
                (param "missing" (list u8)) (result (tuple (list u32) (list f64)))
                (canon lift (core func $i "contribute") (memory $i "memory") (realloc (func $i "cabi_realloc"))))
            (func (export "update") (param "round" u32) (param "state" (list f64)) (param "noised" (list f64)) (result (list f64))
                (canon lift (core func $i "update") (memory $i "memory") (realloc (func $i "cabi_realloc")))))"#,
        core = core(case),
    );
    let component = wat::parse_str(&text).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let manifest =
        br#"{"name":"hostile","version":"1","fold":{"columns":[{"name":"who","type":"number","scale":0}],"dimension":1,"state":1}}"#;
    let name = b"fusebox.manifest";
    let content = [&[name.len() as u8], name.as_slice(), manifest.as_slice()].concat();
    // Longer than 127, shorter than 16,384 bytes.
    let len = [(content.len() & 127) as u8 | 128, (content.len() >> 7) as u8];
    [component.as_slice(), &[0], &len, &content].concat()
}
