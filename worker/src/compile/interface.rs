//! What the world offers and wants, read from the one source of the interface, and whether a module keeps to it: names and
//! types are compared exactly, so that nothing that merely looks like an offered function passes.

use std::collections::BTreeMap;

use protocol::message::{ModuleRefusal, World};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Function, Resolve, Type, TypeDefKind, WorldId, WorldItem};

/// The interface, as guests of every language get it.
pub const WIT: &str = include_str!("../../../guest-sdk/wit/fusebox.wit");

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
        let World::Analysis = world;
        let mut resolve = Resolve::default();
        let package = resolve.push_source("fusebox.wit", WIT).map_err(|_| ModuleRefusal::Compiler)?;
        let world = resolve.select_world(&[package], Some("analysis")).map_err(|_| ModuleRefusal::Compiler)?;
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

    /// Whether `name` is an interface or a function on offer.
    fn offers(&self, name: &str) -> bool {
        self.imports.keys().any(|k| k == name || k.split_once('#').is_some_and(|(interface, _)| interface == name))
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
    pub fn check_component(&self, imports: &[String]) -> Result<(), ModuleRefusal> {
        imports.iter().find(|name| !self.offers(name)).map_or(Ok(()), |name| Err(undeclared(name.clone())))
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

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<String> = function.params.iter().map(|p| format!("{}:{}", p.name, spell(resolve, &p.ty))).collect();
    format!(
        "{}({})->{}",
        if function.kind.is_async() { "async" } else { "" },
        params.join(","),
        spell_option(resolve, function.result.as_ref())
    )
}

fn spell_option(resolve: &Resolve, ty: Option<&Type>) -> String {
    ty.map_or_else(|| "_".to_owned(), |ty| spell(resolve, ty))
}

/// A type spelled out to its leaves. The world uses no resources: what has no spelling here never equals anything offered.
fn spell(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
    let Some(def) = resolve.types.get(*id) else { return "?".to_owned() };
    let case = |name: &str, ty: Option<&Type>| format!("{name}:{}", spell_option(resolve, ty));
    match &def.kind {
        TypeDefKind::Type(inner) => spell(resolve, inner),
        TypeDefKind::List(inner) => format!("list<{}>", spell(resolve, inner)),
        TypeDefKind::Option(inner) => format!("option<{}>", spell(resolve, inner)),
        TypeDefKind::Result(r) => format!("result<{},{}>", spell_option(resolve, r.ok.as_ref()), spell_option(resolve, r.err.as_ref())),
        TypeDefKind::Record(r) => format!("record{:?}", r.fields.iter().map(|f| case(&f.name, Some(&f.ty))).collect::<Vec<_>>()),
        TypeDefKind::Variant(v) => format!("variant{:?}", v.cases.iter().map(|c| case(&c.name, c.ty.as_ref())).collect::<Vec<_>>()),
        TypeDefKind::Enum(e) => format!("enum{:?}", e.cases.iter().map(|c| &c.name).collect::<Vec<_>>()),
        TypeDefKind::Tuple(t) => format!("tuple{:?}", t.types.iter().map(|t| spell(resolve, t)).collect::<Vec<_>>()),
        other => format!("{} #{id:?}", other.as_str()),
    }
}
