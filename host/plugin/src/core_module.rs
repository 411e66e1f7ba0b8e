//! What a core module imports and exports, and whether a plugin can be made of it.

use std::collections::BTreeSet;
use wasmparser::{DataKind, ExternalKind, GlobalType, KnownCustom, Name, Operator, Parser, Payload, TypeRef, ValType};

/// What a module has to export to be a plugin, beside its memory.
const EXPORTS: [&str; 3] =
    ["unspool:projection/handler@1.0.0#describe", "unspool:projection/handler@1.0.0#handle", "cabi_realloc"];

/// What it may import, beside WASI.
const IMPORTS: [(&str, &str); 3] = [
    ("unspool:projection/read-model@1.0.0", "get-many"),
    ("unspool:projection/read-model@1.0.0", "scan"),
    ("unspool:projection/logger@1.0.0", "log"),
];

/// Why a core module cannot become a plugin. Each says what to do, in the languages that get there.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A program that ends when `main` does.
    #[error(
        "built as a command, which ends when main returns; build it as a reactor, which is called again and again: Go with \
         -buildmode=c-shared, C with -mexec-model=reactor"
    )]
    Command,
    /// Nothing sets up the language's runtime.
    #[error(
        "imports WASI and exports no _initialize, so that nothing would set up what its language needs; build it as a reactor: \
         Go with -buildmode=c-shared, C with -mexec-model=reactor"
    )]
    NotInitialized,
    /// The handler is not there.
    #[error(
        "does not export {}; a Go plugin calls unspool.Export, one in C includes unspool.h and defines unspool_handle", .0.join(", ")
    )]
    MissingExports(Vec<&'static str>),
    /// It has no memory that the host could read.
    #[error("exports no memory; a plugin exports the memory in which it is called, as `memory`")]
    NoMemory,
    /// It wants to talk to others.
    #[error(
        "uses sockets ({0}); a projection has no network: take out what opens connections (in Go, whatever uses package net), \
         and put what it would fetch into the events"
    )]
    Sockets(String),
    /// It was built for JavaScript.
    #[error(
        "built to run beside JavaScript (it imports {0}); build Go with GOOS=wasip1, C with --target=wasm32-wasip1"
    )]
    JavaScript(String),
    /// It was built for the WASI of 2019.
    #[error("built for a WASI before preview 1 (it imports {0}); build it for wasm32-wasip1 with a compiler of today")]
    OldWasi(String),
    /// It speaks another version of our interfaces.
    #[error(
        "imports {0}, where this host has unspool:projection/read-model@1.0.0 and logger@1.0.0; build it with the SDK of this \
         host's version"
    )]
    OtherWorld(String),
    /// It imports what nobody has.
    #[error(
        "imports {0}, which no host has; define it, or link the library that does (in C it is a function that was declared \
         and never linked)"
    )]
    Unknown(String),
    /// The stack can grow into data.
    #[error(
        "its stack lies above its data, so that deep calls would change its variables in silence; link it with \
         -Wl,--stack-first -Wl,-z,stack-size=262144"
    )]
    StackAboveData,
}

/// An import of a module.
pub(super) struct Import<'a> {
    pub(super) module: &'a str,
    name: &'a str,
    function: bool,
}

/// What matters of a core module.
#[derive(Default)]
pub(super) struct CoreModule<'a> {
    pub(super) imports: Vec<Import<'a>>,
    exports: BTreeSet<&'a str>,
    has_memory: bool,
    /// Whether it carries the world that it was made for.
    pub(super) has_world: bool,
    stack: Option<u64>,
    lowest_data: Option<u64>,
}

impl<'a> CoreModule<'a> {
    /// Reads the sections that matter.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<CoreModule<'a>, String> {
        CoreModule::read(bytes).map_err(|error| error.to_string())
    }

    fn read(bytes: &'a [u8]) -> wasmparser::Result<CoreModule<'a>> {
        let mut module = CoreModule::default();
        let (mut globals, mut imported_globals, mut stack_pointer) = (Vec::new(), 0, None);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        imported_globals += usize::from(matches!(import.ty, TypeRef::Global(_)));
                        let function = matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                        module.imports.push(Import { module: import.module, name: import.name, function });
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        module.has_memory |= export.kind == ExternalKind::Memory && export.name == "memory";
                        module.exports.insert(export.name);
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global?;
                        globals.push((global.ty, constant(global.init_expr.get_operators_reader().read()?)));
                    }
                }
                Payload::DataSection(section) => {
                    for data in section {
                        if let DataKind::Active { offset_expr, .. } = data?.kind
                            && let Some(at) = constant(offset_expr.get_operators_reader().read()?)
                        {
                            module.lowest_data = Some(module.lowest_data.map_or(at, |lowest| lowest.min(at)));
                        }
                    }
                }
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    module.has_world = true;
                }
                Payload::CustomSection(section) => {
                    // Names are hints: a broken section of them changes nothing.
                    if let KnownCustom::Name(names) = section.as_known() {
                        stack_pointer = stack_pointer.or_else(|| named_stack_pointer(names));
                    }
                }
                _ => {}
            }
        }
        // Without names of globals: compilers that have such a stack put its pointer first.
        let index = stack_pointer.unwrap_or(Some(imported_globals));
        let global = index.and_then(|index| index.checked_sub(imported_globals)).and_then(|index| globals.get(index));
        module.stack = global.and_then(|(ty, start)| if is_pointer(ty) { *start } else { None });
        Ok(module)
    }

    /// Whether it can become a plugin, where the functions of `wasi` are those of `adapter`.
    pub(super) fn check(&self, wasi: &str, adapter: &CoreModule<'_>) -> Result<(), Problem> {
        for import in &self.imports {
            let name = || format!("{}.{}", import.module, import.name);
            match import.module {
                module if module == wasi && import.name.starts_with("sock_") => return Err(Problem::Sockets(name())),
                module if module == wasi && adapter.exports.contains(import.name) => {}
                module if import.function && IMPORTS.contains(&(module, import.name)) => {}
                module if module.starts_with("unspool:") => return Err(Problem::OtherWorld(name())),
                "wasi_unstable" => return Err(Problem::OldWasi(name())),
                "go" | "gojs" => return Err(Problem::JavaScript(name())),
                module if module.starts_with("__wbindgen") || module == "wbg" => {
                    return Err(Problem::JavaScript(name()));
                }
                _ => return Err(Problem::Unknown(name())),
            }
        }
        let initialized = self.exports.contains("_initialize");
        if self.exports.contains("_start") && !initialized {
            return Err(Problem::Command);
        }
        let missing: Vec<_> = EXPORTS.into_iter().filter(|export| !self.exports.contains(export)).collect();
        if !missing.is_empty() {
            return Err(Problem::MissingExports(missing));
        }
        if !self.has_memory {
            return Err(Problem::NoMemory);
        }
        if !initialized && self.imports.iter().any(|import| import.module == wasi) {
            return Err(Problem::NotInitialized);
        }
        match (self.stack, self.lowest_data) {
            (Some(stack), Some(data)) if stack > data => Err(Problem::StackAboveData),
            _ => Ok(()),
        }
    }
}

fn is_pointer(ty: &GlobalType) -> bool {
    ty.mutable && ty.content_type == ValType::I32
}

/// The number that an expression is, where it is no more than that.
fn constant(operator: Operator<'_>) -> Option<u64> {
    match operator {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        _ => None,
    }
}

/// The global that is the pointer of a stack in memory, if one is: `None` where the module names no globals at all.
fn named_stack_pointer(names: wasmparser::NameSectionReader<'_>) -> Option<Option<usize>> {
    names.into_iter().flatten().find_map(|name| match name {
        Name::Global(map) => {
            let pointer = map.into_iter().flatten().find(|name| name.name == "__stack_pointer");
            Some(pointer.map(|name| name.index as usize))
        }
        _ => None,
    })
}
