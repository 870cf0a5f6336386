//! Modules that a program makes: what is too large to write.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, RefType, TableSection, TableType,
    TypeSection, ValType,
};

use crate::cases::Generated;
use crate::modules::{self, MANIFEST};

const EMPTY: BlockType = BlockType::Empty;

/// A core module of one function `() -> ()`.
fn one(function: Function) -> Vec<u8> {
    many(&function, 1)
}

/// A core module of the same function `() -> ()` so many times.
fn many(function: &Function, count: u32) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        code.function(function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

fn ifs(ifs: u32, locals: u32) -> Function {
    let mut f = Function::new([(locals, ValType::I64)]);
    let mut i = f.instructions();
    for n in 0..ifs {
        let (from, to) = (n % locals, (n + 1) % locals);
        i.local_get(to).i32_wrap_i64().if_(EMPTY).local_get(from).i64_const(1).i64_add().local_set(to).end();
    }
    i.end();
    f
}

fn branch_table(targets: u32, locals: u32) -> Function {
    let mut f = Function::new([(locals, ValType::I64)]);
    f.instructions().block(EMPTY).i32_const(0).br_table(vec![0; targets as usize], 0).end().end();
    f
}

fn nested(blocks: u32) -> Function {
    let mut f = Function::new([]);
    (0..blocks).for_each(|_| _ = f.instructions().block(EMPTY));
    (0..=blocks).for_each(|_| _ = f.instructions().end());
    f
}

fn giant(bytes: u32) -> Function {
    let mut f = Function::new([]);
    (0..bytes).for_each(|_| _ = f.instructions().nop());
    f.instructions().end();
    f
}

/// A function that calls one with 1,000 results, or carries 1,000 values over each branch, so many times.
fn thousand(count: u32, branches: bool) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    types.ty().function([], vec![ValType::I64; 1000]);
    functions.function(0).function(1);
    let mut caller = Function::new([]);
    if branches {
        caller.instructions().block(BlockType::FunctionType(1)).call(1);
        (0..count).for_each(|_| _ = caller.instructions().i32_const(0).br_if(0));
        caller.instructions().end();
    } else {
        (0..count).for_each(|_| _ = caller.instructions().call(1));
    }
    caller.instructions().return_().end();
    let mut callee = Function::new([]);
    callee.instructions().unreachable().end();
    code.function(&caller).function(&callee);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

fn signatures(count: u32) -> Vec<u8> {
    let (mut types, mut functions, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    types.ty().function(vec![ValType::I64; 1000], []);
    let mut empty = Function::new([]);
    empty.instructions().end();
    for n in 0..count {
        functions.function(0);
        exports.export(&format!("f{n}"), ExportKind::Func, n);
        code.function(&empty);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}

/// A core module of the one section that `fill` writes.
fn sections(fill: impl FnOnce(&mut Module)) -> Vec<u8> {
    let mut module = Module::new();
    fill(&mut module);
    module.finish()
}

fn types(count: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    (0..count).for_each(|n| types.ty().function(vec![ValType::I32; (n % 16) as usize], []));
    sections(|m| _ = m.section(&types))
}

fn imports(count: u32) -> Vec<u8> {
    let mut imports = ImportSection::new();
    let ty = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
    (0..count).for_each(|n| _ = imports.import("a", &n.to_string(), EntityType::Global(ty)));
    sections(|m| _ = m.section(&imports))
}

fn globals(count: u32, exported: u32) -> Vec<u8> {
    let (mut globals, mut exports) = (GlobalSection::new(), ExportSection::new());
    let ty = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
    (0..count).for_each(|_| _ = globals.global(ty, &ConstExpr::i32_const(0)));
    (0..exported).for_each(|n| _ = exports.export(&n.to_string(), ExportKind::Global, 0));
    sections(|m| _ = m.section(&globals).section(&exports))
}

fn named(bytes: u32) -> Vec<u8> {
    let mut exports = ExportSection::new();
    let mut globals = GlobalSection::new();
    globals.global(GlobalType { val_type: ValType::I32, mutable: false, shared: false }, &ConstExpr::i32_const(0));
    exports.export(&"n".repeat(bytes as usize), ExportKind::Global, 0);
    sections(|m| _ = m.section(&globals).section(&exports))
}

fn data_segments(count: u32) -> Vec<u8> {
    let (mut memories, mut data) = (MemorySection::new(), DataSection::new());
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    (0..count).for_each(|_| _ = data.active(0, &ConstExpr::i32_const(0), [1]));
    sections(|m| _ = m.section(&memories).section(&data))
}

fn element_items(count: u32) -> Vec<u8> {
    let (mut tables, mut elements) = (TableSection::new(), ElementSection::new());
    tables.table(TableType { element_type: RefType::FUNCREF, minimum: 1, maximum: None, table64: false, shared: false });
    elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(vec![0; count as usize].into()));
    sections(|m| _ = m.section(&tables).section(&elements))
}

/// A core module with so many tables and memories, instantiated so many times beside a good `run`; more modules of the kind where
/// none is instantiated.
fn instances(tables: u32, memories: u32, count: u32) -> Vec<u8> {
    let held = [vec!["(table 1 funcref)"; tables as usize], vec!["(memory 1)"; memories as usize]].concat().concat();
    let modules: String = (0..if count == 0 { 3 } else { 1 }).map(|n| format!("(core module $h{n} {held})")).collect();
    modules::beside(&(modules + &"(core instance (instantiate $h0))".repeat(count as usize)))
}

fn instances_of_instances(levels: u32) -> Vec<u8> {
    let first = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    let next = |n: u32| {
        let before = n - 1;
        format!("(component $c{n} (alias outer 1 $c{before} (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))")
    };
    modules::beside(&(first + &(1..levels).map(next).collect::<String>() + &format!("(instance (instantiate $c{}))", levels - 1)))
}

/// A function whose parameter is a tuple of two tuples of two tuples … of two bytes.
fn tuples_of_tuples(levels: u32) -> Vec<u8> {
    let types: String = (1..levels).map(|n| format!("(type $t{n} (tuple $t{} $t{}))", n - 1, n - 1)).collect();
    modules::beside(&format!(
        "(import \"fusebox:analysis/view@0.3.0\" (instance (type $t0 (tuple u8 u8)) {types} (export \"rows\" (func (param \"a\" $t{})))))",
        levels - 1
    ))
}

/// A section of component types whose one type is an instance type in an instance type …
fn instance_types(depth: u32) -> Vec<u8> {
    let section = [vec![1], [0x42, 1, 1].repeat(depth as usize), vec![0x42, 0]].concat();
    modules::section(7, &section)
}

/// Two components beside a good `run`: one takes tuples of strings, the other hands it some when it is made.
fn adapters(strings: u32, functions: u32) -> Vec<u8> {
    let tuple = format!("(tuple {})", "string ".repeat(strings as usize));
    let each = |f: &dyn Fn(u32) -> String| (0..functions).map(f).collect::<String>();
    let lifted = each(&|n| {
        format!(
            "(func (export \"f{n}\") (param \"a\" {tuple}) (canon lift (core func $i \"f\") (memory $i \"m\") (realloc (func $i \"r\"))))"
        )
    });
    let imported = each(&|n| format!("(import \"f{n}\" (func $f{n} (param \"a\" {tuple})))"));
    let lowered = each(&|n| format!("(core func $l{n} (canon lower (func $f{n}) (memory $h \"m\")))"));
    let given = each(&|n| format!("(with \"f{n}\" (func $t \"f{n}\"))"));
    modules::beside(&format!(
        "(component $taker
            (core module $m (memory (export \"m\") 1) (func (export \"f\") (param i32))
                (func (export \"r\") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $i (instantiate $m)) {lifted})
        (component $giver {imported}
            (core module $h (memory (export \"m\") 1)) (core instance $h (instantiate $h)) {lowered}
            (core module $u {uses}) (core instance (instantiate $u (with \"\" (instance {exports})))))
        (instance $t (instantiate $taker)) (instance (instantiate $giver {given}))",
        uses = each(&|n| format!("(import \"\" \"f{n}\" (func (param i32)))")),
        exports = each(&|n| format!("(export \"f{n}\" (func $l{n}))")),
    ))
}

fn manifest_of(derived: &str) -> Vec<u8> {
    modules::good(&format!("{{\"name\":\"m\",\"version\":\"1\",\"derived\":[{derived}]}}"))
}

fn category(labels: &str) -> String {
    format!("{{\"name\":\"a\",\"type\":\"category\",\"labels\":[{labels}]}}")
}

/// The upload.
pub fn module(generated: Generated) -> Vec<u8> {
    let listed = |count: u32, f: &dyn Fn(u32) -> String| (0..count).map(f).collect::<Vec<_>>().join(",");
    match generated {
        Generated::Ifs { ifs: count, locals } => one(ifs(count, locals)),
        Generated::BranchTable { targets, locals } => one(branch_table(targets, locals)),
        Generated::Nested { blocks } => one(nested(blocks)),
        Generated::Giant { bytes } => one(giant(bytes)),
        Generated::Functions { count } => many(&nested(0), count),
        Generated::Ifful { functions } => many(&ifs(5_000, 1_000), functions),
        Generated::Calls { count } => thousand(count, false),
        Generated::Branches { count } => thousand(count, true),
        Generated::Signatures { functions } => signatures(functions),
        Generated::Types { count } => types(count),
        Generated::Imports { count } => imports(count),
        Generated::Exports { count } => globals(1, count),
        Generated::Globals { count } => globals(count, 0),
        Generated::DataSegments { count } => data_segments(count),
        Generated::ElementItems { count } => element_items(count),
        Generated::CustomSections { count } => [modules::text("(module)"), modules::custom("x", b"").repeat(count as usize)].concat(),
        Generated::Name { bytes } => named(bytes),
        Generated::Padding { bytes } => {
            let module = modules::good(MANIFEST);
            let section = modules::custom("x", &vec![0; bytes as usize - module.len()]);
            [module, section].concat()
        }
        Generated::LongManifest { bytes } => manifest_of(&category(&format!("\"{}\"", "l".repeat(bytes as usize)))),
        Generated::DerivedColumns { count } => {
            manifest_of(&listed(count, &|n| format!("{{\"name\":\"a{n}\",\"type\":\"number\",\"scale\":0,\"min\":0,\"max\":1}}")))
        }
        Generated::FoldColumns { count } => {
            let columns = listed(count, &|n| format!("{{\"name\":\"a{n}\",\"type\":\"date\"}}"));
            let fold = format!("{{\"columns\":[{columns}],\"dimension\":1,\"state\":1}}");
            modules::fold("", &format!("{{\"name\":\"f\",\"version\":\"1\",\"fold\":{fold}}}"))
        }
        Generated::Labels { count } => manifest_of(&category(&listed(count, &|n| format!("\"l{n}\"")))),
        Generated::NestedManifest { depth } => modules::good(&"[".repeat(depth as usize)),
        Generated::Parts { count } => modules::beside(&"(core module)".repeat(count as usize)),
        Generated::Components { depth } => modules::beside(&("(component ".repeat(depth as usize) + &")".repeat(depth as usize))),
        Generated::InstancesOfInstances { levels } => instances_of_instances(levels),
        Generated::Memories { count } => modules::beside(&"(core module (memory 1))".repeat(count as usize)),
        Generated::Instances { tables, memories, count } => instances(tables, memories, count),
        Generated::TuplesOfTuples { levels } => tuples_of_tuples(levels),
        Generated::InstanceTypes { depth } => [modules::beside(""), instance_types(depth)].concat(),
        Generated::InterfaceTypes { depth } => {
            let component = [modules::text("(component)"), instance_types(depth)].concat();
            [modules::good(MANIFEST), modules::custom("component-type:deep", &component)].concat()
        }
        Generated::Adapters { strings, functions } => adapters(strings, functions),
    }
}
