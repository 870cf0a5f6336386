//! What the sections of a part add to the counts.

use protocol::limits::{LimitExceeded, Limits};
use protocol::message::ModuleRefusal;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentInstance, ComponentType, ComponentTypeRef, CompositeInnerType,
    CoreType, ElementItems, ImportSectionReader, Instance, InstanceTypeDeclaration, Payload, RecGroup, TypeRef,
};

use super::{Walk, add, function, invalid};

type Counted = Result<(), ModuleRefusal>;

impl Walk {
    /// Counts what a section of the innermost part holds.
    pub(super) fn count(&mut self, payload: Payload<'_>) -> Counted {
        match payload {
            Payload::TypeSection(section) => section.into_iter().try_for_each(|group| self.core_types(group.map_err(invalid)?)),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => section.into_iter().try_for_each(|ty| self.function(ty.map_err(invalid)?)),
            Payload::CodeSectionEntry(body) => {
                let Some(part) = self.open.last_mut() else { return Err(ModuleRefusal::Invalid) };
                let ty = part.functions.get(part.bodies).copied().ok_or(ModuleRefusal::Invalid)?;
                part.bodies += 1;
                let work = function::work(part, ty, &body)?;
                add("module_locals_times_blocks_max", Limits::STANDARD.module_locals_times_blocks_max, &mut self.counts.work, work)
            }
            Payload::TableSection(_) | Payload::MemorySection(_) | Payload::ElementSection(_) | Payload::DataSection(_) => {
                self.storage(payload)
            }
            Payload::GlobalSection(s) => {
                add("module_globals_max", Limits::STANDARD.module_globals_max, &mut self.counts.globals, s.count().into())
            }
            Payload::ExportSection(section) => section.into_iter().try_for_each(|e| self.export(e.map_err(invalid)?.name)),
            Payload::TagSection(s) => self.entries(s.count()),
            other => self.component(other),
        }
    }

    fn entries(&mut self, more: u32) -> Counted {
        add("module_entries_max", Limits::STANDARD.module_entries_max, &mut self.counts.entries, more.into())
    }

    fn types(&mut self, more: usize) -> Counted {
        add("module_types_max", Limits::STANDARD.module_types_max, &mut self.counts.types, more as u64)
    }

    fn signature(&mut self, values: u64) -> Counted {
        let limit = Limits::STANDARD.module_signature_values_max;
        add("module_signature_values_max", limit, &mut self.counts.signature_values, values)
    }

    fn export(&mut self, name: &str) -> Counted {
        add("module_exports_max", Limits::STANDARD.module_exports_max, &mut self.counts.exports, 1)?;
        name_of_bounded_length(name)
    }

    fn core_types(&mut self, group: RecGroup) -> Counted {
        self.types(group.types().len().max(1))?;
        for ty in group.into_types() {
            let signature = match &ty.composite_type.inner {
                CompositeInnerType::Func(f) => (f.params().len() as u64, f.results().len() as u64),
                _ => (0, 0),
            };
            self.signature(signature.0 + signature.1)?;
            if let Some(part) = self.open.last_mut() {
                part.types.push(signature);
            }
        }
        Ok(())
    }

    /// A function of this type, imported or with a body to come.
    fn known(&mut self, ty: u32) -> Counted {
        let Some(part) = self.open.last_mut() else { return Err(ModuleRefusal::Invalid) };
        part.functions.push(ty);
        let values = part.arity(ty);
        self.signature(values)
    }

    fn function(&mut self, ty: u32) -> Counted {
        add("module_functions_max", Limits::STANDARD.module_functions_max, &mut self.counts.functions, 1)?;
        self.known(ty)
    }

    fn imports(&mut self, section: ImportSectionReader<'_>) -> Counted {
        let outermost = self.outermost();
        for import in section.into_imports() {
            let import = import.map_err(invalid)?;
            add("module_imports_max", Limits::STANDARD.module_imports_max, &mut self.counts.imports, 1)?;
            name_of_bounded_length(import.module)?;
            name_of_bounded_length(import.name)?;
            if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import.ty {
                self.known(ty)?;
            }
            if outermost {
                self.outline.core_imports.push((import.module.to_owned(), import.name.to_owned()));
            }
        }
        let Some(part) = self.open.last_mut() else { return Err(ModuleRefusal::Invalid) };
        part.bodies = part.functions.len();
        Ok(())
    }

    /// Tables, memories and what fills them.
    fn storage(&mut self, payload: Payload<'_>) -> Counted {
        let l = &Limits::STANDARD;
        match payload {
            Payload::TableSection(section) => {
                add("guest_tables_max", l.guest_tables_max, &mut self.counts.tables, section.count().into())?;
                for table in section {
                    let initial = table.map_err(invalid)?.ty.initial;
                    LimitExceeded::check("guest_table_elements_max", l.guest_table_elements_max, 0, initial)?;
                }
            }
            Payload::MemorySection(section) => {
                add("guest_memories_max", l.guest_memories_max, &mut self.counts.memories, section.count().into())?;
                for memory in section {
                    let bytes = memory.map_err(invalid)?.initial.saturating_mul(1 << 16);
                    LimitExceeded::check("guest_memory_bytes_max", l.guest_memory_bytes_max, 0, bytes)?;
                    self.outline.memory_bytes = self.outline.memory_bytes.saturating_add(bytes);
                }
            }
            Payload::ElementSection(section) => {
                add("module_segments_max", l.module_segments_max, &mut self.counts.segments, section.count().into())?;
                for segment in section {
                    let items = match segment.map_err(invalid)?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    add("module_segment_items_max", l.module_segment_items_max, &mut self.counts.segment_items, items.into())?;
                }
            }
            Payload::DataSection(s) => add("module_segments_max", l.module_segments_max, &mut self.counts.segments, s.count().into())?,
            _ => {}
        }
        Ok(())
    }

    /// Sections of components.
    fn component(&mut self, payload: Payload<'_>) -> Counted {
        match payload {
            Payload::CoreTypeSection(section) => section.into_iter().try_for_each(|ty| self.core_type(ty.map_err(invalid)?)),
            Payload::ComponentTypeSection(section) => section.into_iter().try_for_each(|ty| self.component_type(&ty.map_err(invalid)?)),
            Payload::ComponentImportSection(section) => {
                let outermost = self.outermost();
                for import in section {
                    let import = import.map_err(invalid)?;
                    let name = import.name.name;
                    add("module_imports_max", Limits::STANDARD.module_imports_max, &mut self.counts.imports, 1)?;
                    name_of_bounded_length(name)?;
                    if outermost {
                        self.outline.component_imports.push((name.to_owned(), matches!(import.ty, ComponentTypeRef::Instance(_))));
                    }
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                section.into_iter().try_for_each(|export| self.export(export.map_err(invalid)?.name.name))
            }
            Payload::ComponentCanonicalSection(section) => {
                self.entries(section.count())?;
                section.into_iter().try_for_each(|function| only_utf8(&function.map_err(invalid)?))
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    match instance.map_err(invalid)? {
                        Instance::Instantiate { .. } => self.instances(1)?,
                        Instance::FromExports(exports) => self.entries(u32::try_from(exports.len()).unwrap_or(u32::MAX))?,
                    }
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance.map_err(invalid)? {
                        // Whichever component it is, it was read before, and none makes more than the costliest.
                        ComponentInstance::Instantiate { .. } => self.instances(self.costliest.max(1))?,
                        ComponentInstance::FromExports(exports) => self.entries(u32::try_from(exports.len()).unwrap_or(u32::MAX))?,
                    }
                }
                Ok(())
            }
            Payload::ComponentAliasSection(s) => self.entries(s.count()),
            Payload::ComponentStartSection { .. } => self.entries(1),
            _ => Ok(()),
        }
    }

    fn instances(&mut self, more: u64) -> Counted {
        let Some(part) = self.open.last_mut() else { return Err(ModuleRefusal::Invalid) };
        add("guest_instances_max", Limits::STANDARD.guest_instances_max, &mut part.instances, more)
    }

    fn core_type(&mut self, ty: CoreType<'_>) -> Counted {
        match ty {
            CoreType::Rec(group) => self.core_types(group),
            CoreType::Module(declarations) => self.types(declarations.len().saturating_add(1)),
        }
    }

    fn component_type(&mut self, ty: &ComponentType<'_>) -> Counted {
        let inner = match ty {
            ComponentType::Defined(ty) => match ty {
                ComponentDefinedType::Record(fields) => fields.len(),
                ComponentDefinedType::Variant(cases) => cases.len(),
                ComponentDefinedType::Tuple(types) => types.len(),
                ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => names.len(),
                _ => 0,
            },
            ComponentType::Func(ty) => ty.params.len(),
            // A component that is handed in can be instantiated many times before anyone knows what it makes: none may be.
            ComponentType::Component(_) => return Err(ModuleRefusal::Invalid),
            ComponentType::Instance(declarations) => {
                for declaration in declarations {
                    if let InstanceTypeDeclaration::Type(ty) = declaration {
                        self.component_type(ty)?;
                    }
                }
                declarations.len()
            }
            // The world has none: nobody but the module could hold a handle, and what is not there cannot be forged.
            ComponentType::Resource { .. } => return Err(ModuleRefusal::Invalid),
        };
        self.types(inner.saturating_add(1))
    }
}

fn name_of_bounded_length(name: &str) -> Counted {
    Ok(LimitExceeded::check("module_name_bytes_max", Limits::STANDARD.module_name_bytes_max, 0, name.len() as u64)?)
}

/// The transcoders of other encodings have had memory-safety faults: strings cross as UTF-8 or not at all.
fn only_utf8(function: &CanonicalFunction) -> Counted {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) = function else { return Ok(()) };
    let other = options.iter().any(|o| matches!(o, CanonicalOption::UTF16 | CanonicalOption::CompactUTF16));
    if other { Err(ModuleRefusal::Invalid) } else { Ok(()) }
}
