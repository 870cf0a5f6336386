//! What a world offers and wants, read from the one source of its interface, and whether a module keeps to it: names and
//! types are compared exactly, so that nothing that merely looks like an offered function passes.

use std::collections::BTreeMap;

use protocol::message::{ModuleRefusal, World};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Function, Resolve, Type, TypeDefKind, WorldId, WorldItem};

/// The interface of tables and models, as guests of every language get it.
pub const WIT: &str = include_str!("../../../guest-sdk/wit/fusebox.wit");

/// The interface of folds.
pub const FOLD_WIT: &str = include_str!("../../../guest-sdk/wit/fold/fold.wit");

/// The interface of verifications.
pub const VERIFY_WIT: &str = include_str!("../../../guest-sdk/wit/verify/verify.wit");

/// Functions by name (`interface#function`, or the name alone at the top), each with its signature spelled out.
type Functions = BTreeMap<String, String>;

/// Imports and exports of a world.
#[derive(Debug)]
pub struct Interface {
    imports: Functions,
    exports: Functions,
}

impl Interface {
    /// What `world` offers and wants.
    ///
    /// # Errors
    /// The interface's source is not valid (a test reads it).
    pub fn of(world: World) -> Result<Self, ModuleRefusal> {
        let (name, text) = match world {
            World::Analysis => ("analysis", WIT),
            World::Fold => ("fold", FOLD_WIT),
            World::Verify => ("verify", VERIFY_WIT),
        };
        let mut resolve = Resolve::default();
        let package = resolve.push_source(name, text).map_err(|_| ModuleRefusal::Compiler)?;
        let world = resolve.select_world(&[package], Some(name)).map_err(|_| ModuleRefusal::Compiler)?;
        Self::read(&resolve, world).ok_or(ModuleRefusal::Compiler)
    }

    fn read(resolve: &Resolve, world: WorldId) -> Option<Self> {
        let world = resolve.worlds.get(world)?;
        let read = |items: &wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>| {
            let mut functions = Functions::new();
            for (key, item) in items {
                let name = resolve.name_world_key(key);
                match item {
                    WorldItem::Function(function) => {
                        functions.insert(name, signature(resolve, function));
                    }
                    WorldItem::Interface { id, .. } => {
                        for function in resolve.interfaces.get(*id)?.functions.values() {
                            functions.insert(format!("{name}#{}", function.name), signature(resolve, function));
                        }
                    }
                    WorldItem::Type { .. } => {}
                }
            }
            Some(functions)
        };
        Some(Self { imports: read(&world.imports)?, exports: read(&world.exports)? })
    }

    /// Whether `name` is an interface on offer.
    fn offers(&self, name: &str) -> bool {
        self.imports.keys().any(|k| k.split_once('#').is_some_and(|(interface, _)| interface == name))
    }

    /// Refuses imports of a core module that are not on offer.
    ///
    /// # Errors
    /// The first one, by name.
    pub fn check_core(&self, imports: &[(String, String)]) -> Result<(), ModuleRefusal> {
        let names = imports.iter().map(|(module, field)| format!("{module}#{field}"));
        names.filter(|name| !self.imports.contains_key(name)).map(undeclared).next().map_or(Ok(()), Err)
    }

    /// Refuses imports of a component that are not on offer.
    ///
    /// # Errors
    /// The first one, by name.
    pub fn check_component(&self, imports: &[(String, bool)]) -> Result<(), ModuleRefusal> {
        // What is on offer are interfaces: their name with anything else behind it is not on offer, and the decoder cannot read it.
        let foreign = imports.iter().find(|(name, is_instance)| !is_instance || !self.offers(name));
        foreign.map_or(Ok(()), |(name, _)| Err(undeclared(name.clone())))
    }

    /// Compares a component with what is on offer; returns its imported functions, sorted.
    ///
    /// # Errors
    /// An import of another name or type, or an export that is missing or of another type.
    pub fn check_types(&self, component: &[u8]) -> Result<Vec<String>, ModuleRefusal> {
        let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(component) else { return Err(ModuleRefusal::Invalid) };
        let module = Self::read(&resolve, world).ok_or(ModuleRefusal::Invalid)?;
        if let Some((name, _)) = module.imports.iter().find(|(name, ty)| self.imports.get(*name) != Some(ty)) {
            return Err(undeclared(name.clone()));
        }
        if self.exports.iter().any(|(name, ty)| module.exports.get(name) != Some(ty)) {
            return Err(ModuleRefusal::MissingExport);
        }
        Ok(module.imports.into_keys().collect())
    }
}

/// Makes a component of a core module that carries its interface in a custom section.
///
/// # Errors
/// It carries none, or does not keep to it.
pub fn component_of(core: &[u8]) -> Result<Vec<u8>, ModuleRefusal> {
    // Without an interface inside, the encoder would make a component that exports nothing.
    ComponentEncoder::default().validate(false).module(core).and_then(|mut e| e.encode()).map_err(|_| ModuleRefusal::MissingExport)
}

/// A name from the module, cut and without control characters: it is shown to its author.
fn undeclared(name: String) -> ModuleRefusal {
    ModuleRefusal::UndeclaredImport(name.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// Bytes after which a type is spelled no further: far longer than anything on offer, so that it equals nothing there. Types can
/// name each other twice, level by level, and would else be spelled for ever.
const SPELLED_BYTES_MAX: usize = 16 << 10;

fn signature(resolve: &Resolve, function: &Function) -> String {
    let mut out = String::from(if function.kind.is_async() { "async" } else { "" });
    for param in &function.params {
        out.push_str(&param.name);
        out.push(':');
        spell(resolve, Some(&param.ty), &mut out);
        out.push(',');
    }
    out.push_str("->");
    spell(resolve, function.result.as_ref(), &mut out);
    out
}

/// A type spelled out to its leaves. The world uses no resources: what has no spelling here never equals anything offered.
fn spell(resolve: &Resolve, ty: Option<&Type>, out: &mut String) {
    if out.len() > SPELLED_BYTES_MAX {
        return;
    }
    let Some(ty) = ty else { return out.push('_') };
    let Type::Id(id) = ty else { return out.push_str(&format!("{ty:?}").to_lowercase()) };
    let Some(def) = resolve.types.get(*id) else { return out.push('?') };
    match &def.kind {
        TypeDefKind::Type(inner) => spell(resolve, Some(inner), out),
        TypeDefKind::List(inner) => group("list", [("", Some(inner))], resolve, out),
        TypeDefKind::Option(inner) => group("option", [("", Some(inner))], resolve, out),
        TypeDefKind::Result(r) => group("result", [("", r.ok.as_ref()), ("", r.err.as_ref())], resolve, out),
        TypeDefKind::Record(r) => group("record", r.fields.iter().map(|f| (f.name.as_str(), Some(&f.ty))), resolve, out),
        TypeDefKind::Variant(v) => group("variant", v.cases.iter().map(|c| (c.name.as_str(), c.ty.as_ref())), resolve, out),
        TypeDefKind::Enum(e) => group("enum", e.cases.iter().map(|c| (c.name.as_str(), None)), resolve, out),
        TypeDefKind::Tuple(t) => group("tuple", t.types.iter().map(|t| ("", Some(t))), resolve, out),
        other => out.push_str(&format!("{} #{id:?}", other.as_str())),
    }
}

/// `word<name:type,…>`; names hold none of these characters (the validator saw them).
fn group<'a>(word: &str, of: impl IntoIterator<Item = (&'a str, Option<&'a Type>)>, resolve: &Resolve, out: &mut String) {
    out.push_str(word);
    out.push('<');
    for (name, ty) in of {
        if out.len() > SPELLED_BYTES_MAX {
            return;
        }
        out.push_str(name);
        out.push(':');
        spell(resolve, ty, out);
        out.push(',');
    }
    out.push('>');
}
