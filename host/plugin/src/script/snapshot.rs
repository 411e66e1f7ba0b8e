//! The modules are evaluated in the runtime; what it then has in memory becomes a module of its own.

use super::modules::Module;
use super::sandbox::{Compiled, Sandbox};
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use wasmtime::Val;
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// The runtime: what `plugin-sdk/typescript/rebuild.sh` makes.
const RUNTIME: &[u8] = include_bytes!("../../../../plugin-sdk/typescript/runtime/runtime.wasm");

/// The runtime with the modules evaluated, as a module.
///
/// # Errors
/// What the evaluation says is wrong, at its place.
pub(super) fn evaluate(modules: &[Module]) -> Result<Vec<u8>, String> {
    let defect = |error: wasmtime::Error| format!("the runtime of scripts does not work: {error:#}");
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument(RUNTIME).map_err(defect)?;
    // Instrumenting gives the same each time.
    static COMPILED: OnceLock<Result<Compiled, String>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| Compiled::new(&instrumented).map_err(defect));
    let mut sandbox = Sandbox::new(compiled.as_ref().map_err(Clone::clone)?).map_err(defect)?;
    let problem = sandbox.call("unspool-evaluate", texts(modules).iter().map(AsRef::as_ref)).map_err(|ended| {
        let entry = modules.first().map_or("", |module| &module.name);
        ended.words(&format!("{entry}: what the files do when they are loaded"))
    })?;
    if !problem.is_empty() {
        return Err(with_place(String::from_utf8_lossy(&problem).into_owned(), modules));
    }
    finished(wizer.snapshot(&context, &mut Evaluated(sandbox))).map_err(defect)
}

/// The engine does not say where a name is imported that the other file does not export.
fn with_place(problem: String, modules: &[Module]) -> String {
    let mut names = modules.iter().flat_map(|module| &module.names);
    let missing = names.find(|(module, name, _)| {
        problem.starts_with(&format!("SyntaxError: Could not find export '{name}' in module '{module}'"))
    });
    match missing {
        Some((module, name, place)) => {
            format!("{place}: `{module}` exports no `{name}`; where that is a type, write `import type`")
        }
        None => problem,
    }
}

/// Modules as the runtime reads them: name, code, how many imports, and for each of those what it names and what that means.
fn texts(modules: &[Module]) -> Vec<String> {
    let mut texts = Vec::new();
    for module in modules {
        texts.extend([module.name.clone(), module.code.clone(), module.imports.len().to_string()]);
        texts.extend(module.imports.iter().flat_map(|(import, means)| [import.clone(), means.clone()]));
    }
    texts
}

struct Evaluated(Sandbox);

impl InstanceState for Evaluated {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let Sandbox { store, instance } = &mut self.0;
        let global = instance.get_global(&mut *store, name);
        match global.map(|global| global.get(&mut *store)) {
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value),
            Some(Val::F64(value)) => SnapshotVal::F64(value),
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            // The instrumented runtime exports all of its globals, and they are numbers: it is ours.
            _ => SnapshotVal::I32(0),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let Sandbox { store, instance } = &mut self.0;
        if let Some(memory) = instance.get_memory(&mut *store, name) {
            contents(memory.data(&*store));
        }
    }
}

/// Runs a future that waits for nothing.
fn finished<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
