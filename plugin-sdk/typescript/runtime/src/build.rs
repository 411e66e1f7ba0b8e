//! What the builder of a plugin calls, in a module that is no component yet. All imports trap then.

use crate::encode;
use crate::engine::{Engine, Variable, ctx, engine};
use crate::failure;
use crate::modules::Modules;
use crate::natives;
use crate::value::{Thrown, Value};
use rquickjs_sys as q;
use std::cell::UnsafeCell;
use std::ffi::c_int;

struct Answer(UnsafeCell<Vec<u8>>);

// A core instance has one thread.
unsafe impl Sync for Answer {}

static ANSWER: Answer = Answer(UnsafeCell::new(Vec::new()));

/// Room for the sources.
#[unsafe(export_name = "unspool-room")]
extern "C" fn room(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Evaluates the sources that stand in `room` (see [`Modules::read`]). Answers the length of what is wrong with them, or 0.
#[unsafe(export_name = "unspool-evaluate")]
extern "C" fn evaluate(sources: *const u8, length: usize) -> usize {
    let sources = unsafe { std::slice::from_raw_parts(sources, length) };
    let answer = match start(sources) {
        Ok(()) => Vec::new(),
        Err(problem) => problem.into_bytes(),
    };
    let held = unsafe { &mut *ANSWER.0.get() };
    *held = answer;
    held.len()
}

/// Where the answer stands.
#[unsafe(export_name = "unspool-answer")]
extern "C" fn answer() -> *const u8 {
    unsafe { (*ANSWER.0.get()).as_ptr() }
}

fn start(sources: &[u8]) -> Result<(), String> {
    let (modules, entry) = Modules::read(sources).ok_or("the builder passed no sources")?;
    let engine = Engine::start(modules);
    let host = natives::host();
    globals()?.call(&Value::UNDEFINED, &[&host]).map_err(thrown)?;

    let exports = run(&entry)?;
    let exported = exports.get(c"default");
    if exported.is_undefined() {
        return Err(format!("{entry}: no default export; write `export default projection({{ ... }})`"));
    }
    let described = host.get(c"describe").call(&host, &[&exported]).map_err(thrown)?;
    if described.is_undefined() {
        return Err(format!(
            "{entry}: the default export is no projection; write `export default projection({{ ... }})`"
        ));
    }

    encode::document(&mut engine.description, &described.get(c"description"), 0).map_err(|problem| problem.words())?;
    let names: Vec<_> =
        described.get(c"tables").entries().into_iter().map(|(field, name)| (field, name.text())).collect();
    engine.script.tables = natives::tables(&names);
    engine.script.this = exported.get(c"handlers");
    engine.script.metadata = natives::function(c"metadata", natives::metadata);
    for (kind, handler) in engine.script.this.entries() {
        engine.script.handlers.insert(kind.into(), handler);
    }
    engine.script.show = host.get(c"show");
    *engine.float.borrow_mut() = host.get(c"Float").get(c"prototype");
    keep(engine, &host, &exported)?;
    engine.collect_garbage();
    Ok(())
}

/// What stands in for what a script must not have.
fn globals() -> Result<Value, String> {
    let source = c_source(include_str!("globals.js"))?;
    let length = source.as_bytes().len();
    let flags = q::JS_EVAL_TYPE_GLOBAL as c_int;
    let name = c"unspool:globals";
    Value::returned(unsafe { q::JS_Eval(ctx(), source.as_ptr(), length as _, name.as_ptr(), flags) }).map_err(thrown)
}

fn c_source(source: &str) -> Result<std::ffi::CString, String> {
    std::ffi::CString::new(source).map_err(|error| error.to_string())
}

/// Evaluates a module with all that it imports, and returns what it exports.
fn run(entry: &str) -> Result<Value, String> {
    let module = Value::returned(engine().modules.compile(entry)).map_err(thrown)?.into_raw();
    let definition = unsafe { q::JS_VALUE_GET_PTR(module) }.cast::<q::JSModuleDef>();
    let promise = Value::returned(unsafe { q::JS_EvalFunction(ctx(), module) }).map_err(thrown)?;
    let jobs = engine().run_jobs();
    match unsafe { q::JS_PromiseState(ctx(), promise.raw()) } {
        q::JSPromiseStateEnum_JS_PROMISE_FULFILLED => {}
        q::JSPromiseStateEnum_JS_PROMISE_REJECTED => {
            let reason = Value::own(unsafe { q::JS_PromiseResult(ctx(), promise.raw()) });
            return Err(failure::of(&reason, Some(entry)).message);
        }
        _ => return Err(format!("{entry}: the file waits for something at its top level, where nothing ever comes")),
    }
    jobs.map_err(|reason| failure::of(&reason, Some(entry)).message)?;
    Ok(Value::own(unsafe { q::JS_GetModuleNamespace(ctx(), definition) }))
}

/// Freezes what modules hold, and takes note of what cannot be frozen.
fn keep(engine: &mut Engine, host: &Value, exported: &Value) -> Result<(), String> {
    let kept = host.get(c"keep").call(host, &[exported]).map_err(thrown)?;
    engine.script.expressions = kept.get(c"expressions").elements();
    for variable in kept.get(c"variables").elements() {
        let read = variable.get(c"read");
        let value = read.call(&Value::UNDEFINED, &[]).map_err(thrown)?;
        let [name, place] = [c"name", c"place"].map(|field| variable.get(field).text());
        engine.script.variables.push(Variable { name, place, read, value });
    }
    Ok(())
}

fn thrown(_: Thrown) -> String {
    failure::take().message
}
