//! On modules that `cargo xtask guests` built.

use super::*;
use protocol::manifest::{DerivedType, ManifestError};

/// The bytes of a built guest.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("FUSEBOX_GUESTS").map(std::path::PathBuf::from).unwrap_or_else(|| {
        let own = std::env::var_os("FUSEBOX_CACHE").map(std::path::PathBuf::from);
        let xdg = std::env::var_os("XDG_CACHE_HOME").map(|c| std::path::Path::new(&c).join("fusebox"));
        let home = std::env::var_os("HOME").map(|h| std::path::Path::new(&h).join(".cache/fusebox"));
        own.or(xdg).or(home).unwrap().join("guests/out")
    });
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; remedy: cargo xtask guests", path.display()))
}

fn refused(module: &[u8]) -> ModuleRefusal {
    compile(module).unwrap_err()
}

fn limit(module: &[u8]) -> String {
    match refused(module) {
        ModuleRefusal::Limit(l) => l.name,
        other => panic!("{other:?}"),
    }
}

/// A core module of sections (id, content).
fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut m = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        m.push(*id);
        m.extend(leb(content.len()));
        m.extend(content);
    }
    m
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 127) as u8;
        n >>= 7;
        if n == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 128);
    }
}

/// One function `() -> ()` with `locals` i64 locals and this body.
fn function(locals: usize, body: &[u8]) -> Vec<u8> {
    let code = [vec![1], leb(locals), vec![0x7E], body.to_vec(), vec![0x0B]].concat();
    module(&[(1, vec![1, 0x60, 0, 0]), (3, vec![1, 0]), (10, [vec![1], leb(code.len()), code].concat())])
}

#[test]
fn the_interfaces_are_read_and_their_change_needs_a_version() {
    let released = [
        ("fusebox:analysis@0.2.0", "9d7ef1115e244b93de0432210263c4f51fc458d523311efe0725775c2220e5a9"),
        ("fusebox:analysis@0.3.0", "2e122986f457317b5a01c5e508f25943de5dce2d682de9cb5bb27b5ece37f757"),
        ("fusebox:fold@0.1.0", "5cead181c1cf6fee780bdd643cc22994187b920fdbb54580468b316fe0c0c9c6"),
        ("fusebox:verify@0.1.0", "88f757768193594024dcbf93c45bfd4b2e24d155dc46186e3ef24baf0ba40e14"),
    ];
    for (world, text) in [(World::Analysis, WIT), (World::Fold, FOLD_WIT), (World::Verify, VERIFY_WIT)] {
        interface::Interface::of(world).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let package = text.lines().find_map(|l| l.strip_prefix("package ")).unwrap().trim_end_matches(';');
        assert!(released.contains(&(package, hex.as_str())), "{package} changed: give it a new version and note its digest {hex}");
    }
}

#[test]
fn a_fold_asks_for_nothing_and_has_two_functions() {
    let module = guest("fold-misbehaves");
    let c = compile(&module).unwrap();
    let fold = c.manifest.fold.unwrap();
    assert_eq!((c.imports.len(), fold.columns.len(), fold.dimension, fold.state), (0, 1, 4, 4));
    assert_eq!(compile(&guest("credit-scorecard")).unwrap().engine, c.engine, "one digest covers both worlds");
    // One function called otherwise.
    assert_eq!(refused(&replace(&module, b"contribute", b"contributx")), ModuleRefusal::MissingExport);
    // Its numbers are those of the manifest alone: a length of nothing is no length.
    assert_eq!(refused(&replace(&module, b"\"state\":4", b"\"state\":0")), ManifestError::Column("dimension".to_owned()).into());
    // What is an import in the other world is none here.
    let manifest = br#"{"name":"f","version":"1","fold":{"columns":[],"dimension":1,"state":1}}"#;
    let section = [leb(16), b"fusebox.manifest".to_vec(), manifest.to_vec()].concat();
    let import = [vec![1], leb(26), b"fusebox:analysis/job@0.3.0".to_vec(), leb(4), b"seed".to_vec(), vec![0, 0]].concat();
    let asks = self::module(&[(1, vec![1, 0x60, 0, 1, 0x7E]), (2, import), (0, section)]);
    assert_eq!(refused(&asks), ModuleRefusal::UndeclaredImport("fusebox:analysis/job@0.3.0#seed".to_owned()));
}

#[test]
fn example_modules_compile_with_their_manifest_and_capabilities() {
    let c = compile(&guest("flights-delay-by-wind")).unwrap();
    assert_eq!((c.manifest.name.as_str(), c.manifest.derived.len()), ("delay_by_wind", 1));
    assert!(matches!(&c.manifest.derived[0].ty, DerivedType::Category { labels } if labels.len() == 4));
    assert!(c.imports.is_sorted() && c.imports.contains(&"fusebox:analysis/derive@0.3.0#append-codes".to_owned()));
    assert!(!c.imports.iter().any(|i| i.contains("models")), "what is not used is no capability: {:?}", c.imports);
    let again = compile(&guest("flights-delay-by-wind")).unwrap();
    assert!(again.code == c.code && again.engine == c.engine, "compilation repeats itself");
    // The same as a component, which keeps the module's section; a second one would leave open which of them holds.
    let component = interface::component_of(&guest("flights-delay-by-wind")).unwrap();
    assert_eq!(compile(&component).unwrap().manifest, c.manifest);
    let section = [leb(16), b"fusebox.manifest".to_vec(), br#"{"name":"c","version":"1"}"#.to_vec()].concat();
    let twice = [component, vec![0], leb(section.len()), section].concat();
    assert_eq!(refused(&twice), ManifestError::Malformed.into());
}

#[test]
fn imports_that_are_not_offered_are_named() {
    let undeclared = |name: &str| ModuleRefusal::UndeclaredImport(name.to_owned());
    assert_eq!(refused(&guest("undeclared-import")), undeclared("fusebox:analysis/network@0.3.0#send"));
    assert_eq!(refused(&guest("lookalike-import")), undeclared("fusebox:analysis/view@0.3.0#identifiers"));
    assert_eq!(refused(&guest("wasi-import")), undeclared("wasi_snapshot_preview1#random_get"));
    let other_version = replace(&guest("credit-default-rate"), b"@0.3.0", b"@0.3.1");
    assert!(matches!(refused(&other_version), ModuleRefusal::UndeclaredImport(n) if n.contains("@0.3.1#")));
    let component = interface::component_of(&guest("credit-default-rate")).unwrap();
    assert!(matches!(refused(&replace(&component, b"@0.3.0", b"@0.3.1")), ModuleRefusal::UndeclaredImport(_)));
    // An offered name with another type: a record of the same size whose field is called otherwise.
    let other_type = replace(&component, b"column", b"kolumn");
    assert!(matches!(refused(&other_type), ModuleRefusal::UndeclaredImport(n) if n == "fusebox:analysis/tables@0.3.0#request"));
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for i in 0..=out.len() - from.len() {
        if out[i..].starts_with(from) {
            out[i..i + to.len()].copy_from_slice(to);
        }
    }
    assert_ne!(out, bytes);
    out
}

#[test]
fn what_is_missing_or_malformed_is_refused() {
    assert_eq!(refused(b""), ModuleRefusal::Invalid);
    assert_eq!(refused(b"\0asm"), ModuleRefusal::Invalid);
    assert_eq!(refused(&guest("flights-delay-by-wind")[..20_000]), ModuleRefusal::Invalid);
    assert_eq!(refused(&guest("bare")), ModuleRefusal::MissingExport);
    assert_eq!(refused(&guest("no-manifest")), ManifestError::Malformed.into());
    assert_eq!(refused(&guest("control-label")), ManifestError::Column("band".to_owned()).into());
    let renamed = replace(&guest("credit-default-rate"), b"fusebox.manifest", b"fusebox.manifesT");
    assert_eq!(refused(&renamed), ManifestError::Malformed.into());
}

#[test]
fn features_that_are_off_are_refused() {
    let memory = |flags: u8| module(&[(5, vec![1, flags, 1, 1])]);
    assert_eq!(refused(&memory(1)), ModuleRefusal::MissingExport, "a plain memory is valid");
    assert_eq!(refused(&memory(3)), ModuleRefusal::Invalid, "shared");
    assert_eq!(refused(&memory(5)), ModuleRefusal::Invalid, "64-bit");
    assert_eq!(refused(&module(&[(5, vec![2, 0, 1, 0, 1])])), ModuleRefusal::Invalid, "several memories");
    assert_eq!(refused(&module(&[(13, vec![1, 0, 0])])), ModuleRefusal::Invalid, "exceptions");
    assert_eq!(refused(&module(&[(1, vec![1, 0x5F, 0])])), ModuleRefusal::Invalid, "structs");
    assert_eq!(refused(&function(0, &[0x12, 0])), ModuleRefusal::Invalid, "tail calls");
    let zero = [0xFD, 0x0C, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let simd = [zero.to_vec(), vec![0x1A]].concat();
    assert_eq!(refused(&function(0, &simd)), ModuleRefusal::MissingExport, "SIMD is on");
    let relaxed = [zero.to_vec(), zero.to_vec(), vec![0xFD, 0x80, 0x02, 0x1A]].concat();
    assert_eq!(refused(&function(0, &relaxed)), ModuleRefusal::Invalid, "relaxed SIMD");
}

#[test]
fn bombs_are_refused_at_once() {
    let started = std::time::Instant::now();
    // 30,000 blocks over 1,500 locals.
    let ifs = [0x41, 0, 0x04, 0x40, 0x20, 0, 0x21, 1, 0x0B].repeat(30_000);
    assert_eq!(limit(&function(1_500, &ifs)), "function_locals_times_blocks_max");
    assert_eq!(limit(&function(60_000, &[])), "function_locals_max");
    assert_eq!(limit(&function(1, &[0x01].repeat(2 << 20))), "function_bytes_max");
    let targets = [vec![0x02, 0x40, 0x41, 0, 0x0E], leb(30_000), vec![0; 30_000], vec![0, 0x0B]].concat();
    assert_eq!(limit(&function(1_500, &targets)), "function_locals_times_blocks_max");
    let one = [vec![1], leb(1_000), vec![0x7E], [0x41, 0, 0x04, 0x40, 0x0B].repeat(5_000), vec![0x0B]].concat();
    let one = [leb(one.len()), one].concat();
    let many = module(&[(1, vec![1, 0x60, 0, 0]), (3, [leb(30), vec![0; 30]].concat()), (10, [leb(30), one.repeat(30)].concat())]);
    assert_eq!(limit(&many), "module_locals_times_blocks_max");
    assert_eq!(limit(&module(&[(5, [vec![1, 0], leb(20_000)].concat())])), "guest_memory_bytes_max");
    assert_eq!(limit(&module(&[(4, [vec![1, 0x70, 0], leb(200_000)].concat())])), "guest_table_elements_max");
    assert_eq!(limit(&module(&[(1, [leb(200_000), [0x60, 0, 0].repeat(200_000)].concat())])), "module_types_max");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

/// What the caps let through must compile in reasonable time.
#[test]
fn the_largest_function_that_passes_compiles_in_seconds() {
    let ifs = [0x41, 0, 0x04, 0x40, 0x20, 0, 0x21, 1, 0x0B].repeat(5_000);
    let m = function(1_500, &ifs);
    caps::outline(&m).unwrap();
    let started = std::time::Instant::now();
    engine().unwrap().precompile_module(&m).unwrap();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn serves_over_its_socket() {
    let (mut server, socket) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || converse(&mut Channel::new(socket)));
    let fd = sealed("m", &guest("credit-scorecard")).unwrap();
    server.send(&CompileRequest {}, &[fd.as_fd()]).unwrap();
    let (reply, fds) = server.receive::<CompileReply>().unwrap();
    assert!(matches!(reply, CompileReply::Compiled { .. }) && fds.len() == 1);
    assert!(SealedFd::verify(fds.into_iter().next().unwrap(), 1 << 28).unwrap().len() > 10_000);
    worker.join().unwrap().unwrap();
}
