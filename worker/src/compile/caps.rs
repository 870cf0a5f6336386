//! Walks an uploaded module before anything is compiled: size caps, names of imports, string encodings, the manifest.
//!
//! A compiler's time is not linear in a module's bytes: 459 KiB with 30,000 blocks over 1,500 locals took 35 seconds and
//! 1.7 GiB. What grows so is counted here: locals × blocks of a function, the values of calls and branches, the values of
//! signatures, the instances that components make of each other. The caps let a Python runtime (18 MB) through.

mod count;
mod function;

use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::{Manifest, ManifestError, SECTION};
use protocol::message::ModuleRefusal;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload, Validator};

/// What the walk found.
#[derive(Debug)]
pub struct Outline {
    /// Whether the upload is a component (else a core module).
    pub component: bool,
    /// Imports of a core module: module and field.
    pub core_imports: Vec<(String, String)>,
    /// Imports of the outermost component, and whether each is an instance.
    pub component_imports: Vec<(String, bool)>,
    /// Linear memory that its parts begin with, each counted once.
    pub memory_bytes: u64,
    /// Bodies of the manifest's section, wherever it stands.
    manifests: Vec<Vec<u8>>,
}

impl Outline {
    /// The module's one manifest, as it stands there.
    ///
    /// # Errors
    /// It is missing, there twice, or not of the documented form.
    pub fn manifest(&self) -> Result<Manifest, ModuleRefusal> {
        let [section] = self.manifests.as_slice() else { return Err(ManifestError::Malformed.into()) };
        Ok(serde_json::from_slice(section).map_err(|_| ManifestError::Malformed)?)
    }
}

/// Start of the name of the custom section in which a core module carries its interface.
const INTERFACE: &str = "component-type";

/// What was counted so far, by limit.
#[derive(Default)]
struct Counts {
    parts: u64,
    functions: u64,
    types: u64,
    signature_values: u64,
    imports: u64,
    exports: u64,
    globals: u64,
    segments: u64,
    segment_items: u64,
    tables: u64,
    memories: u64,
    entries: u64,
    work: u64,
}

/// A core module or component that is being read.
struct Part {
    encoding: Encoding,
    /// Parameters and results of each core type; of one that is no function's, none.
    types: Vec<(u64, u64)>,
    /// Type of each core function, imported ones first.
    functions: Vec<u32>,
    /// How many functions were imported or have shown their body.
    bodies: usize,
    /// Core instances that an instance of it makes.
    instances: u64,
}

impl Part {
    fn new(encoding: Encoding) -> Self {
        Self { encoding, types: Vec::new(), functions: Vec::new(), bodies: 0, instances: 0 }
    }

    /// Parameters and results of a type; the validator refuses one that is not there.
    fn signature(&self, ty: u32) -> (u64, u64) {
        usize::try_from(ty).ok().and_then(|i| self.types.get(i)).copied().unwrap_or_default()
    }

    fn arity(&self, ty: u32) -> u64 {
        let (params, results) = self.signature(ty);
        params + results
    }

    fn arity_of_function(&self, function: u32) -> u64 {
        usize::try_from(function).ok().and_then(|i| self.functions.get(i)).map_or(0, |ty| self.arity(*ty))
    }
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

/// The walk: parts are entered and left as the parser meets them; the last of `open` is the one being read.
struct Walk {
    outline: Outline,
    counts: Counts,
    open: Vec<Part>,
    /// Most core instances that any component read so far makes.
    costliest: u64,
}

fn walk(module: &[u8]) -> Result<Outline, ModuleRefusal> {
    let outline =
        Outline { component: false, core_imports: Vec::new(), component_imports: Vec::new(), memory_bytes: 0, manifests: Vec::new() };
    let mut walk = Walk { outline, counts: Counts::default(), open: Vec::new(), costliest: 0 };
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::ComponentTypeSection(section) => type_openings(module.get(section.range()).unwrap_or(module))?,
            // Read by the encoder, which is handed the module as it is.
            Payload::CustomSection(section) if section.name().starts_with(INTERFACE) => type_openings(section.data())?,
            _ => {}
        }
        walk.take(payload)?;
    }
    Ok(walk.outline)
}

/// Bytes that can begin a component or instance type, wherever they stand: there are at least as many as levels.
fn type_openings(section: &[u8]) -> Result<(), ModuleRefusal> {
    let openings = section.iter().filter(|byte| matches!(byte, 0x41 | 0x42)).count() as u64;
    Ok(LimitExceeded::check("module_type_openings_max", Limits::STANDARD.module_type_openings_max, 0, openings)?)
}

impl Walk {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), ModuleRefusal> {
        let l = &Limits::STANDARD;
        match payload {
            Payload::Version { encoding, .. } => {
                add("module_parts_max", l.module_parts_max, &mut self.counts.parts, 1)?;
                LimitExceeded::check("module_nesting_max", l.module_nesting_max, self.open.len() as u64, 1)?;
                self.outline.component |= self.open.is_empty() && encoding == Encoding::Component;
                self.open.push(Part::new(encoding));
            }
            Payload::End(_) => {
                if let Some(Part { encoding: Encoding::Component, instances, .. }) = self.open.pop() {
                    self.costliest = self.costliest.max(instances);
                }
            }
            Payload::CustomSection(section) => {
                add("module_entries_max", l.module_entries_max, &mut self.counts.entries, 1)?;
                if section.name() == SECTION {
                    LimitExceeded::check("manifest_bytes_max", l.manifest_bytes_max, 0, section.data().len() as u64)?;
                    self.outline.manifests.push(section.data().to_vec());
                }
            }
            other => self.count(other)?,
        }
        Ok(())
    }

    fn outermost(&self) -> bool {
        self.open.len() == 1
    }
}
