//! Walks an uploaded module before anything is compiled: size caps, names of imports, string encodings, the manifest.
//!
//! A compiler's time is not linear in a module's bytes: 459 KiB with 30,000 blocks over 1,500 locals took 35 seconds and
//! 1.7 GiB. What grows so is locals × blocks of a function, and it is capped; the caps let a Python runtime (18 MB) through.

use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::{Manifest, ManifestError, SECTION};
use protocol::message::ModuleRefusal;
use wasmparser::{BinaryReaderError, CanonicalFunction, CanonicalOption, Encoding, FunctionBody, Operator, Parser, Payload, Validator};

/// Functions with a body, of all core modules together.
const FUNCTIONS_MAX: u64 = 200_000;
/// Types of all core modules and components together.
const TYPES_MAX: u64 = 100_000;
/// Core modules and components inside the upload.
const PARTS_MAX: u64 = 128;
/// Globals, exports, imports, tables, segments, memories: entries of all other sections together.
const ENTRIES_MAX: u64 = 500_000;
/// Bytes of one function.
const FUNCTION_BYTES_MAX: u64 = 1 << 20;
/// Parameters and locals of one function.
const LOCALS_MAX: u64 = 10_000;
/// (locals + 1) × (blocks + branch targets + 1) of one function.
const FUNCTION_WORK_MAX: u64 = 8_000_000;
/// The same over all functions.
const MODULE_WORK_MAX: u64 = 100_000_000;
/// Bytes of the manifest.
const MANIFEST_BYTES_MAX: u64 = 256 << 10;

/// What the walk found.
#[derive(Debug)]
pub struct Outline {
    /// Whether the upload is a component (else a core module).
    pub component: bool,
    /// Imports of a core module: module and field.
    pub core_imports: Vec<(String, String)>,
    /// Imports of the outermost component.
    pub component_imports: Vec<String>,
    /// Bodies of the manifest's section, wherever it stands.
    manifests: Vec<Vec<u8>>,
}

impl Outline {
    /// The module's one manifest.
    ///
    /// # Errors
    /// It is missing, there twice, or not valid.
    pub fn manifest(&self) -> Result<Manifest, ModuleRefusal> {
        let [section] = self.manifests.as_slice() else { return Err(ManifestError::Malformed.into()) };
        let manifest: Manifest = serde_json::from_slice(section).map_err(|_| ManifestError::Malformed)?;
        manifest.validate()?;
        Ok(manifest)
    }
}

#[derive(Default)]
struct Counts {
    functions: u64,
    types: u64,
    parts: u64,
    entries: u64,
    work: u64,
}

fn add(name: &str, limit: u64, count: &mut u64, more: u64) -> Result<(), ModuleRefusal> {
    LimitExceeded::check(name, limit, *count, more)?;
    *count = count.saturating_add(more);
    Ok(())
}

fn invalid(_: BinaryReaderError) -> ModuleRefusal {
    ModuleRefusal::Invalid
}

/// Walks `module`, then validates it under [`super::engine::FEATURES`].
///
/// # Errors
/// The first thing wrong.
pub fn outline(module: &[u8]) -> Result<Outline, ModuleRefusal> {
    let outline = walk(module)?;
    // After the caps: validation takes time too.
    Validator::new_with_features(super::engine::FEATURES).validate_all(module).map_err(invalid)?;
    Ok(outline)
}

fn walk(module: &[u8]) -> Result<Outline, ModuleRefusal> {
    let mut outline = Outline { component: false, core_imports: Vec::new(), component_imports: Vec::new(), manifests: Vec::new() };
    let mut counts = Counts::default();
    // Parts are entered and left as `parse_all` meets them; the last of `open` is the part being read.
    let mut open: Vec<Encoding> = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(invalid)?;
        let outermost = open.len() == 1;
        match payload {
            Payload::Version { encoding, .. } => {
                add("module_parts_max", PARTS_MAX, &mut counts.parts, 1)?;
                outline.component |= open.is_empty() && encoding == Encoding::Component;
                open.push(encoding);
            }
            Payload::End(_) => {
                open.pop();
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                LimitExceeded::check("manifest_bytes_max", MANIFEST_BYTES_MAX, 0, section.data().len() as u64)?;
                outline.manifests.push(section.data().to_vec());
            }
            Payload::ImportSection(section) => {
                add("module_entries_max", ENTRIES_MAX, &mut counts.entries, section.count().into())?;
                if outermost {
                    for import in section.into_imports() {
                        let import = import.map_err(invalid)?;
                        outline.core_imports.push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                add("module_entries_max", ENTRIES_MAX, &mut counts.entries, section.count().into())?;
                for import in section.into_iter().filter(|_| outermost) {
                    outline.component_imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            other => count(other, &mut counts)?,
        }
    }
    Ok(outline)
}

/// Counts what a payload holds against the caps.
fn count(payload: Payload<'_>, counts: &mut Counts) -> Result<(), ModuleRefusal> {
    let entries = match payload {
        Payload::TypeSection(s) => return add("module_types_max", TYPES_MAX, &mut counts.types, s.count().into()),
        Payload::CoreTypeSection(s) => return add("module_types_max", TYPES_MAX, &mut counts.types, s.count().into()),
        Payload::ComponentTypeSection(s) => return add("module_types_max", TYPES_MAX, &mut counts.types, s.count().into()),
        Payload::FunctionSection(s) => return add("module_functions_max", FUNCTIONS_MAX, &mut counts.functions, s.count().into()),
        Payload::CodeSectionEntry(body) => {
            let work = function_work(&body)?;
            return add("module_locals_times_blocks_max", MODULE_WORK_MAX, &mut counts.work, work);
        }
        Payload::TableSection(section) => {
            for table in section.clone() {
                let initial = table.map_err(invalid)?.ty.initial;
                LimitExceeded::check("guest_table_elements_max", Limits::STANDARD.guest_table_elements_max, 0, initial)?;
            }
            section.count()
        }
        Payload::MemorySection(section) => {
            for memory in section.clone() {
                let bytes = memory.map_err(invalid)?.initial.saturating_mul(1 << 16);
                LimitExceeded::check("guest_memory_bytes_max", Limits::STANDARD.guest_memory_bytes_max, 0, bytes)?;
            }
            section.count()
        }
        Payload::ComponentCanonicalSection(section) => {
            for function in section.clone() {
                only_utf8(&function.map_err(invalid)?)?;
            }
            section.count()
        }
        Payload::GlobalSection(s) => s.count(),
        Payload::ExportSection(s) => s.count(),
        Payload::ElementSection(s) => s.count(),
        Payload::DataSection(s) => s.count(),
        Payload::InstanceSection(s) => s.count(),
        Payload::ComponentInstanceSection(s) => s.count(),
        Payload::ComponentAliasSection(s) => s.count(),
        Payload::ComponentExportSection(s) => s.count(),
        _ => 0,
    };
    add("module_entries_max", ENTRIES_MAX, &mut counts.entries, entries.into())
}

/// The transcoders of other encodings have had memory-safety faults: strings cross as UTF-8 or not at all.
fn only_utf8(function: &CanonicalFunction) -> Result<(), ModuleRefusal> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) = function else { return Ok(()) };
    let other = options.iter().any(|o| matches!(o, CanonicalOption::UTF16 | CanonicalOption::CompactUTF16));
    if other { Err(ModuleRefusal::Invalid) } else { Ok(()) }
}

/// (locals + 1) × (blocks + branch targets + 1). Parameters are not known here; there are at most 1,000.
fn function_work(body: &FunctionBody<'_>) -> Result<u64, ModuleRefusal> {
    let range = body.range();
    LimitExceeded::check("function_bytes_max", FUNCTION_BYTES_MAX, 0, (range.end - range.start) as u64)?;
    let mut locals = 0u64;
    for entry in body.get_locals_reader().map_err(invalid)? {
        locals = locals.saturating_add(entry.map_err(invalid)?.0.into());
    }
    LimitExceeded::check("function_locals_max", LOCALS_MAX, 0, locals)?;
    let mut blocks = 1u64;
    let mut operators = body.get_operators_reader().map_err(invalid)?;
    while !operators.eof() {
        blocks += match operators.read().map_err(invalid)? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::Else | Operator::BrIf { .. } => 1,
            Operator::BrTable { targets } => u64::from(targets.len()),
            _ => 0,
        };
    }
    let work = (locals + 1).saturating_mul(blocks);
    LimitExceeded::check("function_locals_times_blocks_max", FUNCTION_WORK_MAX, 0, work)?;
    Ok(work)
}
