//! From a case to the bytes that are uploaded.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::LazyLock;

use wasm_encoder::{CustomSection, Section};

use crate::cases::Source;
use crate::generate;

/// Every function of the world, as a core module imports it.
const IMPORTS: &str = r#"
    (import "fusebox:analysis/view@0.3.0" "rows" (func $rows (result i64)))
    (import "fusebox:analysis/view@0.3.0" "columns" (func $columns (param i32)))
    (import "fusebox:analysis/view@0.3.0" "read-integers" (func $read_integers (param i32 i64 i32 i32)))
    (import "fusebox:analysis/view@0.3.0" "read-numbers" (func $read_numbers (param i32 i64 i32 i32)))
    (import "fusebox:analysis/view@0.3.0" "read-codes" (func $read_codes (param i32 i64 i32 i32)))
    (import "fusebox:analysis/view@0.3.0" "read-validity" (func $read_validity (param i32 i64 i32 i32)))
    (import "fusebox:analysis/view@0.3.0" "read-dictionary" (func $read_dictionary (param i32 i32)))
    (import "fusebox:analysis/derive@0.3.0" "append-integers" (func $append_integers (param i32 i32 i32 i32 i32)))
    (import "fusebox:analysis/derive@0.3.0" "append-codes" (func $append_codes (param i32 i32 i32 i32 i32)))
    (import "fusebox:analysis/tables@0.3.0" "request" (func $request (param i32 i32 i32 i32 i32 i32 i32)))
    (import "fusebox:analysis/models@0.3.0" "submit-linear" (func $submit (param i32 i32 i32 i32 i32 i32 i32 i32 f64)))
    (import "fusebox:analysis/models@0.3.0" "submit-trees" (func $submit_trees (param i32)))
    (import "fusebox:analysis/models@0.3.0" "submit-network" (func $submit_network (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "fusebox:analysis/job@0.3.0" "seed" (func $seed (result i64)))
    (import "fusebox:analysis/job@0.3.0" "log" (func $log (param i32 i32)))"#;

/// An allocator that gives nothing back.
const REALLOC: &str = r#"
    (global $next (mut i32) (i32.const 65536))
    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

/// Texts and records at fixed places: `amount` 1024, `grade` 1032, `n` 1040, `t` 1048; a count called `n` at 1104; lists of one
/// text, `grade` at 1152 and `amount` at 1160; a coefficient at 1168; of a model's features the column `amount` at 1176 and no level at
/// 1184; a list of one `u32` that marks a leaf at 1192.
const TEXTS: &str = r#"
    (data (i32.const 1024) "amount") (data (i32.const 1032) "grade") (data (i32.const 1040) "n") (data (i32.const 1048) "t")
    (data (i32.const 1104) "\10\04\00\00\01\00\00\00")
    (data (i32.const 1152) "\08\04\00\00\05\00\00\00\00\04\00\00\06\00\00\00")
    (data (i32.const 1184) "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")
    (func $number (param $n i64) (local $at i32) (local $left i64)
        (local.set $at (i32.const 1536))
        (local.set $left (select (i64.sub (i64.const 0) (local.get $n)) (local.get $n) (i64.lt_s (local.get $n) (i64.const 0))))
        (loop $digit
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $left) (i64.const 10)))))
            (br_if $digit (i64.ne (local.tee $left (i64.div_u (local.get $left) (i64.const 10))) (i64.const 0))))
        (if (i64.lt_s (local.get $n) (i64.const 0)) (then
            (local.set $at (i32.sub (local.get $at) (i32.const 1))) (i32.store8 (local.get $at) (i32.const 45))))
        (call $log (local.get $at) (i32.sub (i32.const 1536) (local.get $at))))"#;

/// What every module declares: a category of two labels, a number, four models and sixteen tables.
pub const MANIFEST: &str = r#"{"name":"hostile","version":"1","derived":[
    {"name":"band","type":"category","labels":["low","high"]},{"name":"double","type":"number","scale":0,"min":0,"max":1000}],"models":["t","u","v","w"],"tables":[
    {"name":"e","measures":["n"]},{"name":"f","measures":["n"]},{"name":"g","measures":["n"]},{"name":"h","measures":["n"]},
    {"name":"i","measures":["n"]},{"name":"j","measures":["n"]},{"name":"k","measures":["n"]},{"name":"l","measures":["n"]},
    {"name":"m","measures":["n"]},{"name":"n","measures":["n"]},{"name":"o","measures":["n"]},{"name":"p","measures":["n"]},
    {"name":"q","measures":["n"]},{"name":"r","measures":["n"]},{"name":"s","measures":["n"]},{"name":"t","measures":["n"]}]}"#;

/// A core module with a good `run`.
const GOOD: &str = "(module (memory (export \"memory\") 1) (func (export \"run\") (result i32) (i32.const 0)))";

/// What a core module of a fold has besides its memory; its interface comes from a built guest.
const FOLD: &str = r#"
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
    (func (export "contribute") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
    (func (export "update") (param i32 i32 i32 i32 i32) (result i32) unreachable)"#;

/// The same of a verification.
const VERIFY: &str = r#"
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
    (func (export "answer") (param i32 i32 i32 i32 i32) (result i32) unreachable)"#;

/// The bytes of a built guest.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("FUSEBOX_GUESTS").expect("FUSEBOX_GUESTS is not set; remedy: `cargo xtask test`");
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; remedy: `cargo xtask guests`", path.display()))
}

/// The custom sections in which a Rust module carries its interface.
static INTERFACE: LazyLock<Vec<u8>> = LazyLock::new(|| interface("misbehaves"));
static VERIFY_INTERFACE: LazyLock<Vec<u8>> = LazyLock::new(|| interface("verify-misbehaves"));
static FOLD_INTERFACE: LazyLock<Vec<u8>> = LazyLock::new(|| interface("fold-misbehaves"));

fn interface(name: &str) -> Vec<u8> {
    let sections = custom_sections(&guest(name));
    let named: Vec<_> = sections.into_iter().filter(|(name, _)| name.starts_with("component-type")).collect();
    assert!(!named.is_empty(), "the guest carries no interface");
    named.iter().flat_map(|(name, data)| custom(name, data)).collect()
}

/// A fold with these fields in its core module.
pub fn fold(fields: &str, manifest: &str) -> Vec<u8> {
    let memory = if fields.contains("(memory") { "" } else { "(memory (export \"memory\") 1)" };
    let module = text(&format!("(module {fields} {memory} {FOLD})"));
    [module, FOLD_INTERFACE.clone(), custom("fusebox.manifest", manifest.as_bytes())].concat()
}

/// A verification with these fields in its core module.
pub fn verify(fields: &str, manifest: &str) -> Vec<u8> {
    let memory = if fields.contains("(memory") { "" } else { "(memory (export \"memory\") 1)" };
    let module = text(&format!("(module {fields} {memory} {VERIFY})"));
    [module, VERIFY_INTERFACE.clone(), custom("fusebox.manifest", manifest.as_bytes())].concat()
}

/// Names and contents of a core module's custom sections.
fn custom_sections(module: &[u8]) -> Vec<(String, Vec<u8>)> {
    let leb = |at: &mut usize| {
        let mut value = 0usize;
        for shift in (0..).step_by(7) {
            let byte = module[*at];
            *at += 1;
            value |= usize::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        value
    };
    let (mut at, mut found) = (8, Vec::new());
    while at < module.len() {
        let id = module[at];
        at += 1;
        let len = leb(&mut at);
        let end = at + len;
        if id == 0 {
            let name_len = leb(&mut at);
            let name = String::from_utf8(module[at..at + name_len].to_vec()).unwrap();
            found.push((name, module[at + name_len..end].to_vec()));
        }
        at = end;
    }
    found
}

/// A whole section.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let (mut out, mut len) = (vec![id], content.len());
    while len > 127 {
        out.push((len & 127) as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(content);
    out
}

/// A whole custom section.
pub fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) }.append_to(&mut out);
    out
}

/// A module of this text.
pub fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A core module of this text with interface and manifest.
pub fn core(source: &str, manifest: &str) -> Vec<u8> {
    let source = source.replace("%imports%", IMPORTS).replace("%realloc%", REALLOC);
    [text(&source), INTERFACE.clone(), custom("fusebox.manifest", manifest.as_bytes())].concat()
}

/// A component with a good `run` of its instance `$i`, and these fields.
pub fn beside(fields: &str) -> Vec<u8> {
    let component = format!(
        "(component {}
            (core module $good (memory (export \"memory\") 1) (func (export \"run\") (result i32) (i32.const 0))
                (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $good))
            (func (export \"run\") (result (result (error string))) (canon lift (core func $i \"run\") (memory $i \"memory\"))) {})",
        // Imports come first in the text.
        if fields.starts_with("(import") { fields } else { "" },
        if fields.starts_with("(import") { "" } else { fields },
    );
    with_manifest(text(&component), MANIFEST)
}

pub fn with_manifest(module: Vec<u8>, manifest: &str) -> Vec<u8> {
    [module, custom("fusebox.manifest", manifest.as_bytes())].concat()
}

/// A good module with this manifest.
pub fn good(manifest: &str) -> Vec<u8> {
    core(GOOD, manifest)
}

/// What is uploaded; `None` where the case is no upload.
pub fn upload(source: &Source) -> Option<Vec<u8>> {
    Some(match *source {
        Source::Guest(name, _) => guest(name),
        Source::Run(fields, run) => {
            // Locals come first in a function.
            let module = format!(
                "(module %imports% (memory (export \"memory\") 16) %realloc% {TEXTS} {fields}
                    (func (export \"run\") (result i32) {run} (i32.const 0)))"
            );
            core(&module, MANIFEST)
        }
        Source::Core(module) => core(module, MANIFEST),
        Source::Bare(module) => text(module),
        Source::Component(component) => with_manifest(text(component), MANIFEST),
        Source::Beside(fields) => beside(fields),
        Source::Manifest(manifest) => good(manifest),
        Source::Fold(fields, manifest) => fold(fields, manifest),
        Source::Verify(fields, manifest) => verify(fields, manifest),
        Source::Generated(generated) => generate::module(generated),
        Source::Bytes(bytes) => bytes.to_vec(),
        Source::Code(_) | Source::Escaped(_) => return None,
    })
}
