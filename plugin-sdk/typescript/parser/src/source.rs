//! One file: its types are blanked out, so that every line and column stays where it is, and what it imports and what it
//! holds is noted.

use std::sync::{Arc, Mutex, PoisonError};
use swc_common::errors::{DiagnosticBuilder, Emitter, HANDLER, Handler};
use swc_common::{BytePos, FileName, GLOBALS, Globals, SourceMap, Span, Spanned, sync::Lrc};
use swc_ecma_ast::{
    Decl, DefaultDecl, EsVersion, ExportSpecifier, Ident, ImportSpecifier, Module, ModuleDecl, ModuleExportName,
    ModuleItem, ObjectPatProp, Pat, Stmt, Str, VarDeclKind,
};
use swc_ecma_parser::{EsSyntax, Parser, StringInput, Syntax, lexer::Lexer};
use swc_ts_fast_strip::{Options, operate};

/// A file of a plugin.
pub struct Source {
    /// JavaScript.
    pub code: String,
    /// What it imports.
    pub imports: Vec<Import>,
}

/// An import, or an export of what another file has.
pub struct Import {
    /// What it names.
    pub of: String,
    /// `file:line:column`.
    pub place: String,
    /// The names that it takes from there, each with its place.
    pub names: Vec<(String, String)>,
}

impl Source {
    /// Looks at a file, which errors call `name`. Types are blanked out where it is TypeScript.
    ///
    /// # Errors
    /// Everything in it that is no JavaScript then, at its place, a line each.
    pub fn read(name: &str, text: String, is_typescript: bool) -> Result<Source, String> {
        parse(name, if is_typescript { strip(name, text)? } else { text })
    }
}

/// The text without its types.
fn strip(name: &str, text: String) -> Result<String, String> {
    let map: Lrc<SourceMap> = Lrc::default();
    let found = Problems::default();
    let emitter = Collect { map: Lrc::clone(&map), name: name.to_owned(), found: Arc::clone(&found) };
    let handler = Handler::with_emitter(true, false, Box::new(emitter));
    let options = Options { module: Some(true), filename: Some(name.to_owned()), ..Options::default() };
    let stripped =
        GLOBALS.set(&Globals::default(), || HANDLER.set(&handler, || operate(&map, &handler, text, options)));
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
    match stripped {
        Ok(stripped) if found.is_empty() => Ok(stripped.code),
        Err(error) if found.is_empty() => Err(format!("{name}: {}", error.message)),
        _ => Err(found),
    }
}

type Problems = Arc<Mutex<Vec<String>>>;

/// Collects what is wrong with a file, in place of showing it on a terminal.
struct Collect {
    map: Lrc<SourceMap>,
    name: String,
    found: Problems,
}

impl Emitter for Collect {
    fn emit(&mut self, problem: &mut DiagnosticBuilder<'_>) {
        let message = problem.message();
        let advice = advice(&message);
        let place = match problem.span.primary_span() {
            Some(span) => place(&self.map, &self.name, span),
            None => self.name.clone(),
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{place}: {message}{advice}"));
    }
}

/// What to write in place of the parts of TypeScript that are more than types.
fn advice(message: &str) -> &'static str {
    let forms = [
        ("enum", ": write `const Status = { New: \"new\" } as const`"),
        ("namespace", ": write a file of its own, and import it"),
        ("parameter property", ": write a field, and assign it in the constructor"),
        ("import =", ": write `import name from \"./file.ts\"`"),
        ("export =", ": write `export default`"),
        ("angle-bracket", ": write `value as Type`"),
    ];
    forms.iter().find(|(form, _)| message.contains(form)).map_or("", |(_, advice)| advice)
}

fn place(map: &SourceMap, name: &str, span: Span) -> String {
    let (line, column) = line_and_column(map, span.lo());
    format!("{name}:{line}:{column}")
}

fn line_and_column(map: &SourceMap, at: BytePos) -> (usize, usize) {
    let found = map.lookup_char_pos(at);
    (found.line, found.col.0 + 1)
}

/// Looks at JavaScript.
fn parse(name: &str, code: String) -> Result<Source, String> {
    let map = SourceMap::default();
    let file = map.new_source_file(FileName::Anon.into(), code.clone());
    let syntax = Syntax::Es(EsSyntax { import_attributes: true, ..EsSyntax::default() });
    let mut parser = Parser::new_from(Lexer::new(syntax, EsVersion::latest(), StringInput::from(&*file), None));
    let parsed = parser.parse_module();
    let mut problems = parser.take_errors();
    let module = match parsed {
        Ok(module) if problems.is_empty() => module,
        parsed => {
            problems.extend(parsed.err());
            let lines = problems
                .iter()
                .map(|problem| format!("{}: {}", place(&map, name, problem.span()), problem.kind().msg()));
            return Err(lines.collect::<Vec<_>>().join("\n"));
        }
    };
    let at = |span| place(&map, name, span);
    let imports = module.body.iter().filter_map(imported).map(|(of, names)| Import {
        of: of.value.to_string_lossy().into_owned(),
        place: at(of.span),
        names: names.into_iter().map(|(name, span)| (name, at(span))).collect(),
    });
    let imports = imports.collect();
    let held = held(&module);
    let held: Vec<_> = held
        .iter()
        .map(|(ident, assignable)| {
            let (line, column) = line_and_column(&map, ident.span.lo());
            let variable = ident.sym.as_str();
            format!("[{},{line},{column},{assignable},()=>{variable}]", quoted(variable))
        })
        .collect();
    // The runtime asks for what the file holds once everything is evaluated. A line of its own, behind any comment.
    let hold = format!("\n;globalThis[Symbol.for(\"unspool.host\")].hold({},[{}]);\n", quoted(name), held.join(","));
    Ok(Source { code: code + &hold, imports })
}

/// A literal of JavaScript.
fn quoted(text: &str) -> String {
    let mut literal = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => literal.extend(['\\', letter]),
            '\u{20}'..='\u{7e}' => literal.push(letter),
            _ => literal.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
        }
    }
    literal + "\""
}

/// What an item imports from, and which names.
fn imported(item: &ModuleItem) -> Option<(&Str, Vec<(String, Span)>)> {
    let text = |name: &ModuleExportName| name.atom().to_string();
    match item.as_module_decl()? {
        ModuleDecl::Import(import) => {
            let names = import.specifiers.iter().filter_map(|specifier| match specifier {
                ImportSpecifier::Named(named) => {
                    Some((named.imported.as_ref().map_or_else(|| named.local.sym.to_string(), text), named.span))
                }
                ImportSpecifier::Default(default) => Some(("default".to_owned(), default.span)),
                ImportSpecifier::Namespace(_) => None,
            });
            Some((&import.src, names.collect()))
        }
        ModuleDecl::ExportAll(export) => Some((&export.src, Vec::new())),
        ModuleDecl::ExportNamed(export) => {
            let names = export.specifiers.iter().filter_map(|specifier| match specifier {
                ExportSpecifier::Named(named) => Some((text(&named.orig), named.span)),
                ExportSpecifier::Default(_) | ExportSpecifier::Namespace(_) => None,
            });
            Some((export.src.as_deref()?, names.collect()))
        }
        _ => None,
    }
}

/// What a module declares at its top level, and whether that can be assigned.
fn held(module: &Module) -> Vec<(&Ident, bool)> {
    let mut held = Vec::new();
    for item in &module.body {
        match item {
            ModuleItem::Stmt(Stmt::Decl(declared)) => declarations(declared, &mut held),
            ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => declarations(&export.decl, &mut held),
            ModuleItem::ModuleDecl(ModuleDecl::ExportDefaultDecl(export)) => match &export.decl {
                DefaultDecl::Class(class) => held.extend(class.ident.iter().map(|ident| (ident, false))),
                DefaultDecl::Fn(function) => held.extend(function.ident.iter().map(|ident| (ident, false))),
                DefaultDecl::TsInterfaceDecl(_) => {}
            },
            _ => {}
        }
    }
    held
}

fn declarations<'a>(declared: &'a Decl, held: &mut Vec<(&'a Ident, bool)>) {
    match declared {
        Decl::Class(class) => held.push((&class.ident, false)),
        Decl::Fn(function) => held.push((&function.ident, false)),
        Decl::Var(variables) => {
            let assignable = variables.kind != VarDeclKind::Const;
            variables.decls.iter().for_each(|variable| names(&variable.name, assignable, held));
        }
        _ => {}
    }
}

fn names<'a>(pattern: &'a Pat, assignable: bool, held: &mut Vec<(&'a Ident, bool)>) {
    match pattern {
        Pat::Ident(ident) => held.push((&ident.id, assignable)),
        Pat::Array(array) => array.elems.iter().flatten().for_each(|element| names(element, assignable, held)),
        Pat::Rest(rest) => names(&rest.arg, assignable, held),
        Pat::Assign(assign) => names(&assign.left, assignable, held),
        Pat::Object(object) => {
            for property in &object.props {
                match property {
                    ObjectPatProp::KeyValue(property) => names(&property.value, assignable, held),
                    ObjectPatProp::Assign(property) => held.push((&property.key.id, assignable)),
                    ObjectPatProp::Rest(rest) => names(&rest.arg, assignable, held),
                }
            }
        }
        Pat::Invalid(_) | Pat::Expr(_) => {}
    }
}
